// A delay of a fractional number of frames, which may move: third-order Lagrange interpolation.
#if defined(TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#undef TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#else
#define TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#endif

#include "dsp/delay/delay.h"
#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class FractionalDelay {
 public:
  // Delays are 1 … longest - 2 frames: the interpolation needs a frame before and two after.
  void prepare(int longest, int block) { line_.prepare(longest, block); }
  void reset() noexcept TR_RT { line_.reset(); }

  // In place.
  void process(float* x, double delay, int frames) noexcept TR_RT {
    line_.write(x, frames);
    const int whole = static_cast<int>(delay);
    const Weights w = weights(static_cast<float>(delay - whole));
    const float *x0 = line_.written(frames, whole - 1), *x1 = line_.written(frames, whole),
                *x2 = line_.written(frames, whole + 1), *x3 = line_.written(frames, whole + 2);
    for (int n = 0; n < frames; ++n) x[n] = w.w0 * x0[n] + w.w1 * x1[n] + w.w2 * x2[n] + w.w3 * x3[n];
  }
  // In place; the delay moves from one tick's value to the next one's. `frame` counts from where the tick began.
  void process(float* x, double from, double to, int frame, int frames) noexcept TR_RT {
    line_.write(x, frames);
    for (int n = 0; n < frames; ++n) {
      const double delay = from + (to - from) * ramp_position<double>(frame + n);
      const int whole = static_cast<int>(delay);
      const Weights w = weights(static_cast<float>(delay - whole));
      const float* oldest = line_.written(frames, whole + 2) + n;
      x[n] = w.w0 * oldest[3] + w.w1 * oldest[2] + w.w2 * oldest[1] + w.w3 * oldest[0];
    }
  }

  void state(StateArchive& archive) { archive(line_); }

 private:
  struct Weights {
    float w0, w1, w2, w3;  // newest first
  };
  static Weights weights(float f) noexcept TR_RT {
    const float a = (f + 1.0f) * (f - 1.0f), b = f * (f - 2.0f);
    return {-b * (f - 1.0f) / 6.0f, a * (f - 2.0f) / 2.0f, -b * (f + 1.0f) / 2.0f, a * f / 6.0f};
  }

  DelayLine line_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
