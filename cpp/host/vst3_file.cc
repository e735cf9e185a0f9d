#include <cstdint>
#include <filesystem>
#include <stdexcept>

#include "abi/vst3.h"
#include "host/plugin_file.h"
#include "host/shared_library.h"
#include "host/vst3_plugin.h"

#if defined(__x86_64__)
#define TWINRACK_MACHINE "x86_64"
#elif defined(__aarch64__)
#define TWINRACK_MACHINE "aarch64"
#elif defined(__riscv)
#define TWINRACK_MACHINE "riscv64"
#else
#define TWINRACK_MACHINE "unknown"
#endif

namespace twinrack::host {

namespace {
constexpr std::string_view prefix = "vst3:", sound_class = "Audio Module Class";
constexpr char folder_of_machine[] = TWINRACK_MACHINE "-linux";
constexpr double rate = 48000.0;  // at which a plugin is looked at
constexpr int block = 512;

// The library in a bundle.
std::string library_of(const std::string& path) {
  const std::filesystem::path bundle(path), contents = bundle / "Contents";
  if (!std::filesystem::is_directory(bundle)) return path;
  const auto library = contents / folder_of_machine / (bundle.stem().string() + ".so");
  if (std::filesystem::is_regular_file(library)) return library;
  std::string others;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(contents, missing)) {
    if (entry.is_directory() && entry.path().filename() != "Resources") {
      others += (others.empty() ? "" : ", ") + entry.path().filename().string();
    }
  }
  throw std::runtime_error("it has no library for " + std::string(folder_of_machine) + ": " +
                           (others.empty() ? "Contents is empty" : "there is " + others));
}

std::string text_of(const char* text, std::size_t size) { return std::string(text, strnlen(text, size)); }

class Vst3File final : public PluginFile {
 public:
  explicit Vst3File(const std::string& path) : path_(path), library_(library_of(path)) {
    if (const auto enter = library_.find<bool (*)(void*)>("ModuleEntry");
        enter != nullptr && !enter(library_.handle())) {
      throw std::runtime_error("it refuses to be initialised");
    }
    const auto get = library_.find<vst3::Factory* (*)()>("GetPluginFactory");
    if (get == nullptr) throw std::runtime_error("it is not a VST3 plugin: it has no GetPluginFactory");
    factory_ = Vst3Pointer(get());
    if (!factory_) throw std::runtime_error("there is no plugin in it");
    more_ = Vst3Pointer<vst3::Factory2>::of(factory_.get());
  }

  void list(Json& json) override {
    json.begin('[');
    for (std::int32_t i = 0; i < factory_->class_count(); ++i) {
      vst3::ClassInfo2 info{};
      if (!read(i, info)) continue;
      write_entry(facts_of(info), json,
                  [&](PluginFacts& facts) { add(facts, Vst3Plugin(*factory_.get(), info.id, rate, block)); });
    }
    json.end(']');
  }

  void describe(const std::string& address, Json& json) override {
    const vst3::ClassInfo2 info = find(address);
    const Vst3Plugin plugin(*factory_.get(), info.id, rate, block);
    PluginFacts facts = facts_of(info);
    add(facts, plugin);
    write_description(facts, plugin.ports(), plugin.presets(), json);
  }

  std::unique_ptr<HostedPlugin> load(const std::string& address, double own_rate, int own_block) override {
    return std::make_unique<Vst3Plugin>(*factory_.get(), find(address).id, own_rate, own_block);
  }

 private:
  // Whether the class is a plugin; older factories tell less of it.
  bool read(std::int32_t index, vst3::ClassInfo2& info) const {
    const bool is_told =
        more_ ? more_->class_info_2(index, &info) == vst3::ok : factory_->class_info(index, &info) == vst3::ok;
    return is_told && text_of(info.category, sizeof info.category) == sound_class;
  }

  static std::string address_of(const vst3::ClassInfo& info) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string address(prefix);
    for (const std::uint8_t byte : info.id) {
      address += digits[byte >> 4];
      address += digits[byte & 15];
    }
    return address;
  }

  vst3::ClassInfo2 find(const std::string& address) const {
    for (std::int32_t i = 0; i < factory_->class_count(); ++i) {
      vst3::ClassInfo2 info{};
      if (read(i, info) && address_of(info) == address) return info;
    }
    throw std::runtime_error(path_ + " has no plugin with the address " + address);
  }

  PluginFacts facts_of(const vst3::ClassInfo2& info) const {
    PluginFacts facts;
    facts.address = address_of(info);
    facts.name = text_of(info.name, sizeof info.name);
    facts.author = text_of(info.vendor, sizeof info.vendor);
    if (vst3::FactoryInfo own{}; facts.author.empty() && factory_->info(&own) == vst3::ok) {
      facts.author = text_of(own.vendor, sizeof own.vendor);
    }
    facts.category = text_of(info.sub_categories, sizeof info.sub_categories);
    facts.path = path_;
    facts.reports_latency = true;
    return facts;
  }

  static void add(PluginFacts& facts, const Vst3Plugin& plugin) {
    facts.inputs = plugin.inputs();
    facts.outputs = plugin.outputs();
    facts.hears_midi = plugin.hears_midi();
  }

  std::string path_;
  SharedLibrary library_;
  Vst3Pointer<vst3::Factory> factory_;
  Vst3Pointer<vst3::Factory2> more_;
};
}  // namespace

std::unique_ptr<PluginFile> open_vst3(const std::string& path) { return std::make_unique<Vst3File>(path); }

}  // namespace twinrack::host
