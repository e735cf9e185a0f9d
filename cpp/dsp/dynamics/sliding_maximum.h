// Sliding maximum (peak hold): for every frame the largest input of the last `window` frames, in constant time.
//
// Time is cut into chunks of 16 frames on a grid of its own, so the result does not depend on the block size. The
// window covers the end of one chunk (suffix maxima), whole chunks (the middle), and the beginning of the present one
// (a prefix maximum).
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class SlidingMaximum {
 public:
  static constexpr int shortest = 17;

  void prepare(int longest) {
    chunks_ = longest / chunk + 3;
    suffix_.assign(static_cast<std::size_t>(chunks_) * chunk, 0.0f);
    reset();
  }
  void reset() noexcept TR_RT {
    std::fill(suffix_.begin(), suffix_.end(), 0.0f);
    filled_ = now_ = 0;
    prefix_ = middle_ = 0.0f;
    update_middle();
  }
  void set(int window) noexcept TR_RT {
    if (window == window_) return;
    window_ = std::max(window, shortest);
    update_middle();
  }

  // Takes over the state of another one of the same length.
  void copy(const SlidingMaximum& other) noexcept TR_RT {
    std::copy(other.suffix_.begin(), other.suffix_.end(), suffix_.begin());
    window_ = other.window_;
    first_ago_ = other.first_ago_;
    now_ = other.now_;
    filled_ = other.filled_;
    prefix_ = other.prefix_;
    middle_ = other.middle_;
  }

  // In place; the input is at least 0.
  void process(float* x, int frames) noexcept TR_RT {
    for (int n = 0; n < frames;) {
      // The window begins inside a chunk, of which it covers less with every frame, and then in the next chunk.
      const int into = filled_ - window_ + 1 + first_ago_ * chunk;
      const bool first = into < chunk;
      const float* oldest = first ? at(first_ago_) + into : at(first_ago_ - 1) + into - chunk;
      const float whole = first && first_ago_ > 1 ? std::max(middle_, at(first_ago_ - 1)[0]) : middle_;
      const int count = std::min({frames - n, chunk - filled_, first ? chunk - into : chunk});
      float* present = suffix_.data() + now_ * chunk + filled_;
      float prefix = prefix_;
      for (int i = 0; i < count; ++i) {
        const float input = x[n + i];
        present[i] = input;
        prefix = prefix > input ? prefix : input;
        const float covered = whole > oldest[i] ? whole : oldest[i];
        x[n + i] = prefix > covered ? prefix : covered;
      }
      prefix_ = prefix;
      filled_ += count;
      n += count;
      if (filled_ == chunk) next_chunk();
    }
  }

  // True when no input in memory is above the level.
  bool below(float level) const noexcept TR_RT {
    float most = prefix_;
    for (const float x : suffix_) most = std::max(most, x);
    return most <= level;
  }

  void state(StateArchive& archive) {
    archive(suffix_, prefix_, middle_);
    archive.bounded(now_, 0, chunks_ - 1);
    archive.bounded(filled_, 0, chunk - 1);
  }

 private:
  static constexpr int chunk = shortest - 1;

  const float* at(int chunks_ago) const noexcept TR_RT {
    int which = now_ - chunks_ago;
    if (which < 0) which += chunks_;
    return suffix_.data() + which * chunk;
  }
  // At the end of a chunk: each of its numbers becomes the maximum from there to the chunk's end.
  void next_chunk() noexcept TR_RT {
    float* ended = suffix_.data() + now_ * chunk;
    for (int i = chunk - 2; i >= 0; --i) ended[i] = std::max(ended[i], ended[i + 1]);
    now_ = now_ + 1 == chunks_ ? 0 : now_ + 1;
    filled_ = 0;
    prefix_ = 0.0f;
    update_middle();
  }
  // The maximum of the chunks that lie wholly inside the window for all frames of the present chunk.
  void update_middle() noexcept TR_RT {
    middle_ = 0.0f;
    first_ago_ = (chunk - 2 + window_) / chunk;
    for (int ago = 1; ago <= first_ago_ - 2; ++ago) middle_ = std::max(middle_, at(ago)[0]);
  }

  std::vector<float> suffix_ = std::vector<float>(4 * chunk, 0.0f);
  int chunks_ = 4, window_ = chunk + 1, first_ago_ = 1, now_ = 0, filled_ = 0;
  float prefix_ = 0, middle_ = 0;
};

}  // namespace twinrack
