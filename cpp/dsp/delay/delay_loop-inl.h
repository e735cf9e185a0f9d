// A delay with feedback, for one channel or a pair that feeds each other:
//
//   x -> + -> line -> interpolation -> [low cut, high cut] -> [saturation] -+-> y
//        ^                                                                  |
//        +------------- feedback x ((1 - cross) own + cross other) <--------+
//
// The cuts are of first order. The saturation is v / sqrt(1 + (k v)^2), whose slope at 0 is 1. Every frame may have a
// delay of its own, of at least 2.01 frames.
#if defined(TWINRACK_DSP_DELAY_DELAY_LOOP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_DELAY_LOOP_INL_H_
#undef TWINRACK_DSP_DELAY_DELAY_LOOP_INL_H_
#else
#define TWINRACK_DSP_DELAY_DELAY_LOOP_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "dsp/delay/fractional_delay-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

inline constexpr double shortest_loop = 2.01;  // frames: two, and a little, so that its slope is that of one side

template <class T>
struct LoopSettings {
  T feedback, cross;
  T low_cut, high_cut;  // coefficients of one-pole low-passes: what the first passes is taken away
  T saturation, filtered;
};

template <class T>
struct LoopState {
  T high, low;  // after the high cut, and what the low cut takes away
};

template <class T>
HWY_INLINE T loop_step(LoopState<T>& state, const LoopSettings<T>& c, T delayed) noexcept TR_RT {
  state.high = state.high + c.high_cut * (delayed - state.high);
  state.low = state.low + c.low_cut * (state.high - state.low);
  const T v = delayed + c.filtered * ((state.high - state.low) - delayed), bent = c.saturation * v;
  return v / Sqrt(T(1) + bent * bent);
}

// Of a frame of the sweep: `before` is the state that loop_step was given, `adjoint` becomes the gradient of it;
// returns the gradient of the delayed sound. The feedback's gradients are the caller's.
template <class T>
HWY_INLINE T loop_step_back(const LoopState<T>& before, const LoopSettings<T>& c, T delayed, T y_grad,
                            LoopState<T>& adjoint, LoopSettings<T>& sum) noexcept TR_RT {
  const T high = before.high + c.high_cut * (delayed - before.high);
  const T low = before.low + c.low_cut * (high - before.low);
  const T cut = high - low, v = delayed + c.filtered * (cut - delayed), bent = c.saturation * v;
  const T q = T(1) / Sqrt(T(1) + bent * bent), cube = q * q * q;
  const T v_grad = y_grad * cube, cut_grad = c.filtered * v_grad;
  sum.saturation -= y_grad * c.saturation * v * v * v * cube;
  sum.filtered += v_grad * (cut - delayed);
  const T low_grad = adjoint.low - cut_grad;
  sum.low_cut += low_grad * (high - before.low);
  adjoint.low = low_grad - c.low_cut * low_grad;
  const T high_grad = adjoint.high + cut_grad + c.low_cut * low_grad;
  sum.high_cut += high_grad * (delayed - before.high);
  adjoint.high = high_grad - c.high_cut * high_grad;
  return v_grad - cut_grad + c.high_cut * high_grad;
}

class DelayLoop {
 public:
  enum Ramped : std::size_t { feedback, cross, low_cut, high_cut, saturation, filtered, ramped_count };
  using Settings = Ramps<ramped_count>;

  // Delays are 2 … longest frames.
  void prepare(int channels, int longest) {
    channels_ = channels;
    for (std::size_t c = 0; c < 2; ++c) {
      if (c < static_cast<std::size_t>(channels)) lines_[c].prepare(longest + 3, max_segment);
    }
    longest_ = longest;
  }
  void reset() noexcept TR_RT {
    for (FractionalDelay& line : lines_) line.forget();
    states_ = {};
    quiet_frames_ = longest_ + 4;
  }

  // From x to y, which may be the same memory; a delay for each channel and frame.
  void process(const Settings& settings, const std::array<const double*, 2>& delay,
               const std::array<const float*, 2>& x, const std::array<float*, 2>& y, int frames) noexcept TR_RT {
    double shortest = delay[0][0];
    for (std::size_t c = 0; c < count(); ++c) {
      for (int n = 0; n < frames; ++n) shortest = std::min(shortest, delay[c][n]);
    }
    const int longest_part = std::max(1, static_cast<int>(shortest) - 1);
    for (int start = 0; start < frames; start += longest_part) {
      part(settings, delay, x, y, start, std::min(longest_part, frames - start));
    }
  }

  // True when nothing above a level has gone into the lines for as long as they are.
  bool quiet() const noexcept TR_RT { return quiet_frames_ > longest_ + 3; }
  void forget() noexcept TR_RT { states_ = {}; }

  void state(StateArchive& archive) {
    for (std::size_t c = 0; c < count(); ++c) archive(lines_[c]);
    archive(states_);
    archive.bounded(quiet_frames_, 0, longest_ + 4);
  }

 private:
  static constexpr float nothing_heard = 1e-8f;

  std::size_t count() const noexcept TR_RT { return static_cast<std::size_t>(channels_); }

  // So few frames that none of them is read before it was written.
  void part(const Settings& settings, const std::array<const double*, 2>& delay, const std::array<const float*, 2>& x,
            const std::array<float*, 2>& y, int start, int frames) noexcept TR_RT {
    float out[2][max_segment], in[2][max_segment];
    float loudest = 0.0f;
    for (std::size_t c = 0; c < count(); ++c) {
      float* v = out[c];
      lines_[c].read_coming(delay[c] + start, v, frames);
      LoopState<float> state = states_[c];
      for (int n = 0; n < frames; ++n) v[n] = loop_step(state, at(settings, start + n), v[n]);
      states_[c] = {flushed(state.high), flushed(state.low)};
    }
    for (std::size_t c = 0; c < count(); ++c) {
      const float *own = out[c], *other = out[count() - 1 - c];
      for (int n = 0; n < frames; ++n) {
        const float share = settings.at(cross, start + n);
        const float back = own[n] + share * (other[n] - own[n]);
        in[c][n] = x[c][start + n] + settings.at(feedback, start + n) * back;
        loudest = Max(loudest, Max(Abs(in[c][n]), Abs(own[n])));
      }
      lines_[c].write(in[c], frames);
    }
    for (std::size_t c = 0; c < count(); ++c) std::copy_n(out[c], frames, y[c] + start);
    quiet_frames_ = loudest > nothing_heard ? 0 : std::min(quiet_frames_ + frames, longest_ + 4);
  }

  static LoopSettings<float> at(const Settings& s, int n) noexcept TR_RT {
    return {0.0f, 0.0f, s.at(low_cut, n), s.at(high_cut, n), s.at(saturation, n), s.at(filtered, n)};
  }

  int channels_ = 0, longest_ = 0, quiet_frames_ = 0;
  std::array<FractionalDelay, 2> lines_;
  std::array<LoopState<float>, 2> states_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
