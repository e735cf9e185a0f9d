// Dynamic equaliser: up to eight bells and shelves, each moved by the level of its own part of the spectrum.
//
//   sidechain or input -> band filter -> follower of the square -> gain curve, once a tick -> gain of the filter
//   input -> filters in series, their gains ramped over each tick
#if defined(TWINRACK_PLUGINS_DYNAMIC_EQ_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_DYNAMIC_EQ_H_
#undef TWINRACK_PLUGINS_DYNAMIC_EQ_H_
#else
#define TWINRACK_PLUGINS_DYNAMIC_EQ_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "cards.h"
#include "dsp/dynamics/band_level-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct DynamicEQ {
  using Card = cards::DynamicEQ;
  static constexpr int most_bands = 8;
  static constexpr double knee_db = 6.0;
  static constexpr double shelf_detector_q = 0.70710678118654752;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    for (BandLevel& level : levels_) level.prepare(max_channels);  // as many as a sidechain may have
    filters_.prepare(format.channels);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    count_ = 0;
    for (const auto& band : v.bands) {
      if (band.type == Card::Type::off) continue;
      const auto at = static_cast<std::size_t>(count_++);
      const auto frequency = static_cast<double>(band.frequency_hz), q = static_cast<double>(band.q);
      settings_[at] = {
          .shape = shape_of(band.type),
          .frequency_hz = frequency,
          .q = q,
          .gain_db = static_cast<double>(band.gain_db),
          .curve = {static_cast<double>(band.threshold_db), 1.0 - 1.0 / static_cast<double>(band.ratio), knee_db,
                    std::abs(static_cast<double>(band.range_db))},
          .sign = band.range_db < 0.0f ? -1.0 : 1.0,
          .above = band.when == Card::When::above,
      };
      const bool bell = band.type == Card::Type::bell;
      const SvfDesign heard =
          design_svf(detector_of(band.type), true, frequency, 0.0, bell ? q : shelf_detector_q, rate_);
      levels_[at].tune(heard, band.attack_ms, band.release_ms, rate_);
    }
  }

  void reset() noexcept TR_RT {
    for (BandLevel& level : levels_) level.reset();
    filters_.clear();
    clock_.reset();
    quiet_ticks_ = 0;
    reduced_db_ = 0.0f;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    pass_ticks(
        clock_, io, key, [&]() HWY_ATTR { begin_tick(); },
        [&](const float* const* heard, int channels, Block sound) HWY_ATTR {
          for (int b = 0; b < count_; ++b) {
            levels_[static_cast<std::size_t>(b)].process(heard, channels, sound.frames);
          }
          filters_.process(sound);
        });
  }

  // When the gains rest where silence leaves them.
  bool tail_ended(int) noexcept TR_RT {
    bool all = quiet_ticks_ >= 2;
    for (int b = 0; b < count_ && all; ++b) all = levels_[static_cast<std::size_t>(b)].tail_ended();
    return all && filters_.tail_ended();
  }
  void skip_silence(int frames) noexcept TR_RT { clock_.skip(frames); }

  int latency() const noexcept { return 0; }
  // The most that a band takes away, beyond its own gain.
  float gain_reduction_db() const noexcept TR_RT { return reduced_db_; }
  void state(StateArchive& archive) {
    archive(levels_, filters_, clock_, reduced_db_);
    archive.bounded(quiet_ticks_, 0, enough_quiet_ticks);
  }

 private:
  static constexpr int enough_quiet_ticks = 2;

  struct Setting {
    FilterShape shape = FilterShape::bell;
    double frequency_hz = 0, q = 1, gain_db = 0;
    GainCurve<double> curve{};
    double sign = 1;
    bool above = true;
  };

  // The gains of a tick come from the levels at the end of the one before.
  void begin_tick() noexcept TR_RT {
    SvfDesign design[most_bands];
    bool quiet = true;
    double reduced = 0.0;
    for (int b = 0; b < count_; ++b) {
      const Setting& s = settings_[static_cast<std::size_t>(b)];
      const BandLevel& level = levels_[static_cast<std::size_t>(b)];
      const double db = level.level_db();
      const double moved = s.sign * reduction_db(s.curve, s.above ? db : 2.0 * s.curve.threshold_db - db);
      reduced = std::max(reduced, -moved);
      quiet = quiet && level.at_floor();
      design[b] = design_svf(s.shape, true, s.frequency_hz, s.gain_db + moved, s.q, rate_);
    }
    filters_.tune(design, count_);
    quiet_ticks_ = quiet ? std::min(quiet_ticks_ + 1, enough_quiet_ticks) : 0;
    reduced_db_ = static_cast<float>(reduced);
  }

  static FilterShape shape_of(Card::Type type) noexcept TR_RT {
    return type == Card::Type::low_shelf    ? FilterShape::low_shelf
           : type == Card::Type::high_shelf ? FilterShape::high_shelf
                                            : FilterShape::bell;
  }
  static FilterShape detector_of(Card::Type type) noexcept TR_RT {
    return type == Card::Type::low_shelf    ? FilterShape::high_cut
           : type == Card::Type::high_shelf ? FilterShape::low_cut
                                            : FilterShape::band_pass;
  }

  double rate_ = 0;
  std::array<BandLevel, most_bands> levels_;
  std::array<Setting, most_bands> settings_{};
  SvfCascade<most_bands> filters_;
  int count_ = 0;  // of bands that are on
  TickClock clock_;
  int quiet_ticks_ = 0;  // that began with all levels at the floor
  float reduced_db_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
