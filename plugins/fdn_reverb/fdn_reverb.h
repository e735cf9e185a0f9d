// Reverb: cuts and pre-delay, then early reflections beside a diffused feedback delay network (fdn-inl.h).
//
//   in -> low cut -> high cut -> pre-delay -+-> taps ----------------------> + -> width -> mix -> out
//                                           +-> all-passes -> 16-line FDN -> +
#if defined(TWINRACK_PLUGINS_FDN_REVERB_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_FDN_REVERB_H_
#undef TWINRACK_PLUGINS_FDN_REVERB_H_
#else
#define TWINRACK_PLUGINS_FDN_REVERB_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/allpass-inl.h"
#include "dsp/delay.h"
#include "dsp/fdn-inl.h"
#include "dsp/svf_cascade-inl.h"
#include "dsp/svf_design.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct FDNReverb {
  using Card = cards::FDNReverb;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    layout_ = fdn_layout(rate_);
    entrance_ = fdn_entrance<float>(channels_);
    cuts_.prepare(channels_);
    const auto count = static_cast<std::size_t>(channels_);
    pre_delay_.assign(count, DelayLine());
    for (auto& delay : pre_delay_) delay.prepare(static_cast<int>(std::ceil(0.25 * rate_)) + 4, max_segment);
    early_.assign(count, DelayLine());
    for (auto& delay : early_) delay.prepare(static_cast<int>(std::ceil(0.07 * rate_)), max_segment);
    diffusers_.assign(count * fdn_diffusers, DelayLine());
    for (std::size_t c = 0; c < count; ++c) {
      for (std::size_t i = 0; i < fdn_diffusers; ++i) {
        diffusers_[c * fdn_diffusers + i].prepare(layout_.diffuser_frames[i][c % 2], tick_frames);
      }
    }
    lines_.assign(fdn_lines, DelayLine());
    for (std::size_t i = 0; i < fdn_lines; ++i) lines_[i].prepare(layout_.line_frames[i], tick_frames);
    wet_.assign(count * max_segment, 0.0f);
    late_.assign(count * max_segment, 0.0f);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const double decay = static_cast<double>(v.decay_s);
    from_ = to_;
    for (std::size_t i = 0; i < fdn_diffusers; ++i) {
      for (std::size_t side = 0; side < 2; ++side) {
        const double length = layout_.diffuser_frames[i][side] / rate_;
        to_.diffusion[i][side] =
            static_cast<float>(0.75 * static_cast<double>(v.diffusion) * std::pow(10.0, -6.0 * length / decay));
      }
    }
    pre_delay_from_ = pre_delay_to_;
    pre_delay_to_ = 1.0 + static_cast<double>(v.pre_delay_ms) * 1e-3 * rate_;
    to_.early =
        v.early_db > -59.99f ? static_cast<float>(std::pow(10.0, static_cast<double>(v.early_db) / 20.0)) : 0.0f;
    to_.late = v.freeze ? 0.0f : 1.0f;
    to_.late_level = static_cast<float>(1.3 * std::sqrt(1.0 - std::pow(10.0, -6.0 * 0.0316 / decay)));
    to_.width = v.width;
    to_.mix = v.mix;
    tune_lines(v);
    turn_rate_ = static_cast<double>(v.modulation_rate_hz) * tick_frames / rate_;
    turn_angle_ = 0.5 * std::numbers::pi * static_cast<double>(v.modulation_depth);
    const SvfDesign cuts[2] = {design_svf(FilterShape::low_cut, false, static_cast<double>(v.low_cut_hz), 0.0,
                                          std::numbers::sqrt2 / 2.0, rate_),
                               design_svf(FilterShape::high_cut, false, static_cast<double>(v.high_cut_hz), 0.0,
                                          std::numbers::sqrt2 / 2.0, rate_)};
    cuts_.tune(cuts, 2);
    ramping_ = !(from_ == to_) || pre_delay_from_ != pre_delay_to_;
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    from_ = to_;
    pre_delay_from_ = pre_delay_to_;
    ramping_ = false;
    cuts_.reset();
    for (auto* group : {&pre_delay_, &early_, &diffusers_, &lines_}) {
      for (auto& delay : *group) delay.reset();
    }
    clear(states_);
    phase_ = 0.0;
    frame_in_tick_ = 0;
    set_turns();
    turns_from_ = turns_to_;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    for (int start = 0; start < io.frames;) {  // stretches inside one tick: the modulation moves at every tick
      const int frames = std::min(io.frames - start, tick_frames - frame_in_tick_);
      if (frame_in_tick_ == 0) next_turns();
      stretch(io, start, frames);
      start += frames;
      frame_ += frames;
      frame_in_tick_ = (frame_in_tick_ + frames) % tick_frames;
    }
  }

  int latency() const noexcept { return 0; }

 private:
  struct Settings {
    std::array<std::array<float, 2>, fdn_diffusers> diffusion{};
    float early = 0, late = 0, late_level = 0, width = 1, mix = 0;
    std::array<std::array<std::array<float, fdn_lines>, 5>, 2> shelf{};  // low and high: g, k, m0, m1, m2
    bool operator==(const Settings&) const = default;
  };

  using L = Lines<float>;

  // Attenuation of every line: 60 dB per decay time, in three bands. The squared magnitude of the two shelves is a
  // ratio of quadratics in frequency^4, so it never exceeds the largest ratio of their coefficients. Those at the ends
  // are the bands' own; where both shelves rise the middle one can be larger, and the whole is scaled down to the ends.
  void tune_lines(const Card::Values& v) noexcept TR_RT {
    const double low_hz = static_cast<double>(v.crossover_low_hz), high_hz = static_cast<double>(v.crossover_high_hz);
    const double apart = std::pow(std::tan(std::numbers::pi * audible_frequency(low_hz, rate_) / rate_) /
                                      std::tan(std::numbers::pi * audible_frequency(high_hz, rate_) / rate_),
                                  4.0);
    for (std::size_t i = 0; i < fdn_lines; ++i) {
      const double seconds = layout_.line_frames[i] / rate_;
      const double mid = std::pow(10.0, -3.0 * seconds / static_cast<double>(v.decay_s));
      const double low = std::pow(10.0, -3.0 * seconds / static_cast<double>(v.decay_low_s)) / mid;
      const double high = std::pow(10.0, -3.0 * seconds / static_cast<double>(v.decay_high_s)) / mid;
      const double ends = std::max({1.0, low * low, high * high});
      const double middle = (high + low * high * high * apart) / (high + apart / low);
      const double gain = v.freeze ? 1.0 : mid * std::sqrt(ends / std::max(ends, middle));
      SvfDesign last = monotonous_shelf(false, v.freeze ? 1.0 : high, high_hz, rate_);
      last.m0 *= gain;
      last.m1 *= gain;
      last.m2 *= gain;
      put(to_.shelf[0], i, monotonous_shelf(true, v.freeze ? 1.0 : low, low_hz, rate_));
      put(to_.shelf[1], i, last);
    }
    filters_ = line_filters(1.0f);
  }

  using Shelf = std::array<std::array<float, fdn_lines>, 5>;
  static void put(Shelf& shelf, std::size_t line, const SvfDesign& d) noexcept TR_RT {
    const double values[5] = {d.g, d.k, d.m0, d.m1, d.m2};
    for (std::size_t i = 0; i < 5; ++i) shelf[i][line] = static_cast<float>(values[i]);
  }

  LineFilters<float> line_filters(float share) const noexcept TR_RT {
    LineFilters<float> filters;
    const auto s = hn::Set(L::D(), share);
    for (std::size_t which = 0; which < 2; ++which) {
      auto* into = which == 0 ? filters.low : filters.high;
      for (int part = 0; part < L::count; ++part) {
        const auto mixed = [&](std::size_t i) HWY_ATTR {
          const auto a = hn::LoadU(L::D(), from_.shelf[which][i].data() + part * L::lanes);
          const auto b = hn::LoadU(L::D(), to_.shelf[which][i].data() + part * L::lanes);
          return share == 1.0f ? b : MulAdd(b - a, s, a);
        };
        into[part] = make_svf(mixed(0), mixed(1), mixed(2), mixed(3), mixed(4));
      }
    }
    return filters;
  }

  static void clear(LineStates<float>& states) noexcept TR_RT {
    const auto zero = hn::Zero(L::D());
    for (int i = 0; i < L::count; ++i) states.low[i] = states.high[i] = {zero, zero};
  }

  void set_turns() noexcept TR_RT {
    for (std::size_t i = 0; i < fdn_pairs; ++i) {
      const double turns = phase_ * layout_.rate_factor[i] + layout_.start_turn[i];
      const double angle = turn_angle_ * std::sin(2.0 * std::numbers::pi * turns);
      turns_to_.cosine[i] = static_cast<float>(std::cos(angle));
      turns_to_.sine[i] = static_cast<float>(std::sin(angle));
    }
  }

  void next_turns() noexcept TR_RT {
    turns_from_ = turns_to_;
    phase_ += turn_rate_;
    set_turns();
  }

  float mixed(float from, float to, int n) const noexcept TR_RT {
    return ramping_ ? from + (to - from) * ramp_share<float>(frame_ + n) : to;
  }

  float* wet(int channel) noexcept TR_RT { return wet_.data() + static_cast<std::size_t>(channel) * max_segment; }
  float* late(int channel) noexcept TR_RT { return late_.data() + static_cast<std::size_t>(channel) * max_segment; }

  void stretch(Block io, int start, int frames) noexcept TR_RT {
    float* input[max_channels];
    for (int c = 0; c < channels_; ++c) {
      input[c] = wet(c);
      std::copy_n(io.channel[c] + start, frames, input[c]);
    }
    cuts_.process({input, channels_, frames});
    for (int c = 0; c < channels_; ++c) delay(c, frames);
    for (int c = 0; c < channels_; ++c) diffuse(c, frames);
    network(frames);
    reflect(frames);
    finish(io, start, frames);
  }

  // A setting at each frame of the stretch.
  struct Curve {
    float at[tick_frames];
  };
  Curve curve(float from, float to) const noexcept TR_RT {
    Curve c;
    for (int n = 0; n < tick_frames; ++n) c.at[n] = mixed(from, to, n);
    return c;
  }

  // Fractional, by third-order Lagrange interpolation.
  void delay(int channel, int frames) noexcept TR_RT {
    DelayLine& line = pre_delay_[static_cast<std::size_t>(channel)];
    float* x = wet(channel);
    line.write(x, frames);
    if (!ramping_) {
      const int whole = static_cast<int>(pre_delay_to_);
      const Taps t = taps(static_cast<float>(pre_delay_to_ - whole));
      const float *x0 = line.written(frames, whole - 1), *x1 = line.written(frames, whole),
                  *x2 = line.written(frames, whole + 1), *x3 = line.written(frames, whole + 2);
      for (int n = 0; n < frames; ++n) x[n] = t.w0 * x0[n] + t.w1 * x1[n] + t.w2 * x2[n] + t.w3 * x3[n];
      return;
    }
    for (int n = 0; n < frames; ++n) {
      const double share = ramp_share<double>(frame_ + n);
      const double age = pre_delay_from_ + (pre_delay_to_ - pre_delay_from_) * share;
      const int whole = static_cast<int>(age);
      const Taps t = taps(static_cast<float>(age - whole));
      const float* oldest = line.written(frames, whole + 2) + n;
      x[n] = t.w0 * oldest[3] + t.w1 * oldest[2] + t.w2 * oldest[1] + t.w3 * oldest[0];
    }
  }

  struct Taps {
    float w0, w1, w2, w3;
  };
  static Taps taps(float f) noexcept TR_RT {
    const float a = (f + 1.0f) * (f - 1.0f), b = f * (f - 2.0f);
    return {-b * (f - 1.0f) / 6.0f, a * (f - 2.0f) / 2.0f, -b * (f + 1.0f) / 2.0f, a * f / 6.0f};
  }

  void diffuse(int channel, int frames) noexcept TR_RT {
    const auto c = static_cast<std::size_t>(channel), side = c % 2;
    float* y = late(channel);
    std::copy_n(wet(channel), frames, y);
    for (std::size_t i = 0; i < fdn_diffusers; ++i) {
      DelayLine& line = diffusers_[c * fdn_diffusers + i];
      const int length = layout_.diffuser_frames[i][side];
      const Curve g = curve(from_.diffusion[i][side], to_.diffusion[i][side]);
      for (int start = 0; start < frames; start += length) {  // so many frames do not need each other
        const int count = std::min(length, frames - start);
        const float* delayed = line.coming(length);
        float v[tick_frames];
        for (int n = 0; n < count; ++n) {
          v[n] = allpass_step(g.at[start + n], delayed[n], y[start + n], y[start + n]);
        }
        line.write(v, count);
      }
    }
    const Curve open = curve(from_.late, to_.late);
    for (int n = 0; n < frames; ++n) y[n] *= open.at[n];
  }

  // The shortest line is longer than a stretch, so what comes out of the lines is known before it begins.
  void network(int frames) noexcept TR_RT {
    const float* coming[fdn_lines];
    float going[fdn_lines][tick_frames];
    for (std::size_t i = 0; i < fdn_lines; ++i) coming[i] = lines_[i].coming(layout_.line_frames[i]);
    const Curve level = curve(from_.late_level, to_.late_level);
    for (int n = 0; n < frames; ++n) {
      alignas(32) float values[fdn_lines];
      for (std::size_t i = 0; i < fdn_lines; ++i) values[i] = coming[i][n];
      Turns<float> turns;
      const float share = ramp_share<float>(frame_in_tick_ + n);
      for (std::size_t i = 0; i < fdn_pairs; ++i) {
        turns.cosine[i] = turns_from_.cosine[i] + (turns_to_.cosine[i] - turns_from_.cosine[i]) * share;
        turns.sine[i] = turns_from_.sine[i] + (turns_to_.sine[i] - turns_from_.sine[i]) * share;
      }
      if (ramping_) {
        const LineFilters<float> filters = line_filters(ramp_share<float>(frame_ + n));
        hadamard(turn(turns, attenuate(states_, filters, L::load(values)))).store(values);
      } else {
        hadamard(turn(turns, attenuate(states_, filters_, L::load(values)))).store(values);
      }
      float in[max_channels];
      for (int c = 0; c < channels_; ++c) {
        in[c] = late(c)[n];
        late(c)[n] = level.at[n] * values[c];
      }
      for (std::size_t i = 0; i < fdn_lines; ++i) {
        going[i][n] = values[i] + entrance_[i] * in[static_cast<int>(i) % channels_];
      }
    }
    for (std::size_t i = 0; i < fdn_lines; ++i) lines_[i].write(going[i], frames);
  }

  // Adds the early reflections to what the network gave; odd taps come from the channel opposite.
  void reflect(int frames) noexcept TR_RT {
    for (int c = 0; c < channels_; ++c) early_[static_cast<std::size_t>(c)].write(wet(c), frames);
    const Curve level = curve(from_.early, to_.early);
    for (int c = 0; c < channels_; ++c) {
      const auto side = static_cast<std::size_t>(c % 2);
      const int opposite = (c ^ 1) < channels_ ? c ^ 1 : c;
      float sum[tick_frames] = {};
      for (std::size_t i = 0; i < early_taps; ++i) {
        const DelayLine& line = early_[static_cast<std::size_t>(i % 2 == 0 ? c : opposite)];
        const float gain = layout_.early_gain[side][i];
        const float* echo = line.written(frames, layout_.early_frames[side][i]);
        for (int n = 0; n < frames; ++n) sum[n] += gain * echo[n];
      }
      float* y = late(c);
      for (int n = 0; n < frames; ++n) y[n] += level.at[n] * sum[n];
    }
  }

  void finish(Block io, int start, int frames) noexcept TR_RT {
    const Curve width = curve(from_.width, to_.width), mix = curve(from_.mix, to_.mix);
    float mean[tick_frames] = {};
    for (int c = 0; c < channels_; ++c) {
      const float* y = late(c);
      for (int n = 0; n < frames; ++n) mean[n] += y[n];
    }
    for (int n = 0; n < frames; ++n) mean[n] /= static_cast<float>(channels_);
    for (int c = 0; c < channels_; ++c) {
      const float* y = late(c);
      float* x = io.channel[c] + start;
      for (int n = 0; n < frames; ++n) {
        x[n] = (1.0f - mix.at[n]) * x[n] + mix.at[n] * (mean[n] + width.at[n] * (y[n] - mean[n]));
      }
    }
  }

  double rate_ = 0;
  int channels_ = 0;
  int frame_ = 0;  // since the last tune
  int frame_in_tick_ = 0;
  FdnLayout layout_{};
  std::array<float, fdn_lines> entrance_{};
  Settings from_, to_;
  double pre_delay_from_ = 1, pre_delay_to_ = 1;  // frames; one more than set, as the interpolation needs
  bool ramping_ = false;
  SvfCascade<2> cuts_;
  std::vector<DelayLine> pre_delay_, early_, diffusers_, lines_;
  LineFilters<float> filters_{};
  LineStates<float> states_{};
  Turns<float> turns_from_{}, turns_to_{};
  double phase_ = 0, turn_rate_ = 0, turn_angle_ = 0;
  std::vector<float> wet_, late_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
