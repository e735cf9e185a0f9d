// One LV2 plugin that is loaded: its ports, its state, and the work that it wants done beside the sound.
#pragma once

#include <lilv/lilv.h>
#include <lv2/atom/forge.h>
#include <lv2/core/lv2.h>
#include <lv2/log/log.h>
#include <lv2/options/options.h>
#include <lv2/resize-port/resize-port.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/hosted_plugin.h"
#include "host/lv2_world.h"

namespace twinrack::host {

class Lv2Plugin final : public HostedPlugin {
 public:
  // Throws with a sentence where it cannot be loaded. `block`: the most frames of a run.
  Lv2Plugin(const Lv2World& world, const LilvPlugin* plugin, double rate, int block);
  ~Lv2Plugin() override;

  int inputs() const override { return static_cast<int>(audio_in_.size()); }
  int outputs() const override { return static_cast<int>(audio_out_.size()); }
  void reset() override;
  int latency() const override;
  bool hears_midi() const override;
  std::unique_ptr<Editor> open_editor(const std::string& title) override;

  // Values are those of all ports by index; 0 where the port is not a control.
  bool is_control_input(std::size_t port) const override;

  // As Turtle text.
  std::string save(bool plays) override;
  void restore(const std::string& text) override;
  void load_preset(const std::string& address) override;

 private:
  void play(float* rows, int first, int frames) override;
  void after_run() override;

  class Lv2Editor;

  struct Urids {
    std::mutex mutex;  // its window maps too
    std::unordered_map<std::string, LV2_URID> numbers;
    std::deque<std::string> texts;
    LV2_URID map(const char* uri);
    const char* unmap(LV2_URID id);
  };

  void connect();
  void restore(LilvState* state);
  void prepare_atoms();
  void write_transport();
  void write_messages();
  struct {
    LV2_URID sequence, chunk, position, frame, speed, bar, bar_beat, beat_unit, beats_per_bar, beats_per_minute, midi;
  } uris_{};

  const Lv2World& world_;
  const LilvPlugin* plugin_;
  double rate_;
  LilvInstance* instance_ = nullptr;
  Urids urids_;
  LV2_URID_Map map_;
  LV2_URID_Unmap unmap_;
  LV2_Worker_Schedule schedule_;
  LV2_Log_Log log_;
  LV2_Resize_Port_Resize resize_;
  LV2_State_Make_Path make_path_;
  std::int32_t least_frames_ = 1, most_frames_, sequence_bytes_;
  float rate_option_;
  std::vector<LV2_Options_Option> options_;
  std::vector<LV2_Feature> features_;
  std::vector<const LV2_Feature*> feature_pointers_;
  const LV2_Worker_Interface* worker_ = nullptr;
  std::deque<std::vector<char>> jobs_, replies_;

  std::vector<std::uint32_t> audio_in_, audio_out_, controls_in_, controls_out_, atoms_in_, atoms_out_, cv_;
  struct Events {
    bool follows, hears;  // the place on the timeline; MIDI
  };
  std::vector<Events> takes_;  // of each atom input
  int latency_port_;           // -1 for none
  LV2_Atom_Forge forge_{};
  std::vector<std::vector<char>> atoms_;
  std::vector<std::vector<float>> cv_rows_;
};

}  // namespace twinrack::host
