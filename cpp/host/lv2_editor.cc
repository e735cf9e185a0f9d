// The window of an LV2 plugin: those of X11; others need a toolkit that is not here.
#include <lv2/data-access/data-access.h>
#include <lv2/instance-access/instance-access.h>
#include <lv2/ui/ui.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "host/lv2_plugin.h"
#include "host/main_loop.h"
#include "host/shared_library.h"
#include "host/x11_window.h"

namespace twinrack::host {

namespace {
constexpr int period_ms = 33;

std::string path_of(const LilvNode* file) {
  char* path = lilv_file_uri_parse(lilv_node_as_uri(file), nullptr);
  const std::string result = path == nullptr ? "" : path;
  lilv_free(path);
  return result;
}
}  // namespace

class Lv2Plugin::Lv2Editor final : public Editor {
 public:
  Lv2Editor(Lv2Plugin& plugin, const LilvUI* ui, const std::string& title)
      : plugin_(plugin), window_(title), library_(path_of(lilv_ui_get_binary_uri(ui))) {
    const auto get = library_.find<LV2UI_DescriptorFunction>("lv2ui_descriptor");
    const char* address = lilv_node_as_uri(lilv_ui_get_uri(ui));
    for (std::uint32_t i = 0; get != nullptr && (descriptor_ = get(i)) != nullptr; ++i) {
      if (std::strcmp(descriptor_->URI, address) == 0) break;
    }
    if (descriptor_ == nullptr) throw std::runtime_error("its window is missing in its bundle");
    resize_ = {this, [](LV2UI_Feature_Handle self, int width, int height) {
                 static_cast<Lv2Editor*>(self)->window_.resize(width, height);
                 return 0;
               }};
    data_ = {lilv_instance_get_descriptor(plugin.instance_)->extension_data};
    features_ = plugin.features_;
    features_.push_back({LV2_UI__parent, reinterpret_cast<void*>(window_.id())});
    features_.push_back({LV2_UI__resize, &resize_});
    features_.push_back({LV2_UI__idleInterface, nullptr});
    features_.push_back({LV2_INSTANCE_ACCESS_URI, lilv_instance_get_handle(plugin.instance_)});
    features_.push_back({LV2_DATA_ACCESS_URI, &data_});
    for (const LV2_Feature& feature : features_) pointers_.push_back(&feature);
    pointers_.push_back(nullptr);
    LV2UI_Widget widget = nullptr;
    window_.show();
    const auto write = [](LV2UI_Controller self, std::uint32_t port, std::uint32_t size, std::uint32_t protocol,
                          const void* value) {
      auto& own = *static_cast<Lv2Editor*>(self);
      if (protocol != 0 || size != sizeof(float) || !own.plugin_.is_control_input(port)) return;
      std::memcpy(&own.plugin_.values_[port], value, sizeof(float));
      own.shown_[port] = own.plugin_.values_[port];
    };
    shown_.assign(plugin.values_.size(), std::nanf(""));
    handle_ =
        descriptor_->instantiate(descriptor_, lilv_node_as_uri(lilv_plugin_get_uri(plugin.plugin_)),
                                 path_of(lilv_ui_get_bundle_uri(ui)).c_str(), write, this, &widget, pointers_.data());
    if (handle_ == nullptr) throw std::runtime_error("its window refuses to be opened");
    window_.fit(reinterpret_cast<unsigned long>(widget));
    idle_ = descriptor_->extension_data == nullptr
                ? nullptr
                : static_cast<const LV2UI_Idle_Interface*>(descriptor_->extension_data(LV2_UI__idleInterface));
    show_values();
    timer_ = main_loop().add_timer(period_ms, [this] {
      show_values();
      if (idle_ != nullptr && idle_->idle(handle_) != 0) is_closed_ = true;
    });
  }
  ~Lv2Editor() override {
    main_loop().remove_timer(timer_);
    descriptor_->cleanup(handle_);
  }
  bool is_open() const override { return !window_.is_closed() && !is_closed_; }

 private:
  void show_values() {
    if (descriptor_->port_event == nullptr) return;
    for (const auto* ports : {&plugin_.controls_in_, &plugin_.controls_out_}) {
      for (const std::uint32_t port : *ports) {
        const float value = plugin_.values_[port];
        if (value == shown_[port]) continue;
        shown_[port] = value;
        descriptor_->port_event(handle_, port, sizeof value, 0, &value);
      }
    }
  }

  Lv2Plugin& plugin_;
  X11Window window_;
  SharedLibrary library_;
  const LV2UI_Descriptor* descriptor_ = nullptr;
  LV2UI_Handle handle_ = nullptr;
  const LV2UI_Idle_Interface* idle_ = nullptr;
  LV2UI_Resize resize_{};
  LV2_Extension_Data_Feature data_{};
  std::vector<LV2_Feature> features_;
  std::vector<const LV2_Feature*> pointers_;
  std::vector<float> shown_;
  int timer_ = 0;
  bool is_closed_ = false;
};

std::unique_ptr<Editor> Lv2Plugin::open_editor(const std::string& title) {
  LilvUIs* uis = lilv_plugin_get_uis(plugin_);
  const Node x11 = world_.uri(LV2_UI__X11UI);
  std::string others;
  std::unique_ptr<Editor> editor;
  try {
    LILV_FOREACH(uis, i, uis) {
      const LilvUI* ui = lilv_uis_get(uis, i);
      if (editor == nullptr && lilv_ui_is_a(ui, x11.get())) editor = std::make_unique<Lv2Editor>(*this, ui, title);
      others = lilv_node_as_uri(lilv_ui_get_uri(ui));
    }
  } catch (...) {
    lilv_uis_free(uis);
    throw;
  }
  lilv_uis_free(uis);
  if (editor != nullptr) return editor;
  throw std::runtime_error(others.empty() ? "it has no window of its own"
                                          : "its window is made for a toolkit that is not here; X11 alone is");
}

}  // namespace twinrack::host
