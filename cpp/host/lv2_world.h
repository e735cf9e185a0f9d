// The LV2 plugins of this machine, as their descriptions say.
#pragma once

#include <lilv/lilv.h>

#include <memory>
#include <string>
#include <vector>

#include "host/json.h"
#include "host/plugin_facts.h"

namespace twinrack::host {

struct FreeNode {
  void operator()(LilvNode* node) const { lilv_node_free(node); }
};
using Node = std::unique_ptr<LilvNode, FreeNode>;

class Lv2World {
 public:
  Lv2World();
  ~Lv2World();
  Lv2World(const Lv2World&) = delete;
  Lv2World& operator=(const Lv2World&) = delete;

  LilvWorld* get() const { return world_; }
  Node uri(const char* text) const { return Node(lilv_new_uri(world_, text)); }

  // All of them, or those of one bundle: a folder.
  void load_all();
  void load_bundle(const std::string& folder);

  // Throws std::invalid_argument where there is none.
  const LilvPlugin* find(const std::string& uri) const;
  // The facts of each plugin.
  void list(Json& json) const;
  // Every port of one, with ranges, units, groups and options; its presets.
  void describe(const LilvPlugin* plugin, Json& json) const;

  // Required features that no host of ours has.
  std::vector<std::string> missing_features(const LilvPlugin* plugin) const;
  // The output on which it reports its latency; -1 where it has none.
  int latency_port(const LilvPlugin* plugin) const;
  bool hears_midi(const LilvPlugin* plugin, const LilvPort* port) const;

 private:
  PluginFacts facts(const LilvPlugin* plugin) const;
  PortFacts facts(const LilvPlugin* plugin, const LilvPort* port) const;
  int count(const LilvPlugin* plugin, const char* type, const char* way) const;

  LilvWorld* world_;
};

// The features that plugins are given.
extern const char* const supported_features[];

}  // namespace twinrack::host
