// Trapezoidal state-variable filter (A. Simper, Cytomic 2013; V. Zavalishin, The Art of VA Filter Design, ch. 4).
//
// Written in increments of the two integrator states, so that float32 keeps its precision at low frequencies, where the
// usual form subtracts two numbers close to 1. g > 0 is the warped frequency, k > 0 the damping (1/Q); the filter is
// stable for every such pair, also while they change. The output mixes input, band pass and low pass by m0, m1, m2.
//
// A recursion is as slow as the way from a state to the next one: here two multiply-adds. The output is gathered to
// three coefficients, so in a series the next filter waits for one multiply-add only.
#if defined(TWINRACK_DSP_SVF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SVF_INL_H_
#undef TWINRACK_DSP_SVF_INL_H_
#else
#define TWINRACK_DSP_SVF_INL_H_
#endif

#include "dsp/lane-inl.h"

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

// Gradients with respect to what make_svf was given.
template <class V>
struct SvfGradient {
  V g, k, m0, m1, m2;
};

// One step backwards. `before` is the state that svf_step was given; `adjoint` holds the gradient of the state after
// the step and is turned into that of the state before. Adds to `sum`, returns the gradient of x.
template <class V>
HWY_INLINE V svf_step_back(const SvfState<V>& before, const Svf<V>& c, V x, V y_grad, SvfState<V>& adjoint,
                           SvfGradient<V>& sum) noexcept TR_RT {
  const V half = Broadcast<V>::of(0.5);
  const V u = x - before.s2;
  const V e1 = NegMulAdd(c.damping, before.s1, u);
  const V e2 = MulAdd(c.g, u, before.s1);
  const V next1 = MulAdd(c.step, e1, before.s1);
  const V next2 = MulAdd(c.step, e2, before.s2);
  const V y_half = half * y_grad;

  const V from_y1 = c.half_m1 * y_grad, from_y2 = c.half_m2 * y_grad;
  const V next1_grad = adjoint.s1 + from_y1, next2_grad = adjoint.s2 + from_y2;
  const V e1_grad = c.step * next1_grad, e2_grad = c.step * next2_grad;
  const V u_grad = MulAdd(c.g, e2_grad, e1_grad);

  const V step_grad = MulAdd(next1_grad, e1, next2_grad * e2);
  // step = 2g / (1 + g d):  its slope is 2 / (1 + g d)^2 in g and -step^2 / 2 in d;  2 / (1 + g d) = step / g
  const V one = Broadcast<V>::of(1);
  const V a = one / MulAdd(c.g, c.damping, one);
  const V damping_grad = Broadcast<V>::of(0) - before.s1 * e1_grad - half * c.step * c.step * step_grad;
  sum.g = sum.g + u * e2_grad + (a + a) * a * step_grad + damping_grad;
  sum.k = sum.k + damping_grad;
  sum.m0 = MulAdd(x, y_grad, sum.m0);
  sum.m1 = MulAdd(before.s1 + next1, y_half, sum.m1);
  sum.m2 = MulAdd(before.s2 + next2, y_half, sum.m2);

  adjoint.s1 = next1_grad + from_y1 + e2_grad - c.damping * e1_grad;
  adjoint.s2 = next2_grad + from_y2 - u_grad;
  return MulAdd(c.m0, y_grad, u_grad);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
