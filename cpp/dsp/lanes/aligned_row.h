// A row of numbers that begins at a line of the cache, so that no whole vector in it lies across two of them.
#pragma once

#include <cstddef>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class AlignedRow {
 public:
  AlignedRow() = default;
  // Zeros; room for the last line as a whole.
  explicit AlignedRow(std::size_t count) : lines_((count + Line::numbers - 1) / Line::numbers) {}

  float* data() noexcept TR_RT { return lines_.data()->number; }
  const float* data() const noexcept TR_RT { return lines_.data()->number; }

  void state(StateArchive& archive) { archive(lines_); }

 private:
  struct alignas(64) Line {
    static constexpr std::size_t numbers = 16;
    float number[numbers];
  };
  std::vector<Line> lines_ = std::vector<Line>(1);
};

}  // namespace twinrack
