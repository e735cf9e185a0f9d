// A rack as a CLAP plugin. The file is this library with the flat rack after its end.
//
// A parameter has its unit and range, a logarithmic one its position from 0 to 1 instead, so that a host's knob moves
// as one hears; as text all have their units.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "abi/clap.h"
#include "export/exported.h"
#include "export/instance.h"
#include "export/rack_file.h"

namespace twinrack {
namespace {

double to_host(const HostParameter& p, float value) noexcept TR_RT {
  return p.is_log() ? p.to_position(value) : static_cast<double>(value);
}

float from_host(const HostParameter& p, double value) noexcept TR_RT {
  return p.is_log() ? p.from_position(value) : p.bounded(value);
}

// The rack in this library's file, and what hosts ask about it.
struct ClapDevice : Device {
  using Device::Device;

  const char* features[3] = {"audio-effect", rack.channels == 1 ? "mono" : "stereo", nullptr};
  clap::Descriptor descriptor{clap::version,        rack.id.c_str(),          rack.name.c_str(), "twinrack", "", "", "",
                              rack.made_by.c_str(), rack.description.c_str(), features};
};

std::unique_ptr<ClapDevice>& device() {
  static std::unique_ptr<ClapDevice> only;
  return only;
}

class ClapPlugin : public Instance {
 public:
  ClapPlugin(const Device& of, const clap::Host* host) : Instance(of), host_(host) {}

  std::int32_t process(const clap::Process& now) noexcept TR_RT {
    if (!is_active() || now.output_count < 1 || now.outputs[0].data32 == nullptr) return clap::process_error;
    take_state();
    const std::uint32_t events = now.in_events == nullptr ? 0 : now.in_events->size(now.in_events);
    std::uint32_t next = 0, at = 0;
    while (at < now.frames || next < events) {
      std::uint32_t end = now.frames;
      for (; next < events; ++next) {
        const clap::EventHeader* event = now.in_events->get(now.in_events, next);
        if (event == nullptr) continue;
        if (event->time > at && at < now.frames) {
          end = std::min(event->time, now.frames);
          break;
        }
        take(*event);
      }
      if (at < end) play_buffers(now, at, end - at);
      at = end;
    }
    return clap::process_continue;
  }

  // Where the plugin is active this is the audio thread, else the main one.
  void flush(const clap::InputEvents* in) noexcept TR_RT {
    take_state();
    if (in == nullptr) return;
    for (std::uint32_t i = 0, count = in->size(in); i < count; ++i) {
      if (const clap::EventHeader* event = in->get(in, i); event != nullptr) take(*event);
    }
  }

  bool load(const std::string& text) {
    if (!load_state(text)) return false;
    tell_values();
    return true;
  }

  // A preset of the library by its key.
  bool load_preset(std::uint32_t kind, const char* path, const char* key) {
    const auto* listener = host_extension<clap::HostPresetLoad>(clap::preset_load_ids[0]);
    if (listener == nullptr) listener = host_extension<clap::HostPresetLoad>(clap::preset_load_ids[1]);
    const int program = kind == clap::in_plugin && key != nullptr ? program_of(key) : -1;
    if (program < 0) {
      if (listener != nullptr) listener->failed(host_, kind, path, key, 0, "there is no such preset in this plugin");
      return false;
    }
    load_program(program);
    tell_values();
    if (listener != nullptr) listener->loaded(host_, kind, path, key);
    return true;
  }

 private:
  template <class T>
  const T* host_extension(const char* id) const {
    return static_cast<const T*>(host_->get_extension(host_, id));
  }

  void tell_values() const {
    const auto* listener = host_extension<clap::HostParameters>(clap::parameters_id);
    if (listener != nullptr) listener->rescan(host_, clap::rescan_values);
  }

  // The number of a program, -1 for a key of none.
  int program_of(const char* key) const {
    for (int i = 0; i < Instance::device().program_count(); ++i) {
      if (std::to_string(i) == key) return i;
    }
    return -1;
  }

  void take(const clap::EventHeader& event) noexcept TR_RT {
    if (event.space != clap::core_space || event.type != clap::value_event) return;
    const auto& moved = reinterpret_cast<const clap::ValueEvent&>(event);
    if (!std::isfinite(moved.value)) return;
    if (moved.parameter == bypass_id) return bypass(moved.value > 0.5);
    const int i = Instance::device().find(moved.parameter);
    if (i >= 0) change(i, from_host(Instance::device().parameters[static_cast<std::size_t>(i)], moved.value));
  }

  void play_buffers(const clap::Process& now, std::uint32_t start, std::uint32_t frames) noexcept TR_RT {
    const auto pointer = [&](const clap::AudioBuffer* buffers, std::uint32_t count, std::size_t which, int c) TR_RT {
      const bool has = which < count && buffers[which].data32 != nullptr &&
                       c < static_cast<int>(buffers[which].channels) && buffers[which].data32[c] != nullptr;
      return has ? buffers[which].data32[c] + start : nullptr;
    };
    play([&](std::size_t bus, int c) TR_RT { return pointer(now.inputs, now.input_count, bus, c); },
         [&](int c) TR_RT { return pointer(now.outputs, now.output_count, 0, c); }, static_cast<int>(frames));
  }

  const clap::Host* host_;
};

ClapPlugin& self(const clap::Plugin* plugin) noexcept TR_RT { return *static_cast<ClapPlugin*>(plugin->data); }

template <std::size_t size>
void write(char (&to)[size], const std::string& text) {
  std::snprintf(to, size, "%s", text.c_str());
}

const HostParameter* find(const clap::Plugin* plugin, std::uint32_t id) { return self(plugin).device().parameter(id); }

const clap::Parameters parameters{
    [](const clap::Plugin* plugin) { return static_cast<std::uint32_t>(self(plugin).device().parameters.size() + 1); },
    [](const clap::Plugin* plugin, std::uint32_t index, clap::ParameterInfo* info) {
      const Device& of = self(plugin).device();
      if (index > of.parameters.size()) return false;
      *info = {};
      if (index == 0) {
        info->id = Instance::bypass_id;
        info->flags = clap::is_automatable | clap::is_stepped | clap::is_bypass;
        write(info->name, "Bypass");
        info->max = 1.0;
        return true;
      }
      const HostParameter& p = of.parameters[index - 1];
      info->id = p.flat.id;
      info->flags = clap::is_automatable | (p.values() > 0 ? clap::is_stepped : 0) |
                    (p.flat.options.empty() ? 0 : clap::is_enumeration);
      write(info->name, p.flat.name);
      write(info->module, p.flat.group);
      info->min = p.is_log() ? 0.0 : static_cast<double>(p.least());
      info->max = p.is_log() ? 1.0 : static_cast<double>(p.most());
      info->initial = to_host(p, p.flat.initial);
      return true;
    },
    [](const clap::Plugin* plugin, std::uint32_t id, double* value) {
      const HostParameter* p = find(plugin, id);
      if (id == Instance::bypass_id) {
        *value = self(plugin).bypassed() ? 1.0 : 0.0;
      } else if (p != nullptr) {
        *value = to_host(*p, self(plugin).value(self(plugin).device().find(id)));
      }
      return id == Instance::bypass_id || p != nullptr;
    },
    [](const clap::Plugin* plugin, std::uint32_t id, double value, char* text, std::uint32_t size) {
      const HostParameter* p = find(plugin, id);
      if (id != Instance::bypass_id && p == nullptr) return false;
      const std::string words = p != nullptr ? p->to_text(from_host(*p, value)) : value > 0.5 ? "on" : "off";
      return std::snprintf(text, size, "%s", words.c_str()) >= 0;
    },
    [](const clap::Plugin* plugin, std::uint32_t id, const char* text, double* value) {
      const HostParameter* p = find(plugin, id);
      float number = std::strcmp(text, "on") == 0 ? 1.0f : 0.0f;
      if (id != Instance::bypass_id && (p == nullptr || !p->from_text(text, number))) return false;
      *value = p != nullptr ? to_host(*p, number) : static_cast<double>(number);
      return true;
    },
    [](const clap::Plugin* plugin, const clap::InputEvents* in, const clap::OutputEvents*)
        TR_RT { self(plugin).flush(in); }};

const clap::AudioPorts audio_ports{
    [](const clap::Plugin* plugin, bool is_input) {
      return static_cast<std::uint32_t>(is_input ? 1 + self(plugin).device().rack.keys.size() : 1);
    },
    [](const clap::Plugin* plugin, std::uint32_t index, bool is_input, clap::PortInfo* info) {
      const FlatRack& rack = self(plugin).device().rack;
      if (index >= (is_input ? 1 + rack.keys.size() : 1)) return false;
      constexpr std::uint32_t output_id = 1000;
      *info = {};
      info->id = is_input ? index : output_id;
      write(info->name, index > 0 ? rack.keys[index - 1] : is_input ? "In" : "Out");
      info->flags = index == 0 ? clap::is_main_port : 0;
      info->channels = static_cast<std::uint32_t>(rack.channels);
      info->type = rack.channels == 1 ? "mono" : rack.channels == 2 ? "stereo" : nullptr;
      info->in_place_pair = index > 0 ? clap::no_id : is_input ? output_id : 0;
      return true;
    }};

const clap::Latency latency{[](const clap::Plugin* plugin) { return self(plugin).latency(); }};
const clap::Tail tail{[](const clap::Plugin* plugin) { return self(plugin).tail(); }};

const clap::State state{[](const clap::Plugin* plugin, const clap::OutputStream* stream) {
                          const std::string text = self(plugin).state();
                          for (std::size_t at = 0; at < text.size();) {
                            const std::int64_t written = stream->write(stream, text.data() + at, text.size() - at);
                            if (written <= 0) return false;
                            at += static_cast<std::size_t>(written);
                          }
                          return true;
                        },
                        [](const clap::Plugin* plugin, const clap::InputStream* stream) {
                          std::string text;
                          char part[4096];
                          for (std::int64_t got = 1; got > 0 && text.size() < Instance::longest_state;) {
                            got = stream->read(stream, part, sizeof part);
                            if (got < 0) return false;
                            text.append(part, static_cast<std::size_t>(got));
                          }
                          return self(plugin).load(text);
                        }};

const clap::PresetLoad preset_load{[](const clap::Plugin* plugin, std::uint32_t kind, const char* path,
                                      const char* key) { return self(plugin).load_preset(kind, path, key); }};

bool is_any(const char* id, const char* const (&names)[2]) {
  return std::strcmp(id, names[0]) == 0 || std::strcmp(id, names[1]) == 0;
}

const clap::Plugin* create(const clap::Host* host) {
  auto plugin = std::make_unique<ClapPlugin>(*device(), host);
  auto shell = std::make_unique<clap::Plugin>(clap::Plugin{
      &device()->descriptor, plugin.release(), [](const clap::Plugin*) { return true; },
      [](const clap::Plugin* own) {
        delete static_cast<ClapPlugin*>(own->data);
        delete own;
      },
      [](const clap::Plugin* own, double rate, std::uint32_t, std::uint32_t) { return self(own).activate(rate); },
      [](const clap::Plugin* own) { self(own).deactivate(); }, [](const clap::Plugin*) { return true; },
      [](const clap::Plugin*) {}, [](const clap::Plugin* own) TR_RT { self(own).reset(); },
      [](const clap::Plugin* own, const clap::Process* now) TR_RT { return self(own).process(*now); },
      [](const clap::Plugin*, const char* id) -> const void* {
        if (std::strcmp(id, clap::parameters_id) == 0) return &parameters;
        if (std::strcmp(id, clap::audio_ports_id) == 0) return &audio_ports;
        if (std::strcmp(id, clap::latency_id) == 0) return &latency;
        if (std::strcmp(id, clap::tail_id) == 0) return &tail;
        if (std::strcmp(id, clap::state_id) == 0) return &state;
        if (is_any(id, clap::preset_load_ids) && !device()->rack.presets.empty()) return &preset_load;
        return nullptr;
      },
      [](const clap::Plugin*) {}});
  return shell.release();
}

const clap::Factory factory{[](const clap::Factory*) { return 1u; },
                            [](const clap::Factory*, std::uint32_t index) -> const clap::Descriptor* {
                              return index == 0 ? &device()->descriptor : nullptr;
                            },
                            [](const clap::Factory*, const clap::Host* host, const char* id) -> const clap::Plugin* {
                              return device()->rack.id == id ? create(host) : nullptr;
                            }};

// Tells hosts which presets there are: the values at the export, and those of the library.
const clap::PresetProviderDescriptor presets_descriptor{clap::version, "twinrack.presets", "Presets", "twinrack"};

bool tell_presets(const clap::PresetProvider*, std::uint32_t kind, const char*, const clap::PresetReceiver* to) {
  if (kind != clap::in_plugin) return false;
  const clap::PluginId own{"clap", device()->rack.id.c_str()};
  for (int i = 0; i < device()->program_count(); ++i) {
    if (!to->begin(to, device()->program_name(i).c_str(), std::to_string(i).c_str())) break;
    to->add_plugin(to, &own);
    to->set_flags(to, clap::is_factory_content);
  }
  return true;
}

const clap::PresetProvider* create_presets(const clap::PresetFactory*, const clap::PresetIndexer* indexer,
                                           const char* id) {
  if (std::strcmp(id, presets_descriptor.id) != 0) return nullptr;
  return new clap::PresetProvider{&presets_descriptor,
                                  const_cast<clap::PresetIndexer*>(indexer),
                                  [](const clap::PresetProvider* own) {
                                    const auto* to = static_cast<const clap::PresetIndexer*>(own->data);
                                    const clap::PresetLocation place{clap::is_factory_content,
                                                                     device()->rack.name.c_str(), clap::in_plugin,
                                                                     nullptr};
                                    return to->add_location(to, &place);
                                  },
                                  [](const clap::PresetProvider* own) { delete own; },
                                  tell_presets,
                                  [](const clap::PresetProvider*, const char*) -> const void* { return nullptr; }};
}

const clap::PresetFactory presets{
    [](const clap::PresetFactory*) { return 1u; },
    [](const clap::PresetFactory*, std::uint32_t index) { return index == 0 ? &presets_descriptor : nullptr; },
    create_presets};

const void* find_factory(const char* id) {
  if (std::strcmp(id, clap::factory_id) == 0) return &factory;
  return is_any(id, clap::preset_factory_ids) && !device()->rack.presets.empty() ? &presets : nullptr;
}

bool begin(const char* path) {
  if (device() == nullptr) {
    device() = made_or_complained([&] { return std::make_unique<ClapDevice>(read_appended(path)); });
  }
  return device() != nullptr;
}

}  // namespace
}  // namespace twinrack

extern "C" TWINRACK_EXPORTED const twinrack::clap::Entry clap_entry;
const twinrack::clap::Entry clap_entry{twinrack::clap::version, twinrack::begin, [] {}, twinrack::find_factory};
