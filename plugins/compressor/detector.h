// A compressor's detector, one frame after the other (Giannoulis, Massberg, Reiss 2012, fig. 7):
//
// level -> [RMS] -> [follower on the level or its power] -> dB -> curve -> [follower on the reduction] -> reduction in
// dB
//
// The feedback topology of the engine and the sweeps of both topologies go forwards by this step. Where nothing is fed
// back the engine runs the same parts over vectors of time instead (`detect` in compressor.h), and the sweep goes back
// part by part (feed_forward_sweep.h): one step would wait for its own result in every frame.
#if defined(TWINRACK_PLUGINS_COMPRESSOR_DETECTOR_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_COMPRESSOR_DETECTOR_H_
#undef TWINRACK_PLUGINS_COMPRESSOR_DETECTOR_H_
#else
#define TWINRACK_PLUGINS_COMPRESSOR_DETECTOR_H_
#endif

#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/lanes/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// In the order of the card's options.
enum class Followed : int { reduction, level, power };
enum class FollowerKind : int { branching, decoupled, two_stage };

struct DetectorChoices {
  bool rms;
  Followed followed;
  FollowerKind kind;

  bool on_reduction() const noexcept TR_RT { return followed == Followed::reduction; }
  bool on_power() const noexcept TR_RT { return followed == Followed::power; }
};

// From the options of a sweep: RMS; what is followed; how.
inline DetectorChoices detector_choices(const int* options) noexcept TR_RT {
  return {options[0] != 0, static_cast<Followed>(options[1]), static_cast<FollowerKind>(options[2])};
}
inline bool are_detector_choices(const int* options) noexcept {
  return (options[0] == 0 || options[0] == 1) && options[1] >= 0 && options[1] <= static_cast<int>(Followed::power) &&
         options[2] >= 0 && options[2] <= static_cast<int>(FollowerKind::two_stage);
}

template <class V>
struct DetectorState {
  FollowerState<V> average{}, follower{};  // of the average only `level` counts
  V smoothed{};                            // of two stages
};

template <class V>
struct DetectorSettings {
  GainCurve<V> curve;
  FollowerCoefficients<V> ballistics;
  V averaging;
};

// The values of the forward pass at one frame, which the backward pass needs.
template <class V>
struct DetectorFrame {
  DetectorState<V> before;
  V level;      // rectified
  V averaged;   // itself, or the root of its averaged power
  V follow_in;  // what the follower is given
  V curve_in;   // the level that the curve is given, followed or not
  V level_db;   // the same in dB, at least -140
  V curve_out;  // the reduction that the curve says, in dB
};

template <class V>
HWY_INLINE V detector_follow(const DetectorChoices& choices, DetectorState<V>& state,
                             const FollowerCoefficients<V>& times, V x) noexcept TR_RT {
  if (choices.kind == FollowerKind::two_stage) return two_stage_step(state.smoothed, state.follower, times, x);
  return choices.kind == FollowerKind::decoupled ? decoupled_step(state.follower, times, x)
                                                 : branching_step(state.follower, times, x);
}
template <class V>
HWY_INLINE V detector_follow_back(const DetectorChoices& choices, const DetectorState<V>& before,
                                  const FollowerCoefficients<V>& times, V x, V grad, DetectorState<V>& adjoint,
                                  FollowerCoefficients<V>& sum) noexcept TR_RT {
  if (choices.kind == FollowerKind::two_stage) {
    return two_stage_step_back(before.smoothed, before.follower, times, x, grad, adjoint.smoothed, adjoint.follower,
                               sum);
  }
  return choices.kind == FollowerKind::decoupled
             ? decoupled_step_back(before.follower, times, x, grad, adjoint.follower, sum)
             : branching_step_back(before.follower, times, x, grad, adjoint.follower, sum);
}

// The reduction in dB; `frame` gets what the way back needs.
template <class V>
HWY_INLINE V detector_step(DetectorState<V>& state, const DetectorChoices& choices, const DetectorSettings<V>& settings,
                           V level, DetectorFrame<V>& frame) noexcept TR_RT {
  const V floor = Broadcast<V>::of(1e-7);  // -140 dBFS
  frame.before = state;
  frame.level = frame.averaged = level;
  if (choices.rms) frame.averaged = Sqrt(smoothing_step(state.average.level, settings.averaging, level * level));
  frame.follow_in = frame.curve_in = frame.averaged;
  if (choices.on_power()) frame.follow_in = frame.averaged * frame.averaged;
  if (!choices.on_reduction()) frame.curve_in = detector_follow(choices, state, settings.ballistics, frame.follow_in);
  if (choices.on_power()) frame.curve_in = Sqrt(frame.curve_in);
  frame.level_db = decibels(Max(frame.curve_in, floor));
  frame.curve_out = reduction_db(settings.curve, frame.level_db);
  if (!choices.on_reduction()) return frame.curve_out;
  frame.follow_in = frame.curve_out;
  return detector_follow(choices, state, settings.ballistics, frame.follow_in);
}

template <class V>
struct DetectorSums {
  GainCurve<V> curve;
  FollowerCoefficients<V> ballistics, averaging;  // the gradient of `averaging` in two parts
};

// One step backwards, from the gradient of the reduction to that of the level; `adjoint` goes from the state after to
// the state before, `sum` collects the gradients of the settings.
template <class V>
HWY_INLINE V detector_step_back(const DetectorFrame<V>& frame, const DetectorChoices& choices,
                                const DetectorSettings<V>& settings, V grad, DetectorState<V>& adjoint,
                                DetectorSums<V>& sum) noexcept TR_RT {
  const V zero = Broadcast<V>::of(0), floor = Broadcast<V>::of(1e-7), two = Broadcast<V>::of(2);
  const V per_db = Broadcast<V>::of(0.11512925464970229);  // ln(10) / 20
  const auto follow_back = [&](V from) {
    return detector_follow_back(choices, frame.before, settings.ballistics, frame.follow_in, from, adjoint,
                                sum.ballistics);
  };
  if (choices.on_reduction()) grad = follow_back(grad);
  grad = reduction_back(settings.curve, frame.level_db, grad, sum.curve);
  grad = if_positive(frame.curve_in - floor, grad / (per_db * frame.curve_in), zero);
  if (choices.on_power()) grad = if_positive(frame.curve_in, grad / (two * frame.curve_in), zero);
  if (!choices.on_reduction()) grad = follow_back(grad);
  if (choices.on_power()) grad = grad * (two * frame.averaged);
  if (!choices.rms) return grad;
  grad = if_positive(frame.averaged, grad / (two * frame.averaged), zero);
  const FollowerCoefficients<V> averaging{settings.averaging, settings.averaging};
  grad = branching_step_back(frame.before.average, averaging, frame.level * frame.level, grad, adjoint.average,
                             sum.averaging);
  return grad * (two * frame.level);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
