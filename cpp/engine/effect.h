// The interface between the engine and an effect: a table of function pointers, chosen once for the best instruction
// set of this machine, and an owner of one effect behind it.
#pragma once

#include <span>

#include "rt/block.h"
#include "rt/card.h"
#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

struct EffectType {
  const char* id;
  const Parameter* parameters;
  int parameter_count;
  const char* target;  // the instruction set it was compiled for
  void* (*create)();   // null for one that works outside the engine
  void (*destroy)(void*) noexcept;
  void (*prepare)(void*, const Format&);
  void (*load)(void*, const Resource&);  // after `prepare`; null for an effect that takes none
  void (*tune)(void*, const float* values) noexcept TR_RT;
  void (*process)(void*, Block, SideBlock) noexcept TR_RT;
  void (*reset)(void*) noexcept TR_RT;
  int (*latency)(const void*) noexcept;
  // How many frames of the latency come from phase dispersion, in which sound arrives already; null where the latency
  // is a pure delay.
  int (*dispersion)(const void*) noexcept;
  // It gives each branch behind it a part of the sound, where its format has several (`Format::branches`).
  bool splits;
  float (*gain_reduction_db)(const void*) noexcept TR_RT;  // null where there is none
  // Called after so many frames of silence: true when the tail has fallen below -140 dBFS and the past no longer
  // matters; the effect then clears what is left of it, and sleeps. Null for an effect that never sleeps.
  bool (*tail_ended)(void*, int silent_frames) noexcept TR_RT;
  // Advances the time of an effect that sleeps; null where nothing moves meanwhile.
  void (*skip_silence)(void*, int frames) noexcept TR_RT;
  // True while a ramp towards the tuned values still runs; the effect is then tuned once a tick. Null where none does.
  bool (*is_ramping)(const void*) noexcept TR_RT;
  // For the tick that begins, a number for each value that the effect drives; null where it drives none.
  std::span<const float> (*control_values)(void*) noexcept TR_RT;
  // For streams side by side (`StreamBlock`), one of each effect, without sidechains. `stream_group`: effects that
  // give the same number now may run so together; -1 for one that may not, as while it ramps. Both null where an effect
  // has no such form. `effects` has as many entries as there are lanes, null where a lane is not to be counted; `peaks`
  // gets those of the output as `Kernels::measure_streams` gives them.
  int (*stream_group)(const void*) noexcept TR_RT;
  void (*process_streams)(void* memory, void* const* effects, const StreamBlock& io, float* peaks) noexcept TR_RT;
  // For an effect that remembers much, its past lies side by side too, in the `memory` of process_streams:
  // `take_stream` moves that of an effect to a lane before it runs there, `give_stream` back before it runs alone. All
  // null where every effect keeps its own.
  void* (*create_streams)(const Format&);
  void (*destroy_streams)(void* memory) noexcept;
  void (*take_stream)(void* memory, void* effect, int lane) noexcept TR_RT;
  void (*give_stream)(void* memory, void* effect, int lane) noexcept TR_RT;
  void (*state)(void*, StateArchive&);  // saves and loads; null for an effect whose state cannot be kept
};

// Null for an id that no card has.
const EffectType* find_effect(const char* id);
// All effects, ended by null.
const EffectType* const* all_effects();

// Owns one effect.
class EffectInstance {
 public:
  explicit EffectInstance(const EffectType& type) : type_(&type), self_(type.create()) {}
  EffectInstance(const EffectType& type, void* self) : type_(&type), self_(self) {}
  ~EffectInstance() {
    if (self_ != nullptr) type_->destroy(self_);
  }
  EffectInstance(EffectInstance&& other) noexcept : type_(other.type_), self_(other.self_) { other.self_ = nullptr; }
  EffectInstance(const EffectInstance&) = delete;
  EffectInstance& operator=(const EffectInstance&) = delete;
  EffectInstance& operator=(EffectInstance&&) = delete;

  const EffectType& type() const noexcept TR_RT { return *type_; }
  void prepare(const Format& format) { type_->prepare(self_, format); }
  void load(const Resource& resource) {
    if (type_->load != nullptr) type_->load(self_, resource);
  }
  void tune(const float* values) noexcept TR_RT { type_->tune(self_, values); }
  void process(Block io, SideBlock key) noexcept TR_RT { type_->process(self_, io, key); }
  void reset() noexcept TR_RT { type_->reset(self_); }
  int latency() const noexcept { return type_->latency(self_); }
  int dispersion() const noexcept { return type_->dispersion == nullptr ? 0 : type_->dispersion(self_); }
  bool tail_ended(int silent_frames) noexcept TR_RT {
    return type_->tail_ended != nullptr && type_->tail_ended(self_, silent_frames);
  }
  void skip_silence(int frames) noexcept TR_RT {
    if (type_->skip_silence != nullptr) type_->skip_silence(self_, frames);
  }
  bool is_ramping() const noexcept TR_RT { return type_->is_ramping != nullptr && type_->is_ramping(self_); }
  std::span<const float> control_values() noexcept TR_RT { return type_->control_values(self_); }
  void state(StateArchive& archive) { type_->state(self_, archive); }
  int stream_group() const noexcept TR_RT { return type_->stream_group == nullptr ? -1 : type_->stream_group(self_); }
  void* self() noexcept TR_RT { return self_; }
  float gain_reduction_db() const noexcept TR_RT {
    return type_->gain_reduction_db == nullptr ? 0.0f : type_->gain_reduction_db(self_);
  }

 private:
  const EffectType* type_;
  void* self_;
};

}  // namespace twinrack
