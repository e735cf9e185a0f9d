// Delay: a line with feedback through cuts and a saturation, whose sides may feed each other.
//
//   in -> x input -> ping-pong -> delay loop -> ducking -> mix -> out
#if defined(TWINRACK_PLUGINS_DELAY_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_DELAY_H_
#undef TWINRACK_PLUGINS_DELAY_H_
#else
#define TWINRACK_PLUGINS_DELAY_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/delay/delay_loop-inl.h"
#include "dsp/delay/gliding_delay.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Delay {
  using Card = cards::Delay;
  static constexpr double longest_s = 10.0, deepest_s = 0.01;
  static constexpr float saturation_scale = 4.0f, half_ducked = 0.0316227766f;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    const int longest = static_cast<int>(std::ceil((longest_s + deepest_s) * rate_)) + 3;
    loops_.assign(static_cast<std::size_t>((channels_ + 1) / 2), DelayLoop());
    for (std::size_t i = 0; i < loops_.size(); ++i) {
      loops_[i].prepare(std::min(2, channels_ - 2 * static_cast<int>(i)), longest);
    }
    duck_ = {one_pole_coefficient(5.0f, rate_), one_pole_coefficient(300.0f, rate_)};
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    modulator_.tune(Modulator::Settings::of(v, static_cast<double>(v.rate_hz), Wave::sine), rate_);
    freeze_.go(v.freeze);
    ping_pong_.go(v.mode == Card::Mode::ping_pong);
    input_.go(v.input);
    for (auto* fade : {&freeze_, &ping_pong_, &input_}) fade->tick();
    values_ = v;
    depth_from_ = depth_to_;
    update();
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    for (auto* fade : {&freeze_, &ping_pong_, &input_}) fade->arrive();
    update();
    for (GlidingDelay& time : times_) time.arrive();
    depth_from_ = depth_to_;
    loop_.arrive();
    settings_.arrive();
    for (DelayLoop& loop : loops_) loop.reset();
    loudness_ = {};
  }

  bool is_ramping() const noexcept TR_RT {
    return freeze_.moving() || ping_pong_.moving() || input_.moving() || gliding();
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    alignas(32) float ducked[max_segment];
    find_ducking(io, ducked);
    double delay[2][max_segment];
    float in[2][max_segment], wet[2][max_segment];
    for (int c = 0; c < channels_; c += 2) {
      const int count = std::min(2, channels_ - c), last = count - 1;
      float* const* x = io.channel + c;
      for (int i = 0; i < count; ++i) find_delays(i, delay[i], io.frames);
      for (int n = 0; n < io.frames; ++n) {
        const float level = settings_.at(input, n), routed = settings_.at(ping_pong, n);
        in[0][n] = level * (x[0][n] + routed * (0.5f * (x[last][n] - x[0][n])));
        if (last == 1) in[1][n] = level * (x[1][n] - routed * x[1][n]);
      }
      loops_[static_cast<std::size_t>(c / 2)].process(loop_, {delay[0], delay[last]}, {in[0], in[last]},
                                                      {wet[0], wet[last]}, io.frames);
      for (int i = 0; i < count; ++i) {
        for (int n = 0; n < io.frames; ++n) {
          const float share = settings_.at(mix, n);
          x[i][n] = (1.0f - share) * x[i][n] + share * (ducked[n] * wet[i][n]);
        }
      }
    }
    modulator_.pass(io.frames);
    loop_.pass(io.frames);
    settings_.pass(io.frames);
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int) noexcept TR_RT {
    if (loop_.moving() || settings_.moving() || is_ramping() || loudness_.level > 1e-7f) return false;
    for (DelayLoop& loop : loops_) {
      if (!loop.quiet()) return false;
    }
    for (DelayLoop& loop : loops_) loop.forget();
    loudness_ = {};
    return true;
  }
  void skip_silence(int frames) noexcept TR_RT { modulator_.pass(frames); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(modulator_, loop_, settings_, loops_, loudness_, freeze_, ping_pong_, input_);
    archive.bounded(frame_, 0, tick_frames);
    for (GlidingDelay& time : times_) time.state(archive, longest_s * rate_ + 1.0);
    for (double* depth : {&depth_from_, &depth_to_}) archive.bounded(*depth, 0.0, deepest_s * rate_ + 1.0);
  }

 private:
  enum Ramped : std::size_t { input, ping_pong, ducking, mix, ramped_count };

  bool gliding() const noexcept TR_RT { return times_[0].moving() || times_[1].moving(); }

  // Targets from the values and the fades.
  void update() noexcept TR_RT {
    const Card::Values& v = values_;
    const double frozen = freeze_.share(), free = 1.0 - frozen, routed = ping_pong_.share();
    const double set_s = synced_s(static_cast<std::size_t>(v.sync), static_cast<double>(v.tempo_bpm),
                                  static_cast<double>(v.time_ms) * 1e-3);
    for (std::size_t side = 0; side < 2; ++side) {
      const double factor = side == 0 ? 1.0 : static_cast<double>(v.right_percent) / 100.0;
      const double time = std::clamp(std::min(set_s, longest_s) * factor, 0.0, longest_s) * rate_;
      times_[side].go(std::max(shortest_loop, time + frozen * (std::round(time) - time)), tick_frames);
    }
    depth_to_ = free * static_cast<double>(v.depth_ms) * 1e-3 * rate_;
    const auto cut = [&](float hertz) {
      return static_cast<float>(-std::expm1(-2.0 * std::numbers::pi * static_cast<double>(hertz) / rate_));
    };
    const double feedback = static_cast<double>(v.feedback), cross = static_cast<double>(v.cross);
    loop_.go({static_cast<float>(feedback + frozen * (1.0 - feedback)),
              static_cast<float>(free * (cross + routed * (1.0 - cross))), cut(v.low_cut_hz), cut(v.high_cut_hz),
              static_cast<float>(free) * saturation_scale * v.saturation, static_cast<float>(free)});
    settings_.go({static_cast<float>(input_.share() * free), static_cast<float>(routed), v.ducking_db, v.mix});
  }

  void find_delays(int side, double* delay, int frames) const noexcept TR_RT {
    const GlidingDelay& time = times_[static_cast<std::size_t>(side)];
    if (depth_from_ == 0.0 && depth_to_ == 0.0) {
      std::fill_n(delay, frames, 0.0);
    } else {
      modulator_.fill(side, delay, frames);
    }
    for (int n = 0; n < frames; ++n) {
      const double share = ramp_position<double>(std::min(frame_ + n, tick_frames - 1));
      delay[n] =
          std::max(shortest_loop, time[frame_ + n] + (depth_from_ + (depth_to_ - depth_from_) * share) * delay[n]);
    }
  }

  // The gain of the repeats while the sound is loud.
  void find_ducking(const Block& io, float* gain) noexcept TR_RT {
    for (int n = 0; n < io.frames; ++n) {
      float peak = 0.0f;
      for (int c = 0; c < channels_; ++c) peak = Max(peak, Abs(io.channel[c][n]));
      const float level = branching_step<true>(loudness_, duck_, peak);
      gain[n] = level / (level + half_ducked);
    }
    loudness_.level = flushed(loudness_.level);
    const Tag<float> d;
    each_vector(io.frames, [&](int n) HWY_ATTR {
      const Vec<float> db = settings_.vector(ducking, n) * hn::Load(d, gain + n);
      hn::Store(amplitude(hn::Zero(d) - db), d, gain + n);
    });
  }

  double rate_ = 0;
  int channels_ = 0, frame_ = 0;  // since the last tune
  Card::Values values_{};
  std::array<GlidingDelay, 2> times_;
  double depth_from_ = 0, depth_to_ = 0;  // frames
  Modulator modulator_;
  TickFade<0, 16> freeze_, ping_pong_, input_{true};
  DelayLoop::Settings loop_;
  Ramps<ramped_count> settings_;
  FollowerCoefficients<float> duck_{};
  FollowerState<float> loudness_{};
  std::vector<DelayLoop> loops_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
