// The flat form of a rack: one block of bytes with all that is needed to play it without Python, at the sample rates
// that it was prepared for, and with the patch that it was made from. Plugins and pages read it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/node.h"
#include "rt/card.h"

namespace twinrack {

// A parameter that a host may move.
struct FlatParameter {
  int index = 0;                     // through all effects of the tree
  std::uint32_t id = 0;              // stays the same when effects are added
  std::string symbol;                // of letters, digits and _, unique
  std::string name;                  // as a person reads it
  std::string group;                 // the effect's address
  std::string unit;                  // such as "dB"; empty for none
  std::vector<std::string> options;  // of a choice
  bool is_switch = false;
  float initial = 0.0f;
};

// Other values of the parameters, by name.
struct FlatPreset {
  std::string name;
  std::vector<float> values;  // of every parameter that a host may move, in their order
};

class FlatRack {
 public:
  static constexpr std::uint32_t version = 2, first_version = 1;  // what is written; the oldest that is read

  std::string id, name, description, made_by;
  std::string class_id;  // 16 bytes, unique, for VST3
  std::string patch;     // the patch and its arrays, as a zip archive
  int channels = 2;
  std::vector<std::string> keys;  // the names of the sidechains
  double tail_s = 0.0;            // how long it sounds on after its input
  std::vector<FlatParameter> parameters;
  std::vector<FlatPreset> presets;  // since version 2

  // Adds a rate in Hz with the tree that is played there; trees differ in their resources alone. Throws for another
  // tree.
  void add_rate(double rate, const Node& root);
  // In Hz.
  const std::vector<double>& rates() const noexcept { return rates_; }
  // The tree for a rate; any rate will do for a rack without resources. Throws for a rate that was not prepared.
  Node tree(double rate) const;

  // The range and scale of a parameter.
  const Parameter& card_of(const FlatParameter& parameter) const;

  std::string bytes() const;
  // Throws std::invalid_argument for other bytes, and for parameters that the tree does not have.
  static FlatRack read(std::string_view bytes);

 private:
  using Rows = std::vector<std::vector<float>>;
  // The numbers that one effect loads: of each rate the number of its variant.
  struct Resource {
    std::vector<std::uint32_t> of_rate;
    std::vector<Rows> variants;
  };

  template <class Archive>
  void fields(Archive& archive, std::uint32_t written);
  void check() const;

  std::vector<double> rates_;
  Node root_;                        // without resources
  std::vector<Resource> resources_;  // of every effect in the order of the tree
};

}  // namespace twinrack
