// Vibrato: a delay on a sine, whose swing gives the largest change of pitch that is set.
#if defined(TWINRACK_PLUGINS_VIBRATO_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_VIBRATO_H_
#undef TWINRACK_PLUGINS_VIBRATO_H_
#else
#define TWINRACK_PLUGINS_VIBRATO_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/delay/fractional_delay-inl.h"
#include "dsp/delay/gliding_delay.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Vibrato {
  using Card = cards::Vibrato;
  static constexpr double slowest_hz = 0.05, deepest_cents = 200.0;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    longest_ = std::ceil(2.0 * swing(deepest_cents, slowest_hz)) + 1.0;
    lines_.assign(static_cast<std::size_t>(format.channels), FractionalDelay());
    for (FractionalDelay& line : lines_) line.prepare(static_cast<int>(longest_) + 3, max_segment);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    if (v.sync != sync_ && swing_.rests_at(0.0)) sync_ = v.sync;
    const double hertz =
        synced_hz(static_cast<std::size_t>(sync_), static_cast<double>(v.tempo_bpm), static_cast<double>(v.rate_hz));
    modulator_.tune(Modulator::Settings::of(v, hertz, Wave::sine), rate_);
    values_ = v;
    wanted_ = v.sync;
    const double cents = wanted_ == sync_ ? static_cast<double>(v.depth_cents) : 0.0;
    swing_.go(swing(cents, std::max(hertz, slowest_hz)), 0.5 * tick_frames);
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    if (sync_ != wanted_) {
      sync_ = wanted_;
      tune(values_);
    }
    modulator_.reset();
    swing_.arrive();
    for (FractionalDelay& line : lines_) line.reset();
  }

  bool is_ramping() const noexcept TR_RT { return swing_.moving() || wanted_ != sync_; }

  void process(Block io, SideBlock) noexcept TR_RT {
    double delay[max_segment];
    for (int c = 0; c < io.channels; ++c) {
      modulator_.fill(c, delay, io.frames);
      for (int n = 0; n < io.frames; ++n) delay[n] = std::max(1.0, 1.0 + swing_[frame_ + n] * (1.0 + delay[n]));
      FractionalDelay& line = lines_[static_cast<std::size_t>(c)];
      line.write(io.channel[c], io.frames);
      line.read(delay, io.channel[c], io.frames);
    }
    modulator_.pass(io.frames);
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    return !swing_.moving() && silent_frames > static_cast<int>(longest_) + 4;
  }
  void skip_silence(int frames) noexcept TR_RT { modulator_.pass(frames); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(modulator_, lines_);
    archive.bounded(sync_, Card::Sync::free, Card::Sync::n1_16);
    archive.bounded(frame_, 0, tick_frames);
    swing_.state(archive, 0.5 * longest_);
  }

 private:
  // Frames to either side whose speed of change is that of the pitch.
  double swing(double cents, double hertz) const noexcept TR_RT {
    return std::expm1(cents * (std::numbers::ln2 / 1200.0)) / (2.0 * std::numbers::pi * hertz) * rate_;
  }

  double rate_ = 0, longest_ = 0;
  int frame_ = 0;  // since the last tune
  GlidingDelay swing_;
  Card::Values values_{};
  Card::Sync sync_ = Card::Sync::free, wanted_ = Card::Sync::free;  // one changes while nothing swings
  Modulator modulator_;
  std::vector<FractionalDelay> lines_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
