// Compiles adjoint/recurrent-inl.h for every instruction set and picks the best at load time.
#include "dsp/lanes/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "adjoint/recurrent.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "adjoint/recurrent-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

void recurrent_forward_f32(const adjoint::RecurrentLayer<float>& layer, const float* x, float* y, float* states) {
  sweeps::recurrent_forward(layer, x, y, states);
}
void recurrent_backward_f32(const adjoint::RecurrentLayer<float>& layer, const float* x, const float* states,
                            const float* y_grad, float* x_grad, float* sums) {
  sweeps::recurrent_backward(layer, x, states, y_grad, x_grad, sums);
}

void recurrent_forward_f64(const adjoint::RecurrentLayer<double>& layer, const double* x, double* y, double* states) {
  sweeps::recurrent_forward(layer, x, y, states);
}
void recurrent_backward_f64(const adjoint::RecurrentLayer<double>& layer, const double* x, const double* states,
                            const double* y_grad, double* x_grad, double* sums) {
  sweeps::recurrent_backward(layer, x, states, y_grad, x_grad, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {

HWY_EXPORT(recurrent_forward_f32);
HWY_EXPORT(recurrent_forward_f64);
HWY_EXPORT(recurrent_backward_f32);
HWY_EXPORT(recurrent_backward_f64);

namespace adjoint {

// Enough for every lane width: tiles x lanes < streams + lanes.
std::int64_t recurrent_state_size(int streams, int frames, int hidden) {
  return static_cast<std::int64_t>(streams + 8) * tick_count(frames) * 2 * hidden;
}

std::int64_t recurrent_sums(int inputs, int hidden, bool gru) {
  const std::int64_t rows = static_cast<std::int64_t>(gru ? 3 : 4) * hidden;
  return rows * (inputs + hidden) + 2 * rows + 2 * hidden;
}

template <>
void recurrent_forward(const RecurrentLayer<float>& layer, const float* x, float* y, float* states) {
  HWY_DYNAMIC_DISPATCH(recurrent_forward_f32)(layer, x, y, states);
}
template <>
void recurrent_backward(const RecurrentLayer<float>& layer, const float* x, const float* states, const float* y_grad,
                        float* x_grad, float* sums) {
  HWY_DYNAMIC_DISPATCH(recurrent_backward_f32)(layer, x, states, y_grad, x_grad, sums);
}
template <>
void recurrent_forward(const RecurrentLayer<double>& layer, const double* x, double* y, double* states) {
  HWY_DYNAMIC_DISPATCH(recurrent_forward_f64)(layer, x, y, states);
}
template <>
void recurrent_backward(const RecurrentLayer<double>& layer, const double* x, const double* states,
                        const double* y_grad, double* x_grad, double* sums) {
  HWY_DYNAMIC_DISPATCH(recurrent_backward_f64)(layer, x, states, y_grad, x_grad, sums);
}

}  // namespace adjoint

}  // namespace twinrack
#endif
