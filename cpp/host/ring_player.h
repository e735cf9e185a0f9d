// Plays a plugin on the blocks of a ring that the engine fills: one instance, or one for each channel where the plugin
// is mono and the rack is not.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "host/hosted_plugin.h"
#include "host/midi.h"
#include "rt/block_ring.h"

namespace twinrack::host {

// How the rows of a rack meet the audio ports of a plugin.
struct ChannelMap {
  std::vector<bool> is_sidechain;  // of each input
  std::vector<std::size_t> ports;  // the controls that the ring's values go to
};

// How many instances a rack of so many channels needs; throws where the plugin does not fit.
std::size_t instances_for(int inputs, int outputs, int channels);

class RingPlayer {
 public:
  // `memory` is that of the ring. All instances are alike.
  RingPlayer(std::vector<std::unique_ptr<HostedPlugin>> instances, ChannelMap map, const RingShape& shape, void* memory,
             const TempoMap& tempo, const MidiScore& score);
  ~RingPlayer();
  RingPlayer(const RingPlayer&) = delete;
  RingPlayer& operator=(const RingPlayer&) = delete;

  // Plays all blocks that wait; how many.
  int pump();
  // From now on a thread plays them as they come. `period_s`: of a block; `is_waited_for`: the audio thread waits for
  // each result, so this thread looks out for blocks without sleeping from shortly before one is expected.
  void start(double period_s, bool is_waited_for);

  // Counts as a block that was played.
  void show_life() { ring_.show_life(); }
  // While a request changes the instances, no block plays.
  std::mutex& mutex() { return mutex_; }
  // The first instance has moved this control itself, in its window: the others follow, and the value, when it comes by
  // the ring, is not given back to the first, which may have moved it further since.
  void expect(std::size_t port, float value);
  // For the next block, which begins with it.
  void send(const MidiMessage& message) {
    if (sent_.size() < most_waiting) sent_.push_back(message);
  }
  const std::vector<std::unique_ptr<HostedPlugin>>& instances() const { return instances_; }

 private:
  static constexpr std::size_t most_waiting = 1000;  // messages, for a block that does not come

  void await(double period_s);
  void play(int slot);
  void gather(int slot, std::size_t instance);
  void scatter(int slot);
  void apply(const float* values);

  std::vector<std::unique_ptr<HostedPlugin>> instances_;
  ChannelMap map_;
  BlockRing ring_;
  std::vector<std::vector<float>> rows_;   // of each instance, inputs and outputs
  std::vector<float> applied_, expected_;  // the values of the ring that the instances got last; see `expect`
  TempoMap tempo_;
  MidiScore score_;
  std::vector<MidiMessage> sent_;
  std::optional<std::int32_t> restarts_;
  std::mutex mutex_;
  std::thread thread_;
  std::atomic<bool> stops_{false};
};

}  // namespace twinrack::host
