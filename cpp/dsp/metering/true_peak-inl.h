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

// `x` begins true_peak_taps - 1 frames before the block. peak[n] belongs to the sample true_peak_delay frames before
// the n-th of the block and, with `between`, to the three interpolated ones after it. Whole vectors are read and
// written.
inline void find_peaks(const float* x, bool between, float* peak, int frames) noexcept TR_RT {
  using V = Vec<float>;
  const Tag<float> d;
  each_vector(frames, [&](int n) HWY_ATTR {
    V most = hn::Abs(hn::LoadU(d, x + n + true_peak_taps - 1 - true_peak_delay));
    if (between) {
      V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
      for (std::size_t k = 0; k < true_peak_taps; ++k) {
        const std::size_t back = true_peak_taps - 1 - k;
        const V sample = hn::LoadU(d, x + n + back);
        sum[0] = MulAdd(hn::Set(d, true_peak_phases[0][k]), sample, sum[0]);
        sum[1] = MulAdd(hn::Set(d, true_peak_phases[1][k]), sample, sum[1]);
        sum[2] = MulAdd(hn::Set(d, true_peak_phases[1][back]), sample, sum[2]);
        sum[3] = MulAdd(hn::Set(d, true_peak_phases[0][back]), sample, sum[3]);
      }
      for (const V& s : sum) most = hn::Max(most, hn::Abs(s));
    }
    hn::StoreU(most, d, peak + n);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
