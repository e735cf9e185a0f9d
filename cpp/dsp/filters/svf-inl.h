// Trapezoidal state-variable filter (A. Simper, Cytomic 2013; V. Zavalishin, The Art of VA Filter Design, ch. 4).
//
// Written in increments of the two integrator states, so that float32 keeps its precision at low frequencies, where the
// usual form subtracts two numbers close to 1. g > 0 is the warped frequency, k > 0 the damping (1/Q); the filter is
// stable for every such pair, also while they change. The output mixes input, band pass and low pass by m0, m1, m2.
//
// A recursion is as slow as the path from one state to the next: here two multiply-adds. The output has three
// coefficients of its own, so in a series the next filter waits for one multiply-add only.
#if defined(TWINRACK_DSP_FILTERS_SVF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_SVF_INL_H_
#undef TWINRACK_DSP_FILTERS_SVF_INL_H_
#else
#define TWINRACK_DSP_FILTERS_SVF_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <class V>
struct Svf {
  V g, damping, step;  // damping = g + k, step = 2 g / (1 + g (g + k))
  V m0, half_m1, half_m2;
  V step_damping, step_g;      // what of each state a step takes away from it
  V from_x, from_s1, from_s2;  // the output
};

template <class V>
HWY_INLINE Svf<V> make_svf(V g, V k, V m0, V m1, V m2) noexcept TR_RT {
  const V one = Broadcast<V>::of(1), half = Broadcast<V>::of(0.5), two = Broadcast<V>::of(2);
  Svf<V> c;
  c.g = g;
  c.damping = g + k;
  c.step = (g + g) / MulAdd(g, c.damping, one);
  c.m0 = m0;
  c.half_m1 = half * m1;
  c.half_m2 = half * m2;
  c.step_damping = c.step * c.damping;
  c.step_g = c.step * g;
  c.from_x = MulAdd(c.half_m2, c.step_g, MulAdd(c.half_m1, c.step, m0));
  c.from_s1 = MulAdd(c.half_m2, c.step, c.half_m1 * (two - c.step_damping));
  c.from_s2 = NegMulAdd(c.half_m1, c.step, c.half_m2 * (two - c.step_g));
  return c;
}

template <class V>
struct SvfState {
  V s1, s2;
};

template <class V>
HWY_INLINE V svf_step(SvfState<V>& state, const Svf<V>& c, V x) noexcept TR_RT {
  const V u = x - state.s2;
  const V y = MulAdd(c.from_x, x, MulAdd(c.from_s2, state.s2, c.from_s1 * state.s1));
  const V next1 = MulAdd(c.step, u, NegMulAdd(c.step_damping, state.s1, state.s1));
  const V next2 = MulAdd(c.step_g, u, MulAdd(c.step, state.s1, state.s2));
  state.s1 = next1;
  state.s2 = next2;
  return y;
}

// Gradients with respect to what svf_step uses, while that does not change.
template <class V>
struct SvfSums {
  V from_x, from_s1, from_s2, step, step_damping, step_g;
};
template <class V>
HWY_INLINE SvfSums<V> svf_no_sums() noexcept TR_RT {
  const V zero = Broadcast<V>::of(0);
  return {zero, zero, zero, zero, zero, zero};
}

// One step backwards. `before` is the state that svf_step was given; `adjoint` holds the gradient of the state after
// the step and is turned into that of the state before. Adds to `sum`, returns the gradient of x.
template <class V>
HWY_INLINE V svf_step_back(const SvfState<V>& before, const Svf<V>& c, V x, V y_grad, SvfState<V>& adjoint,
                           SvfSums<V>& sum) noexcept TR_RT {
  const V u = x - before.s2;
  const V u_grad = MulAdd(c.step, adjoint.s1, c.step_g * adjoint.s2);
  sum.from_x = MulAdd(x, y_grad, sum.from_x);
  sum.from_s1 = MulAdd(before.s1, y_grad, sum.from_s1);
  sum.from_s2 = MulAdd(before.s2, y_grad, sum.from_s2);
  sum.step = MulAdd(before.s1, adjoint.s2, MulAdd(u, adjoint.s1, sum.step));
  sum.step_damping = NegMulAdd(before.s1, adjoint.s1, sum.step_damping);
  sum.step_g = MulAdd(u, adjoint.s2, sum.step_g);
  const V own1 = NegMulAdd(c.step_damping, adjoint.s1, adjoint.s1), own2 = adjoint.s2 - u_grad;
  adjoint.s1 = MulAdd(c.from_s1, y_grad, MulAdd(c.step, adjoint.s2, own1));
  adjoint.s2 = MulAdd(c.from_s2, y_grad, own2);
  return MulAdd(c.from_x, y_grad, u_grad);
}

// Gradients with respect to what make_svf was given.
template <class V>
struct SvfGradient {
  V g, k, m0, m1, m2;
};

template <class V>
HWY_INLINE SvfGradient<V> svf_gradient(const Svf<V>& c, const SvfSums<V>& sum) noexcept TR_RT {
  const V half = Broadcast<V>::of(0.5), one = Broadcast<V>::of(1), two = Broadcast<V>::of(2);
  SvfGradient<V> grad;
  grad.m0 = sum.from_x;
  grad.m1 = half * (MulAdd(c.step, sum.from_x - sum.from_s2, sum.from_s1 * (two - c.step_damping)));
  grad.m2 = half * (MulAdd(c.step_g, sum.from_x, MulAdd(c.step, sum.from_s1, sum.from_s2 * (two - c.step_g))));
  const V step_damping = NegMulAdd(c.half_m1, sum.from_s1, sum.step_damping);
  const V step_g = MulAdd(c.half_m2, sum.from_x - sum.from_s2, sum.step_g);
  const V direct = MulAdd(c.half_m1, sum.from_x - sum.from_s2, MulAdd(c.half_m2, sum.from_s1, sum.step));
  const V step = MulAdd(c.g, step_g, MulAdd(c.damping, step_damping, direct));
  // step = 2g / (1 + g d):  its slope is 2 / (1 + g d)^2 in g and -step^2 / 2 in d
  const V inverse = one / MulAdd(c.g, c.damping, one);
  grad.k = NegMulAdd(half * c.step * c.step, step, c.step * step_damping);
  grad.g = MulAdd(two * inverse * inverse, step, MulAdd(c.step, step_g, grad.k));
  return grad;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
