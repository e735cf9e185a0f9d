// Sliding maximum (peak hold): for every frame the largest input of the last `window` frames.
//
// The maxima of the last 1, 2, 4, 8 ... inputs are kept in a row each. A row follows from the one before by a single
// maximum of two places, and any window is covered by two places of the longest row that is not longer than it: so all
// loops run over whole vectors, and the result does not depend on the block size.
#if defined(TWINRACK_DSP_DYNAMICS_SLIDING_MAXIMUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_SLIDING_MAXIMUM_INL_H_
#undef TWINRACK_DSP_DYNAMICS_SLIDING_MAXIMUM_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_SLIDING_MAXIMUM_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "dsp/lanes/lane-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class SlidingMaximum {
 public:
  void prepare(int longest) {
    rows_.clear();
    for (int length = 1; length <= longest; length *= 2) {
      const int past = std::max(length, lane_count<float>);  // how far back the next row, or the window, looks
      rows_.push_back({length, past, std::vector<float>(static_cast<std::size_t>(past + room + lane_count<float>))});
    }
    reset();
    set(1);
  }
  void reset() noexcept TR_RT {
    for (Row& row : rows_) std::fill(row.maxima.begin(), row.maxima.end(), 0.0f);
    at_ = 0;
  }
  // At most as long as `prepare` was told.
  void set(int window) noexcept TR_RT {
    window_ = window;
    widest_ = 0;
    while (widest_ + 1 < rows_.size() && rows_[widest_ + 1].length <= window) ++widest_;
  }

  // Takes over the state of another one of the same length.
  void copy(const SlidingMaximum& other) noexcept TR_RT {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      std::copy(other.rows_[i].maxima.begin(), other.rows_[i].maxima.end(), rows_[i].maxima.begin());
    }
    window_ = other.window_;
    widest_ = other.widest_;
    at_ = other.at_;
  }

  // In place; the input is at least 0. Whole vectors are read and written.
  void process(float* x, int frames) noexcept TR_RT {
    if (at_ + frames > room) begin_again();
    std::memcpy(now(rows_[0]), x, sizeof(float) * static_cast<std::size_t>(frames));
    for (std::size_t i = 0; i + 1 < rows_.size(); ++i) {
      const float* shorter = now(rows_[i]);
      larger(shorter, shorter - rows_[i].length, now(rows_[i + 1]), frames);
    }
    const Row& row = rows_[widest_];
    larger(now(row), now(row) - (window_ - row.length), x, frames);
    at_ += frames;
  }

  // True when no input in memory is above the level.
  bool below(float level) const noexcept TR_RT {
    const Row& row = rows_.back();
    return *std::max_element(now(row) - row.past, now(row)) <= level;
  }

  void state(StateArchive& archive) {
    archive(rows_);
    archive.bounded(at_, 0, room);
  }

 private:
  static constexpr int room = 2 * max_segment;  // frames until the past is moved to the beginning again

  struct Row {
    int length, past;
    std::vector<float> maxima;
    void state(StateArchive& archive) { archive(maxima); }
  };

  float* now(Row& row) noexcept TR_RT { return row.maxima.data() + row.past + at_; }
  const float* now(const Row& row) const noexcept TR_RT { return row.maxima.data() + row.past + at_; }

  static void larger(const float* a, const float* b, float* y, int frames) noexcept TR_RT {
    const Tag<float> d;
    each_vector(frames,
                [&](int n) HWY_ATTR { hn::StoreU(hn::Max(hn::LoadU(d, a + n), hn::LoadU(d, b + n)), d, y + n); });
  }

  void begin_again() noexcept TR_RT {
    for (Row& row : rows_) {
      std::memmove(row.maxima.data(), row.maxima.data() + at_, sizeof(float) * static_cast<std::size_t>(row.past));
    }
    at_ = 0;
  }

  std::vector<Row> rows_;
  std::size_t widest_ = 0;  // the longest row that is not longer than the window
  int window_ = 1, at_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
