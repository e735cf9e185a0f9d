// A line that remembers: written one block at a time, read at any age up to its length.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "rt/realtime.h"

namespace twinrack {

class DelayLine {
 public:
  // Holds ages 0 … longest while a block of at most `block` frames is written.
  void prepare(int longest, int block) {
    std::size_t size = 1;
    while (size < static_cast<std::size_t>(longest + block + 4)) size *= 2;
    memory_.assign(size, 0.0f);
    at_ = 0;
  }

  void reset() noexcept TR_RT { std::fill(memory_.begin(), memory_.end(), 0.0f); }

  void write(const float* x, int frames) noexcept TR_RT {
    for (int n = 0; n < frames; ++n) memory_[index(at_ + static_cast<std::size_t>(n))] = x[n];
    at_ += static_cast<std::size_t>(frames);
  }

  void push(float x) noexcept TR_RT { memory_[index(at_++)] = x; }

  // The sample that is `age` frames older than the one pushed next.
  float before_push(int age) const noexcept TR_RT { return memory_[index(at_ - static_cast<std::size_t>(age))]; }

  // After `write` of `frames`: what was in the line `age` frames before frame n of that block.
  float read(int frames, int n, int age) const noexcept TR_RT {
    return memory_[index(at_ - static_cast<std::size_t>(frames - n + age))];
  }

 private:
  std::size_t index(std::size_t at) const noexcept TR_RT { return at & (memory_.size() - 1); }

  std::vector<float> memory_;
  std::size_t at_ = 0;
};

}  // namespace twinrack
