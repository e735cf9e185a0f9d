// Noise gate and downward expander:
//
//   sidechain -> cuts -> combine channels -> [RMS] -> open or closed (hysteresis, hold) -> curve in dB -> attack,
//   release -> gain
//
// While open the gain goes to 0 dB; while closed it goes down the curve below the threshold, to the range. With a knee
// it is open from half a knee above the threshold on, where the curve ends.
#if defined(TWINRACK_PLUGINS_GATE_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_GATE_H_
#undef TWINRACK_PLUGINS_GATE_H_
#else
#define TWINRACK_PLUGINS_GATE_H_
#endif

#include <algorithm>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/dynamics/closing_curve-inl.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gate-inl.h"
#include "dsp/lanes/scan_lanes-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/dynamics/moving_power.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/dynamics/sidechain-inl.h"
#include "dsp/filters/switched_cut-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Gate {
  using Card = cards::Gate;
  static constexpr float floor_amplitude = 1e-7f;  // -140 dBFS
  static constexpr double lowest_db = 140.0;       // below full scale
  static constexpr double longest_window_s = 0.3;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    lookahead_.prepare(channels_, static_cast<int>(std::ceil(0.02 * rate_)));
    linked_.prepare(channels_);
    low_cut_.prepare(rate_);
    high_cut_.prepare(rate_);
    detectors_.assign(static_cast<std::size_t>(channels_), {});
    powers_.resize(static_cast<std::size_t>(channels_));
    for (MovingPower& power : powers_) power.prepare(longest_window_s * rate_);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const Card::Ballistics last_ballistics = choices_.ballistics;
    const bool begins_moving = v.detector == Card::Detector::moving_rms && choices_.detector != v.detector;
    choices_ = v;
    const auto level = [](double db) { return static_cast<float>(std::pow(10.0, db / 20.0)); };
    const double open_db = open_above_db(v), under = static_cast<double>(v.hysteresis_db);
    settings_.go({level(open_db), level(open_db - under), v.ratio - 1.0f, v.range_db, v.knee_db,
                  v.smoothness_percent / 100.0f, v.link_percent / 100.0f});
    if (v.ballistics != last_ballistics) convert(last_ballistics);
    ballistics_ = {one_pole_coefficient(v.release_ms, rate_), one_pole_coefficient(v.attack_ms, rate_)};
    level_ballistics_ = {ballistics_.fall, ballistics_.rise};
    if (on_level()) ballistics_ = {1.0f, 1.0f};
    for (MovingPower& power : powers_) {
      if (begins_moving) power.reset();
      if (is_moving_rms()) power.set(static_cast<double>(v.rms_window_ms) * 1e-3 * rate_);
    }
    averaging_ = one_pole_coefficient(v.rms_window_ms, rate_);
    hold_ = whole_frames(v.hold_ms, rate_);
    low_cut_.tune(v.sidechain_low_cut_hz);
    high_cut_.tune(v.sidechain_high_cut_hz);
    lookahead_.set(whole_frames(v.lookahead_ms, rate_));
  }

  void reset() noexcept TR_RT {
    lookahead_.reset();
    linked_.reset();
    low_cut_.reset();
    high_cut_.reset();
    settings_.arrive();
    start_db_ = closed_db();
    std::fill(detectors_.begin(), detectors_.end(), Detector{});
    for (MovingPower& power : powers_) power.reset();
    powers_used_ = 1;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    if (key.channel == nullptr) key = {io.channel, io.channels};
    deepest_ = 0.0f;
    find_gains(key, io.frames);
    linked_.apply(io, lookahead_);
    settings_.pass(io.frames);
  }

  // Streams side by side make the same choices.
  int stream_group() const noexcept TR_RT {
    const int detectors = linked_.stream_detectors(channels_ == 1 || settings_.rests_at(link, 1.0f));
    if (settings_.moving() || low_cut_.moving() || high_cut_.moving() || detectors == 0 || is_moving_rms()) return -1;
    int group = static_cast<int>(channel_mode_of(choices_.channel_mode));
    for (const bool choice :
         {choices_.detector == Card::Detector::rms, detectors > 1, ballistics_.rise >= ballistics_.fall}) {
      group = 2 * group + static_cast<int>(choice);
    }
    return 3 * group + static_cast<int>(choices_.ballistics);
  }

  static StreamPeaks process_streams(const StreamOwners<Gate>& owners, const StreamBlock& io) noexcept TR_RT {
    StreamPeaks peaks;
    with_branching(owners.any().ballistics_,
                   [&](const auto& follow) HWY_ATTR { peaks = run_streams(owners, io, follow); });
    return peaks;
  }

  // Asleep it is closed as far as it goes; that is where it starts, too.
  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (silent_frames < lookahead_.frames() || settings_.moving()) return false;
    if (is_moving_rms() && silent_frames < lookahead_.frames() + powers_[0].frames()) return false;
    const float closed = closed_db() - start_db_;
    for (const Detector& d : detectors_) {
      if (d.average > 1e-16f || d.gate.open || std::abs(d.closing - closed) > 1e-6f) return false;
      if (on_level() && d.followed > (on_power() ? 1e-14f : 1e-7f)) return false;
    }
    if (!low_cut_.tail_ended() || !high_cut_.tail_ended()) return false;
    for (Detector& d : detectors_) d = {0.0f, closed, {}, 0.0f};
    return true;
  }

  int latency() const noexcept { return lookahead_.frames(); }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }
  void state(StateArchive& archive) {
    archive(settings_, start_db_, deepest_, lookahead_, linked_, low_cut_, high_cut_, detectors_, powers_);
    archive.bounded(powers_used_, 1, channels_);
  }

 private:
  enum Ramped : std::size_t { opens_at, closes_at, slope, range_db, knee, smoothness, link, ramped_count };
  struct Detector {
    float average = 0;
    float closing = 0;  // the reduction, less the one it began with
    GateState gate{};
    float followed = 0;  // the level, or its power, where attack and release act on that
    void state(StateArchive& archive) { archive(average, closing, gate, followed); }
  };
  using D = Tag<float>;
  using V = Vec<float>;

  bool on_level() const noexcept TR_RT { return choices_.ballistics != Card::Ballistics::gain; }
  bool on_power() const noexcept TR_RT { return choices_.ballistics == Card::Ballistics::power; }
  bool is_moving_rms() const noexcept TR_RT { return choices_.detector == Card::Detector::moving_rms; }

  // From what was followed before to what is followed now: the reduction goes on where it was.
  void convert(Card::Ballistics before) noexcept TR_RT {
    for (Detector& d : detectors_) {
      float level = d.followed;
      if (before == Card::Ballistics::power) level = std::sqrt(level);
      if (before == Card::Ballistics::gain) {
        level = settings_.to()[opens_at] * amplitude(-below_for(std::max(d.closing + start_db_, 0.0f)));
      }
      d.followed = on_power() ? level * level : level;
    }
  }

  // The level in dB from which on it is open.
  static double open_above_db(const Card::Values& v) noexcept TR_RT {
    return static_cast<double>(v.threshold_db) + 0.5 * static_cast<double>(v.knee_db);
  }
  template <class T, class Setting>
  static ClosingCurve<T> curve_of(const Setting& setting) noexcept TR_RT {
    return {setting(slope), setting(range_db), setting(knee), setting(smoothness)};
  }
  ClosingCurve<double> curve() const noexcept TR_RT {
    return curve_of<double>([&](std::size_t which) { return static_cast<double>(settings_.to()[which]); });
  }
  float closed_db() const noexcept TR_RT {
    return static_cast<float>(closing_db(curve(), open_above_db(choices_) + lowest_db));
  }
  // The other way round: so many dB below the level at which it is open, the curve gives this reduction.
  float below_for(float reduction) const noexcept TR_RT {
    double near = 0.0, far = lowest_db;
    for (int i = 0; i < 30; ++i) {
      const double middle = 0.5 * (near + far);
      (closing_db(curve(), middle) < static_cast<double>(reduction) ? near : far) = middle;
    }
    return static_cast<float>(near);
  }

  void find_gains(SideBlock key, int frames) noexcept TR_RT {
    const auto mode = channel_mode_of(choices_.channel_mode);
    const bool fully = settings_.rests_at(link, 1.0f);
    if (linked_.share_one(fully) && StereoDetectorInput::fits(key) && low_cut_.off() && high_cut_.off()) {
      StereoDetectorInput input(key, mode, nullptr);
      detect([&](int n) HWY_ATTR { return input.next(n, frames - n); }, linked_.level(0), frames, 0);
      linked_.set_fault(!input.finish());
      std::fill(detectors_.begin() + 1, detectors_.end(), detectors_[0]);
      return;
    }
    const SideBlock filtered = high_cut_.process(low_cut_.process(key, frames), frames);
    const auto link_at = [&](int n) { return settings_.at(link, n); };
    const int detectors = linked_.set_levels(filtered, mode, fully, link_at, frames);
    for (; powers_used_ < detectors; ++powers_used_) powers_[static_cast<std::size_t>(powers_used_)].copy(powers_[0]);
    for (int c = 0; c < detectors; ++c) {
      float* level = linked_.level(c);
      detect([=](int n) HWY_ATTR { return hn::LoadU(D(), level + n); }, level, frames, c);
    }
    if (detectors == 1) std::fill(detectors_.begin() + 1, detectors_.end(), detectors_[0]);
  }

  // From the level of one detector, `level(n)` for the vector of frames that begins at n, to the gain to apply.
  template <class Level>
  void detect(const Level& level, float* gain, int frames, int detector) noexcept TR_RT {
    with_branching(ballistics_, [&](const auto& follow) { detect(level, gain, frames, detector, follow); });
  }

  template <class Level, class Follow>
  void detect(const Level& level, float* gain, int frames, int detector, const Follow& follow) noexcept TR_RT {
    const D tag;
    Detector& d = detectors_[static_cast<std::size_t>(detector)];
    MovingPower& moving_power = powers_[static_cast<std::size_t>(detector)];
    const V zero = hn::Zero(tag), start = hn::Set(tag, start_db_), floor = hn::Set(tag, floor_amplitude);
    const bool rms = choices_.detector == Card::Detector::rms;
    const FollowerCoefficients<ScalarLane> coefficients{scalar_lane(ballistics_.rise), scalar_lane(ballistics_.fall)};
    const FollowerCoefficients<ScalarLane> of_level{scalar_lane(level_ballistics_.rise),
                                                    scalar_lane(level_ballistics_.fall)};
    FollowerState<ScalarLane> level_state{scalar_lane(0.0f), scalar_lane(d.followed)};
    const ScalarLane averaging = scalar_lane(averaging_);
    FollowerState<ScalarLane> state{scalar_lane(0.0f), scalar_lane(d.closing)};
    ScalarLane average = scalar_lane(d.average);
    GateState gate = d.gate;
    const auto smooth = [&](ScalarLane x) HWY_ATTR { return smoothing_step(average, averaging, x); };
    const auto move = [&](ScalarLane x) HWY_ATTR { return scalar_lane(moving_power.step(hn::GetLane(x))); };
    const auto follow_level = [&](ScalarLane x) HWY_ATTR { return branching_step(level_state, of_level, x); };
    const auto ballistics = [&](ScalarLane x) HWY_ATTR { return follow(state, coefficients, x); };
    const bool is_line = settings_.rests_at(knee, 0.0f) && settings_.rests_at(smoothness, 0.0f);
    V deepest = zero;
    auto now = settings_.vectors(0);
    const auto to_reduction = [&](V x, int n) HWY_ATTR {
      if (settings_.moving()) now = settings_.vectors(n);
      if (rms) {
        x = Min(x, hn::Set(tag, loudest_level));
        x = hn::Sqrt(scan_lanes(x * x, frames - n, smooth));
      } else if (is_moving_rms()) {
        x = Min(x, hn::Set(tag, loudest_level));
        x = hn::Sqrt(scan_lanes(x * x, frames - n, move));
      }
      if (on_power()) {
        x = Min(x, hn::Set(tag, loudest_level));
        x = hn::Sqrt(scan_lanes(x * x, frames - n, follow_level));
      } else if (on_level()) {
        x = scan_lanes(x, frames - n, follow_level);
      }
      const auto open = gate_open(gate, hn::Ge(x, now[opens_at]), hn::Ge(x, now[closes_at]), hold_, frames - n);
      const V below = Max(zero, decibels(now[opens_at] / Max(x, floor)));
      const auto setting = [&](std::size_t which) HWY_ATTR { return now[which]; };
      const V closed = is_line ? Min(now[slope] * below, now[range_db]) : closing_db(curve_of<V>(setting), below);
      return hn::IfThenElse(open, zero, closed);
    };
    const auto to_gain = [&](V reduction, int n) HWY_ATTR {
      if (frames - n < lane_count<float>) {
        reduction = hn::IfThenElse(hn::FirstN(tag, static_cast<std::size_t>(frames - n)), reduction, zero);
      }
      deepest = Max(deepest, reduction);
      hn::StoreU(amplitude(zero - reduction), tag, gain + n);
    };
    // Pipelined, as in the compressor: in one turn, each stage works on what the stage before it gave in the last turn.
    constexpr int lanes = lane_count<float>;
    V reduction = zero, followed = zero;
    for (int n = -lanes; n < frames + lanes; n += lanes) {
      const auto inside = [&](int at) { return at >= 0 && at < frames; };
      const V last_reduction = reduction, last_followed = followed;
      if (inside(n + lanes)) reduction = to_reduction(level(n + lanes), n + lanes);
      if (inside(n - lanes)) to_gain(last_followed, n - lanes);
      if (inside(n)) followed = start + scan_lanes(last_reduction - start, frames - n, ballistics);
    }
    deepest_ = Max(deepest_, hn::GetLane(hn::MaxOfLanes(tag, deepest)));
    d = {hn::GetLane(average), hn::GetLane(state.level), gate, hn::GetLane(level_state.level)};
  }

  template <class Follow>
  static StreamPeaks run_streams(const StreamOwners<Gate>& owners, const StreamBlock& io,
                                 const Follow& follow) noexcept TR_RT {
    const StreamTag tag;
    const Gate& any = owners.any();
    const bool rms = any.choices_.detector == Card::Detector::rms;
    const int count = any.linked_.stream_detectors(io.channels == 1 || any.settings_.rests_at(link, 1.0f));
    const auto number = [&](const auto& of) HWY_ATTR { return owners.get(of); };
    const auto setting = [&](std::size_t which) HWY_ATTR {
      return owners.get([&](const Gate& own) { return own.settings_.to()[which]; });
    };
    const Streams zero = hn::Zero(tag), one = hn::Set(tag, 1.0f), floor = hn::Set(tag, floor_amplitude);
    const Streams upper = setting(opens_at), lower = setting(closes_at);
    const ClosingCurve<Streams> curve = curve_of<Streams>(setting);
    const Streams start = number([](const Gate& own) { return own.start_db_; });
    const Streams hold = number([](const Gate& own) { return static_cast<float>(own.hold_); });
    const Streams averaging = number([](const Gate& own) { return own.averaging_; });
    const FollowerCoefficients<Streams> times{number([](const Gate& own) { return own.ballistics_.rise; }),
                                              number([](const Gate& own) { return own.ballistics_.fall; })};
    const FollowerCoefficients<Streams> level_times{number([](const Gate& own) { return own.level_ballistics_.rise; }),
                                                    number([](const Gate& own) { return own.level_ballistics_.fall; })};
    const bool on_level = any.on_level(), on_power = any.on_power();
    struct State {
      Streams average, closing, open, since, followed;  // open: 1, else 0
    } states[2];
    for (int d = 0; d < count; ++d) {
      const auto of = [&](const auto& member) HWY_ATTR {
        return owners.get([&](const Gate& own) { return member(own.detectors_[static_cast<std::size_t>(d)]); });
      };
      states[d] = {of([](const Detector& own) { return own.average; }),
                   of([](const Detector& own) { return own.closing; }),
                   of([](const Detector& own) { return own.gate.open ? 1.0f : 0.0f; }),
                   of([](const Detector& own) { return own.gate.open ? static_cast<float>(own.gate.since) : 0.0f; }),
                   of([](const Detector& own) { return own.followed; })};
    }
    StreamCuts low(owners, [](Gate& own) -> auto& { return own.low_cut_; }, io.channels);
    StreamCuts high(owners, [](Gate& own) -> auto& { return own.high_cut_; }, io.channels);
    const auto filter = [&](int c, Streams x) HWY_ATTR { return high.step(c, low.step(c, x)); };
    const auto detect = [&](int d, float* level, int frames) HWY_ATTR {
      State s = states[d];
      if (rms) {
        each_streams(level, frames, [&](Streams x) HWY_ATTR {
          x = Min(x, hn::Set(tag, loudest_level));
          return smoothing_step(s.average, averaging, x * x);
        });
        each_streams(level, frames, [](Streams x) HWY_ATTR { return hn::Sqrt(x); });
      }
      if (on_level) {
        FollowerState<Streams> followed{zero, s.followed};
        each_streams(level, frames, [&](Streams x) HWY_ATTR {
          if (!on_power) return branching_step(followed, level_times, x);
          x = Min(x, hn::Set(tag, loudest_level));
          return hn::Sqrt(branching_step(followed, level_times, x * x));
        });
        s.followed = followed.level;
      }
      each_streams(level, frames, [&](Streams x) HWY_ATTR {
        const auto open = hn::Gt(s.open, zero);
        const auto above = hn::Ge(x, hn::IfThenElse(open, lower, upper));
        s.since = hn::IfThenElse(above, zero, s.since + one);
        const auto stays = hn::Or(above, hn::And(open, hn::Le(s.since, hold)));
        s.open = hn::IfThenElse(stays, one, zero);
        const Streams below = Max(zero, decibels(upper / Max(x, floor)));
        return hn::IfThenElse(stays, zero, closing_db(curve, below)) - start;
      });
      FollowerState<Streams> follower{zero, s.closing};
      each_streams(level, frames, [&](Streams x) HWY_ATTR { return start + follow(follower, times, x); });
      s.closing = follower.level;
      each_streams(level, frames, [&](Streams x) HWY_ATTR { return amplitude(zero - x); });
      states[d] = s;
    };
    const StreamPeaks peaks = detect_streams(
        owners, io, channel_mode_of(any.choices_.channel_mode), count, setting(link), filter,
        [](Gate& own) -> auto& { return own.lookahead_; }, detect);
    low.finish();
    high.finish();
    for (int c = 0; c < io.channels; ++c) {
      const State& s = states[count == 1 ? 0 : c];
      const auto keep = [&](Streams value, const auto& member) HWY_ATTR {
        owners.put(value, [&](Gate& own, float v) { member(own.detectors_[static_cast<std::size_t>(c)], v); });
      };
      keep(s.average, [](Detector& own, float v) { own.average = v; });
      keep(s.closing, [](Detector& own, float v) { own.closing = v; });
      keep(s.open, [](Detector& own, float v) { own.gate.open = v > 0.0f; });
      keep(s.followed, [](Detector& own, float v) { own.followed = v; });
      keep(s.since, [](Detector& own, float v) { own.gate.since = static_cast<int>(v); });
    }
    owners.each([&](Gate& own, int) { own.linked_.set_detectors(count); });
    return peaks;
  }

  double rate_ = 0;
  int channels_ = 0, hold_ = 0;
  Card::Values choices_{};
  Ramps<ramped_count> settings_;
  FollowerCoefficients<float> ballistics_{};  // of the reduction: it rises with the release, falls with the attack
  FollowerCoefficients<float> level_ballistics_{};  // of the level, where that is followed
  float averaging_ = 0, start_db_ = 0, deepest_ = 0;
  Lookahead lookahead_;
  LinkedDetectors linked_;
  SwitchedCut<FilterShape::low_cut> low_cut_;
  SwitchedCut<FilterShape::high_cut> high_cut_;
  std::vector<Detector> detectors_;
  std::vector<MovingPower> powers_;  // of the detectors
  int powers_used_ = 1;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
