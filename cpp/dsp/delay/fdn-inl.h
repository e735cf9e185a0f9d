// One frame of a sixteen-line feedback delay network (Jot and Chaigne 1991) with the lines in the lanes.
//
// The outputs of the delay lines are attenuated (two shelves a line, the second carries the whole-band gain), rotated
// in pairs by a slowly moving angle (Schlecht and Habets 2015), mixed by a Hadamard matrix, and fed back with the
// input. Rotation and Hadamard matrix are orthogonal, so only the attenuation sets the decay. Channel c is taken at the
// input of line c: the rows of the Hadamard matrix decorrelate the channels.
#if defined(TWINRACK_DSP_DELAY_FDN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_FDN_INL_H_
#undef TWINRACK_DSP_DELAY_FDN_INL_H_
#else
#define TWINRACK_DSP_DELAY_FDN_INL_H_
#endif

#include <array>

#include "dsp/delay/fdn_layout.h"
#include "dsp/filters/svf-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Sixteen numbers, one a line, in as few vectors as the target needs.
template <class T>
struct Lines {
  using D = Tag<T>;
  using V = Vec<T>;
  static constexpr int lanes = lane_count<T>;
  static constexpr int count = fdn_lines / lanes;
  V part[count];

  static HWY_INLINE Lines load(const T* values) noexcept TR_RT {
    Lines lines;
    for (int i = 0; i < count; ++i) lines.part[i] = hn::LoadU(D(), values + i * lanes);
    return lines;
  }
  HWY_INLINE void store(T* values) const noexcept TR_RT {
    for (int i = 0; i < count; ++i) hn::StoreU(part[i], D(), values + i * lanes);
  }
};

template <class T>
struct LineFilters {
  Svf<Vec<T>> low[Lines<T>::count], high[Lines<T>::count];
};
template <class T>
struct LineStates {
  SvfState<Vec<T>> low[Lines<T>::count], high[Lines<T>::count];
};

// Cosine and sine of the angle of each pair (line i with line i + 8).
template <class T>
struct Turns {
  T cosine[fdn_pairs], sine[fdn_pairs];
};

template <class T>
HWY_INLINE Lines<T> attenuate(LineStates<T>& state, const LineFilters<T>& filter, const Lines<T>& x) noexcept TR_RT {
  Lines<T> y;
  for (int i = 0; i < Lines<T>::count; ++i) {
    y.part[i] = svf_step(state.high[i], filter.high[i], svf_step(state.low[i], filter.low[i], x.part[i]));
  }
  return y;
}

template <class T>
HWY_INLINE Lines<T> turn(const Turns<T>& turns, const Lines<T>& x, bool back = false) noexcept TR_RT {
  constexpr int half = Lines<T>::count / 2, lanes = Lines<T>::lanes;
  static_assert(half >= 1, "a pair sits in two vectors");
  const typename Lines<T>::D d;
  Lines<T> y;
  for (int i = 0; i < half; ++i) {
    const auto c = hn::LoadU(d, turns.cosine + i * lanes), s0 = hn::LoadU(d, turns.sine + i * lanes);
    const auto s = back ? hn::Neg(s0) : s0;
    y.part[i] = hn::NegMulAdd(s, x.part[i + half], c * x.part[i]);
    y.part[i + half] = hn::MulAdd(s, x.part[i], c * x.part[i + half]);
  }
  return y;
}

// Orthonormal Hadamard matrix of order 16; its own inverse and transpose.
template <class T>
HWY_INLINE Lines<T> hadamard(Lines<T> x) noexcept TR_RT {
  using L = Lines<T>;
  const typename L::D d;
  for (int stride = L::count / 2; stride >= 1; stride /= 2) {
    Lines<T> y;
    for (int i = 0; i < L::count; ++i) {
      y.part[i] = (i & stride) != 0 ? x.part[i - stride] - x.part[i] : x.part[i] + x.part[i + stride];
    }
    x = y;
  }
  for (int stride = L::lanes / 2; stride >= 1; stride /= 2) {
    using Index = hwy::MakeSigned<T>;
    Index partner[L::lanes];
    T sign[L::lanes];
    for (int i = 0; i < L::lanes; ++i) {
      partner[i] = static_cast<Index>(i ^ stride);
      sign[i] = (i & stride) != 0 ? T(-1) : T(1);
    }
    const auto indices = hn::SetTableIndices(d, partner);
    const auto signs = hn::LoadU(d, sign);
    for (int i = 0; i < L::count; ++i) {
      x.part[i] = hn::MulAdd(signs, x.part[i], hn::TableLookupLanes(x.part[i], indices));
    }
  }
  for (int i = 0; i < L::count; ++i) x.part[i] = x.part[i] * hn::Set(d, T(0.25));
  return x;
}

// The input gain of line i, from channel (i modulo channels): irregular signs, energy 1 for each channel.
template <class T>
inline std::array<T, fdn_lines> fdn_entrance(int channels) noexcept TR_RT {
  constexpr int sign[fdn_lines] = {1, 1, -1, 1, -1, -1, 1, -1, 1, -1, -1, 1, 1, -1, 1, 1};
  std::array<T, fdn_lines> gain{};
  for (int i = 0; i < fdn_lines; ++i) {
    int lines = 0;  // with the input of the same channel
    for (int j = i % channels; j < fdn_lines; j += channels) ++lines;
    gain[static_cast<std::size_t>(i)] = static_cast<T>(sign[i]) / std::sqrt(static_cast<T>(lines));
  }
  return gain;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
