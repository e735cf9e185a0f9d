// The transpose of a square matrix: as many vectors as they have lanes.
#if defined(TWINRACK_DSP_LANES_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_LANES_TRANSPOSE_INL_H_
#undef TWINRACK_DSP_LANES_TRANSPOSE_INL_H_
#else
#define TWINRACK_DSP_LANES_TRANSPOSE_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

HWY_INLINE void transpose(Vec<float>* rows) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
  (void)rows;
#else
  using D = Tag<float>;
  constexpr int lanes = lane_count<float>;
  const D d;
  const hn::RepartitionToWide<D> wide;
  const auto both = [&](auto a, auto b, bool upper) HWY_ATTR {
    const auto x = hn::BitCast(wide, a), y = hn::BitCast(wide, b);
    return hn::BitCast(d, upper ? hn::InterleaveUpper(wide, x, y) : hn::InterleaveLower(wide, x, y));
  };
  Vec<float> turned[lanes];
  for (int i = 0; i < lanes; i += 4) {  // squares of four, in each block of 128 bits
    const auto low01 = hn::InterleaveLower(d, rows[i], rows[i + 1]),
               up01 = hn::InterleaveUpper(d, rows[i], rows[i + 1]);
    const auto low23 = hn::InterleaveLower(d, rows[i + 2], rows[i + 3]);
    const auto up23 = hn::InterleaveUpper(d, rows[i + 2], rows[i + 3]);
    turned[i] = both(low01, low23, false);
    turned[i + 1] = both(low01, low23, true);
    turned[i + 2] = both(up01, up23, false);
    turned[i + 3] = both(up01, up23, true);
  }
#if HWY_MAX_BYTES >= 32
  for (int i = 0; i < 4; ++i) {
    rows[i] = hn::ConcatLowerLower(d, turned[i + 4], turned[i]);
    rows[i + 4] = hn::ConcatUpperUpper(d, turned[i + 4], turned[i]);
  }
#else
  for (int i = 0; i < lanes; ++i) rows[i] = turned[i];
#endif
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
