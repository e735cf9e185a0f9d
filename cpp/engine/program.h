// A tree of effects, compiled to a flat list of steps over buffers that are assigned in advance, with everything that
// belongs to it: the effects, the glides of their parameters, delay compensation, bypass fades, meters and fault
// counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/effect.h"
#include "engine/kernels.h"
#include "engine/worker_effect.h"
#include "rt/glide.h"

namespace twinrack {

// What a user builds. `key` is the number of the sidechain input an effect listens to, or -1.
struct Node {
  enum class Kind { effect, chain, parallel };
  Kind kind = Kind::chain;
  std::string effect;
  std::vector<float> values;
  bool bypass = false;
  int key = -1;
  std::vector<std::vector<float>> resource;  // rows, equally long; for an effect that takes one
  std::vector<int> drives;  // numbers of the parameters that it drives, counted through all effects of the tree
  std::vector<Node> children;
  std::shared_ptr<WorkerEffect> worker;  // does the work of an effect without a card
};

struct EffectMeter {
  float peak_in = 0, peak_out = 0;  // linear
  float rms_in = 0, rms_out = 0;
  float gain_reduction_db = 0;
  std::uint32_t faults = 0;
};

class Program {
 public:
  Program(const Node& root, const Format& format);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The numbers of what asked for it, and of the last value that it took in while it waited.
  struct {
    std::uint64_t id = 0, last = 0;
  } asked;

  int latency() const noexcept { return latency_; }
  int parameter_count() const noexcept { return static_cast<int>(glides_.size()); }
  int effect_count() const noexcept { return static_cast<int>(slots_.size()); }
  // How often an effect put out NaN or infinity.
  std::uint32_t faults() const noexcept TR_RT { return faults_; }

  // `parameter` counts through all effects in the order of the tree.
  void set_parameter(int parameter, float value, bool jump) noexcept TR_RT;
  void set_bypass(int effect, bool bypass, bool jump) noexcept TR_RT;
  float parameter(int index) const noexcept TR_RT { return in_effect_[static_cast<std::size_t>(index)]; }

  // Before the first frame and after every 32nd. `first`: nothing sounded yet, so nothing ramps. `grid`: the frame is a
  // multiple of max_segment, where an effect that failed may come back.
  void tick(bool first, bool grid) noexcept TR_RT;
  // True while anything moves: a block must then end where the tick ends.
  bool moving() const noexcept TR_RT { return moving_; }
  // Calls stay between multiples of max_segment; `level` is that of `io`.
  void process(float* const* io, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT;

  // Only while no thread is in `process`: effects run also in silence, for comparison.
  void stay_awake() noexcept { may_sleep_ = false; }
  // Frames in which effects slept, added up over all of them.
  std::uint64_t slept() const noexcept { return slept_.load(std::memory_order_relaxed); }

  // Only while no thread is in `process`. Throws where an effect cannot be kept, and bytes that are not for this tree.
  void state(StateArchive& archive);

  void restart_meters() noexcept TR_RT;
  // Makes the meters readable from other threads.
  void publish_meters() noexcept TR_RT;
  EffectMeter meter(int effect) const noexcept;

 private:
  static constexpr int fade_ticks = 8, open_ticks = 8;

  struct PublicMeter {
    std::atomic<float> peak_in{0}, peak_out{0}, gain_reduction_db{0};
    std::atomic<double> power_in{0}, power_out{0};
    std::atomic<std::uint32_t> faults{0};
  };
  struct Sum {
    float peak = 0;
    double power = 0;
    void add(const BlockLevel& level) noexcept TR_RT {
      peak = peak > level.peak ? peak : level.peak;
      power += static_cast<double>(level.power);
    }
    void state(StateArchive& archive) { archive(peak, power); }
  };

  struct Slot {
    EffectInstance effect;
    std::size_t first_parameter;
    std::vector<float> values;
    int key;
    std::vector<int> drives;
    int latency = 0;
    std::vector<DelayLine> dry;     // so that a bypassed effect keeps its latency
    int presence, presence_before;  // in steps of a fade: 0 is bypassed, fade_ticks is fully heard
    bool bypass;
    int late = 0;  // frames by which the sound comes in late, and its sidechain is held back
    std::vector<DelayLine> key_lines{};
    std::vector<const float*> key_channels{};
    bool changed = false;      // in this tick
    bool settled = false;      // tuned once more after the last change, so ramps have ended
    bool failed = false;       // since the last multiple of max_segment
    int opening = open_ticks;  // ticks in which what it hears has faded in
    bool opens = false;        // and does in this one
    int waiting = 0;           // ticks in which the effect runs unheard, until what it holds back has come out
    bool heard = false;        // something came in since the last multiple of max_segment
    bool asleep = false;       // silence goes in and comes out, and the effect does not run
    int silent = 0;            // frames of silence that went in, counted at multiples of max_segment
    Sum in{}, out{};
    float deepest_db = 0;
    std::uint32_t faults = 0;
    std::uint64_t made_of = 0;  // a number for all that it was built from
    std::unique_ptr<PublicMeter> shown = std::make_unique<PublicMeter>();
  };

  struct Step {
    enum class Kind { effect, copy, add, delay } kind;
    std::size_t slot = 0;  // or the number of the delay
    std::size_t from = 0, to = 0;
    int frames = 0;
  };

  using Buffer = std::vector<std::vector<float>>;

  // A value that another effect drives.
  struct Driven {
    std::size_t by, output;  // slot, and which of its numbers
    std::size_t slot, place, parameter;
  };
  void resolve_drives();
  void state(Slot& slot, StateArchive& archive);
  void drive() noexcept TR_RT;

  // `before`: by how much the sound is late that comes in. They return how much later it leaves.
  // What a node holds back, and how many of these frames are a turned phase (`EffectType::dispersion`). Beside other
  // branches, where times must meet, both count; elsewhere only pure delays, for who cuts a latency off would lose
  // sound.
  struct Delay {
    int frames = 0, dispersion = 0;
  };
  Delay compile(const Node& node, std::size_t buffer, std::size_t free, int before, bool beside);
  Delay compile_effect(const Node& node, std::size_t buffer, int before, bool beside);
  Delay compile_parallel(const Node& node, std::size_t buffer, std::size_t free, int before, bool beside);
  SideBlock key_of(Slot& slot, const SideBlock* keys, int frames) noexcept TR_RT;
  float* const* channels(std::size_t buffer, float* const* io) noexcept TR_RT;
  void go_on(Slot& slot, bool grid) noexcept TR_RT;
  void doze(Slot& slot) noexcept TR_RT;
  void run(Slot& slot, float* const* io, const SideBlock* keys, int frames, BlockLevel& level) noexcept TR_RT;
  void wake(Slot& slot, float* const* io, SideBlock key, int frames) noexcept TR_RT;
  void open(const Slot& slot, float* const* io, int frames) noexcept TR_RT;
  void fade(const Slot& slot, float* const* io, int frames) noexcept TR_RT;

  // The level of what is in a buffer, where it is known: what one effect gives is what the next one gets.
  struct Known {
    BlockLevel level;
    bool known = false;
  };

  const Kernels& kernels_ = kernels();
  Format format_;
  int latency_ = 0;
  int frame_in_tick_ = 0;
  bool moving_ = true, may_sleep_ = true;
  std::uint64_t slept_now_ = 0;
  std::uint32_t faults_ = 0;
  std::atomic<std::uint64_t> slept_{0};
  std::vector<Slot> slots_;
  std::vector<Glide> glides_;
  std::vector<float> in_effect_;  // of all parameters, in this tick
  std::vector<Driven> driven_;
  std::vector<std::span<const float>> decided_;  // by slot
  std::vector<Step> steps_;
  std::vector<Buffer> buffers_;
  std::vector<Known> levels_;  // of the buffers
  std::vector<std::vector<float*>> pointers_;
  std::vector<std::vector<DelayLine>> delays_;
  Buffer dry_;
  std::vector<float> silence_ = std::vector<float>(max_segment);
  std::uint64_t metered_frames_ = 0;
  std::atomic<std::uint64_t> shown_frames_{0};
};

}  // namespace twinrack
