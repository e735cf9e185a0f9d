// De-esser: lowers the highs, or everything, while they stick out of the voice.
//
//   band filter -> follower of the square -+-> gain curve, once a tick -> gain of a shelf or bell, or of the whole
//   sound whole sound -> follower of the square -+
#if defined(TWINRACK_PLUGINS_DEESSER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_DEESSER_H_
#undef TWINRACK_PLUGINS_DEESSER_H_
#else
#define TWINRACK_PLUGINS_DEESSER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "cards.h"
#include "dsp/dynamics/band_level-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Deesser {
  using Card = cards::Deesser;
  static constexpr double knee_db = 6.0, softest_voice_db = -36.0, shelf_q = 0.70710678118654752;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    for (BandLevel* level : {&band_, &whole_}) level->prepare(max_channels);
    listened_.prepare(format.channels);
    filter_.prepare(format.channels);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    mode_ = v.mode;
    relative_ = v.relative;
    listen_ = v.listen;
    frequency_hz_ = static_cast<double>(v.frequency_hz);
    q_ = v.mode == Card::Mode::bell ? static_cast<double>(v.q) : shelf_q;
    curve_ = {static_cast<double>(v.threshold_db), 1.0 - 1.0 / static_cast<double>(v.ratio), knee_db,
              static_cast<double>(v.range_db)};
    const FilterShape detector = v.mode == Card::Mode::bell ? FilterShape::band_pass : FilterShape::low_cut;
    const SvfDesign design = design_svf(detector, true, frequency_hz_, 0.0, q_, rate_);
    band_.tune(design, v.attack_ms, v.release_ms, rate_);
    whole_.tune({1.0, 1.0, 1.0, 0.0, 0.0}, v.attack_ms, v.release_ms, rate_);
    listened_.tune(design);
  }

  void reset() noexcept TR_RT {
    band_.reset();
    whole_.reset();
    listened_.reset();
    filter_.clear();
    clock_.reset();
    gain_.go({1.0f});
    gain_.arrive();
    begun_ = false;
    reduced_db_ = 0.0f;
    quiet_ticks_ = 0;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    pass_ticks(
        clock_, io, key, [&]() HWY_ATTR { begin_tick(); },
        [&](const float* const* heard, int channels, Block sound) HWY_ATTR {
          band_.process(heard, channels, sound.frames);
          if (relative_) whole_.process(heard, channels, sound.frames);
          run(sound);
        });
  }

  bool tail_ended(int) noexcept TR_RT {
    if (quiet_ticks_ < enough_quiet_ticks) return false;
    const bool levels = band_.tail_ended() && (!relative_ || whole_.tail_ended());
    return levels && filter_.tail_ended() && listened_.tail_ended();
  }
  void skip_silence(int frames) noexcept TR_RT { clock_.skip(frames); }
  int latency() const noexcept { return 0; }
  float gain_reduction_db() const noexcept TR_RT { return reduced_db_; }
  void state(StateArchive& archive) {
    archive(band_, whole_, listened_, filter_, gain_, clock_, begun_, reduced_db_);
    archive.bounded(quiet_ticks_, 0, enough_quiet_ticks);
  }

 private:
  static constexpr int enough_quiet_ticks = 2;

  // The gain of a tick comes from the levels at the end of the one before.
  void begin_tick() noexcept TR_RT {
    double level = band_.level_db();
    if (relative_) level -= std::max(whole_.level_db(), softest_voice_db);
    const double reduced = reduction_db(curve_, level);
    if (mode_ == Card::Mode::wide) {
      gain_.go({static_cast<float>(std::pow(10.0, -reduced / 20.0))});
      if (!begun_) gain_.arrive();
    } else {
      const FilterShape shape = mode_ == Card::Mode::bell ? FilterShape::bell : FilterShape::high_shelf;
      const SvfDesign design = design_svf(shape, true, frequency_hz_, -reduced, q_, rate_);
      filter_.tune(&design, 1);
    }
    begun_ = true;
    reduced_db_ = static_cast<float>(reduced);
    const bool quiet = band_.at_floor() && (!relative_ || whole_.at_floor());
    quiet_ticks_ = quiet ? std::min(quiet_ticks_ + 1, enough_quiet_ticks) : 0;
  }

  // Within a tick.
  void run(Block io) noexcept TR_RT {
    float before[max_channels][tick_frames];
    if (listen_ == Card::Listen::band) return listened_.process(io.channel, io.channel, io.channels, io.frames);
    if (listen_ == Card::Listen::removed) {
      for (int c = 0; c < io.channels; ++c) std::copy_n(io.channel[c], io.frames, before[c]);
    }
    if (mode_ == Card::Mode::wide) {
      const Ramp gain = gain_[0];
      for (int c = 0; c < io.channels; ++c) {
        for (int n = 0; n < io.frames; ++n) io.channel[c][n] *= gain[n];
      }
      gain_.pass(io.frames);
    } else {
      filter_.process(io);
    }
    if (listen_ != Card::Listen::removed) return;
    for (int c = 0; c < io.channels; ++c) {
      for (int n = 0; n < io.frames; ++n) io.channel[c][n] = before[c][n] - io.channel[c][n];
    }
  }

  double rate_ = 0, frequency_hz_ = 0, q_ = 1;
  Card::Mode mode_{};
  Card::Listen listen_{};
  bool relative_ = true, begun_ = false;
  GainCurve<double> curve_{};
  BandLevel band_, whole_;
  SvfPairs listened_;  // the band, to be heard alone
  SvfCascade<1> filter_;
  Ramps<1> gain_;  // of the whole sound
  TickClock clock_;
  int quiet_ticks_ = 0;  // that began with the levels at the floor
  float reduced_db_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
