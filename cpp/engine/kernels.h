// What the engine itself does with whole blocks, compiled for every instruction set; chosen once, with the effects.
#pragma once

#include "rt/realtime.h"

namespace twinrack {

// Peak and power of a signal over all channels; `finite` is false when a number in it is not.
struct Loudness {
  float peak = 0, power = 0;
  bool finite = true;
};

struct Kernels {
  Loudness (*measure)(const float* const* x, int channels, int frames) noexcept TR_RT;
  // From dry to y along the share, which moves by `step` each frame, within 0 ... 1, with slope 0 at its ends.
  void (*crossfade)(float* y, const float* dry, float share, float step, int frames) noexcept TR_RT;
};

const Kernels& kernels();

}  // namespace twinrack
