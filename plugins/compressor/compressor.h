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
#include "dsp/in_order-inl.h"
#include "dsp/math-inl.h"
#include "dsp/sidechain-inl.h"
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
    together_.assign(max_segment, 0.0f);
    low_cut_.prepare(rate_);
    feedback_cut_.assign(max_channels, {});
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
    low_cut_.tune(v.sidechain_low_cut_hz, cut_on_);
    lookahead_ = feedback_ ? 0 : static_cast<int>(std::lround(static_cast<double>(v.lookahead_ms) * 1e-3 * rate_));
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    for (auto& delay : delays_) delay.reset();
    low_cut_.reset();
    for (auto& state : feedback_cut_) state = {};
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
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool settle(int silent_frames) noexcept TR_RT {
    if (silent_frames < lookahead_ || !low_cut_.settle()) return false;
    for (int c = 0; c < channels_; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const Detector& d = detectors_[at];
      const float most = std::max({std::abs(d.average.level), d.follower.peak, d.follower.level,
                                   std::abs(feedback_cut_[at].s1), std::abs(feedback_cut_[at].s2)});
      if (most > 1e-7f) return false;  // of an amplitude, or in dB
    }
    for (auto& state : feedback_cut_) state = {};
    for (auto& state : detectors_) state = {};
    heard_.fill(0.0f);
    return true;
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

  ChannelMode channel_mode() const noexcept TR_RT { return static_cast<ChannelMode>(choices_.channel_mode); }

  using D = Tag<float>;
  using V = Vec<float>;

  // What ramps, at each of a vector of frames.
  struct Moving {
    V value[6];
    V operator()(std::size_t i) const noexcept TR_RT { return value[i]; }
  };
  Moving moving(int n) const noexcept TR_RT {
    Moving now;
    const V share = hn::Iota(D(), static_cast<float>(frame_ + n + 1)) * hn::Set(D(), 1.0f / tick_frames);
    for (std::size_t i = 0; i < 6; ++i) {
      now.value[i] = ramping_ ? hn::Set(D(), from_[i]) + hn::Set(D(), to_[i] - from_[i]) * share : hn::Set(D(), to_[i]);
    }
    return now;
  }

  void process_forward(Block io, SideBlock key) noexcept TR_RT {
    const int frames = io.frames;
    const bool linked = !ramping_ && to_[6] == 1.0f;
    const int detectors = linked ? 1 : channels_;
    const SideBlock heard = low_cut_.process(key, frames);
    const auto level = [this](int c) { return level_.data() + static_cast<std::size_t>(c) * max_segment; };
    float* together = linked ? level(0) : together_.data();
    combine_channels(channel_mode(), heard.channel, heard.channels, together, frames);
    if (!linked) {
      for (int c = 0; c < detectors; ++c) {
        const float* own = heard.channel[std::min(c, heard.channels - 1)];
        float* mixed = level(c);
        for (int n = 0; n < frames; ++n) {
          const float link = settings(n)[6];
          mixed[n] = (1.0f - link) * std::abs(own[n]) + link * together[n];
        }
      }
    }
    for (int c = 0; c < detectors; ++c) detect(level(c), frames, detectors_[static_cast<std::size_t>(c)]);
    if (linked) std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);

    for (int c = 0; c < channels_; ++c) {
      const float* gain = level(linked ? 0 : c);
      const float* x = io.channel[c];
      if (lookahead_ > 0) {
        DelayLine& delay = delays_[static_cast<std::size_t>(c)];
        delay.write(x, frames);
        x = delay.written(frames, lookahead_);
      }
      float* y = io.channel[c];
      for (int n = 0; n < frames; ++n) y[n] = x[n] * gain[n];
    }
  }

  // From the rectified level of one detector to the gain to apply, in place.
  void detect(float* level, int frames, Detector& d) noexcept TR_RT {
    if (choices_.envelope == Card::Envelope::decoupled) {
      detect(level, frames, d, [](auto& state, const auto& c, One x) HWY_ATTR { return decoupled_step(state, c, x); });
    } else if (ballistics_.rise >= ballistics_.fall) {
      detect(level, frames, d,
             [](auto& state, const auto& c, One x) HWY_ATTR { return branching_step<true>(state, c, x); });
    } else {
      detect(level, frames, d,
             [](auto& state, const auto& c, One x) HWY_ATTR { return branching_step<false>(state, c, x); });
    }
  }

  template <class Follow>
  void detect(float* level, int frames, Detector& d, const Follow& follow) noexcept TR_RT {
    const D tag;
    const bool rms = choices_.detector == Card::Detector::rms;
    const bool on_level = choices_.ballistics == Card::Ballistics::level;
    const FollowerTimes<One> times{one(ballistics_.rise), one(ballistics_.fall)};
    const One averaging = one(averaging_.rise);
    FollowerState<One> state{one(d.follower.peak), one(d.follower.level)};
    One average = one(d.average.level);
    V deepest = hn::Zero(tag);
    Moving at = moving(0);
    const auto smooth = [&](One x) HWY_ATTR { return smoothing_step(average, averaging, x); };
    const auto ballistics = [&](One x) HWY_ATTR { return follow(state, times, x); };
    for (int n = 0; n < frames; n += lane_count<float>) {
      const int count = frames - n;
      V x = hn::LoadU(tag, level + n);
      if (rms) x = hn::Sqrt(in_order(x * x, count, smooth));
      if (on_level) x = in_order(x, count, ballistics);
      if (ramping_) at = moving(n);
      const V audible = hn::Max(x, hn::Set(tag, floor_amplitude));
      V reduction = reduction_db<V>({at(0), at(1), at(2), at(3)}, decibels(audible));
      if (!on_level) reduction = in_order(reduction, count, ballistics);
      if (count >= lane_count<float>) {
        deepest = hn::Max(deepest, reduction);
      } else {
        alignas(32) float last[lane_count<float>];
        hn::Store(reduction, tag, last);
        deepest_ = Max(deepest_, largest(last, count));
      }
      const V mix = at(5), dry = hn::Set(tag, 1.0f) - mix;
      hn::StoreU(dry + mix * amplitude(at(4) - reduction), tag, level + n);
    }
    deepest_ = Max(deepest_, hn::GetLane(hn::MaxOfLanes(tag, deepest)));
    d.follower = {hn::GetLane(state.peak), hn::GetLane(state.level)};
    d.average.level = hn::GetLane(average);
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
          const float cut = svf_step(feedback_cut_[at], moving ? low_cut(n) : steady, heard_[at]);
          if (cut_on_) own[c] = cut;
        }
        together = combine(channel_mode(), together, own[c]);
      }
      together = combined(channel_mode(), together, static_cast<float>(io.channels));
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
  std::vector<float> level_, together_;
  SidechainFilter<FilterShape::low_cut> low_cut_;
  std::vector<SvfState<float>> feedback_cut_;
  std::vector<Detector> detectors_;
  std::array<float, max_channels> heard_{};  // the last output sample, for feedback
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
