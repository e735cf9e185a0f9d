// Compiles the sweeps once for every instruction set and picks the best at load time.
#include "dsp/lanes/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "adjoint/sweeps.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "adjoint/compressor-inl.h"
#include "adjoint/feedback-inl.h"
#include "adjoint/fir-inl.h"
#include "adjoint/followers-inl.h"
#include "adjoint/network-inl.h"
#include "adjoint/recurrent-inl.h"
#include "adjoint/svf_sweeps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

#define TWINRACK_SWEEP(name, type, suffix, parameters, arguments) \
  void name##_##suffix parameters(type) { sweeps::name<type> arguments; }

using adjoint::CompressorChoices;
using adjoint::FdnShape;
using adjoint::FeedbackChoices;
using adjoint::FirTaps;
using adjoint::RecurrentLayer;
using adjoint::Shape;

#define TWINRACK_SVF_F(T) (const Shape& s, int n, const T* x, const T* c, T* y, T* states)
#define TWINRACK_SVF_B(T) \
  (const Shape& s, int n, const T* x, const T* c, const T* states, const T* y_grad, T* x_grad, T* c_grad)
#define TWINRACK_FOLLOWER_F(T) (const Shape& s, bool n, const T* x, const T* c, T* y, T* states)
#define TWINRACK_FOLLOWER_B(T) \
  (const Shape& s, bool n, const T* x, const T* c, const T* states, const T* y_grad, T* x_grad, T* c_grad)
#define TWINRACK_ALLPASS_F(T) (const Shape& s, const int* n, const T* x, const T* c, T* y, T* states)
#define TWINRACK_ALLPASS_B(T) \
  (const Shape& s, const int* n, const T* x, const T* c, const T* states, const T* y_grad, T* x_grad, T* c_grad)
#define TWINRACK_COMPRESSOR_F(T) (const Shape& s, const CompressorChoices& n, const T* x, const T* c, T* y, T* states)
#define TWINRACK_COMPRESSOR_B(T)                                                                                    \
  (const Shape& s, const CompressorChoices& n, const T* x, const T* c, const T* states, const T* y_grad, T* x_grad, \
   T* c_grad)
#define TWINRACK_FEEDBACK_F(T) (const Shape& s, const FeedbackChoices& n, const T* x, const T* c, T* y, T* states)
#define TWINRACK_FEEDBACK_B(T)                                                                                    \
  (const Shape& s, const FeedbackChoices& n, const T* x, const T* c, const T* states, const T* y_grad, T* x_grad, \
   T* c_grad)
#define TWINRACK_FIR(T) (const Shape& s, const FirTaps& n, const T* x, T* y)
#define TWINRACK_FDN_F(T) (const FdnShape& s, const T* x, const T* shelf, const T* turns, T* y, T* w, T* states)
#define TWINRACK_FDN_B(T)                                                                                      \
  (const FdnShape& s, const T* shelf, const T* turns, const T* w, const T* states, const T* y_grad, T* x_grad, \
   T* shelf_grad, T* turn_grad)

#define TWINRACK_RECURRENT_F(T) (const RecurrentLayer<T>& s, const T* x, T* y, T* states)
#define TWINRACK_RECURRENT_B(T) \
  (const RecurrentLayer<T>& s, const T* x, const T* states, const T* y_grad, T* x_grad, T* sums)

// name, signature of (forward | backward), arguments
#define TWINRACK_ALL(APPLY, T, suffix)                                                                       \
  APPLY(svf_forward, T, suffix, TWINRACK_SVF_F, (s, n, x, c, y, states))                                     \
  APPLY(svf_backward, T, suffix, TWINRACK_SVF_B, (s, n, x, c, states, y_grad, x_grad, c_grad))               \
  APPLY(follower_forward, T, suffix, TWINRACK_FOLLOWER_F, (s, n, x, c, y, states))                           \
  APPLY(follower_backward, T, suffix, TWINRACK_FOLLOWER_B, (s, n, x, c, states, y_grad, x_grad, c_grad))     \
  APPLY(allpass_forward, T, suffix, TWINRACK_ALLPASS_F, (s, n, x, c, y, states))                             \
  APPLY(allpass_backward, T, suffix, TWINRACK_ALLPASS_B, (s, n, x, c, states, y_grad, x_grad, c_grad))       \
  APPLY(compressor_forward, T, suffix, TWINRACK_COMPRESSOR_F, (s, n, x, c, y, states))                       \
  APPLY(compressor_backward, T, suffix, TWINRACK_COMPRESSOR_B, (s, n, x, c, states, y_grad, x_grad, c_grad)) \
  APPLY(feedback_forward, T, suffix, TWINRACK_FEEDBACK_F, (s, n, x, c, y, states))                           \
  APPLY(feedback_backward, T, suffix, TWINRACK_FEEDBACK_B, (s, n, x, c, states, y_grad, x_grad, c_grad))     \
  APPLY(fir, T, suffix, TWINRACK_FIR, (s, n, x, y))                                                          \
  APPLY(recurrent_forward, T, suffix, TWINRACK_RECURRENT_F, (s, x, y, states))                               \
  APPLY(recurrent_backward, T, suffix, TWINRACK_RECURRENT_B, (s, x, states, y_grad, x_grad, sums))           \
  APPLY(fdn_forward, T, suffix, TWINRACK_FDN_F, (s, x, shelf, turns, y, w, states))                          \
  APPLY(fdn_backward, T, suffix, TWINRACK_FDN_B, (s, shelf, turns, w, states, y_grad, x_grad, shelf_grad, turn_grad))

TWINRACK_ALL(TWINRACK_SWEEP, float, f32)
TWINRACK_ALL(TWINRACK_SWEEP, double, f64)

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace twinrack {

#define TWINRACK_EXPORT(name, T, suffix, parameters, arguments) HWY_EXPORT(name##_##suffix);
TWINRACK_ALL(TWINRACK_EXPORT, float, f32)
TWINRACK_ALL(TWINRACK_EXPORT, double, f64)

namespace adjoint {

int tick_count(int frames) { return (frames + tick_frames - 1) / tick_frames; }

// Enough for every lane width: tiles x lanes < streams + lanes.
static std::int64_t most_lanes(const Shape& shape) { return shape.streams + 8; }

std::int64_t svf_state_size(const Shape& shape, int sections) {
  return most_lanes(shape) * tick_count(shape.frames) * sections * 2;
}

std::int64_t compressor_state_size(const Shape& shape) {
  return most_lanes(shape) * tick_count(shape.frames) * compressor_state;
}

std::int64_t recurrent_state_size(int streams, int frames, int hidden) {
  return static_cast<std::int64_t>(streams + 8) * tick_count(frames) * 2 * hidden;
}

std::int64_t recurrent_sums(int inputs, int hidden, bool gru) {
  const std::int64_t rows = static_cast<std::int64_t>(gru ? 3 : 4) * hidden;
  return rows * (inputs + hidden) + 2 * rows + 2 * hidden;
}

#define TWINRACK_DEFINE(name, T, suffix, parameters, arguments) \
  template <>                                                   \
  void name<T> parameters(T) {                                  \
    HWY_DYNAMIC_DISPATCH(name##_##suffix) arguments;            \
  }
TWINRACK_ALL(TWINRACK_DEFINE, float, f32)
TWINRACK_ALL(TWINRACK_DEFINE, double, f64)

}  // namespace adjoint
}  // namespace twinrack
#endif
