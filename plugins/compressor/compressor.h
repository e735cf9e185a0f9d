// Dynamic range compressor (Giannoulis, Massberg, Reiss, JAES 60(6), 2012):
//
//   sidechain -> low cut -> combine channels -> [RMS] -> [follower on the level or its power] -> dB -> curve ->
//   [follower on the reduction] -> gain
//
// Only the low cut, the average and the followers are recursions; all else is computed for whole vectors of frames.
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
#include "dsp/lanes/scan_lanes-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/dynamics/moving_power.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/dynamics/sidechain-inl.h"
#include "dsp/filters/switched_cut-inl.h"
#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "plugins/compressor/detector.h"
#include "rt/block.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Compressor {
  using Card = cards::Compressor;
  static constexpr float floor_amplitude = 1e-7f;  // -140 dBFS
  static constexpr float least_knee_db = 1e-3f;
  static constexpr double longest_window_s = 0.3;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    lookahead_.prepare(channels_, static_cast<int>(std::ceil(0.02 * rate_)));
    linked_.prepare(channels_);
    low_cut_.prepare(rate_);
    feedback_cut_.assign(max_channels, {});
    detectors_.assign(max_channels, {});
    powers_.resize(static_cast<std::size_t>(channels_));
    for (MovingPower& power : powers_) power.prepare(longest_window_s * rate_);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const Card::Ballistics last_ballistics = choices_.ballistics;
    const bool begins_moving = v.detector == Card::Detector::moving_rms && choices_.detector != v.detector;
    choices_ = v;
    feedback_ = v.topology == Card::Topology::feedback;
    auto_makeup_.go(v.auto_makeup);
    auto_makeup_.tick();
    update_settings();
    if (v.ballistics != last_ballistics) convert(last_ballistics);
    ballistics_ = {one_pole_coefficient(v.attack_ms, rate_), one_pole_coefficient(v.release_ms, rate_)};
    averaging_ = one_pole_coefficient(v.rms_window_ms, rate_);
    for (MovingPower& power : powers_) {
      if (begins_moving) power.reset();
      if (v.detector == Card::Detector::moving_rms) power.set(static_cast<double>(v.rms_window_ms) * 1e-3 * rate_);
    }
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
    for (MovingPower& power : powers_) power.reset();
    powers_used_ = 1;
    output_.fill(0.0f);
    auto_makeup_.arrive();
    update_settings();
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

  // Streams side by side make the same choices.
  int stream_group() const noexcept TR_RT {
    if (settings_.moving() || cut_.moving() || auto_makeup_.moving() || low_cut_.moving()) return -1;
    if (is_moving_rms()) return -1;
    const int detectors = feedback_ ? channels_ : stream_detectors();
    if (detectors == 0) return -1;
    const DetectorChoices choices = detector_choices();
    int group = static_cast<int>(channel_mode());
    for (const bool choice :
         {choices.rms, detectors > 1, ballistics_.rise >= ballistics_.fall, feedback_, feedback_ && cut_on_}) {
      group = 2 * group + static_cast<int>(choice);
    }
    return 3 * (3 * group + static_cast<int>(choices.followed)) + static_cast<int>(choices.kind);
  }

  static StreamPeaks process_streams(const StreamOwners<Compressor>& owners, const StreamBlock& io) noexcept TR_RT {
    const Compressor& any = owners.any();
    StreamDetectors detectors(owners, any.feedback_ ? io.channels : any.stream_detectors());
    const auto run = [&](const auto& follow) HWY_ATTR {
      return any.feedback_ ? feedback_streams(owners, io, detectors, follow)
                           : forward_streams(owners, io, detectors, follow);
    };
    StreamPeaks peaks;
    const FollowerKind kind = any.detector_choices().kind;
    if (kind == FollowerKind::two_stage) {
      peaks = run([](auto& state, const auto& c, Streams x)
                      HWY_ATTR { return two_stage_step(state.smoothed, state.follower, c, x); });
    } else if (kind == FollowerKind::decoupled) {
      peaks = run([](auto& state, const auto& c, Streams x) HWY_ATTR { return decoupled_step(state.follower, c, x); });
    } else {
      with_branching(any.ballistics_, [&](const auto& follow) HWY_ATTR {
        peaks = run([&](auto& state, const auto& c, Streams x) HWY_ATTR { return follow(state.follower, c, x); });
      });
    }
    detectors.finish(owners, io.channels);
    return peaks;
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (silent_frames < lookahead_.frames() || !low_cut_.tail_ended()) return false;
    if (is_moving_rms() && silent_frames < lookahead_.frames() + powers_[0].frames()) return false;
    for (int c = 0; c < channels_; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const Detector& d = detectors_[at];
      const float cut = cut_on_ ? Max(std::abs(feedback_cut_[at].s1), std::abs(feedback_cut_[at].s2)) : 0.0f;
      const float most = std::max(std::abs(d.average.level), cut);
      const float followed_most = std::max({d.follower.peak, d.follower.level, d.smoothed});
      if (most > 1e-7f || followed_most > (followed() == Followed::power ? 1e-14f : 1e-7f)) return false;
    }
    for (auto& state : feedback_cut_) state = {};
    for (auto& state : detectors_) state = {};
    output_.fill(0.0f);
    return true;
  }

  int latency() const noexcept { return lookahead_.frames(); }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }
  void state(StateArchive& archive) {
    archive(settings_, cut_, deepest_, auto_makeup_, lookahead_, linked_, low_cut_, feedback_cut_, detectors_, output_,
            powers_);
    archive.bounded(powers_used_, 1, channels_);
  }

 private:
  enum Ramped : std::size_t { threshold, slope, knee, range, makeup, mix, link, ramped_count };
  using Detector = DetectorState<float>;

  // Sets the ramps' targets for the next tick from the parameters' values.
  void update_settings() noexcept TR_RT {
    const Card::Values& v = choices_;
    const double slope = 1.0 - 1.0 / static_cast<double>(v.ratio);
    const double knee = std::max(static_cast<double>(v.knee_db), static_cast<double>(least_knee_db));
    const double range = static_cast<double>(v.range_db), threshold = static_cast<double>(v.threshold_db);
    const double at_full_scale = reduction_db<double>({threshold, slope, knee, range}, 0.0);
    const double makeup = static_cast<double>(v.makeup_db) + auto_makeup_.share() * 0.5 * at_full_scale;
    settings_.go({static_cast<float>(threshold), static_cast<float>(slope), static_cast<float>(knee),
                  static_cast<float>(range), static_cast<float>(makeup), v.mix, v.link_percent / 100.0f});
  }

  // From what was followed before to what is followed now: the reduction goes on where it was.
  void convert(Card::Ballistics before) noexcept TR_RT {
    const GainCurve<float> curve{settings_.at(threshold, 0), settings_.at(slope, 0), settings_.at(knee, 0),
                                 settings_.at(range, 0)};
    const Card::Ballistics now = choices_.ballistics;
    for (int c = 0; c < channels_; ++c) {
      Detector& state = detectors_[static_cast<std::size_t>(c)];
      for (float* quantity : {&state.follower.peak, &state.follower.level, &state.smoothed}) {
        float level = *quantity;
        if (before == Card::Ballistics::gain) level = level_of(curve, *quantity);
        if (before == Card::Ballistics::power) level = std::sqrt(*quantity);
        *quantity = level;
        if (now == Card::Ballistics::gain) *quantity = reduction_db(curve, decibels(std::max(level, floor_amplitude)));
        if (now == Card::Ballistics::power) *quantity = level * level;
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

  DetectorChoices detector_choices() const noexcept TR_RT {
    // With feedback the mean of a moving window is an exponential one.
    const bool rms =
        choices_.detector == Card::Detector::rms || (feedback_ && choices_.detector == Card::Detector::moving_rms);
    return {rms, followed(), follower_kind()};
  }
  bool is_moving_rms() const noexcept TR_RT { return !feedback_ && choices_.detector == Card::Detector::moving_rms; }
  Followed followed() const noexcept TR_RT {
    switch (choices_.ballistics) {
      case Card::Ballistics::gain:
        return Followed::reduction;
      case Card::Ballistics::level:
        return Followed::level;
      case Card::Ballistics::power:
        return Followed::power;
    }
    return Followed::reduction;
  }
  FollowerKind follower_kind() const noexcept TR_RT {
    switch (choices_.envelope) {
      case Card::Envelope::branching:
        return FollowerKind::branching;
      case Card::Envelope::decoupled:
        return FollowerKind::decoupled;
      case Card::Envelope::two_stage:
        return FollowerKind::two_stage;
    }
    return FollowerKind::branching;
  }

  int stream_detectors() const noexcept TR_RT {
    return linked_.stream_detectors(channels_ == 1 || settings_.rests_at(link, 1.0f));
  }

  // The detectors of streams side by side: one for all channels, or one for each.
  struct StreamDetectors {
    StreamDetectors(const StreamOwners<Compressor>& owners, int detectors) noexcept TR_RT : count(detectors) {
      const auto setting = [&](std::size_t which) HWY_ATTR {
        return owners.get([&](const Compressor& own) { return own.settings_.to()[which]; });
      };
      curve = {setting(threshold), setting(slope), setting(knee), setting(range)};
      up = setting(makeup);
      wet = setting(mix);
      linked = setting(link);
      dry = hn::Set(StreamTag(), 1.0f) - wet;
      times = {owners.get([](const Compressor& own) { return own.ballistics_.rise; }),
               owners.get([](const Compressor& own) { return own.ballistics_.fall; })};
      averaging = owners.get([](const Compressor& own) { return own.averaging_; });
      for (int d = 0; d < count; ++d) {
        const auto number = [&](const auto& of) HWY_ATTR {
          return owners.get([&](Compressor& own) { return of(own.detectors_[static_cast<std::size_t>(d)]); });
        };
        states[d].average.level = number(average_of);
        states[d].follower = {number(peak_of), number(level_of_follower)};
        states[d].smoothed = number(smoothed_of);
      }
    }

    // The reduction that the curve says.
    HWY_INLINE Streams reduction(Streams level) const noexcept TR_RT {
      return reduction_db(curve, decibels(hn::Max(level, hn::Set(StreamTag(), floor_amplitude))));
    }

    // Keeps the states.
    void finish(const StreamOwners<Compressor>& owners, int channels) const noexcept TR_RT {
      for (int c = 0; c < channels; ++c) {
        const DetectorState<Streams>& state = states[count == 1 ? 0 : c];
        const auto keep = [&](Streams value, const auto& of) HWY_ATTR {
          owners.put(value,
                     [&](Compressor& own, float number) { of(own.detectors_[static_cast<std::size_t>(c)]) = number; });
        };
        keep(state.average.level, average_of);
        keep(state.follower.peak, peak_of);
        keep(state.follower.level, level_of_follower);
        keep(state.smoothed, smoothed_of);
      }
    }

    static float& average_of(Detector& d) noexcept TR_RT { return d.average.level; }
    static float& peak_of(Detector& d) noexcept TR_RT { return d.follower.peak; }
    static float& level_of_follower(Detector& d) noexcept TR_RT { return d.follower.level; }
    static float& smoothed_of(Detector& d) noexcept TR_RT { return d.smoothed; }

    int count;
    GainCurve<Streams> curve;
    Streams up, wet, dry, linked, averaging;
    FollowerCoefficients<Streams> times;
    DetectorState<Streams> states[2];
  };

  template <class Follow>
  static StreamPeaks forward_streams(const StreamOwners<Compressor>& owners, const StreamBlock& io,
                                     StreamDetectors& detectors, const Follow& follow) noexcept TR_RT {
    const StreamTag tag;
    const Compressor& any = owners.any();
    const DetectorChoices choices = any.detector_choices();
    StreamCuts cuts(owners, [](Compressor& own) -> auto& { return own.low_cut_; }, io.channels);
    const auto filter = [&](int c, Streams x) HWY_ATTR { return cuts.step(c, x); };
    const StreamDetectors settings = detectors;
    const auto detect = [&](int d, float* level, int frames) HWY_ATTR {
      DetectorState<Streams> state = detectors.states[d];
      const auto reduction = [&](Streams x) HWY_ATTR { return settings.reduction(x); };
      if (choices.rms) {
        each_streams(level, frames, [&](Streams x) HWY_ATTR {
          x = Min(x, hn::Set(tag, loudest_level));
          return smoothing_step(state.average.level, settings.averaging, x * x);
        });
        each_streams(level, frames, [](Streams x) HWY_ATTR { return hn::Sqrt(x); });
      }
      if (choices.on_reduction()) each_streams(level, frames, reduction);
      if (choices.on_power()) each_streams(level, frames, power_of<Streams>);
      each_streams(level, frames, [&](Streams x) HWY_ATTR { return follow(state, settings.times, x); });
      if (choices.on_power()) each_streams(level, frames, [](Streams x) HWY_ATTR { return hn::Sqrt(x); });
      if (!choices.on_reduction()) each_streams(level, frames, reduction);
      each_streams(level, frames,
                   [&](Streams x) HWY_ATTR { return settings.dry + settings.wet * amplitude(settings.up - x); });
      detectors.states[d] = state;
    };
    const StreamPeaks peaks = detect_streams(
        owners, io, any.channel_mode(), detectors.count, detectors.linked, filter,
        [](Compressor& own) -> auto& { return own.lookahead_; }, detect);
    cuts.finish();
    owners.each([&](Compressor& own, int) { own.linked_.set_detectors(detectors.count); });
    return peaks;
  }

  template <class Follow>
  static StreamPeaks feedback_streams(const StreamOwners<Compressor>& owners, const StreamBlock& io,
                                      StreamDetectors& detectors, const Follow& follow) noexcept TR_RT {
    const StreamTag tag;
    const Compressor& any = owners.any();
    const DetectorChoices choices = any.detector_choices();
    const bool cuts = any.cut_on_;
    const Streams own_share = hn::Set(tag, 1.0f) - detectors.linked, makeup_gain = amplitude(detectors.up);
    const Streams k = owners.get([](const Compressor& own) { return own.cut_.to()[1]; }), none = hn::Zero(tag);
    const Svf<Streams> cut = make_svf(owners.get([](const Compressor& own) { return own.cut_.to()[0]; }), k,
                                      hn::Set(tag, 1.0f), hn::Neg(k), hn::Set(tag, -1.0f));
    Streams outputs[2] = {none, none};
    SvfState<Streams> cut_states[2] = {{none, none}, {none, none}};
    for (int c = 0; c < io.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      outputs[c] = owners.get([&](const Compressor& own) { return own.output_[at]; });
      cut_states[c] = {owners.get([&](const Compressor& own) { return own.feedback_cut_[at].s1; }),
                       owners.get([&](const Compressor& own) { return own.feedback_cut_[at].s2; })};
    }
    StreamPeaks peaks;
    const auto run = [&]<int channels>(auto combine_all) HWY_ATTR {
      StreamDetectors d = detectors;
      for (int n = 0; n < io.frames; ++n) {
        Streams own[2] = {outputs[0], outputs[channels - 1]};
        for (int c = 0; cuts && c < channels; ++c) own[c] = svf_step(cut_states[c], cut, own[c]);
        const Streams all = combine_all(own[0], own[channels - 1]);
        for (int c = 0; c < channels; ++c) {
          Streams x = own_share * hn::Abs(own[c]) + d.linked * all;
          if (choices.rms) x = hn::Sqrt(smoothing_step(d.states[c].average.level, d.averaging, x * x));
          if (choices.on_reduction()) x = d.reduction(x);
          if (choices.on_power()) x = x * x;
          x = follow(d.states[c], d.times, x);
          if (choices.on_power()) x = hn::Sqrt(x);
          if (!choices.on_reduction()) x = d.reduction(x);
          const Streams in = load_streams(io.channel[c], n);
          outputs[c] = in * amplitude(hn::Neg(x));
          const Streams y = d.dry * in + d.wet * makeup_gain * outputs[c];
          peaks.add(y);
          store_streams(y, io.channel[c], n);
        }
      }
      detectors = d;
    };
    with_combined_streams(any.channel_mode(), io.channels, run);
    for (int c = 0; c < io.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      owners.put(outputs[c], [&](Compressor& own, float number) { own.output_[at] = number; });
      if (!cuts) continue;
      owners.put(cut_states[c].s1, [&](Compressor& own, float number) { own.feedback_cut_[at].s1 = number; });
      owners.put(cut_states[c].s2, [&](Compressor& own, float number) { own.feedback_cut_[at].s2 = number; });
    }
    return peaks;
  }

  ChannelMode channel_mode() const noexcept TR_RT { return channel_mode_of(choices_.channel_mode); }

  using D = Tag<float>;
  using V = Vec<float>;

  void process_forward(Block io, SideBlock key) noexcept TR_RT {
    const int frames = io.frames;
    const bool fully = settings_.rests_at(link, 1.0f);
    const bool steady_cut = low_cut_.off() || low_cut_.steady() != nullptr;
    if (linked_.share_one(fully) && StereoDetectorInput::fits(key) && steady_cut) {
      StereoDetectorInput input(key, channel_mode(), low_cut_.steady());
      detect([&](int n) HWY_ATTR { return input.next(n, frames - n); }, linked_.level(0), frames, 0);
      linked_.set_fault(!input.finish());
      std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);
      return linked_.apply(io, lookahead_);
    }
    const SideBlock filtered = low_cut_.process(key, frames);
    const auto link_at = [&](int n) { return settings_.at(link, n); };
    const int detectors = linked_.set_levels(filtered, channel_mode(), fully, link_at, frames);
    for (; powers_used_ < detectors; ++powers_used_) powers_[static_cast<std::size_t>(powers_used_)].copy(powers_[0]);
    for (int c = 0; c < detectors; ++c) {
      float* level = linked_.level(c);
      detect([=](int n) HWY_ATTR { return hn::LoadU(D(), level + n); }, level, frames, c);
    }
    if (detectors == 1) std::fill(detectors_.begin() + 1, detectors_.begin() + channels_, detectors_[0]);
    linked_.apply(io, lookahead_);
  }

  // From the level of one detector, `level(n)` for the vector of frames that begins at n, to the gain to apply.
  template <class Level>
  void detect(const Level& level, float* gain, int frames, int detector) noexcept TR_RT {
    Detector& d = detectors_[static_cast<std::size_t>(detector)];
    MovingPower* moving = is_moving_rms() ? &powers_[static_cast<std::size_t>(detector)] : nullptr;
    const FollowerKind kind = follower_kind();
    if (kind == FollowerKind::two_stage) {
      ScalarLane smoothed = scalar_lane(d.smoothed);
      detect(level, gain, frames, d, moving,
             [&](auto& state, const auto& c, ScalarLane x) HWY_ATTR { return two_stage_step(smoothed, state, c, x); });
      d.smoothed = hn::GetLane(smoothed);
    } else if (kind == FollowerKind::decoupled) {
      detect(level, gain, frames, d, moving,
             [](auto& state, const auto& c, ScalarLane x) HWY_ATTR { return decoupled_step(state, c, x); });
    } else {
      with_branching(ballistics_, [&](const auto& follow) { detect(level, gain, frames, d, moving, follow); });
    }
  }

  // The power, such that it is still a number.
  template <class X>
  static HWY_INLINE X power_of(X x) noexcept TR_RT {
    x = Min(x, hn::Set(hn::DFromV<X>(), loudest_level));
    return x * x;
  }

  template <class Level, class Follow>
  void detect(const Level& level, float* gain, int frames, Detector& d, MovingPower* moving_power,
              const Follow& follow) noexcept TR_RT {
    const D tag;
    const bool averages = choices_.detector != Card::Detector::peak;
    const bool on_reduction = followed() == Followed::reduction, on_power = followed() == Followed::power;
    const FollowerCoefficients<ScalarLane> coefficients{scalar_lane(ballistics_.rise), scalar_lane(ballistics_.fall)};
    const ScalarLane averaging = scalar_lane(averaging_);
    FollowerState<ScalarLane> state{scalar_lane(d.follower.peak), scalar_lane(d.follower.level)};
    ScalarLane average = scalar_lane(d.average.level);
    V deepest = hn::Zero(tag);
    const auto steady = settings_.vectors(0);
    const bool moving = settings_.moving();
    const auto average_step = [&](ScalarLane x) HWY_ATTR { return smoothing_step(average, averaging, x); };
    const auto moving_step = [&](ScalarLane x) HWY_ATTR { return scalar_lane(moving_power->step(hn::GetLane(x))); };
    const auto follower_step = [&](ScalarLane x) HWY_ATTR { return follow(state, coefficients, x); };
    const auto curve = [&](V x, int n) HWY_ATTR {
      const V audible = hn::Max(x, hn::Set(tag, floor_amplitude));
      if (!moving)
        return reduction_db<V>({steady[threshold], steady[slope], steady[knee], steady[range]}, decibels(audible));
      const auto now = settings_.vectors(n);
      return reduction_db<V>({now[threshold], now[slope], now[knee], now[range]}, decibels(audible));
    };
    // The stages between the level and the gain. The follower's quantity is the level or the reduction.
    const auto average_power = [&](V x, int n) HWY_ATTR {
      if (!averages) return x;
      if (moving_power != nullptr) return scan_lanes(power_of(x), frames - n, moving_step);
      return scan_lanes(power_of(x), frames - n, average_step);
    };
    const auto to_quantity = [&](V x, int n) HWY_ATTR {
      if (averages) x = hn::Sqrt(x);
      if (on_power) x = power_of(x);
      return on_reduction ? curve(x, n) : x;
    };
    const auto to_gain = [&](V reduction, int n) HWY_ATTR {
      if (on_power) reduction = hn::Sqrt(reduction);
      if (!on_reduction) reduction = curve(reduction, n);
      if (frames - n >= lane_count<float>) {
        deepest = hn::Max(deepest, reduction);
      } else {
        alignas(32) float last[lane_count<float>];
        hn::Store(reduction, tag, last);
        deepest_ = Max(deepest_, largest(last, frames - n));
      }
      const V wet = moving ? settings_.vector(mix, n) : steady[mix],
              up = moving ? settings_.vector(makeup, n) : steady[makeup];
      hn::StoreU((hn::Set(tag, 1.0f) - wet) + wet * amplitude(up - reduction), tag, gain + n);
    };
    // A recursion waits for itself, and the curve takes long. So the stages are pipelined: in one turn, each works on
    // what the stage before it gave in the last turn, and five vectors of frames are under way at once.
    constexpr int lanes = lane_count<float>;
    V levels = hn::Zero(tag), averaged = levels, quantity = levels, followed = levels;
    for (int n = -3 * lanes; n < frames + lanes; n += lanes) {
      const auto inside = [&](int at) { return at >= 0 && at < frames; };
      const V last_levels = levels, last_averaged = averaged, last_quantity = quantity, last_followed = followed;
      if (inside(n + 3 * lanes)) levels = level(n + 3 * lanes);
      if (inside(n + 2 * lanes)) averaged = average_power(last_levels, n + 2 * lanes);
      if (inside(n + lanes)) quantity = to_quantity(last_averaged, n + lanes);
      if (inside(n - lanes)) to_gain(last_followed, n - lanes);
      if (inside(n)) followed = scan_lanes(last_quantity, frames - n, follower_step);
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
    const DetectorChoices choices = detector_choices();
    for (int n = 0; n < io.frames; ++n) {
      const auto at = [&](std::size_t i) { return settings_.at(i, n); };
      const DetectorSettings<float> settings{{at(threshold), at(slope), at(knee), at(range)}, ballistics_, averaging_};
      float own[max_channels], all = 0.0f;
      for (int c = 0; c < io.channels; ++c) {
        const auto which = static_cast<std::size_t>(c);
        own[c] = output_[which];
        if (cut_on_ || cut_.moving()) {
          const float cut = svf_step(feedback_cut_[which], cut_.moving() ? cut_at(n) : steady, output_[which]);
          if (cut_on_) own[c] = cut;
        }
        all = combine(channel_mode(), all, own[c]);
      }
      all = combined(channel_mode(), all, static_cast<float>(io.channels));
      for (int c = 0; c < io.channels; ++c) {
        const auto which = static_cast<std::size_t>(c);
        const float level = (1.0f - at(link)) * std::abs(own[c]) + at(link) * all;
        DetectorFrame<float> frame;
        const float reduction = detector_step(detectors_[which], choices, settings, level, frame);
        deepest_ = std::max(deepest_, reduction);
        float& x = io.channel[c][n];
        output_[which] = x * amplitude(-reduction);
        x = (1.0f - at(mix)) * x + at(mix) * amplitude(at(makeup)) * output_[which];
      }
    }
  }

  double rate_ = 0;
  int channels_ = 0;
  Card::Values choices_{};
  Ramps<ramped_count> settings_;
  Ramps<2> cut_;  // g and k of the low cut in feedback
  FollowerCoefficients<float> ballistics_{};
  float averaging_ = 0, deepest_ = 0;
  bool cut_on_ = false, feedback_ = false;
  TickFade<0, 32> auto_makeup_;
  Lookahead lookahead_;
  LinkedDetectors linked_;
  SwitchedCut<FilterShape::low_cut> low_cut_;
  std::vector<SvfState<float>> feedback_cut_;
  std::vector<Detector> detectors_;
  std::vector<MovingPower> powers_;  // of the detectors
  int powers_used_ = 1;
  std::array<float, max_channels> output_{};  // the last sample before makeup and mix, for feedback
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
