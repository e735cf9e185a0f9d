// A line that remembers: written one block at a time, read a block at a time at any age up to its length. A ring whose
// beginning stands once more after its end, so that every block lies in one piece and loops over it can be vectorised.
// The size is no power of two: rings of one size would all fall onto the same few places of the cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class DelayLine {
 public:
  static constexpr int spare = 16;  // frames after a block that may be read or written in passing

  // Holds ages 0 … longest while a block of at most `block` frames is written. So many, and the spare ones, lie in one
  // piece.
  void prepare(int longest, int block) {
    guard_ = block + spare;
    size_ = longest + block + spare;
    memory_.assign(static_cast<std::size_t>(size_ + guard_), 0.0f);
    at_ = 0;
  }

  void reset() noexcept TR_RT { std::fill(memory_.begin(), memory_.end(), 0.0f); }

  // True when nothing in it is larger.
  bool below(float level) const noexcept TR_RT {
    for (int start = 0; start < size_; start += 64) {
      float most = 0.0f;
      for (int n = start; n < std::min(start + 64, size_); ++n) {
        most = std::max(most, std::abs(memory_[static_cast<std::size_t>(n)]));
      }
      if (most > level) return false;
    }
    return true;
  }

  void write(const float* x, int frames) noexcept TR_RT {
    std::memcpy(open(), x, bytes(frames));
    close(frames);
  }

  // The next frames may also be written where they belong: `frames` of them, and anything in the `spare` ones after.
  float* open() noexcept TR_RT { return memory_.data() + at_; }
  void close(int frames) noexcept TR_RT {
    const int end = at_ + frames;
    if (end > size_) std::memcpy(memory_.data(), memory_.data() + size_, bytes(end - size_));
    if (at_ < guard_) {
      std::memcpy(memory_.data() + size_ + at_, memory_.data() + at_, bytes(std::min(end, guard_) - at_));
    }
    at_ = end >= size_ ? end - size_ : end;
  }

  // After `write` of `frames`: where the block lies that is `age` frames older than the one written.
  const float* written(int frames, int age) const noexcept TR_RT { return coming(frames + age); }

  // Before a write: where the frames lie that are `age` older than those written next; at most `age` of them.
  const float* coming(int age) const noexcept TR_RT {
    const int at = at_ - age;
    return memory_.data() + (at < 0 ? at + size_ : at);
  }

  void state(StateArchive& archive) {
    archive(memory_);
    archive.bounded(at_, 0, std::max(size_ - 1, 0));
  }

 private:
  static std::size_t bytes(int frames) noexcept TR_RT { return sizeof(float) * static_cast<std::size_t>(frames); }

  std::vector<float> memory_;
  int size_ = 0, guard_ = 0, at_ = 0;
};

}  // namespace twinrack
