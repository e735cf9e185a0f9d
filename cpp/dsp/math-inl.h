// Logarithm and exponential to base 2 that a compiler can vectorise, for the dynamics. Error below 2e-7 (absolute for
// log2, relative for exp2), which is 2e-6 dB. log2 by the series of atanh((m-1)/(m+1)), exp2 by Taylor to the 7th power
// around the nearest integer.
#if defined(TWINRACK_DSP_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_MATH_INL_H_
#undef TWINRACK_DSP_MATH_INL_H_
#else
#define TWINRACK_DSP_MATH_INL_H_
#endif

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dsp/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// x is positive and normal
inline float log2_of(float x) noexcept TR_RT {
  std::int32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;  // so that the mantissa is in [sqrt(1/2), sqrt(2))
  bits -= exponent * (1 << 23);
  float mantissa = 0;
  std::memcpy(&mantissa, &bits, sizeof bits);
  const float s = (mantissa - 1.0f) / (mantissa + 1.0f);
  const float s2 = s * s;
  const float series =
      2.8853900817779268f +
      s2 * (0.9617966939259756f + s2 * (0.5770780163555854f + s2 * (0.4121985831111324f + s2 * 0.3205988979753252f)));
  return static_cast<float>(exponent) + s * series;
}

inline float exp2_of(float x) noexcept TR_RT {
  const float low = x > -126.0f ? x : -126.0f, bounded = low < 126.0f ? low : 126.0f;
  const float shifted = bounded + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest integer
  const float whole = shifted - 12582912.0f;
  const float f = bounded - whole + (x - x);  // what is not finite stays so, and is found as a fault
  const float series =
      1.0f + f * (0.6931471805599453f +
                  f * (0.2402265069591007f +
                       f * (0.0555041086648216f +
                            f * (0.0096181291076285f +
                                 f * (0.0013333558146428f + f * (0.0001540353039338f + f * 0.0000152527338040f))))));
  const std::int32_t bits = (static_cast<std::int32_t>(whole) + 127) * (1 << 23);
  float scale = 0;
  std::memcpy(&scale, &bits, sizeof scale);
  return series * scale;
}

inline double log2_of(double x) noexcept { return std::log2(x); }
inline double exp2_of(double x) noexcept { return std::exp2(x); }

template <class T>
inline constexpr T db_per_log2 = static_cast<T>(6.020599913279624);  // 20 log10(2)

template <class T>
inline T decibels(T amplitude) noexcept TR_RT {
  return db_per_log2<T> * log2_of(amplitude);
}

template <class T>
inline T amplitude(T decibels) noexcept TR_RT {
  return exp2_of(decibels * (1 / db_per_log2<T>));
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
