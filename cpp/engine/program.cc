#include "engine/program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace twinrack {

namespace {
constexpr float loudest = std::numeric_limits<float>::max();
constexpr int longest_silence = 1 << 30;
constexpr double furthest = 30.0;  // a driven value is then at the end of its range

// From one position in a parameter's range to another, in its own scale.
float drive_value(const Parameter& p, float own, double said) noexcept TR_RT {
  constexpr double least = 0.01;
  const bool log = p.scale == Scale::log;
  const double low = static_cast<double>(p.min), high = static_cast<double>(p.max), at = static_cast<double>(own);
  const double span = log ? std::log(high / low) : high - low;
  const double position = std::clamp((log ? std::log(at / low) : at - low) / span, least, 1.0 - least);
  const double moved = 1.0 / (1.0 + (1.0 - position) / position * std::exp(-said));
  const auto value = static_cast<float>(log ? low * std::exp(span * moved) : low + span * moved);
  return std::clamp(value, p.min, p.max);
}
}  // namespace

Program::Program(const Node& root, const Format& format) : format_(format) {
  buffers_.emplace_back();  // buffer 0 is the caller's
  latency_ = compile(root, 0, 1, 0, false).frames;
  const auto count = static_cast<std::size_t>(format.channels);
  for (auto& buffer : buffers_) {
    std::vector<float*> row;
    for (auto& channel : buffer) row.push_back(channel.data());
    pointers_.push_back(row);
  }
  dry_.assign(count, std::vector<float>(max_segment));
  levels_.resize(buffers_.size());
  resolve_drives();
}

void Program::resolve_drives() {
  decided_.assign(slots_.size(), {});
  in_effect_.resize(glides_.size());
  for (std::size_t i = 0; i < glides_.size(); ++i) in_effect_[i] = glides_[i].value();
  for (std::size_t by = 0; by < slots_.size(); ++by) {
    const auto& drives = slots_[by].drives;
    if (drives.empty()) continue;
    if (slots_[by].effect.type().control_values == nullptr) throw std::invalid_argument("this effect drives no others");
    for (std::size_t output = 0; output < drives.size(); ++output) {
      const auto parameter = static_cast<std::size_t>(drives[output]);
      std::size_t slot = 0;
      while (slot + 1 < slots_.size() && slots_[slot + 1].first_parameter <= parameter) ++slot;
      if (drives[output] < 0 || parameter >= glides_.size()) throw std::invalid_argument("nothing there to drive");
      driven_.push_back({by, output, slot, parameter - slots_[slot].first_parameter, parameter});
    }
  }
}

// Where the driven values stand in this tick: at sigmoid(logit(own position) + what was decided), so never outside
// their range.
void Program::drive() noexcept TR_RT {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].drives.empty()) decided_[i] = slots_[i].effect.control_values();
  }
  for (const Driven& d : driven_) {
    Slot& slot = slots_[d.slot];
    const Slot& by = slots_[d.by];
    const double there = static_cast<double>(by.presence) / fade_ticks;
    const std::span<const float> decided = decided_[d.by];  // fewer than it drives, where its network is missing
    const double asked = d.output < decided.size() ? static_cast<double>(decided[d.output]) : 0.0;
    const double said = std::isfinite(asked) ? there * std::clamp(asked, -furthest, furthest) : 0.0;
    const float own = glides_[d.parameter].value();
    const float value = said == 0.0 ? own : drive_value(slot.effect.type().parameters[d.place], own, said);
    if (value == slot.values[d.place]) continue;
    slot.values[d.place] = value;
    slot.changed = true;
  }
}

Program::Delay Program::compile(const Node& node, std::size_t buffer, std::size_t free, int before, bool beside) {
  if (node.kind == Node::Kind::effect) return compile_effect(node, buffer, before, beside);
  if (node.kind == Node::Kind::parallel) return compile_parallel(node, buffer, free, before, beside);
  Delay all;
  for (const Node& child : node.children) {
    const Delay own = compile(child, buffer, free, before + all.frames, beside);
    all.frames += own.frames;
    all.dispersion += own.dispersion;
  }
  return all;
}

Program::Delay Program::compile_effect(const Node& node, std::size_t buffer, int before, bool beside) {
  const bool has_worker = node.worker != nullptr;
  const EffectType* type = has_worker ? &worker_effect_type() : find_effect(node.effect.c_str());
  if (type == nullptr) throw std::invalid_argument("no effect is called " + node.effect);
  if (node.values.size() != static_cast<std::size_t>(type->parameter_count)) {
    throw std::invalid_argument(node.effect + " has " + std::to_string(type->parameter_count) + " parameters, got " +
                                std::to_string(node.values.size()));
  }
  for (const float value : node.values) {
    if (!std::isfinite(value)) throw std::invalid_argument("a value of " + node.effect + " is NaN or infinity");
  }
  for (const auto& row : node.resource) {
    if (row.size() != node.resource.front().size()) throw std::invalid_argument("rows of a resource are equally long");
  }
  const int presence = node.bypass ? 0 : fade_ticks;
  if (has_worker && node.worker->channels() != format_.channels) {
    throw std::invalid_argument("the worker of this effect has another number of channels");
  }
  slots_.push_back({has_worker ? make_worker_effect(node.worker) : EffectInstance(*type),
                    glides_.size(),
                    node.values,
                    node.key,
                    node.drives,
                    0,
                    {},
                    presence,
                    presence,
                    node.bypass});
  Slot& slot = slots_.back();
  for (std::size_t i = 0; i < node.values.size(); ++i) {
    glides_.emplace_back();
    glides_.back().prepare(type->parameters[i], format_.sample_rate, node.values[i]);
    glides_.back().advance();
    slot.values[i] = glides_.back().value();
  }
  slot.effect.prepare(format_);
  std::vector<const float*> channels;
  for (const auto& channel : node.resource) channels.push_back(channel.data());
  const std::size_t frames = node.resource.empty() ? 0 : node.resource.front().size();
  slot.effect.load({channels.data(), static_cast<int>(channels.size()), static_cast<int>(frames)});
  slot.effect.tune(slot.values.data());
  slot.effect.reset();
  const int dispersion = slot.effect.dispersion();
  slot.latency = slot.effect.latency() - (beside ? 0 : dispersion);
  if (slot.latency > 0) {
    slot.dry.resize(static_cast<std::size_t>(format_.channels));
    for (auto& line : slot.dry) line.prepare(slot.latency, max_segment);
  }
  if (node.key >= 0 && before > 0) {
    slot.late = before;
    slot.key_lines.resize(max_channels);
    slot.key_channels.resize(max_channels);
    for (auto& line : slot.key_lines) line.prepare(before, max_segment);
  }
  slot.made_of = digest(type->target, digest(type->id));
  slot.made_of = digest(std::vector<int>{slot.key, slot.latency, slot.late}, digest(slot.drives, slot.made_of));
  for (const auto& row : node.resource) slot.made_of = digest(row, slot.made_of);
  steps_.push_back({Step::Kind::effect, slots_.size() - 1, buffer, buffer});
  return {slot.latency, beside ? dispersion : 0};
}

Program::Delay Program::compile_parallel(const Node& node, std::size_t buffer, std::size_t free, int before,
                                         bool beside) {
  const std::size_t branches = node.children.size();
  if (branches == 0) throw std::invalid_argument("a parallel has at least one branch");
  if (branches == 0) throw std::invalid_argument("a Parallel needs at least one branch");
  while (buffers_.size() < free + branches - 1) {
    buffers_.emplace_back(static_cast<std::size_t>(format_.channels), std::vector<float>(max_segment));
  }
  const auto place = [&](std::size_t branch) { return branch == 0 ? buffer : free + branch - 1; };
  for (std::size_t b = 1; b < branches; ++b) steps_.push_back({Step::Kind::copy, 0, buffer, place(b)});
  std::vector<int> latency;
  std::vector<std::size_t> delay_at;
  int dispersion = 0;
  for (std::size_t b = 0; b < branches; ++b) {
    const Delay own = compile(node.children[b], place(b), free + branches - 1, before, true);
    latency.push_back(own.frames);
    dispersion = std::max(dispersion, own.dispersion);
    delay_at.push_back(steps_.size());
    steps_.push_back({Step::Kind::delay, delays_.size(), place(b), place(b)});
    delays_.emplace_back(static_cast<std::size_t>(format_.channels));
  }
  const int longest = *std::max_element(latency.begin(), latency.end());
  for (std::size_t b = 0; b < branches; ++b) {
    Step& step = steps_[delay_at[b]];
    step.frames = longest - latency[b];
    if (step.frames == 0) continue;
    for (auto& line : delays_[step.slot]) line.prepare(step.frames, max_segment);
  }
  for (std::size_t b = 1; b < branches; ++b) steps_.push_back({Step::Kind::add, 0, place(b), buffer});
  return beside ? Delay{longest, dispersion} : Delay{longest - dispersion, 0};
}

void Program::set_parameter(int parameter, float value, bool jump) noexcept TR_RT {
  if (parameter < 0 || parameter >= parameter_count() || !std::isfinite(value)) return;
  Glide& glide = glides_[static_cast<std::size_t>(parameter)];
  jump ? glide.jump(value) : glide.glide_to(value);
  moving_ = true;
}

void Program::set_bypass(int effect, bool bypass, bool jump) noexcept TR_RT {
  if (effect < 0 || effect >= effect_count()) return;
  Slot& slot = slots_[static_cast<std::size_t>(effect)];
  slot.bypass = bypass;
  slot.asleep = false;  // what fades or only passes keeps its time
  if (jump) slot.presence = bypass ? 0 : fade_ticks;
  moving_ = true;
}

void Program::tick(bool first, bool grid) noexcept TR_RT {
  frame_in_tick_ = 0;
  if (grid && !first) {
    for (Slot& slot : slots_) doze(slot);
  }
  if (!moving_ && !first) return;
  moving_ = !driven_.empty();  // who drives listens from tick to tick
  for (Slot& slot : slots_) {
    slot.changed = false;
    for (std::size_t i = 0; i < slot.values.size(); ++i) {
      Glide& glide = glides_[slot.first_parameter + i];
      if (!glide.moving()) continue;
      slot.changed = glide.advance() || slot.changed;
      slot.values[i] = glide.value();
      moving_ = moving_ || glide.moving();
    }
  }
  drive();
  for (Slot& slot : slots_) {
    const bool moves = slot.changed || slot.effect.is_ramping();
    if (moves || !slot.settled) {
      slot.effect.tune(slot.values.data());
      std::copy_n(slot.values.data(), slot.values.size(), in_effect_.data() + slot.first_parameter);
      slot.asleep = false;
    }
    slot.settled = !moves;
    moving_ = moving_ || !slot.settled;
    if (first) {
      slot.effect.reset();
      slot.presence = slot.presence_before = slot.bypass ? 0 : fade_ticks;
      slot.asleep = slot.heard = slot.opens = false;
      slot.silent = 0;
    } else {
      go_on(slot, grid);
    }
  }
}

// One tick of an effect's fade between bypassed and heard. It starts from a clean state and runs unheard for as long as
// it holds the sound back, so that the fade never goes through silence.
void Program::go_on(Slot& slot, bool grid) noexcept TR_RT {
  const int target = slot.bypass ? 0 : fade_ticks;
  slot.presence_before = slot.presence;
  if (slot.failed && !grid) {
    moving_ = true;
    return;
  }
  if (slot.failed || (slot.presence == 0 && target > 0 && slot.waiting == 0)) {
    slot.failed = slot.asleep = false;
    slot.effect.reset();
    slot.waiting = 1 + open_ticks + (slot.latency + tick_frames - 1) / tick_frames;
    slot.opening = 0;
  }
  if (slot.waiting > 0) --slot.waiting;
  slot.opens = slot.opening < open_ticks;
  if (slot.opens) ++slot.opening;
  if (slot.waiting == 0) slot.presence += std::clamp(target - slot.presence, -1, 1);
  moving_ = moving_ || slot.waiting > 0 || slot.presence != target || slot.presence_before != slot.presence;
}

// An effect falls asleep only at multiples of max_segment, so that it sounds the same in any blocks. One that is fading
// or moving stays awake.
void Program::doze(Slot& slot) noexcept TR_RT {
  slot.silent = slot.heard ? 0 : std::min(slot.silent + max_segment, longest_silence);
  slot.heard = false;
  const bool steady = slot.settled && !slot.failed && slot.waiting == 0 && slot.presence == fade_ticks && !slot.bypass;
  if (slot.asleep || !steady || !may_sleep_ || slot.silent < std::max(slot.latency, 1)) return;
  slot.asleep = slot.effect.tail_ended(slot.silent);
}

float* const* Program::channels(std::size_t buffer, float* const* io) noexcept TR_RT {
  return buffer == 0 ? io : pointers_[buffer].data();
}

void Program::process(float* const* io, const SideBlock* keys, int frames, const BlockLevel& level) noexcept TR_RT {
  const auto bytes = sizeof(float) * static_cast<std::size_t>(frames);
  levels_[0] = {level, true};
  for (const Step& step : steps_) {
    float* const* to = channels(step.to, io);
    float* const* from = channels(step.from, io);
    Known& known = levels_[step.to];
    switch (step.kind) {
      case Step::Kind::effect:
        if (!known.known) known = {kernels_.measure(to, format_.channels, frames), true};
        run(slots_[step.slot], to, keys, frames, known.level);
        break;
      case Step::Kind::copy:
        for (int c = 0; c < format_.channels; ++c) std::memcpy(to[c], from[c], bytes);
        known = levels_[step.from];
        break;
      case Step::Kind::add:
        for (int c = 0; c < format_.channels; ++c) {
          // Two finite numbers may add up to infinity; the loudest finite number is what leaves here.
          for (int n = 0; n < frames; ++n) to[c][n] = std::clamp(to[c][n] + from[c][n], -loudest, loudest);
        }
        known.known = false;
        break;
      case Step::Kind::delay:
        if (step.frames == 0) break;
        for (int c = 0; c < format_.channels; ++c) {
          DelayLine& line = delays_[step.slot][static_cast<std::size_t>(c)];
          line.write(to[c], frames);
          std::copy_n(line.written(frames, step.frames), frames, to[c]);
        }
        known.known = false;
        break;
    }
  }
  frame_in_tick_ += frames;
  metered_frames_ += static_cast<std::uint64_t>(frames);
}

// What an effect's detector listens to, as late as the sound that it acts on.
SideBlock Program::key_of(Slot& slot, const SideBlock* keys, int frames) noexcept TR_RT {
  if (slot.key < 0 || keys == nullptr) return {nullptr, 0};
  const SideBlock& now = keys[slot.key];
  if (slot.late == 0 || now.channel == nullptr) return now;
  for (int c = 0; c < now.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    slot.key_lines[at].write(now.channel[c], frames);
    slot.key_channels[at] = slot.key_lines[at].written(frames, slot.late);
  }
  const BlockLevel level = kernels_.measure(slot.key_channels.data(), now.channels, frames);
  return {slot.key_channels.data(), now.channels, level.peak == 0.0f};
}

// `level` is that of what comes in, and becomes that of what goes out.
void Program::run(Slot& slot, float* const* io, const SideBlock* keys, int frames, BlockLevel& level) noexcept TR_RT {
  const SideBlock key = key_of(slot, keys, frames);
  const BlockLevel in = level;
  slot.in.add(in);
  const bool silent = in.peak == 0.0f && key.silent;
  slot.heard = slot.heard || !silent;
  if (slot.asleep && silent) {
    slept_now_ += static_cast<std::uint64_t>(frames);
    slot.deepest_db = std::max(slot.deepest_db, slot.effect.gain_reduction_db());
    return slot.effect.skip_silence(frames);
  }
  const bool present = !slot.failed && (slot.presence > 0 || slot.presence_before > 0 || slot.waiting > 0);
  if (!present && !slot.failed && slot.latency == 0) return slot.out.add(in);
  const auto bytes = sizeof(float) * static_cast<std::size_t>(frames);
  for (int c = 0; c < format_.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    if (slot.latency > 0) {
      slot.dry[at].write(io[c], frames);
      std::memcpy(dry_[at].data(), slot.dry[at].written(frames, slot.latency), bytes);
    } else {
      std::memcpy(dry_[at].data(), io[c], bytes);
    }
  }
  int good = 0;  // frames that the effect gives
  if (present) {
    if (slot.opens) open(slot, io, frames);
    slot.asleep ? wake(slot, io, key, frames) : slot.effect.process({io, format_.channels, frames}, key);
    slot.deepest_db = std::max(slot.deepest_db, slot.effect.gain_reduction_db());
    level = kernels_.measure(io, format_.channels, frames);
    good = frames;
    if (!level.finite) {  // the dry signal takes over at once, and the effect fades back in from a clean state
      for (int c = 0; c < format_.channels; ++c) good = std::min(good, first_fault(io[c], frames));
      ++slot.faults;
      ++faults_;
      slot.effect.reset();
      slot.failed = moving_ = true;
    }
  }
  const bool steady = present && !slot.failed && slot.presence_before == fade_ticks && slot.presence == fade_ticks;
  if (!steady) {
    const auto rest = static_cast<std::size_t>(good);
    for (int c = 0; c < format_.channels; ++c) {
      const float* dry = dry_[static_cast<std::size_t>(c)].data();
      std::copy(dry + rest, dry + frames, io[c] + rest);
    }
    fade(slot, io, good);
    level = kernels_.measure(io, format_.channels, frames);
  }
  slot.out.add(level);
  if (slot.failed) slot.presence = slot.presence_before = 0;
}

// Silence up to the first frame that is not, and on from there.
void Program::wake(Slot& slot, float* const* io, SideBlock key, int frames) noexcept TR_RT {
  int first = frames;
  const auto look = [&](const float* x) {
    int n = 0;
    while (n < first && x[n] == 0.0f) ++n;
    first = n;
  };
  for (int c = 0; c < format_.channels; ++c) look(io[c]);
  for (int c = 0; c < key.channels; ++c) look(key.channel[c]);
  slot.asleep = false;
  slot.effect.skip_silence(first);
  float* rest[max_channels];
  const float* key_rest[max_channels];
  for (int c = 0; c < format_.channels; ++c) rest[c] = io[c] + first;
  for (int c = 0; c < key.channels; ++c) key_rest[c] = key.channel[c] + first;
  const SideBlock heard{key.channel == nullptr ? nullptr : key_rest, key.channels, key.silent};
  slot.effect.process({rest, format_.channels, frames - first}, heard);
}

// What an effect hears first fades in: it would answer a sound that begins at once with a click, for as long as it
// rings.
void Program::open(const Slot& slot, float* const* io, int frames) noexcept TR_RT {
  constexpr float step = 1.0f / (open_ticks * tick_frames);
  const float share = step * static_cast<float>((slot.opening - 1) * tick_frames + frame_in_tick_ + 1);
  for (int c = 0; c < format_.channels; ++c) kernels_.crossfade(io[c], silence_.data(), share, step, frames);
}

void Program::fade(const Slot& slot, float* const* io, int frames) noexcept TR_RT {
  const float a = static_cast<float>(slot.presence_before) / fade_ticks;
  const float step = static_cast<float>(slot.presence - slot.presence_before) / (fade_ticks * tick_frames);
  for (int c = 0; c < format_.channels; ++c) {
    kernels_.crossfade(io[c], dry_[static_cast<std::size_t>(c)].data(),
                       a + step * static_cast<float>(frame_in_tick_ + 1), step, frames);
  }
}

void Program::state(StateArchive& archive) {
  archive.section("the format");
  archive.same(format_.sample_rate);
  archive.same(format_.channels);
  archive.section("the structure");
  archive.same(slots_.size());
  archive.same(steps_.size());
  for (const Step& step : steps_) {
    archive.same(step.kind);
    for (const std::size_t number : {step.slot, step.from, step.to}) archive.same(number);
    archive.same(step.frames);
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const EffectType& type = slots_[i].effect.type();
    const std::string number = "effect " + std::to_string(i + 1);
    if (&type == &worker_effect_type()) {
      throw std::invalid_argument(number + " is a Python function, whose state cannot be kept");
    }
    const std::string name = number + " (" + type.id + ")";
    if (type.state == nullptr) throw std::invalid_argument(name + " has no state(), so it cannot be kept");
    archive.section(name);
    state(slots_[i], archive);
  }
  archive.section("the structure");
  archive(delays_, in_effect_, frame_in_tick_, moving_, may_sleep_, slept_now_, faults_, metered_frames_);
  if (archive.is_loading()) publish_meters();
}

void Program::state(Slot& slot, StateArchive& archive) {
  archive.same(slot.made_of);
  for (std::size_t i = 0; i < slot.values.size(); ++i) {
    const Parameter& p = slot.effect.type().parameters[i];
    archive(glides_[slot.first_parameter + i]);
    archive.bounded(slot.values[i], p.min, p.max);
  }
  archive(slot.dry, slot.key_lines, slot.presence, slot.presence_before, slot.bypass, slot.settled, slot.failed);
  archive(slot.opening, slot.opens, slot.waiting, slot.heard, slot.asleep, slot.silent);
  archive(slot.in, slot.out, slot.deepest_db, slot.faults);
  if (archive.is_loading()) slot.effect.tune(slot.values.data());
  slot.effect.state(archive);
}

void Program::restart_meters() noexcept TR_RT {
  for (Slot& slot : slots_) {
    slot.in = slot.out = {};
    slot.deepest_db = 0;
  }
  metered_frames_ = 0;
}

void Program::publish_meters() noexcept TR_RT {
  const auto relaxed = std::memory_order_relaxed;
  shown_frames_.store(metered_frames_, relaxed);
  slept_.store(slept_now_, relaxed);
  for (Slot& slot : slots_) {
    slot.shown->peak_in.store(slot.in.peak, relaxed);
    slot.shown->peak_out.store(slot.out.peak, relaxed);
    slot.shown->power_in.store(slot.in.power, relaxed);
    slot.shown->power_out.store(slot.out.power, relaxed);
    slot.shown->gain_reduction_db.store(slot.deepest_db, relaxed);
    slot.shown->faults.store(slot.faults, relaxed);
  }
}

EffectMeter Program::meter(int effect) const noexcept {
  const PublicMeter& m = *slots_[static_cast<std::size_t>(effect)].shown;
  const auto relaxed = std::memory_order_relaxed;
  const double count = static_cast<double>(std::max<std::uint64_t>(shown_frames_.load(relaxed), 1)) * format_.channels;
  const auto rms = [&](double power) { return static_cast<float>(std::sqrt(power / count)); };
  return {m.peak_in.load(relaxed),        m.peak_out.load(relaxed),          rms(m.power_in.load(relaxed)),
          rms(m.power_out.load(relaxed)), m.gain_reduction_db.load(relaxed), m.faults.load(relaxed)};
}

}  // namespace twinrack
