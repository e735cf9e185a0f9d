// Many renderings from silence at once: racks, or one rack with many sets of values, and a sound for each.
#pragma once

#include <functional>
#include <vector>

#include "engine/node.h"
#include "rt/block.h"

namespace twinrack {

struct Rendering {
  const Node* root;
  const float* values;             // replace those of the tree at `Renderings::parameters`
  const float* sound;              // channels x frames
  std::vector<const float*> keys;  // the sidechains, each key_channels x frames
  std::vector<int> key_channels;
  float* output;  // channels x frames; latency is compensated
  int channels, frames;
};

struct Renderings {
  double sample_rate;
  std::vector<int> parameters;  // numbers through all effects of a tree
  std::vector<Rendering> all;
};

// On so many threads. `may_continue` is asked on the calling thread now and then; where it says no, the rest is left
// out. Throws what compiling a tree throws.
void render_many(const Renderings& renderings, int threads, const std::function<bool()>& may_continue);

}  // namespace twinrack
