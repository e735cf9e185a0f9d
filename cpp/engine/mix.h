// The sum of signals, each as it is or through a 2 x 2 matrix.
#pragma once

#include <span>

#include "rt/block.h"

namespace twinrack {

struct MixSource {
  const float* channel[max_channels];
  int frames;
  const float* matrix;  // four numbers by rows, for two channels; null for none
};

// Writes y. A source that is shorter than y ends where y ends.
void mix(std::span<const MixSource> sources, float* const* y, int channels, int frames);

}  // namespace twinrack
