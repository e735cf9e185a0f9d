#include "host/lv2_plugin.h"

#include <lv2/atom/atom.h>
#include <lv2/buf-size/buf-size.h>
#include <lv2/midi/midi.h>
#include <lv2/parameters/parameters.h>
#include <lv2/time/time.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace twinrack::host {

namespace {
constexpr std::int32_t atom_bytes = 65536;

int say_all(LV2_Log_Handle, LV2_URID, const char* format, va_list given) {
  return std::vfprintf(stderr, format, given);
}
int say(LV2_Log_Handle, LV2_URID, const char* format, ...) {
  va_list given;
  va_start(given, format);
  const int written = std::vfprintf(stderr, format, given);
  va_end(given);
  return written;
}

std::string address_of(const LilvPlugin* plugin) { return lilv_node_as_uri(lilv_plugin_get_uri(plugin)); }
}  // namespace

LV2_URID Lv2Plugin::Urids::map(const char* uri) {
  const std::lock_guard lock(mutex);
  const auto [known, is_new] = numbers.try_emplace(uri, static_cast<LV2_URID>(texts.size() + 1));
  if (is_new) texts.emplace_back(uri);
  return known->second;
}

const char* Lv2Plugin::Urids::unmap(LV2_URID id) {
  const std::lock_guard lock(mutex);
  return id >= 1 && id <= texts.size() ? texts[id - 1].c_str() : nullptr;
}

Lv2Plugin::Lv2Plugin(const Lv2World& world, const LilvPlugin* plugin, double rate, int block)
    : HostedPlugin(block),
      world_(world),
      plugin_(plugin),
      rate_(rate),
      most_frames_(block),
      sequence_bytes_(atom_bytes),
      rate_option_(static_cast<float>(rate)),
      latency_port_(world.latency_port(plugin)) {
  std::string missing;
  for (const std::string& feature : world.missing_features(plugin)) missing += (missing.empty() ? "" : ", ") + feature;
  if (!missing.empty())
    throw std::runtime_error(address_of(plugin) + " needs what this host does not have: " + missing);
  map_ = {this,
          [](LV2_URID_Map_Handle self, const char* uri) { return static_cast<Lv2Plugin*>(self)->urids_.map(uri); }};
  unmap_ = {this, [](LV2_URID_Unmap_Handle self, LV2_URID id) -> const char* {
              return static_cast<Lv2Plugin*>(self)->urids_.unmap(id);
            }};
  schedule_ = {this, [](LV2_Worker_Schedule_Handle self, std::uint32_t size, const void* data) {
                 const char* from = static_cast<const char*>(data);
                 static_cast<Lv2Plugin*>(self)->jobs_.emplace_back(from, from + size);
                 return LV2_WORKER_SUCCESS;
               }};
  log_ = {this, say, say_all};
  resize_ = {this,
             [](LV2_Resize_Port_Feature_Data, std::uint32_t, std::size_t) { return LV2_RESIZE_PORT_ERR_NO_SPACE; }};
  make_path_ = {this, [](LV2_State_Make_Path_Handle, const char* name) {
                  const auto path = std::filesystem::current_path() / std::filesystem::path(name).filename();
                  return strdup(path.c_str());
                }};
  lv2_atom_forge_init(&forge_, &map_);
  uris_ = {urids_.map(LV2_ATOM__Sequence),       urids_.map(LV2_ATOM__Chunk),    urids_.map(LV2_TIME__Position),
           urids_.map(LV2_TIME__frame),          urids_.map(LV2_TIME__speed),    urids_.map(LV2_TIME__bar),
           urids_.map(LV2_TIME__barBeat),        urids_.map(LV2_TIME__beatUnit), urids_.map(LV2_TIME__beatsPerBar),
           urids_.map(LV2_TIME__beatsPerMinute), urids_.map(LV2_MIDI__MidiEvent)};
  const LV2_URID int_type = urids_.map(LV2_ATOM__Int), float_type = urids_.map(LV2_ATOM__Float);
  const auto option = [&](const char* key, LV2_URID type, const void* value) {
    options_.push_back({LV2_OPTIONS_INSTANCE, 0, urids_.map(key), 4, type, value});
  };
  option(LV2_BUF_SIZE__minBlockLength, int_type, &least_frames_);
  option(LV2_BUF_SIZE__maxBlockLength, int_type, &most_frames_);
  option(LV2_BUF_SIZE__nominalBlockLength, int_type, &most_frames_);
  option(LV2_BUF_SIZE__sequenceSize, int_type, &sequence_bytes_);
  option(LV2_PARAMETERS__sampleRate, float_type, &rate_option_);
  options_.push_back({LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, nullptr});
  for (const char* const* uri = supported_features; *uri != nullptr; ++uri) {
    const std::string name = *uri;
    void* data = name == LV2_URID__map             ? static_cast<void*>(&map_)
                 : name == LV2_URID__unmap         ? static_cast<void*>(&unmap_)
                 : name == LV2_OPTIONS__options    ? static_cast<void*>(options_.data())
                 : name == LV2_WORKER__schedule    ? static_cast<void*>(&schedule_)
                 : name == LV2_LOG__log            ? static_cast<void*>(&log_)
                 : name == LV2_RESIZE_PORT__resize ? static_cast<void*>(&resize_)
                 : name == LV2_STATE__makePath     ? static_cast<void*>(&make_path_)
                                                   : nullptr;
    if (name == LV2_STATE__mapPath || name == LV2_STATE__freePath) continue;  // lilv gives its own
    features_.push_back({*uri, data});
  }
  for (const LV2_Feature& feature : features_) feature_pointers_.push_back(&feature);
  feature_pointers_.push_back(nullptr);
  connect();
}

Lv2Plugin::~Lv2Plugin() {
  if (instance_ == nullptr) return;
  lilv_instance_deactivate(instance_);
  lilv_instance_free(instance_);
}

void Lv2Plugin::connect() {
  const std::uint32_t count = lilv_plugin_get_num_ports(plugin_);
  values_.assign(count, 0.0f);
  std::vector<float> least(count), most(count);
  lilv_plugin_get_port_ranges_float(plugin_, least.data(), most.data(), values_.data());
  const Node audio = world_.uri(LV2_CORE__AudioPort), control = world_.uri(LV2_CORE__ControlPort),
             cv = world_.uri(LV2_CORE__CVPort), atom = world_.uri(LV2_ATOM__AtomPort),
             input = world_.uri(LV2_CORE__InputPort), position = world_.uri(LV2_TIME__Position),
             optional = world_.uri(LV2_CORE__connectionOptional);
  for (std::uint32_t i = 0; i < count; ++i) {
    const LilvPort* port = lilv_plugin_get_port_by_index(plugin_, i);
    const bool is_input = lilv_port_is_a(plugin_, port, input.get());
    if (lilv_port_is_a(plugin_, port, control.get())) {
      (is_input ? controls_in_ : controls_out_).push_back(i);
      if (std::isnan(values_[i])) values_[i] = std::isnan(least[i]) ? 0.0f : least[i];
      continue;
    }
    values_[i] = 0.0f;
    if (lilv_port_is_a(plugin_, port, audio.get())) {
      (is_input ? audio_in_ : audio_out_).push_back(i);
    } else if (lilv_port_is_a(plugin_, port, cv.get())) {
      cv_.push_back(i);
    } else if (lilv_port_is_a(plugin_, port, atom.get())) {
      (is_input ? atoms_in_ : atoms_out_).push_back(i);
      if (is_input) {
        takes_.push_back({lilv_port_supports_event(plugin_, port, position.get()), world_.hears_midi(plugin_, port)});
      }
    } else if (!lilv_port_has_property(plugin_, port, optional.get())) {
      throw std::runtime_error(address_of(plugin_) + " has a port of a kind that this host does not know: " +
                               lilv_node_as_string(lilv_port_get_symbol(plugin_, port)));
    }
  }
  instance_ = lilv_plugin_instantiate(plugin_, rate_, feature_pointers_.data());
  if (instance_ == nullptr) throw std::runtime_error(address_of(plugin_) + " refuses to be instantiated");
  worker_ =
      static_cast<const LV2_Worker_Interface*>(lilv_instance_get_extension_data(instance_, LV2_WORKER__interface));
  for (const auto* controls : {&controls_in_, &controls_out_}) {
    for (const std::uint32_t i : *controls) lilv_instance_connect_port(instance_, i, &values_[i]);
  }
  for (const std::uint32_t i : cv_) {
    cv_rows_.emplace_back(static_cast<std::size_t>(block_));
    lilv_instance_connect_port(instance_, i, cv_rows_.back().data());
  }
  for (const auto* ports : {&atoms_in_, &atoms_out_}) {
    for (const std::uint32_t i : *ports) {
      atoms_.emplace_back(static_cast<std::size_t>(atom_bytes) + sizeof(LV2_Atom_Sequence));
      lilv_instance_connect_port(instance_, i, atoms_.back().data());
    }
  }
  lilv_instance_activate(instance_);
}

bool Lv2Plugin::is_control_input(std::size_t port) const {
  return std::find(controls_in_.begin(), controls_in_.end(), port) != controls_in_.end();
}

// The events in, room for what comes out.
void Lv2Plugin::prepare_atoms() {
  for (std::size_t i = 0; i < atoms_.size(); ++i) {
    if (i >= atoms_in_.size()) {
      *reinterpret_cast<LV2_Atom_Sequence*>(atoms_[i].data()) = {{atom_bytes, uris_.chunk}, {0, 0}};
      continue;
    }
    LV2_Atom_Forge_Frame sequence;
    lv2_atom_forge_set_buffer(&forge_, reinterpret_cast<std::uint8_t*>(atoms_[i].data()), atoms_[i].size());
    lv2_atom_forge_sequence_head(&forge_, &sequence, 0);
    if (takes_[i].follows) write_transport();
    if (takes_[i].hears) write_messages();
    lv2_atom_forge_pop(&forge_, &sequence);
  }
}

bool Lv2Plugin::hears_midi() const {
  return std::any_of(takes_.begin(), takes_.end(), [](const Events& takes) { return takes.hears; });
}

void Lv2Plugin::write_messages() {
  for (const MidiMessage& message : messages_) {
    const std::size_t left = forge_.size - forge_.offset;
    if (left < sizeof(LV2_Atom_Event) + sizeof(LV2_Atom)) return;  // so many at once that no room is left
    lv2_atom_forge_frame_time(&forge_, message.frame);
    lv2_atom_forge_atom(&forge_, message.size(), uris_.midi);
    lv2_atom_forge_write(&forge_, message.bytes.data(), message.size());
  }
}

void Lv2Plugin::write_transport() {
  const double bars = transport_.beat / TempoMap::beats_in_bar;
  LV2_Atom_Forge_Frame object;
  lv2_atom_forge_frame_time(&forge_, 0);
  lv2_atom_forge_object(&forge_, &object, 0, uris_.position);
  lv2_atom_forge_key(&forge_, uris_.frame);
  lv2_atom_forge_long(&forge_, transport_.frame);
  lv2_atom_forge_key(&forge_, uris_.speed);
  lv2_atom_forge_float(&forge_, 1.0f);
  lv2_atom_forge_key(&forge_, uris_.bar);
  lv2_atom_forge_long(&forge_, static_cast<std::int64_t>(std::floor(bars)));
  lv2_atom_forge_key(&forge_, uris_.bar_beat);
  lv2_atom_forge_float(&forge_, static_cast<float>((bars - std::floor(bars)) * TempoMap::beats_in_bar));
  lv2_atom_forge_key(&forge_, uris_.beat_unit);
  lv2_atom_forge_int(&forge_, 4);
  lv2_atom_forge_key(&forge_, uris_.beats_per_bar);
  lv2_atom_forge_float(&forge_, static_cast<float>(TempoMap::beats_in_bar));
  lv2_atom_forge_key(&forge_, uris_.beats_per_minute);
  lv2_atom_forge_float(&forge_, static_cast<float>(transport_.bpm));
  lv2_atom_forge_pop(&forge_, &object);
}

void Lv2Plugin::play(float* rows, int first, int frames) {
  const auto row = [&](std::size_t i) { return rows + i * static_cast<std::size_t>(block_) + first; };
  for (std::size_t i = 0; i < audio_in_.size(); ++i) lilv_instance_connect_port(instance_, audio_in_[i], row(i));
  for (std::size_t i = 0; i < audio_out_.size(); ++i) {
    lilv_instance_connect_port(instance_, audio_out_[i], row(audio_in_.size() + i));
  }
  prepare_atoms();
  counted([&] { lilv_instance_run(instance_, static_cast<std::uint32_t>(frames)); });
}

int Lv2Plugin::latency() const {
  return latency_port_ < 0 ? 0 : checked_latency(static_cast<double>(values_[static_cast<std::size_t>(latency_port_)]));
}

// Does the work that it scheduled, at once, so that a rendering is the same every time.
void Lv2Plugin::after_run() {
  if (worker_ == nullptr) return;
  const LV2_Handle handle = lilv_instance_get_handle(instance_);
  const auto respond = [](LV2_Worker_Respond_Handle self, std::uint32_t size, const void* data) {
    const char* from = static_cast<const char*>(data);
    static_cast<Lv2Plugin*>(self)->replies_.emplace_back(from, from + size);
    return LV2_WORKER_SUCCESS;
  };
  while (!jobs_.empty()) {
    const std::vector<char> job = std::move(jobs_.front());
    jobs_.pop_front();
    worker_->work(handle, respond, this, static_cast<std::uint32_t>(job.size()), job.data());
  }
  while (!replies_.empty()) {
    const std::vector<char> reply = std::move(replies_.front());
    replies_.pop_front();
    if (worker_->work_response != nullptr) {
      worker_->work_response(handle, static_cast<std::uint32_t>(reply.size()), reply.data());
    }
  }
  if (worker_->end_run != nullptr) worker_->end_run(handle);
}

void Lv2Plugin::reset() {
  lilv_instance_deactivate(instance_);
  lilv_instance_activate(instance_);
}

std::string Lv2Plugin::save(bool) {
  const auto get = [](const char* symbol, void* self, std::uint32_t* size, std::uint32_t* type) -> const void* {
    auto& own = *static_cast<Lv2Plugin*>(self);
    const Node name(lilv_new_string(own.world_.get(), symbol));
    const LilvPort* port = lilv_plugin_get_port_by_symbol(own.plugin_, name.get());
    *size = *type = 0;
    if (port == nullptr) return nullptr;
    *size = sizeof(float);
    *type = own.urids_.map(LV2_ATOM__Float);
    return &own.values_[lilv_port_get_index(own.plugin_, port)];
  };
  const std::string folder = std::filesystem::current_path();
  LilvState* state = lilv_state_new_from_instance(plugin_, instance_, &map_, folder.c_str(), folder.c_str(),
                                                  folder.c_str(), folder.c_str(), get, this,
                                                  LV2_STATE_IS_POD | LV2_STATE_IS_PORTABLE, feature_pointers_.data());
  if (state == nullptr) throw std::runtime_error(address_of(plugin_) + " gives no state");
  char* text = lilv_state_to_string(world_.get(), &map_, &unmap_, state, "urn:twinrack:state", nullptr);
  const std::string result = text == nullptr ? "" : text;
  lilv_free(text);
  lilv_state_free(state);
  return result;
}

void Lv2Plugin::restore(const std::string& text) {
  LilvState* state = lilv_state_new_from_string(world_.get(), &map_, text.c_str());
  if (state == nullptr) throw std::runtime_error("the text is not the state of an LV2 plugin");
  if (!lilv_node_equals(lilv_state_get_plugin_uri(state), lilv_plugin_get_uri(plugin_))) {
    const std::string other = lilv_node_as_string(lilv_state_get_plugin_uri(state));
    lilv_state_free(state);
    throw std::runtime_error("the state is that of " + other);
  }
  restore(state);
}

void Lv2Plugin::load_preset(const std::string& address) {
  const Node preset = world_.uri(address.c_str());
  LilvState* state = preset == nullptr ? nullptr : lilv_state_new_from_world(world_.get(), &map_, preset.get());
  if (state == nullptr) throw std::runtime_error(address_of(plugin_) + " has no preset " + address);
  restore(state);
}

void Lv2Plugin::restore(LilvState* state) {
  const auto set = [](const char* symbol, void* self, const void* value, std::uint32_t size, std::uint32_t type) {
    auto& own = *static_cast<Lv2Plugin*>(self);
    const Node name(lilv_new_string(own.world_.get(), symbol));
    const LilvPort* port = lilv_plugin_get_port_by_symbol(own.plugin_, name.get());
    if (port == nullptr || size != sizeof(float)) return;
    const std::uint32_t at = lilv_port_get_index(own.plugin_, port);
    if (!own.is_control_input(at)) return;
    if (type == own.urids_.map(LV2_ATOM__Float)) std::memcpy(&own.values_[at], value, sizeof(float));
    if (type == own.urids_.map(LV2_ATOM__Int) || type == own.urids_.map(LV2_ATOM__Bool)) {
      std::int32_t whole = 0;
      std::memcpy(&whole, value, sizeof whole);
      own.values_[at] = static_cast<float>(whole);
    }
  };
  lilv_state_restore(state, instance_, set, this, 0, feature_pointers_.data());
  lilv_state_free(state);
  after_run();
}

}  // namespace twinrack::host
