#include "host/lv2_world.h"

#include <lv2/atom/atom.h>
#include <lv2/buf-size/buf-size.h>
#include <lv2/core/lv2.h>
#include <lv2/log/log.h>
#include <lv2/midi/midi.h>
#include <lv2/options/options.h>
#include <lv2/port-groups/port-groups.h>
#include <lv2/port-props/port-props.h>
#include <lv2/presets/presets.h>
#include <lv2/resize-port/resize-port.h>
#include <lv2/state/state.h>
#include <lv2/units/units.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

#include <cstring>
#include <limits>
#include <stdexcept>

namespace twinrack::host {

const char* const supported_features[] = {
    LV2_URID__map,
    LV2_URID__unmap,
    LV2_OPTIONS__options,
    LV2_BUF_SIZE__boundedBlockLength,
    LV2_WORKER__schedule,
    LV2_LOG__log,
    LV2_STATE__makePath,
    LV2_STATE__mapPath,
    LV2_STATE__freePath,
    LV2_STATE__loadDefaultState,
    LV2_STATE__threadSafeRestore,
    LV2_RESIZE_PORT__resize,
    LV2_CORE__isLive,
    LV2_CORE__inPlaceBroken,
    LV2_CORE__hardRTCapable,
    nullptr,
};

namespace {

std::string text_of(const LilvNode* node) { return node == nullptr ? "" : lilv_node_as_string(node); }

// The address behind its last # or /.
std::string last_part(const std::string& address) {
  const std::size_t at = address.find_last_of("#/");
  return at == std::string::npos ? address : address.substr(at + 1);
}

double number_of(const LilvNode* node) {
  const bool is_number = node != nullptr && (lilv_node_is_float(node) || lilv_node_is_int(node));
  return is_number ? static_cast<double>(lilv_node_as_float(node)) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Lv2World::Lv2World() : world_(lilv_world_new()) {}
Lv2World::~Lv2World() { lilv_world_free(world_); }

void Lv2World::load_all() { lilv_world_load_all(world_); }

void Lv2World::load_bundle(const std::string& folder) {
  lilv_world_load_specifications(world_);
  lilv_world_load_plugin_classes(world_);
  const Node bundle(lilv_new_file_uri(world_, nullptr, (folder + "/").c_str()));
  lilv_world_load_bundle(world_, bundle.get());
}

const LilvPlugin* Lv2World::find(const std::string& address) const {
  const Node wanted = uri(address.c_str());
  const LilvPlugins* all = lilv_world_get_all_plugins(world_);
  const LilvPlugin* plugin = wanted == nullptr ? nullptr : lilv_plugins_get_by_uri(all, wanted.get());
  if (plugin == nullptr) throw std::invalid_argument("no LV2 plugin has the address " + address);
  return plugin;
}

std::vector<std::string> Lv2World::missing_features(const LilvPlugin* plugin) const {
  std::vector<std::string> missing;
  LilvNodes* required = lilv_plugin_get_required_features(plugin);
  LILV_FOREACH(nodes, i, required) {
    const std::string feature = text_of(lilv_nodes_get(required, i));
    bool known = false;
    for (const char* const* own = supported_features; *own != nullptr; ++own) known = known || feature == *own;
    if (!known) missing.push_back(feature);
  }
  lilv_nodes_free(required);
  return missing;
}

int Lv2World::count(const LilvPlugin* plugin, const char* type, const char* way) const {
  const Node kind = uri(type), direction = uri(way);
  return static_cast<int>(lilv_plugin_get_num_ports_of_class(plugin, kind.get(), direction.get(), nullptr));
}

int Lv2World::latency_port(const LilvPlugin* plugin) const {
  const Node output = uri(LV2_CORE__OutputPort), control = uri(LV2_CORE__ControlPort);
  int named = -1;
  for (std::uint32_t i = 0; i < lilv_plugin_get_num_ports(plugin); ++i) {
    const LilvPort* port = lilv_plugin_get_port_by_index(plugin, i);
    if (!lilv_port_is_a(plugin, port, output.get()) || !lilv_port_is_a(plugin, port, control.get())) continue;
    const Node designation(lilv_port_get(plugin, port, uri(LV2_CORE__designation).get()));
    if (last_part(text_of(designation.get())) == "latency" ||
        lilv_port_has_property(plugin, port, uri(LV2_CORE__reportsLatency).get())) {
      return static_cast<int>(i);
    }
    const std::string symbol = text_of(lilv_port_get_symbol(plugin, port));
    if (named < 0 && (symbol == "latency" || symbol == "_latency")) named = static_cast<int>(i);
  }
  return named;
}

bool Lv2World::hears_midi(const LilvPlugin* plugin, const LilvPort* port) const {
  const Node atom = uri(LV2_ATOM__AtomPort), input = uri(LV2_CORE__InputPort), event = uri(LV2_MIDI__MidiEvent);
  return lilv_port_is_a(plugin, port, atom.get()) && lilv_port_is_a(plugin, port, input.get()) &&
         lilv_port_supports_event(plugin, port, event.get());
}

PluginFacts Lv2World::facts(const LilvPlugin* plugin) const {
  const Node name(lilv_plugin_get_name(plugin)), author(lilv_plugin_get_author_name(plugin));
  char* path = lilv_file_uri_parse(text_of(lilv_plugin_get_bundle_uri(plugin)).c_str(), nullptr);
  PluginFacts facts;
  facts.address = text_of(lilv_plugin_get_uri(plugin));
  facts.name = text_of(name.get());
  facts.author = text_of(author.get());
  facts.category = text_of(lilv_plugin_class_get_label(lilv_plugin_get_class(plugin)));
  facts.path = path == nullptr ? "" : path;
  facts.inputs = count(plugin, LV2_CORE__AudioPort, LV2_CORE__InputPort);
  facts.outputs = count(plugin, LV2_CORE__AudioPort, LV2_CORE__OutputPort);
  facts.reports_latency = latency_port(plugin) >= 0;
  for (std::uint32_t i = 0; i < lilv_plugin_get_num_ports(plugin); ++i) {
    facts.hears_midi = facts.hears_midi || hears_midi(plugin, lilv_plugin_get_port_by_index(plugin, i));
  }
  facts.missing = missing_features(plugin);
  lilv_free(path);
  return facts;
}

void Lv2World::list(Json& json) const {
  json.begin('[');
  const LilvPlugins* all = lilv_world_get_all_plugins(world_);
  LILV_FOREACH(plugins, i, all) {
    json.begin('{');
    facts(lilv_plugins_get(all, i)).write(json);
    json.end('}');
  }
  json.end(']');
}

PortFacts Lv2World::facts(const LilvPlugin* plugin, const LilvPort* port) const {
  const auto is = [&](const char* type) { return lilv_port_is_a(plugin, port, uri(type).get()); };
  const auto has = [&](const char* property) { return lilv_port_has_property(plugin, port, uri(property).get()); };
  const Node name(lilv_port_get_name(plugin, port));
  PortFacts facts;
  facts.index = static_cast<int>(lilv_port_get_index(plugin, port));
  facts.number = lilv_port_get_index(plugin, port);
  facts.symbol = text_of(lilv_port_get_symbol(plugin, port));
  facts.name = text_of(name.get());
  facts.kind = is(LV2_CORE__AudioPort)     ? "audio"
               : is(LV2_CORE__ControlPort) ? "control"
               : is(LV2_CORE__CVPort)      ? "cv"
               : is(LV2_ATOM__AtomPort)    ? "atom"
                                           : "other";
  facts.is_input = is(LV2_CORE__InputPort);
  LilvNode *initial = nullptr, *least = nullptr, *most = nullptr;
  lilv_port_get_range(plugin, port, &initial, &least, &most);
  const Node owned[] = {Node(initial), Node(least), Node(most)};
  facts.initial = number_of(initial);
  facts.least = number_of(least);
  facts.most = number_of(most);
  facts.is_logarithmic = has(LV2_PORT_PROPS__logarithmic);
  facts.is_integer = has(LV2_CORE__integer);
  facts.is_toggled = has(LV2_CORE__toggled);
  facts.is_enumeration = has(LV2_CORE__enumeration);
  facts.times_rate = has(LV2_CORE__sampleRate);
  facts.is_trigger = has(LV2_PORT_PROPS__trigger);
  const Node group(lilv_port_get(plugin, port, uri(LV2_PORT_GROUPS__group).get()));
  const Node side_of(group == nullptr || lilv_node_is_blank(group.get())
                         ? nullptr
                         : lilv_world_get(world_, group.get(), uri(LV2_PORT_GROUPS__sideChainOf).get(), nullptr));
  const Node group_name(group == nullptr ? nullptr
                                         : lilv_world_get(world_, group.get(), uri(LV2_CORE__name).get(), nullptr));
  facts.group = text_of(group_name.get());
  facts.is_sidechain = has(LV2_CORE_PREFIX "isSideChain") || side_of != nullptr;
  const Node designation(lilv_port_get(plugin, port, uri(LV2_CORE__designation).get()));
  facts.designation = last_part(text_of(designation.get()));
  const Node unit(lilv_port_get(plugin, port, uri(LV2_UNITS__unit).get()));
  const Node symbol(unit == nullptr ? nullptr
                                    : lilv_world_get(world_, unit.get(), uri(LV2_UNITS__symbol).get(), nullptr));
  if (unit != nullptr && lilv_node_is_uri(unit.get())) facts.unit = last_part(text_of(unit.get()));
  facts.unit_symbol = text_of(symbol.get());
  if (LilvScalePoints* points = lilv_port_get_scale_points(plugin, port); points != nullptr) {
    LILV_FOREACH(scale_points, i, points) {
      const LilvScalePoint* point = lilv_scale_points_get(points, i);
      facts.points.emplace_back(text_of(lilv_scale_point_get_label(point)),
                                number_of(lilv_scale_point_get_value(point)));
    }
    lilv_scale_points_free(points);
  }
  return facts;
}

void Lv2World::describe(const LilvPlugin* plugin, Json& json) const {
  std::vector<PortFacts> ports;
  for (std::uint32_t i = 0; i < lilv_plugin_get_num_ports(plugin); ++i) {
    ports.push_back(facts(plugin, lilv_plugin_get_port_by_index(plugin, i)));
  }
  Presets presets;
  if (LilvNodes* nodes = lilv_plugin_get_related(plugin, uri(LV2_PRESETS__Preset).get()); nodes != nullptr) {
    LILV_FOREACH(nodes, i, nodes) {
      const LilvNode* preset = lilv_nodes_get(nodes, i);
      lilv_world_load_resource(world_, preset);
      const Node label(
          lilv_world_get(world_, preset, uri("http://www.w3.org/2000/01/rdf-schema#label").get(), nullptr));
      presets.emplace_back(text_of(preset), text_of(label.get()));
    }
    lilv_nodes_free(nodes);
  }
  write_description(facts(plugin), ports, presets, json);
}

}  // namespace twinrack::host
