// The audio callbacks that PortAudio and JACK call on their own threads, with a mixer behind them. No Python, no lock,
// no allocation. The signatures are those of PaStreamCallback (portaudio.h 19) and JackProcessCallback (jack/types.h),
// spelled out so that neither is needed to build.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "live/bridge.h"
#include "live/load.h"
#include "live/mixer.h"

namespace twinrack::live {

// Interleaved samples. `bridge`: the source of the inputs when another device, with a clock of its own, records them.
class PortAudioCallback {
 public:
  explicit PortAudioCallback(std::shared_ptr<Mixer> mixer, std::shared_ptr<Bridge> bridge = nullptr);

  static int entry(const void* input, void* output, unsigned long frames, const void* time, unsigned long flags,
                   void* self) noexcept TR_RT;
  // The callback of the other device.
  static int bridge_entry(const void* input, void* output, unsigned long frames, const void* time, unsigned long flags,
                          void* self) noexcept TR_RT;

  const Load& load() const noexcept { return load_; }
  // As the server reports them.
  std::uint64_t xruns() const noexcept { return xruns_.load(std::memory_order_relaxed); }

 private:
  void run(const float* input, float* output, int frames) noexcept TR_RT;

  std::shared_ptr<Mixer> mixer_;
  std::shared_ptr<Bridge> bridge_;
  Load load_;
  std::atomic<std::uint64_t> xruns_{0};
  std::vector<std::vector<float>> planar_;
  std::vector<float*> in_, out_;
};

// Planar samples, in buffers that the server lends for one callback.
class JackCallback {
 public:
  using GetBuffer = void* (*)(void* port, std::uint32_t frames) noexcept TR_RT;

  JackCallback(std::shared_ptr<Mixer> mixer, std::uintptr_t get_buffer, std::vector<std::uintptr_t> input_ports,
               std::vector<std::uintptr_t> output_ports);

  static int entry(std::uint32_t frames, void* self) noexcept TR_RT;
  static int xrun(void* self) noexcept;
  // A JackInfoShutdownCallback.
  static void server_gone(unsigned code, const char* reason, void* self) noexcept;
  // For libjack's messages, which may come from its audio thread.
  static void ignore(const char*) noexcept {}

  const Load& load() const noexcept { return load_; }
  // As the server reports them.
  std::uint64_t xruns() const noexcept { return xruns_.load(std::memory_order_relaxed); }
  bool gone() const noexcept { return gone_.load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<Mixer> mixer_;
  GetBuffer get_buffer_;
  std::vector<void*> input_ports_, output_ports_;
  std::vector<const float*> in_;
  std::vector<float*> out_;
  Load load_;
  std::atomic<std::uint64_t> xruns_{0};
  std::atomic<bool> gone_{false};
};

}  // namespace twinrack::live
