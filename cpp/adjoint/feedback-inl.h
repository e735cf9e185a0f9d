// Sweeps of the feedback compressor: each sample's gain depends on the output before it, so all parts of the detector
// are stepped together, forwards and backwards, one batch item at a time.
#if defined(TWINRACK_ADJOINT_FEEDBACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FEEDBACK_INL_H_
#undef TWINRACK_ADJOINT_FEEDBACK_INL_H_
#else
#define TWINRACK_ADJOINT_FEEDBACK_INL_H_
#endif

#include <cmath>
#include <vector>

#include "adjoint/sweeps.h"
#include "adjoint/walk.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/filters/svf-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::FeedbackChoices;
using adjoint::Shape;

inline constexpr int setting_count = 10, ramped_settings = 7;

template <class T>
struct ChannelState {
  SvfState<T> cut{};
  T heard = 0;  // the last output
  FollowerState<T> average{}, follower{};
};

// Everything one channel computes at one frame, kept for the way back.
template <class T>
struct ChannelFrame {
  ChannelState<T> before;
  T own, blended, level, followed_level, reduction, gain;
};

template <class T>
struct FeedbackSettings {
  T v[setting_count];
  bool cut_on;  // this tick arrives at a frequency above 0
  GainCurve<T> curve() const { return {v[0], v[1], v[2], v[3]}; }
  T link() const { return v[4]; }
  Svf<T> cut() const { return make_svf(v[5], v[6], T(1), -v[6], T(-1)); }
  FollowerCoefficients<T> ballistics() const { return {v[7], v[8]}; }
  FollowerCoefficients<T> averaging() const { return {v[9], v[9]}; }
};

template <class T>
struct FeedbackSweep {
  static constexpr T floor_amplitude = static_cast<T>(1e-7);
  const Shape& shape;
  const FeedbackChoices& choices;
  const T* settings;  // this item's row

  bool ramped(int tick) const { return shape.ticks > 1 && tick > 0; }

  FeedbackSettings<T> at(int frame) const {
    const int tick = frame / tick_frames;
    const T* to = settings + (shape.ticks == 1 ? 0 : tick) * setting_count;
    FeedbackSettings<T> s;
    s.cut_on = to[5] > 0;
    const T share = ramp_share<T>(frame % tick_frames);
    for (int i = 0; i < setting_count; ++i) {
      s.v[i] =
          ramped(tick) && i < ramped_settings ? to[i - setting_count] + (to[i] - to[i - setting_count]) * share : to[i];
    }
    return s;
  }

  T follow(FollowerState<T>& state, const FollowerCoefficients<T>& c, T x) const {
    return choices.decoupled ? decoupled_step(state, c, x) : branching_step(state, c, x);
  }
  T follow_back(const FollowerState<T>& before, const FollowerCoefficients<T>& c, T x, T grad,
                FollowerState<T>& adjoint, FollowerCoefficients<T>& sum) const {
    return choices.decoupled ? decoupled_step_back(before, c, x, grad, adjoint, sum)
                             : branching_step_back(before, c, x, grad, adjoint, sum);
  }

  T combine(const ChannelFrame<T>* frames) const {
    T sum = 0;
    for (int c = 0; c < shape.channels; ++c) {
      const T x = frames[c].own;
      if (choices.channel_mode == 0) {
        sum = std::max(sum, std::abs(x));
      } else if (choices.channel_mode == 3) {
        sum += std::abs(x);
      } else {
        sum += choices.channel_mode == 1 ? x : x * x;
      }
    }
    if (choices.channel_mode == 0) return sum;
    const T mean = sum / static_cast<T>(shape.channels);
    if (choices.channel_mode == 3) return mean;
    return choices.channel_mode == 1 ? std::abs(mean) : std::sqrt(mean);
  }

  // One frame of all channels; `x` steps by shape.frames from channel to channel.
  void step(std::vector<ChannelState<T>>& states, const FeedbackSettings<T>& s, const T* x,
            ChannelFrame<T>* kept) const {
    for (int c = 0; c < shape.channels; ++c) {
      ChannelState<T>& state = states[static_cast<std::size_t>(c)];
      kept[c].before = state;
      kept[c].own = state.heard;
      if (choices.low_cut) {
        const T cut = svf_step(state.cut, s.cut(), state.heard);
        if (s.cut_on) kept[c].own = cut;
      }
    }
    const T together = combine(kept);
    for (int c = 0; c < shape.channels; ++c) {
      ChannelState<T>& state = states[static_cast<std::size_t>(c)];
      ChannelFrame<T>& k = kept[c];
      k.blended = (1 - s.link()) * std::abs(k.own) + s.link() * together;
      k.level =
          choices.rms ? std::sqrt(branching_step(state.average, s.averaging(), k.blended * k.blended)) : k.blended;
      k.followed_level = choices.on_level ? follow(state.follower, s.ballistics(), k.level) : k.level;
      k.reduction = reduction_db(s.curve(), decibels(std::max(k.followed_level, floor_amplitude)));
      const T reduction = choices.on_level ? k.reduction : follow(state.follower, s.ballistics(), k.reduction);
      k.gain = amplitude(-reduction);
      state.heard = x[static_cast<std::int64_t>(c) * shape.frames] * k.gain;
    }
  }

  void combine_back(const ChannelFrame<T>* kept, T grad, T* own_grad) const {
    const auto sign = [](T v) { return v > 0 ? T(1) : (v < 0 ? T(-1) : T(0)); };
    if (choices.channel_mode == 0) {
      int loudest = 0;
      for (int c = 1; c < shape.channels; ++c) {
        if (std::abs(kept[c].own) > std::abs(kept[loudest].own)) loudest = c;
      }
      own_grad[loudest] += grad * sign(kept[loudest].own);
      return;
    }
    if (choices.channel_mode == 3) {
      for (int c = 0; c < shape.channels; ++c) own_grad[c] += grad * sign(kept[c].own) / static_cast<T>(shape.channels);
      return;
    }
    T mean = 0;
    for (int c = 0; c < shape.channels; ++c)
      mean += choices.channel_mode == 1 ? kept[c].own : kept[c].own * kept[c].own;
    mean /= static_cast<T>(shape.channels);
    for (int c = 0; c < shape.channels; ++c) {
      if (choices.channel_mode == 1) {
        own_grad[c] += grad * sign(mean) / static_cast<T>(shape.channels);
      } else if (mean > 0) {
        own_grad[c] += grad * kept[c].own / (std::sqrt(mean) * static_cast<T>(shape.channels));
      }
    }
  }

  void step_back(std::vector<ChannelState<T>>& adjoint, const FeedbackSettings<T>& s, const T* x, const T* y_grad,
                 const ChannelFrame<T>* kept, T* x_grad, T* sum) const {
    constexpr T per_db = static_cast<T>(0.11512925464970229);  // ln(10) / 20
    T own_grad[max_channels] = {};
    T together_grad = 0;
    const T together = combine(kept);
    GainCurve<T> curve_sum{0, 0, 0, 0};
    FollowerCoefficients<T> ballistics_sum{0, 0}, averaging_sum{0, 0};
    for (int c = 0; c < shape.channels; ++c) {
      const ChannelFrame<T>& k = kept[c];
      ChannelState<T>& a = adjoint[static_cast<std::size_t>(c)];
      const std::int64_t at = static_cast<std::int64_t>(c) * shape.frames;
      const T heard_grad = y_grad[at] + a.heard;
      a.heard = 0;
      x_grad[at] = heard_grad * k.gain;
      T grad = -heard_grad * x[at] * k.gain * per_db;
      if (!choices.on_level)
        grad = follow_back(k.before.follower, s.ballistics(), k.reduction, grad, a.follower, ballistics_sum);
      const bool audible = k.followed_level > floor_amplitude;
      const T level_db = decibels(std::max(k.followed_level, floor_amplitude));
      grad = reduction_back(s.curve(), level_db, grad, curve_sum);
      grad = audible ? grad / (per_db * k.followed_level) : T(0);
      if (choices.on_level)
        grad = follow_back(k.before.follower, s.ballistics(), k.level, grad, a.follower, ballistics_sum);
      if (choices.rms) {
        grad = k.level > 0 ? grad / (2 * k.level) : T(0);
        grad =
            branching_step_back(k.before.average, s.averaging(), k.blended * k.blended, grad, a.average, averaging_sum);
        grad *= 2 * k.blended;
      }
      own_grad[c] += grad * (1 - s.link()) * (k.own > 0 ? T(1) : (k.own < 0 ? T(-1) : T(0)));
      together_grad += grad * s.link();
      sum[4] += grad * (together - std::abs(k.own));
    }
    combine_back(kept, together_grad, own_grad);
    for (int c = 0; c < shape.channels; ++c) {
      const ChannelFrame<T>& k = kept[c];
      ChannelState<T>& a = adjoint[static_cast<std::size_t>(c)];
      if (choices.low_cut) {
        SvfSums<T> cut{0, 0, 0, 0, 0, 0};
        a.heard += svf_step_back(k.before.cut, s.cut(), k.before.heard, s.cut_on ? own_grad[c] : T(0), a.cut, cut);
        const SvfGradient<T> g = svf_gradient(s.cut(), cut);
        if (!s.cut_on) a.heard += own_grad[c];
        sum[5] += g.g;
        sum[6] += g.k - g.m1;
      } else {
        a.heard += own_grad[c];
      }
    }
    sum[0] += curve_sum.threshold_db;
    sum[1] += curve_sum.slope;
    sum[2] += curve_sum.knee_db;
    sum[3] += curve_sum.range_db;
    sum[7] += ballistics_sum.rise;
    sum[8] += ballistics_sum.fall;
    sum[9] += averaging_sum.rise + averaging_sum.fall;
  }
};

template <class T>
FeedbackSweep<T> feedback_item(const Shape& shape, const FeedbackChoices& choices, int item, const T* settings) {
  return {shape, choices,
          settings + static_cast<std::int64_t>(shape.rows == 1 ? 0 : item) * shape.ticks * setting_count};
}

inline constexpr int feedback_state = 7;
template <class T>
void save(const std::vector<ChannelState<T>>& states, T* to) {
  for (const auto& s : states) {
    const T all[feedback_state] = {s.cut.s1,        s.cut.s2,        s.heard,         s.average.peak,
                                   s.average.level, s.follower.peak, s.follower.level};
    to = std::copy_n(all, feedback_state, to);
  }
}
template <class T>
std::vector<ChannelState<T>> restore(const T* from, int channels) {
  std::vector<ChannelState<T>> states;
  for (int c = 0; c < channels; ++c, from += feedback_state) {
    states.push_back({{from[0], from[1]}, from[2], {from[3], from[4]}, {from[5], from[6]}});
  }
  return states;
}

template <class T>
void feedback_forward(const Shape& shape, const FeedbackChoices& choices, const T* x, const T* settings, T* y,
                      T* states) {
  const int ticks = adjoint::tick_count(shape.frames), batch = shape.streams / shape.channels;
  adjoint::parallel_for(batch, shape.threads, [&](int item) {
    const auto sweep = feedback_item(shape, choices, item, settings);
    const std::int64_t at = static_cast<std::int64_t>(item) * shape.channels * shape.frames;
    std::vector<ChannelState<T>> state(static_cast<std::size_t>(shape.channels));
    ChannelFrame<T> kept[max_channels];
    for (int frame = 0; frame < shape.frames; ++frame) {
      if (frame % tick_frames == 0) {
        const std::int64_t tick = static_cast<std::int64_t>(item) * ticks + frame / tick_frames;
        save(state, states + tick * shape.channels * feedback_state);
      }
      sweep.step(state, sweep.at(frame), x + at + frame, kept);
      for (int c = 0; c < shape.channels; ++c) {
        y[at + static_cast<std::int64_t>(c) * shape.frames + frame] = state[static_cast<std::size_t>(c)].heard;
      }
    }
  });
}

template <class T>
void feedback_backward(const Shape& shape, const FeedbackChoices& choices, const T* x, const T* settings,
                       const T* states, const T* y_grad, T* x_grad, T* setting_grad) {
  const int ticks = adjoint::tick_count(shape.frames), batch = shape.streams / shape.channels;
  adjoint::parallel_for(batch, shape.threads, [&](int item) {
    const auto sweep = feedback_item(shape, choices, item, settings);
    const std::int64_t at = static_cast<std::int64_t>(item) * shape.channels * shape.frames;
    T* grad = setting_grad + static_cast<std::int64_t>(item) * shape.ticks * setting_count;
    std::vector<ChannelState<T>> adjoint(static_cast<std::size_t>(shape.channels));
    std::vector<ChannelFrame<T>> kept(static_cast<std::size_t>(shape.channels) * tick_frames);
    for (int tick = ticks - 1; tick >= 0; --tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
      const std::int64_t where = static_cast<std::int64_t>(item) * ticks + tick;
      auto state = restore(states + where * shape.channels * feedback_state, shape.channels);
      for (int n = 0; n < frames; ++n)
        sweep.step(state, sweep.at(start + n), x + at + start + n, &kept[static_cast<std::size_t>(n * shape.channels)]);
      for (int n = frames - 1; n >= 0; --n) {
        T sum[setting_count] = {};
        const std::int64_t now = at + start + n;
        sweep.step_back(adjoint, sweep.at(start + n), x + now, y_grad + now,
                        &kept[static_cast<std::size_t>(n * shape.channels)], x_grad + now, sum);
        const T share = ramp_share<T>(n);
        T* to = grad + (shape.ticks == 1 ? 0 : tick) * setting_count;
        for (int i = 0; i < setting_count; ++i) {
          const bool moving = sweep.ramped(tick) && i < ramped_settings;
          to[i] += moving ? share * sum[i] : sum[i];
          if (moving) to[i - setting_count] += (1 - share) * sum[i];
        }
      }
    }
  });
}

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
