#include <cstring>
#include <stdexcept>

#include "abi/clap.h"
#include "host/clap_plugin.h"
#include "host/plugin_file.h"
#include "host/shared_library.h"

namespace twinrack::host {

namespace {
constexpr std::string_view prefix = "clap:";
constexpr double rate = 48000.0;  // at which a plugin is looked at
constexpr int block = 512;

class ClapFile final : public PluginFile {
 public:
  explicit ClapFile(const std::string& path)
      : path_(path), library_(path), entry_(library_.find<const clap::Entry*>("clap_entry")) {
    if (entry_ == nullptr) throw std::runtime_error("it is not a CLAP plugin: it has no clap_entry");
    if (entry_->version.major < 1) throw std::runtime_error("it was made for a CLAP before version 1");
    if (!entry_->init(path.c_str())) throw std::runtime_error("it refuses to be initialised");
    factory_ = static_cast<const clap::Factory*>(entry_->get_factory(clap::factory_id));
    if (factory_ == nullptr) throw std::runtime_error("there is no plugin in it");
  }

  void list(Json& json) override {
    json.begin('[');
    for (std::uint32_t i = 0; i < factory_->count(factory_); ++i) {
      const clap::Descriptor* described = factory_->descriptor(factory_, i);
      if (described == nullptr || described->id == nullptr) continue;
      write_entry(facts_of(*described), json,
                  [&](PluginFacts& facts) { add(facts, ClapPlugin(*factory_, described->id, rate, block)); });
    }
    json.end(']');
  }

  void describe(const std::string& address, Json& json) override {
    const clap::Descriptor& described = find(address);
    const ClapPlugin plugin(*factory_, described.id, rate, block);
    PluginFacts facts = facts_of(described);
    add(facts, plugin);
    write_description(facts, plugin.ports(), {}, json);
  }

  std::unique_ptr<HostedPlugin> load(const std::string& address, double own_rate, int own_block) override {
    return std::make_unique<ClapPlugin>(*factory_, find(address).id, own_rate, own_block);
  }

 private:
  const clap::Descriptor& find(const std::string& address) const {
    for (std::uint32_t i = 0; i < factory_->count(factory_); ++i) {
      const clap::Descriptor* described = factory_->descriptor(factory_, i);
      if (described != nullptr && described->id != nullptr && std::string(prefix) + described->id == address) {
        return *described;
      }
    }
    throw std::runtime_error(path_ + " has no plugin with the address " + address);
  }

  PluginFacts facts_of(const clap::Descriptor& described) const {
    const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
    PluginFacts facts;
    facts.address = std::string(prefix) + described.id;
    facts.name = text(described.name);
    facts.author = text(described.vendor);
    for (const char* const* f = described.features; f != nullptr && *f != nullptr && facts.category.empty(); ++f) {
      bool is_general = false;
      for (const char* general : {"audio-effect", "mono", "stereo", "surround", "ambisonic"}) {
        is_general = is_general || std::strcmp(*f, general) == 0;
      }
      if (!is_general) facts.category = *f;
    }
    if (facts.category.empty()) facts.category = "audio-effect";
    facts.path = path_;
    return facts;
  }

  static void add(PluginFacts& facts, const ClapPlugin& plugin) {
    facts.inputs = plugin.inputs();
    facts.outputs = plugin.outputs();
    facts.hears_midi = plugin.hears_midi();
    facts.reports_latency = plugin.reports_latency();
  }

  std::string path_;
  SharedLibrary library_;
  const clap::Entry* entry_;
  const clap::Factory* factory_ = nullptr;
};
}  // namespace

std::unique_ptr<PluginFile> open_clap(const std::string& path) { return std::make_unique<ClapFile>(path); }

}  // namespace twinrack::host
