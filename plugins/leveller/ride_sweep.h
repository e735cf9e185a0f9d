// A level that goes towards a goal, by at most so much a frame down and up.
#if defined(TWINRACK_PLUGINS_LEVELLER_RIDE_SWEEP_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_LEVELLER_RIDE_SWEEP_H_
#undef TWINRACK_PLUGINS_LEVELLER_RIDE_SWEEP_H_
#else
#define TWINRACK_PLUGINS_LEVELLER_RIDE_SWEEP_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct LevellerRideSweep {
  template <class V>
  struct State {
    V level;
  };
  template <class V>
  struct Settings {
    V down, up;  // a frame, both above 0
    V share;     // of the way that is gone: 1, or 0 in a pause
  };
  static constexpr int ramped_settings = 0;

  template <class V>
  static HWY_INLINE V step(State<V>& state, const Settings<V>& c, const int*, V goal) noexcept TR_RT {
    state.level = MulAdd(c.share, limited(goal - state.level, c), state.level);
    return state.level;
  }

  // At a limit the limit counts.
  template <class V>
  static HWY_INLINE V step_back(const State<V>& before, const Settings<V>& c, const int*, V goal, V y_grad,
                                State<V>& adjoint, Settings<V>& sum) {
    const V zero = Broadcast<V>::of(0);
    const V grad = y_grad + adjoint.level, distance = goal - before.level;
    sum.share = MulAdd(grad, limited(distance, c), sum.share);
    const V way = c.share * grad;
    const V not_down = if_positive(Min(distance, c.up) + c.down, way, zero);
    const V to_goal = if_positive(c.up - distance, not_down, zero);
    sum.down = sum.down - (way - not_down);
    sum.up = sum.up + (not_down - to_goal);
    adjoint.level = grad - to_goal;
    return to_goal;
  }

 private:
  template <class V>
  static HWY_INLINE V limited(V distance, const Settings<V>& c) noexcept TR_RT {
    return Max(Min(distance, c.up), Broadcast<V>::of(0) - c.down);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
