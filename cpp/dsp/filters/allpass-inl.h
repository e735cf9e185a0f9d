// Schroeder's all-pass: y[n] = x[n - D] - g v[n], v[n] = x[n] + g v[n - D]; all frequencies pass at the same level,
// smeared in time (M. R. Schroeder, Natural sounding artificial reverberation, JAES 10(3), 1962). v is what the delay
// remembers.
#if defined(TWINRACK_DSP_FILTERS_ALLPASS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_ALLPASS_INL_H_
#undef TWINRACK_DSP_FILTERS_ALLPASS_INL_H_
#else
#define TWINRACK_DSP_FILTERS_ALLPASS_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// `delayed` is v[n - D]; returns v[n] and sets y.
template <class V>
HWY_INLINE V allpass_step(V g, V delayed, V x, V& y) noexcept TR_RT {
  const V v = MulAdd(g, delayed, x);
  y = NegMulAdd(g, v, delayed);
  return v;
}

// `v_grad` is the gradient that v[n] gets from the future; returns that of v[n - D], sets that of x, adds to that of g.
template <class V>
HWY_INLINE V allpass_step_back(V g, V delayed, V x, V y_grad, V v_grad, V& x_grad, V& g_sum) noexcept TR_RT {
  const V v = MulAdd(g, delayed, x);
  const V total = NegMulAdd(g, y_grad, v_grad);
  g_sum = g_sum + delayed * total - v * y_grad;
  x_grad = total;
  return MulAdd(g, total, y_grad);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
