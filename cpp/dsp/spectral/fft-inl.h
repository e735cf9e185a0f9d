// Complex Fourier transform of a power of two, in place, for convolution only: the frequencies come out in an order of
// their own, the same both ways, so nothing is sorted. Real and imaginary parts are separate arrays.
//
// Forwards by decimation in frequency: passes of radix 4 (and one of radix 2 where the length needs it) down to pieces
// of one vector, which are then turned over, so that the last butterflies are between vectors as well. Backwards the
// same in reverse (W. M. Gentleman, G. Sande, 1966). A pass can be done in parts, so a long transform can be spread
// over time.
#if defined(TWINRACK_DSP_SPECTRAL_FFT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SPECTRAL_FFT_INL_H_
#undef TWINRACK_DSP_SPECTRAL_FFT_INL_H_
#else
#define TWINRACK_DSP_SPECTRAL_FFT_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "dsp/lanes/aligned_row.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class Fft {
 public:
  static constexpr int lanes = lane_count<float>;
  static constexpr int shortest = 64;

  void prepare(int size) {
    size_ = size;
    passes_.clear();
    int n = size, bits = 0;
    while ((lanes << bits) < size) ++bits;
    if (bits % 2 == 1) {
      passes_.push_back(make_pass(n, 2));
      n /= 2;
    }
    for (; n > lanes; n /= 4) passes_.push_back(make_pass(n, 4));
  }

  // Passes, the last being that within the vectors, and in how many equal steps each may be cut.
  int passes() const noexcept TR_RT { return static_cast<int>(passes_.size()) + 1; }
  int steps(int pass) const noexcept TR_RT {
    return pass < passes() - 1 ? size_ / lanes / passes_[static_cast<std::size_t>(pass)].radix
                               : size_ / (lanes * lanes);
  }

  // Steps `first` to `last` of a pass, counted from 0 in either direction.
  void forward(int pass, int first, int last, float* re, float* im) const noexcept TR_RT {
    if (pass == passes() - 1) return within(first, last, re, im, false);
    const Pass& p = passes_[static_cast<std::size_t>(pass)];
    p.radix == 4 ? pass4<false>(p, first, last, re, im) : pass2<false>(p, first, last, re, im);
  }
  void backward(int pass, int first, int last, float* re, float* im) const noexcept TR_RT {
    if (pass == 0) return within(first, last, re, im, true);
    const Pass& p = passes_[static_cast<std::size_t>(passes() - 1 - pass)];
    p.radix == 4 ? pass4<true>(p, first, last, re, im) : pass2<true>(p, first, last, re, im);
  }
  // How many steps a pass has in the backward direction.
  int steps_back(int pass) const noexcept TR_RT { return steps(passes() - 1 - pass); }

  void forward(float* re, float* im) const noexcept TR_RT {
    for (int pass = 0; pass < passes(); ++pass) forward(pass, 0, steps(pass), re, im);
  }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  struct Pass {
    int n, radix;
    int steps_log2;    // steps in one piece of n points
    AlignedRow turns;  // for every vector of butterflies: cosines and sines of one to three times the angle
  };
  struct Z {
    V re, im;
  };

  static Pass make_pass(int n, int radix) {
    Pass pass{n, radix, 0, AlignedRow(static_cast<std::size_t>(2 * (radix - 1) * (n / radix)))};
    while ((radix * lanes << pass.steps_log2) < n) ++pass.steps_log2;
    float* turn = pass.turns.data();
    for (int i = 0; i < n / radix; i += lanes) {
      for (int times = 1; times < radix; ++times) {
        for (int part = 0; part < 2; ++part) {
          for (int lane = 0; lane < lanes; ++lane) {
            const double angle = -2.0 * std::numbers::pi * times * (i + lane) / n;
            *turn++ = static_cast<float>(part == 0 ? std::cos(angle) : std::sin(angle));
          }
        }
      }
    }
    return pass;
  }

  static HWY_INLINE Z load(const float* re, const float* im, int at) noexcept TR_RT {
    return {hn::LoadU(D(), re + at), hn::LoadU(D(), im + at)};
  }
  static HWY_INLINE void store(Z z, float* re, float* im, int at) noexcept TR_RT {
    hn::StoreU(z.re, D(), re + at);
    hn::StoreU(z.im, D(), im + at);
  }
  static HWY_INLINE Z plus(Z a, Z b) noexcept TR_RT { return {a.re + b.re, a.im + b.im}; }
  static HWY_INLINE Z minus(Z a, Z b) noexcept TR_RT { return {a.re - b.re, a.im - b.im}; }
  // times -i forwards, times i backwards
  template <bool back>
  static HWY_INLINE Z quarter(Z a) noexcept TR_RT {
    return back ? Z{hn::Neg(a.im), a.re} : Z{a.im, hn::Neg(a.re)};
  }
  template <bool back>
  static HWY_INLINE Z turned(Z a, const float* turn) noexcept TR_RT {
    const V c = hn::LoadU(D(), turn), s = hn::LoadU(D(), turn + lanes);
    if (back) return {hn::MulAdd(a.im, s, a.re * c), hn::NegMulAdd(a.re, s, a.im * c)};
    return {hn::NegMulAdd(a.im, s, a.re * c), hn::MulAdd(a.re, s, a.im * c)};
  }

  template <bool back>
  static void pass4(const Pass& p, int first, int last, float* re, float* im) noexcept TR_RT {
    const int quarter_size = p.n / 4, in_piece = (1 << p.steps_log2) - 1;
    for (int step = first; step < last; ++step) {
      const int piece = step >> p.steps_log2, i = step & in_piece, at = piece * p.n + i * lanes;
      const float* turn = p.turns.data() + static_cast<std::ptrdiff_t>(i) * 6 * lanes;
      Z a = load(re, im, at), b = load(re, im, at + quarter_size), c = load(re, im, at + 2 * quarter_size),
        d = load(re, im, at + 3 * quarter_size);
      if (back) {
        b = turned<true>(b, turn);
        c = turned<true>(c, turn + 2 * lanes);
        d = turned<true>(d, turn + 4 * lanes);
        // what is at b, c, d is one, two, three times the frequency
        const Z even = plus(a, c), odd = minus(a, c), sum = plus(b, d), difference = quarter<true>(minus(b, d));
        a = plus(even, sum);
        b = plus(odd, difference);
        c = minus(even, sum);
        d = minus(odd, difference);
      } else {
        const Z even = plus(a, c), odd = minus(a, c), sum = plus(b, d), difference = quarter<false>(minus(b, d));
        a = plus(even, sum);
        b = turned<false>(plus(odd, difference), turn);
        c = turned<false>(minus(even, sum), turn + 2 * lanes);
        d = turned<false>(minus(odd, difference), turn + 4 * lanes);
      }
      store(a, re, im, at);
      store(b, re, im, at + quarter_size);
      store(c, re, im, at + 2 * quarter_size);
      store(d, re, im, at + 3 * quarter_size);
    }
  }

  template <bool back>
  static void pass2(const Pass& p, int first, int last, float* re, float* im) noexcept TR_RT {
    const int half = p.n / 2, in_piece = (1 << p.steps_log2) - 1;
    for (int step = first; step < last; ++step) {
      const int piece = step >> p.steps_log2, i = step & in_piece, at = piece * p.n + i * lanes;
      const float* turn = p.turns.data() + static_cast<std::ptrdiff_t>(i) * 2 * lanes;
      const Z a = load(re, im, at);
      Z b = load(re, im, at + half);
      if (back) b = turned<true>(b, turn);
      store(plus(a, b), re, im, at);
      store(back ? minus(a, b) : turned<false>(minus(a, b), turn), re, im, at + half);
    }
  }

  // Transforms of as many points as a vector has lanes, as many at once; they lie across the vectors afterwards.
  static void within(int first, int last, float* re, float* im, bool back) noexcept TR_RT {
    for (int step = first; step < last; ++step) {
      const int at = step * lanes * lanes;
      V r[lanes], i[lanes];
      for (int k = 0; k < lanes; ++k) {
        r[k] = hn::LoadU(D(), re + at + k * lanes);
        i[k] = hn::LoadU(D(), im + at + k * lanes);
      }
      if (!back) {
        transpose(r);
        transpose(i);
      }
      Z z[lanes];
      for (int k = 0; k < lanes; ++k) z[k] = {r[k], i[k]};
      back ? butterflies<true>(z) : butterflies<false>(z);
      for (int k = 0; k < lanes; ++k) {
        r[k] = z[k].re;
        i[k] = z[k].im;
      }
      if (back) {
        transpose(r);
        transpose(i);
      }
      for (int k = 0; k < lanes; ++k) {
        hn::StoreU(r[k], D(), re + at + k * lanes);
        hn::StoreU(i[k], D(), im + at + k * lanes);
      }
    }
  }

  // Radix 2 between vectors; z[k] is left where it is, in the order that the other direction takes it.
  template <bool back>
  static HWY_INLINE void butterflies(Z* z) noexcept TR_RT {
    if constexpr (lanes == 8) {
      if (back) {
        stage<back, 1>(z);
        stage<back, 2>(z);
        stage<back, 4>(z);
      } else {
        stage<back, 4>(z);
        stage<back, 2>(z);
        stage<back, 1>(z);
      }
    } else if constexpr (lanes == 4) {
      if (back) {
        stage<back, 1>(z);
        stage<back, 2>(z);
      } else {
        stage<back, 2>(z);
        stage<back, 1>(z);
      }
    }
  }

  template <bool back, int half>
  static HWY_INLINE void stage(Z* z) noexcept TR_RT {
    for (int block = 0; block < lanes; block += 2 * half) {
      for (int i = 0; i < half; ++i) {
        Z &a = z[block + i], &b = z[block + half + i];
        if (back) b = eighth<true>(b, i * (4 / half));
        const Z sum = plus(a, b), difference = minus(a, b);
        a = sum;
        b = back ? difference : eighth<false>(difference, i * (4 / half));
      }
    }
  }
  // times e^(-i pi k / 4) forwards, its inverse backwards
  template <bool back>
  static HWY_INLINE Z eighth(Z a, int k) noexcept TR_RT {
    if (k == 0) return a;
    if (k == 2) return quarter<back>(a);
    const V root = hn::Set(D(), 0.70710678118654752f);
    const Z once{root * (back ? a.re - a.im : a.re + a.im), root * (back ? a.im + a.re : a.im - a.re)};
    return k == 1 ? once : quarter<back>(once);
  }

  int size_ = 0;
  std::vector<Pass> passes_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
