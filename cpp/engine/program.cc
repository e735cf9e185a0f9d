#include "engine/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "rt/float_guard.h"

namespace twinrack {

namespace {
constexpr float largest_float = std::numeric_limits<float>::max();

// A parameter at sigmoid(logit(own position in its range) + amount), in its own scale: never outside its range.
float driven_value(const Parameter& p, float own, double amount) noexcept TR_RT {
  constexpr double margin = 0.01;
  const bool log = p.scale == Scale::log;
  const double low = static_cast<double>(p.min), high = static_cast<double>(p.max), at = static_cast<double>(own);
  const double span = log ? std::log(high / low) : high - low;
  const double position = std::clamp((log ? std::log(at / low) : at - low) / span, margin, 1.0 - margin);
  const double moved = 1.0 / (1.0 + (1.0 - position) / position * std::exp(-amount));
  const auto value = static_cast<float>(log ? low * std::exp(span * moved) : low + span * moved);
  return std::clamp(value, p.min, p.max);
}
}  // namespace

Program::Program(const Node& root, const Format& format) : rack_(compile(root, format)), run_(format, rack_.rows) {
  const auto count = static_cast<std::size_t>(format.channels);
  buffers_.resize(rack_.buffers);
  for (std::size_t b = 1; b < buffers_.size(); ++b) buffers_[b].assign(count, std::vector<float>(max_segment));
  for (Buffer& buffer : buffers_) {
    std::vector<float*> row;
    for (auto& channel : buffer) row.push_back(channel.data());
    pointers_.push_back(row);
  }
  levels_.resize(buffers_.size());
  control_values_.resize(rack_.slots.size());
  for (const Glide& glide : rack_.glides) in_effect_.push_back(glide.value());
}

void Program::set_parameter(int parameter, float value, bool jump) noexcept TR_RT {
  if (parameter < 0 || parameter >= parameter_count() || !std::isfinite(value)) return;
  Glide& glide = rack_.glides[static_cast<std::size_t>(parameter)];
  jump ? glide.jump(value) : glide.glide_to(value);
  run_.moving = true;
}

void Program::set_bypass(int effect, bool bypass, bool jump) noexcept TR_RT {
  if (effect < 0 || effect >= effect_count()) return;
  Slot& slot = rack_.slots[static_cast<std::size_t>(effect)];
  slot.fade.bypass = bypass;
  slot.sleep.asleep = false;  // what fades or only passes keeps its time
  if (jump) slot.fade.wet_steps = slot.fade.target();
  run_.moving = true;
}

void Program::reset() noexcept TR_RT {
  for (Glide& glide : rack_.glides) glide.arrive();
  for (Slot& slot : rack_.slots) slot.clear();
  for (auto& lines : rack_.delays) {
    for (DelayLine& line : lines) line.reset();
  }
  run_.moving = true;
}

void Program::tick(bool first, bool grid) noexcept TR_RT {
  run_.frame_in_tick = 0;
  if (grid && !first) {
    for (Slot& slot : rack_.slots) slot.try_sleep(may_sleep_);
  }
  if (!run_.moving && !first) return;
  run_.moving = !rack_.driven.empty();  // an effect that drives others does so in every tick
  for (Slot& slot : rack_.slots) {
    const bool moving = advance_glides(slot);
    run_.moving = run_.moving || moving;
  }
  drive();
  for (Slot& slot : rack_.slots) {
    tune(slot);
    first ? slot.start() : slot.advance_bypass(grid, run_);
  }
}

bool Program::advance_glides(Slot& slot) noexcept TR_RT {
  bool moving = false;
  slot.changed = false;
  for (std::size_t i = 0; i < slot.values.size(); ++i) {
    Glide& glide = rack_.glides[slot.first_parameter + i];
    if (!glide.moving()) continue;
    slot.changed = glide.advance() || slot.changed;
    slot.values[i] = glide.value();
    moving = moving || glide.moving();
  }
  return moving;
}

void Program::drive() noexcept TR_RT {
  constexpr double largest_amount = 30.0;  // the value is then at the end of its range
  for (std::size_t i = 0; i < rack_.slots.size(); ++i) {
    Slot& slot = rack_.slots[i];
    if (!slot.drives.empty()) control_values_[i] = slot.effect.control_values();
  }
  for (const DrivenValue& d : rack_.driven) {
    Slot& slot = rack_.slots[d.slot];
    const double wet = static_cast<double>(rack_.slots[d.by].fade.wet_steps) / BypassFade::ticks;
    const std::span<const float> numbers = control_values_[d.by];  // fewer than it drives, where its network is missing
    const double number = d.output < numbers.size() ? static_cast<double>(numbers[d.output]) : 0.0;
    const double amount = std::isfinite(number) ? wet * std::clamp(number, -largest_amount, largest_amount) : 0.0;
    const float own = rack_.glides[d.parameter].value();
    const float value = amount == 0.0 ? own : driven_value(slot.effect.type().parameters[d.in_slot], own, amount);
    if (value == slot.values[d.in_slot]) continue;
    slot.values[d.in_slot] = value;
    slot.changed = true;
  }
}

// Tunes an effect whose values changed or whose ramps run, and once more after.
void Program::tune(Slot& slot) noexcept TR_RT {
  const bool moves = slot.changed || slot.effect.is_ramping();
  if (moves || !slot.ramps_ended) {
    slot.effect.tune(slot.values.data());
    std::copy_n(slot.values.data(), slot.values.size(), in_effect_.data() + slot.first_parameter);
    slot.sleep.asleep = false;
  }
  slot.ramps_ended = !moves;
  run_.moving = run_.moving || moves;
}

float* const* Program::channels(std::size_t buffer, float* const* io) noexcept TR_RT {
  return buffer == 0 ? io : pointers_[buffer].data();
}

void Program::process(float* const* io, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT {
  levels_[0] = {level, true};
  for (const Step& step : rack_.steps) run_step(step, io, keys, frames);
  run_.frame_in_tick += frames;
  metered_frames_ += static_cast<std::uint64_t>(frames);
}

void Program::run_step(const Step& step, float* const* io, const SideBlock* keys, int frames) noexcept TR_RT {
  const int count = run_.format.channels;
  float* const* to = channels(step.to, io);
  float* const* from = channels(step.from, io);
  KnownLevel& known = levels_[step.to];
  switch (step.kind) {
    case Step::Kind::effect:
      if constexpr (!has_float_mode) {
        run_.kernel.flush(to, count, frames);
        known.known = false;
      }
      if (!known.known) known = {run_.kernel.measure(to, count, frames), true};
      rack_.slots[step.index].process(to, keys, frames, known.level, run_);
      if constexpr (!has_float_mode) run_.kernel.flush(to, count, frames);
      break;
    case Step::Kind::split:
      run_split(step, io, keys, frames);
      break;
    case Step::Kind::copy:
      for (int c = 0; c < count; ++c) std::memcpy(to[c], from[c], sizeof(float) * static_cast<std::size_t>(frames));
      known = levels_[step.from];
      break;
    case Step::Kind::add:
      for (int c = 0; c < count; ++c) {
        // The sum of two finite numbers may be infinite.
        for (int n = 0; n < frames; ++n) to[c][n] = std::clamp(to[c][n] + from[c][n], -largest_float, largest_float);
      }
      known.known = false;
      break;
    case Step::Kind::delay:
      if (step.frames == 0) break;
      for (int c = 0; c < count; ++c) {
        DelayLine& line = rack_.delays[step.index][static_cast<std::size_t>(c)];
        line.write(to[c], frames);
        std::copy_n(line.written(frames, step.frames), frames, to[c]);
      }
      known.known = false;
      break;
  }
}

// The buffers of all branches are one block for the effect, with the sound in the first of them.
void Program::run_split(const Step& step, float* const* io, const SideBlock* keys, int frames) noexcept TR_RT {
  const int count = run_.format.channels;
  float* rows[max_rows];
  for (int b = 0; b < step.branches; ++b) {
    const std::size_t buffer = b == 0 ? step.from : step.to + static_cast<std::size_t>(b - 1);
    for (int c = 0; c < count; ++c) {
      float* row = rows[b * count + c] = channels(buffer, io)[c];
      if (b > 0) std::fill_n(row, frames, 0.0f);
    }
    if (b > 0) levels_[buffer].known = false;
  }
  KnownLevel& known = levels_[step.from];
  if constexpr (!has_float_mode) {
    run_.kernel.flush(rows, count, frames);
    known.known = false;
  }
  if (!known.known) known.level = run_.kernel.measure(rows, count, frames);
  rack_.slots[step.index].process(rows, keys, frames, known.level, run_);
  if constexpr (!has_float_mode) run_.kernel.flush(rows, count * step.branches, frames);
  known.known = false;
}

void Program::state(StateArchive& archive) {
  archive.section("the format");
  archive.same(run_.format.sample_rate);
  archive.same(run_.format.channels);
  archive.section("the structure");
  archive.same(rack_.slots.size());
  archive.same(rack_.steps.size());
  for (const Step& step : rack_.steps) {
    archive.same(step.kind);
    for (const std::size_t number : {step.index, step.from, step.to}) archive.same(number);
    archive.same(step.frames);
    archive.same(step.branches);
  }
  for (std::size_t i = 0; i < rack_.slots.size(); ++i) {
    const EffectType& type = rack_.slots[i].effect.type();
    const std::string number = "effect " + std::to_string(i + 1);
    if (type.create == nullptr) {
      throw std::invalid_argument(number + " works outside the engine, so its state cannot be kept");
    }
    const std::string name = number + " (" + type.id + ")";
    if (type.state == nullptr) throw std::invalid_argument(name + " has no state(), so it cannot be kept");
    archive.section(name);
    state(rack_.slots[i], archive);
  }
  archive.section("the structure");
  archive(rack_.delays, in_effect_, run_.frame_in_tick, run_.moving, may_sleep_, run_.slept, run_.faults,
          metered_frames_);
  if (archive.is_loading()) publish_meters();
}

void Program::state(Slot& slot, StateArchive& archive) {
  archive.same(slot.build_hash);
  for (std::size_t i = 0; i < slot.values.size(); ++i) {
    const Parameter& p = slot.effect.type().parameters[i];
    archive(rack_.glides[slot.first_parameter + i]);
    archive.bounded(slot.values[i], p.min, p.max);
  }
  slot.state(archive);
}

void Program::restart_meters() noexcept TR_RT {
  for (Slot& slot : rack_.slots) slot.meter.restart();
  metered_frames_ = 0;
}

void Program::publish_meters() noexcept TR_RT {
  published_frames_.store(metered_frames_, std::memory_order_relaxed);
  published_slept_.store(run_.slept, std::memory_order_relaxed);
  for (Slot& slot : rack_.slots) slot.published->store(slot.meter);
}

EffectMeter Program::meter(int effect) const noexcept {
  const std::uint64_t frames = published_frames_.load(std::memory_order_relaxed);
  const double samples = static_cast<double>(std::max<std::uint64_t>(frames, 1)) * run_.format.channels;
  return rack_.slots[static_cast<std::size_t>(effect)].published->load(samples);
}

}  // namespace twinrack
