// Auto-wah (DAFX, 2.4.1): a resonant filter whose frequency follows the level.
//
//   sidechain or input -> follower of the square -> smooth curve, once a tick -> frequency
//   input -> filter, ramped over each tick -> mix -> out
#if defined(TWINRACK_PLUGINS_AUTO_WAH_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_AUTO_WAH_H_
#undef TWINRACK_PLUGINS_AUTO_WAH_H_
#else
#define TWINRACK_PLUGINS_AUTO_WAH_H_
#endif

#include <algorithm>
#include <cmath>

#include "cards.h"
#include "dsp/dynamics/band_level-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct AutoWah {
  using Card = cards::AutoWah;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    level_.prepare(max_channels);  // as many as a sidechain may have
    filter_.prepare(format.channels);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    shape_ = v.filter == Card::Filter::low_pass ? FilterShape::high_cut : FilterShape::band_pass;
    low_hz_ = static_cast<double>(v.low_hz);
    octaves_ = std::log2(static_cast<double>(v.high_hz) / low_hz_);
    q_ = static_cast<double>(v.q);
    threshold_db_ = static_cast<double>(v.threshold_db);
    range_db_ = static_cast<double>(v.range_db);
    // A bell of 0 dB: the level of all of the sound.
    level_.tune(design_svf(FilterShape::bell, true, 1000.0, 0.0, 1.0, rate_), v.attack_ms, v.release_ms, rate_);
    settings_.go({v.mix});
  }

  void reset() noexcept TR_RT {
    level_.reset();
    filter_.clear();
    clock_.reset();
    settings_.arrive();
    quiet_ticks_ = 0;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    pass_ticks(
        clock_, io, key, [&]() HWY_ATTR { begin_tick(); },
        [&](const float* const* heard, int channels, Block sound) HWY_ATTR {
          level_.process(heard, channels, sound.frames);
          float dry[max_channels][tick_frames];
          for (int c = 0; c < sound.channels; ++c) std::copy_n(sound.channel[c], sound.frames, dry[c]);
          filter_.process(sound);
          for (int c = 0; c < sound.channels; ++c) {
            float* x = sound.channel[c];
            for (int n = 0; n < sound.frames; ++n) x[n] = dry[c][n] + settings_.at(0, n) * (x[n] - dry[c][n]);
          }
          settings_.pass(sound.frames);
        });
  }

  // When the frequency rests where silence leaves it.
  bool tail_ended(int) noexcept TR_RT {
    return quiet_ticks_ >= enough_quiet_ticks && level_.tail_ended() && filter_.tail_ended() && !settings_.moving();
  }
  void skip_silence(int frames) noexcept TR_RT { clock_.skip(frames); }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(level_, filter_, clock_, settings_);
    archive.bounded(quiet_ticks_, 0, enough_quiet_ticks);
  }

 private:
  static constexpr int enough_quiet_ticks = 2;

  // The frequency of a tick comes from the level at the end of the one before.
  void begin_tick() noexcept TR_RT {
    const double over = std::clamp((level_.level_db() - threshold_db_) / range_db_, 0.0, 1.0);
    const double place = over * over * (3.0 - 2.0 * over);
    const SvfDesign design = design_svf(shape_, true, low_hz_ * std::exp2(place * octaves_), 0.0, q_, rate_);
    filter_.tune(&design, 1);
    quiet_ticks_ = level_.at_floor() ? std::min(quiet_ticks_ + 1, enough_quiet_ticks) : 0;
  }

  double rate_ = 0, low_hz_ = 350, octaves_ = 1, q_ = 1, threshold_db_ = -40, range_db_ = 30;
  FilterShape shape_ = FilterShape::band_pass;
  BandLevel level_;
  SvfCascade<1> filter_;
  TickClock clock_;
  Ramps<1> settings_;    // the mix
  int quiet_ticks_ = 0;  // that began with the level at the floor
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
