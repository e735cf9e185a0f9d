// One instance of a plugin, of whatever format: values that hosts read and move, the state that they keep, and the
// player while it is active.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "export/host_parameter.h"
#include "export/player.h"

namespace twinrack {

// The rack of a plugin file, and its parameters as hosts see them.
struct Device {
  explicit Device(FlatRack read);

  // The place of the parameter with this id, -1 where there is none; and the parameter, or null.
  int find(std::uint32_t id) const noexcept TR_RT;
  const HostParameter* parameter(std::uint32_t id) const noexcept TR_RT;
  // The values at the export, and the presets after them.
  int program_count() const noexcept TR_RT { return 1 + static_cast<int>(rack.presets.size()); }
  const std::string& program_name(int program) const;
  // Of a parameter, within its range.
  float program_value(int program, std::size_t parameter) const noexcept TR_RT;

  FlatRack rack;
  std::vector<HostParameter> parameters;
};

class Instance {
 public:
  // The id of the bypass of the whole; no parameter has it.
  static constexpr std::uint32_t bypass_id = 0;
  static constexpr std::size_t longest_state = 1 << 20;

  explicit Instance(const Device& device);

  const Device& device() const noexcept TR_RT { return device_; }

  // Not while the audio thread is inside. `prepare` builds the player for a rate, as hosts ask for the latency before
  // they activate; both say on stderr why they are false.
  bool prepare(double rate);
  bool activate(double rate);
  void deactivate();
  bool is_active() const noexcept TR_RT { return active_; }
  // At the last rate that was prepared; 0 before.
  std::uint32_t latency() const { return latency_; }
  std::uint32_t tail() const;

  // On the audio thread, or while nothing is active. `take_state` comes first in a block: values that were loaded
  // since the last one act, and what the host sends after that acts upon them.
  void take_state() noexcept TR_RT;
  void change(int parameter, float value) noexcept TR_RT;
  // Takes the values of a program. One that it is in already changes nothing, as hosts send it again.
  void choose(int program) noexcept TR_RT;
  void reset() noexcept TR_RT;
  // The buffers of a host: `in(bus, channel)`, where bus 0 is the main one and sidechains follow, and `out(channel)`
  // give a pointer, null where nothing is connected.
  template <class In, class Out>
  void play(const In& in, const Out& out, int frames) noexcept TR_RT {
    const float* inputs[max_channels][max_channels];
    float* outputs[max_channels];
    for (std::size_t bus = 0; bus <= keys_.size(); ++bus) {
      for (int c = 0; c < device_.rack.channels; ++c) inputs[bus][c] = in(bus, c);
      if (bus > 0) keys_[bus - 1] = inputs[bus];
    }
    for (int c = 0; c < device_.rack.channels; ++c) outputs[c] = out(c);
    player_->process(inputs[0], outputs, keys_.empty() ? nullptr : keys_.data(), frames);
  }

  // From any thread.
  void bypass(bool on) noexcept TR_RT;
  float value(int parameter) const noexcept TR_RT;
  bool bypassed() const noexcept TR_RT { return bypassed_.load(); }
  int program() const noexcept TR_RT { return program_.load(); }

  // Readable: a line for each value, in its unit.
  std::string state() const;
  // `choose` from one thread that is not the audio thread; what sounds changes with the next block.
  void load_program(int program);
  // The same for a text. Values that this rack does not have are left out, those that are not
  // in the text stay as they are. False, and nothing changes, for another state.
  bool load_state(std::string_view text);

 private:
  const Device& device_;
  std::vector<std::atomic<float>> values_;  // as the engine has them
  std::atomic<bool> bypassed_{false}, loaded_{false};
  std::atomic<int> program_{0};  // that was chosen last
  std::unique_ptr<Player> player_;
  bool active_ = false;
  double rate_ = 48000.0;
  std::uint32_t latency_ = 0;
  std::vector<const float* const*> keys_;
};

}  // namespace twinrack
