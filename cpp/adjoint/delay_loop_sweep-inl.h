// The sweep of the delay with feedback: one batch item at a time, its channels in pairs. Coefficients:
// - settings, rows x ticks x 6 (feedback, cross, low cut, high cut, saturation, filtered), ramped;
// - whole and fraction of each delay in frames, rows x channels x frames each, whose sum is the delay; in two numbers a
//   long delay keeps its precision.
#if defined(TWINRACK_ADJOINT_DELAY_LOOP_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_DELAY_LOOP_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_DELAY_LOOP_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_DELAY_LOOP_SWEEP_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "dsp/delay/cubic.h"
#include "dsp/delay/delay_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace delay_loop {

using adjoint::Shape;
inline constexpr int settings_count = 6;

// One channel, or a pair, of one batch item; `item` counts these.
template <class T>
struct Item {
  const Shape& shape;
  int first, count;           // channels
  const T* settings;          // this item's row
  const T *whole, *fraction;  // this item's rows, of its first channel

  LoopSettings<T> at(int frame) const {
    const int tick = frame / tick_frames;
    T c[settings_count];
    for (int i = 0; i < settings_count; ++i) {
      const T* to = settings + (shape.ticks == 1 ? 0 : tick) * settings_count + i;
      c[i] = shape.ticks == 1 || tick == 0
                 ? *to
                 : to[-settings_count] + (*to - to[-settings_count]) * ramp_position<T>(frame % tick_frames);
    }
    return {c[0], c[1], c[2], c[3], c[4], c[5]};
  }
  // Where the newest of the four frames around a delay lies, and the delay's fraction.
  struct Place {
    int newest;
    T fraction;
  };
  Place place(int channel, int frame) const {
    const std::int64_t at = static_cast<std::int64_t>(channel) * shape.frames + frame;
    const T nearest = std::round(whole[at]), rest = (whole[at] - nearest) + fraction[at], more = std::floor(rest);
    const T frames_ago = nearest + more;
    if (!(frames_ago >= 2)) return {frame - 1, T(0)};  // and what is not a number
    return {std::max(frame - static_cast<int>(std::min(frames_ago, T(1 << 30))) + 1, -1), rest - more};
  }
};

}  // namespace delay_loop

struct DelayLoopSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    const adjoint::Shape& shape = request.shape;
    adjoint::require(request.coefficients.size() == 3,
                     "coefficients must be three arrays: settings, whole and fraction of the delays");
    const adjoint::Sizes &settings = request.coefficients[0], &whole = request.coefficients[1];
    adjoint::require(settings.size() == 3 && settings[2] == delay_loop::settings_count,
                     "settings must be (rows, ticks, 6)");
    adjoint::require(whole.size() == 3 && (whole[0] == 1 || whole[0] == shape.batch()) && whole[1] == shape.channels &&
                         whole[2] == shape.frames,
                     "delays must be (rows, channels, frames)");
    adjoint::require(whole == request.coefficients[2], "whole and fraction of the delays must have one shape");
    adjoint::require(request.options.empty(), "there are no options");
    const std::int64_t all = static_cast<std::int64_t>(shape.streams) * shape.frames;
    return {{all, all, all}, shape.batch()};
  }

  // Keeps what goes into the lines, and the states before each frame.
  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    const adjoint::Shape& shape = pass.request.shape;
    each_pair(shape, [&](int batch, int first, int count) {
      const auto item = item_of(pass, batch, first, count);
      const std::int64_t start = (static_cast<std::int64_t>(batch) * shape.channels + first) * shape.frames;
      const T* x = pass.x + start;
      T *y = pass.y + start, *w = pass.memory[0] + start, *high = pass.memory[1] + start, *low = pass.memory[2] + start;
      LoopState<T> state[2] = {};
      for (int n = 0; n < shape.frames; ++n) {
        const LoopSettings<T> c = item.at(n);
        for (int i = 0; i < count; ++i) {
          const std::int64_t at = static_cast<std::int64_t>(i) * shape.frames;
          high[at + n] = state[i].high;
          low[at + n] = state[i].low;
          y[at + n] = loop_step(state[i], c, delayed(item, w + at, i, n));
        }
        for (int i = 0; i < count; ++i) {
          const std::int64_t at = static_cast<std::int64_t>(i) * shape.frames,
                             other = static_cast<std::int64_t>(count - 1 - i) * shape.frames;
          w[at + n] = x[at + n] + c.feedback * (y[at + n] + c.cross * (y[other + n] - y[at + n]));
        }
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    const adjoint::Shape& shape = pass.request.shape;
    // The channels of an item share the settings' gradients, so they go one after the other.
    adjoint::parallel_for(shape.batch(), shape.threads, [&](int batch) {
      for (int first = 0; first < shape.channels; first += 2) {
        pair_back(pass, batch, first, std::min(2, shape.channels - first));
      }
    });
  }

 private:
  template <class Work>
  static void each_pair(const adjoint::Shape& shape, const Work& work) {
    const int pairs = (shape.channels + 1) / 2;
    adjoint::parallel_for(shape.batch() * pairs, shape.threads, [&](int i) {
      const int first = i % pairs * 2;
      work(i / pairs, first, std::min(2, shape.channels - first));
    });
  }

  template <template <class> class Pass, class T>
  static delay_loop::Item<T> item_of(const Pass<T>& pass, int batch, int first, int count) {
    const adjoint::Shape& shape = pass.request.shape;
    const std::int64_t settings_row = shape.rows == 1 ? 0 : batch;
    const std::int64_t row = pass.request.coefficients[1][0] == 1 ? 0 : batch;
    const std::int64_t at = (row * shape.channels + first) * shape.frames;
    return {shape,
            first,
            count,
            pass.coefficients[0] + settings_row * shape.ticks * delay_loop::settings_count,
            pass.coefficients[1] + at,
            pass.coefficients[2] + at};
  }

  // The four frames around a delay, the oldest first.
  template <class T>
  static std::array<T, 4> around(const T* w, int newest) {
    std::array<T, 4> four{};
    for (int i = 0; i < 4; ++i) {
      if (newest - 3 + i >= 0) four[static_cast<std::size_t>(i)] = w[newest - 3 + i];
    }
    return four;
  }
  template <class T>
  static T delayed(const delay_loop::Item<T>& item, const T* w, int channel, int frame) {
    const auto place = item.place(channel, frame);
    return cubic_weights(place.fraction)(around(w, place.newest).data());
  }

  template <class T>
  static void pair_back(const adjoint::BackwardPass<T>& pass, int batch, int first, int count) {
    const adjoint::Shape& shape = pass.request.shape;
    const auto item = item_of(pass, batch, first, count);
    const std::int64_t start = (static_cast<std::int64_t>(batch) * shape.channels + first) * shape.frames;
    const T *w = pass.memory[0] + start, *high = pass.memory[1] + start, *low = pass.memory[2] + start;
    T* settings_grad =
        pass.coefficient_grads[0] + static_cast<std::int64_t>(batch) * shape.ticks * delay_loop::settings_count;
    T *whole_grad = pass.coefficient_grads[1] + start, *fraction_grad = pass.coefficient_grads[2] + start;
    std::vector<T> w_grad(static_cast<std::size_t>(count) * static_cast<std::size_t>(shape.frames), T(0));
    LoopState<T> adjoint[2] = {};
    for (int n = shape.frames - 1; n >= 0; --n) {
      const LoopSettings<T> c = item.at(n);
      LoopSettings<T> sum{};
      T y[2] = {}, r[2] = {}, into[2] = {};
      std::array<T, 4> four[2];
      typename delay_loop::Item<T>::Place place[2];
      LoopState<T> before[2];
      for (int i = 0; i < count; ++i) {
        const std::int64_t at = static_cast<std::int64_t>(i) * shape.frames + n;
        place[i] = item.place(i, n);
        four[i] = around(w + (at - n), place[i].newest);
        r[i] = cubic_weights(place[i].fraction)(four[i].data());
        before[i] = {high[at], low[at]};
        LoopState<T> state = before[i];
        y[i] = loop_step(state, c, r[i]);
        into[i] = w_grad[static_cast<std::size_t>(at)];
        pass.x_grad[start + at] = into[i];
      }
      for (int i = 0; i < count; ++i) {
        const std::int64_t at = static_cast<std::int64_t>(i) * shape.frames + n;
        const int other = count - 1 - i;
        sum.feedback += into[i] * (y[i] + c.cross * (y[other] - y[i]));
        sum.cross += into[i] * c.feedback * (y[other] - y[i]);
        const T y_grad = pass.y_grad[start + at] + c.feedback * (into[i] + c.cross * (into[other] - into[i]));
        const T r_grad = loop_step_back(before[i], c, r[i], y_grad, adjoint[i], sum);
        const auto weights = cubic_weights(place[i].fraction);
        fraction_grad[at] = r_grad * cubic_slopes(place[i].fraction)(four[i].data());
        whole_grad[at] = fraction_grad[at];
        const T shares[4] = {weights.w3, weights.w2, weights.w1, weights.w0};
        for (int k = 0; k < 4; ++k) {
          const int then = place[i].newest - 3 + k;
          if (then >= 0) w_grad[static_cast<std::size_t>(at - n + then)] += r_grad * shares[k];
        }
      }
      add(settings_grad, shape, n, sum);
    }
  }

  template <class T>
  static void add(T* grad, const adjoint::Shape& shape, int frame, const LoopSettings<T>& sum) {
    const T all[delay_loop::settings_count] = {sum.feedback, sum.cross,      sum.low_cut,
                                               sum.high_cut, sum.saturation, sum.filtered};
    const int tick = frame / tick_frames;
    const bool moving = shape.ticks > 1 && tick > 0;
    const T share = moving ? ramp_position<T>(frame % tick_frames) : T(1);
    T* to = grad + (shape.ticks == 1 ? 0 : tick) * delay_loop::settings_count;
    for (int i = 0; i < delay_loop::settings_count; ++i) {
      to[i] += share * all[i];
      if (moving) to[i - delay_loop::settings_count] += (1 - share) * all[i];
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
