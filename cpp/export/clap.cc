// A rack as a CLAP plugin. The file is this library with the flat rack after its end.
//
// A parameter has its unit and range, a logarithmic one its position from 0 to 1 instead, so that a host's knob moves
// as one hears; as text all have their units.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "export/clap_abi.h"
#include "export/player.h"
#include "export/rack_file.h"

namespace twinrack {
namespace {

constexpr std::uint32_t bypass_id = 0;
constexpr char state_begins[] = "twinrack-state 1";
constexpr std::size_t longest_state = 1 << 20;

// In decimals, whatever the host's locale is.
std::string decimals(double x, int digits) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::general, digits);
  return {text, end.ptr};
}

// Takes the next line away from a text.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

// A parameter as a host sees it.
struct HostParameter {
  FlatParameter flat;
  Parameter card;

  bool is_log() const noexcept TR_RT { return card.scale == Scale::log; }
  bool is_stepped() const { return !flat.options.empty() || flat.is_switch; }
  double least() const { return is_log() || flat.is_switch ? 0.0 : static_cast<double>(card.min); }
  double most() const {
    if (!flat.options.empty()) return static_cast<double>(flat.options.size() - 1);
    return is_log() || flat.is_switch ? 1.0 : static_cast<double>(card.max);
  }
  double to_host(float value) const noexcept TR_RT {
    const auto v = static_cast<double>(value), min = static_cast<double>(card.min);
    return is_log() ? std::log(v / min) / std::log(static_cast<double>(card.max) / min) : v;
  }
  float to_engine(double host) const noexcept TR_RT {
    if (host == to_host(flat.initial)) return flat.initial;
    const auto min = static_cast<double>(card.min), max = static_cast<double>(card.max);
    const double value = is_log() ? min * std::exp(std::clamp(host, 0.0, 1.0) * std::log(max / min)) : host;
    return std::clamp(static_cast<float>(value), card.min, card.max);
  }
};

// The rack in this library's file, and what hosts ask about it.
struct Device {
  explicit Device(FlatRack read) : rack(std::move(read)) {
    for (const FlatParameter& p : rack.parameters) parameters.push_back({p, rack.card_of(p)});
  }

  const HostParameter* find(std::uint32_t id, std::size_t* at = nullptr) const noexcept TR_RT {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].flat.id != id) continue;
      if (at != nullptr) *at = i;
      return &parameters[i];
    }
    return nullptr;
  }

  FlatRack rack;
  std::vector<HostParameter> parameters;
  const char* features[4] = {"audio-effect", rack.channels == 1 ? "mono" : "stereo", nullptr, nullptr};
  clap::Descriptor descriptor{clap::version,        rack.id.c_str(),          rack.name.c_str(), "twinrack", "", "", "",
                              rack.made_by.c_str(), rack.description.c_str(), features};
};

std::unique_ptr<Device>& device() {
  static std::unique_ptr<Device> only;
  return only;
}

class ClapPlugin {
 public:
  ClapPlugin(const Device& of, const clap::Host* host) : device_(of), host_(host), values_(of.parameters.size()) {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i].store(of.parameters[i].flat.initial);
    key_pointers_.resize(of.rack.keys.size());
  }

  bool activate(double rate) {
    try {
      auto player = std::make_unique<Player>(device_.rack, rate);
      for (std::size_t i = 0; i < values_.size(); ++i)
        player->change(device_.parameters[i].flat.index, values_[i].load());
      player->bypass(bypassed_.load());
      player->reset();
      player_ = std::move(player);
      rate_ = rate;
      return true;
    } catch (const std::exception& error) {
      complain(error.what());
      return false;
    }
  }

  void deactivate() { player_.reset(); }
  void reset() noexcept TR_RT {
    if (player_ != nullptr) player_->reset();
  }

  std::int32_t process(const clap::Process& now) noexcept TR_RT {
    if (player_ == nullptr || now.output_count < 1 || now.outputs[0].data32 == nullptr) return clap::process_error;
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
      if (at < end) play(now, at, end - at);
      at = end;
    }
    return clap::process_continue;
  }

  // Where the plugin is active this is the audio thread, else the main one.
  void flush(const clap::InputEvents* in) noexcept TR_RT {
    if (in == nullptr) return;
    for (std::uint32_t i = 0, count = in->size(in); i < count; ++i) {
      if (const clap::EventHeader* event = in->get(in, i); event != nullptr) take(*event);
    }
  }

  std::uint32_t latency() const { return player_ == nullptr ? 0 : static_cast<std::uint32_t>(player_->latency()); }
  std::uint32_t tail() const { return static_cast<std::uint32_t>(std::ceil(device_.rack.tail_s * rate_)); }
  double value(std::size_t i) const { return device_.parameters[i].to_host(values_[i].load()); }
  bool bypassed() const { return bypassed_.load(); }

  // Readable: a line for each value, in its unit.
  std::string state() const {
    std::string text = std::string(state_begins) + "\nbypass " + (bypassed() ? "1" : "0") + "\n";
    for (std::size_t i = 0; i < values_.size(); ++i) {
      text += device_.parameters[i].flat.symbol + " " + decimals(static_cast<double>(values_[i].load()), 9) + "\n";
    }
    return text;
  }

  // Values that this rack does not have are left out; all others stay as they are. False for another state.
  bool load_state(std::string_view text) {
    if (next_line(text) != state_begins) {
      complain("the state is none of twinrack's, or of another version");
      return false;
    }
    std::vector<std::pair<std::size_t, float>> found;
    std::optional<bool> bypass;
    while (!text.empty()) {
      const std::string_view line = next_line(text);
      const std::size_t space = std::min(line.find(' '), line.size());
      const std::string_view symbol = line.substr(0, space), decimal = line.substr(std::min(space + 1, line.size()));
      double number = 0.0;
      const auto read = std::from_chars(decimal.data(), decimal.data() + decimal.size(), number);
      if (read.ec != std::errc{} || read.ptr != decimal.data() + decimal.size() || !std::isfinite(number)) {
        complain("the state is damaged: " + std::string(line));
        return false;
      }
      if (symbol == "bypass") bypass = number > 0.5;
      for (std::size_t i = 0; i < device_.parameters.size(); ++i) {
        const Parameter& card = device_.parameters[i].card;
        if (device_.parameters[i].flat.symbol == symbol) {
          found.emplace_back(i, std::clamp(static_cast<float>(number), card.min, card.max));
        }
      }
    }
    for (const auto& [i, value] : found) {
      values_[i].store(value);
      if (player_ != nullptr) player_->send(device_.parameters[i].flat.index, value);
    }
    if (bypass.has_value()) set_bypass(*bypass);
    const auto* parameters = static_cast<const clap::HostParameters*>(host_->get_extension(host_, clap::parameters_id));
    if (parameters != nullptr) parameters->rescan(host_, clap::rescan_values);
    return true;
  }

  const Device& of() const noexcept TR_RT { return device_; }

 private:
  void set_bypass(bool on) noexcept TR_RT {
    bypassed_.store(on);
    if (player_ != nullptr) player_->bypass(on);
  }

  void take(const clap::EventHeader& event) noexcept TR_RT {
    if (event.space != clap::core_space || event.type != clap::value_event) return;
    const auto& moved = reinterpret_cast<const clap::ValueEvent&>(event);
    if (!std::isfinite(moved.value)) return;
    if (moved.parameter == bypass_id) return set_bypass(moved.value > 0.5);
    std::size_t i = 0;
    const HostParameter* p = device_.find(moved.parameter, &i);
    if (p == nullptr) return;
    const float value = p->to_engine(moved.value);
    values_[i].store(value);
    if (player_ != nullptr) player_->change(p->flat.index, value);
  }

  void play(const clap::Process& now, std::uint32_t start, std::uint32_t frames) noexcept TR_RT {
    const int channels = device_.rack.channels;
    const float* in[max_channels];
    float* out[max_channels];
    const float* key_channels[max_channels][max_channels];
    const auto pointer = [&](const clap::AudioBuffer* buffers, std::uint32_t count, std::uint32_t which, int c) TR_RT {
      const bool has = which < count && buffers[which].data32 != nullptr &&
                       c < static_cast<int>(buffers[which].channels) && buffers[which].data32[c] != nullptr;
      return has ? buffers[which].data32[c] + start : nullptr;
    };
    for (int c = 0; c < channels; ++c) {
      in[c] = pointer(now.inputs, now.input_count, 0, c);
      out[c] = pointer(now.outputs, now.output_count, 0, c);
    }
    for (std::size_t k = 0; k < key_pointers_.size(); ++k) {
      for (int c = 0; c < channels; ++c) {
        key_channels[k][c] = pointer(now.inputs, now.input_count, static_cast<std::uint32_t>(k + 1), c);
      }
      key_pointers_[k] = key_channels[k];
    }
    player_->process(in, out, key_pointers_.empty() ? nullptr : key_pointers_.data(), static_cast<int>(frames));
  }

  const Device& device_;
  const clap::Host* host_;
  std::vector<std::atomic<float>> values_;  // as the engine has them
  std::atomic<bool> bypassed_{false};
  std::unique_ptr<Player> player_;
  double rate_ = 0.0;
  std::vector<const float* const*> key_pointers_;
};

ClapPlugin& self(const clap::Plugin* plugin) noexcept TR_RT { return *static_cast<ClapPlugin*>(plugin->data); }

template <std::size_t size>
void write(char (&to)[size], const std::string& text) {
  std::snprintf(to, size, "%s", text.c_str());
}

bool to_text(const HostParameter& p, double host, char* text, std::uint32_t size) {
  if (!p.flat.options.empty()) {
    const auto last = static_cast<double>(p.flat.options.size() - 1);
    const auto at = static_cast<std::size_t>(std::clamp(std::round(host), 0.0, last));
    return std::snprintf(text, size, "%s", p.flat.options[at].c_str()) > 0;
  }
  if (p.flat.is_switch) return std::snprintf(text, size, "%s", host > 0.5 ? "on" : "off") > 0;
  const std::string unit = p.flat.unit.empty() ? "" : " " + p.flat.unit;
  return std::snprintf(text, size, "%s", (decimals(static_cast<double>(p.to_engine(host)), 4) + unit).c_str()) > 0;
}

bool to_host(const HostParameter& p, const char* text, double* host) {
  for (std::size_t i = 0; i < p.flat.options.size(); ++i) {
    if (p.flat.options[i] == text) {
      *host = static_cast<double>(i);
      return true;
    }
  }
  if (p.flat.is_switch && (std::strcmp(text, "on") == 0 || std::strcmp(text, "off") == 0)) {
    *host = text[1] == 'n' ? 1.0 : 0.0;
    return true;
  }
  double number = 0.0;
  if (std::from_chars(text, text + std::strlen(text), number).ec != std::errc{} || !std::isfinite(number)) return false;
  const double value = std::clamp(number, static_cast<double>(p.card.min), static_cast<double>(p.card.max));
  *host = p.to_host(static_cast<float>(value));
  return true;
}

const clap::Parameters parameters{
    [](const clap::Plugin* plugin) { return static_cast<std::uint32_t>(self(plugin).of().parameters.size() + 1); },
    [](const clap::Plugin* plugin, std::uint32_t index, clap::ParameterInfo* info) {
      const Device& of = self(plugin).of();
      if (index > of.parameters.size()) return false;
      *info = {};
      if (index == 0) {
        info->id = bypass_id;
        info->flags = clap::is_automatable | clap::is_stepped | clap::is_bypass;
        write(info->name, "Bypass");
        info->max = 1.0;
        return true;
      }
      const HostParameter& p = of.parameters[index - 1];
      info->id = p.flat.id;
      info->flags = clap::is_automatable | (p.is_stepped() ? clap::is_stepped : 0) |
                    (p.flat.options.empty() ? 0 : clap::is_enumeration);
      write(info->name, p.flat.name);
      write(info->module, p.flat.group);
      info->min = p.least();
      info->max = p.most();
      info->initial = p.to_host(p.flat.initial);
      return true;
    },
    [](const clap::Plugin* plugin, std::uint32_t id, double* value) {
      std::size_t i = 0;
      if (id == bypass_id) {
        *value = self(plugin).bypassed() ? 1.0 : 0.0;
      } else if (self(plugin).of().find(id, &i) != nullptr) {
        *value = self(plugin).value(i);
      } else {
        return false;
      }
      return true;
    },
    [](const clap::Plugin* plugin, std::uint32_t id, double value, char* text, std::uint32_t size) {
      if (id == bypass_id) return std::snprintf(text, size, "%s", value > 0.5 ? "on" : "off") > 0;
      const HostParameter* p = self(plugin).of().find(id);
      return p != nullptr && to_text(*p, value, text, size);
    },
    [](const clap::Plugin* plugin, std::uint32_t id, const char* text, double* value) {
      if (id == bypass_id) {
        *value = std::strcmp(text, "on") == 0 ? 1.0 : 0.0;
        return true;
      }
      const HostParameter* p = self(plugin).of().find(id);
      return p != nullptr && to_host(*p, text, value);
    },
    [](const clap::Plugin* plugin, const clap::InputEvents* in, const clap::OutputEvents*)
        TR_RT { self(plugin).flush(in); }};

const clap::AudioPorts audio_ports{
    [](const clap::Plugin* plugin, bool is_input) {
      return static_cast<std::uint32_t>(is_input ? 1 + self(plugin).of().rack.keys.size() : 1);
    },
    [](const clap::Plugin* plugin, std::uint32_t index, bool is_input, clap::PortInfo* info) {
      const FlatRack& rack = self(plugin).of().rack;
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
                          for (std::int64_t got = 1; got > 0 && text.size() < longest_state;) {
                            got = stream->read(stream, part, sizeof part);
                            if (got < 0) return false;
                            text.append(part, static_cast<std::size_t>(got));
                          }
                          return self(plugin).load_state(text);
                        }};

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

bool begin(const char* path) {
  if (device() != nullptr) return true;
  try {
    device() = std::make_unique<Device>(read_appended(path));
    return true;
  } catch (const std::exception& error) {
    complain(error.what());
    return false;
  }
}

}  // namespace
}  // namespace twinrack

#if defined(__GNUC__)
#define TWINRACK_EXPORTED __attribute__((visibility("default")))
#else
#define TWINRACK_EXPORTED __declspec(dllexport)
#endif

extern "C" TWINRACK_EXPORTED const twinrack::clap::Entry clap_entry;
const twinrack::clap::Entry clap_entry{twinrack::clap::version, twinrack::begin, [] {},
                                       [](const char* id) -> const void* {
                                         return std::strcmp(id, twinrack::clap::factory_id) == 0 ? &twinrack::factory
                                                                                                 : nullptr;
                                       }};
