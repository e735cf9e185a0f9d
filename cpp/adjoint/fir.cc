// Compiles adjoint/fir-inl.h for every instruction set and picks the best at load time.
#include "dsp/lanes/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "adjoint/fir.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "adjoint/fir-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

using adjoint::FirTaps;
using adjoint::Shape;

void fir_f32(const Shape& shape, const FirTaps& taps, const float* x, float* y) { sweeps::fir(shape, taps, x, y); }
void fir_f64(const Shape& shape, const FirTaps& taps, const double* x, double* y) { sweeps::fir(shape, taps, x, y); }

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {

HWY_EXPORT(fir_f32);
HWY_EXPORT(fir_f64);

namespace adjoint {

template <>
void fir(const Shape& shape, const FirTaps& taps, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(fir_f32)(shape, taps, x, y);
}
template <>
void fir(const Shape& shape, const FirTaps& taps, const double* x, double* y) {
  HWY_DYNAMIC_DISPATCH(fir_f64)(shape, taps, x, y);
}

}  // namespace adjoint

}  // namespace twinrack
#endif
