// The wrapper that makes an EffectType of any effect struct, compiled once for every instruction set.
#if defined(TWINRACK_ENGINE_EFFECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ENGINE_EFFECT_INL_H_
#undef TWINRACK_ENGINE_EFFECT_INL_H_
#else
#define TWINRACK_ENGINE_EFFECT_INL_H_
#endif

#include <hwy/highway.h>

#include <span>
#include <type_traits>

#include "dsp/lanes/streams-inl.h"
#include "engine/effect.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <class E>
struct EffectWrapper {
  static E& of(void* self) noexcept TR_RT { return *static_cast<E*>(self); }
  static const E& of(const void* self) noexcept TR_RT { return *static_cast<const E*>(self); }

  static void* create() { return new E(); }
  static void destroy(void* self) noexcept { delete static_cast<E*>(self); }
  static void prepare(void* self, const Format& format) { of(self).prepare(format); }
  static void load(void* self, const Resource& resource) {
    if constexpr (requires(E& e) { e.load(resource); }) of(self).load(resource);
  }
  static void tune(void* self, const float* values) noexcept TR_RT { of(self).tune(E::Card::unpack(values)); }
  static void process(void* self, Block io, SideBlock key) noexcept TR_RT { of(self).process(io, key); }
  static void reset(void* self) noexcept TR_RT { of(self).reset(); }
  static int latency(const void* self) noexcept { return of(self).latency(); }
  static int dispersion(const void* self) noexcept {
    if constexpr (requires(const E& e) { e.dispersion(); }) return of(self).dispersion();
    return 0;
  }
  static float gain_reduction_db(const void* self) noexcept TR_RT {
    if constexpr (requires(const E& e) { e.gain_reduction_db(); }) return of(self).gain_reduction_db();
    return 0.0f;
  }
  static bool tail_ended(void* self, int silent_frames) noexcept TR_RT {
    if constexpr (requires(E& e) { e.tail_ended(0); }) return of(self).tail_ended(silent_frames);
    return false;
  }
  static bool is_ramping(const void* self) noexcept TR_RT {
    if constexpr (requires(const E& e) { e.is_ramping(); }) return of(self).is_ramping();
    return false;
  }
  static std::span<const float> control_values(void* self) noexcept TR_RT {
    if constexpr (requires(E& e) { e.control_values(); }) return of(self).control_values();
    return {};
  }
  static void skip_silence(void* self, int frames) noexcept TR_RT {
    if constexpr (requires(E& e) { e.skip_silence(0); }) of(self).skip_silence(frames);
  }
  // A library that never plays streams side by side leaves that form out, half of its size.
#ifdef TWINRACK_ONE_STREAM
  static constexpr bool has_streams = false, keeps_streams = false;
#else
  static constexpr bool has_streams = requires(const E& e) { e.stream_group(); };
  static constexpr bool keeps_streams = requires { typename E::StreamMemory; };
#endif
  static int stream_group(const void* self) noexcept TR_RT {
    if constexpr (has_streams) return of(self).stream_group();
    return -1;
  }
  static void* create_streams([[maybe_unused]] const Format& format) {
    if constexpr (keeps_streams) return new typename E::StreamMemory(format);
    return nullptr;
  }
  static void destroy_streams([[maybe_unused]] void* memory) noexcept {
    if constexpr (keeps_streams) delete static_cast<typename E::StreamMemory*>(memory);
  }
  static void take_stream([[maybe_unused]] void* memory, [[maybe_unused]] void* self,
                          [[maybe_unused]] int lane) noexcept TR_RT {
    if constexpr (keeps_streams) static_cast<typename E::StreamMemory*>(memory)->take(of(self), lane);
  }
  static void give_stream([[maybe_unused]] void* memory, [[maybe_unused]] void* self,
                          [[maybe_unused]] int lane) noexcept TR_RT {
    if constexpr (keeps_streams) static_cast<typename E::StreamMemory*>(memory)->give(of(self), lane);
  }
  static void process_streams([[maybe_unused]] void* memory, void* const* effects, const StreamBlock& io,
                              float* peaks) noexcept TR_RT {
    if constexpr (keeps_streams) {
      E::process_streams(*static_cast<typename E::StreamMemory*>(memory), StreamOwners<E>(effects), io).store(peaks);
    } else if constexpr (has_streams) {
      E::process_streams(StreamOwners<E>(effects), io).store(peaks);
    }
  }
  static void state(void* self, StateArchive& archive) {
    if constexpr (requires(E& e) { e.state(archive); }) of(self).state(archive);
  }
};

template <class E>
const EffectType* effect_type() {
  using W = EffectWrapper<E>;
  static const EffectType type{
      .id = E::Card::id,
      .parameters = E::Card::parameters.data(),
      .parameter_count = static_cast<int>(E::Card::parameters.size()),
      .target = hwy::TargetName(HWY_TARGET),
      .create = W::create,
      .destroy = W::destroy,
      .prepare = W::prepare,
      .load = requires(E& e, const Resource& r) { e.load(r); } ? W::load : nullptr,
      .tune = W::tune,
      .process = W::process,
      .reset = W::reset,
      .latency = W::latency,
      .dispersion = requires(const E& e) { e.dispersion(); } ? W::dispersion : nullptr,
      .splits = requires { E::splits; },
      .gain_reduction_db = requires(const E& e) { e.gain_reduction_db(); } ? W::gain_reduction_db : nullptr,
      .tail_ended = requires(E& e) { e.tail_ended(0); } ? W::tail_ended : nullptr,
      .skip_silence = requires(E& e) { e.skip_silence(0); } ? W::skip_silence : nullptr,
      .is_ramping = requires(const E& e) { e.is_ramping(); } ? W::is_ramping : nullptr,
      .control_values = requires(E& e) { e.control_values(); } ? W::control_values : nullptr,
      .stream_group = W::has_streams ? W::stream_group : nullptr,
      .process_streams = W::has_streams ? W::process_streams : nullptr,
      .create_streams = W::keeps_streams ? W::create_streams : nullptr,
      .destroy_streams = W::keeps_streams ? W::destroy_streams : nullptr,
      .take_stream = W::keeps_streams ? W::take_stream : nullptr,
      .give_stream = W::keeps_streams ? W::give_stream : nullptr,
      .state = requires(E& e, StateArchive& archive) { e.state(archive); } ? W::state : nullptr,
  };
  return &type;
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
