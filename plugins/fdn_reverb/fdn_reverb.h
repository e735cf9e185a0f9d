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
#include "dsp/filters/allpass-inl.h"
#include "dsp/delay/delay.h"
#include "dsp/delay/fdn-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/filters/svf_design.h"
#include "dsp/lanes/transpose-inl.h"
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
    turn_depth_ = v.modulation_depth;
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
    overslept_ = false;
    turns_from_ = turns_to_ = turns_at(0.0);
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    if (overslept_) {
      turns_from_ = turns_at(phase_ - turn_rate_);
      turns_to_ = turns_at(phase_);
      overslept_ = false;
    }
    float* input[max_channels];
    for (int c = 0; c < channels_; ++c) {
      input[c] = wet(c);
      std::memcpy(input[c], io.channel[c], sizeof(float) * static_cast<std::size_t>(io.frames));
    }
    cuts_.process({input, channels_, io.frames});
    for (int c = 0; c < channels_; ++c) delay(c, io.frames);
    for (int start = 0; start < io.frames;) {  // stretches inside one tick: the modulation moves at every tick
      const int frames = std::min(io.frames - start, tick_frames - frame_in_tick_);
      if (frame_in_tick_ == 0) {
        phase_ += turn_rate_;
        turns_from_ = turns_to_;
        turns_to_ = turns_at(phase_);
      }
      for (int c = 0; c < channels_; ++c) diffuse(c, start, frames);
      network(frames);
      reflect(start, frames);
      finish(io, start, frames);
      start += frames;
      frame_ = std::min(frame_ + frames, tick_frames);
      frame_in_tick_ = (frame_in_tick_ + frames) % tick_frames;
    }
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    constexpr float quiet = 1e-8f;
    if (silent_frames < pre_delay_to_ + 0.08 * rate_) return false;  // the echoes have passed
    for (auto* group : {&lines_, &diffusers_}) {
      for (const auto& line : *group) {
        if (!line.below(quiet)) return false;
      }
    }
    if (!cuts_.tail_ended()) return false;
    clear(states_);
    return true;
  }

  // The modulation goes on in silence.
  void skip_silence(int frames) noexcept TR_RT {
    while (frames > 0) {
      if (frame_in_tick_ == 0) phase_ += turn_rate_;
      const int step = std::min(frames, tick_frames - frame_in_tick_);
      frame_in_tick_ = (frame_in_tick_ + step) % tick_frames;
      frames -= step;
    }
    overslept_ = true;
  }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(from_, to_, ramping_, cuts_, pre_delay_, early_, diffusers_, lines_, states_);
    archive(turns_from_, turns_to_, phase_, overslept_);
    archive.bounded(frame_, 0, tick_frames);
    archive.bounded(frame_in_tick_, 0, tick_frames - 1);
    archive.bounded(pre_delay_from_, 1.0, std::ceil(0.25 * rate_) + 2.0);
  }

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
    const double apart = std::pow(prewarped(low_hz, rate_) / prewarped(high_hz, rate_), 4.0);
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

  Turns<float> turns_at(double phase) const noexcept TR_RT {
    Turns<float> turns;
    float turn[fdn_pairs];
    for (std::size_t i = 0; i < fdn_pairs; ++i) {
      const double whole = phase * layout_.rate_factor[i] + layout_.start_turn[i];
      turn[i] = static_cast<float>(whole - std::round(whole));
    }
    const L::D d;
    for (int i = 0; i < fdn_pairs; i += L::lanes) {
      const auto angle = hn::Set(d, turn_depth_) * sine_of_turn(hn::LoadU(d, turn + i));
      hn::StoreU(cosine_of_quarter(angle), d, turns.cosine + i);
      hn::StoreU(sine_of_quarter(angle), d, turns.sine + i);
    }
    return turns;
  }

  float* wet(int channel) noexcept TR_RT { return wet_.data() + static_cast<std::size_t>(channel) * max_segment; }
  float* late(int channel) noexcept TR_RT { return late_.data() + static_cast<std::size_t>(channel) * max_segment; }

  // A setting at each frame of the stretch.
  Ramp curve(float from, float to) const noexcept TR_RT { return {from, to, frame_, ramping_}; }

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

  void diffuse(int channel, int start, int frames) noexcept TR_RT {
    const L::D d;
    const auto c = static_cast<std::size_t>(channel), side = c % 2;
    float* y = late(channel);
    std::memcpy(y, wet(channel) + start, sizeof(float) * static_cast<std::size_t>(frames));
    for (std::size_t i = 0; i < fdn_diffusers; ++i) {
      DelayLine& line = diffusers_[c * fdn_diffusers + i];
      const int length = layout_.diffuser_frames[i][side];
      const Ramp g = curve(from_.diffusion[i][side], to_.diffusion[i][side]);
      for (int done = 0; done < frames; done += length) {  // so many frames do not need each other
        const int count = std::min(length, frames - done);
        const float* delayed = line.coming(length);
        float* v = line.open();
        int n = 0;
        for (; n + L::lanes <= count; n += L::lanes) {
          auto out = hn::Zero(d);
          const auto in = hn::LoadU(d, y + done + n);
          hn::StoreU(allpass_step(g.vector(done + n), hn::LoadU(d, delayed + n), in, out), d, v + n);
          hn::StoreU(out, d, y + done + n);
        }
        for (; n < count; ++n) v[n] = allpass_step(g[done + n], delayed[n], y[done + n], y[done + n]);
        line.close(count);
      }
    }
    if (from_.late == 1.0f && to_.late == 1.0f) return;
    const Ramp open = curve(from_.late, to_.late);
    for (int n = 0; n < frames; ++n) y[n] *= open[n];
  }

  // The shortest line is longer than a stretch, so what comes out of the lines is known before it begins. The filters
  // are recursions and have the lines in the lanes; all else has time there.
  void network(int frames) noexcept TR_RT {
    using V = L::V;
    constexpr int lanes = L::lanes;
    const L::D d;
    const float *coming[fdn_lines], *in[fdn_lines];
    float* going[fdn_lines];
    int channel = 0;
    for (std::size_t i = 0; i < fdn_lines; ++i) {
      in[i] = late(channel);
      channel = channel + 1 == channels_ ? 0 : channel + 1;
      coming[i] = lines_[i].coming(layout_.line_frames[i]);
      going[i] = lines_[i].open();
    }
    const Ramp level = curve(from_.late_level, to_.late_level);
    for (int n = 0; n < frames; n += lanes) {
      V x[fdn_lines];
      for (int i = 0; i < fdn_lines; ++i) x[i] = hn::LoadU(d, coming[i] + n);
      filter(x, n, std::min(lanes, frames - n));
      const V share = hn::Iota(d, static_cast<float>(frame_in_tick_ + n + 1)) * hn::Set(d, 1.0f / tick_frames);
      for (std::size_t i = 0; i < fdn_pairs; ++i) {
        const auto mixed = [&](float from, float to)
                               HWY_ATTR { return hn::Set(d, from) + hn::Set(d, to - from) * share; };
        const V c = mixed(turns_from_.cosine[i], turns_to_.cosine[i]),
                s = mixed(turns_from_.sine[i], turns_to_.sine[i]);
        const V a = x[i], b = x[i + fdn_pairs];
        x[i] = NegMulAdd(s, b, c * a);
        x[i + fdn_pairs] = MulAdd(s, a, c * b);
      }
      butterflies<8>(x);
      butterflies<4>(x);
      butterflies<2>(x);
      butterflies<1>(x);
      for (std::size_t i = 0; i < fdn_lines; ++i) {
        x[i] = x[i] * hn::Set(d, 0.25f);  // orthonormal
        hn::StoreU(MulAdd(hn::Set(d, entrance_[i]), hn::LoadU(d, in[i] + n), x[i]), d, going[i] + n);
      }
      for (int c = 0; c < channels_; ++c) hn::StoreU(level.vector(n) * x[c], d, late(c) + n);
    }
    for (auto& line : lines_) line.close(frames);
  }

  // One stage of a Hadamard matrix, between vectors.
  template <int stride>
  static HWY_INLINE void butterflies(L::V* x) noexcept TR_RT {
    for (int first = 0; first < fdn_lines; first += 2 * stride) {
      for (int i = first; i < first + stride; ++i) {
        const auto a = x[i], b = x[i + stride];
        x[i] = a + b;
        x[i + stride] = a - b;
      }
    }
  }

  // The attenuation of the lines, frame by frame.
  void filter(L::V* x, int n, int count) noexcept TR_RT {
    for (int part = 0; part < L::count; ++part) transpose(x + part * L::lanes);
    LineStates<float> states = states_;
    for (int k = 0; k < count; ++k) {
      L frame;
      for (int part = 0; part < L::count; ++part) frame.part[part] = x[part * L::lanes + k];
      frame = ramping_ ? attenuate(states, line_filters(ramp_share<float>(frame_ + n + k)), frame)
                       : attenuate(states, filters_, frame);
      for (int part = 0; part < L::count; ++part) x[part * L::lanes + k] = frame.part[part];
    }
    states_ = states;
    for (int part = 0; part < L::count; ++part) transpose(x + part * L::lanes);
  }

  // Adds the early reflections to what the network gave; odd taps come from the channel opposite.
  void reflect(int start, int frames) noexcept TR_RT {
    const L::D d;
    for (int c = 0; c < channels_; ++c) early_[static_cast<std::size_t>(c)].write(wet(c) + start, frames);
    const Ramp level = curve(from_.early, to_.early);
    for (int c = 0; c < channels_; ++c) {
      const auto side = static_cast<std::size_t>(c % 2);
      const int opposite = (c ^ 1) < channels_ ? c ^ 1 : c;
      const float* echo[early_taps];
      for (std::size_t i = 0; i < early_taps; ++i) {
        const DelayLine& line = early_[static_cast<std::size_t>(i % 2 == 0 ? c : opposite)];
        echo[i] = line.written(frames, layout_.early_frames[side][i]);
      }
      float* y = late(c);
      for (int n = 0; n < frames; n += L::lanes) {
        auto sum = hn::Zero(d);
        for (std::size_t i = 0; i < early_taps; ++i) {
          sum = hn::MulAdd(hn::Set(d, layout_.early_gain[side][i]), hn::LoadU(d, echo[i] + n), sum);
        }
        hn::StoreU(hn::MulAdd(level.vector(n), sum, hn::LoadU(d, y + n)), d, y + n);
      }
    }
  }

  void finish(Block io, int start, int frames) noexcept TR_RT {
    const L::D d;
    const Ramp width = curve(from_.width, to_.width), mix = curve(from_.mix, to_.mix);
    const auto share = hn::Set(d, 1.0f / static_cast<float>(channels_)), one = hn::Set(d, 1.0f);
    for (int n = 0; n < frames; n += L::lanes) {
      auto mean = hn::Zero(d);
      for (int c = 0; c < channels_; ++c) mean = mean + hn::LoadU(d, late(c) + n);
      mean = mean * share;
      const auto wide = width.vector(n), wet_share = mix.vector(n);
      for (int c = 0; c < channels_; ++c) {
        const auto y = hn::LoadU(d, late(c) + n);
        hn::StoreU(wet_share * MulAdd(wide, y - mean, mean), d, late(c) + n);
      }
      alignas(32) float dry[L::lanes];
      hn::Store(one - wet_share, d, dry);
      for (int c = 0; c < channels_; ++c) {
        float* x = io.channel[c] + start + n;
        const float* y = late(c) + n;
        const int count = std::min(L::lanes, frames - n);
        for (int i = 0; i < count; ++i) x[i] = dry[i] * x[i] + y[i];
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
  double phase_ = 0, turn_rate_ = 0;
  float turn_depth_ = 0;
  bool overslept_ = false;
  std::vector<float> wet_, late_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
