// One plugin that is loaded, whatever its format.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/count_allocations.h"
#include "host/editor.h"
#include "host/midi.h"
#include "host/scale.h"
#include "host/tempo_map.h"

namespace twinrack::host {

class HostedPlugin {
 public:
  virtual ~HostedPlugin() = default;
  HostedPlugin(const HostedPlugin&) = delete;
  HostedPlugin& operator=(const HostedPlugin&) = delete;

  virtual int inputs() const = 0;
  virtual int outputs() const = 0;
  int block() const { return block_; }

  // A row of `block` frames for each input, then for each output; plays `frames` of them from `first` on.
  void run(float* rows, int first, int frames) {
    play(rows, first, frames);
    after_run();
    messages_.clear();
  }
  virtual bool hears_midi() const { return false; }
  // A message for the next run; its frame counts from the first one of that. None before those that it has already.
  void hear(const MidiMessage& message) { messages_.push_back(message); }
  // Where the next run begins.
  void set_transport(const Transport& transport) { transport_ = transport; }
  // As before the first frame.
  virtual void reset() = 0;
  // Frames that it delays the sound by, as far as it has told.
  virtual int latency() const = 0;

  // Of all ports, as the plugin knows them.
  const std::vector<float>& values() const { return values_; }
  void set_values(const std::vector<float>& values) { values_ = values; }
  // One, in its unit; what is set holds from the next run on.
  void set(std::size_t number, float value);
  float get(std::size_t number) const;
  // Says how the plugin knows the numbers of a control; without, as they are.
  void set_scale(std::size_t number, const Scale& scale) { scales_.insert_or_assign(number, scale); }

  virtual bool is_control_input(std::size_t number) const = 0;
  // Hands over what was set, and reads what the plugin made of it.
  virtual void refresh() {}

  // Allocations and frees in the plugin's own code while it played, so far.
  long allocations() const { return allocations_; }

  // As text. `plays`: while another thread plays it; values that it has not got yet are not in it then.
  virtual std::string save(bool plays) = 0;
  // Throws for text that is not a state of this plugin.
  virtual void restore(const std::string& text) = 0;
  virtual void load_preset(const std::string& address) {
    throw std::invalid_argument("no preset is called " + address);
  }

  // Its own window. Throws with a sentence where it has none, or there is no display.
  virtual std::unique_ptr<Editor> open_editor(const std::string&) {
    throw std::runtime_error("it has no window of its own");
  }
  // Before it plays: lets it take all values, as its latency may depend on them.
  virtual void prepare() {}
  // Asks it for its latency, where it does not tell with its sound.
  virtual void look_up_latency() {}
  // Does what the plugin wants done while it does not play, or beside that; whether it wants a `restart`, without which
  // it does not go on as it should.
  virtual bool idle() { return false; }
  virtual void restart() {}

 protected:
  explicit HostedPlugin(int block) : block_(block) { messages_.reserve(usual_messages); }
  // Calls `counted` around the plugin's own code.
  virtual void play(float* rows, int first, int frames) = 0;
  virtual void after_run() {}

  template <class Call>
  void counted(const Call& call) {
    const long before = counted_allocations();
    count_allocations(true);
    call();
    count_allocations(false);
    allocations_ += counted_allocations() - before;
  }

  const int block_;
  std::vector<float> values_;
  Transport transport_;
  std::vector<MidiMessage> messages_;  // of the next run

 private:
  static constexpr std::size_t usual_messages = 256;
  std::map<std::size_t, Scale> scales_;
  long allocations_ = 0;
};

// Frames of latency from what a plugin said; nonsense is none.
int checked_latency(double frames);

}  // namespace twinrack::host
