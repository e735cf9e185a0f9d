// All-passes of first order in series, with feedback from the last output. Trapezoidal integration: for each, with the
// state s, d = u - s, s += b d, y = s - d; it stays calm however b, 0 to 2, moves.
#if defined(TWINRACK_PLUGINS_PHASER_STAGES_SWEEP_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_PHASER_STAGES_SWEEP_H_
#undef TWINRACK_PLUGINS_PHASER_STAGES_SWEEP_H_
#else
#define TWINRACK_PLUGINS_PHASER_STAGES_SWEEP_H_
#endif

#include <array>

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct PhaserStagesSweep {
  static constexpr int most_stages = 12;
  template <class V>
  struct State {
    V s[most_stages];
    V y;
  };
  template <class V>
  struct Settings {
    V b, feedback;
  };
  static constexpr int ramped_settings = 2;
  static constexpr std::array option_limits = {most_stages};  // how many stages

  template <class V>
  static HWY_INLINE V step(State<V>& state, const Settings<V>& c, const int* options, V x) noexcept TR_RT {
    V u = MulAdd(c.feedback, state.y, x);
    for (int i = 0; i < options[0]; ++i) {
      const V d = u - state.s[i];
      state.s[i] = MulAdd(c.b, d, state.s[i]);
      u = state.s[i] - d;
    }
    state.y = u;
    return u;
  }

  template <class V>
  static HWY_INLINE V step_back(const State<V>& before, const Settings<V>& c, const int* options, V x, V y_grad,
                                State<V>& adjoint, Settings<V>& sum) {
    V difference[most_stages];
    V u = MulAdd(c.feedback, before.y, x);
    for (int i = 0; i < options[0]; ++i) {
      difference[i] = u - before.s[i];
      u = MulAdd(c.b, difference[i], before.s[i]) - difference[i];
    }
    V grad = y_grad + adjoint.y;
    for (int i = options[0] - 1; i >= 0; --i) {
      const V state_grad = adjoint.s[i] + grad;
      sum.b = MulAdd(state_grad, difference[i], sum.b);
      grad = MulAdd(c.b, state_grad, Broadcast<V>::of(0) - grad);
      adjoint.s[i] = state_grad - grad;
    }
    sum.feedback = MulAdd(grad, before.y, sum.feedback);
    adjoint.y = c.feedback * grad;
    return grad;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
