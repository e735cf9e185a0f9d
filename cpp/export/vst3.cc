// A rack as a VST3 plugin: a bundle with this library in Contents/<machine>-linux, and the flat rack in
// Contents/Resources. One object is the component, the processor and the controller. Every value is a position from 0
// to 1 along its scale.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "export/exported.h"
#include "export/instance.h"
#include "export/rack_file.h"
#include "abi/vst3.h"

namespace twinrack {
namespace {

bool same(const vst3::InterfaceId& id, const std::uint8_t* other) { return std::memcmp(id.bytes, other, 16) == 0; }

// UTF-8 as UTF-16; a byte that is not part of a character becomes a question mark.
std::u16string wide(std::string_view text) {
  std::u16string result;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(at);
    const std::size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    unsigned code = length == 1 ? first : first & (0x7fu >> length);
    bool good = length > 0;
    for (std::size_t i = 1; i < length; ++i) {
      good = good && byte(at + i) >> 6 == 2;
      code = code << 6 | (byte(at + i) & 0x3f);
    }
    if (!good) {
      result += u'?';
      ++at;
      continue;
    }
    at += length;
    if (code >= 0x10000) {
      result += static_cast<char16_t>(0xd800 + ((code - 0x10000) >> 10));
      code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    result += static_cast<char16_t>(code);
  }
  return result;
}

void write(vst3::Text& to, std::string_view text) {
  const std::u16string all = wide(text);
  const std::size_t count = std::min(all.size(), std::size(to) - 1);
  std::copy_n(all.begin(), count, to);
  to[count] = 0;
}

template <std::size_t size>
void write(char (&to)[size], std::string_view text) {
  const std::size_t count = std::min(text.size(), size - 1);
  std::copy_n(text.begin(), count, to);
  to[count] = 0;
}

class Vst3Plugin final : public vst3::Component,
                         public vst3::Processor,
                         public vst3::Controller,
                         public vst3::Units,
                         private Instance {
 public:
  explicit Vst3Plugin(const Device& of) : Instance(of), connected_(of.rack.keys.size()), shown_(of.parameters.size()) {
    show_values();
  }

  vst3::Result query_interface(const vst3::Id id, void** object) override {
    *object = same(vst3::Processor::id, id)    ? static_cast<void*>(static_cast<vst3::Processor*>(this))
              : same(vst3::Controller::id, id) ? static_cast<void*>(static_cast<vst3::Controller*>(this))
              : same(vst3::Units::id, id)      ? static_cast<void*>(static_cast<vst3::Units*>(this))
              : same(vst3::Component::id, id) || same(vst3::PluginBase::id, id) || same(vst3::Unknown::id, id)
                  ? static_cast<void*>(static_cast<vst3::Component*>(this))
                  : nullptr;
    if (*object == nullptr) return vst3::no_interface;
    ++references_;
    return vst3::ok;
  }
  std::uint32_t add_reference() override { return ++references_; }
  std::uint32_t release() override {
    const std::uint32_t left = --references_;
    if (left == 0) delete this;
    return left;
  }

  vst3::Result initialise(vst3::Unknown*) override { return vst3::ok; }
  vst3::Result terminate() override {
    set_handler(nullptr);
    deactivate();
    return vst3::ok;
  }

  // --- the component

  vst3::Result get_controller_class(vst3::Id) override { return vst3::not_implemented; }  // it is this object
  vst3::Result set_io_mode(std::int32_t) override { return vst3::not_implemented; }
  std::int32_t bus_count(std::int32_t media, std::int32_t direction) override {
    if (media != vst3::audio) return 0;
    return direction == vst3::input ? 1 + static_cast<std::int32_t>(connected_.size()) : 1;
  }
  vst3::Result bus_info(std::int32_t media, std::int32_t direction, std::int32_t index, vst3::BusInfo* info) override {
    if (index < 0 || index >= bus_count(media, direction)) return vst3::invalid;
    *info = {media, direction, device().rack.channels, {}, index == 0 ? vst3::main_bus : vst3::side_bus, 0};
    if (index == 0) info->flags = vst3::active_at_first;
    write(info->name, index > 0                  ? device().rack.keys[static_cast<std::size_t>(index - 1)]
                      : direction == vst3::input ? "In"
                                                 : "Out");
    return vst3::ok;
  }
  vst3::Result routing(void*, void*) override { return vst3::not_implemented; }
  // A sidechain that is off is not connected, though hosts may give silence for it.
  vst3::Result activate_bus(std::int32_t media, std::int32_t direction, std::int32_t index, std::uint8_t on) override {
    if (index < 0 || index >= bus_count(media, direction)) return vst3::invalid;
    if (direction == vst3::input && index > 0) connected_[static_cast<std::size_t>(index - 1)].store(on != 0);
    return vst3::ok;
  }
  vst3::Result set_active(std::uint8_t on) override {
    if (on == 0) {
      deactivate();
      return vst3::ok;
    }
    return activate(rate_) ? vst3::ok : vst3::no;
  }
  vst3::Result set_state(vst3::Stream* stream) override {
    if (stream == nullptr) return vst3::invalid;
    std::string text;
    char part[4096];
    for (std::int32_t got = 1; got > 0 && text.size() < longest_state;) {
      got = 0;
      if (stream->read(part, sizeof part, &got) != vst3::ok && got <= 0) break;
      text.append(part, static_cast<std::size_t>(std::max(got, 0)));
    }
    if (!load_state(text)) return vst3::no;
    show_values();
    if (handler_ != nullptr) handler_->restart(vst3::values_changed);
    return vst3::ok;
  }
  vst3::Result get_state(vst3::Stream* stream) override {
    if (stream == nullptr) return vst3::invalid;
    std::string text = state();
    for (std::size_t at = 0; at < text.size();) {
      std::int32_t count = 0;
      if (stream->write(text.data() + at, static_cast<std::int32_t>(text.size() - at), &count) != vst3::ok ||
          count <= 0)
        return vst3::no;
      at += static_cast<std::size_t>(count);
    }
    return vst3::ok;
  }

  // --- the processor

  vst3::Result set_arrangements(vst3::Arrangement* in, std::int32_t in_count, vst3::Arrangement* out,
                                std::int32_t out_count) override {
    if (in_count > bus_count(vst3::audio, vst3::input) || out_count > 1) return vst3::invalid;
    const bool fits = std::all_of(in, in + in_count, [&](auto a) { return a == arrangement(); }) &&
                      std::all_of(out, out + out_count, [&](auto a) { return a == arrangement(); });
    return fits ? vst3::ok : vst3::no;
  }
  vst3::Result get_arrangement(std::int32_t direction, std::int32_t index, vst3::Arrangement* which) override {
    if (index < 0 || index >= bus_count(vst3::audio, direction)) return vst3::invalid;
    *which = arrangement();
    return vst3::ok;
  }
  vst3::Result takes_sample_size(std::int32_t size) override { return size == 0 ? vst3::ok : vst3::no; }
  std::uint32_t latency() override { return Instance::latency(); }
  vst3::Result setup(vst3::Setup* setup) override {
    if (setup->sample_size != 0) return vst3::no;
    rate_ = setup->sample_rate;
    return prepare(rate_) ? vst3::ok : vst3::no;
  }
  vst3::Result set_processing(std::uint8_t on) noexcept TR_RT override {
    if (on != 0) reset();
    return vst3::ok;
  }
  vst3::Result process(vst3::Data* data) noexcept TR_RT override {
    if (!is_active()) return vst3::not_initialised;
    if (data->sample_size != 0) return vst3::invalid;
    take_state();
    std::int32_t at = 0;
    do {
      const std::int32_t end = take(data->input_changes, at, data->frames);
      if (end > at && data->output_count > 0) play_buffers(*data, at, end - at);
      at = end;
    } while (at < data->frames);
    for (std::int32_t i = 0; i < data->output_count; ++i) data->outputs[i].silent = 0;
    return vst3::ok;
  }
  std::uint32_t tail() override { return Instance::tail(); }

  // --- the controller

  vst3::Result set_component_state(vst3::Stream*) override { return vst3::ok; }  // the component has it already
  // The bypass, the rack's own, and where there are presets the program.
  std::int32_t parameter_count() override {
    return static_cast<std::int32_t>(device().parameters.size()) + 1 + (has_programs() ? 1 : 0);
  }
  vst3::Result parameter_info(std::int32_t index, vst3::ParameterInfo* info) override {
    if (index < 0 || index >= parameter_count()) return vst3::invalid;
    *info = {};
    info->flags = vst3::is_automatable;
    if (index == 0) {
      info->id = bypass_id;
      info->flags |= vst3::is_bypass;
      info->steps = 1;
      write(info->title, "Bypass");
      write(info->short_title, "Bypass");
      return vst3::ok;
    }
    if (static_cast<std::size_t>(index) > device().parameters.size()) {
      info->id = program_id;
      info->flags |= vst3::is_program | vst3::is_list;
      info->steps = device().program_count() - 1;
      write(info->title, "Preset");
      write(info->short_title, "Preset");
      return vst3::ok;
    }
    const HostParameter& p = device().parameters[static_cast<std::size_t>(index - 1)];
    info->id = p.flat.id;
    info->flags |= p.flat.options.empty() ? 0 : vst3::is_list;
    info->steps = std::max(p.values() - 1, 0);
    info->initial = p.to_position(p.flat.initial);
    write(info->title, p.flat.group + ": " + p.flat.name);
    write(info->short_title, p.flat.name);
    write(info->unit, p.flat.unit);
    return vst3::ok;
  }
  vst3::Result to_text(std::uint32_t id, double position, vst3::Text text) override {
    const HostParameter* p = find(id);
    if (!is_own(id) && p == nullptr) return vst3::invalid;
    std::string words = id == program_id ? device().program_name(program_at(position)) : position > 0.5 ? "on" : "off";
    if (p != nullptr) {
      words = p->to_text(p->from_position(position));
      const std::string unit = " " + p->flat.unit;  // which hosts add
      if (unit.size() > 1 && words.ends_with(unit)) words.resize(words.size() - unit.size());
    }
    vst3::Text whole;
    write(whole, words);
    std::copy(std::begin(whole), std::end(whole), text);
    return vst3::ok;
  }
  vst3::Result from_text(std::uint32_t id, char16_t* text, double* position) override {
    const std::u16string given = text;
    std::string narrow;
    for (const char16_t c : given) narrow += c < 128 ? static_cast<char>(c) : '?';
    const HostParameter* p = find(id);
    if (id == program_id && has_programs()) {
      for (int i = 0; i < device().program_count(); ++i) {
        if (wide(device().program_name(i)) != given) continue;
        *position = position_of(i);
        return vst3::ok;
      }
      return vst3::no;
    }
    float value = narrow == "on" ? 1.0f : 0.0f;
    if (id != bypass_id && (p == nullptr || !p->from_text(narrow, value))) return vst3::no;
    *position = p == nullptr ? static_cast<double>(value) : p->to_position(value);
    return vst3::ok;
  }
  double to_value(std::uint32_t id, double position) override {
    const HostParameter* p = find(id);
    if (id == program_id) return program_at(position);
    return p == nullptr ? position : static_cast<double>(p->from_position(position));
  }
  double to_position(std::uint32_t id, double value) override {
    const HostParameter* p = find(id);
    if (id == program_id) return position_of(static_cast<int>(value));
    return p == nullptr ? value : p->to_position(p->bounded(value));
  }
  double position(std::uint32_t id) override {
    const int i = device().find(id);
    if (id == program_id) return position_of(shown_program_.load());
    if (i < 0) return id == bypass_id && shown_bypass_.load() ? 1.0 : 0.0;
    return device().parameters[static_cast<std::size_t>(i)].to_position(shown_[static_cast<std::size_t>(i)].load());
  }
  // While the processor runs this is an echo for the display, and may come late: what sounds comes with the blocks.
  vst3::Result set_position(std::uint32_t id, double position) override {
    if (!std::isfinite(position)) return vst3::invalid;
    const int i = device().find(id);
    if (i < 0 && !is_own(id)) return vst3::invalid;
    if (id == program_id) {
      const int program = program_at(position);
      if (shown_program_.exchange(program) == program) return vst3::ok;
      for (std::size_t k = 0; k < shown_.size(); ++k) shown_[k].store(device().program_value(program, k));
      if (!is_active()) choose(program);
      if (handler_ != nullptr) handler_->restart(vst3::values_changed);
      return vst3::ok;
    }
    if (i < 0) {
      shown_bypass_.store(position > 0.5);
      if (!is_active()) bypass(position > 0.5);
      return vst3::ok;
    }
    const float value = device().parameters[static_cast<std::size_t>(i)].from_position(position);
    shown_[static_cast<std::size_t>(i)].store(value);
    if (!is_active()) change(i, value);
    return vst3::ok;
  }
  vst3::Result set_handler(vst3::Handler* handler) override {
    if (handler != nullptr) handler->add_reference();
    if (handler_ != nullptr) handler_->release();
    handler_ = handler;
    return vst3::ok;
  }
  void* create_view(const char*) override { return nullptr; }

  // --- its programs, all of one unit

  std::int32_t unit_count() override { return 1; }
  vst3::Result unit_info(std::int32_t index, vst3::UnitInfo* info) override {
    if (index != 0) return vst3::invalid;
    *info = {vst3::root_unit, vst3::no_parent, {}, has_programs() ? program_list_id : vst3::no_programs};
    write(info->name, device().rack.name);
    return vst3::ok;
  }
  std::int32_t program_list_count() override { return has_programs() ? 1 : 0; }
  vst3::Result program_list(std::int32_t index, vst3::ProgramList* list) override {
    if (index < 0 || index >= program_list_count()) return vst3::invalid;
    *list = {program_list_id, {}, device().program_count()};
    write(list->name, "Presets");
    return vst3::ok;
  }
  vst3::Result program_name(std::int32_t list, std::int32_t program, vst3::Text name) override {
    if (list != program_list_id || program < 0 || program >= device().program_count()) return vst3::invalid;
    vst3::Text whole;
    write(whole, device().program_name(program));
    std::copy(std::begin(whole), std::end(whole), name);
    return vst3::ok;
  }
  vst3::Result program_attribute(std::int32_t, std::int32_t, const char*, vst3::Text) override { return vst3::no; }
  vst3::Result has_pitch_names(std::int32_t, std::int32_t) override { return vst3::no; }
  vst3::Result pitch_name(std::int32_t, std::int32_t, std::int16_t, vst3::Text) override { return vst3::no; }
  std::int32_t selected_unit() override { return vst3::root_unit; }
  vst3::Result select_unit(std::int32_t unit) override { return unit == vst3::root_unit ? vst3::ok : vst3::invalid; }
  vst3::Result unit_of_bus(std::int32_t, std::int32_t, std::int32_t, std::int32_t, std::int32_t* unit) override {
    *unit = vst3::root_unit;
    return vst3::ok;
  }
  vst3::Result set_program_data(std::int32_t, std::int32_t, vst3::Stream*) override { return vst3::not_implemented; }

 private:
  static constexpr std::uint32_t program_id = 1;  // no parameter has it, see parameters.py
  static constexpr std::int32_t program_list_id = 1;

  ~Vst3Plugin() = default;

  bool has_programs() const noexcept TR_RT { return device().program_count() > 1; }
  // Whether the id is of no parameter of the rack, but of the bypass or the program.
  bool is_own(std::uint32_t id) const noexcept TR_RT { return id == bypass_id || (id == program_id && has_programs()); }
  int program_at(double position) const noexcept TR_RT {
    const double last = device().program_count() - 1;
    return static_cast<int>(std::floor(std::clamp(position, 0.0, 1.0) * last + 0.5));
  }
  double position_of(int program) const noexcept TR_RT {
    const double last = device().program_count() - 1;
    return last < 1.0 ? 0.0 : std::clamp(program / last, 0.0, 1.0);
  }

  vst3::Arrangement arrangement() const {
    const int channels = device().rack.channels;
    return channels == 1 ? vst3::mono : (1ull << channels) - 1;
  }
  const HostParameter* find(std::uint32_t id) const { return device().parameter(id); }

  // Takes the changes at a frame, and returns the frame of the next ones, or the end.
  std::int32_t take(vst3::Changes* changes, std::int32_t at, std::int32_t frames) noexcept TR_RT {
    std::int32_t next = frames;
    for (std::int32_t q = 0; changes != nullptr && q < changes->count(); ++q) {
      vst3::ValueQueue* queue = changes->queue(q);
      if (queue == nullptr) continue;
      for (std::int32_t k = 0; k < queue->points(); ++k) {
        std::int32_t offset = 0;
        double position = 0.0;
        if (queue->point(k, &offset, &position) != vst3::ok || !std::isfinite(position)) continue;
        offset = std::clamp(offset, 0, std::max(frames - 1, 0));
        if (offset == at) move(queue->parameter(), position);
        if (offset > at) next = std::min(next, offset);
      }
    }
    return next;
  }

  void move(std::uint32_t id, double position) noexcept TR_RT {
    const int i = device().find(id);
    if (i >= 0) {
      const float value = device().parameters[static_cast<std::size_t>(i)].from_position(position);
      change(i, value);
      shown_[static_cast<std::size_t>(i)].store(value);
    } else if (id == bypass_id) {
      bypass(position > 0.5);
      shown_bypass_.store(position > 0.5);
    } else if (id == program_id) {
      choose(program_at(position));
      show_values();
    }
  }

  void show_values() noexcept TR_RT {
    for (std::size_t i = 0; i < shown_.size(); ++i) shown_[i].store(value(static_cast<int>(i)));
    shown_bypass_.store(bypassed());
    shown_program_.store(program());
  }

  void play_buffers(const vst3::Data& data, std::int32_t start, std::int32_t frames) noexcept TR_RT {
    const auto pointer = [&](const vst3::Buffers* buffers, std::int32_t count, std::size_t which, int c) TR_RT {
      const bool has = static_cast<std::int32_t>(which) < count && buffers != nullptr &&
                       buffers[which].data != nullptr && c < buffers[which].channels &&
                       buffers[which].data[c] != nullptr;
      return has ? buffers[which].data[c] + start : nullptr;
    };
    play(
        [&](std::size_t bus, int c) TR_RT -> const float* {
          const bool connected = bus == 0 || connected_[bus - 1].load();
          return connected ? pointer(data.inputs, data.input_count, bus, c) : nullptr;
        },
        [&](int c) TR_RT { return pointer(data.outputs, data.output_count, 0, c); }, frames);
  }

  std::atomic<std::uint32_t> references_{1};
  double rate_ = 48000.0;
  vst3::Handler* handler_ = nullptr;
  std::vector<std::atomic<bool>> connected_;  // sidechains
  std::vector<std::atomic<float>> shown_;     // the controller's values
  std::atomic<bool> shown_bypass_{false};
  std::atomic<int> shown_program_{0};
};

class Vst3Factory final : public vst3::Factory2 {
 public:
  explicit Vst3Factory(FlatRack rack) : device_(std::move(rack)) {}

  vst3::Result query_interface(const vst3::Id id, void** object) override {
    const bool has = same(vst3::Factory2::id, id) || same(vst3::Factory::id, id) || same(vst3::Unknown::id, id);
    *object = has ? this : nullptr;
    return has ? vst3::ok : vst3::no_interface;
  }
  std::uint32_t add_reference() override { return 1; }  // it lives as long as the library
  std::uint32_t release() override { return 1; }

  vst3::Result info(vst3::FactoryInfo* info) override {
    *info = {};
    write(info->vendor, "twinrack");
    info->flags = vst3::unicode;
    return vst3::ok;
  }
  std::int32_t class_count() override { return 1; }
  vst3::Result class_info(std::int32_t index, vst3::ClassInfo* info) override {
    if (index != 0) return vst3::invalid;
    *info = {};
    std::copy_n(device_.rack.class_id.begin(), std::min(device_.rack.class_id.size(), sizeof info->id), info->id);
    info->instances = vst3::many_instances;
    write(info->category, "Audio Module Class");
    write(info->name, device_.rack.name);
    return vst3::ok;
  }
  vst3::Result class_info_2(std::int32_t index, vst3::ClassInfo2* info) override {
    *info = {};
    if (class_info(index, info) != vst3::ok) return vst3::invalid;
    write(info->sub_categories, "Fx");
    write(info->vendor, "twinrack");
    write(info->version, device_.rack.made_by);
    write(info->sdk_version, "VST 3.7.0");
    return vst3::ok;
  }
  vst3::Result create(const char* class_id, const char* interface_id, void** object) override {
    *object = nullptr;
    vst3::ClassInfo own;
    class_info(0, &own);
    if (std::memcmp(class_id, own.id, sizeof own.id) != 0) return vst3::no_interface;
    auto* plugin = new Vst3Plugin(device_);
    const vst3::Result result = plugin->query_interface(reinterpret_cast<const std::uint8_t*>(interface_id), object);
    plugin->release();
    return result;
  }

 private:
  ~Vst3Factory() = default;
  friend std::default_delete<Vst3Factory>;

  Device device_;
};

Vst3Factory* factory() {
  static const std::unique_ptr<Vst3Factory> only = made_or_complained([] {
    const std::string path = own_path();
    const std::string folder = path.substr(0, path.find_last_of('/') + 1);
    return std::make_unique<Vst3Factory>(read_flat_file(folder + "../Resources/rack.flat"));
  });
  return only.get();
}

}  // namespace
}  // namespace twinrack

extern "C" {
TWINRACK_EXPORTED bool ModuleEntry(void*) { return true; }
TWINRACK_EXPORTED bool ModuleExit() { return true; }
TWINRACK_EXPORTED void* GetPluginFactory() { return twinrack::factory(); }
}
