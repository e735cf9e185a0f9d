// The audio callback: what PortAudio calls on its own thread. It converts between interleaved and planar samples, runs
// the rack, fades at start and stop, and counts what the server flags. No Python, no lock, no allocation.
//
// The signature is that of PaStreamCallback (portaudio.h 19), spelled out so that PortAudio is not needed to build.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/rack.h"

namespace twinrack::live {

struct Counters {
  std::uint64_t callbacks, frames, input_overflows, output_underflows;
};

class Callback {
 public:
  Callback(std::shared_ptr<Rack> rack, int inputs, int outputs);

  // PaStreamCallback; `user` is a Callback.
  static int entry(const void* input, void* output, unsigned long frames, const void* time, unsigned long flags,
                   void* user) noexcept TR_RT;

  void fade(bool in) noexcept { audible_.store(in, std::memory_order_relaxed); }
  // True when a fade out has reached silence.
  bool silent() const noexcept { return silent_.load(std::memory_order_relaxed); }
  Counters counters() const noexcept;

  // Recordings that are heard in a loop in place of the input, as long as each other; only before the stream starts.
  // `target` may be empty. What is heard of them: the rack's sound, the recording as it is, or the target, in step.
  enum class Listen : int { rack, dry, target };
  using Recording = std::vector<std::vector<float>>;
  void play(Recording dry, Recording target);
  void listen(Listen to) noexcept { listen_.store(static_cast<int>(to), std::memory_order_relaxed); }

 private:
  void run(const float* input, float* output, int frames) noexcept TR_RT;
  void play(int frames) noexcept TR_RT;
  void mix(int frames) noexcept TR_RT;

  std::shared_ptr<Rack> rack_;
  int inputs_, outputs_, channels_;
  float level_ = 0.0f, step_;
  std::vector<std::vector<float>> planar_;
  std::vector<float*> pointers_;
  Recording dry_, target_;
  int place_ = 0;  // in the recordings
  float shares_[3] = {1.0f, 0.0f, 0.0f};
  std::atomic<int> listen_{0};
  std::atomic<bool> audible_{true}, silent_{false};
  std::atomic<std::uint64_t> callbacks_{0}, frames_{0}, overflows_{0}, underflows_{0};
};

}  // namespace twinrack::live
