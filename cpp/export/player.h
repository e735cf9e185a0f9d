// A flat rack that plays as a plugin: any number of frames a call, a bypass of the whole that keeps the latency, values
// from the audio thread and from one other.
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/flat_rack.h"
#include "engine/rack.h"

namespace twinrack {

class Player {
 public:
  // Throws for a rate that the rack was not prepared for.
  Player(const FlatRack& rack, double rate);

  int latency() const noexcept { return latency_; }

  // Buffers may be the same ones, in whatever order. A key whose first channel is null is not connected. An input
  // whose first channel is null is silent.
  void process(const float* const* in, float* const* out, const float* const* const* keys, int frames) noexcept TR_RT;
  // Between two calls of `process`, on its thread. `parameter` counts through all effects.
  void change(int parameter, float value) noexcept TR_RT { rack_.change_parameter(parameter, value); }
  void reset() noexcept TR_RT;
  // From any thread.
  void bypass(bool on) noexcept TR_RT { bypassed_.store(on, std::memory_order_relaxed); }

 private:
  static constexpr int fade_frames = 256;

  void piece(const float* const* in, float* const* out, const float* const* const* keys, int start,
             int frames) noexcept TR_RT;
  void mix_dry(int frames) noexcept TR_RT;

  const Kernels& kernels_ = kernels();
  int channels_, key_count_;
  Rack rack_;
  int latency_;
  std::atomic<bool> bypassed_{false};
  int wet_frames_ = fade_frames;  // of the fade; 0 is bypassed
  std::vector<DelayLine> dry_;
  std::vector<float> silence_;
  std::array<std::vector<float>, max_channels> sound_{};
  std::vector<std::array<std::vector<float>, max_channels>> key_sound_;
};

}  // namespace twinrack
