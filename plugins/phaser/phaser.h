// Phaser: all-passes whose frequency an oscillator moves, with feedback, added to the sound itself.
//
// The channels lie in the lanes of vectors. Coefficients are worked out for the ends of each tick.
#if defined(TWINRACK_PLUGINS_PHASER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_PHASER_H_
#undef TWINRACK_PLUGINS_PHASER_H_
#else
#define TWINRACK_PLUGINS_PHASER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "plugins/phaser/stages_sweep.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Phaser {
  using Card = cards::Phaser;
  static constexpr double lowest_hz = 40.0, highest = 0.45;  // the second of the sample rate

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    states_.assign(static_cast<std::size_t>((channels_ + lanes - 1) / lanes), {});
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    modulator_.tune(Modulator::Settings::of(v, rate_of(v), static_cast<Wave>(v.wave)), rate_);
    from_ = to_;
    to_ = {static_cast<double>(v.frequency_hz), 0.5 * static_cast<double>(v.range_oct)};
    constexpr int counts[] = {4, 6, 8, 10, 12};
    wanted_ = counts[static_cast<std::size_t>(v.stages)];
    if (wanted_ != stages_ && fade_.at_first()) set_stages();
    fade_.go(wanted_ == stages_);
    fade_.tick();
    mix_ = v.mix;
    feedback_ = v.feedback;
    settings_.go({feedback_, mix_ * static_cast<float>(fade_.share())});
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    from_ = to_;
    set_stages();
    fade_.go(true);
    fade_.arrive();
    settings_.go({feedback_, mix_});
    settings_.arrive();
    std::fill(states_.begin(), states_.end(), State{});
    started_ = false;
    begun_ = false;
  }

  bool is_ramping() const noexcept TR_RT { return modulator_.fading() || fade_.moving() || wanted_ != stages_; }

  void process(Block io, SideBlock) noexcept TR_RT {
    for (int start = 0; start < io.frames;) {
      const int frame = modulator_.frame();
      if (frame == 0 || !begun_) find_coefficients();
      const int frames = std::min(io.frames - start, tick_frames - frame);
      for (int c = 0; c < channels_; c += lanes) run(io, c, start, frame, frames);
      modulator_.pass(frames);
      settings_.pass(frames);
      start += frames;
    }
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (settings_.moving() || from_ != to_ || silent_frames < tick_frames) return false;
    for (State& state : states_) {
      for (int c = 0; c < lanes; ++c) {
        const auto lane = static_cast<std::size_t>(c);
        for (const auto& s : state.s) {
          if (std::abs(s[lane]) > 1e-8f) return false;
        }
        if (std::abs(state.y[lane]) > 1e-8f) return false;
      }
    }
    std::fill(states_.begin(), states_.end(), State{});
    return true;
  }
  void skip_silence(int frames) noexcept TR_RT {
    modulator_.pass(frames);
    begun_ = false;
    started_ = true;
  }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(modulator_, settings_, states_, b_from_, b_to_, fade_, mix_, feedback_);
    archive(started_, begun_, from_, to_);
    archive.bounded(stages_, 4, PhaserStagesSweep::most_stages);
    archive.bounded(wanted_, 4, PhaserStagesSweep::most_stages);
    if (archive.is_loading()) fade_.go(wanted_ == stages_);
  }

 private:
  static constexpr int lanes = lane_count<float>;
  enum Ramped : std::size_t { feedback, mix, ramped_count };
  using Row = std::array<float, 8>;  // a vector has at most eight lanes
  struct State {
    std::array<Row, PhaserStagesSweep::most_stages> s{};
    Row y{};
  };

  // Stages that are no longer run forget.
  void set_stages() noexcept TR_RT {
    stages_ = wanted_;
    for (State& state : states_) {
      std::fill(state.s.begin() + stages_, state.s.end(), Row{});
    }
  }

  float coefficient(const std::array<double, 2>& middle_and_range, double wave) const noexcept TR_RT {
    const double hertz = middle_and_range[0] * std::exp2(middle_and_range[1] * wave);
    const double tangent = std::tan(std::numbers::pi * std::clamp(hertz, lowest_hz, highest * rate_) / rate_);
    return static_cast<float>(2.0 * tangent / (1.0 + tangent));
  }

  // Of each side at the beginning and the end of the tick: it begins where the last one ended, if that is known.
  void find_coefficients() noexcept TR_RT {
    for (std::size_t side = 0; side < 2; ++side) {
      const int channel = static_cast<int>(side);
      const float last = b_to_[side];
      b_to_[side] = coefficient(to_, modulator_.at_end(channel));
      b_from_[side] = begun_ ? last : started_ ? coefficient(from_, modulator_.at_start(channel)) : b_to_[side];
    }
    started_ = begun_ = true;
  }

  void run(const Block& io, int channel, int start, int frame, int frames) noexcept TR_RT {
    const Tag<float> d;
    using V = Vec<float>;
    const int count = std::min(lanes, channels_ - channel);
    State& kept = states_[static_cast<std::size_t>(channel / lanes)];
    PhaserStagesSweep::State<V> state;
    for (std::size_t i = 0; i < kept.s.size(); ++i) state.s[i] = hn::LoadU(d, kept.s[i].data());
    state.y = hn::LoadU(d, kept.y.data());
    alignas(32) float from[8], way[8], in[8] = {}, out[8];
    for (int c = 0; c < lanes; ++c) {
      const auto side = static_cast<std::size_t>((channel + c) % 2);
      from[c] = b_from_[side];
      way[c] = b_to_[side] - b_from_[side];
    }
    const V first = hn::Load(d, from), distance = hn::Load(d, way);
    const int options[1] = {stages_};
    for (int n = 0; n < frames; ++n) {
      for (int c = 0; c < count; ++c) in[c] = io.channel[channel + c][start + n];
      const V b = MulAdd(distance, hn::Set(d, ramp_position<float>(frame + n)), first);
      const V x = hn::Load(d, in), share = hn::Set(d, settings_.at(mix, n));
      const V y = PhaserStagesSweep::step(state, {b, hn::Set(d, settings_.at(feedback, n))}, options, x);
      hn::Store(MulAdd(share, y - x, x), d, out);
      for (int c = 0; c < count; ++c) io.channel[channel + c][start + n] = out[c];
    }
    for (std::size_t i = 0; i < kept.s.size(); ++i) hn::StoreU(flushed(state.s[i]), d, kept.s[i].data());
    hn::StoreU(flushed(state.y), d, kept.y.data());
  }

  double rate_ = 0;
  int channels_ = 0, stages_ = 6, wanted_ = 6;
  float mix_ = 0, feedback_ = 0;
  bool started_ = false, begun_ = false;    // since the stream's beginning; in this tick
  std::array<double, 2> from_{}, to_{};     // the middle in Hz, and octaves to either side
  std::array<float, 2> b_from_{}, b_to_{};  // of the even and the odd channels, in this tick
  TickFade<0, 16> fade_{true};              // out and in again, where the number of stages changes
  Modulator modulator_;
  Ramps<ramped_count> settings_;
  std::vector<State> states_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
