// The curves of a saturator: memoryless functions that make odd and even harmonics. All have slope 1 at 0.
#if defined(TWINRACK_DSP_SHAPING_SHAPES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SHAPING_SHAPES_INL_H_
#undef TWINRACK_DSP_SHAPING_SHAPES_INL_H_
#else
#define TWINRACK_DSP_SHAPING_SHAPES_INL_H_
#endif

#include <cmath>

#include "dsp/lanes/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

enum class Curve : int { tanh, soft_clip, hard_clip, asymmetric, tape, fold };

template <class V>
HWY_INLINE V clamped(V x, double limit) noexcept TR_RT {
  return Max(Min(x, Broadcast<V>::of(limit)), Broadcast<V>::of(-limit));
}

// Returns x P(x^2) and sets `below` to Q(x^2), whose quotient is tanh with a relative error below 3e-8 (and 4e-7 with
// the rounding of single precision) up to 8.3, where tanh differs from 1 by no more; the coefficients are a weighted
// least-squares fit towards the smallest largest error.
template <class V>
HWY_INLINE V tanh_parts(V x, V& below) noexcept TR_RT {
  const V bounded = clamped(x, 8.3), square = bounded * bounded;
  const V up = series_of(square, {2.1798663245852966e-11, -1.4107774757295622e-08, 9.696036093196615e-06,
                                  0.0029668208137287044, 0.12961794005259256, 0.9999999728007973});
  below = series_of(square, {0.00023451778485810982, 0.023950858971864265, 0.4629510312047696, 1.0});
  return bounded * up;
}
template <class V>
HWY_INLINE V tanh_of(V x) noexcept TR_RT {
  V below;
  const V above = tanh_parts(x, below);
  return above / below;
}
inline double tanh_of(double x) noexcept TR_RT { return std::tanh(x); }

// 1 / (1 + e^-x), as exact near 1 as near 0: a recurrent network forgets by the distance to 1.
template <class V>
HWY_INLINE V sigmoid_below(V x) noexcept TR_RT {
  return Broadcast<V>::of(1) + exp2_of(clamped(x, 80.0) * Broadcast<V>::of(-1.4426950408889634));
}
template <class V>
HWY_INLINE V sigmoid_of(V x) noexcept TR_RT {
  return Broadcast<V>::of(1) / sigmoid_below(x);
}

// sigmoid_of(a) * tanh_of(b) with one division
template <class V>
HWY_INLINE V sigmoid_by_tanh(V a, V b) noexcept TR_RT {
  V below;
  const V above = tanh_parts(b, below);
  return above / (sigmoid_below(a) * below);
}

// 2 pi is taken away in two parts, the first exact in a few bits, so that large arguments keep their precision.
template <class V>
HWY_INLINE V sine_of(V x) noexcept TR_RT {
  const V bounded = clamped(x, 1e4);
  const V magic = Broadcast<V>::of(12582912.0);
  const V turns = MulAdd(bounded, Broadcast<V>::of(0.15915494309189535), magic) - magic;
  const V rest =
      NegMulAdd(turns, Broadcast<V>::of(0.0019353071795864769), NegMulAdd(turns, Broadcast<V>::of(6.28125), bounded));
  return sine_of_turn(clamped(rest * Broadcast<V>::of(0.15915494309189535), 0.5));
}
inline double sine_of(double x) noexcept TR_RT { return std::sin(x); }

template <Curve curve, class V>
HWY_INLINE V shaped(V x) noexcept TR_RT {
  const V one = Broadcast<V>::of(1);
  if constexpr (curve == Curve::tanh) {
    return tanh_of(x);
  } else if constexpr (curve == Curve::soft_clip) {  // a cubic that reaches 1 at 1.5 with slope 0
    const V y = clamped(x, 1.5);
    return NegMulAdd(y * y * y, Broadcast<V>::of(4.0 / 27.0), y);
  } else if constexpr (curve == Curve::hard_clip) {
    return clamped(x, 1.0);
  } else if constexpr (curve == Curve::asymmetric) {  // up to 1 above, to -2 below
    const V wide = if_positive(x, one, Broadcast<V>::of(2));
    return wide * tanh_of(x / wide);
  } else if constexpr (curve == Curve::tape) {
    const V y = clamped(x, 1e6);
    return y / Sqrt(MulAdd(y, y, one));
  } else {
    return sine_of(x);
  }
}

// The same for a curve chosen at run time.
template <class V>
HWY_INLINE V shaped(Curve curve, V x) noexcept TR_RT {
  switch (curve) {
    case Curve::tanh:
      return shaped<Curve::tanh>(x);
    case Curve::soft_clip:
      return shaped<Curve::soft_clip>(x);
    case Curve::hard_clip:
      return shaped<Curve::hard_clip>(x);
    case Curve::asymmetric:
      return shaped<Curve::asymmetric>(x);
    case Curve::tape:
      return shaped<Curve::tape>(x);
    case Curve::fold:
      return shaped<Curve::fold>(x);
  }
  return x;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
