// A filter of fixed coefficients over time and batch, for training.
#pragma once

#include "adjoint/sweep.h"

namespace twinrack::adjoint {

// y[n] = sum of h[k] x[n - k]; backwards, which is its transpose, of h[k] x[n + k]. Summed in double precision.
struct FirTaps {
  const double* h;
  int count;
  bool backwards;
};

// x and y: shape.streams x shape.frames.
template <class T>
void fir(const Shape& shape, const FirTaps& taps, const T* x, T* y);

}  // namespace twinrack::adjoint
