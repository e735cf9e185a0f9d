#include "host/clap_plugin.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "host/base64.h"
#include "host/main_loop.h"

namespace twinrack::host {

namespace {
thread_local bool plays = false;  // this thread is the audio thread now

struct Playing {
  Playing() { plays = true; }
  ~Playing() { plays = false; }
};

constexpr std::string_view state_head = "clap ", values_head = "clap-values ";
}  // namespace

ClapPlugin::ClapPlugin(const clap::Factory& factory, const char* id, double rate, int block)
    : HostedPlugin(block), rate_(rate) {
  host_ = {clap::version,
           this,
           "twinrack",
           "twinrack",
           "",
           "1",
           [](const clap::Host* host, const char* name) { return self(host).host_extension(name); },
           [](const clap::Host* host) { self(host).wants_restart_ = true; },
           [](const clap::Host*) {},
           [](const clap::Host* host) { self(host).wants_idle_ = true; }};
  in_events_ = {this,
                [](const clap::InputEvents* list) noexcept {
                  return static_cast<std::uint32_t>(static_cast<ClapPlugin*>(list->context)->events_.size());
                },
                [](const clap::InputEvents* list, std::uint32_t i) noexcept -> const clap::EventHeader* {
                  const auto& events = static_cast<ClapPlugin*>(list->context)->events_;
                  return i < events.size() ? events[i] : nullptr;
                }};
  out_events_ = {this, [](const clap::OutputEvents* list, const clap::EventHeader* event) noexcept {
                   static_cast<ClapPlugin*>(list->context)->take(*event);
                   return true;
                 }};
  plugin_ = factory.create(&factory, &host_, id);
  if (plugin_ == nullptr) throw std::runtime_error("it refuses to be instantiated");
  try {
    if (!plugin_->init(plugin_)) throw std::runtime_error("it refuses to be initialised");
    parameters_extension_ = extension<clap::Parameters>(clap::parameters_id);
    latency_extension_ = extension<clap::Latency>(clap::latency_id);
    state_extension_ = extension<clap::State>(clap::state_id);
    const std::uint32_t count = parameters_extension_ == nullptr ? 0 : parameters_extension_->count(plugin_);
    for (std::uint32_t i = 0; i < count; ++i) {
      clap::ParameterInfo info{};
      if (!parameters_extension_->info(plugin_, i, &info)) throw std::runtime_error("it does not tell its parameters");
      parameters_.push_back(info);
    }
    changes_.reserve(parameters_.size());
    values_.resize(parameters_.size());
    read_values();
    inputs_ = side(true);
    outputs_ = side(false);
    const auto* note_ports = extension<clap::NotePorts>(clap::note_ports_id);
    clap::NotePortInfo notes{};
    if (note_ports != nullptr && note_ports->count(plugin_, true) > 0 && note_ports->info(plugin_, 0, true, &notes)) {
      dialects_ = notes.dialects & (clap::as_notes | clap::as_midi);
    }
    activate();
  } catch (...) {
    end();
    throw;
  }
}

ClapPlugin::~ClapPlugin() { end(); }

void ClapPlugin::end() {
  deactivate();
  plugin_->destroy(plugin_);
  for (const auto& [id, number] : timers_) main_loop().remove_timer(number);
  for (const int file : files_) main_loop().remove_file(file);
}

bool ClapPlugin::is_playing() { return plays; }

ClapPlugin::Side ClapPlugin::side(bool is_input) const {
  Side side;
  const auto* extension = this->extension<clap::AudioPorts>(clap::audio_ports_id);
  const std::uint32_t count = extension == nullptr ? 0 : extension->count(plugin_, is_input);
  for (std::uint32_t i = 0; i < count; ++i) {
    clap::PortInfo port{};
    if (!extension->info(plugin_, i, is_input, &port)) throw std::runtime_error("it does not tell its audio ports");
    side.ports.push_back(port);
    side.add(port.channels);
  }
  for (auto& row : side.rows) {
    side.buffers.push_back({row.data(), nullptr, static_cast<std::uint32_t>(row.size()), 0, 0});
  }
  return side;
}

void ClapPlugin::Side::point_to(float* first, std::size_t stride) {
  ChannelRows::point_to(first, stride);
  for (clap::AudioBuffer& buffer : buffers) buffer.constant_mask = 0;
}

void ClapPlugin::activate() {
  if (!plugin_->activate(plugin_, rate_, 1, static_cast<std::uint32_t>(block_))) {
    throw std::runtime_error("it cannot play at " + std::to_string(static_cast<int>(rate_)) + " Hz");
  }
  is_active_ = true;
  look_up_latency();
  const Playing now;
  if (!plugin_->start_processing(plugin_)) throw std::runtime_error("it does not start to play");
}

void ClapPlugin::deactivate() {
  if (!is_active_) return;
  {
    const Playing now;
    plugin_->stop_processing(plugin_);
  }
  plugin_->deactivate(plugin_);
  is_active_ = false;
}

void ClapPlugin::prepare() {
  refresh();
  if (idle()) restart();
  look_up_latency();
}

void ClapPlugin::look_up_latency() {
  if (latency_extension_ != nullptr) latency_ = checked_latency(latency_extension_->frames(plugin_));
}

void ClapPlugin::reset() {
  const Playing now;
  plugin_->reset(plugin_);
}

bool ClapPlugin::is_control_input(std::size_t number) const {
  return number < parameters_.size() && (parameters_[number].flags & clap::is_read_only) == 0;
}

void ClapPlugin::collect_changes() {
  changes_.clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (values_[i] == sent_[i] || !is_control_input(i)) continue;
    sent_[i] = values_[i];
    changes_.push_back({{sizeof(clap::ValueEvent), 0, clap::core_space, clap::value_event, 0},
                        parameters_[i].id,
                        parameters_[i].cookie,
                        -1,
                        -1,
                        -1,
                        -1,
                        static_cast<double>(values_[i])});
  }
  events_.clear();
  for (const clap::ValueEvent& change : changes_) events_.push_back(&change.header);
}

// Behind the changes, which come at the first frame. A plugin that hears notes and no MIDI is told keys alone.
void ClapPlugin::collect_messages() {
  notes_.clear();
  midi_.clear();
  if (dialects_ == 0) return;
  notes_.reserve(messages_.size());
  midi_.reserve(messages_.size());
  for (const MidiMessage& message : messages_) {
    const auto time = static_cast<std::uint32_t>(message.frame);
    if ((dialects_ & clap::as_midi) != 0) {
      midi_.push_back({{sizeof(clap::MidiEvent), time, clap::core_space, clap::midi_event, 0},
                       0,
                       {message.bytes[0], message.bytes[1], message.bytes[2]}});
      events_.push_back(&midi_.back().header);
    } else if (message.begins_note() || message.ends_note()) {
      const std::uint16_t type = message.begins_note() ? clap::note_on_event : clap::note_off_event;
      notes_.push_back({{sizeof(clap::NoteEvent), time, clap::core_space, type, 0},
                        -1,
                        0,
                        message.channel(),
                        message.bytes[1],
                        message.bytes[2] / 127.0});
      events_.push_back(&notes_.back().header);
    }
  }
}

void ClapPlugin::take(const clap::EventHeader& event) {
  if (event.space != clap::core_space || event.type != clap::value_event) return;
  const auto& change = reinterpret_cast<const clap::ValueEvent&>(event);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].id == change.parameter) values_[i] = sent_[i] = static_cast<float>(change.value);
  }
}

void ClapPlugin::play(float* rows, int first, int frames) {
  const auto stride = static_cast<std::size_t>(block_);
  inputs_.point_to(rows + first, stride);
  outputs_.point_to(rows + static_cast<std::size_t>(inputs_.channels) * stride + first, stride);
  collect_changes();
  collect_messages();
  const auto fixed = [](double number) { return static_cast<std::int64_t>(std::llround(number * clap::fixed_point)); };
  const auto bar = static_cast<std::int32_t>(std::floor(transport_.beat / TempoMap::beats_in_bar));
  clap::TransportEvent transport{};
  transport.header = {sizeof transport, 0, clap::core_space, clap::transport_event, 0};
  transport.flags = clap::has_tempo_beats_seconds_signature_and_plays;
  transport.beats = fixed(transport_.beat);
  transport.seconds = fixed(transport_.seconds);
  transport.tempo = transport_.bpm;
  transport.bar_start = fixed(bar * TempoMap::beats_in_bar);
  transport.bar = bar;
  transport.numerator = TempoMap::beats_in_bar;
  transport.denominator = 4;
  const clap::Process process{played_,
                              static_cast<std::uint32_t>(frames),
                              &transport,
                              inputs_.buffers.data(),
                              outputs_.buffers.data(),
                              static_cast<std::uint32_t>(inputs_.buffers.size()),
                              static_cast<std::uint32_t>(outputs_.buffers.size()),
                              &in_events_,
                              &out_events_};
  const Playing now;
  std::int32_t result = clap::process_error;
  counted([&] { result = plugin_->process(plugin_, &process); });
  if (result == clap::process_error) {
    outputs_.silence(frames);
  }
  played_ += frames;
}

void ClapPlugin::refresh() {
  collect_changes();
  const bool is_asked = wants_flush_.exchange(false);
  if (!changes_.empty() || (is_asked && parameters_extension_ != nullptr)) {
    const Playing now;
    parameters_extension_->flush(plugin_, &in_events_, &out_events_);
  }
  read_values();
}

void ClapPlugin::read_values() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    double value = parameters_[i].initial;
    parameters_extension_->value(plugin_, parameters_[i].id, &value);
    values_[i] = static_cast<float>(value);
  }
  sent_ = values_;
}

std::string ClapPlugin::save(bool plays) {
  if (!plays) refresh();
  if (state_extension_ == nullptr) return save_values();
  std::string bytes;
  const clap::OutputStream stream{&bytes, [](const clap::OutputStream* to, const void* from, std::uint64_t size) {
                                    auto& text = *static_cast<std::string*>(to->context);
                                    text.append(static_cast<const char*>(from), static_cast<std::size_t>(size));
                                    return static_cast<std::int64_t>(size);
                                  }};
  if (!state_extension_->save(plugin_, &stream)) throw std::runtime_error("it gives no state");
  return std::string(state_head) + to_base64(bytes);
}

std::string ClapPlugin::save_values() const {
  std::string text(values_head);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!is_control_input(i)) continue;
    char number[64];
    std::snprintf(number, sizeof number, "%u=%.9g ", parameters_[i].id, static_cast<double>(values_[i]));
    text += number;
  }
  return text;
}

void ClapPlugin::restore_values(const std::string& text) {
  for (const char* at = text.c_str() + values_head.size(); *at != '\0';) {
    char* end = nullptr;
    const unsigned long id = std::strtoul(at, &end, 10);
    if (end == at || *end != '=') throw std::runtime_error("the text of a state is damaged");
    const float value = std::strtof(end + 1, &end);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].id == id && is_control_input(i)) values_[i] = value;
    }
    for (at = end; *at == ' ';) ++at;
  }
  refresh();
}

void ClapPlugin::restore(const std::string& text) {
  if (text.compare(0, values_head.size(), values_head) == 0) return restore_values(text);
  if (text.compare(0, state_head.size(), state_head) != 0) {
    throw std::runtime_error("the text is not the state of a CLAP plugin");
  }
  if (state_extension_ == nullptr)
    throw std::runtime_error("it keeps nothing but its values, and this is something else");
  const std::string bytes = from_base64(std::string_view(text).substr(state_head.size()));
  std::string_view left = bytes;
  const clap::InputStream stream{&left, [](const clap::InputStream* from, void* to, std::uint64_t size) {
                                   auto& rest = *static_cast<std::string_view*>(from->context);
                                   const std::size_t count = std::min<std::size_t>(rest.size(), size);
                                   std::memcpy(to, rest.data(), count);
                                   rest.remove_prefix(count);
                                   return static_cast<std::int64_t>(count);
                                 }};
  if (!state_extension_->load(plugin_, &stream)) throw std::runtime_error("it refuses this state");
  read_values();
}

// By the key under which the library has it.
void ClapPlugin::load_preset(const std::string& address) {
  const clap::PresetLoad* loader = nullptr;
  for (const char* name : clap::preset_load_ids) {
    if (loader == nullptr) loader = extension<clap::PresetLoad>(name);
  }
  if (loader == nullptr || !loader->load(plugin_, clap::in_plugin, nullptr, address.c_str())) {
    throw std::runtime_error("it refuses the preset " + address);
  }
  if (idle()) restart();
  read_values();
}

bool ClapPlugin::idle() {
  if (wants_idle_.exchange(false)) plugin_->on_main_thread(plugin_);
  return wants_restart_ || wants_rescan_ || wants_flush_;
}

void ClapPlugin::restart() {
  if (wants_restart_.exchange(false)) {
    deactivate();
    activate();
  }
  if (wants_rescan_.exchange(false) || wants_flush_) refresh();
}

PortFacts ClapPlugin::control(const clap::ParameterInfo& parameter, int index) const {
  const auto text_of = [&](double value) {
    char text[clap::name_size] = "";
    const bool is_told = parameters_extension_->to_text(plugin_, parameter.id, value, text, sizeof text);
    text[sizeof text - 1] = '\0';
    return std::string(is_told ? text : "");
  };
  PortFacts facts;
  facts.index = index;
  facts.number = parameter.id;
  facts.name = std::string(parameter.name, strnlen(parameter.name, sizeof parameter.name));
  facts.group = std::string(parameter.module, strnlen(parameter.module, sizeof parameter.module));
  facts.is_input = is_control_input(static_cast<std::size_t>(index));
  facts.is_integer = (parameter.flags & clap::is_stepped) != 0;
  facts.is_enumeration = (parameter.flags & clap::is_enumeration) != 0;
  facts.designation = (parameter.flags & clap::is_bypass) != 0   ? "bypass"
                      : (parameter.flags & clap::is_hidden) != 0 ? "hidden"
                                                                 : "";
  facts.initial = within(parameter.initial, parameter.min, parameter.max);
  facts.least = parameter.min;
  facts.most = parameter.max;
  const double range = parameter.max - parameter.min;
  const int steps = facts.is_integer && range >= 0.0 && range < 1e6 ? static_cast<int>(range) : 0;
  for (const double value : sampled_values(parameter.min, parameter.max, facts.initial, steps)) {
    facts.samples.push_back({value, value, text_of(value)});
  }
  return facts;
}

std::vector<PortFacts> ClapPlugin::ports() const {
  std::vector<PortFacts> all;
  for (const clap::ParameterInfo& parameter : parameters_) {
    all.push_back(control(parameter, static_cast<int>(all.size())));
  }
  for (const Side* side : {&inputs_, &outputs_}) {
    for (const clap::PortInfo& port : side->ports) {
      const auto channels = static_cast<int>(port.channels);
      const bool is_input = side == &inputs_, is_sidechain = is_input && (port.flags & clap::is_main_port) == 0;
      const std::string name(port.name, strnlen(port.name, sizeof port.name));
      for (int c = 0; c < channels; ++c) {
        all.push_back(audio_channel(all.size(), is_input, is_sidechain, name, c, channels));
      }
    }
  }
  return all;
}

}  // namespace twinrack::host
