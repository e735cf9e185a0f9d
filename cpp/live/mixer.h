// What stands between an audio server's inputs and outputs: lines, each with a rack, their sum, and what keeps it safe
// to listen to. Planar; any number of frames at a time; the same sound in any blocks, so that a recording of the inputs
// and of what was asked, played through it once more, gives what was heard, bit for bit.
//
// One thread calls `process` (the audio thread). One other thread at a time may call everything else.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/rack.h"
#include "live/howl.h"
#include "live/player.h"
#include "live/ramp.h"
#include "live/safety.h"
#include "live/scope.h"
#include "rt/frame_ring.h"

namespace twinrack::live {

// A rack with what it hears and where it is heard; numbers of the device's channels, -1 for none.
struct Line {
  std::shared_ptr<Rack> rack;
  std::vector<int> from;               // for each channel of the rack
  std::vector<std::vector<int>> keys;  // for each of its sidechains, at least one channel
  std::vector<int> to;                 // for each channel of the rack
};

// What may be asked while it sounds. `index` is a line, or what the names say.
enum class Ask : int { level, fade, mute, limiter, ceiling, mute_on_fault, howl_duck, listen, record };

struct Request {
  Ask what;
  int index;
  float value;
  std::uint64_t id = 0;
};

struct OutputState {
  float limiter_gain = 1.0f;  // the smallest since it was last read
  float duck_gain = 1.0f;
  float howl_hz = 0.0f;
  std::uint32_t howls = 0, fault_mutes = 0;
};

class Mixer {
 public:
  Mixer(std::vector<Line> lines, int inputs, int outputs, double sample_rate, std::int64_t first_frame = 0);
  ~Mixer();
  Mixer(const Mixer&) = delete;
  Mixer& operator=(const Mixer&) = delete;

  int inputs() const noexcept TR_RT { return inputs_; }
  int outputs() const noexcept TR_RT { return outputs_; }
  double sample_rate() const noexcept { return sample_rate_; }
  Rack& rack(int line) { return *lines_.at(static_cast<std::size_t>(line)).line.rack; }

  // `in` may be null: silence. Outputs that no line goes to are silent.
  void process(const float* const* in, float* const* out, int frames) noexcept TR_RT;

  // The number of the request, from 1; 0 when too many wait. It takes effect at the next tick.
  std::uint64_t ask(Ask what, int index, float value) noexcept;
  void keep_history(bool on) noexcept { keeps_history_.store(on, std::memory_order_relaxed); }
  bool pop_history(Applied& applied) noexcept { return history_.pop(applied); }

  // True when a fade out has reached silence.
  bool silent() const noexcept { return silent_.load(std::memory_order_relaxed); }
  std::int64_t frame() const noexcept { return shown_frame_.load(std::memory_order_relaxed); }
  OutputState output_state() noexcept;
  // The largest sample of each output since it was last read.
  std::vector<float> output_peaks() noexcept;
  // Before the rack and after it.
  const Scope& scope(int line, bool after) const {
    const Strip& strip = lines_.at(static_cast<std::size_t>(line));
    return after ? *strip.after : *strip.before;
  }

  // Recordings that the first line hears instead of its inputs; only before the stream starts.
  void play(Player::Recording dry, Player::Recording target);

  // What a recorder reads: all inputs and then all outputs, interleaved, while Ask::record is on. Once, before it
  // starts; a recorder that comes by so late that something is lost is given no more.
  void record_into(int seconds);
  int read_record(float* to, int frames) noexcept { return record_ == nullptr ? 0 : record_->read(to, frames); }
  std::uint64_t lost_record() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  static constexpr double fade_s = 0.01, fault_hold_s = 0.1, duck_s = 0.005, duck_hold_s = 0.3, duck_release_s = 1.0;
  static constexpr int most_channels = 64;
  static constexpr float limits_much = 0.9f;  // a limiter's gain below which a steady tone is taken for a howl

  struct Strip {
    Line line;
    Ramp level;
    std::uint32_t faults = 0;
    std::vector<std::vector<float>> sound;
    std::vector<float*> pointers;
    std::vector<std::vector<const float*>> key_pointers;
    std::vector<SideBlock> keys;
    std::unique_ptr<Scope> before = std::make_unique<Scope>(), after = std::make_unique<Scope>();
  };

  void take_mail() noexcept TR_RT;
  void apply(const Request& request) noexcept TR_RT;
  void segment(const float* const* in, float* const* out, int frames) noexcept TR_RT;
  void run(Strip& strip, const float* const* in, int frames) noexcept TR_RT;
  void protect(float* const* out, int frames) noexcept TR_RT;
  void record(const float* const* in, float* const* out, int frames) noexcept TR_RT;
  void show(float* const* out, int frames) noexcept TR_RT;

  std::vector<Strip> lines_;
  int inputs_, outputs_;
  double sample_rate_;
  std::int64_t frame_;
  float fade_step_, duck_down_, duck_up_;
  Ramp fade_{0.0f, 0.0f}, mute_{}, fault_{}, duck_{};
  bool mutes_on_fault_ = true, ducks_ = true, recording_ = false;
  int fault_left_ = 0, duck_left_ = 0;
  SafetyLimiter limiter_;
  HowlDetector howl_;
  Player player_;
  std::vector<float> silence_;
  SpscQueue<Request, 1024> inbox_;
  SpscQueue<Applied, 1024> history_;
  Request waiting_{};
  bool has_waiting_ = false;
  std::uint64_t sent_ = 0;
  std::unique_ptr<FrameRing> record_;
  std::atomic<bool> keeps_history_{false}, silent_{true};
  std::atomic<std::int64_t> shown_frame_{0};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<std::uint32_t> reads_{0}, howls_{0}, fault_mutes_{0};
  std::uint32_t resets_ = 0;
  std::atomic<float> shown_limiter_{1.0f}, shown_duck_{1.0f}, howl_hz_{0.0f};
  float deepest_ = 1.0f;                          // gain of the limiter since it was last read
  float limited_ = 1.0f, limited_before_ = 1.0f;  // and in this window of the howl detector, and in the last one
  std::array<float, most_channels> peaks_{};
  std::array<std::atomic<float>, most_channels> shown_peaks_{};
};

}  // namespace twinrack::live
