// Describes any sweep to the list of sweeps, once for every instruction set.
#if defined(TWINRACK_ADJOINT_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_SWEEP_INL_H_
#endif

#include <type_traits>

#include "adjoint/stepwise-inl.h"
#include "adjoint/sweep.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// A sweep is a struct with
//   static SweepLayout layout(const SweepRequest&);
//   template <class T> static void forward(const ForwardPass<T>&);
//   template <class T> static void backward(const BackwardPass<T>&);
// or, where every stream goes its own way and a frame is one step, with what stepwise-inl.h asks for.
template <class Sweep>
const adjoint::SweepType* sweep_type(const char* name) {
  constexpr bool whole = requires { &Sweep::layout; };
  using Whole = std::conditional_t<whole, Sweep, Stepwise<Sweep>>;
  static const adjoint::SweepType type{name,
                                       &Whole::layout,
                                       &Whole::template forward<float>,
                                       &Whole::template forward<double>,
                                       &Whole::template backward<float>,
                                       &Whole::template backward<double>};
  return &type;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
