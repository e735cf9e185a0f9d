// Dynamic range compressor (Giannoulis, Massberg, Reiss, JAES 60(6), 2012):
//
//   key -> low cut -> combine channels -> [RMS] -> [follower on the level] -> dB -> curve -> [follower on the gain] ->
//   gain
//
// Only the low cut and the followers are recursions; everything else runs over a whole stretch of time, element by
// element.
#if defined(TWINRACK_PLUGINS_COMPRESSOR_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_COMPRESSOR_H_
#undef TWINRACK_PLUGINS_COMPRESSOR_H_
#else
#define TWINRACK_PLUGINS_COMPRESSOR_H_
#endif

#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/delay.h"
#include "dsp/follower-inl.h"
#include "dsp/gain_curve-inl.h"
#include "dsp/math-inl.h"
#include "dsp/svf-inl.h"
#include "dsp/svf_design.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Compressor {
  using Card = cards::Compressor;
  static constexpr float floor_amplitude = 1e-7f;  // -140 dBFS
  static constexpr float least_knee_db = 1e-3f;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    delays_.assign(static_cast<std::size_t>(channels_), DelayLine());
    for (auto& delay : delays_) delay.prepare(static_cast<int>(std::ceil(0.02 * rate_)), max_segment);
    level_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    low_cut_.assign(max_channels, {});
    detectors_.assign(max_channels, {});
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    choices_ = v;
    feedback_ = v.topology == Card::Topology::feedback;
    from_ = to_;
    const double slope = 1.0 - 1.0 / static_cast<double>(v.ratio);
    const double knee = std::max(static_cast<double>(v.knee_db), static_cast<double>(least_knee_db));
    const double range = static_cast<double>(v.range_db), threshold = static_cast<double>(v.threshold_db);
    const double at_full_scale = reduction_db<double>({threshold, slope, knee, range}, 0.0);
    const double makeup = static_cast<double>(v.makeup_db) + (v.auto_makeup ? 0.5 * at_full_scale : 0.0);
    to_ = {static_cast<float>(threshold), static_cast<float>(slope),  static_cast<float>(knee),
           static_cast<float>(range),     static_cast<float>(makeup), v.mix,
           v.link_percent / 100.0f};
    ramping_ = from_ != to_;
    ballistics_ = {pole(v.attack_ms), pole(v.release_ms)};
    averaging_ = {pole(v.rms_window_ms), pole(v.rms_window_ms)};
    cut_on_ = v.sidechain_low_cut_hz > 10.001f;
    const auto d = design_svf(FilterShape::low_cut, false, static_cast<double>(v.sidechain_low_cut_hz), 0.0,
                              std::numbers::sqrt2 / 2.0, rate_);
    cut_from_ = cut_to_;
    // g = 0 holds the filter's state while it is off, so it may go on and off while it sounds.
    cut_to_ = {cut_on_ ? static_cast<float>(d.g) : 0.0f, static_cast<float>(d.k)};
    lookahead_ = feedback_ ? 0 : static_cast<int>(std::lround(static_cast<double>(v.lookahead_ms) * 1e-3 * rate_));
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    for (auto& delay : delays_) delay.reset();
    for (auto& state : low_cut_) state = {};
    for (auto& state : detectors_) state = {};
    heard_.fill(0.0f);
    from_ = to_;
    cut_from_ = cut_to_;
    ramping_ = false;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    deepest_ = 0.0f;
    if (feedback_) {
      process_feedback(io);
    } else {
      if (key.channel == nullptr) key = {io.channel, io.channels};
      process_forward(io, key);
    }
    frame_ += io.frames;
  }

  int latency() const noexcept { return lookahead_; }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }

 private:
  // What ramps from tick to tick: threshold, slope, knee, range, makeup (all dB but the slope), mix, link.
  using Settings = std::array<float, 7>;
  struct Detector {
    FollowerState<float> average{}, follower{};
  };

  float pole(float time_ms) const noexcept TR_RT {
    return static_cast<float>(-std::expm1(-1.0 / (static_cast<double>(time_ms) * 1e-3 * rate_)));
  }

  Settings settings(int n) const noexcept TR_RT {
    if (!ramping_) return to_;
    Settings mixed;
    const float share = ramp_share<float>(frame_ + n);
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = from_[i] + (to_[i] - from_[i]) * share;
    return mixed;
  }
  static GainCurve<float> curve(const Settings& s) noexcept TR_RT { return {s[0], s[1], s[2], s[3]}; }

  Svf<float> low_cut(int n) const noexcept TR_RT {
    const float share = ramp_share<float>(std::min(frame_ + n, tick_frames - 1));
    const float g = cut_from_[0] + (cut_to_[0] - cut_from_[0]) * share;
    const float k = cut_from_[1] + (cut_to_[1] - cut_from_[1]) * share;
    return make_svf(g, k, 1.0f, -k, -1.0f);
  }

  // The follower on whichever quantity the choices put it.
  float follow(Detector& d, float x) const noexcept TR_RT {
    return choices_.envelope == Card::Envelope::branching ? branching_step(d.follower, ballistics_, x)
                                                          : decoupled_step(d.follower, ballistics_, x);
  }

  static float combine(Card::ChannelMode mode, float gathered, float x) noexcept TR_RT {
    if (mode == Card::ChannelMode::maximum) return std::max(gathered, std::abs(x));
    return gathered + (mode == Card::ChannelMode::mean ? x : x * x);
  }
  static float combined(Card::ChannelMode mode, float gathered, float channels) noexcept TR_RT {
    if (mode == Card::ChannelMode::maximum) return gathered;
    const float mean = gathered / channels;
    return mode == Card::ChannelMode::mean ? std::abs(mean) : std::sqrt(mean);
  }

  void process_forward(Block io, SideBlock key) noexcept TR_RT {
    const int frames = io.frames;
    const bool linked = !ramping_ && to_[6] == 1.0f;
    const int detectors = linked ? 1 : channels_;
    float heard[max_channels][max_segment];
    for (int c = 0; c < key.channels; ++c) {
      const float* x = key.channel[c];
      const bool moving = cut_from_ != cut_to_;
      if (cut_on_ || moving) {
        SvfState<float>& state = low_cut_[static_cast<std::size_t>(c)];
        const Svf<float> steady = low_cut(tick_frames);
        for (int n = 0; n < frames; ++n) heard[c][n] = svf_step(state, moving ? low_cut(n) : steady, x[n]);
      }
      if (!cut_on_) std::copy_n(x, frames, heard[c]);
    }

    float together[max_segment] = {};
    const auto mode = choices_.channel_mode;
    for (int c = 0; c < key.channels; ++c) {
      for (int n = 0; n < frames; ++n) together[n] = combine(mode, together[n], heard[c][n]);
    }
    const auto count = static_cast<float>(key.channels);
    for (int n = 0; n < frames; ++n) together[n] = combined(mode, together[n], count);

    for (int c = 0; c < detectors; ++c) {
      float* level = level_.data() + static_cast<std::size_t>(c) * max_segment;
      if (linked) {
        std::copy_n(together, frames, level);
      } else {
        const float* own = heard[std::min(c, key.channels - 1)];
        for (int n = 0; n < frames; ++n) {
          const float link = settings(n)[6];
          level[n] = (1.0f - link) * std::abs(own[n]) + link * together[n];
        }
      }
      detect(level, frames, detectors_[static_cast<std::size_t>(c)]);
    }
    if (linked) std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);

    for (int c = 0; c < channels_; ++c) {
      const float* gain = level_.data() + static_cast<std::size_t>(linked ? 0 : c) * max_segment;
      float* x = io.channel[c];
      if (lookahead_ > 0) {
        DelayLine& delay = delays_[static_cast<std::size_t>(c)];
        delay.write(x, frames);
        std::copy_n(delay.written(frames, lookahead_), frames, x);
      }
      for (int n = 0; n < frames; ++n) x[n] *= gain[n];
    }
  }

  // From the rectified level of one detector to the gain to apply, in place.
  void detect(float* level, int frames, Detector& d) noexcept TR_RT {
    if (choices_.detector == Card::Detector::rms) {
      for (int n = 0; n < frames; ++n) level[n] = branching_step(d.average, averaging_, level[n] * level[n]);
      for (int n = 0; n < frames; ++n) level[n] = std::sqrt(level[n]);
    }
    const bool on_level = choices_.ballistics == Card::Ballistics::level;
    if (on_level) {
      for (int n = 0; n < frames; ++n) level[n] = follow(d, level[n]);
    }
    float* reduction = level;
    if (ramping_) {
      for (int n = 0; n < frames; ++n) {
        reduction[n] = reduction_db(curve(settings(n)), decibels(std::max(level[n], floor_amplitude)));
      }
    } else {
      const GainCurve<float> fixed = curve(to_);
      for (int n = 0; n < frames; ++n)
        reduction[n] = reduction_db(fixed, decibels(std::max(level[n], floor_amplitude)));
    }
    if (!on_level) {
      for (int n = 0; n < frames; ++n) reduction[n] = follow(d, reduction[n]);
    }
    for (int n = 0; n < frames; ++n) deepest_ = std::max(deepest_, reduction[n]);
    if (ramping_) {
      for (int n = 0; n < frames; ++n) {
        const Settings s = settings(n);
        level[n] = 1.0f - s[5] + s[5] * amplitude(s[4] - reduction[n]);
      }
    } else {
      const float makeup = to_[4], mix = to_[5], dry = 1.0f - mix;
      for (int n = 0; n < frames; ++n) level[n] = dry + mix * amplitude(makeup - reduction[n]);
    }
  }

  // Each sample needs the output of the one before, so time cannot be vectorised here.
  void process_feedback(Block io) noexcept TR_RT {
    const Svf<float> steady = low_cut(tick_frames);
    const bool moving = cut_from_ != cut_to_;
    for (int n = 0; n < io.frames; ++n) {
      const Settings s = settings(n);
      float own[max_channels], together = 0.0f;
      for (int c = 0; c < io.channels; ++c) {
        const auto at = static_cast<std::size_t>(c);
        own[c] = heard_[at];
        if (cut_on_ || moving) {
          const float cut = svf_step(low_cut_[at], moving ? low_cut(n) : steady, heard_[at]);
          if (cut_on_) own[c] = cut;
        }
        together = combine(choices_.channel_mode, together, own[c]);
      }
      together = combined(choices_.channel_mode, together, static_cast<float>(io.channels));
      for (int c = 0; c < io.channels; ++c) {
        const auto at = static_cast<std::size_t>(c);
        Detector& d = detectors_[at];
        float level = (1.0f - s[6]) * std::abs(own[c]) + s[6] * together;
        if (choices_.detector == Card::Detector::rms) {
          level = std::sqrt(branching_step(d.average, averaging_, level * level));
        }
        const bool on_level = choices_.ballistics == Card::Ballistics::level;
        if (on_level) level = follow(d, level);
        float reduction = reduction_db(curve(s), decibels(std::max(level, floor_amplitude)));
        if (!on_level) reduction = follow(d, reduction);
        deepest_ = std::max(deepest_, reduction);
        float& x = io.channel[c][n];
        heard_[at] = x * amplitude(-reduction);
        x = (1.0f - s[5]) * x + s[5] * amplitude(s[4]) * heard_[at];
      }
    }
  }

  double rate_ = 0;
  int channels_ = 0, lookahead_ = 0, frame_ = 0;
  Card::Values choices_{};
  Settings from_{}, to_{};
  std::array<float, 2> cut_from_{0.0f, 1.0f}, cut_to_{0.0f, 1.0f};  // g, k
  FollowerTimes<float> ballistics_{}, averaging_{};
  bool ramping_ = false, cut_on_ = false, feedback_ = false;
  float deepest_ = 0.0f;
  std::vector<DelayLine> delays_;
  std::vector<float> level_;
  std::vector<SvfState<float>> low_cut_;
  std::vector<Detector> detectors_;
  std::array<float, max_channels> heard_{};  // the last output sample, for feedback
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
