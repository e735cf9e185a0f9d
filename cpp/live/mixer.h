// The live mixer between an audio server's inputs and outputs: lines, each with a rack, their sum, fades, howl ducking,
// the safety limiter, and recording. Planar; any number of frames at a time; the same sound in any blocks, so that a
// recording of the inputs and of the changes, played through it once more, gives the same output bit for bit.
//
// One thread calls `process` (the audio thread). One other thread at a time may call everything else.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/metering/k_weighting.h"
#include "engine/rack.h"
#include "dsp/dynamics/howl.h"
#include "live/linear_fade.h"
#include "live/loop_player.h"
#include "live/safety.h"
#include "live/scope.h"
#include "rt/frame_ring.h"

namespace twinrack::live {

// A rack and the device channels it is connected to; -1 for none.
struct LineRouting {
  std::shared_ptr<Rack> rack;
  std::vector<int> inputs;             // for each channel of the rack
  std::vector<std::vector<int>> keys;  // for each of its sidechains, at least one channel
  std::vector<int> outputs;            // for each channel of the rack
};

// The controls that can be changed while the mixer runs.
enum class MixerControl : int { level, fade, mute, limiter, ceiling, mute_on_fault, howl_duck, listen, record };

// `index` is a line for `level`, a `Listen` for `listen`; otherwise unused.
struct MixerChange {
  MixerControl control;
  int index;
  float value;
  std::uint64_t id = 0;
};

inline constexpr int weighted_outputs = 2;  // whose loudness is measured: one programme

struct OutputState {
  float limiter_gain = 1.0f;  // the smallest since it was last read
  float duck_gain = 1.0f;
  float howl_hz = 0.0f;
  std::uint32_t howls = 0, fault_mutes = 0;
  // Since the start: the K-weighted energy of the first two outputs (BS.1770-4), and the frames in which it came.
  double weighted_energy = 0.0;
  std::int64_t weighted_frames = 0;
};

class Mixer {
 public:
  Mixer(std::vector<LineRouting> lines, int inputs, int outputs, double sample_rate, std::int64_t first_frame = 0);
  ~Mixer();
  Mixer(const Mixer&) = delete;
  Mixer& operator=(const Mixer&) = delete;

  int inputs() const noexcept TR_RT { return inputs_; }
  int outputs() const noexcept TR_RT { return outputs_; }
  double sample_rate() const noexcept { return sample_rate_; }
  Rack& rack(int line) { return *lines_.at(static_cast<std::size_t>(line)).routing.rack; }

  // `in` may be null: silence. Outputs that no line goes to are silent.
  void process(const float* const* in, float* const* out, int frames) noexcept TR_RT;

  // Returns the change's number, from 1; 0 when too many wait. It takes effect at the next tick.
  std::uint64_t set_control(MixerControl control, int index, float value) noexcept;
  void keep_history(bool on) noexcept { keeps_history_.store(on, std::memory_order_relaxed); }
  bool pop_history(AppliedChange& change) noexcept { return history_.pop(change); }

  // True when a fade out has reached silence.
  bool silent() const noexcept { return silent_.load(std::memory_order_relaxed); }
  std::int64_t frame() const noexcept { return published_frame_.load(std::memory_order_relaxed); }
  OutputState output_state() noexcept;
  // The largest sample of each output since it was last read.
  std::vector<float> output_peaks() noexcept;
  // Of a line, before its rack or after it.
  const Scope& scope(int line, bool after) const {
    const Line& l = lines_.at(static_cast<std::size_t>(line));
    return after ? *l.after : *l.before;
  }

  // Recordings that the first line plays instead of its inputs; only before the stream starts.
  void play(LoopPlayer::Channels dry, LoopPlayer::Channels target);

  // For a recorder: all inputs and then all outputs, interleaved, while MixerControl::record is on. Called once, before
  // the stream starts. A recorder that reads too late loses frames, and gets no more after them.
  void record_into(int seconds);
  int read_record(float* to, int frames) noexcept {
    return record_ring_ == nullptr ? 0 : record_ring_->read(to, frames);
  }
  std::uint64_t lost_record() const noexcept { return lost_frames_.load(std::memory_order_relaxed); }

 private:
  static constexpr double fade_s = 0.01, fault_hold_s = 0.1, duck_s = 0.005, duck_hold_s = 0.3, duck_release_s = 1.0;
  static constexpr int max_device_channels = 64;
  static constexpr float heavy_limiting = 0.9f;  // a limiter's gain below which a steady tone counts as a howl

  struct Line {
    LineRouting routing;
    LinearFade level;
    std::uint32_t faults = 0;
    std::vector<std::vector<float>> samples;
    std::vector<float*> channels;  // of `samples`
    std::vector<std::vector<const float*>> key_channels;
    std::vector<SideBlock> keys;
    std::unique_ptr<Scope> before = std::make_unique<Scope>(), after = std::make_unique<Scope>();
  };

  void apply_changes() noexcept TR_RT;
  void apply(const MixerChange& change) noexcept TR_RT;
  void process_segment(const float* const* in, float* const* out, int frames) noexcept TR_RT;
  void process_line(Line& line, const float* const* in, int frames) noexcept TR_RT;
  void protect(float* const* out, int frames) noexcept TR_RT;
  void record(const float* const* in, float* const* out, int frames) noexcept TR_RT;
  void publish(float* const* out, int frames) noexcept TR_RT;

  std::vector<Line> lines_;
  int inputs_, outputs_;
  double sample_rate_;
  std::int64_t frame_;
  float fade_step_, duck_down_, duck_up_;
  LinearFade fade_{0.0f, 0.0f}, mute_{}, fault_{}, duck_{};
  bool mutes_on_fault_ = true, ducks_ = true, recording_ = false;
  int fault_frames_left_ = 0, duck_frames_left_ = 0;
  SafetyLimiter limiter_;
  HowlDetector howl_;
  LoopPlayer player_;
  std::vector<float> silence_;
  SpscQueue<MixerChange, 1024> inbox_;
  SpscQueue<AppliedChange, 1024> history_;
  MixerChange pending_{};
  bool has_pending_ = false;
  std::uint64_t last_id_ = 0;
  std::unique_ptr<FrameRing> record_ring_;
  std::atomic<bool> keeps_history_{false}, silent_{true};
  std::atomic<std::int64_t> published_frame_{0};
  std::atomic<std::uint64_t> lost_frames_{0};
  std::atomic<std::uint32_t> state_reads_{0}, howls_{0}, fault_mutes_{0};
  std::uint32_t state_resets_ = 0;
  std::atomic<float> published_limiter_gain_{1.0f}, published_duck_gain_{1.0f}, howl_hz_{0.0f};
  // The limiter's smallest gain: since it was last read, in this window of the howl detector, and in the one before.
  float min_gain_ = 1.0f, window_min_gain_ = 1.0f, window_min_gain_before_ = 1.0f;
  KWeighting weighting_;
  std::array<KWeighting::State, weighted_outputs> weighted_{};
  double weighted_energy_ = 0.0;
  std::int64_t weighted_frames_ = 0;
  std::atomic<double> published_energy_{0.0};
  std::atomic<std::int64_t> published_weighted_frames_{0};
  std::array<float, max_device_channels> peaks_{};
  std::array<std::atomic<float>, max_device_channels> published_peaks_{};
};

}  // namespace twinrack::live
