// The place in the control tick of an effect that changes by itself from tick to tick, whatever the blocks are.
#pragma once

#include <algorithm>

#include "rt/block.h"
#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class TickClock {
 public:
  // Calls `begin()` before the first frame of each tick, and `run(from, frames)` for the frames of each tick.
  template <class Begin, class Run>
  void pass(int frames, const Begin& begin, const Run& run) noexcept TR_RT {
    for (int from = 0; from < frames;) {
      if (frame_ == 0) begin();
      const int now = std::min(tick_frames - frame_, frames - from);
      run(from, now);
      frame_ = (frame_ + now) % tick_frames;
      from += now;
    }
  }
  // Lets time pass in which nothing changes.
  void skip(int frames) noexcept TR_RT { frame_ = (frame_ + frames) % tick_frames; }
  void reset() noexcept TR_RT { frame_ = 0; }

  void state(StateArchive& archive) { archive.bounded(frame_, 0, tick_frames - 1); }

 private:
  int frame_ = 0;
};

}  // namespace twinrack
