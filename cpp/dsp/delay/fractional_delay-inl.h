// A delay of a fractional number of frames, which may move: third-order Lagrange interpolation.
#if defined(TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#undef TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#else
#define TWINRACK_DSP_DELAY_FRACTIONAL_DELAY_INL_H_
#endif

#include <algorithm>

#include "dsp/delay/cubic.h"
#include "dsp/delay/delay.h"
#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class FractionalDelay {
 public:
  // Delays are 1 … longest - 2 frames: the interpolation needs a frame before and two after.
  void prepare(int longest, int block) { line_.prepare(longest, block); }
  void reset() noexcept TR_RT {
    line_.reset();
    known_ = always;
  }
  // As reset for `read` and `read_coming`, without clearing a long line: what was written before counts as silence.
  void forget() noexcept TR_RT { known_ = 0; }

  // In place.
  void process(float* x, double delay, int frames) noexcept TR_RT {
    line_.write(x, frames);
    const int whole = static_cast<int>(delay);
    const auto w = cubic_weights(static_cast<float>(delay - whole));
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
      x[n] = cubic_weights(static_cast<float>(delay - whole))(line_.written(frames, whole + 2) + n);
    }
  }

  // For loops and several readers: the next frames are written, and read at a delay for each of them. After they were
  // written delays are at least 1; before, each is at least one frame more than its place in the block plus 1.
  void write(const float* x, int frames) noexcept TR_RT {
    line_.write(x, frames);
    known_ = std::min(known_ + frames, always);
  }
  void read(const double* delay, float* y, int frames) const noexcept TR_RT { read_at(delay, y, frames, frames); }
  void read_coming(const double* delay, float* y, int frames) const noexcept TR_RT { read_at(delay, y, frames, 0); }

  void state(StateArchive& archive) {
    archive(line_);
    archive.bounded(known_, 0, always);
  }

 private:
  void read_at(const double* delay, float* y, int frames, int written) const noexcept TR_RT {
    const int known = known_ - written;  // frames before this block
    for (int n = 0; n < frames; ++n) {
      const int whole = static_cast<int>(delay[n]), unknown = whole + 2 - n - known;
      const auto weights = cubic_weights(static_cast<float>(delay[n] - whole));
      const float* oldest = line_.coming(written + whole + 2) + n;
      if (unknown <= 0) {
        y[n] = weights(oldest);
      } else {
        float four[4];
        for (int k = 0; k < 4; ++k) four[k] = k < unknown ? 0.0f : oldest[k];
        y[n] = weights(four);
      }
    }
  }

  static constexpr int always = 1 << 30;

  DelayLine line_;
  int known_ = always;  // frames written since it was told to forget
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
