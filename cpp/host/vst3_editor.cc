// The window of a VST3 plugin.
#include <poll.h>

#include <map>
#include <stdexcept>

#include "host/main_loop.h"
#include "host/vst3_plugin.h"
#include "host/x11_window.h"

namespace twinrack::host {

namespace {

// The host's side of the window: its size, and the main loop for the plugin's files and timers.
class Vst3Frame final : public vst3::Frame, public vst3::RunLoop {
 public:
  explicit Vst3Frame(X11Window& window) : window_(window) {}
  ~Vst3Frame() {
    for (const auto& [listener, file] : files_) main_loop().remove_file(file);
    for (const auto& [listener, number] : timers_) main_loop().remove_timer(number);
  }

  vst3::Result query_interface(const vst3::Id id, void** object) override {
    *object = is_id(vst3::RunLoop::id, id) ? static_cast<void*>(static_cast<vst3::RunLoop*>(this))
              : is_id(vst3::Frame::id, id) || is_id(vst3::Unknown::id, id)
                  ? static_cast<void*>(static_cast<vst3::Frame*>(this))
                  : nullptr;
    return *object == nullptr ? vst3::no_interface : vst3::ok;
  }
  std::uint32_t add_reference() override { return 1; }
  std::uint32_t release() override { return 1; }

  vst3::Result resize(vst3::View* view, vst3::Rectangle* size) override {
    window_.resize(size->right - size->left, size->bottom - size->top);
    return view->on_size(size);
  }
  vst3::Result add_file(vst3::FileListener* listener, int file) override {
    files_.emplace(listener, file);
    main_loop().add_file(file, POLLIN, [listener, file](short) { listener->on_file(file); });
    return vst3::ok;
  }
  vst3::Result remove_file(vst3::FileListener* listener) override {
    const auto [first, last] = files_.equal_range(listener);
    for (auto entry = first; entry != last; ++entry) main_loop().remove_file(entry->second);
    files_.erase(listener);
    return vst3::ok;
  }
  vst3::Result add_timer(vst3::TimerListener* listener, std::uint64_t period_ms) override {
    const auto period = static_cast<int>(std::min<std::uint64_t>(period_ms, 60000));
    timers_.emplace(listener, main_loop().add_timer(period, [listener] { listener->on_timer(); }));
    return vst3::ok;
  }
  vst3::Result remove_timer(vst3::TimerListener* listener) override {
    const auto [first, last] = timers_.equal_range(listener);
    for (auto entry = first; entry != last; ++entry) main_loop().remove_timer(entry->second);
    timers_.erase(listener);
    return vst3::ok;
  }

 private:
  X11Window& window_;
  std::multimap<vst3::FileListener*, int> files_;
  std::multimap<vst3::TimerListener*, int> timers_;
};

class Vst3Editor final : public Editor {
 public:
  Vst3Editor(vst3::Controller& controller, const std::string& title)
      : window_(title), frame_(window_), view_(static_cast<vst3::View*>(controller.create_view(vst3::editor_view))) {
    if (!view_) throw std::runtime_error("it has no window of its own");
    if (view_->supports(vst3::x11_platform) != vst3::ok) {
      throw std::runtime_error("its window cannot be put into an X11 window");
    }
    view_->set_frame(&frame_);
    vst3::Rectangle size{};
    if (view_->size(&size) == vst3::ok) window_.resize(size.right - size.left, size.bottom - size.top);
    window_.show();
    if (view_->attached(reinterpret_cast<void*>(window_.id()), vst3::x11_platform) != vst3::ok) {
      throw std::runtime_error("its window cannot be put into an X11 window");
    }
  }
  ~Vst3Editor() override {
    view_->removed();
    view_->set_frame(nullptr);
  }
  bool is_open() const override { return !window_.is_closed(); }

 private:
  X11Window window_;
  Vst3Frame frame_;
  Vst3Pointer<vst3::View> view_;
};

}  // namespace

std::unique_ptr<Editor> Vst3Plugin::open_editor(const std::string& title) {
  if (!controller_) throw std::runtime_error("it has no window of its own");
  return std::make_unique<Vst3Editor>(*controller_.get(), title);
}

}  // namespace twinrack::host
