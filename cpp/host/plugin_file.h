// A holder of plugins of one format: a bundle of LV2, a file of CLAP, a bundle of VST3.
#pragma once

#include <memory>
#include <string>

#include "host/hosted_plugin.h"
#include "host/json.h"

namespace twinrack::host {

class PluginFile {
 public:
  virtual ~PluginFile() = default;
  // An array of all plugins in it that have sound in or out.
  virtual void list(Json& json) = 0;
  // One of them by its address: all ports, with ranges, units, groups and options; its presets.
  virtual void describe(const std::string& address, Json& json) = 0;
  // An instance, which must not outlive this. `block`: the most frames of a run.
  virtual std::unique_ptr<HostedPlugin> load(const std::string& address, double rate, int block) = 0;
};

// `format`: "lv2", "clap" or "vst3". Throws with a sentence where it cannot be read.
std::unique_ptr<PluginFile> open_plugin_file(const std::string& format, const std::string& path);

std::unique_ptr<PluginFile> open_lv2(const std::string& path);
std::unique_ptr<PluginFile> open_clap(const std::string& path);
std::unique_ptr<PluginFile> open_vst3(const std::string& path);
// An array of all LV2 plugins of this machine.
void list_lv2(Json& json);

}  // namespace twinrack::host
