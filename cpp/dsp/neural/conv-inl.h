// A causal convolution over rows. A tile of a few frames and outputs keeps its sums in registers while it goes through
// the weights once; the weights stand in the order in which they are read.
#if defined(TWINRACK_DSP_NEURAL_CONV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_CONV_INL_H_
#undef TWINRACK_DSP_NEURAL_CONV_INL_H_
#else
#define TWINRACK_DSP_NEURAL_CONV_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "dsp/neural/neural_plan.h"
#include "dsp/neural/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

// The outputs stand in `parts` of whole vectors each: two where one half gates the other.
class Conv {
 public:
  void prepare(const twinrack::neural::Conv& plan, int parts = 1) {
    in_ = plan.in;
    kernel_ = plan.kernel;
    dilation_ = plan.dilation;
    const int part = plan.out / parts, wide = whole_vectors(part);
    width_ = parts * wide;
    weights_.prepare(width_ * in_ * kernel_);
    bias_.prepare(width_);
    for (int o = 0; o < plan.out; ++o) {
      const int slot = o / part * wide + o % part;
      if (plan.bias != nullptr) bias_.data()[slot] = plan.bias[o];
      for (int i = 0; i < in_; ++i) {
        for (int k = 0; k < kernel_; ++k) weights_.data()[place(slot, i, k)] = plan.weight[(o * in_ + i) * kernel_ + k];
      }
    }
  }

  int width() const noexcept TR_RT { return width_; }
  int memory() const noexcept { return (kernel_ - 1) * dilation_; }
  V bias(int number) const noexcept TR_RT { return hn::Load(D(), bias_.data() + number); }
  // The weights of a convolution of one input and one frame.
  V weight(int number) const noexcept TR_RT { return hn::Load(D(), weights_.data() + number); }

  // Writes the rows of `out` from frame t on. `start(frame, output)` is the vector that the sums begin with.
  template <class Start>
  void run(Rows& in, std::int64_t t, int frames, Rows& out, const Start& start) const noexcept TR_RT {
    int number = 0;
    for (; number + 2 * lanes <= width_; number += 2 * lanes) outputs<2, 4>(number, in, t, frames, out, start);
    if (number < width_) outputs<1, 8>(number, in, t, frames, out, start);
  }
  void run(Rows& in, std::int64_t t, int frames, Rows& out) const noexcept TR_RT {
    run(in, t, frames, out, [&](std::int64_t, int number) HWY_ATTR { return bias(number); });
  }

 private:
  // Where a weight stands. Two vectors of outputs share a pass through the weights; where their count is odd, the last
  // one has a pass of its own.
  int place(int slot, int i, int k) const {
    const int pair = slot / (2 * lanes) * 2 * lanes, pair_width = std::min(2 * lanes, width_ - pair);
    return pair * in_ * kernel_ + (k * in_ + i) * pair_width + slot - pair;
  }

  template <int vectors, int tile_frames, class Start>
  HWY_INLINE void outputs(int number, Rows& in, std::int64_t t, int frames, Rows& out,
                          const Start& start) const noexcept TR_RT {
    int n = 0;
    for (; n + tile_frames <= frames; n += tile_frames) tile<vectors, tile_frames>(number, in, t + n, out, start);
    for (; n < frames; ++n) tile<vectors, 1>(number, in, t + n, out, start);
  }

  template <int vectors, int tile_frames, class Start>
  HWY_INLINE void tile(int number, Rows& in, std::int64_t t, Rows& out, const Start& start) const noexcept TR_RT {
    const D d;
    V sum[tile_frames][vectors];
    for (int f = 0; f < tile_frames; ++f) {
      for (int v = 0; v < vectors; ++v) sum[f][v] = start(t + f, number + v * lanes);
    }
    const float* w = weights_.data() + number * in_ * kernel_;
    for (int k = 0; k < kernel_; ++k) {
      const std::int64_t then = t - static_cast<std::int64_t>(kernel_ - 1 - k) * dilation_;
      const float* x[tile_frames];
      for (int f = 0; f < tile_frames; ++f) x[f] = in.row(then + f);
      for (int i = 0; i < in_; ++i) {
        V weight[vectors];
        for (int v = 0; v < vectors; ++v) weight[v] = hn::Load(d, w + v * lanes);
        w += vectors * lanes;
        for (int f = 0; f < tile_frames; ++f) {
          const V now = hn::Set(d, x[f][i]);
          for (int v = 0; v < vectors; ++v) sum[f][v] = hn::MulAdd(weight[v], now, sum[f][v]);
        }
      }
    }
    for (int f = 0; f < tile_frames; ++f) {
      for (int v = 0; v < vectors; ++v) hn::Store(sum[f][v], d, out.row(t + f) + number + v * lanes);
    }
  }

  int in_ = 1, kernel_ = 1, dilation_ = 1, width_ = lanes;
  AlignedFloats weights_, bias_;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
