// Leveller: rides the level of a voice or programme towards a loudness, as an engineer rides a fader, and rests in
// pauses.
//
//   K weighting -> energy of each tick -> momentary loudness -> pause or not
//                                      -> short-term loudness without pauses -> goal -> limited in dB a second
#if defined(TWINRACK_PLUGINS_LEVELLER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_LEVELLER_H_
#undef TWINRACK_PLUGINS_LEVELLER_H_
#else
#define TWINRACK_PLUGINS_LEVELLER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/metering/k_weighting.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// The mean of the last so many energies, or of all where there are fewer.
class MovingEnergy {
 public:
  void prepare(int longest) { ring_.assign(static_cast<std::size_t>(longest), 0.0); }
  // At most as many as it was prepared for, before the first one is added.
  void set(int window) noexcept TR_RT { window_ = std::clamp(window, 1, static_cast<int>(ring_.size())); }
  void reset() noexcept TR_RT {
    std::fill(ring_.begin(), ring_.end(), 0.0);
    sum_ = 0.0;
    count_ = at_ = 0;
  }
  void add(double energy) noexcept TR_RT {
    double& oldest = ring_[static_cast<std::size_t>(at_)];
    sum_ = std::max(sum_ + (energy - oldest), 0.0);
    oldest = energy;
    at_ = at_ + 1 < window_ ? at_ + 1 : 0;
    count_ = std::min(count_ + 1, window_);
  }
  double mean() const noexcept TR_RT { return count_ > 0 ? sum_ / count_ : 0.0; }

  void state(StateArchive& archive) {
    archive(ring_, sum_);
    archive.bounded(at_, 0, static_cast<int>(ring_.size()) - 1);
    archive.bounded(count_, 0, static_cast<int>(ring_.size()));
  }

 private:
  std::vector<double> ring_ = std::vector<double>(1, 0.0);
  double sum_ = 0.0;
  int window_ = 1, count_ = 0, at_ = 0;
};

struct Leveller {
  using Card = cards::Leveller;
  static constexpr double momentary_s = 0.4, longest_window_s = 10.0, longest_lookahead_s = 1.0, floor = 1e-14;
  static constexpr float loudest = 1e3f;  // sample; what is beyond it counts as that

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    weighting_ = KWeighting(rate_);
    states_.assign(static_cast<std::size_t>(max_channels), KWeighting::State{});
    momentary_.prepare(ticks_of(momentary_s));
    momentary_.set(ticks_of(momentary_s));
    short_term_.prepare(ticks_of(longest_window_s));
    lookahead_.prepare(format.channels, static_cast<int>(std::ceil(longest_lookahead_s * rate_)));
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    target_lufs_ = static_cast<double>(v.target_lufs);
    most_db_ = static_cast<double>(v.max_boost_db);
    least_db_ = -static_cast<double>(v.max_cut_db);
    const double ticks_a_second = rate_ / tick_frames;
    rise_db_ = static_cast<double>(v.rise_db_per_s) / ticks_a_second;
    fall_db_ = static_cast<double>(v.fall_db_per_s) / ticks_a_second;
    pause_lufs_ = static_cast<double>(v.pause_lufs);
    short_term_.set(ticks_of(static_cast<double>(v.window_s)));
    lookahead_.set(whole_frames(v.lookahead_ms, rate_));
  }

  void reset() noexcept TR_RT {
    std::fill(states_.begin(), states_.end(), KWeighting::State{});
    momentary_.reset();
    short_term_.reset();
    lookahead_.reset();
    clock_.reset();
    level_db_ = energy_ = 0.0;
    begun_ = false;
    gain_.go({1.0f});
    gain_.arrive();
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    const float* const* listened = key.channel != nullptr ? key.channel : io.channel;
    const int channels = key.channel != nullptr ? key.channels : io.channels;
    alignas(32) float gain[max_segment];
    clock_.pass(
        io.frames, [&]() HWY_ATTR { begin_tick(); },
        [&](int from, int frames) HWY_ATTR {
          // Frame by frame, so that the sum does not depend on the block.
          for (int n = from; n < from + frames; ++n) {
            for (int c = 0; c < channels; ++c) {
              const float x = std::clamp(listened[c][n], -loudest, loudest);
              energy_ += weighting_.energy(&x, 1, states_[static_cast<std::size_t>(c)]);
            }
          }
          const Ramp ramp = gain_[0];
          for (int n = 0; n < frames; ++n) gain[from + n] = ramp[n];
          gain_.pass(frames);
        });
    for (int c = 0; c < io.channels; ++c) {
      const float* x = lookahead_.delayed(c, io.channel[c], io.frames);
      for (int n = 0; n < io.frames; ++n) io.channel[c][n] = x[n] * gain[n];
    }
  }

  // It stays awake: its windows go on in pauses.
  int latency() const noexcept { return lookahead_.frames(); }
  float gain_reduction_db() const noexcept TR_RT { return static_cast<float>(std::max(-level_db_, 0.0)); }
  void state(StateArchive& archive) {
    archive(states_, momentary_, short_term_, lookahead_, clock_, level_db_, energy_, begun_, gain_);
  }

 private:
  int ticks_of(double seconds) const noexcept TR_RT {
    return std::max(static_cast<int>(std::lround(seconds * rate_ / tick_frames)), 1);
  }
  static double lufs(double energy) noexcept TR_RT {
    return -0.691 + 10.0 * std::log10(std::max(energy / tick_frames, floor));
  }

  // The gain that this tick ends with comes from the energies up to the tick before.
  void begin_tick() noexcept TR_RT {
    if (begun_) {
      momentary_.add(energy_);
      const bool pause = lufs(momentary_.mean()) < pause_lufs_;
      if (!pause) {
        short_term_.add(energy_);
        const double goal = std::clamp(target_lufs_ - lufs(short_term_.mean()), least_db_, most_db_);
        level_db_ += std::clamp(goal - level_db_, -fall_db_, rise_db_);
      }
    }
    begun_ = true;
    energy_ = 0.0;
    gain_.go({static_cast<float>(std::pow(10.0, level_db_ / 20.0))});
  }

  double rate_ = 0.0;
  KWeighting weighting_{48000.0};
  std::vector<KWeighting::State> states_;
  MovingEnergy momentary_, short_term_;
  Lookahead lookahead_;
  TickClock clock_;
  Ramps<1> gain_;
  double target_lufs_ = 0.0, most_db_ = 0.0, least_db_ = 0.0, rise_db_ = 0.0, fall_db_ = 0.0, pause_lufs_ = 0.0;
  double level_db_ = 0.0, energy_ = 0.0;  // of this tick, so far
  bool begun_ = false;                    // a tick has passed
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
