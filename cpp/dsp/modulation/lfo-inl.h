// A low-frequency oscillator at audio rate: its phase is the sum of its rate, which holds for a tick of 32 frames, so
// that its wave is the same however the sound is cut into blocks.
//
// The jumps of saw and square take 2 ms (at most a quarter of a turn). The random wave goes from one number to the next
// in each turn, on a curve that begins and ends level; the numbers are a hash of the turn's count, so they are the same
// in every run, and on every machine.
#if defined(TWINRACK_DSP_MODULATION_LFO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_MODULATION_LFO_INL_H_
#undef TWINRACK_DSP_MODULATION_LFO_INL_H_
#else
#define TWINRACK_DSP_MODULATION_LFO_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

enum class Wave : int { sine, triangle, saw, square, random };

class Lfo {
 public:
  static constexpr double edge_s = 0.002;

  // At the beginning of a tick. Rates are below half the sample rate, those of random waves below a 32nd of it.
  void tune(double rate_hz, double sample_rate) noexcept TR_RT {
    step_ = rate_hz / sample_rate;
    edge_ = std::min(0.25, edge_s * rate_hz);
  }
  void reset() noexcept TR_RT {
    phase_ = 0.0;
    frame_ = 0;
  }

  // The wave's next frames, -1 … 1, so many turns ahead: within a tick these move on a straight line.
  template <class T>
  void fill(Wave wave, double from, double to, T* out, int frames) const noexcept TR_RT {
    const double turn = (to - from) / tick_frames;
    double phase = phase_;  // added up as in `pass`, tick by tick, whatever the blocks
    for (int n = 0, frame = frame_; n < frames;) {
      const int here = std::min(frames - n, tick_frames - frame);
      write(wave, phase + (from + turn), step_ + turn, frame, out + n, here);
      n += here;
      frame = 0;
      phase += step_ * tick_frames;
    }
  }

  // The wave so many turns ahead, at a frame of this tick; the 32nd is the next one's first.
  double at(Wave wave, double turns, int frame) const noexcept TR_RT {
    double value = 0.0;
    write(wave, phase_ + turns + step_ * frame, 0.0, 0, &value, 1);
    return value;
  }

  // Goes on by so many frames.
  void pass(int frames) noexcept TR_RT {
    frame_ += frames;
    for (; frame_ >= tick_frames; frame_ -= tick_frames) phase_ += step_ * tick_frames;
  }
  int frame() const noexcept TR_RT { return frame_; }  // in the tick

  void state(StateArchive& archive) {
    archive.bounded(step_, 0.0, 0.5);
    archive.bounded(edge_, 1e-9, 0.25);
    archive.bounded(phase_, 0.0, 1e15);
    archive.bounded(frame_, 0, tick_frames - 1);
  }

 private:
  // The number that the random wave has at the beginning of a turn.
  static double number(std::int64_t turn) noexcept TR_RT {
    auto h = static_cast<std::uint32_t>(turn) * 0x9e3779b1u;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    h ^= h >> 16;
    return static_cast<double>(h) / 2147483648.0 - 1.0;
  }

  static double part_of_turn(double x) noexcept TR_RT { return x - std::floor(x); }
  static double triangle_of(double turn) noexcept TR_RT {
    return 1.0 - 4.0 * std::abs(part_of_turn(turn + 0.25) - 0.5);
  }

  template <class T>
  void write(Wave wave, double phase, double frame_step, int frame, T* out, int frames) const noexcept TR_RT {
    const double first = std::floor(phase), start = phase - first;
    const auto each = [&](const auto& function) HWY_ATTR {
      for (int n = 0; n < frames; ++n) out[n] = static_cast<T>(function(start + frame_step * (frame + n)));
    };
    switch (wave) {
      case Wave::sine:
        return each([](double t) HWY_ATTR { return sine_of_turn(part_of_turn(t + 0.5) - 0.5); });
      case Wave::triangle:
        return each([](double t) HWY_ATTR { return triangle_of(t); });
      case Wave::saw: {
        const double end = 1.0 - edge_, up = 2.0 / end, down = 2.0 / edge_;
        return each([=](double t) HWY_ATTR {
          const double u = part_of_turn(t);
          return Min(u * up - 1.0, 1.0 - (u - end) * down);
        });
      }
      case Wave::square: {
        const double steep = 0.5 / edge_;
        return each([=](double t) HWY_ATTR { return Max(Min(steep * triangle_of(t), 1.0), -1.0); });
      }
      case Wave::random: {
        const auto turn = static_cast<std::int64_t>(first);
        double
            numbers[5];  // of the turns from the one before to two after: a phase that is moved goes so far in a tick
        for (int i = 0; i < 5; ++i) numbers[i] = number(turn + i - 1);
        return each([&](double t) HWY_ATTR {
          const int i = std::clamp(static_cast<int>(std::floor(t)) + 1, 0, 3);
          const double u = part_of_turn(t);
          return numbers[i] + u * u * (3.0 - 2.0 * u) * (numbers[i + 1] - numbers[i]);
        });
      }
    }
  }

  double step_ = 0, edge_ = 0.25, phase_ = 0;  // in turns: a frame, the length of a jump, at the tick's beginning
  int frame_ = 0;                              // in the tick
};

// An oscillator for the channels of an effect: the odd ones are some turns ahead, and a change of wave is a crossfade.
class Modulator {
 public:
  struct Settings {
    double rate_hz;
    Wave wave;
    double start, stereo;  // in turns: of all channels, and of the odd ones besides

    // Of an effect with the value `start_deg` and, where it has it, `stereo_deg`.
    template <class Values>
    static Settings of(const Values& v, double rate_hz, Wave wave) noexcept TR_RT {
      double stereo_deg = 0.0;
      if constexpr (requires { v.stereo_deg; }) stereo_deg = static_cast<double>(v.stereo_deg);
      return {rate_hz, wave, static_cast<double>(v.start_deg) / 360.0, stereo_deg / 360.0};
    }
  };

  // At every tick at which something moves.
  void tune(const Settings& to, double sample_rate) noexcept TR_RT {
    lfo_.tune(to.rate_hz, sample_rate);
    wanted_ = to.wave;
    if (!fade_.moving() && wanted_ != waves_[active_]) {
      active_ = 1 - active_;
      waves_[active_] = wanted_;
      fade_.go(active_ == 1);
    }
    fade_.tick();
    settings_.go({static_cast<float>(fade_.share())});
    from_ = to_;
    to_ = {to.start, to.start + to.stereo};
  }
  void reset() noexcept TR_RT {
    lfo_.reset();
    waves_[active_] = wanted_;
    fade_.arrive();
    settings_.go({static_cast<float>(fade_.share())});
    settings_.arrive();
    from_ = to_;
  }
  bool fading() const noexcept TR_RT { return fade_.moving() || wanted_ != waves_[active_]; }

  // The wave of a channel where this tick begins, and where it ends.
  double at_start(int channel) const noexcept TR_RT { return knot(from_, channel, 0, settings_.at(0, -1)); }
  double at_end(int channel) const noexcept TR_RT { return knot(to_, channel, tick_frames, settings_.to()[0]); }

  int frame() const noexcept TR_RT { return lfo_.frame(); }

  // The next frames of a channel, -1 … 1; at most `max_segment`. A voice of several is so many turns ahead of the
  // first.
  template <class T>
  void fill(int channel, T* out, int frames, double ahead = 0.0) const noexcept TR_RT {
    const auto side = static_cast<std::size_t>(channel % 2);
    const double from = from_[side] + ahead, to = to_[side] + ahead;
    lfo_.fill(waves_[active_], from, to, out, frames);
    if (settings_.rests_at(0, static_cast<float>(active_))) return;
    T other[max_segment];
    lfo_.fill(waves_[1 - active_], from, to, other, frames);
    for (int n = 0; n < frames; ++n) {
      const auto share = static_cast<T>(active_ == 1 ? settings_.at(0, n) : 1.0f - settings_.at(0, n));
      out[n] = other[n] + share * (out[n] - other[n]);
    }
  }
  void pass(int frames) noexcept TR_RT {
    lfo_.pass(frames);
    settings_.pass(frames);
  }

  void state(StateArchive& archive) {
    archive(lfo_, fade_, settings_);
    for (auto* ahead : {&from_, &to_}) {
      for (double& turns : *ahead) archive.bounded(turns, 0.0, 2.0);
    }
    for (Wave& wave : waves_) archive.bounded(wave, Wave::sine, Wave::random);
    archive.bounded(wanted_, Wave::sine, Wave::random);
    archive.bounded(active_, std::size_t{0}, std::size_t{1});
    if (archive.is_loading()) fade_.go(active_ == 1);
  }

 private:
  double knot(const std::array<double, 2>& ahead, int channel, int frame, float share) const noexcept TR_RT {
    const double turns = ahead[static_cast<std::size_t>(channel % 2)];
    const double first = lfo_.at(waves_[0], turns, frame);
    return share == 0.0f ? first : first + static_cast<double>(share) * (lfo_.at(waves_[1], turns, frame) - first);
  }

  Lfo lfo_;
  TickFade<0, 16> fade_;
  Ramps<1> settings_;
  std::array<double, 2> from_{}, to_{};  // turns ahead of the even and the odd channels
  std::array<Wave, 2> waves_{};
  Wave wanted_ = Wave::sine;
  std::size_t active_ = 0;  // the wave that the crossfade goes to
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
