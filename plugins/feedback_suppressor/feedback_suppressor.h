// Feedback suppressor: notches where a loop of microphone and loudspeaker begins to howl.
//
//   input -> tracker of howls -> frequencies and depths, once a tick
//   input -> sixteen notches in series, ramped over each tick -> out
#if defined(TWINRACK_PLUGINS_FEEDBACK_SUPPRESSOR_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_FEEDBACK_SUPPRESSOR_H_
#undef TWINRACK_PLUGINS_FEEDBACK_SUPPRESSOR_H_
#else
#define TWINRACK_PLUGINS_FEEDBACK_SUPPRESSOR_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "cards.h"
#include "dsp/dynamics/howl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct FeedbackSuppressor {
  using Card = cards::FeedbackSuppressor;
  static constexpr int most = 16;
  static constexpr double step_db = 6.0, lift_db_per_s = 3.0, glide_s = 0.01;
  static constexpr double same_octaves = 1.0 / 12.0;
  static constexpr double idle_hz = 1000.0;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    filters_.prepare(format.channels);
    tracker_.prepare(rate_);
    share_ = 1.0 - std::exp(-tick_frames / (glide_s * rate_));
    lift_db_ = lift_db_per_s * tick_frames / rate_;
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    depth_db_ = static_cast<double>(v.depth_db);
    q_ = static_cast<double>(v.q);
    hold_ticks_ = static_cast<int>(std::lround(static_cast<double>(v.hold_s) * rate_ / tick_frames));
    frozen_ = v.freeze;
  }

  void reset() noexcept TR_RT {
    tracker_.reset();
    filters_.clear();
    clock_.reset();
    notches_.fill({});
    howl_hz_ = 0.0;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    clock_.pass(
        io.frames, [&]() HWY_ATTR { begin_tick(); },
        [&](int from, int frames) HWY_ATTR {
          float* x[max_channels];
          for (int c = 0; c < io.channels; ++c) x[c] = io.channel[c] + from;
          howl_hz_ = std::max(howl_hz_, tracker_.process(x, io.channels, frames));
          filters_.process({x, io.channels, frames});
        });
  }

  // It stays awake: its notches are lifted in silence.
  int latency() const noexcept { return 0; }
  // Of the deepest notch.
  float gain_reduction_db() const noexcept TR_RT {
    double deepest = 0.0;
    for (const Notch& n : notches_) deepest = std::max(deepest, n.db);
    return static_cast<float>(deepest);
  }
  void state(StateArchive& archive) {
    archive(filters_, clock_, tracker_);
    archive.bounded(howl_hz_, 0.0, 1e6);
    for (Notch& n : notches_) {
      archive.bounded(n.hz, 1.0, 1e6);
      archive.bounded(n.target_db, 0.0, 100.0);
      archive.bounded(n.db, 0.0, 100.0);
      archive.bounded(n.hold, 0, 1 << 30);
    }
  }

 private:
  struct Notch {
    double hz = idle_hz, target_db = 0, db = 0;
    int hold = 0;  // ticks until it is lifted
  };

  void begin_tick() noexcept TR_RT {
    if (howl_hz_ > 0.0 && !frozen_) set(howl_hz_);
    howl_hz_ = 0.0;
    SvfDesign design[most];
    for (int i = 0; i < most; ++i) {
      Notch& n = notches_[static_cast<std::size_t>(i)];
      if (n.hold > 0) {
        n.hold -= frozen_ ? 0 : 1;
      } else if (!frozen_) {
        n.target_db = std::max(n.target_db - lift_db_, 0.0);
      }
      n.target_db = std::min(n.target_db, depth_db_);
      n.db += share_ * (n.target_db - n.db);
      design[i] = design_svf(FilterShape::bell, true, n.hz, -n.db, q_, rate_);
    }
    filters_.tune(design, most);
  }

  // A notch that stands there goes deeper; else one that is free is taken, or the one that has been left alone longest.
  void set(double hz) noexcept TR_RT {
    Notch* near = nullptr;
    double nearest = same_octaves;
    for (Notch& n : notches_) {
      const double away = std::abs(std::log2(hz / n.hz));
      if (n.target_db > 0.0 && away < nearest) {
        near = &n;
        nearest = away;
      }
    }
    if (near != nullptr) {
      near->hz = 0.5 * (near->hz + hz);
      near->target_db = std::min(near->target_db + step_db, depth_db_);
      near->hold = hold_ticks_;
      return;
    }
    Notch* best = &notches_[0];
    for (Notch& n : notches_) {
      if (rank(n) < rank(*best)) best = &n;
    }
    best->hz = hz;
    best->target_db = std::min(step_db, depth_db_);
    best->hold = hold_ticks_;
  }
  // Of a free one how deep it still is; of others, beyond those, how long it will stay.
  static double rank(const Notch& n) noexcept TR_RT { return n.target_db > 0.0 ? 1e3 + n.hold : n.db; }

  double rate_ = 0, share_ = 1, lift_db_ = 0, depth_db_ = 18, q_ = 15;
  int hold_ticks_ = 1;
  bool frozen_ = false;
  HowlTracker tracker_;
  SvfCascade<most> filters_;
  TickClock clock_;
  std::array<Notch, most> notches_{};
  double howl_hz_ = 0;  // noticed in the tick before; 0: none
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
