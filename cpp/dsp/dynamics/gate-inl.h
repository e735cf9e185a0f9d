// The state of a gate over vectors of frames: it opens where the level reaches the upper threshold, and stays open
// while the level is at or above the lower one and for the hold time after.
#if defined(TWINRACK_DSP_DYNAMICS_GATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_GATE_INL_H_
#undef TWINRACK_DSP_DYNAMICS_GATE_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_GATE_INL_H_
#endif

#include "dsp/dynamics/gate.h"
#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// For a vector of frames, of which the first `count` are in the block.
template <class M>
HWY_INLINE M gate_open(GateState& state, M above_upper, M above_lower, int hold, int count) noexcept TR_RT {
  const Tag<float> d;
  constexpr int lanes = lane_count<float>;
  std::uint8_t upper[8] = {}, lower[8] = {}, open[8] = {};  // StoreMaskBits may write so much
  hn::StoreMaskBits(d, above_upper, upper);
  hn::StoreMaskBits(d, above_lower, lower);
  const int all = (1 << lanes) - 1;
  if (count >= lanes && state.open && (lower[0] & all) == all) {
    open[0] = static_cast<std::uint8_t>(all);
    state.since = 0;
  } else if (state.open || (upper[0] & all) != 0) {
    unsigned bits = 0;
    for (int i = 0; i < lanes && i < count; ++i) {
      const bool above = ((state.open ? lower[0] : upper[0]) >> i & 1) != 0;
      bits |= static_cast<unsigned>(gate_step(state, above, hold)) << i;
    }
    open[0] = static_cast<std::uint8_t>(bits);
  }
  return hn::LoadMaskBits(d, open);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
