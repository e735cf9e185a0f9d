// A wait-free ring buffer of multichannel frames between one writing and one reading thread. `write` fails when the
// buffer is full, and `read` returns what is available.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <vector>

#include "rt/realtime.h"

namespace twinrack {

class FrameRing {
 public:
  FrameRing(int channels, int frames)
      : channels_(static_cast<std::size_t>(channels)),
        frames_(static_cast<std::size_t>(frames)),
        memory_(channels_ * frames_) {}

  int channels() const noexcept { return static_cast<int>(channels_); }
  int filled() const noexcept TR_RT {
    return static_cast<int>(written_.load(std::memory_order_acquire) - read_.load(std::memory_order_acquire));
  }

  // Planar, `at(channel)` a pointer to its frames; all of them or none.
  template <class At>
  bool write(const At& at, int frames) noexcept TR_RT {
    const std::size_t begin = written_.load(std::memory_order_relaxed);
    const auto count = static_cast<std::size_t>(frames);
    if (begin - read_.load(std::memory_order_acquire) + count > frames_) return false;
    for (std::size_t c = 0; c < channels_; ++c) {
      const float* from = at(static_cast<int>(c));
      for (std::size_t n = 0; n < count; ++n) memory_[(begin + n) % frames_ * channels_ + c] = from[n];
    }
    written_.store(begin + count, std::memory_order_release);
    return true;
  }

  // Interleaved, at most `frames`; returns how many.
  int read(float* to, int frames) noexcept TR_RT {
    const std::size_t begin = read_.load(std::memory_order_relaxed);
    const std::size_t available = written_.load(std::memory_order_acquire) - begin;
    const std::size_t count = std::min(available, static_cast<std::size_t>(frames));
    for (std::size_t n = 0; n < count; ++n) {
      const float* from = memory_.data() + (begin + n) % frames_ * channels_;
      std::copy_n(from, channels_, to + n * channels_);
    }
    read_.store(begin + count, std::memory_order_release);
    return static_cast<int>(count);
  }

 private:
  std::size_t channels_, frames_;
  std::vector<float> memory_;
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

}  // namespace twinrack
