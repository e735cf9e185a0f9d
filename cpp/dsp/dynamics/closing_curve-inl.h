// The static curve of a gate: the gain reduction in dB so many dB below the level at which it is open. It falls on an
// expander's line down to the range, beginning with a quadratic knee; as far as it is smooth, an S (a smoothstep) takes
// the place of that.
#if defined(TWINRACK_DSP_DYNAMICS_CLOSING_CURVE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_CLOSING_CURVE_INL_H_
#undef TWINRACK_DSP_DYNAMICS_CLOSING_CURVE_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_CLOSING_CURVE_INL_H_
#endif

#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <class T>
struct ClosingCurve {
  T slope;  // ratio - 1
  T range_db;
  T knee_db;     // its middle is half of it below the level at which the gate is open
  T smoothness;  // 0 … 1
};

// `below_db` >= 0; the result is in 0 … range.
template <class T>
HWY_INLINE T closing_db(const ClosingCurve<T>& c, T below_db) noexcept TR_RT {
  const T one = Broadcast<T>::of(1), tiny = Broadcast<T>::of(1e-6);
  const T in_knee = Min(below_db, c.knee_db);
  const T bent = below_db - in_knee * (one - in_knee / Max(c.knee_db + c.knee_db, tiny));
  const T line = Min(c.slope * bent, c.range_db);
  const T share = line / Max(c.range_db, tiny);
  return line + c.smoothness * line * (share * (Broadcast<T>::of(3) - share - share) - one);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
