// A lookahead delay: the sound waits, so that its detector is ahead of it, or what is to be mixed with it arrives.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "dsp/delay/delay.h"
#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack {

// Whole frames, from milliseconds as float32 holds them.
inline int whole_frames(float ms, double sample_rate) noexcept TR_RT {
  return static_cast<int>(std::lround(static_cast<double>(ms) * 1e-3 * sample_rate));
}

class Lookahead {
 public:
  void prepare(int channels, int longest) {
    lines_.assign(static_cast<std::size_t>(channels), DelayLine());
    for (auto& line : lines_) line.prepare(longest, max_segment);
  }
  void reset() noexcept TR_RT {
    for (auto& line : lines_) line.reset();
  }
  void set(int frames) noexcept TR_RT { frames_ = frames; }
  int frames() const noexcept TR_RT { return frames_; }

  // The channel, delayed by `frames()`; `x` itself where that is 0.
  const float* delayed(int channel, const float* x, int frames) noexcept TR_RT {
    if (frames_ == 0) return x;
    DelayLine& line = lines_[static_cast<std::size_t>(channel)];
    line.write(x, frames);
    return line.written(frames, frames_);
  }

  void state(StateArchive& archive) { archive(lines_); }

 private:
  std::vector<DelayLine> lines_;
  int frames_ = 0;
};

}  // namespace twinrack
