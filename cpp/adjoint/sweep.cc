// The list of sweeps: one line for every file of one, made by the build.
#include "adjoint/sweep.h"

namespace twinrack {

#define TWINRACK_SWEEP(name) const adjoint::SweepType* get_##name##_sweep();
#include "sweeps.inc"
#undef TWINRACK_SWEEP

namespace adjoint {

const SweepType* const* all_sweeps() {
  static const SweepType* const types[] = {
#define TWINRACK_SWEEP(name) get_##name##_sweep(),
#include "sweeps.inc"
#undef TWINRACK_SWEEP
      nullptr};
  return types;
}

const SweepType* find_sweep(std::string_view name) {
  for (const SweepType* const* type = all_sweeps(); *type != nullptr; ++type) {
    if ((*type)->name == name) return *type;
  }
  return nullptr;
}

}  // namespace adjoint
}  // namespace twinrack
