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
#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/lanes/in_order-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/dynamics/sidechain-inl.h"
#include "dsp/filters/switched_cut-inl.h"
#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/tick_fade.h"

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
    lookahead_.prepare(channels_, static_cast<int>(std::ceil(0.02 * rate_)));
    linked_.prepare(channels_);
    low_cut_.prepare(rate_);
    feedback_cut_.assign(max_channels, {});
    detectors_.assign(max_channels, {});
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const bool other_quantity = v.ballistics != choices_.ballistics;
    choices_ = v;
    feedback_ = v.topology == Card::Topology::feedback;
    auto_makeup_.go(v.auto_makeup);
    auto_makeup_.tick();
    arrange();
    if (other_quantity) convert();
    ballistics_ = {follower_share(v.attack_ms, rate_), follower_share(v.release_ms, rate_)};
    averaging_ = follower_share(v.rms_window_ms, rate_);
    cut_on_ = low_cut_.in_use(v.sidechain_low_cut_hz);
    const auto d = design_svf(FilterShape::low_cut, false, static_cast<double>(v.sidechain_low_cut_hz), 0.0,
                              std::numbers::sqrt2 / 2.0, rate_);
    // g = 0 holds the filter's state while it is off, so it may go on and off while it sounds.
    cut_.go({cut_on_ ? static_cast<float>(d.g) : 0.0f, static_cast<float>(d.k)});
    low_cut_.tune(v.sidechain_low_cut_hz);
    lookahead_.set(feedback_ ? 0 : whole_frames(v.lookahead_ms, rate_));
  }

  void reset() noexcept TR_RT {
    lookahead_.reset();
    linked_.reset();
    low_cut_.reset();
    for (auto& state : feedback_cut_) state = {};
    for (auto& state : detectors_) state = {};
    heard_.fill(0.0f);
    auto_makeup_.arrive();
    arrange();
    settings_.arrive();
    cut_.arrive();
  }

  // True while the automatic makeup comes or goes.
  bool is_ramping() const noexcept TR_RT { return auto_makeup_.moving(); }

  void process(Block io, SideBlock key) noexcept TR_RT {
    deepest_ = 0.0f;
    if (feedback_) {
      process_feedback(io);
    } else {
      if (key.channel == nullptr) key = {io.channel, io.channels};
      process_forward(io, key);
    }
    settings_.pass(io.frames);
    cut_.pass(io.frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (silent_frames < lookahead_.frames() || !low_cut_.tail_ended()) return false;
    for (int c = 0; c < channels_; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const Detector& d = detectors_[at];
      const float cut = cut_on_ ? Max(std::abs(feedback_cut_[at].s1), std::abs(feedback_cut_[at].s2)) : 0.0f;
      const float most = std::max({std::abs(d.average.level), d.follower.peak, d.follower.level, cut});
      if (most > 1e-7f) return false;  // of an amplitude, or in dB
    }
    for (auto& state : feedback_cut_) state = {};
    for (auto& state : detectors_) state = {};
    heard_.fill(0.0f);
    return true;
  }

  int latency() const noexcept { return lookahead_.frames(); }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }
  void state(StateArchive& archive) {
    archive(settings_, cut_, deepest_, auto_makeup_, lookahead_, linked_, low_cut_, feedback_cut_, detectors_, heard_);
  }

 private:
  enum Ramped : std::size_t { threshold, slope, knee, range, makeup, mix, link, ramped_count };
  struct Detector {
    FollowerState<float> average{}, follower{};
  };

  // What moves from tick to tick, from the values.
  void arrange() noexcept TR_RT {
    const Card::Values& v = choices_;
    const double slope = 1.0 - 1.0 / static_cast<double>(v.ratio);
    const double knee = std::max(static_cast<double>(v.knee_db), static_cast<double>(least_knee_db));
    const double range = static_cast<double>(v.range_db), threshold = static_cast<double>(v.threshold_db);
    const double at_full_scale = reduction_db<double>({threshold, slope, knee, range}, 0.0);
    const double makeup = static_cast<double>(v.makeup_db) + auto_makeup_.share() * 0.5 * at_full_scale;
    settings_.go({static_cast<float>(threshold), static_cast<float>(slope), static_cast<float>(knee),
                  static_cast<float>(range), static_cast<float>(makeup), v.mix, v.link_percent / 100.0f});
  }

  // Between a follower on the level and one on the reduction: the reduction goes on where it was.
  void convert() noexcept TR_RT {
    const GainCurve<float> curve{settings_.at(threshold, 0), settings_.at(slope, 0), settings_.at(knee, 0),
                                 settings_.at(range, 0)};
    const bool to_level = choices_.ballistics == Card::Ballistics::level;
    for (int c = 0; c < channels_; ++c) {
      auto& state = detectors_[static_cast<std::size_t>(c)].follower;
      for (float* quantity : {&state.peak, &state.level}) {
        *quantity =
            to_level ? level_of(curve, *quantity) : reduction_db(curve, decibels(std::max(*quantity, floor_amplitude)));
      }
    }
  }

  static float level_of(const GainCurve<float>& curve, float reduction) noexcept TR_RT {
    constexpr float lowest = -140.0f, highest = 60.0f;
    if (reduction <= 0.0f || reduction_db(curve, highest) < reduction) return 0.0f;
    float low = lowest, high = highest;
    for (int step = 0; step < 30; ++step) {
      const float middle = 0.5f * (low + high);
      (reduction_db(curve, middle) < reduction ? low : high) = middle;
    }
    return amplitude(high);
  }

  // The follower on whichever quantity the choices put it.
  float follow(Detector& d, float x) const noexcept TR_RT {
    return choices_.envelope == Card::Envelope::branching ? branching_step(d.follower, ballistics_, x)
                                                          : decoupled_step(d.follower, ballistics_, x);
  }

  ChannelMode channel_mode() const noexcept TR_RT { return static_cast<ChannelMode>(choices_.channel_mode); }

  using D = Tag<float>;
  using V = Vec<float>;

  void process_forward(Block io, SideBlock key) noexcept TR_RT {
    const int frames = io.frames;
    const bool fully = settings_.rests_at(link, 1.0f);
    if (linked_.one(fully) && Together::fits(key) && (low_cut_.off() || low_cut_.steady() != nullptr)) {
      Together heard(key, channel_mode(), low_cut_.steady());
      detect([&](int n) HWY_ATTR { return heard.next(n, frames - n); }, linked_.level(0), frames, detectors_[0]);
      linked_.hear(heard.done());
      std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);
      return linked_.apply(io, lookahead_);
    }
    const SideBlock heard = low_cut_.process(key, frames);
    const auto link_at = [&](int n) { return settings_.at(link, n); };
    const int detectors = linked_.gather(heard, channel_mode(), fully, link_at, frames);
    for (int c = 0; c < detectors; ++c) {
      float* level = linked_.level(c);
      detect([=](int n) HWY_ATTR { return hn::LoadU(D(), level + n); }, level, frames,
             detectors_[static_cast<std::size_t>(c)]);
    }
    if (detectors == 1) std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);
    linked_.apply(io, lookahead_);
  }

  // From the rectified level of one detector, vector by vector, to the gain to apply.
  template <class Heard>
  void detect(const Heard& heard, float* gain, int frames, Detector& d) noexcept TR_RT {
    if (choices_.envelope == Card::Envelope::decoupled) {
      detect(heard, gain, frames, d,
             [](auto& state, const auto& c, One x) HWY_ATTR { return decoupled_step(state, c, x); });
    } else {
      with_branching(ballistics_, [&](const auto& follow) { detect(heard, gain, frames, d, follow); });
    }
  }

  template <class Heard, class Follow>
  void detect(const Heard& heard, float* gain, int frames, Detector& d, const Follow& follow) noexcept TR_RT {
    const D tag;
    const bool rms = choices_.detector == Card::Detector::rms;
    const bool on_level = choices_.ballistics == Card::Ballistics::level;
    const FollowerTimes<One> times{one(ballistics_.rise), one(ballistics_.fall)};
    const One averaging = one(averaging_);
    FollowerState<One> state{one(d.follower.peak), one(d.follower.level)};
    One average = one(d.average.level);
    V deepest = hn::Zero(tag);
    const auto steady = settings_.vectors(0);
    const bool moving = settings_.moving();
    const auto smooth = [&](One x) HWY_ATTR { return smoothing_step(average, averaging, x); };
    const auto ballistics = [&](One x) HWY_ATTR { return follow(state, times, x); };
    const auto curve = [&](V x, int n) HWY_ATTR {
      const V audible = hn::Max(x, hn::Set(tag, floor_amplitude));
      if (!moving)
        return reduction_db<V>({steady[threshold], steady[slope], steady[knee], steady[range]}, decibels(audible));
      const auto now = settings_.vectors(n);
      return reduction_db<V>({now[threshold], now[slope], now[knee], now[range]}, decibels(audible));
    };
    // What comes before the follower, and what comes after it.
    const auto averaged = [&](V x, int n) HWY_ATTR {
      if (!rms) return x;
      x = Min(x, hn::Set(tag, loudest_level));
      return in_order(x * x, frames - n, smooth);
    };
    const auto before = [&](V x, int n) HWY_ATTR {
      if (rms) x = hn::Sqrt(x);
      return on_level ? x : curve(x, n);
    };
    const auto after = [&](V reduction, int n) HWY_ATTR {
      if (on_level) reduction = curve(reduction, n);
      if (frames - n >= lane_count<float>) {
        deepest = hn::Max(deepest, reduction);
      } else {
        alignas(32) float last[lane_count<float>];
        hn::Store(reduction, tag, last);
        deepest_ = Max(deepest_, largest(last, frames - n));
      }
      const V share = moving ? settings_.vector(mix, n) : steady[mix],
              up = moving ? settings_.vector(makeup, n) : steady[makeup];
      hn::StoreU((hn::Set(tag, 1.0f) - share) + share * amplitude(up - reduction), tag, gain + n);
    };
    // Each of these waits for itself or has a long way to go; so they are at work on five vectors at once, one after
    // the other in time.
    constexpr int lanes = lane_count<float>;
    V level = hn::Zero(tag), average_here = level, next = level, followed = level;
    for (int n = -3 * lanes; n < frames + lanes; n += lanes) {
      const auto there = [&](int at) { return at >= 0 && at < frames; };
      const V to_average = level, to_curve = average_here, to_follow = next, to_gain = followed;
      if (there(n + 3 * lanes)) level = heard(n + 3 * lanes);
      if (there(n + 2 * lanes)) average_here = averaged(to_average, n + 2 * lanes);
      if (there(n + lanes)) next = before(to_curve, n + lanes);
      if (there(n - lanes)) after(to_gain, n - lanes);
      if (there(n)) followed = in_order(to_follow, frames - n, ballistics);
    }
    deepest_ = Max(deepest_, hn::GetLane(hn::MaxOfLanes(tag, deepest)));
    d.follower = {hn::GetLane(state.peak), hn::GetLane(state.level)};
    d.average.level = hn::GetLane(average);
  }

  // Each sample needs the output of the one before, so time cannot be vectorised here.
  void process_feedback(Block io) noexcept TR_RT {
    const auto cut_at = [&](int n) {
      const float g = cut_.at(0, n), k = cut_.at(1, n);
      return make_svf(g, k, 1.0f, -k, -1.0f);
    };
    const Svf<float> steady = cut_at(0);
    for (int n = 0; n < io.frames; ++n) {
      const auto at = [&](std::size_t i) { return settings_.at(i, n); };
      const GainCurve<float> curve{at(threshold), at(slope), at(knee), at(range)};
      float own[max_channels], together = 0.0f;
      for (int c = 0; c < io.channels; ++c) {
        const auto which = static_cast<std::size_t>(c);
        own[c] = heard_[which];
        if (cut_on_ || cut_.moving()) {
          const float cut = svf_step(feedback_cut_[which], cut_.moving() ? cut_at(n) : steady, heard_[which]);
          if (cut_on_) own[c] = cut;
        }
        together = combine(channel_mode(), together, own[c]);
      }
      together = combined(channel_mode(), together, static_cast<float>(io.channels));
      for (int c = 0; c < io.channels; ++c) {
        const auto which = static_cast<std::size_t>(c);
        Detector& d = detectors_[which];
        float level = (1.0f - at(link)) * std::abs(own[c]) + at(link) * together;
        if (choices_.detector == Card::Detector::rms) {
          level = std::sqrt(smoothing_step(d.average.level, averaging_, level * level));
        }
        const bool on_level = choices_.ballistics == Card::Ballistics::level;
        if (on_level) level = follow(d, level);
        float reduction = reduction_db(curve, decibels(std::max(level, floor_amplitude)));
        if (!on_level) reduction = follow(d, reduction);
        deepest_ = std::max(deepest_, reduction);
        float& x = io.channel[c][n];
        heard_[which] = x * amplitude(-reduction);
        x = (1.0f - at(mix)) * x + at(mix) * amplitude(at(makeup)) * heard_[which];
      }
    }
  }

  double rate_ = 0;
  int channels_ = 0;
  Card::Values choices_{};
  Ramps<ramped_count> settings_;
  Ramps<2> cut_;  // g and k of the low cut in feedback
  FollowerTimes<float> ballistics_{};
  float averaging_ = 0, deepest_ = 0;
  bool cut_on_ = false, feedback_ = false;
  TickFade<0, 32> auto_makeup_;
  Lookahead lookahead_;
  Linked linked_;
  SwitchedCut<FilterShape::low_cut> low_cut_;
  std::vector<SvfState<float>> feedback_cut_;
  std::vector<Detector> detectors_;
  std::array<float, max_channels> heard_{};  // the last output sample, for feedback
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
