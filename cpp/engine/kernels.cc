#include "dsp/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <cmath>
#include <limits>

#include "dsp/lane-inl.h"
#include "engine/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// What is left of a block shorter than a vector.
inline Loudness measure_few(const float* const* x, int channels, int frames) noexcept TR_RT {
  Loudness few{};
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) {
      const float now = std::abs(x[c][n]);
      few.peak = few.peak > now ? few.peak : now;
      few.power += now * now;
    }
  }
  return few;
}

// Where the sum is not finite: because of such a number, or because of very large ones.
inline Loudness measure_one_by_one(const float* const* x, int channels, int frames) noexcept TR_RT {
  Loudness found{0.0f, std::numeric_limits<float>::max(), true};
  for (int c = 0; c < channels; ++c) {
    for (int n = 0; n < frames; ++n) {
      const float now = std::abs(x[c][n]);
      found.finite = found.finite && std::isfinite(now);
      found.peak = std::isfinite(now) && now > found.peak ? now : found.peak;
    }
  }
  return found;
}

inline Loudness measure(const float* const* x, int channels, int frames) noexcept TR_RT {
  using D = Tag<float>;
  constexpr int lanes = lane_count<float>;
  const D d;
  Loudness found{};
  if (frames < lanes) {
    found = measure_few(x, channels, frames);
  } else {
    auto peak0 = hn::Zero(d), peak1 = peak0, power0 = peak0, power1 = peak0;
    const auto hear = [&](Vec<float> a) HWY_ATTR {
      peak0 = hn::Max(peak0, hn::Abs(a));
      power0 = hn::MulAdd(a, a, power0);
    };
    for (int c = 0; c < channels; ++c) {
      int n = 0;
      for (; n + 2 * lanes <= frames; n += 2 * lanes) {
        hear(hn::LoadU(d, x[c] + n));
        const auto b = hn::LoadU(d, x[c] + n + lanes);
        peak1 = hn::Max(peak1, hn::Abs(b));
        power1 = hn::MulAdd(b, b, power1);
      }
      for (; n < frames; n += lanes) hear(load_some(x[c] + n, frames - n));
    }
    found.peak = hn::GetLane(hn::MaxOfLanes(d, hn::Max(peak0, peak1)));
    found.power = hn::GetLane(hn::SumOfLanes(d, power0 + power1));
  }
  return found.power <= std::numeric_limits<float>::max() ? found : measure_one_by_one(x, channels, frames);
}

inline void crossfade(float* y, const float* dry, float share, float step, int frames) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) {
    const float now = share + step * static_cast<float>(n);
    const float low = now > 0.0f ? now : 0.0f, bounded = low < 1.0f ? low : 1.0f;
    const float smooth = bounded * bounded * (3.0f - 2.0f * bounded);
    y[n] = (1.0f - smooth) * dry[n] + smooth * y[n];
  }
}

const Kernels* kernel_table() {
  static const Kernels table{measure, crossfade};
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {
HWY_EXPORT(kernel_table);
const Kernels& kernels() {
  static const Kernels& chosen = *HWY_DYNAMIC_DISPATCH(kernel_table)();
  return chosen;
}
}  // namespace twinrack
#endif
