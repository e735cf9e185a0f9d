// Level followers with separate attack and release (Giannoulis, Massberg, Reiss, JAES 60(6), 2012, section 2.3), and
// their backward steps.
//
// Branching: one pole whose coefficient depends on the direction. Decoupled: a peak that falls with the release,
// smoothed with the attack. Two stages (F. Adriaensen, zita-dc1, 2010): smoothed with the attack, and held up by a peak
// that falls to 0 with the release and by a level that follows this peak with the release.
//
// The branching step needs no comparison between one state and the next: the quicker pole is ahead in either direction,
// so it is the larger of both results when the attack is the quicker one, else the smaller.
#if defined(TWINRACK_DSP_DYNAMICS_FOLLOWER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_FOLLOWER_INL_H_
#undef TWINRACK_DSP_DYNAMICS_FOLLOWER_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_FOLLOWER_INL_H_
#endif

#include <cmath>

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <class V>
struct FollowerState {
  V peak, level;  // branching uses `level` only
};

// One-pole coefficients. (Not attack and release: in a gate the reduction rises with the release.)
template <class V>
struct FollowerCoefficients {
  V rise, fall;
};

// 1 - exp(-1 / (time constant x sample rate)).
template <class T>
inline T one_pole_coefficient(T time_ms, double sample_rate) noexcept TR_RT {
  return static_cast<T>(-std::expm1(-1.0 / (static_cast<double>(time_ms) * 1e-3 * sample_rate)));
}

// Where it is known which one is quicker.
template <bool quick_attack, class V>
HWY_INLINE V branching_step(FollowerState<V>& state, const FollowerCoefficients<V>& c, V x) noexcept TR_RT {
  const V difference = x - state.level;
  const V up = MulAdd(c.rise, difference, state.level), down = MulAdd(c.fall, difference, state.level);
  state.level = quick_attack ? Max(up, down) : Min(up, down);
  return state.level;
}

template <class V>
HWY_INLINE V branching_step(FollowerState<V>& state, const FollowerCoefficients<V>& c, V x) noexcept TR_RT {
  FollowerState<V> slow = state;
  branching_step<true>(state, c, x);
  branching_step<false>(slow, c, x);
  state.level = if_positive(c.rise - c.fall, state.level, slow.level);
  return state.level;
}

// Calls use(step) with the step for these coefficients.
template <class Use>
HWY_INLINE void with_branching(const FollowerCoefficients<float>& c, const Use& use) noexcept TR_RT {
  if (c.rise >= c.fall) {
    use([](auto& state, const auto& c, auto x) HWY_ATTR { return branching_step<true>(state, c, x); });
  } else {
    use([](auto& state, const auto& c, auto x) HWY_ATTR { return branching_step<false>(state, c, x); });
  }
}

// One time constant for both directions.
template <class V>
HWY_INLINE V smoothing_step(V& level, V coefficient, V x) noexcept TR_RT {
  level = MulAdd(coefficient, x - level, level);
  return level;
}

template <class V>
HWY_INLINE V decoupled_step(FollowerState<V>& state, const FollowerCoefficients<V>& c, V x) noexcept TR_RT {
  state.peak = Max(x, MulAdd(c.fall, x - state.peak, state.peak));
  state.level = MulAdd(c.rise, state.peak - state.level, state.level);
  return state.level;
}

// `smoothed` is a state as well.
template <class V>
HWY_INLINE V two_stage_step(V& smoothed, FollowerState<V>& state, const FollowerCoefficients<V>& c,
                            V x) noexcept TR_RT {
  smoothed = MulAdd(c.rise, x - smoothed, smoothed);
  state.peak = Max(smoothed, NegMulAdd(c.fall, state.peak, state.peak));
  state.level = Max(smoothed, MulAdd(c.fall, state.peak - state.level, state.level));
  return state.level;
}

// One step backwards; `adjoint` goes from the state after to the state before, `sum` collects the gradients of rise and
// fall, the gradient of x is returned. At the switching point the branch that was taken counts.
template <class V>
HWY_INLINE V branching_step_back(const FollowerState<V>& before, const FollowerCoefficients<V>& c, V x, V y_grad,
                                 FollowerState<V>& adjoint, FollowerCoefficients<V>& sum) noexcept TR_RT {
  const V zero = Broadcast<V>::of(0);
  const V difference = x - before.level;
  const V grad = adjoint.level + y_grad;
  const V x_grad = if_positive(difference, c.rise, c.fall) * grad;
  sum.rise = sum.rise + if_positive(difference, difference * grad, zero);
  sum.fall = sum.fall + if_positive(difference, zero, difference * grad);
  adjoint.level = grad - x_grad;
  return x_grad;
}

template <class V>
HWY_INLINE V decoupled_step_back(const FollowerState<V>& before, const FollowerCoefficients<V>& c, V x, V y_grad,
                                 FollowerState<V>& adjoint, FollowerCoefficients<V>& sum) noexcept TR_RT {
  const V zero = Broadcast<V>::of(0);
  const V fallen = MulAdd(c.fall, x - before.peak, before.peak);
  const V peak = Max(x, fallen);
  const V level_grad = adjoint.level + y_grad;
  sum.rise = MulAdd(level_grad, peak - before.level, sum.rise);
  const V peak_grad = MulAdd(c.rise, level_grad, adjoint.peak);
  const V to_x = if_positive(x - fallen, peak_grad, zero);
  const V to_fallen = peak_grad - to_x;
  sum.fall = MulAdd(to_fallen, x - before.peak, sum.fall);
  adjoint.peak = NegMulAdd(c.fall, to_fallen, to_fallen);
  adjoint.level = NegMulAdd(c.rise, level_grad, level_grad);
  return MulAdd(c.fall, to_fallen, to_x);
}

template <class V>
HWY_INLINE V two_stage_step_back(V smoothed_before, const FollowerState<V>& before, const FollowerCoefficients<V>& c,
                                 V x, V y_grad, V& smoothed_adjoint, FollowerState<V>& adjoint,
                                 FollowerCoefficients<V>& sum) noexcept TR_RT {
  const V zero = Broadcast<V>::of(0);
  const V difference = x - smoothed_before;
  const V smoothed = MulAdd(c.rise, difference, smoothed_before);
  const V fallen = NegMulAdd(c.fall, before.peak, before.peak);
  const V peak = Max(smoothed, fallen);
  const V to_peak = peak - before.level;
  const V followed = MulAdd(c.fall, to_peak, before.level);
  const V level_grad = adjoint.level + y_grad;
  const V level_to_smoothed = if_positive(smoothed - followed, level_grad, zero);
  const V to_followed = level_grad - level_to_smoothed;
  sum.fall = MulAdd(to_followed, to_peak, sum.fall);
  adjoint.level = NegMulAdd(c.fall, to_followed, to_followed);
  const V peak_grad = MulAdd(c.fall, to_followed, adjoint.peak);
  const V peak_to_smoothed = if_positive(smoothed - fallen, peak_grad, zero);
  const V to_fallen = peak_grad - peak_to_smoothed;
  sum.fall = NegMulAdd(to_fallen, before.peak, sum.fall);
  adjoint.peak = NegMulAdd(c.fall, to_fallen, to_fallen);
  const V smoothed_grad = smoothed_adjoint + level_to_smoothed + peak_to_smoothed;
  sum.rise = MulAdd(smoothed_grad, difference, sum.rise);
  const V x_grad = c.rise * smoothed_grad;
  smoothed_adjoint = smoothed_grad - x_grad;
  return x_grad;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
