// The compiler from a tree of effects to a flat list of steps over numbered buffers, with delay compensation.
#pragma once

#include <cstddef>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/node.h"
#include "engine/slot.h"
#include "rt/glide.h"

namespace twinrack {

struct Step {
  // split: an effect that gives each branch a part of the sound, on the buffer `from` and those from `to` on.
  enum class Kind { effect, split, copy, add, delay } kind;
  std::size_t index = 0;         // of the slot or of the delay
  std::size_t from = 0, to = 0;  // buffers
  int frames = 0;                // of a delay
  int branches = 1;              // of a split
};

// A value that another effect drives.
struct DrivenValue {
  std::size_t by, output;                // slot, and which of its numbers
  std::size_t slot, in_slot, parameter;  // the value's slot, its place there, and its number through all slots
};

struct CompiledRack {
  int latency = 0;
  std::vector<Slot> slots;
  std::vector<Glide> glides;  // of all parameters
  std::vector<Step> steps;
  std::vector<std::vector<DelayLine>> delays;
  std::vector<DrivenValue> driven;
  std::size_t buffers = 1;  // buffer 0 is the caller's
  int rows = 0;             // the most channels that a slot has
};

// Throws std::invalid_argument for a tree that cannot run.
CompiledRack compile(const Node& root, const Format& format);

}  // namespace twinrack
