// A line that remembers: written one block at a time, read a block at a time at any age up to its length. What is
// written is stored twice, one length apart, so that every block lies in one piece and loops over it can be vectorised.
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
    size_ = 1;
    while (size_ < static_cast<std::size_t>(longest + block + 4)) size_ *= 2;
    memory_.assign(2 * size_, 0.0f);
    at_ = 0;
  }

  void reset() noexcept TR_RT { std::fill(memory_.begin(), memory_.end(), 0.0f); }

  void write(const float* x, int frames) noexcept TR_RT {
    const auto count = static_cast<std::size_t>(frames);
    const std::size_t start = index(at_), first = std::min(count, size_ - start);
    for (const std::size_t copy : {std::size_t{0}, size_}) {
      std::copy_n(x, first, memory_.data() + copy + start);
      std::copy_n(x + first, count - first, memory_.data() + copy);
    }
    at_ += count;
  }

  // After `write` of `frames`: where the block lies that is `age` frames older than the one written.
  const float* written(int frames, int age) const noexcept TR_RT { return coming(frames + age); }

  // Before a write: where the frames lie that are `age` older than those written next; at most `age` of them.
  const float* coming(int age) const noexcept TR_RT {
    return memory_.data() + index(at_ - static_cast<std::size_t>(age));
  }

 private:
  std::size_t index(std::size_t at) const noexcept TR_RT { return at & (size_ - 1); }

  std::vector<float> memory_;
  std::size_t size_ = 0, at_ = 0;
};

}  // namespace twinrack
