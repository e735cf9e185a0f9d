// A gain on its way to a goal, on a straight line, one step a frame; it ends exactly there.
#pragma once

#include <algorithm>

#include "rt/realtime.h"

namespace twinrack::live {

struct Ramp {
  float value = 1.0f, goal = 1.0f;

  bool still() const noexcept TR_RT { return value == goal; }
  float next(float step) noexcept TR_RT {
    value = goal > value ? std::min(goal, value + step) : std::max(goal, value - step);
    return value;
  }
};

}  // namespace twinrack::live
