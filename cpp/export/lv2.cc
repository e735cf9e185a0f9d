// A rack as an LV2 plugin. Its bundle holds this library, the flat rack, and descriptions of the ports.
//
// Ports: the inputs, the outputs, the sidechains one after the other, `enabled`, `latency`, the parameters.
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#include "export/exported.h"
#include "abi/lv2.h"
#include "export/player.h"
#include "export/rack_file.h"

namespace twinrack {
namespace {

constexpr char file_name[] = "rack.flat";

class Lv2Plugin {
 public:
  Lv2Plugin(const FlatRack& rack, double rate)
      : parameters_(rack.parameters),
        channels_(static_cast<std::size_t>(rack.channels)),
        keys_(rack.keys.size()),
        player_(rack, rate),
        ports_(channels_ * (2 + keys_) + 2 + parameters_.size()) {
    for (const FlatParameter& p : parameters_) values_.push_back(p.initial);
    for (std::size_t k = 0; k < keys_; ++k) key_pointers_.push_back(nullptr);
  }

  void connect(std::uint32_t port, void* data) noexcept {
    if (port < ports_.size()) ports_[port] = static_cast<float*>(data);
  }

  void activate() noexcept { player_.reset(); }

  void run(int frames) noexcept TR_RT {
    const std::size_t controls = channels_ * (2 + keys_);
    if (const float* enabled = ports_[controls]; enabled != nullptr) player_.bypass(*enabled <= 0.5f);
    if (float* latency = ports_[controls + 1]; latency != nullptr) *latency = static_cast<float>(player_.latency());
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const float* value = ports_[controls + 2 + i];
      if (value != nullptr && *value != values_[i] && std::isfinite(*value)) change(i, *value);
    }
    for (std::size_t k = 0; k < keys_; ++k) key_pointers_[k] = ports_.data() + channels_ * (2 + k);
    player_.process(ports_.data(), ports_.data() + channels_, keys_ > 0 ? key_pointers_.data() : nullptr, frames);
  }

 private:
  // A host that read the initial value from a rounded decimal means the initial value.
  void change(std::size_t i, float value) noexcept TR_RT {
    constexpr float rounding = 4e-7f;
    const float initial = parameters_[i].initial;
    const bool is_initial = std::abs(value - initial) <= rounding * std::abs(initial);
    values_[i] = value;
    player_.change(parameters_[i].index, is_initial ? initial : value);
  }

  std::vector<FlatParameter> parameters_;
  std::size_t channels_, keys_;
  Player player_;
  std::vector<float*> ports_;
  std::vector<float> values_;  // that the ports had
  std::vector<const float* const*> key_pointers_;
};

lv2::Handle instantiate(const lv2::Descriptor*, double rate, const char* bundle, const lv2::Feature* const*) {
  return made_or_complained([&] { return new Lv2Plugin(read_flat_file(std::string(bundle) + "/" + file_name), rate); });
}

lv2::Descriptor describe(const std::string& uri) {
  return {
      uri.c_str(),
      instantiate,
      [](lv2::Handle plugin, std::uint32_t port, void* data) { static_cast<Lv2Plugin*>(plugin)->connect(port, data); },
      [](lv2::Handle plugin) { static_cast<Lv2Plugin*>(plugin)->activate(); },
      [](lv2::Handle plugin, std::uint32_t frames)
          TR_RT { static_cast<Lv2Plugin*>(plugin)->run(static_cast<int>(frames)); },
      [](lv2::Handle) {},
      [](lv2::Handle plugin) { delete static_cast<Lv2Plugin*>(plugin); },
      [](const char*) -> const void* { return nullptr; }};
}

// One bundle, one plugin.
struct Lv2Library {
  std::string uri;
  lv2::Descriptor plugin;
  lv2::Library library;
};

std::unique_ptr<Lv2Library> library_of(const std::string& folder) {
  return made_or_complained([&] {
    auto library = std::make_unique<Lv2Library>();
    library->uri = read_flat_file(folder + "/" + file_name).id;
    library->plugin = describe(library->uri);
    library->library = {library.get(), sizeof(lv2::Library),
                        [](void* handle) { delete static_cast<Lv2Library*>(handle); },
                        [](void* handle, std::uint32_t index) -> const lv2::Descriptor* {
                          return index == 0 ? &static_cast<Lv2Library*>(handle)->plugin : nullptr;
                        }};
    return library;
  });
}

}  // namespace
}  // namespace twinrack

extern "C" TWINRACK_EXPORTED const twinrack::lv2::Library* lv2_lib_descriptor(const char* bundle,
                                                                              const twinrack::lv2::Feature* const*) {
  auto library = twinrack::library_of(bundle);
  return library == nullptr ? nullptr : &library.release()->library;
}

// For hosts that do not know the former.
extern "C" TWINRACK_EXPORTED const twinrack::lv2::Descriptor* lv2_descriptor(std::uint32_t index) {
  static const auto library = [] {
    const std::string path = twinrack::own_path();
    return twinrack::library_of(path.substr(0, path.find_last_of("/\\") + 1));
  }();
  return index == 0 && library != nullptr ? &library->plugin : nullptr;
}
