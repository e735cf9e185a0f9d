// One step of a gate's state, for the engine and the twin.
#pragma once

#include <cstdint>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

struct GateState {
  bool open = false;
  int since = 0;  // frames since the level was last above
  void state(StateArchive& archive) { archive(open, since); }
};

// `above`: the level is at or above the upper threshold, or, while open, the lower one.
inline bool gate_step(GateState& state, bool above, int hold) noexcept TR_RT {
  state.since = above ? 0 : state.since + 1;
  state.open = above || (state.open && state.since <= hold);
  return state.open;
}

}  // namespace twinrack
