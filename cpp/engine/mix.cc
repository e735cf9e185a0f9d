#include "engine/mix.h"

#include <algorithm>

#include "engine/kernels.h"

namespace twinrack {

void mix(std::span<const MixSource> sources, float* const* y, int channels, int frames) {
  constexpr int piece = 1024;  // stays in the nearest cache while all sources are added
  const Kernels& kernel = kernels();
  for (int start = 0; start < frames; start += piece) {
    const int end = std::min(start + piece, frames);
    for (int c = 0; c < channels; ++c) std::fill(y[c] + start, y[c] + end, 0.0f);
    for (const MixSource& source : sources) {
      const int first = frames - source.frames, from = std::max(start, first), count = end - from, at = from - first;
      if (count <= 0) continue;
      const float* const* x = source.channel;
      if (source.matrix != nullptr) {
        kernel.add_pair(y[0] + from, y[1] + from, x[0] + at, x[1] + at, source.matrix, count);
      } else {
        for (int c = 0; c < channels; ++c) kernel.add(y[c] + from, x[c] + at, count);
      }
    }
  }
}

}  // namespace twinrack
