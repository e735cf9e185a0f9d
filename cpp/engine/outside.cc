#include "engine/outside.h"

#include <memory>

#include "engine/program.h"

namespace twinrack {

namespace {
// An effect's own share in it: when the effect goes, the worker is told.
struct Player {
  std::shared_ptr<Outside> outside;
};

Outside& of(void* self) noexcept TR_RT { return *static_cast<Player*>(self)->outside; }
}  // namespace

const EffectType& outside_effect() {
  static const EffectType type = [] {
    EffectType t{};
    t.id = "python";
    t.target = "outside";
    t.destroy = [](void* self) noexcept {
      static_cast<Player*>(self)->outside->leave();
      delete static_cast<Player*>(self);
    };
    t.prepare = [](void*, const Format&) {};
    t.tune = [](void*, const float*) noexcept TR_RT {};
    t.process = [](void* self, Block io, SideBlock) noexcept TR_RT { of(self).process(io.channel, io.frames); };
    t.reset = [](void* self) noexcept TR_RT { of(self).reset(); };
    t.latency = [](const void* self) noexcept { return static_cast<const Player*>(self)->outside->latency(); };
    return t;
  }();
  return type;
}

EffectInstance play_outside(std::shared_ptr<Outside> outside) {
  return {outside_effect(), new Player{std::move(outside)}};
}

}  // namespace twinrack
