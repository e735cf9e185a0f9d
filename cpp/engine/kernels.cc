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

inline Loudness measure(const float* x, int frames) noexcept TR_RT {
  using D = Tag<float>;
  constexpr int lanes = lane_count<float>;
  const D d;
  if (frames < lanes) {
    Loudness few{};
    for (int n = 0; n < frames; ++n) {
      few.peak = few.peak > std::abs(x[n]) ? few.peak : std::abs(x[n]);
      few.power += x[n] * x[n];
    }
    if (few.power <= std::numeric_limits<float>::max()) return few;
  }
  auto peak0 = hn::Zero(d), peak1 = peak0, power0 = peak0, power1 = peak0;
  int n = 0;
  for (; n + 2 * lanes <= frames; n += 2 * lanes) {
    const auto a = hn::LoadU(d, x + n), b = hn::LoadU(d, x + n + lanes);
    peak0 = hn::Max(peak0, hn::Abs(a));
    peak1 = hn::Max(peak1, hn::Abs(b));
    power0 = hn::MulAdd(a, a, power0);
    power1 = hn::MulAdd(b, b, power1);
  }
  for (; n < frames; n += lanes) {
    float rest[lanes] = {};
    for (int i = 0; i < lanes && n + i < frames; ++i) rest[i] = x[n + i];
    const auto a = hn::LoadU(d, rest);
    peak0 = hn::Max(peak0, hn::Abs(a));
    power0 = hn::MulAdd(a, a, power0);
  }
  Loudness found{hn::GetLane(hn::MaxOfLanes(d, hn::Max(peak0, peak1))), hn::GetLane(hn::SumOfLanes(d, power0 + power1)),
                 true};
  if (found.power <= std::numeric_limits<float>::max()) return found;
  // A sum that is not finite comes from such a number, or from very large ones.
  found = {0.0f, std::numeric_limits<float>::max(), true};
  for (n = 0; n < frames; ++n) {
    found.finite = found.finite && std::isfinite(x[n]);
    found.peak = std::isfinite(x[n]) && std::abs(x[n]) > found.peak ? std::abs(x[n]) : found.peak;
  }
  return found;
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
