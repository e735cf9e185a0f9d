// A gain that moves to a target in a straight line, one step a frame, and ends exactly there.
#pragma once

#include <algorithm>

#include "rt/realtime.h"

namespace twinrack::live {

struct LinearFade {
  float value = 1.0f, target = 1.0f;

  bool steady() const noexcept TR_RT { return value == target; }
  float next(float step) noexcept TR_RT {
    value = target > value ? std::min(target, value + step) : std::max(target, value - step);
    return value;
  }
};

}  // namespace twinrack::live
