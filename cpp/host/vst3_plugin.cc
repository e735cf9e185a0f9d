#include "host/vst3_plugin.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "host/base64.h"

namespace twinrack::host {

namespace {
constexpr std::string_view state_head = "vst3 ";
constexpr std::size_t numbers = vst3::bend_controller + 1;  // of controllers
constexpr std::int32_t offline_or_live = 0, single_precision = 0;
}  // namespace

Vst3Plugin::Vst3Plugin(vst3::Factory& factory, const vst3::Id id, double rate, int block)
    : HostedPlugin(block), rate_(rate) {
  void* object = nullptr;
  const bool is_made = factory.create(reinterpret_cast<const char*>(id),
                                      reinterpret_cast<const char*>(vst3::Component::id.bytes), &object) == vst3::ok;
  if (!is_made || object == nullptr) throw std::runtime_error("it refuses to be instantiated");
  component_ = Vst3Pointer(static_cast<vst3::Component*>(object));
  if (component_->initialise(&application_) != vst3::ok) throw std::runtime_error("it refuses to be initialised");
  try {
    processor_ = Vst3Pointer<vst3::Processor>::of(component_.get());
    if (!processor_) throw std::runtime_error("it does not process sound");
    find_controller(factory);
    read_parameters();
    inputs_ = side(vst3::input);
    outputs_ = side(vst3::output);
    set_up(rate);
  } catch (...) {
    end();
    throw;
  }
}

Vst3Plugin::~Vst3Plugin() {
  activate(false);
  end();
}

void Vst3Plugin::end() {
  if (component_end_ && controller_end_) {
    component_end_->disconnect(controller_end_.get());
    controller_end_->disconnect(component_end_.get());
  }
  if (controller_) controller_->set_handler(nullptr);
  if (controller_ && is_controller_apart_) controller_->terminate();
  component_->terminate();
}

// The component itself, or an object of another class, to which it is connected.
void Vst3Plugin::find_controller(vst3::Factory& factory) {
  controller_ = Vst3Pointer<vst3::Controller>::of(component_.get());
  if (!controller_) {
    vst3::Id id{};
    void* object = nullptr;
    if (component_->get_controller_class(id) != vst3::ok ||
        factory.create(reinterpret_cast<const char*>(id), reinterpret_cast<const char*>(vst3::Controller::id.bytes),
                       &object) != vst3::ok ||
        object == nullptr) {
      return;  // it has no values to move
    }
    controller_ = Vst3Pointer(static_cast<vst3::Controller*>(object));
    if (controller_->initialise(&application_) != vst3::ok) throw std::runtime_error("its controller does not start");
    is_controller_apart_ = true;
  }
  controller_->set_handler(&handler_);
  if (!is_controller_apart_) return;
  component_end_ = Vst3Pointer<vst3::Connection>::of(component_.get());
  controller_end_ = Vst3Pointer<vst3::Connection>::of(controller_.get());
  if (component_end_ && controller_end_) {
    component_end_->connect(controller_end_.get());
    controller_end_->connect(component_end_.get());
  }
  Vst3Stream state;
  if (component_->get_state(&state) == vst3::ok) {
    Vst3Stream copy(state.bytes());
    controller_->set_component_state(&copy);
  }
}

void Vst3Plugin::read_parameters() {
  const std::int32_t count = controller_ ? controller_->parameter_count() : 0;
  for (std::int32_t i = 0; i < count; ++i) {
    vst3::ParameterInfo info{};
    if (controller_->parameter_info(i, &info) != vst3::ok) throw std::runtime_error("it does not tell its parameters");
    parameters_.push_back(info);
  }
  changes_ = std::make_unique<Vst3Changes>(parameters_.size());
  given_out_ = std::make_unique<Vst3Changes>(parameters_.size(), true);
  values_.resize(parameters_.size());
  given_ = std::vector<std::atomic<float>>(parameters_.size());
  for (auto& position : given_) position = std::numeric_limits<float>::quiet_NaN();
  read_values();
}

Vst3Plugin::Side Vst3Plugin::side(std::int32_t direction) const {
  Side side;
  for (std::int32_t i = 0; i < component_->bus_count(vst3::audio, direction); ++i) {
    vst3::BusInfo bus{};
    if (component_->bus_info(vst3::audio, direction, i, &bus) != vst3::ok || bus.channels < 0) {
      throw std::runtime_error("it does not tell its audio buses");
    }
    side.buses.push_back(bus);
    side.add(static_cast<std::size_t>(bus.channels));
  }
  for (auto& row : side.rows) side.buffers.push_back({static_cast<std::int32_t>(row.size()), 0, row.data()});
  return side;
}

void Vst3Plugin::Side::point_to(float* first, std::size_t stride) {
  ChannelRows::point_to(first, stride);
  for (vst3::Buffers& buffer : buffers) buffer.silent = 0;
}

void Vst3Plugin::set_up(double rate) {
  if (processor_->takes_sample_size(single_precision) != vst3::ok) {
    throw std::runtime_error("it does not take 32-bit samples");
  }
  for (const std::int32_t direction : {vst3::input, vst3::output}) {
    const Side& side = direction == vst3::input ? inputs_ : outputs_;
    for (std::size_t i = 0; i < side.buses.size(); ++i) {
      component_->activate_bus(vst3::audio, direction, static_cast<std::int32_t>(i), 1);
    }
  }
  hears_midi_ = component_->bus_count(vst3::events, vst3::input) > 0;
  if (hears_midi_) component_->activate_bus(vst3::events, vst3::input, 0, 1);
  read_controllers();
  vst3::Setup setup{offline_or_live, single_precision, block_, rate};
  if (processor_->setup(&setup) != vst3::ok) {
    throw std::runtime_error("it cannot play at " + std::to_string(static_cast<int>(rate)) + " Hz");
  }
  activate(true);
}

// The places of the parameters that controllers of MIDI move; asked here, for that is not for the audio thread.
void Vst3Plugin::read_controllers() {
  const auto mapping = Vst3Pointer<vst3::MidiMapping>::of(controller_.get());
  if (!mapping || !hears_midi_) return;
  controllers_.assign(16 * numbers, -1);
  for (std::size_t i = 0; i < controllers_.size(); ++i) {
    std::uint32_t id = 0;
    const auto channel = static_cast<std::int16_t>(i / numbers), number = static_cast<std::int16_t>(i % numbers);
    if (mapping->parameter(0, channel, number, &id) != vst3::ok) continue;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (parameters_[p].id == id) controllers_[i] = static_cast<std::int32_t>(p);
    }
  }
}

void Vst3Plugin::activate(bool on) {
  if (on) {
    component_->set_active(1);
    look_up_latency();
    processor_->set_processing(1);
  } else {
    processor_->set_processing(0);
    component_->set_active(0);
  }
}

void Vst3Plugin::prepare() {
  hand_over();
  if (idle()) restart();
  reset();
}

void Vst3Plugin::look_up_latency() { latency_ = checked_latency(static_cast<double>(processor_->latency())); }

void Vst3Plugin::reset() {
  activate(false);
  activate(true);
}

bool Vst3Plugin::is_control_input(std::size_t number) const {
  return number < parameters_.size() && (parameters_[number].flags & vst3::is_read_only) == 0;
}

void Vst3Plugin::collect_changes() {
  changes_->clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (values_[i] == sent_[i] || !is_control_input(i)) continue;
    sent_[i] = values_[i];
    const double position = std::clamp(static_cast<double>(values_[i]), 0.0, 1.0);
    changes_->add(parameters_[i].id, nullptr)->add(0, position, nullptr);
  }
}

// Keys are events; a controller is a value, if the plugin says which.
void Vst3Plugin::collect_messages() {
  keys_.all.clear();
  if (!hears_midi_) return;
  for (const MidiMessage& message : messages_) {
    const auto channel = static_cast<std::int16_t>(message.channel());
    const std::int16_t first = message.bytes[1], second = message.bytes[2];
    const float force = static_cast<float>(second) / 127.0f;
    vst3::Event event{0, static_cast<std::int32_t>(message.frame), transport_.beat, 0, 0, {}};
    if (message.begins_note()) {
      event.type = vst3::note_on_event;
      event.note_on = {channel, first, 0.0f, force, 0, -1};
    } else if (message.ends_note()) {
      event.type = vst3::note_off_event;
      event.note_off = {channel, first, force, -1, 0.0f};
    } else if (message.kind() == MidiMessage::poly_pressure) {
      event.type = vst3::poly_pressure_event;
      event.poly_pressure = {channel, first, force, -1};
    } else {
      const bool bends = message.kind() == MidiMessage::bend, presses = message.kind() == MidiMessage::pressure;
      const std::int16_t number = bends ? vst3::bend_controller : presses ? vst3::pressure_controller : first;
      const double value = bends ? (first + 128 * second) / 16383.0 : (presses ? first : second) / 127.0;
      const bool moves = message.kind() != MidiMessage::program && !controllers_.empty();
      const std::size_t which = message.channel() * numbers + static_cast<std::size_t>(number);
      const std::int32_t place = moves ? controllers_[which] : -1;
      if (place < 0) continue;
      const auto at = static_cast<std::size_t>(place);
      if (auto* queue = changes_->add(parameters_[at].id, nullptr); queue != nullptr) {
        queue->add(event.offset, value, nullptr);
        values_[at] = sent_[at] = given_[at] = static_cast<float>(value);
      }
      continue;
    }
    keys_.all.push_back(event);
  }
}

void Vst3Plugin::play(float* rows, int first, int frames) {
  const auto stride = static_cast<std::size_t>(block_);
  inputs_.point_to(rows + first, stride);
  outputs_.point_to(rows + static_cast<std::size_t>(inputs_.channels) * stride + first, stride);
  collect_changes();
  collect_messages();
  given_out_->clear();
  vst3::Context context{};
  context.flags = vst3::is_playing | vst3::has_beat | vst3::has_tempo | vst3::has_bar | vst3::has_signature |
                  vst3::has_continuous_frame;
  context.sample_rate = rate_;
  context.frame = context.continuous_frame = transport_.frame;
  context.beat = transport_.beat;
  context.bar_start = std::floor(transport_.beat / TempoMap::beats_in_bar) * TempoMap::beats_in_bar;
  context.bpm = transport_.bpm;
  context.numerator = TempoMap::beats_in_bar;
  context.denominator = 4;
  vst3::Data data{offline_or_live,
                  single_precision,
                  frames,
                  static_cast<std::int32_t>(inputs_.buffers.size()),
                  static_cast<std::int32_t>(outputs_.buffers.size()),
                  inputs_.buffers.data(),
                  outputs_.buffers.data(),
                  changes_.get(),
                  given_out_.get(),
                  &keys_,
                  &no_keys_,
                  &context};
  vst3::Result result = vst3::no;
  counted([&] { result = processor_->process(&data); });
  if (result != vst3::ok) {
    outputs_.silence(frames);
  }
}

// Takes the values that the plugin moved itself, such as meters.
void Vst3Plugin::after_run() {
  for (std::int32_t c = 0; c < given_out_->count(); ++c) {
    Vst3Queue& queue = *given_out_->queue(c);
    if (!queue.last()) continue;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].id == queue.parameter()) values_[i] = sent_[i] = given_[i] = static_cast<float>(*queue.last());
    }
  }
}

// A value that the processor has not got yet stays as it was set: it goes with the next block.
void Vst3Plugin::refresh() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const auto id = parameters_[i].id;
    if (values_[i] != shown_[i] && is_control_input(i)) controller_->set_position(id, static_cast<double>(values_[i]));
    shown_[i] = static_cast<float>(controller_->position(id));
    if (values_[i] == sent_[i]) values_[i] = sent_[i] = shown_[i];
  }
}

// Plays a block of silence, as values go with blocks only.
void Vst3Plugin::hand_over() {
  if (values_ == sent_) return;
  std::vector<float> silence(static_cast<std::size_t>(inputs_.channels + outputs_.channels) *
                             static_cast<std::size_t>(block_));
  run(silence.data(), 0, block_);
  refresh();
}

void Vst3Plugin::read_values() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    values_[i] = static_cast<float>(controller_->position(parameters_[i].id));
  }
  sent_ = shown_ = values_;
}

std::string Vst3Plugin::save(bool plays) {
  if (!plays) hand_over();
  Vst3Stream component, controller;
  if (component_->get_state(&component) != vst3::ok) throw std::runtime_error("it gives no state");
  if (controller_ && is_controller_apart_) controller_->get_state(&controller);
  return std::string(state_head) + to_base64(component.bytes()) + " " + to_base64(controller.bytes());
}

void Vst3Plugin::restore(const std::string& text) {
  const std::size_t space = text.find(' ', state_head.size());
  if (text.compare(0, state_head.size(), state_head) != 0 || space == std::string::npos) {
    throw std::runtime_error("the text is not the state of a VST3 plugin");
  }
  const std::string component =
      from_base64(std::string_view(text).substr(state_head.size(), space - state_head.size()));
  const std::string controller = from_base64(std::string_view(text).substr(space + 1));
  Vst3Stream to_component(component), to_controller(component), own(controller);
  if (component_->set_state(&to_component) != vst3::ok) throw std::runtime_error("it refuses this state");
  if (controller_ && is_controller_apart_) {
    controller_->set_component_state(&to_controller);
    if (!controller.empty()) controller_->set_state(&own);
  }
  if (controller_) read_values();
}

Presets Vst3Plugin::presets() const {
  Presets all;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if ((parameters_[i].flags & vst3::is_program) == 0) continue;
    for (const PortFacts::Sample& program : control(parameters_[i], static_cast<int>(i)).samples) {
      all.emplace_back(std::to_string(i) + "=" + std::to_string(program.number), program.text);
    }
  }
  return all;
}

void Vst3Plugin::load_preset(const std::string& address) {
  const std::size_t equals = address.find('='), number = std::strtoul(address.c_str(), nullptr, 10);
  if (equals == std::string::npos || number >= parameters_.size() ||
      (parameters_[number].flags & vst3::is_program) == 0) {
    throw std::invalid_argument("it has no preset " + address);
  }
  values_[number] = std::strtof(address.c_str() + equals + 1, nullptr);
  refresh();
  hand_over();
  if (idle()) restart();
  hand_over();
}

// The controller hears from the host which values the processor moved; some then ask for a restart.
bool Vst3Plugin::idle() {
  for (std::size_t i = 0; i < given_.size(); ++i) {
    const float position = given_[i].exchange(std::numeric_limits<float>::quiet_NaN());
    if (std::isnan(position)) continue;
    controller_->set_position(parameters_[i].id, static_cast<double>(position));
    shown_[i] = position;
  }
  return handler_.restarts != 0;
}

void Vst3Plugin::restart() {
  const int flags = handler_.restarts.exchange(0);
  const auto edits = handler_.take_edits();
  if ((flags & (vst3::reload | vst3::latency_changed)) != 0) reset();
  if ((flags & (vst3::reload | vst3::values_changed)) != 0 && controller_) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const auto position = static_cast<float>(controller_->position(parameters_[i].id));
      if (position != shown_[i]) values_[i] = shown_[i] = position;  // to be sent to the processor
      for (const auto& [parameter, edited] : edits) {
        if (parameter == parameters_[i].id) values_[i] = shown_[i] = static_cast<float>(edited);
      }
    }
  }
}

std::string Vst3Plugin::group_of(std::int32_t unit) const {
  const auto units = Vst3Pointer<vst3::Units>::of(controller_.get());
  for (std::int32_t i = 0; unit != 0 && units && i < units->unit_count(); ++i) {
    vst3::UnitInfo info{};
    if (units->unit_info(i, &info) == vst3::ok && info.id == unit) return narrow(info.name, std::size(info.name));
  }
  return "";
}

PortFacts Vst3Plugin::control(const vst3::ParameterInfo& parameter, int index) const {
  PortFacts facts;
  facts.index = index;
  facts.number = parameter.id;
  facts.name = narrow(parameter.title, std::size(parameter.title));
  facts.unit_symbol = narrow(parameter.unit, std::size(parameter.unit));
  facts.group = group_of(parameter.unit_id);
  facts.is_input = is_control_input(static_cast<std::size_t>(index));
  facts.is_integer = parameter.steps > 0;
  facts.is_enumeration = (parameter.flags & vst3::is_list) != 0;
  facts.designation = (parameter.flags & vst3::is_bypass) != 0    ? "bypass"
                      : (parameter.flags & vst3::is_program) != 0 ? "program"
                      : (parameter.flags & vst3::is_hidden) != 0  ? "hidden"
                                                                  : "";
  facts.initial = within(parameter.initial, 0.0, 1.0);
  facts.least = 0.0;
  facts.most = 1.0;
  if (facts.designation == "hidden") return facts;  // nobody sets it by its value
  for (const double position : sampled_values(0.0, 1.0, facts.initial, parameter.steps)) {
    vst3::Text text{};
    const bool is_told = controller_->to_text(parameter.id, position, text) == vst3::ok;
    facts.samples.push_back(
        {position, controller_->to_value(parameter.id, position), is_told ? narrow(text, std::size(text)) : ""});
  }
  return facts;
}

std::vector<PortFacts> Vst3Plugin::ports() const {
  std::vector<PortFacts> all;
  for (const vst3::ParameterInfo& parameter : parameters_) {
    all.push_back(control(parameter, static_cast<int>(all.size())));
  }
  for (const Side* side : {&inputs_, &outputs_}) {
    for (const vst3::BusInfo& bus : side->buses) {
      const bool is_input = side == &inputs_, is_sidechain = is_input && bus.type == vst3::side_bus;
      const std::string name = narrow(bus.name, std::size(bus.name));
      for (std::int32_t c = 0; c < bus.channels; ++c) {
        all.push_back(audio_channel(all.size(), is_input, is_sidechain, name, c, bus.channels));
      }
    }
  }
  return all;
}

}  // namespace twinrack::host
