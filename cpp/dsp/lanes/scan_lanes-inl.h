// A scan: a recursion over the lanes of a vector, from the first to the last, without leaving the registers.
//
// The steps before and after it are computed for a whole vector at once. The processor goes on with the next vector
// while the recursion of this one still waits for itself, so several recursions in series take hardly longer than the
// slowest one. (Through memory they would not overlap: a vector cannot be read before the single numbers that were
// written there have left the processor's store queue.)
#if defined(TWINRACK_DSP_LANES_SCAN_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_LANES_SCAN_LANES_INL_H_
#undef TWINRACK_DSP_LANES_SCAN_LANES_INL_H_
#else
#define TWINRACK_DSP_LANES_SCAN_LANES_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// A number in the lowest lane of a small vector.
using ScalarLane = hn::Vec<hn::CappedTag<float, 4>>;
inline ScalarLane scalar_lane(float x) noexcept TR_RT { return hn::Set(hn::CappedTag<float, 4>(), x); }

// The lowest lanes of as many vectors as a vector has lanes, as one vector.
HWY_INLINE Vec<float> gather_lanes(const ScalarLane* x) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
  return x[0];
#else
  const hn::CappedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const auto four = [&](const ScalarLane* v) HWY_ATTR {
    const auto low = hn::BitCast(wide, hn::InterleaveLower(d, v[0], v[1]));
    return hn::BitCast(d, hn::InterleaveLower(wide, low, hn::BitCast(wide, hn::InterleaveLower(d, v[2], v[3]))));
  };
#if HWY_MAX_BYTES >= 32
  return hn::Combine(Tag<float>(), four(x + 4), four(x));
#else
  return four(x);
#endif
#endif
}

// Two numbers in a small vector; one where there are no vectors.
using Pair = hn::Vec<hn::CappedTag<float, 2>>;
inline constexpr int pair_size = static_cast<int>(hn::MaxLanes(hn::CappedTag<float, 2>()));

// As many pairs as a vector has lanes, as two vectors: the first numbers, and the second ones.
HWY_INLINE void deinterleave([[maybe_unused]] const Pair* x, [[maybe_unused]] Vec<float>& first,
                             [[maybe_unused]] Vec<float>& second) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
  first = x[0];
#else
  const Tag<float> d;
  const hn::CappedTag<float, 4> four;
#if HWY_MAX_BYTES >= 32
  const auto half = [&](const Pair* v) HWY_ATTR {
    return hn::Combine(d, hn::Combine(four, v[3], v[2]), hn::Combine(four, v[1], v[0]));
  };
  const auto low = half(x), high = half(x + 4);
#else
  const auto low = hn::Combine(four, x[1], x[0]), high = hn::Combine(four, x[3], x[2]);
#endif
  first = hn::ConcatEven(d, high, low);
  second = hn::ConcatOdd(d, high, low);
#endif
}

// The same for two signals at once: (first[i], second[i]) = step((first[i], second[i])).
template <class Step>
HWY_INLINE void scan_lanes(Vec<float>& first, Vec<float>& second, int count, Step&& step) noexcept TR_RT {
  constexpr int lanes = lane_count<float>;
  const hn::CappedTag<float, 2> two;
  alignas(32) float in[2 * lanes];
#if HWY_TARGET == HWY_SCALAR
  hn::Store(first, Tag<float>(), in);
#else
  hn::StoreInterleaved2(first, second, Tag<float>(), in);
#endif
  Pair y[lanes];
  if (count >= lanes) {
    for (int i = 0; i < lanes; ++i) y[i] = step(hn::LoadU(two, in + pair_size * i));
  } else {
    for (int i = 0; i < lanes; ++i) y[i] = i < count ? step(hn::LoadU(two, in + pair_size * i)) : hn::Zero(two);
  }
  deinterleave(y, first, second);
}

// y[i] = step(x[i]) for the first `count` lanes; the others are anything.
template <class Step>
HWY_INLINE Vec<float> scan_lanes(Vec<float> x, int count, Step&& step) noexcept TR_RT {
  constexpr int lanes = lane_count<float>;
  alignas(32) float in[lanes];
  hn::Store(x, Tag<float>(), in);
  ScalarLane y[lanes];
  if (count >= lanes) {
    for (int i = 0; i < lanes; ++i) y[i] = step(scalar_lane(in[i]));
  } else {
    for (int i = 0; i < lanes; ++i) y[i] = i < count ? step(scalar_lane(in[i])) : scalar_lane(0.0f);
  }
  return gather_lanes(y);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
