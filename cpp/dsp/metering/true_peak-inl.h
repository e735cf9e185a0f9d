// Peaks of a block, frame by frame: of the samples alone, or of the signal between them too (true peak).
#if defined(TWINRACK_DSP_METERING_TRUE_PEAK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_METERING_TRUE_PEAK_INL_H_
#undef TWINRACK_DSP_METERING_TRUE_PEAK_INL_H_
#else
#define TWINRACK_DSP_METERING_TRUE_PEAK_INL_H_
#endif

#include <cstddef>

#include "dsp/lanes/lane-inl.h"
#include "dsp/metering/true_peak.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// For some vectors; see below. Two of them share the coefficients.
template <int vectors>
HWY_INLINE void find_peaks_at(const float* x, bool between, float* peak) noexcept TR_RT {
  using V = Vec<float>;
  constexpr int lanes = lane_count<float>;
  const Tag<float> d;
  V most[vectors];
  for (int i = 0; i < vectors; ++i) {
    most[i] = hn::Abs(hn::LoadU(d, x + i * lanes + true_peak_taps - 1 - true_peak_delay));
  }
  if (between) {
    V sum[4][vectors];
    for (auto& point : sum) {
      for (V& s : point) s = hn::Zero(d);
    }
    for (std::size_t k = 0; k < true_peak_taps; ++k) {
      const std::size_t back = true_peak_taps - 1 - k;
      const V taps[4] = {hn::Set(d, true_peak_phases[0][k]), hn::Set(d, true_peak_phases[1][k]),
                         hn::Set(d, true_peak_phases[1][back]), hn::Set(d, true_peak_phases[0][back])};
      for (int i = 0; i < vectors; ++i) {
        const V sample = hn::LoadU(d, x + i * lanes + back);
        for (int point = 0; point < 4; ++point) sum[point][i] = MulAdd(taps[point], sample, sum[point][i]);
      }
    }
    for (const auto& point : sum) {
      for (int i = 0; i < vectors; ++i) most[i] = hn::Max(most[i], hn::Abs(point[i]));
    }
  }
  for (int i = 0; i < vectors; ++i) hn::StoreU(most[i], d, peak + i * lanes);
}

// `x` begins true_peak_taps - 1 frames before the block. peak[n] belongs to the sample true_peak_delay frames before
// the n-th of the block and, with `between`, to the three interpolated ones after it. Whole vectors are read and
// written.
inline void find_peaks(const float* x, bool between, float* peak, int frames) noexcept TR_RT {
  constexpr int two = 2 * lane_count<float>;
  int n = 0;
  for (; n + two <= frames; n += two) find_peaks_at<2>(x + n, between, peak + n);
  for (; n < frames; n += lane_count<float>) find_peaks_at<1>(x + n, between, peak + n);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
