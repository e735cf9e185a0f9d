// A parameter's glide to a new value: a smoothstep in the parameter's own scale, one step a tick, that ends exactly at
// the value. (The corners of a straight line would click where the range is wide.)
#pragma once

#include <algorithm>
#include <cmath>

#include "rt/block.h"
#include "rt/card.h"
#include "rt/realtime.h"
#include "rt/smoothstep.h"
#include "rt/state.h"

namespace twinrack {

class Glide {
 public:
  void prepare(const Parameter& parameter, double sample_rate, float value) noexcept {
    scale_ = parameter.scale;
    min_ = parameter.min;
    max_ = parameter.max;
    const double ticks = static_cast<double>(parameter.smoothing_ms) * 1e-3 * sample_rate / tick_frames;
    ticks_ = scale_ == Scale::step ? 0 : static_cast<int>(std::ceil(ticks));
    jump(value);
  }

  float value() const noexcept TR_RT { return value_; }
  bool moving() const noexcept TR_RT { return done_ < ticks_ || pending_; }

  void jump(float target) noexcept TR_RT {
    target_ = std::clamp(target, min_, max_);
    pending_ = target_ != value_;
    done_ = ticks_;
  }

  void glide_to(float target) noexcept TR_RT {
    target = std::clamp(target, min_, max_);
    if (ticks_ == 0 || target == value_) return jump(target);
    target_ = target;
    from_ = to_scale(value_);
    to_ = to_scale(target);
    done_ = 0;
  }

  // Ends the glide at the next tick.
  void arrive() noexcept TR_RT { jump(target_); }

  // One tick on; true when the value changed.
  bool advance() noexcept TR_RT {
    const float before = value_;
    if (done_ < ticks_) {
      ++done_;
      const double scaled = from_ + smoothstep(static_cast<double>(done_) / ticks_, to_ - from_);
      value_ = done_ == ticks_ ? target_ : static_cast<float>(scale_ == Scale::log ? std::exp(scaled) : scaled);
    } else if (pending_) {
      value_ = target_;
    }
    pending_ = false;
    return value_ != before;
  }

  void state(StateArchive& archive) {
    archive.bounded(value_, min_, max_);
    archive.bounded(target_, min_, max_);
    archive.bounded(done_, 0, ticks_);
    archive(from_, to_, pending_);
  }

 private:
  double to_scale(float value) const noexcept TR_RT {
    return scale_ == Scale::log ? std::log(static_cast<double>(value)) : static_cast<double>(value);
  }

  Scale scale_ = Scale::linear;
  float min_ = 0, max_ = 0, value_ = 0, target_ = 0;
  double from_ = 0, to_ = 0;
  int ticks_ = 0, done_ = 0;
  bool pending_ = false;
};

}  // namespace twinrack
