#include "host/plugin_file.h"

#include <stdexcept>

namespace twinrack::host {

std::unique_ptr<PluginFile> open_plugin_file(const std::string& format, const std::string& path) {
  if (format == "lv2") return open_lv2(path);
  if (format == "clap") return open_clap(path);
  if (format == "vst3") return open_vst3(path);
  throw std::invalid_argument("no format of plugins is called " + format);
}

#ifndef TWINRACK_LV2
std::unique_ptr<PluginFile> open_lv2(const std::string&) {
  throw std::runtime_error("this installation was built without liblilv, and cannot load LV2 plugins");
}
void list_lv2(Json& json) { json.begin('[').end(']'); }
#endif

}  // namespace twinrack::host
