// Random resources for effects: responses of noise, and small networks of every kind.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "engine/program.h"

namespace given {

using Rows = std::vector<std::vector<float>>;

class Maker {
 public:
  explicit Maker(std::mt19937& random) : random_(random) {}

  Rows rows_for(const twinrack::EffectType& type) {
    if (type.load == nullptr) return {};
    if (std::strcmp(type.id, "adapter") == 0) return {network(below(4))};
    if (std::strcmp(type.id, "controller") == 0) return {mlp(6, 3)};
    if (std::strcmp(type.id, "denoiser") == 0) return below(2) == 0 ? Rows{} : Rows{mlp(48, 24)};
    const int channels = 1 + below(2), frames = 1 + below(9000);
    return Rows(static_cast<std::size_t>(channels), noise(frames, 0.02f));
  }

  // The number of outputs of a controller.
  static constexpr int says = 3;

 private:
  int below(int count) { return std::uniform_int_distribution<>(0, count - 1)(random_); }
  std::vector<float> noise(int count, float size) {
    std::vector<float> found;
    for (int n = 0; n < count; ++n) found.push_back(std::uniform_real_distribution<float>(-size, size)(random_));
    return found;
  }

  // As architectures.py describes them: how many numbers describe it, kind, description, weights.
  std::vector<float> whole(const std::vector<float>& described, int weights) {
    std::vector<float> all{static_cast<float>(described.size() + 1)};
    all.insert(all.end(), described.begin(), described.end());
    const auto w = noise(weights, 0.7f);
    all.insert(all.end(), w.begin(), w.end());
    return all;
  }
  void activation(std::vector<float>& to, int kind) {
    const float numbers[] = {static_cast<float>(kind), -1.0f, 1.0f, 0.1f, 0.1f};
    to.insert(to.end(), numbers, numbers + 5);
  }

  std::vector<float> mlp(int inputs, int outputs) {
    const int hidden = 1 + below(20), taps = inputs == 1 ? 1 + below(40) : 1;
    std::vector<float> d{0, 2, static_cast<float>(inputs)};
    activation(d, 0);
    for (const int n : {hidden, taps, 1 + below(9), 1}) d.push_back(static_cast<float>(n));
    activation(d, below(11));
    for (const int n : {outputs, 1, 1, 1}) d.push_back(static_cast<float>(n));
    activation(d, 0);
    return whole(d, hidden * inputs * taps + hidden + outputs * hidden + outputs);
  }

  std::vector<float> network(int kind) {
    if (kind == 0) return mlp(1, 1);
    const int size = 1 + below(20), layers = 1 + below(3);
    if (kind > 1) {  // LSTM and GRU
      const bool gru = kind == 3;
      int weights = size + 1;
      for (int l = 0; l < layers; ++l) {
        const int in = l == 0 ? 1 : size;
        weights += (gru ? 3 : 4) * size * (in + size + 1) + 2 * size;
      }
      return whole({static_cast<float>(kind), static_cast<float>(size), static_cast<float>(layers)}, weights);
    }
    const int middle = 1 + below(12), head_in = below(2) * (1 + below(9)), gated = below(3);
    const int wide = gated == 0 ? middle : 2 * middle, summed = head_in > 0 ? head_in : middle;
    std::vector<float> d{1, 1};
    for (const int n : {size, middle, head_in, 1, 1, layers}) d.push_back(static_cast<float>(n));
    int weights = size;
    for (int l = 0; l < layers; ++l) {
      const int taps = 1 + below(4);
      for (const int n : {gated, taps, 1 + below(200)}) d.push_back(static_cast<float>(n));
      activation(d, below(11));
      activation(d, 2);
      weights += wide * size * taps + 2 * wide + size * middle + size + (head_in > 0 ? head_in * middle + head_in : 0);
    }
    const int head_taps = 1 + below(5);
    for (const int n : {head_taps, 1, 1, 0}) d.push_back(static_cast<float>(n));
    return whole(d, weights + summed * head_taps + 1 + 1);
  }

  std::mt19937& random_;
};

// Controllers of a tree drive numbers that come after them; returns how many parameters the tree has up to here.
inline void drive_some(twinrack::Node& node, int& parameters, int total, std::mt19937& random) {
  for (twinrack::Node& child : node.children) drive_some(child, parameters, total, random);
  if (node.kind != twinrack::Node::Kind::effect) return;
  parameters += static_cast<int>(node.values.size());
  if (node.effect != "controller" || total - parameters < Maker::says) return;
  for (int i = 0; i < Maker::says; ++i) {
    node.drives.push_back(parameters + std::uniform_int_distribution<>(0, total - parameters - 1)(random));
  }
}
inline int parameters_of(const twinrack::Node& node) {
  int count = static_cast<int>(node.values.size());
  for (const twinrack::Node& child : node.children) count += parameters_of(child);
  return count;
}

}  // namespace given
