// A delay that goes to another one at no more than a speed: with one frame of it a frame, the pitch of what is read
// doubles at most, or stands. The speed itself changes over 32 ticks, of which the mean is taken.
#pragma once

#include <algorithm>
#include <array>

#include "rt/block.h"
#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class GlidingDelay {
 public:
  // At every tick at which something moves, in frames; the way of a tick is at most `most`.
  void go(double target, double most) noexcept TR_RT {
    const double last = past_[0];
    std::copy_backward(past_.begin(), past_.end() - 1, past_.end());
    past_[0] = last + std::clamp(target - last, -most, most);
    target_ = target;
    from_ = to_;
    to_ = mean();
  }
  void arrive() noexcept TR_RT {
    past_.fill(target_);
    from_ = to_ = target_;
  }
  bool moving() const noexcept TR_RT { return from_ != to_ || to_ != target_; }
  bool rests_at(double delay) const noexcept TR_RT { return to_ == delay && from_ == delay; }

  // At a frame of the tick, and of those after it.
  double operator[](int frame) const noexcept TR_RT {
    const double share = static_cast<double>(std::min(frame, tick_frames - 1) + 1) / tick_frames;
    return from_ + (to_ - from_) * share;
  }

  void state(StateArchive& archive, double longest) {
    for (double* end : {&from_, &to_}) archive.bounded(*end, 0.0, longest);
    for (double& delay : past_) archive.bounded(delay, 0.0, longest);
  }

 private:
  double mean() const noexcept TR_RT {
    if (std::all_of(past_.begin(), past_.end(), [&](double delay) { return delay == past_[0]; })) return past_[0];
    double sum = 0.0;
    for (const double delay : past_) sum += delay;
    return sum / static_cast<double>(past_.size());
  }

  std::array<double, 32> past_{};  // the limited way, the last tick first
  double from_ = 0, to_ = 0, target_ = 0;
};

}  // namespace twinrack
