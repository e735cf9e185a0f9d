// Recordings that are heard in a loop in place of an input: what goes through the rack, and what it should sound like.
// What is heard of them fades from one to the other: the rack's sound, the recording as it is, or the target, in step.
#pragma once

#include <algorithm>
#include <vector>

#include "live/ramp.h"
#include "rt/realtime.h"

namespace twinrack::live {

class Player {
 public:
  using Recording = std::vector<std::vector<float>>;

  // As long as each other; `target` may be empty.
  void load(Recording dry, Recording target) {
    dry_ = std::move(dry);
    target_ = std::move(target);
    place_ = 0;
  }
  bool plays() const noexcept TR_RT { return !dry_.empty(); }
  // 0 the rack, 1 dry, 2 the target.
  void listen(int to) noexcept TR_RT {
    for (int i = 0; i < 3; ++i) shares_[i].goal = i == to ? 1.0f : 0.0f;
  }

  void input(float* const* x, int channels, int frames) const noexcept TR_RT {
    const auto length = static_cast<int>(dry_.front().size());
    for (int c = 0; c < channels; ++c) {
      const auto& from = dry_[std::min(static_cast<std::size_t>(c), dry_.size() - 1)];
      for (int n = 0; n < frames; ++n) x[c][n] = from[static_cast<std::size_t>((place_ + n) % length)];
    }
  }

  // The recordings as they are wait as long as the rack holds its sound back.
  void output(float* const* y, int channels, int frames, int latency, float step) noexcept TR_RT {
    const auto length = static_cast<int>(dry_.front().size());
    const int late = latency % length;
    for (int n = 0; n < frames; ++n) {
      const float rack = shares_[0].next(step), dry = shares_[1].next(step), target = shares_[2].next(step);
      const auto at = static_cast<std::size_t>((place_ + n - late + length) % length);
      for (int c = 0; c < channels; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        const float d = dry_[std::min(channel, dry_.size() - 1)][at];
        const float t = target_.empty() ? 0.0f : target_[std::min(channel, target_.size() - 1)][at];
        y[c][n] = rack * y[c][n] + dry * d + target * t;
      }
    }
    place_ = (place_ + frames) % length;
  }

 private:
  Recording dry_, target_;
  int place_ = 0;
  Ramp shares_[3] = {{1.0f, 1.0f}, {0.0f, 0.0f}, {0.0f, 0.0f}};
};

}  // namespace twinrack::live
