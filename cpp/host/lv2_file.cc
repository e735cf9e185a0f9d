#include "host/lv2_plugin.h"
#include "host/lv2_world.h"
#include "host/plugin_file.h"

namespace twinrack::host {

namespace {
class Lv2File final : public PluginFile {
 public:
  explicit Lv2File(const std::string& bundle) { world_.load_bundle(bundle); }
  void list(Json& json) override { world_.list(json); }
  void describe(const std::string& address, Json& json) override { world_.describe(world_.find(address), json); }
  std::unique_ptr<HostedPlugin> load(const std::string& address, double rate, int block) override {
    return std::make_unique<Lv2Plugin>(world_, world_.find(address), rate, block);
  }

 private:
  Lv2World world_;
};
}  // namespace

std::unique_ptr<PluginFile> open_lv2(const std::string& path) { return std::make_unique<Lv2File>(path); }

void list_lv2(Json& json) {
  Lv2World all;
  all.load_all();
  all.list(json);
}

}  // namespace twinrack::host
