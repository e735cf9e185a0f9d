// The sweep of a compressor that hears its output, up to the reduced signal, before makeup and mix: the gain of a frame
// depends on the output before it, so all channels are stepped together, one batch item at a time.
//
// Settings: rows x ticks x 10: threshold, slope, knee, range, link, g and k of the low cut (ramped; g is 0 while it is
// off), rise, fall, averaging (held). Options: low cut, RMS, what is followed, how (see feed_forward_sweep.h), channel
// mode.
#if defined(TWINRACK_PLUGINS_COMPRESSOR_FEEDBACK_SWEEP_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_COMPRESSOR_FEEDBACK_SWEEP_H_
#undef TWINRACK_PLUGINS_COMPRESSOR_FEEDBACK_SWEEP_H_
#else
#define TWINRACK_PLUGINS_COMPRESSOR_FEEDBACK_SWEEP_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "dsp/dynamics/channel_mode.h"
#include "dsp/filters/svf-inl.h"
#include "plugins/compressor/detector.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace compressor_feedback {

enum Setting : int {
  threshold,
  slope,
  knee,
  range,
  link,
  cut_g,
  cut_k,
  ramped_count,
  rise = ramped_count,
  fall,
  averaging
};
inline constexpr int setting_count = averaging + 1;
inline constexpr int state_count = 8;  // of a channel

template <class T>
struct ChannelState {
  SvfState<T> cut{};
  T output = 0;  // the last one
  DetectorState<T> detector{};
};

// Everything one channel computes at one frame, kept for the way back.
template <class T>
struct ChannelFrame {
  SvfState<T> cut_before;
  T output_before;
  T own;  // what its detector is given
  DetectorFrame<T> detector;
  T gain;
};

template <class T>
struct FrameSettings {
  T values[setting_count];
  bool cut_on;  // this tick arrives at a frequency above 0

  DetectorSettings<T> detector() const {
    return {{values[threshold], values[slope], values[knee], values[range]},
            {values[rise], values[fall]},
            values[averaging]};
  }
  Svf<T> cut() const { return make_svf(values[cut_g], values[cut_k], T(1), -values[cut_k], T(-1)); }
};

// One batch item.
template <class T>
struct FeedbackItem {
  const adjoint::Shape& shape;
  bool low_cut;
  DetectorChoices choices;
  ChannelMode channel_mode;
  const T* settings;  // this item's row

  bool ramped(int tick) const { return shape.ticks > 1 && tick > 0; }

  FrameSettings<T> at(int frame) const {
    const int tick = frame / tick_frames;
    const T* to = settings + (shape.ticks == 1 ? 0 : tick) * setting_count;
    FrameSettings<T> now;
    now.cut_on = to[cut_g] > 0;
    const T ramp = ramp_position<T>(frame % tick_frames);
    for (int i = 0; i < setting_count; ++i) {
      const bool moving = ramped(tick) && i < ramped_count;
      now.values[i] = moving ? to[i - setting_count] + (to[i] - to[i - setting_count]) * ramp : to[i];
    }
    return now;
  }

  T combine(const ChannelFrame<T>* frames) const {
    T sum = 0;
    for (int c = 0; c < shape.channels; ++c) {
      const T x = frames[c].own;
      if (channel_mode == ChannelMode::maximum) {
        sum = std::max(sum, std::abs(x));
      } else if (channel_mode == ChannelMode::magnitude_mean) {
        sum += std::abs(x);
      } else {
        sum += channel_mode == ChannelMode::mean ? x : x * x;
      }
    }
    if (channel_mode == ChannelMode::maximum) return sum;
    const T average = sum / static_cast<T>(shape.channels);
    if (channel_mode == ChannelMode::magnitude_mean) return average;
    return channel_mode == ChannelMode::mean ? std::abs(average) : std::sqrt(average);
  }

  // One frame of all channels; `x` steps by shape.frames from channel to channel.
  void step(std::vector<ChannelState<T>>& states, const FrameSettings<T>& now, const T* x,
            ChannelFrame<T>* kept) const {
    for (int c = 0; c < shape.channels; ++c) {
      ChannelState<T>& state = states[static_cast<std::size_t>(c)];
      kept[c].cut_before = state.cut;
      kept[c].own = kept[c].output_before = state.output;
      if (low_cut) {
        const T cut = svf_step(state.cut, now.cut(), state.output);
        if (now.cut_on) kept[c].own = cut;
      }
    }
    const T together = combine(kept), linked = now.values[link];
    for (int c = 0; c < shape.channels; ++c) {
      ChannelState<T>& state = states[static_cast<std::size_t>(c)];
      const T level = (1 - linked) * std::abs(kept[c].own) + linked * together;
      kept[c].gain = amplitude(-detector_step(state.detector, choices, now.detector(), level, kept[c].detector));
      state.output = x[static_cast<std::int64_t>(c) * shape.frames] * kept[c].gain;
    }
  }

  void combine_back(const ChannelFrame<T>* kept, T grad, T* own_grad) const {
    const auto sign = [](T v) { return v > 0 ? T(1) : (v < 0 ? T(-1) : T(0)); };
    if (channel_mode == ChannelMode::maximum) {
      int loudest = 0;
      for (int c = 1; c < shape.channels; ++c) {
        if (std::abs(kept[c].own) > std::abs(kept[loudest].own)) loudest = c;
      }
      own_grad[loudest] += grad * sign(kept[loudest].own);
      return;
    }
    if (channel_mode == ChannelMode::magnitude_mean) {
      for (int c = 0; c < shape.channels; ++c) own_grad[c] += grad * sign(kept[c].own) / static_cast<T>(shape.channels);
      return;
    }
    T average = 0;
    for (int c = 0; c < shape.channels; ++c)
      average += channel_mode == ChannelMode::mean ? kept[c].own : kept[c].own * kept[c].own;
    average /= static_cast<T>(shape.channels);
    for (int c = 0; c < shape.channels; ++c) {
      if (channel_mode == ChannelMode::mean) {
        own_grad[c] += grad * sign(average) / static_cast<T>(shape.channels);
      } else if (average > 0) {
        own_grad[c] += grad * kept[c].own / (std::sqrt(average) * static_cast<T>(shape.channels));
      }
    }
  }

  void step_back(std::vector<ChannelState<T>>& adjoints, const FrameSettings<T>& now, const T* x, const T* y_grad,
                 const ChannelFrame<T>* kept, T* x_grad, T* sum) const {
    constexpr T per_db = static_cast<T>(0.11512925464970229);  // ln(10) / 20
    const T together = combine(kept), linked = now.values[link];
    T own_grad[max_channels] = {}, together_grad = 0;
    DetectorSums<T> sums{{0, 0, 0, 0}, {0, 0}, {0, 0}};
    for (int c = 0; c < shape.channels; ++c) {
      const ChannelFrame<T>& frame = kept[c];
      ChannelState<T>& adjoint = adjoints[static_cast<std::size_t>(c)];
      const std::int64_t at = static_cast<std::int64_t>(c) * shape.frames;
      const T output_grad = y_grad[at] + adjoint.output;
      adjoint.output = 0;
      x_grad[at] = output_grad * frame.gain;
      const T reduction_grad = -output_grad * x[at] * frame.gain * per_db;
      const T grad =
          detector_step_back(frame.detector, choices, now.detector(), reduction_grad, adjoint.detector, sums);
      own_grad[c] += grad * (1 - linked) * (frame.own > 0 ? T(1) : (frame.own < 0 ? T(-1) : T(0)));
      together_grad += grad * linked;
      sum[link] += grad * (together - std::abs(frame.own));
    }
    combine_back(kept, together_grad, own_grad);
    for (int c = 0; c < shape.channels; ++c) {
      ChannelState<T>& adjoint = adjoints[static_cast<std::size_t>(c)];
      if (low_cut) {
        SvfSums<T> cut{0, 0, 0, 0, 0, 0};
        adjoint.output += svf_step_back(kept[c].cut_before, now.cut(), kept[c].output_before,
                                        now.cut_on ? own_grad[c] : T(0), adjoint.cut, cut);
        const SvfGradient<T> grad = svf_gradient(now.cut(), cut);
        if (!now.cut_on) adjoint.output += own_grad[c];
        sum[cut_g] += grad.g;
        sum[cut_k] += grad.k - grad.m1;
      } else {
        adjoint.output += own_grad[c];
      }
    }
    sum[threshold] += sums.curve.threshold_db;
    sum[slope] += sums.curve.slope;
    sum[knee] += sums.curve.knee_db;
    sum[range] += sums.curve.range_db;
    sum[rise] += sums.ballistics.rise;
    sum[fall] += sums.ballistics.fall;
    sum[averaging] += sums.averaging.rise + sums.averaging.fall;
  }
};

template <class T>
void save(const std::vector<ChannelState<T>>& states, T* to) {
  for (const auto& state : states) {
    const DetectorState<T>& detector = state.detector;
    const T numbers[state_count] = {state.cut.s1,
                                    state.cut.s2,
                                    state.output,
                                    detector.average.peak,
                                    detector.average.level,
                                    detector.follower.peak,
                                    detector.follower.level,
                                    detector.smoothed};
    to = std::copy_n(numbers, state_count, to);
  }
}
template <class T>
std::vector<ChannelState<T>> restore(const T* from, int channels) {
  std::vector<ChannelState<T>> states;
  for (int c = 0; c < channels; ++c, from += state_count) {
    states.push_back({{from[0], from[1]}, from[2], {{from[3], from[4]}, {from[5], from[6]}, from[7]}});
  }
  return states;
}

}  // namespace compressor_feedback

struct CompressorFeedbackSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    using namespace compressor_feedback;
    const adjoint::Shape& shape = request.shape;
    adjoint::require(request.coefficients.size() == 1 && request.coefficients[0].size() == 3 &&
                         request.coefficients[0][2] == setting_count,
                     "settings must be (rows, ticks, 10)");
    const std::vector<int>& options = request.options;
    adjoint::require(
        options.size() == 5 && adjoint::are_flags(options.data(), 1) && are_detector_choices(options.data() + 1) &&
            options[4] >= static_cast<int>(ChannelMode::maximum) &&
            options[4] <= static_cast<int>(ChannelMode::magnitude_mean),
        "five options: low cut and RMS (0 or 1), what is followed and how (0 to 2), channel mode (0 to 3)");
    adjoint::require(shape.channels <= max_channels, "at most 16 channels");
    const std::int64_t ticks = adjoint::tick_count(shape.frames);
    return {{shape.streams * ticks * state_count}, shape.batch()};
  }

  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    using namespace compressor_feedback;
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(shape.batch(), shape.threads, [&](int index) {
      const auto item = item_of(pass, index);
      const std::int64_t start = static_cast<std::int64_t>(index) * shape.channels * shape.frames;
      std::vector<ChannelState<T>> state(static_cast<std::size_t>(shape.channels));
      ChannelFrame<T> kept[max_channels];
      for (int frame = 0; frame < shape.frames; ++frame) {
        if (frame % tick_frames == 0) save(state, checkpoint(shape, pass.memory[0], index, frame / tick_frames));
        item.step(state, item.at(frame), pass.x + start + frame, kept);
        for (int c = 0; c < shape.channels; ++c) {
          pass.y[start + static_cast<std::int64_t>(c) * shape.frames + frame] =
              state[static_cast<std::size_t>(c)].output;
        }
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    using namespace compressor_feedback;
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(shape.batch(), shape.threads, [&](int index) {
      const auto item = item_of(pass, index);
      const std::int64_t start_of_item = static_cast<std::int64_t>(index) * shape.channels * shape.frames;
      T* grads = pass.coefficient_grads[0] + static_cast<std::int64_t>(index) * shape.ticks * setting_count;
      std::vector<ChannelState<T>> adjoints(static_cast<std::size_t>(shape.channels));
      std::vector<ChannelFrame<T>> kept(static_cast<std::size_t>(shape.channels) * tick_frames);
      for (int tick = adjoint::tick_count(shape.frames) - 1; tick >= 0; --tick) {
        const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
        const std::int64_t place = start_of_item + start;
        auto state = restore(checkpoint(shape, pass.memory[0], index, tick), shape.channels);
        const auto kept_at = [&](int n) { return &kept[static_cast<std::size_t>(n * shape.channels)]; };
        for (int n = 0; n < frames; ++n) item.step(state, item.at(start + n), pass.x + place + n, kept_at(n));
        for (int n = frames - 1; n >= 0; --n) {
          T sum[setting_count] = {};
          item.step_back(adjoints, item.at(start + n), pass.x + place + n, pass.y_grad + place + n, kept_at(n),
                         pass.x_grad + place + n, sum);
          const T ramp = ramp_position<T>(n);
          T* to = grads + (shape.ticks == 1 ? 0 : tick) * setting_count;
          for (int i = 0; i < setting_count; ++i) {
            const bool moving = item.ramped(tick) && i < ramped_count;
            to[i] += moving ? ramp * sum[i] : sum[i];
            if (moving) to[i - setting_count] += (1 - ramp) * sum[i];
          }
        }
      }
    });
  }

 private:
  template <class T, template <class> class Pass>
  static compressor_feedback::FeedbackItem<T> item_of(const Pass<T>& pass, int index) {
    const adjoint::Shape& shape = pass.request.shape;
    const std::vector<int>& options = pass.request.options;
    const std::int64_t row = shape.rows == 1 ? 0 : index;
    return {shape, options[0] != 0, detector_choices(options.data() + 1), static_cast<ChannelMode>(options[4]),
            pass.coefficients[0] + row * shape.ticks * compressor_feedback::setting_count};
  }
  template <class P>
  static P* checkpoint(const adjoint::Shape& shape, P* memory, int index, int tick) {
    const std::int64_t place = static_cast<std::int64_t>(index) * adjoint::tick_count(shape.frames) + tick;
    return memory + place * shape.channels * compressor_feedback::state_count;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
