// The smoothstep polynomial: from 0 to a height while t goes from 0 to 1, with slope 0 at both ends.
#pragma once

#include "rt/realtime.h"

namespace twinrack {

template <class T>
constexpr T smoothstep(T t, T height = T(1)) noexcept TR_RT {
  return height * t * t * (T(3) - T(2) * t);
}

}  // namespace twinrack
