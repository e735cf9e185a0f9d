// A Linkwitz-Riley crossover of two to six bands, each with a level and a mute; alone it adds them up again, before
// branches (`Bands`) it gives each its band.
#if defined(TWINRACK_PLUGINS_CROSSOVER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_CROSSOVER_H_
#undef TWINRACK_PLUGINS_CROSSOVER_H_
#else
#define TWINRACK_PLUGINS_CROSSOVER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/filters/linkwitz_riley-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Crossover {
  using Card = cards::Crossover;
  static constexpr bool splits = true;
  static constexpr int most_bands = 6;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    branches_ = format.branches;
    filters_.prepare(format.channels);
    if (branches_ > 1) return;
    memory_.assign(static_cast<std::size_t>(most_bands * channels_), std::vector<float>(max_segment));
    for (auto& row : memory_) rows_.push_back(row.data());
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    static_assert(static_cast<int>(Card::NumberOfBands::n2) == 0 && static_cast<int>(Card::NumberOfBands::n6) == 4);
    static_assert(static_cast<int>(Card::SlopeDbPerOctave::n12) == 0);
    bands_ = branches_ > 1 ? branches_ : static_cast<int>(v.number_of_bands) + 2;
    Filters::Frequencies hz{static_cast<double>(v.split1_hz), static_cast<double>(v.split2_hz),
                            static_cast<double>(v.split3_hz), static_cast<double>(v.split4_hz),
                            static_cast<double>(v.split5_hz)};
    for (std::size_t i = 1; i < hz.size(); ++i) hz[i] = std::max(hz[i], hz[i - 1]);
    filters_.tune(hz, bands_, static_cast<int>(v.slope_db_per_octave) + 1, rate_);
    for (std::size_t b = 0; b < most_bands; ++b) {
      level_[b] = std::pow(10.0, static_cast<double>(v.bands[b].gain_db) / 20.0);
      open_[b].go(!v.bands[b].mute);
      open_[b].tick();
    }
    gains_.go(gains());
  }

  // True while a mute fades.
  bool is_ramping() const noexcept TR_RT {
    return std::any_of(open_.begin(), open_.end(), [](const Fade& fade) { return fade.moving(); });
  }

  void reset() noexcept TR_RT {
    filters_.reset();
    for (Fade& fade : open_) fade.arrive();
    gains_.go(gains());
    gains_.arrive();
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    if (branches_ > 1) return split(io.channel, io.frames);
    for (int c = 0; c < channels_; ++c) std::copy_n(io.channel[c], io.frames, rows_[static_cast<std::size_t>(c)]);
    split(rows_.data(), io.frames);
    for (int c = 0; c < channels_; ++c) {
      std::copy_n(rows_[static_cast<std::size_t>(c)], io.frames, io.channel[c]);
      for (int b = 1; b < bands_; ++b) {
        const float* band = rows_[static_cast<std::size_t>(b * channels_ + c)];
        for (int n = 0; n < io.frames; ++n) io.channel[c][n] += band[n];
      }
    }
  }

  bool tail_ended(int) noexcept TR_RT { return !gains_.moving() && filters_.tail_ended(); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(filters_, gains_, open_); }

 private:
  using Filters = LinkwitzRiley<most_bands>;
  using Fade = TickFade<0, 16>;

  Ramps<most_bands>::Values gains() const noexcept TR_RT {
    Ramps<most_bands>::Values all;
    for (std::size_t b = 0; b < most_bands; ++b) all[b] = static_cast<float>(level_[b] * open_[b].share());
    return all;
  }

  void split(float* const* rows, int frames) noexcept TR_RT {
    filters_.process(rows, channels_, frames);
    for (int b = 0; b < bands_; ++b) {
      const Ramp gain = gains_[static_cast<std::size_t>(b)];
      if (!gain.moves && gain.to == 1.0f) continue;
      for (int c = 0; c < channels_; ++c) {
        float* x = rows[b * channels_ + c];
        if (gain.moves) {
          for (int n = 0; n < frames; ++n) x[n] *= gain[n];
        } else {
          for (int n = 0; n < frames; ++n) x[n] *= gain.to;
        }
      }
    }
    gains_.pass(frames);
  }

  double rate_ = 0.0;
  int channels_ = 0, branches_ = 1, bands_ = 2;
  Filters filters_;
  std::array<double, most_bands> level_{};
  std::array<Fade, most_bands> open_{Fade(true), Fade(true), Fade(true), Fade(true), Fade(true), Fade(true)};
  Ramps<most_bands> gains_;
  std::vector<std::vector<float>> memory_;
  std::vector<float*> rows_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
