// A delay line: written a block at a time, and read a block at a time at any age up to its length.
//
// It is a ring whose beginning is repeated after its end, so that every block lies in one piece and loops over it can
// be vectorised. Its size is not a power of two, since rings of one size would compete for the same few cache sets.
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
  static constexpr int spare = 16;  // frames after a block that a last whole vector may read or write

  // For ages of 0 … longest and blocks of at most `block` frames. A block and its spare frames lie in one piece.
  void prepare(int longest, int block) {
    guard_ = block + spare;
    size_ = longest + block + spare;
    memory_.assign(static_cast<std::size_t>(size_ + guard_), 0.0f);
    at_ = 0;
  }

  void reset() noexcept TR_RT { std::fill(memory_.begin(), memory_.end(), 0.0f); }

  // True when no sample in it is above the level.
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

  // To write the next frames in place: `open` gives the memory, where the `spare` frames after them may be overwritten
  // too, and `close` ends the block.
  float* open() noexcept TR_RT { return memory_.data() + at_; }
  void close(int frames) noexcept TR_RT {
    const int end = at_ + frames;
    if (end > size_) std::memcpy(memory_.data(), memory_.data() + size_, bytes(end - size_));
    if (at_ < guard_) {
      std::memcpy(memory_.data() + size_ + at_, memory_.data() + at_, bytes(std::min(end, guard_) - at_));
    }
    at_ = end >= size_ ? end - size_ : end;
  }

  // After a block of `frames` was written: the block that is `age` frames older.
  const float* written(int frames, int age) const noexcept TR_RT { return coming(frames + age); }

  // Before a block is written: the block that is `age` frames older than it; at most `age` frames.
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
