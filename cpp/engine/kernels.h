// What the engine itself does with whole blocks, compiled for every instruction set; chosen once, with the effects.
#pragma once

#include "rt/realtime.h"

namespace twinrack {

// Peak and power of a block over all channels; `finite` is false where it has NaN or infinity.
struct BlockLevel {
  float peak = 0, power = 0;
  bool finite = true;
};

struct Kernels {
  BlockLevel (*measure)(const float* const* x, int channels, int frames) noexcept TR_RT;
  // From dry to y along the share, which moves by `step` each frame, within 0 ... 1, with slope 0 at its ends.
  void (*crossfade)(float* y, const float* dry, float share, float step, int frames) noexcept TR_RT;
  // Adds x to y; the second one a pair through a 2 x 2 matrix, by rows.
  void (*add)(float* y, const float* x, int frames) noexcept TR_RT;
  void (*add_pair)(float* left, float* right, const float* x_left, const float* x_right, const float* matrix,
                   int frames) noexcept TR_RT;
  // Frames as files have them, in turn for all channels, to a row for each: whole numbers of 2, 3 or 4 bytes, the
  // lowest first, or floats (`bytes` is 0). Full scale becomes 1.
  void (*unpack)(const unsigned char* from, int bytes, int channels, int frames, float* const* rows) noexcept TR_RT;
};

const Kernels& kernels();

// The first frame that is NaN or infinity, or `frames`.
int first_fault(const float* x, int frames) noexcept TR_RT;

}  // namespace twinrack
