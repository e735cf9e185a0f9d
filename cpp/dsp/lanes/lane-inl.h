// Operations that a recursion's arithmetic needs for every lane type: float, double, or a Highway vector of either.
// Plain numbers get those that vectors have, under Highway's names.
#if defined(TWINRACK_DSP_LANES_LANE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_LANES_LANE_INL_H_
#undef TWINRACK_DSP_LANES_LANE_INL_H_
#else
#define TWINRACK_DSP_LANES_LANE_INL_H_
#endif

#ifndef TWINRACK_DSP_LANES_TARGETS_H_
#error "include dsp/lanes/targets.h before hwy/foreach_target.h"
#endif

#include <hwy/highway.h>

#include <cmath>
#include <type_traits>

#include "rt/block.h"
#include "rt/float_guard.h"
#include "rt/realtime.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Vectors are used by their fixed-size names throughout, at most eight lanes: one equaliser band or stream in each.
template <class T>
using Tag = hn::CappedTag<T, 8>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
template <class T>
inline constexpr int lane_count = static_cast<int>(hn::MaxLanes(Tag<T>()));

// Fused where the vectors' is, so that a number and a vector give the same result.
template <class T>
  requires std::is_floating_point_v<T>
inline T MulAdd(T a, T b, T c) noexcept TR_RT {
#if HWY_NATIVE_FMA
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}
template <class T>
  requires std::is_floating_point_v<T>
inline T NegMulAdd(T a, T b, T c) noexcept TR_RT {
  return MulAdd(-a, b, c);
}
inline float Max(float a, float b) noexcept TR_RT { return a > b ? a : b; }
inline double Max(double a, double b) noexcept TR_RT { return a > b ? a : b; }
inline float Min(float a, float b) noexcept TR_RT { return a < b ? a : b; }
inline double Min(double a, double b) noexcept TR_RT { return a < b ? a : b; }
inline float Abs(float a) noexcept TR_RT { return std::abs(a); }
inline double Abs(double a) noexcept TR_RT { return std::abs(a); }
inline float Sqrt(float a) noexcept TR_RT { return std::sqrt(a); }
inline double Sqrt(double a) noexcept TR_RT { return std::sqrt(a); }

// condition > 0 ? a : b, lane by lane
inline float if_positive(float condition, float a, float b) noexcept TR_RT { return condition > 0 ? a : b; }
inline double if_positive(double condition, double a, double b) noexcept TR_RT { return condition > 0 ? a : b; }
template <class V>
HWY_INLINE V if_positive(V condition, V a, V b) noexcept TR_RT {
  return hn::IfThenElse(hn::Gt(condition, hn::Zero(hn::DFromV<V>())), a, b);
}

template <class V>
struct Broadcast {
  template <class T>
  static HWY_INLINE V of(T value) noexcept TR_RT {
    return hn::Set(hn::DFromV<V>(), static_cast<hn::TFromV<V>>(value));
  }
};
template <>
struct Broadcast<float> {
  template <class T>
  static float of(T value) noexcept TR_RT {
    return static_cast<float>(value);
  }
};
template <>
struct Broadcast<double> {
  template <class T>
  static double of(T value) noexcept TR_RT {
    return static_cast<double>(value);
  }
};

// A state, without what is next to nothing (see rt/float_guard.h).
template <class V>
HWY_INLINE V flushed(V state) noexcept TR_RT {
  if constexpr (has_float_mode) return state;
  const auto small = Broadcast<V>::of(nothing);
  return if_positive(Abs(state) - small, state, Broadcast<V>::of(0.0f));
}

// Calls work(n) for the first frame of every vector that a block touches. The memory must end on a whole vector.
template <class Work>
HWY_INLINE void each_vector(int frames, const Work& work) noexcept TR_RT {
  for (int n = 0; n < frames; n += lane_count<float>) work(n);
}

// A vector from the first `count` numbers in memory; the other lanes are 0.
HWY_INLINE Vec<float> load_some(const float* x, int count) noexcept TR_RT {
  if (count >= lane_count<float>) return hn::LoadU(Tag<float>(), x);
  alignas(32) float some[lane_count<float>] = {};
  for (int i = 0; i < count; ++i) some[i] = x[i];
  return hn::Load(Tag<float>(), some);
}
HWY_INLINE void store_some(Vec<float> v, float* x, int count) noexcept TR_RT {
  if (count >= lane_count<float>) return hn::StoreU(v, Tag<float>(), x);
  alignas(32) float some[lane_count<float>];
  hn::Store(v, Tag<float>(), some);
  for (int i = 0; i < count; ++i) x[i] = some[i];
}

// False when NaN or infinity is among the numbers.
inline bool all_finite(const float* x, int frames) noexcept TR_RT {
  const Tag<float> d;
  auto differences = hn::Zero(d);
  int n = 0;
  for (; n + lane_count<float> <= frames; n += lane_count<float>) {
    const auto v = hn::LoadU(d, x + n);
    differences = differences + (v - v);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, differences));
  for (; n < frames; ++n) sum += x[n] - x[n];
  return sum == 0.0f;
}

// The largest of the numbers, and at least 0.
inline float largest(const float* x, int frames) noexcept TR_RT {
  const Tag<float> d;
  auto maxima = hn::Zero(d);
  int n = 0;
  for (; n + lane_count<float> <= frames; n += lane_count<float>) maxima = hn::Max(maxima, hn::LoadU(d, x + n));
  float maximum = hn::GetLane(hn::MaxOfLanes(d, maxima));
  for (; n < frames; ++n) maximum = Max(maximum, x[n]);
  return maximum;
}

// The place of a frame in the ramp from the last tick's coefficients to this one's: 1 at the last frame of the tick.
template <class T>
inline T ramp_position(int frame_in_tick) noexcept TR_RT {
  return static_cast<T>(frame_in_tick + 1) / static_cast<T>(tick_frames);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
