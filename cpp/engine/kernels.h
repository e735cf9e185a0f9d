// The engine's own loops over whole blocks, compiled for every instruction set and chosen once, as the effects are.
#pragma once

#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack {

// Peak and power of a block over all channels; `finite` is false where it has NaN or infinity.
struct BlockLevel {
  float peak = 0, power = 0;
  bool finite = true;
};

struct Kernels {
  BlockLevel (*measure)(const float* const* x, int channels, int frames) noexcept TR_RT;
  // Crossfades from dry to y, in y: `position` moves by `step` each frame, and its smoothstep within 0 ... 1 is the
  // mix.
  void (*crossfade)(float* y, const float* dry, float position, float step, int frames) noexcept TR_RT;
  // Adds x to y; `add_pair` adds two channels through a 2 x 2 matrix, given by rows.
  void (*add)(float* y, const float* x, int frames) noexcept TR_RT;
  void (*add_pair)(float* left, float* right, const float* x_left, const float* x_right, const float* matrix,
                   int frames) noexcept TR_RT;
  // Samples that are next to nothing become zero (rt/float_guard.h).
  void (*flush)(float* const* x, int channels, int frames) noexcept TR_RT;
  // Streams side by side (`StreamBlock`). `lanes`: how many of them, at most max_streams. `to_streams` takes a row for
  // each lane, `from_streams` writes one; `from_streams_past_caches` does so for much that is not read again soon, and
  // `finish_past_caches` stands before another thread may read it. `measure_streams`: the peak of each lane over all
  // channels, NaN or infinity where a sample is.
  int lanes;
  void (*to_streams)(const float* const* rows, float* x, int frames) noexcept TR_RT;
  void (*from_streams)(const float* x, float* const* rows, int frames) noexcept TR_RT;
  void (*from_streams_past_caches)(const float* x, float* const* rows, int frames) noexcept TR_RT;
  void (*finish_past_caches)() noexcept TR_RT;
  void (*measure_streams)(const StreamBlock& x, float* peaks) noexcept TR_RT;
  // From interleaved samples as in files to a row for each channel: little-endian integers of 2, 3 or 4 bytes, or
  // floats
  // (`bytes` is 0). Full scale becomes 1.
  void (*unpack)(const unsigned char* from, int bytes, int channels, int frames, float* const* rows) noexcept TR_RT;
};

const Kernels& kernels();

// The first frame that is NaN or infinity, or `frames`.
int first_fault(const float* x, int frames) noexcept TR_RT;

}  // namespace twinrack
