#include "engine/worker_effect.h"

#include <memory>
#include <utility>

namespace twinrack {

namespace {
// The engine's reference to the worker, which has its own, so either may go first.
struct Owner {
  std::shared_ptr<WorkerEffect> worker;
};

WorkerEffect& worker_of(void* self) noexcept TR_RT { return *static_cast<Owner*>(self)->worker; }
}  // namespace

const EffectType& worker_effect_type() {
  static const EffectType type = [] {
    EffectType t{};
    t.id = "python";
    t.target = "worker";
    t.destroy = [](void* self) noexcept {
      worker_of(self).detach();
      delete static_cast<Owner*>(self);
    };
    t.prepare = [](void*, const Format&) {};
    t.tune = [](void*, const float*) noexcept TR_RT {};
    t.process = [](void* self, Block io, SideBlock) noexcept TR_RT { worker_of(self).process(io.channel, io.frames); };
    t.reset = [](void* self) noexcept TR_RT { worker_of(self).reset(); };
    t.latency = [](const void* self) noexcept { return static_cast<const Owner*>(self)->worker->latency(); };
    return t;
  }();
  return type;
}

EffectInstance make_worker_effect(std::shared_ptr<WorkerEffect> worker) {
  return {worker_effect_type(), new Owner{std::move(worker)}};
}

}  // namespace twinrack
