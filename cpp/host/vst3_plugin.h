// One VST3 plugin that is loaded. Its values are positions from 0 to 1.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "abi/vst3.h"
#include "host/channel_rows.h"
#include "host/hosted_plugin.h"
#include "host/plugin_facts.h"
#include "host/vst3_host.h"

namespace twinrack::host {

class Vst3Plugin final : public HostedPlugin {
 public:
  // Throws with a sentence where it cannot be used.
  Vst3Plugin(vst3::Factory& factory, const vst3::Id id, double rate, int block);
  ~Vst3Plugin() override;

  int inputs() const override { return inputs_.channels; }
  int outputs() const override { return outputs_.channels; }
  void reset() override;
  int latency() const override { return latency_; }
  bool hears_midi() const override { return hears_midi_; }
  bool is_control_input(std::size_t number) const override;
  void refresh() override;
  std::string save(bool plays) override;
  void restore(const std::string& text) override;
  void load_preset(const std::string& address) override;
  std::unique_ptr<Editor> open_editor(const std::string& title) override;
  void prepare() override;
  void look_up_latency() override;
  bool idle() override;
  void restart() override;

  // Controls, then inputs, then outputs.
  std::vector<PortFacts> ports() const;
  // Addresses and names: the programs of its factory.
  Presets presets() const;

 private:
  // The channels of one direction, one bus after the other.
  struct Side : ChannelRows {
    std::vector<vst3::BusInfo> buses;
    std::vector<vst3::Buffers> buffers;
    void point_to(float* first, std::size_t stride);
  };

  void play(float* rows, int first, int frames) override;
  void after_run() override;
  Side side(std::int32_t direction) const;
  void end();
  void find_controller(vst3::Factory& factory);
  void read_parameters();
  void set_up(double rate);
  void activate(bool on);
  void collect_changes();
  void collect_messages();
  void read_controllers();
  void hand_over();
  void read_values();
  PortFacts control(const vst3::ParameterInfo& parameter, int index) const;
  std::string group_of(std::int32_t unit) const;

  const double rate_;
  Vst3Application application_;
  Vst3Handler handler_;
  Vst3Pointer<vst3::Component> component_;
  Vst3Pointer<vst3::Processor> processor_;
  Vst3Pointer<vst3::Controller> controller_;
  Vst3Pointer<vst3::Connection> component_end_, controller_end_;
  bool is_controller_apart_ = false;
  std::vector<vst3::ParameterInfo> parameters_;
  std::vector<float> sent_, shown_;        // the values that its processor has, and its controller
  std::vector<std::atomic<float>> given_;  // those that the processor moved, for the controller; NaN for none
  std::unique_ptr<Vst3Changes> changes_, given_out_;
  bool hears_midi_ = false;
  Vst3Events keys_, no_keys_;
  std::vector<std::int32_t> controllers_;  // by channel and number, the parameter that one moves; -1 for none
  Side inputs_, outputs_;
  std::atomic<int> latency_{0};
};

}  // namespace twinrack::host
