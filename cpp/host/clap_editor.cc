// The window of a CLAP plugin, and what the host offers to all of them.
#include <poll.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "host/clap_plugin.h"
#include "host/main_loop.h"
#include "host/x11_window.h"

namespace twinrack::host {

class ClapPlugin::ClapEditor final : public Editor {
 public:
  ClapEditor(ClapPlugin& plugin, const clap::Gui& gui, const std::string& title)
      : window_(title), plugin_(plugin), gui_(gui) {
    const clap::Plugin* own = plugin.plugin_;
    if (!gui.supports(own, clap::x11_api, false) || !gui.create(own, clap::x11_api, false)) {
      throw std::runtime_error("its window cannot be put into an X11 window");
    }
    plugin.editor_ = this;
    std::uint32_t width = 0, height = 0;
    if (gui.size(own, &width, &height)) resize(width, height);
    const clap::Window parent{clap::x11_api, window_.id()};
    if (!gui.set_parent(own, &parent)) {
      end();
      throw std::runtime_error("its window cannot be put into an X11 window");
    }
    window_.show();
    gui.show(own);
  }
  ~ClapEditor() override { end(); }

  bool is_open() const override { return !window_.is_closed() && !is_closed_; }
  bool resize(std::uint32_t width, std::uint32_t height) {
    window_.resize(static_cast<int>(width), static_cast<int>(height));
    return true;
  }
  void closed() { is_closed_ = true; }

 private:
  void end() {
    gui_.destroy(plugin_.plugin_);
    plugin_.editor_ = nullptr;
  }

  X11Window window_;
  ClapPlugin& plugin_;
  const clap::Gui& gui_;
  bool is_closed_ = false;
};

std::unique_ptr<Editor> ClapPlugin::open_editor(const std::string& title) {
  const auto* gui = extension<clap::Gui>(clap::gui_id);
  if (gui == nullptr) throw std::runtime_error("it has no window of its own");
  return std::make_unique<ClapEditor>(*this, *gui, title);
}

const void* ClapPlugin::host_extension(const char* name) const {
  static const clap::HostParameters parameters{
      [](const clap::Host* host, std::uint32_t) { self(host).wants_rescan_ = true; },
      [](const clap::Host*, std::uint32_t, std::uint32_t) {},
      [](const clap::Host* host) { self(host).wants_flush_ = true; }};
  static const clap::HostLatency latency{[](const clap::Host* host) { self(host).look_up_latency(); }};
  static const clap::HostThreads threads{
      [](const clap::Host* host) { return !is_playing() && std::this_thread::get_id() == self(host).main_; },
      [](const clap::Host*) { return is_playing(); }};
  static const clap::HostLog log{
      [](const clap::Host*, std::int32_t, const char* message) { std::fprintf(stderr, "%s\n", message); }};
  static const clap::HostState state{[](const clap::Host*) {}};
  static const clap::HostGui gui{[](const clap::Host*) {},
                                 [](const clap::Host* host, std::uint32_t width, std::uint32_t height) {
                                   return self(host).editor_ != nullptr && self(host).editor_->resize(width, height);
                                 },
                                 [](const clap::Host*) { return true; }, [](const clap::Host*) { return true; },
                                 [](const clap::Host* host, bool) {
                                   if (self(host).editor_ != nullptr) self(host).editor_->closed();
                                 }};
  static const clap::HostTimers timers{[](const clap::Host* host, std::uint32_t period_ms, std::uint32_t* id) {
                                         ClapPlugin& own = self(host);
                                         static std::uint32_t count = 0;
                                         const std::uint32_t number = *id = ++count;
                                         own.timers_[number] = main_loop().add_timer(
                                             static_cast<int>(std::min(period_ms, 60000u)), [&own, number] {
                                               const auto* served = own.extension<clap::Timers>(clap::timers_id);
                                               if (served != nullptr) served->on_timer(own.plugin_, number);
                                             });
                                         return true;
                                       },
                                       [](const clap::Host* host, std::uint32_t id) {
                                         const auto timer = self(host).timers_.find(id);
                                         if (timer == self(host).timers_.end()) return false;
                                         main_loop().remove_timer(timer->second);
                                         self(host).timers_.erase(timer);
                                         return true;
                                       }};
  static const auto listen = [](const clap::Host* host, int file, std::uint32_t flags) {
    ClapPlugin& own = self(host);
    const auto events = static_cast<short>(((flags & clap::can_read) != 0 ? POLLIN : 0) |
                                           ((flags & clap::can_write) != 0 ? POLLOUT : 0));
    own.files_.insert(file);
    main_loop().add_file(file, events, [&own, file](short happened) {
      const auto* served = own.extension<clap::Files>(clap::files_id);
      const std::uint32_t what = ((happened & POLLIN) != 0 ? clap::can_read : 0u) |
                                 ((happened & POLLOUT) != 0 ? clap::can_write : 0u) |
                                 ((happened & (POLLERR | POLLHUP)) != 0 ? clap::has_error : 0u);
      if (served != nullptr) served->on_file(own.plugin_, file, what);
    });
    return true;
  };
  static const clap::HostFiles files{listen, listen, [](const clap::Host* host, int file) {
                                       self(host).files_.erase(file);
                                       main_loop().remove_file(file);
                                       return true;
                                     }};
  const std::pair<const char*, const void*> all[] = {{clap::parameters_id, &parameters}, {clap::latency_id, &latency},
                                                     {clap::threads_id, &threads},       {clap::log_id, &log},
                                                     {clap::state_id, &state},           {clap::gui_id, &gui},
                                                     {clap::timers_id, &timers},         {clap::files_id, &files}};
  for (const auto& [id, offered] : all) {
    if (std::strcmp(name, id) == 0) return offered;
  }
  return nullptr;
}

}  // namespace twinrack::host
