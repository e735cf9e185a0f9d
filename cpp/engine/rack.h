// A rack that processes a stream: one program, or two while one replaces the other; the clock; and the wait-free queues
// in and out.
//
// One thread calls `process` (the audio thread), and what is said to be for it. One other thread at a time may call
// everything else.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/program.h"
#include "rt/spsc_queue.h"

namespace twinrack {

// Values that replace the parameters tick by tick while rendering offline, from `first_tick` of the absolute grid on:
// curves are rows x ticks.
struct Automation {
  std::vector<int> parameter;
  std::vector<float> curves;
  std::int64_t ticks = 0;
  std::int64_t first_tick = 0;
};

// A change that took effect: its number, and the frame from which it holds. The changes up to `last` took effect with
// it: values that a program took in while it waited.
struct AppliedChange {
  std::uint64_t id = 0;
  std::int64_t frame = 0;
  std::uint64_t last = id;
};

class Rack {
 public:
  // `first_frame`: where on the absolute grid the stream begins.
  Rack(const Node& root, const Format& format, std::int64_t first_frame = 0);
  ~Rack();
  Rack(const Rack&) = delete;
  Rack& operator=(const Rack&) = delete;

  const Format& format() const noexcept { return format_; }
  int latency() const noexcept { return newest_->latency(); }
  int sounding_latency() const noexcept TR_RT { return program_->latency(); }  // on the audio thread

  // In place, any number of frames. NaN and infinity in the input count as silence.
  void process(float* const* channel, const SideBlock* keys, int frames) noexcept TR_RT;

  // On the audio thread, between two calls of `process`; a value takes effect at the next tick.
  void change_parameter(int parameter, float value) noexcept TR_RT;
  // On the audio thread: silence, the values as they were last set, and frame 0, as in a new rack.
  void reset() noexcept TR_RT;

  // Return the change's number, from 1; 0 when the queue is full because the audio thread has not run for long.
  std::uint64_t set_parameter(int parameter, float value);
  std::uint64_t set_bypass(int effect, bool bypass);
  // Builds a program here, crossfades to it on the audio thread, and frees the old one here, later. It replaces one
  // that still waits, and takes in the values set while it waits itself, so that never more than one waits.
  std::uint64_t swap(const Node& root);
  void collect() noexcept;

  // The changes that took effect, in order; kept only while this is on.
  void keep_history(bool on);
  bool pop_history(AppliedChange& change) noexcept { return history_.pop(change); }
  // Frames that a swap takes until only the new program is heard.
  int swap_frames() const noexcept;

  std::vector<EffectMeter> meters() noexcept;
  std::uint64_t slept() const noexcept { return newest_->slept(); }
  // On the audio thread: how often an effect of the sounding program put out NaN or infinity.
  std::uint32_t faults() const noexcept TR_RT { return program_->faults(); }
  std::uint32_t input_faults() const noexcept { return input_faults_.load(std::memory_order_relaxed); }

  // Only while no thread is in `process`.
  void automate(Automation automation) { automation_ = std::move(automation); }
  void enable_trace(std::int64_t ticks);
  // Only while no thread is in `process` and no change is pending. Another rack of the same tree and format that loads
  // these bytes goes on as this one does, to the last bit; they include the automation. Other bytes are refused and
  // change nothing.
  std::string save_state();
  void load_state(std::string_view bytes);
  void stay_awake() noexcept { newest_->stay_awake(); }
  const std::vector<float>& trace() const noexcept { return trace_; }
  int parameter_count() const noexcept { return newest_->parameter_count(); }
  int key_count() const noexcept { return static_cast<int>(keys_.size()); }

 private:
  static constexpr int swap_ticks = 32;

  struct Message {
    enum class Kind { parameter, bypass } kind;
    int index;
    float value;
    std::uint64_t id = 0;
  };

  std::uint64_t send(Message message);
  void state(StateArchive& archive);
  void expect_nothing_pending() const;
  void at_tick() noexcept TR_RT;
  void apply_messages(const Program* next) noexcept TR_RT;
  void begin_swap(Program* next) noexcept TR_RT;
  static void apply(const Message& message, Program& program, bool jump) noexcept TR_RT;
  void crossfade(float* const* channel, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT;
  void sanitise(float* x, int frames) noexcept TR_RT;
  void take_keys(const SideBlock* keys, int start, int frames) noexcept TR_RT;

  struct SidechainInput {
    std::array<const float*, max_channels> channel{};
    std::vector<float> copy = std::vector<float>(static_cast<std::size_t>(max_channels) * max_segment);
  };

  const Kernels& kernels_ = kernels();
  Format format_;
  Program* program_ = nullptr;           // sounds; the audio thread's
  Program* outgoing_ = nullptr;          // fading out
  Program* newest_ = nullptr;            // the controlling thread's view
  std::atomic<Program*> next_{nullptr};  // waits until nothing fades; whoever takes it out owns it
  int swap_tick_ = 0, swap_warm_up_ = 0;
  std::int64_t frame_;
  bool started_ = false;
  std::uint64_t last_id_ = 0;
  SpscQueue<Message, 16384> inbox_;
  SpscQueue<AppliedChange, 16384> history_;
  std::atomic<bool> keeps_history_{false};
  SpscQueue<Program*, 64> retired_;
  Message pending_{};
  bool has_pending_ = false;
  std::vector<SidechainInput> keys_;
  std::vector<SideBlock> key_blocks_;
  std::vector<float> silence_ = std::vector<float>(max_segment);
  std::vector<std::vector<float>> outgoing_buffers_;
  std::vector<float*> outgoing_pointers_;
  std::atomic<std::uint32_t> input_faults_{0}, meter_reads_{0};
  std::uint32_t meter_resets_ = 0;
  Automation automation_;
  std::vector<float> trace_;
  std::size_t traced_ = 0;
};

}  // namespace twinrack
