// The list of all effects; the build writes a line for every card.
#include <cstring>

#include "engine/effect.h"

namespace twinrack {

#define TWINRACK_EFFECT(id) const EffectType* get_##id##_type();
#include "registry.inc"
#undef TWINRACK_EFFECT

const EffectType* const* all_effects() {
  static const EffectType* const types[] = {
#define TWINRACK_EFFECT(id) get_##id##_type(),
#include "registry.inc"
#undef TWINRACK_EFFECT
      nullptr};
  return types;
}

const EffectType* find_effect(const char* id) {
  for (const EffectType* const* type = all_effects(); *type != nullptr; ++type) {
    if (std::strcmp((*type)->id, id) == 0) return *type;
  }
  return nullptr;
}

}  // namespace twinrack
