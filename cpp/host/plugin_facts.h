// The facts that a plugin declares about itself, in the words of every format.
#pragma once

#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "host/json.h"

namespace twinrack::host {

inline constexpr double undeclared = std::numeric_limits<double>::quiet_NaN();

struct PluginFacts {
  std::string address, name, author, category, path;
  int inputs = 0, outputs = 0;
  bool reports_latency = false, hears_midi = false;
  std::vector<std::string> missing;  // what it needs and no host of ours has
  std::string fault;                 // why it cannot be loaded; empty where it can

  void write(Json& json) const;
};

struct PortFacts {
  // A value of a control: as the plugin knows it, in its unit (NaN where nobody says), and as text.
  struct Sample {
    double number, plain;
    std::string text;
  };

  int index = 0;
  std::uint32_t number = 0;  // by which the format knows a control
  std::string symbol, name, kind = "control";
  bool is_input = true, is_logarithmic = false, is_integer = false, is_toggled = false, is_enumeration = false,
       is_trigger = false, is_sidechain = false, times_rate = false;
  double initial = undeclared, least = undeclared, most = undeclared;
  std::string group, designation, unit, unit_symbol;
  std::vector<std::pair<std::string, double>> points;
  std::vector<Sample> samples;  // from the lowest to the highest; of formats that declare no units and options

  void write(Json& json) const;
};

using Presets = std::vector<std::pair<std::string, std::string>>;  // addresses and names

// An entry of a list. `add` loads the plugin and adds what only an instance knows; where it throws, the entry says why.
template <class Add>
void write_entry(PluginFacts facts, Json& json, const Add& add) {
  try {
    add(facts);
  } catch (const std::exception& error) {
    facts.fault = error.what();
  }
  json.begin('{');
  facts.write(json);
  json.end('}');
}
// All that a plugin declares.
void write_description(const PluginFacts& facts, const std::vector<PortFacts>& ports, const Presets& presets,
                       Json& json);

// One channel of a port or bus that has `channels`.
PortFacts audio_channel(std::size_t index, bool is_input, bool is_sidechain, std::string port, int channel,
                        int channels);

// A value within a range that a plugin declares, whatever it says.
double within(double value, double least, double most);

// The values at which a control is sampled, ascending: all of its `steps`, or, where it has none or many, so many that
// the way between them is nearly straight, and the initial value.
std::vector<double> sampled_values(double least, double most, double initial, int steps);

}  // namespace twinrack::host
