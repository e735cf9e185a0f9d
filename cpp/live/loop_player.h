// Plays recordings in a loop in place of a line's input, and crossfades between what can be compared: the rack's
// output, the recording as it is, and a target, all in step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "live/linear_fade.h"
#include "rt/realtime.h"

namespace twinrack::live {

enum class Listen : int { rack, dry, target };

class LoopPlayer {
 public:
  using Channels = std::vector<std::vector<float>>;

  // Of the same length; `target` may be empty.
  void load(Channels dry, Channels target) {
    dry_ = std::move(dry);
    target_ = std::move(target);
    position_ = 0;
  }
  bool is_loaded() const noexcept TR_RT { return !dry_.empty(); }
  void listen(Listen to) noexcept TR_RT {
    rack_gain_.target = to == Listen::rack ? 1.0f : 0.0f;
    dry_gain_.target = to == Listen::dry ? 1.0f : 0.0f;
    target_gain_.target = to == Listen::target ? 1.0f : 0.0f;
  }

  void read_input(float* const* x, int channels, int frames) const noexcept TR_RT {
    const auto length = static_cast<int>(dry_.front().size());
    for (int c = 0; c < channels; ++c) {
      const auto& from = dry_[std::min(static_cast<std::size_t>(c), dry_.size() - 1)];
      for (int n = 0; n < frames; ++n) x[c][n] = from[static_cast<std::size_t>((position_ + n) % length)];
    }
  }

  // `y` is the rack's output; the recordings are delayed by the rack's latency.
  void crossfade_output(float* const* y, int channels, int frames, int latency, float step) noexcept TR_RT {
    const auto length = static_cast<int>(dry_.front().size());
    const int delay = latency % length;
    for (int n = 0; n < frames; ++n) {
      const float rack = rack_gain_.next(step), dry = dry_gain_.next(step), target = target_gain_.next(step);
      const auto at = static_cast<std::size_t>((position_ + n - delay + length) % length);
      for (int c = 0; c < channels; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        const float d = dry_[std::min(channel, dry_.size() - 1)][at];
        const float t = target_.empty() ? 0.0f : target_[std::min(channel, target_.size() - 1)][at];
        y[c][n] = rack * y[c][n] + dry * d + target * t;
      }
    }
    position_ = (position_ + frames) % length;
  }

 private:
  Channels dry_, target_;
  int position_ = 0;
  LinearFade rack_gain_{1.0f, 1.0f}, dry_gain_{0.0f, 0.0f}, target_gain_{0.0f, 0.0f};
};

}  // namespace twinrack::live
