// Third-order Lagrange interpolation between four frames, and its slope: for a fraction f of 0 … 1 between the second
// and the third, newest first. Halfway it loses 0.1 dB at 0.27 of the Nyquist frequency, 0.5 dB at 0.41 and 3 dB at
// 0.65 of it.
#pragma once

#include "rt/realtime.h"

namespace twinrack {

template <class T>
struct CubicWeights {
  T w0, w1, w2, w3;

  // Of frames in memory, the oldest first.
  T operator()(const T* oldest) const noexcept TR_RT {
    return w0 * oldest[3] + w1 * oldest[2] + w2 * oldest[1] + w3 * oldest[0];
  }
};

template <class T>
inline CubicWeights<T> cubic_weights(T f) noexcept TR_RT {
  const T a = (f + 1) * (f - 1), b = f * (f - 2);
  return {-b * (f - 1) / 6, a * (f - 2) / 2, -b * (f + 1) / 2, a * f / 6};
}

// By how much each weight grows with f.
template <class T>
inline CubicWeights<T> cubic_slopes(T f) noexcept TR_RT {
  const T square = 3 * f * f;
  return {-(square - 6 * f + 2) / 6, (square - 4 * f - 1) / 2, -(square - 2 * f - 2) / 2, (square - 1) / 6};
}

}  // namespace twinrack
