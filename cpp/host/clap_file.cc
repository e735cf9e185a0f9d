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
    write_description(facts, plugin.ports(), presets(described.id), json);
  }

  std::unique_ptr<HostedPlugin> load(const std::string& address, double own_rate, int own_block) override {
    return std::make_unique<ClapPlugin>(*factory_, find(address).id, own_rate, own_block);
  }

 private:
  // The presets inside the library, as its factory of presets tells; those in files are read where a user gives one.
  Presets presets(const char* id) const {
    const clap::PresetFactory* factory = nullptr;
    for (const char* name : clap::preset_factory_ids) {
      if (factory == nullptr) factory = static_cast<const clap::PresetFactory*>(entry_->get_factory(name));
    }
    Presets all;
    for (std::uint32_t i = 0; factory != nullptr && i < factory->count(factory); ++i) {
      const clap::PresetProviderDescriptor* described = factory->descriptor(factory, i);
      if (described != nullptr) add_presets(*factory, described->id, id, all);
    }
    return all;
  }

  static void add_presets(const clap::PresetFactory& factory, const char* provider_id, const char* id, Presets& all) {
    bool has_inside = false;
    const clap::PresetIndexer indexer{clap::version,
                                      "twinrack",
                                      "twinrack",
                                      "",
                                      "1",
                                      &has_inside,
                                      [](const clap::PresetIndexer*, const void*) { return true; },
                                      [](const clap::PresetIndexer* own, const clap::PresetLocation* location) {
                                        auto& any = *static_cast<bool*>(own->data);
                                        any = any || location->kind == clap::in_plugin;
                                        return true;
                                      },
                                      [](const clap::PresetIndexer*, const void*) { return true; },
                                      [](const clap::PresetIndexer*, const char*) -> const void* { return nullptr; }};
    const clap::PresetProvider* provider = factory.create(&factory, &indexer, provider_id);
    if (provider == nullptr) return;
    Inside inside{id, {}};
    if (provider->init(provider) && has_inside) {
      const clap::PresetReceiver receiver = inside.receiver();
      provider->tell(provider, clap::in_plugin, nullptr, &receiver);
    }
    provider->destroy(provider);
    for (auto& [key, name, is_its] : inside.presets) {
      if (is_its) all.emplace_back(key, name);
    }
  }

  // The presets that a provider tells, and whether each is for the plugin with the id.
  struct Inside {
    struct Preset {
      std::string key, name;
      bool is_its;
    };
    std::string id;
    std::vector<Preset> presets;

    clap::PresetReceiver receiver() {
      clap::PresetReceiver to{};
      to.data = this;
      to.failed = [](const clap::PresetReceiver*, std::int32_t, const char*) {};
      to.begin = [](const clap::PresetReceiver* own, const char* name, const char* key) {
        if (key == nullptr) return false;
        static_cast<Inside*>(own->data)->presets.push_back({key, name == nullptr ? key : name, false});
        return true;
      };
      to.add_plugin = [](const clap::PresetReceiver* own, const clap::PluginId* plugin) {
        auto& inside = *static_cast<Inside*>(own->data);
        if (!inside.presets.empty() && plugin->id != nullptr && inside.id == plugin->id) {
          inside.presets.back().is_its = true;
        }
      };
      to.set_soundpack = to.add_creator = to.set_description =
          to.add_feature = [](const clap::PresetReceiver*, const char*) {};
      to.set_flags = [](const clap::PresetReceiver*, std::uint32_t) {};
      to.set_times = [](const clap::PresetReceiver*, std::uint64_t, std::uint64_t) {};
      to.add_extra = [](const clap::PresetReceiver*, const char*, const char*) {};
      return to;
    }
  };

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
