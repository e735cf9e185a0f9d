#include "host/plugin_facts.h"

#include <algorithm>
#include <cmath>

namespace twinrack::host {

namespace {
constexpr int most_steps = 512, continuous_samples = 129;
}

double within(double value, double least, double most) {
  if (!(least < most)) return std::isfinite(value) ? value : 0.0;
  return std::isfinite(value) ? std::clamp(value, least, most) : least;
}

std::vector<double> sampled_values(double least, double most, double initial, int steps) {
  if (!std::isfinite(least) || !std::isfinite(most) || !(least < most)) return {};
  const bool is_stepped = steps >= 1 && steps < most_steps;
  const int count = is_stepped ? steps + 1 : continuous_samples;
  std::vector<double> all;
  for (int i = 0; i < count; ++i) all.push_back(least + (most - least) * i / (count - 1));
  const auto next = std::lower_bound(all.begin(), all.end(), initial);
  if (!is_stepped && next != all.end() && *next != initial) all.insert(next, initial);
  return all;
}

void write_description(const PluginFacts& facts, const std::vector<PortFacts>& ports, const Presets& presets,
                       Json& json) {
  json.begin('{');
  facts.write(json);
  json.key("ports").begin('[');
  for (const PortFacts& port : ports) port.write(json);
  json.end(']');
  json.key("presets").begin('[');
  for (const auto& [address, name] : presets) json.begin('[').value(address).value(name).end(']');
  json.end(']').end('}');
}

PortFacts audio_channel(std::size_t index, bool is_input, bool is_sidechain, std::string port, int channel,
                        int channels) {
  PortFacts facts;
  facts.index = static_cast<int>(index);
  facts.kind = "audio";
  facts.is_input = is_input;
  facts.is_sidechain = is_sidechain;
  facts.name = std::move(port);
  if (channels > 1) facts.name.append(1, ' ').append(std::to_string(channel + 1));
  return facts;
}

void PluginFacts::write(Json& json) const {
  json.key("uri").value(address);
  json.key("name").value(name);
  json.key("author").value(author);
  json.key("class").value(category);
  json.key("bundle").value(path);
  json.key("inputs").value(static_cast<long>(inputs));
  json.key("outputs").value(static_cast<long>(outputs));
  json.key("reports_latency").value(reports_latency);
  json.key("hears_midi").value(hears_midi);
  json.key("fault").value(fault);
  json.key("missing").begin('[');
  for (const std::string& feature : missing) json.value(feature);
  json.end(']');
}

void PortFacts::write(Json& json) const {
  json.begin('{');
  json.key("index").value(static_cast<long>(index));
  json.key("number").value(static_cast<long>(number));
  for (const auto& [key, text] : {std::pair("symbol", &symbol),
                                  {"name", &name},
                                  {"kind", &kind},
                                  {"group", &group},
                                  {"designation", &designation},
                                  {"unit", &unit},
                                  {"unit_symbol", &unit_symbol}}) {
    json.key(key).value(*text);
  }
  for (const auto& [key, is] : {std::pair("is_input", is_input),
                                {"logarithmic", is_logarithmic},
                                {"integer", is_integer},
                                {"toggled", is_toggled},
                                {"enumeration", is_enumeration},
                                {"trigger", is_trigger},
                                {"sidechain", is_sidechain},
                                {"times_rate", times_rate}}) {
    json.key(key).value(is);
  }
  for (const auto& [key, number] : {std::pair("default", initial), {"min", least}, {"max", most}}) {
    json.key(key).value(number);
  }
  json.key("points").begin('[');
  for (const auto& [label, number] : points) json.begin('[').value(label).value(number).end(']');
  json.end(']');
  json.key("samples").begin('[');
  for (const Sample& s : samples) json.begin('[').value(s.number).value(s.plain).value(s.text).end(']');
  json.end(']').end('}');
}

}  // namespace twinrack::host
