// The sweep of the level follower. Settings: rise and fall, held; option: decoupled.
#if defined(TWINRACK_ADJOINT_FOLLOWER_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FOLLOWER_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_FOLLOWER_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_FOLLOWER_SWEEP_INL_H_
#endif

#include <array>

#include "dsp/dynamics/follower-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct FollowerSweep {
  template <class V>
  using State = FollowerState<V>;
  template <class V>
  using Settings = FollowerCoefficients<V>;
  static constexpr int ramped_settings = 0;
  static constexpr std::array option_limits = {1};

  template <class V>
  static HWY_INLINE V step(State<V>& state, const Settings<V>& settings, const int* options, V x) {
    return options[0] != 0 ? decoupled_step(state, settings, x) : branching_step(state, settings, x);
  }
  template <class V>
  static HWY_INLINE V step_back(const State<V>& before, const Settings<V>& settings, const int* options, V x, V y_grad,
                                State<V>& adjoint, Settings<V>& sum) {
    return options[0] != 0 ? decoupled_step_back(before, settings, x, y_grad, adjoint, sum)
                           : branching_step_back(before, settings, x, y_grad, adjoint, sum);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
