// Transient shaper: gains of onsets and decays.
//
//   peak of all channels -> fall of 15 ms -> dB above -80 dBFS -> four followers -> two differences -> gain
#if defined(TWINRACK_PLUGINS_TRANSIENT_SHAPER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_TRANSIENT_SHAPER_H_
#undef TWINRACK_PLUGINS_TRANSIENT_SHAPER_H_
#else
#define TWINRACK_PLUGINS_TRANSIENT_SHAPER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "cards.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct TransientShaper {
  using Card = cards::TransientShaper;
  static constexpr float floor_amplitude = 1e-4f, half_db = 6.0f;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    fall_ = static_cast<float>(coefficient(15.0f));
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    settings_.go({v.attack_db, v.sustain_db, v.output_db});
    const double quick = coefficient(0.5f), brief = coefficient(20.0f);
    rise_ = {quick, coefficient(v.attack_ms), quick, quick};
    fall_times_ = {brief, brief, coefficient(v.sustain_ms), brief};
  }

  void reset() noexcept TR_RT {
    settings_.arrive();
    peak_ = {};
    levels_ = {};
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    const Tag<float> d;
    using V = Vec<float>;
    alignas(32) float level[max_segment], onset[max_segment], decay[max_segment];
    for (int n = 0; n < io.frames; ++n) {
      float peak = 0.0f;
      for (int c = 0; c < io.channels; ++c) peak = Max(peak, Abs(io.channel[c][n]));
      level[n] = branching_step<true>(peak_, {1.0f, fall_}, peak);
    }
    peak_.level = flushed(peak_.level);
    const V floor = hn::Set(d, floor_amplitude), bottom = decibels(floor);
    each_vector(io.frames, [&](int n) HWY_ATTR {
      hn::Store(decibels(Max(hn::Load(d, level + n), floor)) - bottom, d, level + n);
    });
    follow(level, onset, decay, io.frames);
    const V zero = hn::Zero(d), half = hn::Set(d, half_db);
    const auto share = [&](const float* difference) HWY_ATTR {
      const V more = Max(hn::Load(d, difference), zero);
      return more / (more + half);
    };
    each_vector(io.frames, [&](int n) HWY_ATTR {
      const V gain_db = MulAdd(settings_.vector(attack, n), share(onset + n),
                               MulAdd(settings_.vector(sustain, n), share(decay + n), settings_.vector(output, n)));
      hn::Store(amplitude(gain_db), d, level + n);
    });
    for (int c = 0; c < io.channels; ++c) {
      float* x = io.channel[c];
      for (int n = 0; n < io.frames; ++n) x[n] *= level[n];
    }
    settings_.pass(io.frames);
  }

  // Its past no longer matters when all followers are down.
  bool tail_ended(int) noexcept TR_RT {
    if (settings_.moving() || peak_.level > floor_amplitude) return false;
    for (const double level : levels_) {
      if (level > 1e-4) return false;
    }
    peak_ = {};
    levels_ = {};
    return true;
  }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(settings_, peak_, levels_); }

 private:
  enum Ramped : std::size_t { attack, sustain, output, ramped_count };
  using Four = std::array<double, 4>;  // in double precision: long times move by less than a float's last bit

  double coefficient(float time_ms) const noexcept TR_RT {
    return one_pole_coefficient(static_cast<double>(time_ms), rate_);
  }

  // The four followers lie side by side: quick and slow rise, slow and quick fall.
  void follow(const float* level, float* onset, float* decay, int frames) noexcept TR_RT {
    FollowerState<double> state[4];
    for (std::size_t k = 0; k < 4; ++k) state[k] = {0.0, levels_[k]};
    for (int n = 0; n < frames; ++n) {
      double now[4];
      const auto to = static_cast<double>(level[n]);
      for (std::size_t k = 0; k < 4; ++k) now[k] = branching_step(state[k], {rise_[k], fall_times_[k]}, to);
      onset[n] = static_cast<float>(now[0] - now[1]);
      decay[n] = static_cast<float>(now[2] - now[3]);
    }
    for (std::size_t k = 0; k < 4; ++k) levels_[k] = flushed(state[k].level);
  }

  double rate_ = 0;
  float fall_ = 1;
  Four rise_{}, fall_times_{};
  Ramps<ramped_count> settings_;
  FollowerState<float> peak_{};
  Four levels_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
