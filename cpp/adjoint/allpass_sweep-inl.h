// The sweep of Schroeder's all-pass: one stream at a time. Coefficients: rows x ticks (gain), ramped; options: the
// delay of each channel in frames.
#if defined(TWINRACK_ADJOINT_ALLPASS_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_ALLPASS_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_ALLPASS_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_ALLPASS_SWEEP_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <vector>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "dsp/filters/allpass-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// A coefficient that moves on a straight line within each tick, for one stream.
template <class T>
struct RampedGain {
  const T* values;  // of this stream's row, one a tick
  int ticks;
  T at(int frame) const {
    const int tick = frame / tick_frames;
    if (ticks == 1 || tick == 0) return values[0];
    return values[tick - 1] + (values[tick] - values[tick - 1]) * ramp_position<T>(frame % tick_frames);
  }
  void add(T* grad, int frame, T amount) const {
    const int tick = frame / tick_frames;
    if (ticks == 1 || tick == 0) {
      grad[0] += amount;
      return;
    }
    const T share = ramp_position<T>(frame % tick_frames);
    grad[tick] += share * amount;
    grad[tick - 1] += (1 - share) * amount;
  }
};

struct AllpassSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    const auto& delays = request.options;
    adjoint::require(request.coefficients.size() == 1 && request.coefficients[0].size() == 2,
                     "coefficients must be (rows, ticks)");
    adjoint::require(delays.size() == static_cast<std::size_t>(request.shape.channels), "one delay for each channel");
    adjoint::require(std::all_of(delays.begin(), delays.end(), [](int d) { return d >= 1 && d <= 1 << 26; }),
                     "delays are 1 to 2^26 frames");
    return {{static_cast<std::int64_t>(request.shape.streams) * request.shape.frames}, request.shape.streams};
  }

  // Keeps v, what goes into the delay.
  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(shape.streams, shape.threads, [&](int stream) {
      const std::int64_t start = static_cast<std::int64_t>(stream) * shape.frames;
      const auto gain = gain_of(pass, stream);
      const int delay = delay_of(pass, stream);
      const T* x = pass.x + start;
      T *y = pass.y + start, *v = pass.memory[0] + start;
      for (int n = 0; n < shape.frames; ++n) {
        const T delayed = n < delay ? T(0) : v[n - delay];
        v[n] = allpass_step(gain.at(n), delayed, x[n], y[n]);
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(shape.streams, shape.threads, [&](int stream) {
      const std::int64_t start = static_cast<std::int64_t>(stream) * shape.frames;
      const auto gain = gain_of(pass, stream);
      const int delay = delay_of(pass, stream);
      const T *x = pass.x + start, *v = pass.memory[0] + start, *y_grad = pass.y_grad + start;
      T* gain_grad = pass.coefficient_grads[0] + static_cast<std::int64_t>(stream) * shape.ticks;
      std::vector<T> v_grad(static_cast<std::size_t>(shape.frames), T(0));
      for (int n = shape.frames - 1; n >= 0; --n) {
        const T delayed = n < delay ? T(0) : v[n - delay];
        T sum = 0;
        const T back = allpass_step_back(gain.at(n), delayed, x[n], y_grad[n], v_grad[static_cast<std::size_t>(n)],
                                         pass.x_grad[start + n], sum);
        if (n >= delay) v_grad[static_cast<std::size_t>(n - delay)] += back;
        gain.add(gain_grad, n, sum);
      }
    });
  }

 private:
  template <template <class> class Pass, class T>
  static RampedGain<T> gain_of(const Pass<T>& pass, int stream) {
    const adjoint::Shape& shape = pass.request.shape;
    const std::int64_t row = shape.rows == 1 ? 0 : stream / shape.channels;
    return {pass.coefficients[0] + row * shape.ticks, shape.ticks};
  }
  template <class Pass>
  static int delay_of(const Pass& pass, int stream) {
    return pass.request.options[static_cast<std::size_t>(stream % pass.request.shape.channels)];
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
