// A compiled rack that runs: its effects, the glides of their parameters, the buffers between them, meters and faults.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/compiler.h"
#include "engine/kernels.h"
#include "engine/meter.h"
#include "engine/node.h"
#include "engine/slot.h"

namespace twinrack {

class Program {
 public:
  Program(const Node& root, const Format& format);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The number of the request that it answers, and of the last change that it took in before it ran.
  struct {
    std::uint64_t id = 0, last = 0;
  } request;

  int latency() const noexcept { return rack_.latency; }
  int parameter_count() const noexcept { return static_cast<int>(rack_.glides.size()); }
  int effect_count() const noexcept { return static_cast<int>(rack_.slots.size()); }
  // How often an effect put out NaN or infinity.
  std::uint32_t faults() const noexcept TR_RT { return run_.faults; }

  // `parameter` counts through all effects in the order of the tree.
  void set_parameter(int parameter, float value, bool jump) noexcept TR_RT;
  void set_bypass(int effect, bool bypass, bool jump) noexcept TR_RT;
  // The value in effect in this tick.
  float parameter(int index) const noexcept TR_RT { return in_effect_[static_cast<std::size_t>(index)]; }

  // As before the first frame, with the values as they were last set.
  void reset() noexcept TR_RT;
  // Before the first frame and after every 32nd. `first`: nothing sounded yet, so nothing ramps. `grid`: the frame is a
  // multiple of max_segment, where an effect that failed may come back.
  void tick(bool first, bool grid) noexcept TR_RT;
  // True while anything moves: a block must then end where the tick ends.
  bool moving() const noexcept TR_RT { return run_.moving; }
  // Calls stay between multiples of max_segment; `level` is that of `io`.
  void process(float* const* io, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT;

  // Only while no thread is in `process`: effects run also in silence, for comparison.
  void stay_awake() noexcept { may_sleep_ = false; }
  // Frames in which effects slept, added up over all of them.
  std::uint64_t slept() const noexcept { return published_slept_.load(std::memory_order_relaxed); }

  // Only while no thread is in `process`. Throws where an effect cannot be kept, and for bytes of another tree.
  void state(StateArchive& archive);

  // For programs that run side by side (stream_group.h).
  CompiledRack& compiled() noexcept TR_RT { return rack_; }
  RunContext& context() noexcept TR_RT { return run_; }

  void restart_meters() noexcept TR_RT;
  // Makes the meters readable from other threads.
  void publish_meters() noexcept TR_RT;
  EffectMeter meter(int effect) const noexcept;

 private:
  using Buffer = std::vector<std::vector<float>>;

  // The level of what is in a buffer, where it is known: the output of one effect is the input of the next.
  struct KnownLevel {
    BlockLevel level;
    bool known = false;
  };

  bool advance_glides(Slot& slot) noexcept TR_RT;
  void drive() noexcept TR_RT;
  void tune(Slot& slot) noexcept TR_RT;
  float* const* channels(std::size_t buffer, float* const* io) noexcept TR_RT;
  void run_step(const Step& step, float* const* io, const SideBlock* keys, int frames) noexcept TR_RT;
  void run_split(const Step& step, float* const* io, const SideBlock* keys, int frames) noexcept TR_RT;
  void state(Slot& slot, StateArchive& archive);

  CompiledRack rack_;
  RunContext run_;
  bool may_sleep_ = true;
  std::vector<float> in_effect_;                        // of all parameters, in this tick
  std::vector<std::span<const float>> control_values_;  // of effects that drive others, by slot
  std::vector<Buffer> buffers_;
  std::vector<KnownLevel> levels_;  // of the buffers
  std::vector<std::vector<float*>> pointers_;
  std::uint64_t metered_frames_ = 0;
  std::atomic<std::uint64_t> published_slept_{0}, published_frames_{0};
};

}  // namespace twinrack
