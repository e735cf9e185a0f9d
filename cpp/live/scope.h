// The last frames of a signal, for drawing: written by the audio thread, read now and then by others.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "rt/realtime.h"

namespace twinrack::live {

class Scope {
 public:
  static constexpr std::int64_t size = 1 << 15;

  // The mean of the channels, finite where they are, however large.
  void write(const float* const* x, int channels, int frames) noexcept TR_RT {
    const float scale = channels > 0 ? 1.0f / static_cast<float>(channels) : 0.0f;
    const std::int64_t at = written_.load(std::memory_order_relaxed);
    for (int n = 0; n < frames; ++n) {
      float sum = 0.0f;
      for (int c = 0; c < channels; ++c) sum += scale * x[c][n];
      sum = std::clamp(sum, -std::numeric_limits<float>::max(), std::numeric_limits<float>::max());
      memory_[static_cast<std::size_t>((at + n) % size)].store(sum, std::memory_order_relaxed);
    }
    written_.store(at + frames, std::memory_order_release);
  }

  // The last `frames`, at most half of `size`, oldest first; silence before the first.
  std::vector<float> last(int frames) const {
    const std::int64_t end = written_.load(std::memory_order_acquire);
    std::vector<float> samples(static_cast<std::size_t>(frames));
    for (int n = 0; n < frames; ++n) {
      const std::int64_t at = end - frames + n;
      if (at >= 0)
        samples[static_cast<std::size_t>(n)] =
            memory_[static_cast<std::size_t>(at % size)].load(std::memory_order_relaxed);
    }
    return samples;
  }

 private:
  std::vector<std::atomic<float>> memory_ = std::vector<std::atomic<float>>(static_cast<std::size_t>(size));
  std::atomic<std::int64_t> written_{0};
};

}  // namespace twinrack::live
