// Saturation: a memoryless curve at a higher sample rate.
//
//   in -> drive -> [up] -> + bias -> curve -> [down] -> cut at 5 Hz -> tilt -> level -> mix -> out
//
// The dry part of the mix is delayed as the wet one is: with linear phase by as many frames, with minimum phase by the
// same filters up and down, so that their phase does not cancel.
#if defined(TWINRACK_PLUGINS_SATURATION_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_SATURATION_H_
#undef TWINRACK_PLUGINS_SATURATION_H_
#else
#define TWINRACK_PLUGINS_SATURATION_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/dynamics/sidechain-inl.h"
#include "dsp/filters/oversampler-inl.h"
#include "dsp/lanes/aligned_row.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/shaping/shapes-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Saturation {
  using Card = cards::Saturation;
  static constexpr double reference = 0.12589254117941673;  // -18 dBFS: a sine of this peak keeps its level

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    oversampler_.prepare(channels_, max_segment);
    dry_oversampler_.prepare(channels_, max_segment);
    filters_.prepare(channels_);
    dry_.prepare(channels_, oversampling_delay(halfband_stages));
    wet_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    for (int c = 0; c < channels_; ++c) wet_pointers_[static_cast<std::size_t>(c)] = wet(c);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    choices_ = v;
    if (!curve_fade_.moving() && wanted() != curve()) {
      active_ = 1 - active_;
      curves_[active_] = wanted();
      curve_fade_.go(active_ == 1);
    }
    curve_fade_.tick();
    auto_gain_.go(v.auto_gain);
    auto_gain_.tick();
    update_settings();
    const SvfDesign filters[2] = {
        design_svf(FilterShape::low_cut, false, 5.0, 0.0, std::numbers::sqrt2 / 2.0, rate_),
        design_svf(FilterShape::high_shelf, false, 1000.0, static_cast<double>(v.tone_db), 0.5, rate_)};
    filters_.tune(filters, 2);
    using Factor = Card::Oversampling;  // each option is one stage more
    static_assert(static_cast<int>(Factor::n1) == 0 && static_cast<int>(Factor::n2) == 1);
    static_assert(static_cast<int>(Factor::n4) == 2 && static_cast<int>(Factor::n8) == halfband_stages);
    const int stages = static_cast<int>(v.oversampling);
    oversampler_.set(stages, v.filters == Card::Filters::minimum_phase);
    dry_oversampler_.set(stages, v.filters == Card::Filters::minimum_phase);
    dry_.set(oversampler_.latency());
  }

  void reset() noexcept TR_RT {
    oversampler_.reset();
    dry_oversampler_.reset();
    filters_.reset();
    dry_.reset();
    curves_[active_] = wanted();
    curve_fade_.arrive();
    auto_gain_.arrive();
    update_settings();
    settings_.arrive();
  }

  // True while one curve is crossfaded into another, and while the automatic gain comes or goes.
  bool is_ramping() const noexcept TR_RT { return curve_fade_.moving() || auto_gain_.moving() || wanted() != curve(); }

  void process(Block io, SideBlock) noexcept TR_RT {
    if (!settings_.rests_at(second, static_cast<float>(active_))) return crossfade(io);
    switch (curve()) {
      case Curve::tanh:
        return run<Curve::tanh>(io);
      case Curve::soft_clip:
        return run<Curve::soft_clip>(io);
      case Curve::hard_clip:
        return run<Curve::hard_clip>(io);
      case Curve::asymmetric:
        return run<Curve::asymmetric>(io);
      case Curve::tape:
        return run<Curve::tape>(io);
      case Curve::fold:
        return run<Curve::fold>(io);
    }
  }

  // Streams side by side have the same curve and oversampling.
  int stream_group() const noexcept TR_RT {
    if (settings_.moving() || is_ramping() || filters_.stream_groups() < 0) return -1;
    const int filters = 2 * oversampler_.stages() + static_cast<int>(oversampler_.minimum_phase());
    return 2 * halfband_stages * static_cast<int>(curve()) + 2 * static_cast<int>(curve()) + filters;
  }

  // The past of the oversamplers of streams side by side.
  class StreamMemory {
   public:
    explicit StreamMemory(const Format& format) {
      wet_.prepare(format.channels, block);
      dry_.prepare(format.channels, block);
      memory_ = AlignedRow(static_cast<std::size_t>(format.channels * max_segment * stream_lanes));
    }
    void take(Saturation& own, int lane) noexcept TR_RT {
      for (OversamplerStreams* oversampler : {&wet_, &dry_}) {
        oversampler->set(own.oversampler_.stages(), own.oversampler_.minimum_phase());
      }
      wet_.take(own.oversampler_, lane);
      dry_.take(own.dry_oversampler_, lane);
    }
    void give(Saturation& own, int lane) const noexcept TR_RT {
      wet_.give(own.oversampler_, lane);
      dry_.give(own.dry_oversampler_, lane);
    }

   private:
    friend Saturation;
    static constexpr int block = 128;

    OversamplerStreams wet_, dry_;
    AlignedRow memory_;
  };

  static StreamPeaks process_streams(StreamMemory& memory, const StreamOwners<Saturation>& owners,
                                     const StreamBlock& io) noexcept TR_RT {
    float* wet[2];
    for (int c = 0; c < io.channels; ++c) wet[c] = memory.memory_.data() + c * max_segment * stream_lanes;
    switch (owners.any().curve()) {
      case Curve::tanh:
        shape_streams<Curve::tanh>(memory, owners, io, wet);
        break;
      case Curve::soft_clip:
        shape_streams<Curve::soft_clip>(memory, owners, io, wet);
        break;
      case Curve::hard_clip:
        shape_streams<Curve::hard_clip>(memory, owners, io, wet);
        break;
      case Curve::asymmetric:
        shape_streams<Curve::asymmetric>(memory, owners, io, wet);
        break;
      case Curve::tape:
        shape_streams<Curve::tape>(memory, owners, io, wet);
        break;
      case Curve::fold:
        shape_streams<Curve::fold>(memory, owners, io, wet);
        break;
    }
    StreamPeaks* const no_peaks[2] = {nullptr, nullptr};
    SvfCascade<2>::process_streams(
        owners, [](Saturation& one) -> auto& { return one.filters_; }, wet, io.channels, io.frames, no_peaks);
    return blend_streams(memory, owners, io, wet);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    return silent_frames > 2 * max_segment && !settings_.moving() && oversampler_.tail_ended() &&
           dry_oversampler_.tail_ended() && filters_.tail_ended();
  }

  int latency() const noexcept { return oversampler_.latency(); }
  int dispersion() const noexcept { return oversampler_.minimum_phase() ? oversampler_.latency() : 0; }
  void state(StateArchive& archive) {
    archive.bounded(active_, 0, 1);
    for (Curve& curve : curves_) archive.bounded(curve, Curve::tanh, Curve::fold);
    archive(curve_fade_, auto_gain_, settings_, oversampler_, dry_oversampler_, filters_, dry_);
    curve_fade_.go(active_ == 1);  // its goal is not saved
  }

 private:
  enum Ramped : std::size_t { drive, bias, out, mix, second, ramped_count };
  using V = Vec<float>;

  // By name, so the order in the card does not matter; a curve without a case stops the build.
  Curve wanted() const noexcept TR_RT {
    switch (choices_.curve) {
      case Card::Curve::tanh:
        return Curve::tanh;
      case Card::Curve::soft_clip:
        return Curve::soft_clip;
      case Card::Curve::hard_clip:
        return Curve::hard_clip;
      case Card::Curve::asymmetric:
        return Curve::asymmetric;
      case Card::Curve::tape:
        return Curve::tape;
      case Card::Curve::fold:
        return Curve::fold;
    }
    return Curve::tanh;
  }
  Curve curve() const noexcept TR_RT { return curves_[active_]; }

  // Sets the ramps' targets for the next tick from the parameters' values.
  void update_settings() noexcept TR_RT {
    const Card::Values& v = choices_;
    const double drive = std::pow(10.0, static_cast<double>(v.drive_db) / 20.0), bias = static_cast<double>(v.bias);
    const double level = static_cast<double>(v.output_db) - 0.5 * static_cast<double>(v.tone_db);
    const double of_second = curve_fade_.share();
    double own = auto_gain_.at_first() ? 1.0 : sine_level(curve(), drive, bias);
    if (!auto_gain_.at_first() && curve_fade_.moving()) {
      own = of_second * sine_level(curves_[1], drive, bias) + (1.0 - of_second) * sine_level(curves_[0], drive, bias);
    }
    if (!auto_gain_.at_last()) own = 1.0 + (own - 1.0) * auto_gain_.share();
    const double out = std::pow(10.0, level / 20.0) * own;
    settings_.go({static_cast<float>(drive), v.bias, static_cast<float>(out), v.mix, static_cast<float>(of_second)});
  }

  // The gain after the curve that gives a sine at the reference level the power it had, from 16 points of the sine.
  static double sine_level(Curve curve, double drive, double bias) noexcept TR_RT {
    constexpr int points = 16;
    double power = 0.0, mean = 0.0, before = 0.0;
    for (int i = 0; i < points; ++i) {
      const double x = reference * std::sin(2.0 * std::numbers::pi * (i + 0.5) / points);
      const double y = shaped(curve, drive * x + bias);
      before += x * x / points;
      power += y * y / points;
      mean += y / points;
    }
    return std::sqrt(before / std::max(power - mean * mean, 1e-6 * before));
  }

  float* wet(int channel) noexcept TR_RT { return wet_.data() + static_cast<std::size_t>(channel) * max_segment; }

  // The input, delayed as the wet sound is.
  const float* dry(int channel, const float* x, int frames) noexcept TR_RT {
    if (!dry_oversampler_.minimum_phase()) return dry_.delayed(channel, x, frames);
    std::memcpy(filtered_dry_.data(), x, sizeof(float) * static_cast<std::size_t>(frames));
    dry_oversampler_.process(channel, filtered_dry_.data(), frames, [](V v, int) HWY_ATTR { return v; });
    return filtered_dry_.data();
  }

  template <Curve curve>
  void run(Block io) noexcept TR_RT {
    const V steady = settings_.vector(bias, 0), steady_level = shaped<curve>(steady);
    const bool moving = settings_.moving();
    shape(io, [&](V x, int n) HWY_ATTR {
      if (!moving) return shaped<curve>(x + steady) - steady_level;
      const V at = settings_.vector(bias, n);
      return shaped<curve>(x + at) - shaped<curve>(at);
    });
  }

  // From one curve to another: a crossfade of both.
  void crossfade(Block io) noexcept TR_RT {
    shape(io, [&](V x, int n) HWY_ATTR {
      const V at = settings_.vector(bias, n);
      const V from = shaped(curves_[0], x + at) - shaped(curves_[0], at);
      const V to = shaped(curves_[1], x + at) - shaped(curves_[1], at);
      return from + settings_.vector(second, n) * (to - from);
    });
  }

  template <class Shape>
  void shape(Block io, const Shape& shape) noexcept TR_RT {
    const Tag<float> d;
    const int frames = io.frames;
    for (int c = 0; c < channels_; ++c) {
      float* y = wet(c);
      std::memcpy(y, io.channel[c], sizeof(float) * static_cast<std::size_t>(frames));
      each_vector(frames,
                  [&](int n) HWY_ATTR { hn::StoreU(settings_.vector(drive, n) * hn::LoadU(d, y + n), d, y + n); });
      oversampler_.process(c, y, frames, shape);
    }
    filters_.process({wet_pointers_.data(), channels_, frames});
    for (int c = 0; c < channels_; ++c) {
      blend(settings_, out, mix, dry(c, io.channel[c], frames), wet(c), io.channel[c], frames);
    }
    settings_.pass(frames);
  }

  static Streams setting(const StreamOwners<Saturation>& owners, Ramped which) noexcept TR_RT {
    return owners.get([&](const Saturation& own) { return own.settings_.to()[which]; });
  }

  // The curves of streams side by side, at the higher rate, into `wet`.
  template <Curve curve>
  static void shape_streams(StreamMemory& memory, const StreamOwners<Saturation>& owners, const StreamBlock& io,
                            float* const* wet) noexcept TR_RT {
    const Streams gain = setting(owners, drive), steady = setting(owners, bias), steady_level = shaped<curve>(steady);
    for (int start = 0; start < io.frames; start += StreamMemory::block) {
      const int frames = std::min(StreamMemory::block, io.frames - start);
      for (int c = 0; c < io.channels; ++c) {
        const float* x = io.channel[c] + start * stream_lanes;
        float* y = wet[c] + start * stream_lanes;
        for (int n = 0; n < frames; ++n) store_streams(gain * load_streams(x, n), y, n);
        memory.wet_.process(c, y, frames,
                            [&](Streams v, int) HWY_ATTR { return shaped<curve>(v + steady) - steady_level; });
      }
    }
  }

  static StreamPeaks blend_streams(StreamMemory& memory, const StreamOwners<Saturation>& owners, const StreamBlock& io,
                                   const float* const* wet) noexcept TR_RT {
    if (memory.dry_.minimum_phase()) {
      for (int start = 0; start < io.frames; start += StreamMemory::block) {
        const int frames = std::min(StreamMemory::block, io.frames - start);
        for (int c = 0; c < io.channels; ++c) {
          memory.dry_.process(c, io.channel[c] + start * stream_lanes, frames,
                              [](Streams v, int) HWY_ATTR { return v; });
        }
      }
    } else if (memory.dry_.stages() > 0) {
      delay_streams(owners, [](Saturation& own) -> auto& { return own.dry_; }, io);
    }
    const Streams level = setting(owners, out), wet_share = setting(owners, mix);
    const Streams dry_share = hn::Set(StreamTag(), 1.0f) - wet_share;
    StreamPeaks peaks;
    for (int c = 0; c < io.channels; ++c) {
      for (int n = 0; n < io.frames; ++n) {
        const Streams dry = dry_share * load_streams(io.channel[c], n);
        const Streams y = dry + wet_share * (level * load_streams(wet[c], n));
        peaks.add(y);
        store_streams(y, io.channel[c], n);
      }
    }
    return peaks;
  }

  double rate_ = 0;
  int channels_ = 0;
  Card::Values choices_{};
  Curve curves_[2] = {Curve::tanh, Curve::tanh};
  int active_ = 0;  // the curve that the crossfade goes to
  TickFade<0, 16> curve_fade_, auto_gain_{true};
  Ramps<ramped_count> settings_;
  Oversampler oversampler_, dry_oversampler_;  // of the wet sound, and of the dry one with minimum phase
  SvfCascade<2> filters_;
  Lookahead dry_;
  std::vector<float> wet_, filtered_dry_ = std::vector<float>(max_segment);
  std::array<float*, max_channels> wet_pointers_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
