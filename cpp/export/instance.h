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

  // The place of the parameter with this id; -1 where there is none.
  int find(std::uint32_t id) const noexcept TR_RT;

  FlatRack rack;
  std::vector<HostParameter> parameters;
  std::uint32_t latency;  // at the first of its rates
};

class Instance {
 public:
  // The id of the bypass of the whole; no parameter has it.
  static constexpr std::uint32_t bypass_id = 0;

  explicit Instance(const Device& device);

  const Device& device() const noexcept TR_RT { return device_; }

  // Not while the audio thread is inside. `activate` says on stderr why it is false.
  bool activate(double rate);
  void deactivate() { player_.reset(); }
  bool is_active() const noexcept TR_RT { return player_ != nullptr; }
  // Of the last rate that was asked for; hosts ask before they activate.
  std::uint32_t latency() const { return latency_; }
  // False, with a sentence on stderr, where the rack does not play at this rate.
  bool prepare_latency(double rate);
  std::uint32_t tail() const;

  // On the audio thread, or while nothing is active. `take_state` comes first in a block: values that were loaded
  // since the last one act, and what the host sends after that acts upon them.
  void take_state() noexcept TR_RT;
  void change(int parameter, float value) noexcept TR_RT;
  void reset() noexcept TR_RT;
  void process(const float* const* in, float* const* out, const float* const* const* keys, int frames) noexcept TR_RT {
    player_->process(in, out, keys, frames);
  }

  // From any thread.
  void bypass(bool on) noexcept TR_RT;
  float value(int parameter) const noexcept TR_RT;
  bool bypassed() const noexcept TR_RT { return bypassed_.load(); }

  // Readable: a line for each value, in its unit.
  std::string state() const;
  // From one thread that is not the audio thread. Values that this rack does not have are left out, those that are not
  // in the text stay as they are. False, and nothing changes, for another state.
  bool load_state(std::string_view text);

 private:
  const Device& device_;
  std::vector<std::atomic<float>> values_;  // as the engine has them
  std::atomic<bool> bypassed_{false}, loaded_{false};
  std::unique_ptr<Player> player_;
  double rate_ = 48000.0;
  std::uint32_t latency_;
};

}  // namespace twinrack
