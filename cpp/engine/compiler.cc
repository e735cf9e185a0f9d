#include "engine/compiler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace twinrack {

namespace {

// The delay of a node in frames, and how many of these frames are phase dispersion (`EffectType::dispersion`). Beside
// other branches, where times must meet, both count; elsewhere only pure delays, for cutting off the latency would lose
// sound.
struct Delay {
  int frames = 0, dispersion = 0;
};

// Where a node stands: the buffer it works on, the first buffer that is free, the latency of the sound that reaches it,
// and whether other branches run beside it.
struct Place {
  std::size_t buffer = 0, free_buffer = 1;
  int input_latency = 0;
  bool beside_others = false;
};

class Compiler {
 public:
  explicit Compiler(const Format& format) : format_(format) {}

  CompiledRack run(const Node& root) {
    rack_.rows = format_.channels;
    rack_.latency = compile(root, {}).frames;
    for (std::size_t by = 0; by < rack_.slots.size(); ++by) resolve_drives(by);
    return std::move(rack_);
  }

 private:
  Delay compile(const Node& node, const Place& place) {
    if (node.kind == Node::Kind::effect) return compile_effect(node, place);
    if (node.kind == Node::Kind::parallel || node.kind == Node::Kind::split) return compile_branches(node, place);
    Delay all;
    for (const Node& child : node.children) {
      Place at = place;
      at.input_latency += all.frames;
      const Delay own = compile(child, at);
      all.frames += own.frames;
      all.dispersion += own.dispersion;
    }
    return all;
  }

  Delay compile_effect(const Node& node, const Place& place) {
    const Delay delay = add_slot(node, place, 1);
    rack_.steps.push_back(
        {.kind = Step::Kind::effect, .index = rack_.slots.size() - 1, .from = place.buffer, .to = place.buffer});
    return delay;
  }

  // A slot for an effect, before so many branches that get a part of its sound each.
  Delay add_slot(const Node& node, const Place& place, int branches) {
    const EffectType& type = checked_type(node);
    Slot slot{
        .effect = node.worker != nullptr ? make_worker_effect(node.worker) : EffectInstance(type),
        .channels = format_.channels * branches,
        .first_parameter = rack_.glides.size(),
        .values = node.values,
        .key = node.key,
        .drives = node.drives,
    };
    slot.fade.bypass = node.bypass;
    slot.fade.wet_steps = slot.fade.wet_steps_before = slot.fade.target();
    for (std::size_t i = 0; i < node.values.size(); ++i) {
      Glide& glide = rack_.glides.emplace_back();
      glide.prepare(type.parameters[i], format_.sample_rate, node.values[i]);
      glide.advance();
      slot.values[i] = glide.value();
    }
    slot.effect.prepare({format_.sample_rate, format_.channels, branches});
    load(slot.effect, node.resource);
    slot.effect.tune(slot.values.data());
    slot.effect.reset();
    const int dispersion = slot.effect.dispersion();
    slot.latency = slot.effect.latency() - (place.beside_others ? 0 : dispersion);
    if (slot.latency > 0) slot.dry_lines = delay_lines(slot.channels, slot.latency);
    if (node.key >= 0 && place.input_latency > 0) {
      slot.input_latency = place.input_latency;
      slot.key_lines = delay_lines(max_channels, place.input_latency);
      slot.key_channels.resize(max_channels);
    }
    slot.build_hash = build_hash(slot, node.resource);
    rack_.rows = std::max(rack_.rows, slot.channels);
    rack_.slots.push_back(std::move(slot));
    return {rack_.slots.back().latency, place.beside_others ? dispersion : 0};
  }

  // Branches that each get the same sound, or a part of it from the effect before them; their sum.
  Delay compile_branches(const Node& node, const Place& place) {
    const std::size_t splitters = node.kind == Node::Kind::split ? 1 : 0;
    if (node.children.size() <= splitters) throw std::invalid_argument("branches need at least one of them");
    const std::size_t branches = node.children.size() - splitters;
    const std::size_t free = place.free_buffer + branches - 1;
    rack_.buffers = std::max(rack_.buffers, free);
    const auto buffer_of = [&](std::size_t branch) {
      return branch == 0 ? place.buffer : place.free_buffer + branch - 1;
    };
    const Delay before = splitters > 0 ? compile_split(node.children[0], place, branches) : Delay{};
    for (std::size_t b = 1; b < branches && splitters == 0; ++b) {
      rack_.steps.push_back({.kind = Step::Kind::copy, .from = place.buffer, .to = buffer_of(b)});
    }
    std::vector<int> latency;
    std::vector<std::size_t> delay_step;
    int dispersion = 0;
    for (std::size_t b = 0; b < branches; ++b) {
      const Delay own = compile(node.children[splitters + b], {.buffer = buffer_of(b),
                                                               .free_buffer = free,
                                                               .input_latency = place.input_latency + before.frames,
                                                               .beside_others = true});
      latency.push_back(own.frames);
      dispersion = std::max(dispersion, own.dispersion);
      delay_step.push_back(rack_.steps.size());
      rack_.steps.push_back(
          {.kind = Step::Kind::delay, .index = rack_.delays.size(), .from = buffer_of(b), .to = buffer_of(b)});
      rack_.delays.emplace_back(static_cast<std::size_t>(format_.channels));
    }
    const int longest = *std::max_element(latency.begin(), latency.end());
    for (std::size_t b = 0; b < branches; ++b) {
      Step& step = rack_.steps[delay_step[b]];
      step.frames = longest - latency[b];
      if (step.frames > 0) rack_.delays[step.index] = delay_lines(format_.channels, step.frames);
    }
    for (std::size_t b = 1; b < branches; ++b) {
      rack_.steps.push_back({.kind = Step::Kind::add, .from = buffer_of(b), .to = place.buffer});
    }
    const Delay own = place.beside_others ? Delay{longest, dispersion} : Delay{longest - dispersion, 0};
    return {before.frames + own.frames, before.dispersion + own.dispersion};
  }

  // The effect that gives so many branches a part of the sound each.
  Delay compile_split(const Node& node, const Place& place, std::size_t branches) {
    if (node.kind != Node::Kind::effect || !checked_type(node).splits) {
      throw std::invalid_argument("no effect that splits is before the branches");
    }
    if (branches < 2 || branches > max_branches) {
      throw std::invalid_argument("an effect that splits has 2 to " + std::to_string(max_branches) + " branches, not " +
                                  std::to_string(branches));
    }
    const Delay delay = add_slot(node, place, static_cast<int>(branches));
    rack_.steps.push_back({.kind = Step::Kind::split,
                           .index = rack_.slots.size() - 1,
                           .from = place.buffer,
                           .to = place.free_buffer,
                           .branches = static_cast<int>(branches)});
    return delay;
  }

  const EffectType& checked_type(const Node& node) const {
    const EffectType* type = node.worker != nullptr ? &node.worker->type() : find_effect(node.effect.c_str());
    if (type == nullptr) throw std::invalid_argument("no effect is called " + node.effect);
    if (node.values.size() != static_cast<std::size_t>(type->parameter_count)) {
      throw std::invalid_argument(node.effect + " has " + std::to_string(type->parameter_count) + " parameters, got " +
                                  std::to_string(node.values.size()));
    }
    for (const float value : node.values) {
      if (!std::isfinite(value)) throw std::invalid_argument("a value of " + node.effect + " is NaN or infinity");
    }
    for (const auto& row : node.resource) {
      if (row.size() != node.resource.front().size()) {
        throw std::invalid_argument("the rows of a resource must be equally long");
      }
    }
    if (node.worker != nullptr && node.worker->channels() != format_.channels) {
      throw std::invalid_argument("the worker of an effect has another number of channels than the rack");
    }
    return *type;
  }

  static void load(EffectInstance& effect, const std::vector<std::vector<float>>& resource) {
    std::vector<const float*> rows;
    for (const auto& row : resource) rows.push_back(row.data());
    const std::size_t frames = resource.empty() ? 0 : resource.front().size();
    effect.load({rows.data(), static_cast<int>(rows.size()), static_cast<int>(frames)});
  }

  static std::vector<DelayLine> delay_lines(int count, int frames) {
    std::vector<DelayLine> lines(static_cast<std::size_t>(count));
    for (DelayLine& line : lines) line.prepare(frames, max_segment);
    return lines;
  }

  static std::uint64_t build_hash(const Slot& slot, const std::vector<std::vector<float>>& resource) {
    const EffectType& type = slot.effect.type();
    std::uint64_t hash = digest(type.target, digest(type.id));
    hash = digest(std::vector<int>{slot.key, slot.latency, slot.input_latency}, digest(slot.drives, hash));
    for (const auto& row : resource) hash = digest(row, hash);
    return hash;
  }

  void resolve_drives(std::size_t by) {
    const std::vector<Slot>& slots = rack_.slots;
    const std::vector<int>& drives = slots[by].drives;
    if (drives.empty()) return;
    if (slots[by].effect.type().control_values == nullptr) throw std::invalid_argument("this effect drives no others");
    for (std::size_t output = 0; output < drives.size(); ++output) {
      const auto parameter = static_cast<std::size_t>(drives[output]);
      if (drives[output] < 0 || parameter >= rack_.glides.size()) {
        throw std::invalid_argument("no parameter has the number that an effect drives");
      }
      std::size_t slot = 0;
      while (slot + 1 < slots.size() && slots[slot + 1].first_parameter <= parameter) ++slot;
      rack_.driven.push_back({.by = by,
                              .output = output,
                              .slot = slot,
                              .in_slot = parameter - slots[slot].first_parameter,
                              .parameter = parameter});
    }
  }

  Format format_;
  CompiledRack rack_;
};

}  // namespace

CompiledRack compile(const Node& root, const Format& format) { return Compiler(format).run(root); }

}  // namespace twinrack
