// The tree of effects that an engine is built from.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/worker_effect.h"

namespace twinrack {

struct Node {
  enum class Kind { effect, chain, parallel, split };  // split: an effect that splits, then its branches
  Kind kind = Kind::chain;
  std::string effect;  // the card's id
  std::vector<float> values;
  bool bypass = false;
  int key = -1;                              // number of the effect's sidechain input; -1 for none
  std::vector<std::vector<float>> resource;  // rows of equal length, for an effect that loads one
  std::vector<int> drives;                   // the parameters that it drives, numbered through all effects of the tree
  std::vector<Node> children;
  std::shared_ptr<WorkerEffect> worker;  // does the work of an effect outside the engine
};

}  // namespace twinrack
