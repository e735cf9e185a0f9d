// Chorus: copies of the sound from one delay line, each at a place of its own on an oscillator's turn.
#if defined(TWINRACK_PLUGINS_CHORUS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_CHORUS_H_
#undef TWINRACK_PLUGINS_CHORUS_H_
#else
#define TWINRACK_PLUGINS_CHORUS_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/delay/fractional_delay-inl.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Chorus {
  using Card = cards::Chorus;
  static constexpr std::size_t most_voices = 8;
  static constexpr double between_voices = 0.618;  // turns
  static constexpr double longest_s = 0.06;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    longest_ = std::ceil(longest_s * rate_) + 1.0;
    lines_.assign(static_cast<std::size_t>(format.channels), FractionalDelay());
    for (FractionalDelay& line : lines_) line.prepare(static_cast<int>(longest_) + 3, max_segment);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    constexpr Wave waves[] = {Wave::sine, Wave::triangle, Wave::random};
    modulator_.tune(Modulator::Settings::of(v, rate_of(v), waves[static_cast<std::size_t>(v.wave)]), rate_);
    constexpr std::size_t counts[] = {1, 2, 3, 4, 6, 8};
    for (std::size_t i = 0; i < most_voices; ++i) {
      voices_[i].go(i < counts[static_cast<std::size_t>(v.voices)]);
      voices_[i].tick();
    }
    from_ = to_;
    const double depth = static_cast<double>(v.depth_ms) * 1e-3 * rate_;
    to_ = {std::max(static_cast<double>(v.delay_ms) * 1e-3 * rate_, depth + 1.0), depth};
    mix_ = v.mix;
    settings_.go(levels());
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    for (auto& voice : voices_) voice.arrive();
    from_ = to_;
    settings_.go(levels());
    settings_.arrive();
    for (FractionalDelay& line : lines_) line.reset();
  }

  bool is_ramping() const noexcept TR_RT {
    return modulator_.fading() || std::any_of(voices_.begin(), voices_.end(), [](const auto& v) { return v.moving(); });
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    double delay[max_segment];
    float copy[max_segment], sum[max_segment];
    for (int c = 0; c < io.channels; ++c) {
      FractionalDelay& line = lines_[static_cast<std::size_t>(c)];
      line.write(io.channel[c], io.frames);
      std::fill_n(sum, io.frames, 0.0f);
      for (std::size_t i = 0; i < most_voices; ++i) {
        if (settings_.rests_at(i, 0.0f)) continue;
        modulator_.fill(c, delay, io.frames, between_voices * static_cast<double>(i));
        for (int n = 0; n < io.frames; ++n) {
          const double share = ramp_position<double>(std::min(frame_ + n, tick_frames - 1));
          const double middle = from_[0] + (to_[0] - from_[0]) * share, depth = from_[1] + (to_[1] - from_[1]) * share;
          delay[n] = std::max(1.0, middle + depth * delay[n]);
        }
        line.read(delay, copy, io.frames);
        const Ramp level = settings_[i];
        for (int n = 0; n < io.frames; ++n) sum[n] += level[n] * copy[n];
      }
      float* x = io.channel[c];
      const Ramp dry = settings_[dry_level];
      for (int n = 0; n < io.frames; ++n) x[n] = dry[n] * x[n] + sum[n];
    }
    modulator_.pass(io.frames);
    settings_.pass(io.frames);
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    return !settings_.moving() && from_ == to_ && silent_frames > static_cast<int>(longest_) + 4;
  }
  void skip_silence(int frames) noexcept TR_RT { modulator_.pass(frames); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(modulator_, voices_, settings_, lines_, mix_);
    archive.bounded(frame_, 0, tick_frames);
    for (auto* ends : {&from_, &to_}) {
      archive.bounded((*ends)[0], 0.0, 0.05 * rate_ + 1.0);
      archive.bounded((*ends)[1], 0.0, 0.01 * rate_);
    }
  }

 private:
  static constexpr std::size_t dry_level = most_voices;

  // Of each voice and of the dry sound.
  Ramps<most_voices + 1>::Values levels() const noexcept TR_RT {
    double power = 0.0;
    for (const auto& voice : voices_) power += voice.share();
    Ramps<most_voices + 1>::Values levels{};
    for (std::size_t i = 0; i < most_voices; ++i) {
      levels[i] = static_cast<float>(static_cast<double>(mix_) * voices_[i].share() / std::sqrt(std::max(power, 1.0)));
    }
    levels[dry_level] = 1.0f - mix_;
    return levels;
  }

  double rate_ = 0, longest_ = 0;
  float mix_ = 0;
  std::array<double, 2> from_{}, to_{};  // the middle of the delay and its depth, in frames
  int frame_ = 0;                        // since the last tune
  Modulator modulator_;
  std::array<TickFade<0, 16>, most_voices> voices_{};
  Ramps<most_voices + 1> settings_;
  std::vector<FractionalDelay> lines_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
