// A crossfade that takes whole ticks: a position that moves one step a tick towards one of its two ends. The share of
// the last end is a smoothstep of it.
#pragma once

#include "rt/realtime.h"
#include "rt/smoothstep.h"
#include "rt/state.h"

namespace twinrack {

template <int first, int last>
class TickFade {
  static_assert(first < last);

 public:
  constexpr TickFade() : TickFade(false) {}
  explicit constexpr TickFade(bool at_last) : at_(at_last ? last : first), goal_(at_) {}

  void go(bool to_last) noexcept TR_RT { goal_ = to_last ? last : first; }
  void tick() noexcept TR_RT { at_ += (at_ < goal_) - (at_ > goal_); }
  void arrive() noexcept TR_RT { at_ = goal_; }

  bool moving() const noexcept TR_RT { return at_ != goal_; }
  bool at_first() const noexcept TR_RT { return at_ == first; }
  bool at_last() const noexcept TR_RT { return at_ == last; }
  // Of the last end, 0 … 1.
  double share() const noexcept TR_RT { return smoothstep(static_cast<double>(at_ - first) / (last - first)); }

  void state(StateArchive& archive) { archive.bounded(at_, first, last); }

 private:
  int at_, goal_;
};

}  // namespace twinrack
