// The static curve of a compressor: the gain reduction in dB at a level (Giannoulis, Massberg, Reiss 2012, eq. 4, with
// a quadratic knee), at most the range; and its gradient.
#if defined(TWINRACK_DSP_DYNAMICS_GAIN_CURVE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_GAIN_CURVE_INL_H_
#undef TWINRACK_DSP_DYNAMICS_GAIN_CURVE_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_GAIN_CURVE_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <class T>
struct GainCurve {
  T threshold_db;
  T slope;    // 1 - 1/ratio
  T knee_db;  // > 0
  T range_db;
};

// Gain reduction in dB, >= 0.
template <class T>
HWY_INLINE T reduction_db(const GainCurve<T>& c, T level_db) noexcept TR_RT {
  const T half = c.knee_db * Broadcast<T>::of(0.5);
  const T over = level_db - c.threshold_db;
  const T into = over + half;
  const T knee = into * into / (c.knee_db + c.knee_db);
  const T bent = if_positive(over - half, over, knee);
  return Min(if_positive(into, c.slope * bent, Broadcast<T>::of(0)), c.range_db);
}

// Adds the gradients of the curve to `sum`, returns that of the level. At a corner the flatter side counts.
template <class T>
HWY_INLINE T reduction_back(const GainCurve<T>& c, T level_db, T grad, GainCurve<T>& sum) noexcept TR_RT {
  const T zero = Broadcast<T>::of(0), half = c.knee_db * Broadcast<T>::of(0.5);
  const T over = level_db - c.threshold_db, into = over + half, past = over - half;
  const T in_knee = into / c.knee_db, half_in_knee = in_knee * Broadcast<T>::of(0.5);  // 0 … 1 of the knee
  const T bent = if_positive(past, over, into * half_in_knee);
  const T reducing = if_positive(into, grad, zero);
  const T free = if_positive(c.range_db - c.slope * bent, reducing, zero);
  sum.range_db = sum.range_db + (reducing - free);
  sum.slope = MulAdd(free, bent, sum.slope);
  const T bent_grad = free * c.slope;
  const T over_grad = if_positive(past, bent_grad, bent_grad * in_knee);
  sum.knee_db = sum.knee_db + if_positive(past, zero, bent_grad * (half_in_knee - in_knee * half_in_knee));
  sum.threshold_db = sum.threshold_db - over_grad;
  return over_grad;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
