#include "export/instance.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "export/rack_file.h"

namespace twinrack {

namespace {
constexpr std::string_view state_begins = "twinrack-state 1";

// Takes the next line away from a text.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}
}  // namespace

Device::Device(FlatRack read) : rack(std::move(read)) {
  for (const FlatParameter& p : rack.parameters) parameters.push_back({p, rack.card_of(p)});
}

int Device::find(std::uint32_t id) const noexcept TR_RT {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].flat.id == id) return static_cast<int>(i);
  }
  return -1;
}

const HostParameter* Device::parameter(std::uint32_t id) const noexcept TR_RT {
  const int i = find(id);
  return i < 0 ? nullptr : &parameters[static_cast<std::size_t>(i)];
}

const std::string& Device::program_name(int program) const {
  static const std::string first = "As exported";
  return program <= 0 ? first : rack.presets[static_cast<std::size_t>(program - 1)].name;
}

float Device::program_value(int program, std::size_t parameter) const noexcept TR_RT {
  const HostParameter& p = parameters[parameter];
  if (program <= 0) return p.flat.initial;
  return p.bounded(static_cast<double>(rack.presets[static_cast<std::size_t>(program - 1)].values[parameter]));
}

Instance::Instance(const Device& device)
    : device_(device), values_(device.parameters.size()), keys_(device.rack.keys.size()) {
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i].store(device.parameters[i].flat.initial);
}

bool Instance::prepare(double rate) {
  if (player_ != nullptr && rate == rate_) return true;
  player_ = made_or_complained([&] { return std::make_unique<Player>(device_.rack, rate); });
  if (player_ == nullptr) return false;
  latency_ = static_cast<std::uint32_t>(player_->latency());
  rate_ = rate;
  return true;
}

bool Instance::activate(double rate) {
  if (!prepare(rate)) return false;
  for (std::size_t i = 0; i < values_.size(); ++i) player_->change(device_.parameters[i].flat.index, values_[i].load());
  player_->bypass(bypassed_.load());
  player_->reset();
  loaded_.store(false);
  active_ = true;
  return true;
}

void Instance::deactivate() {
  active_ = false;
  player_.reset();
}

std::uint32_t Instance::tail() const { return static_cast<std::uint32_t>(std::ceil(device_.rack.tail_s * rate_)); }

void Instance::take_state() noexcept TR_RT {
  if (player_ == nullptr || !loaded_.exchange(false)) return;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    player_->change(device_.parameters[i].flat.index, values_[i].load());
  }
}

void Instance::change(int parameter, float value) noexcept TR_RT {
  values_[static_cast<std::size_t>(parameter)].store(value);
  if (player_ != nullptr) player_->change(device_.parameters[static_cast<std::size_t>(parameter)].flat.index, value);
}

void Instance::choose(int program) noexcept TR_RT {
  if (program < 0 || program >= device_.program_count() || program_.exchange(program) == program) return;
  for (std::size_t i = 0; i < values_.size(); ++i) change(static_cast<int>(i), device_.program_value(program, i));
}

void Instance::load_program(int program) {
  if (program < 0 || program >= device_.program_count()) return;
  program_.store(program);
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i].store(device_.program_value(program, i));
  loaded_.store(true);
}

void Instance::reset() noexcept TR_RT {
  if (player_ != nullptr) player_->reset();
}

void Instance::bypass(bool on) noexcept TR_RT {
  bypassed_.store(on);
  if (player_ != nullptr) player_->bypass(on);
}

float Instance::value(int parameter) const noexcept TR_RT {
  return values_[static_cast<std::size_t>(parameter)].load();
}

std::string Instance::state() const {
  std::string text = std::string(state_begins) + "\nbypass " + (bypassed() ? "1" : "0") + "\n";
  if (!device_.rack.presets.empty()) text += "program " + std::to_string(program()) + "\n";
  for (std::size_t i = 0; i < values_.size(); ++i) {
    text += device_.parameters[i].flat.symbol + " " + decimals(static_cast<double>(values_[i].load()), 9) + "\n";
  }
  return text;
}

bool Instance::load_state(std::string_view text) {
  if (next_line(text) != state_begins) {
    complain("the state is none of twinrack's, or of another version");
    return false;
  }
  std::vector<std::pair<std::size_t, float>> read;
  std::optional<bool> bypassed;
  int program = program_.load();
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    const std::size_t space = std::min(line.find(' '), line.size());
    double number = 0.0;
    if (space == line.size() || !read_number(line.substr(space + 1), number, true)) {
      complain("the state is damaged: " + std::string(line));
      return false;
    }
    if (line.substr(0, space) == "bypass") bypassed = number > 0.5;
    if (line.substr(0, space) == "program") {
      program = static_cast<int>(std::clamp(number, 0.0, static_cast<double>(device_.program_count() - 1)));
    }
    for (std::size_t i = 0; i < device_.parameters.size(); ++i) {
      const HostParameter& p = device_.parameters[i];
      if (p.flat.symbol == line.substr(0, space)) read.emplace_back(i, p.bounded(number));
    }
  }
  for (const auto& [i, value] : read) values_[i].store(value);
  program_.store(program);
  loaded_.store(true);
  if (bypassed.has_value()) bypass(*bypassed);
  return true;
}

}  // namespace twinrack
