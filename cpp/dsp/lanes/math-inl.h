// Logarithm and exponential to base 2, sine and cosine in vectors. Error of the first two below 2e-7 (absolute for
// log2, relative for exp2), which is 2e-6 dB. log2 by the series of atanh((m-1)/(m+1)), exp2 by Taylor to the 7th power
// around the nearest integer.
#if defined(TWINRACK_DSP_LANES_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_LANES_MATH_INL_H_
#undef TWINRACK_DSP_LANES_MATH_INL_H_
#else
#define TWINRACK_DSP_LANES_MATH_INL_H_
#endif

#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Double precision is for training only and need not be quick: number by number.
template <class V>
inline constexpr bool is_double = [] {
  if constexpr (std::is_arithmetic_v<V>)
    return false;  // a number alone has functions of its own
  else
    return std::is_same_v<hn::TFromV<V>, double>;
}();
template <class V, class Function>
V one_by_one(V x, const Function& function) noexcept {
  const hn::DFromV<V> d;
  double numbers[hn::MaxLanes(d)];
  hn::StoreU(x, d, numbers);
  for (double& number : numbers) number = function(number);
  return hn::LoadU(d, numbers);
}

// x is positive and normal
template <class V>
  requires(!is_double<V>)
HWY_INLINE V log2_of(V x) noexcept TR_RT {
  const hn::DFromV<V> d;
  const hn::RebindToSigned<decltype(d)> di;
  auto bits = hn::BitCast(di, x);
  const auto exponent =
      hn::ShiftRight<23>(bits - hn::Set(di, 0x3f3504f3));  // so the mantissa is in [sqrt(1/2), sqrt(2))
  bits = bits - hn::ShiftLeft<23>(exponent);
  const V mantissa = hn::BitCast(d, bits), one = hn::Set(d, 1.0f);
  const V s = (mantissa - one) / (mantissa + one);
  const V s2 = s * s;
  V series = hn::Set(d, 0.3205988979753252f);
  for (const float next : {0.4121985831111324f, 0.5770780163555854f, 0.9617966939259756f, 2.8853900817779268f}) {
    series = MulAdd(series, s2, hn::Set(d, next));
  }
  return MulAdd(s, series, hn::ConvertTo(d, exponent));
}

// 2^x - 1 without its power of two: x = whole + f, |f| <= 1/2; returns 2^f - 1 and sets `scale` to 2^whole. What is not
// finite stays so, and is found as a fault.
template <class V>
HWY_INLINE V exp2_parts(V x, V& scale) noexcept TR_RT {
  const hn::DFromV<V> d;
  const hn::RebindToSigned<decltype(d)> di;
  const V bounded = Min(Max(x, hn::Set(d, -126.0f)), hn::Set(d, 126.0f));
  const V magic = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: rounds to the nearest integer
  const V shifted = bounded + magic, whole = shifted - magic;
  const V f = (bounded - whole) + (x - x);
  V series = hn::Set(d, 0.0000152527338040f);
  for (const float next : {0.0001540353039338f, 0.0013333558146428f, 0.0096181291076285f, 0.0555041086648216f,
                           0.2402265069591007f, 0.6931471805599453f}) {
    series = MulAdd(series, f, hn::Set(d, next));
  }
  scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted) - hn::Set(di, 0x4b400000 - 127)));
  return f * series;
}

template <class V>
  requires(!is_double<V>)
HWY_INLINE V exp2_of(V x) noexcept TR_RT {
  V scale;
  const V rest = exp2_parts(x, scale);
  return MulAdd(scale, rest, scale);
}

// One number alone goes through the same arithmetic.
inline float log2_of(float x) noexcept TR_RT { return hn::GetLane(log2_of(hn::Set(hn::CappedTag<float, 1>(), x))); }
inline float exp2_of(float x) noexcept TR_RT { return hn::GetLane(exp2_of(hn::Set(hn::CappedTag<float, 1>(), x))); }
template <class V>
  requires is_double<V>
HWY_INLINE V log2_of(V x) noexcept {
  return one_by_one(x, [](double v) { return std::log2(v); });
}
template <class V>
  requires is_double<V>
HWY_INLINE V exp2_of(V x) noexcept {
  return one_by_one(x, [](double v) { return std::exp2(v); });
}
inline double log2_of(double x) noexcept { return std::log2(x); }
inline double exp2_of(double x) noexcept { return std::exp2(x); }

// sin and cos of pi/2 x by their Taylor series to the 13th and 12th power, |x| <= 1; and sin of 2 pi x, |x| <= 1/2.
template <class V>
HWY_INLINE V series_of(V x, std::initializer_list<double> coefficients) noexcept TR_RT {
  V sum = Broadcast<V>::of(0);
  for (const double c : coefficients) sum = MulAdd(sum, x, Broadcast<V>::of(c));
  return sum;
}
template <class V>
HWY_INLINE V sine_of_quarter(V x) noexcept TR_RT {
  const V angle = x * Broadcast<V>::of(1.5707963267948966), square = angle * angle;
  const V series = series_of(square, {1.6059043836821613e-10, -2.505210838544172e-08, 2.7557319223985893e-06,
                                      -1.984126984126984e-04, 8.333333333333333e-03, -1.6666666666666666e-01});
  return MulAdd(angle * square, series, angle);
}
template <class V>
HWY_INLINE V cosine_of_quarter(V x) noexcept TR_RT {
  const V angle = x * Broadcast<V>::of(1.5707963267948966), square = angle * angle;
  return series_of(square, {2.08767569878681e-09, -2.755731922398589e-07, 2.48015873015873e-05, -1.388888888888889e-03,
                            4.1666666666666664e-02, -0.5, 1.0});
}
template <class V>
HWY_INLINE V sine_of_turn(V x) noexcept TR_RT {
  const V half = Broadcast<V>::of(0.5), zero = Broadcast<V>::of(0);
  const V folded = if_positive(Abs(x) - Broadcast<V>::of(0.25), if_positive(x, half, zero - half) - x, x);
  return sine_of_quarter(folded * Broadcast<V>::of(4));
}

inline constexpr double db_per_log2 = 6.020599913279624;  // 20 log10(2)

template <class V>
HWY_INLINE V decibels(V amplitude) noexcept TR_RT {
  return Broadcast<V>::of(db_per_log2) * log2_of(amplitude);
}

template <class V>
HWY_INLINE V amplitude(V decibels) noexcept TR_RT {
  return exp2_of(decibels * Broadcast<V>::of(1 / db_per_log2));
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
