#include "engine/worker_effect.h"

#include "rt/clock_rate.h"

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

WorkerEffect::WorkerEffect(int channels, int block, int blocks, const WorkerShape& shape)
    : block_(block),
      latency_(block * blocks + fade_frames),
      work_latency_(shape.latency),
      parameters_(shape.parameters),
      type_{},
      memory_([&] {
        const RingShape ring{channels, shape.keys, static_cast<int>(shape.parameters.size()), block, blocks + 4};
        const std::size_t bytes = BlockRing::bytes(ring);
        return shape.file >= 0 ? RingMemory(bytes, shape.file) : RingMemory(bytes);
      }()),
      ring_({channels, shape.keys, static_cast<int>(shape.parameters.size()), block, blocks + 4}, memory_.data()),
      dry_lines_(static_cast<std::size_t>(channels)),
      values_(shape.parameters.size()) {
  if (shape.wait_s > 0.0) wait_ticks_ = static_cast<std::uint64_t>(shape.wait_s * ticks_per_second());
  for (DelayLine& line : dry_lines_) line.prepare(latency(), max_segment);
  type_.id = "outside";
  type_.target = "worker";
  type_.parameters = parameters_.data();
  type_.parameter_count = static_cast<int>(parameters_.size());
  type_.destroy = [](void* self) noexcept {
    worker_of(self).detach();
    delete static_cast<Owner*>(self);
  };
  type_.prepare = [](void*, const Format&) {};
  type_.tune = [](void* self, const float* values) noexcept TR_RT { worker_of(self).tune(values); };
  type_.process = [](void* self, Block io, SideBlock keys) noexcept TR_RT {
    worker_of(self).process(io.channel, io.frames, keys);
  };
  type_.reset = [](void* self) noexcept TR_RT { worker_of(self).reset(); };
  type_.latency = [](const void* self) noexcept { return static_cast<const Owner*>(self)->worker->latency(); };
}

EffectInstance make_worker_effect(std::shared_ptr<WorkerEffect> worker) {
  const EffectType& type = worker->type();
  return {type, new Owner{std::move(worker)}};
}

}  // namespace twinrack
