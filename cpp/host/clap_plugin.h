// One CLAP plugin that is loaded.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "abi/clap.h"
#include "host/channel_rows.h"
#include "host/hosted_plugin.h"
#include "host/plugin_facts.h"

namespace twinrack::host {

class ClapPlugin final : public HostedPlugin {
 public:
  // Throws with a sentence where it cannot be used.
  ClapPlugin(const clap::Factory& factory, const char* id, double rate, int block);
  ~ClapPlugin() override;

  int inputs() const override { return inputs_.channels; }
  int outputs() const override { return outputs_.channels; }
  void reset() override;
  int latency() const override { return latency_; }
  bool is_control_input(std::size_t number) const override;
  void refresh() override;
  std::string save(bool plays) override;
  void restore(const std::string& text) override;
  void load_preset(const std::string& address) override;
  void prepare() override;
  void look_up_latency() override;
  std::unique_ptr<Editor> open_editor(const std::string& title) override;
  bool idle() override;
  void restart() override;

  // Controls, then inputs, then outputs.
  std::vector<PortFacts> ports() const;
  bool hears_midi() const override { return dialects_ != 0; }
  bool reports_latency() const { return latency_extension_ != nullptr; }

 private:
  // The channels of one direction, one port after the other.
  struct Side : ChannelRows {
    std::vector<clap::PortInfo> ports;
    std::vector<clap::AudioBuffer> buffers;
    void point_to(float* first, std::size_t stride);
  };

  class ClapEditor;

  template <class T>
  const T* extension(const char* id) const {
    return static_cast<const T*>(plugin_->get_extension(plugin_, id));
  }
  const void* host_extension(const char* name) const;
  static ClapPlugin& self(const clap::Host* host) { return *static_cast<ClapPlugin*>(host->data); }
  static bool is_playing();  // whether this thread is the audio thread now
  void play(float* rows, int first, int frames) override;
  Side side(bool is_input) const;
  void end();
  void activate();
  void deactivate();
  void collect_changes();
  void collect_messages();
  void take(const clap::EventHeader& event);
  void read_values();
  // Of plugins that keep nothing else: all values.
  std::string save_values() const;
  void restore_values(const std::string& text);
  PortFacts control(const clap::ParameterInfo& parameter, int index) const;

  const double rate_;
  clap::Host host_;
  std::thread::id main_ = std::this_thread::get_id();
  const clap::Plugin* plugin_ = nullptr;
  const clap::Parameters* parameters_extension_ = nullptr;
  const clap::Latency* latency_extension_ = nullptr;
  const clap::State* state_extension_ = nullptr;
  std::vector<clap::ParameterInfo> parameters_;
  std::vector<float> sent_;  // the values that the plugin has
  std::vector<clap::ValueEvent> changes_;
  std::uint32_t dialects_ = 0;  // in which it hears MIDI
  std::vector<clap::NoteEvent> notes_;
  std::vector<clap::MidiEvent> midi_;
  std::vector<const clap::EventHeader*> events_;  // all of them, in the order of time
  clap::InputEvents in_events_;
  clap::OutputEvents out_events_;
  Side inputs_, outputs_;
  ClapEditor* editor_ = nullptr;  // while it is open
  std::map<std::uint32_t, int> timers_;
  std::set<int> files_;
  std::int64_t played_ = 0;
  std::atomic<int> latency_{0};
  std::atomic<bool> wants_restart_{false}, wants_idle_{false}, wants_rescan_{false}, wants_flush_{false};
  bool is_active_ = false;
};

}  // namespace twinrack::host
