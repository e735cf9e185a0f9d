#include "host/x11_window.h"

#include <poll.h>

#include <algorithm>
#include <optional>
#include <cstring>
#include <stdexcept>

#include "host/main_loop.h"
#include "host/shared_library.h"

namespace twinrack::host {

namespace {
constexpr int client_message = 33, destroyed = 17, configured = 22;
constexpr long structure_notify = 1l << 17, inner_notify = 1l << 19;

// As Xlib lays out the events that matter here.
struct Event {
  int type;
  unsigned long serial;
  int is_sent;
  void* display;
  unsigned long window, message;  // where a window was destroyed: who is told, and which
  int format;
  long data[5];
  long rest[24];
};

struct Configured {
  int type;
  unsigned long serial;
  int is_sent;
  void* display;
  unsigned long receiver, window;
  int x, y, width, height;
};

int ignore_error(void*, void*) { return 0; }  // Xlib's own handler ends the process
}  // namespace

// The functions of libX11 that are needed.
struct X11 {
  SharedLibrary library{"libX11.so.6"};
  template <class F>
  F* get(const char* name) const {
    F* function = library.find<F*>(name);
    if (function == nullptr) throw std::runtime_error(std::string("libX11 lacks ") + name);
    return function;
  }
  void* (*open)(const char*) = get<void*(const char*)>("XOpenDisplay");
  int (*close)(void*) = get<int(void*)>("XCloseDisplay");
  unsigned long (*root)(void*) = get<unsigned long(void*)>("XDefaultRootWindow");
  unsigned long (*create)(void*, unsigned long, int, int, unsigned, unsigned, unsigned, unsigned long, unsigned long) =
      get<unsigned long(void*, unsigned long, int, int, unsigned, unsigned, unsigned, unsigned long, unsigned long)>(
          "XCreateSimpleWindow");
  int (*destroy)(void*, unsigned long) = get<int(void*, unsigned long)>("XDestroyWindow");
  int (*name)(void*, unsigned long, const char*) = get<int(void*, unsigned long, const char*)>("XStoreName");
  int (*map)(void*, unsigned long) = get<int(void*, unsigned long)>("XMapRaised");
  int (*resize)(void*, unsigned long, unsigned,
                unsigned) = get<int(void*, unsigned long, unsigned, unsigned)>("XResizeWindow");
  int (*select)(void*, unsigned long, long) = get<int(void*, unsigned long, long)>("XSelectInput");
  unsigned long (*atom)(void*, const char*, int) = get<unsigned long(void*, const char*, int)>("XInternAtom");
  int (*protocols)(void*, unsigned long, unsigned long*,
                   int) = get<int(void*, unsigned long, unsigned long*, int)>("XSetWMProtocols");
  int (*pending)(void*) = get<int(void*)>("XPending");
  int (*next)(void*, Event*) = get<int(void*, Event*)>("XNextEvent");
  int (*flush)(void*) = get<int(void*)>("XFlush");
  int (*sync)(void*, int) = get<int(void*, int)>("XSync");
  int (*geometry)(void*, unsigned long, unsigned long*, int*, int*, unsigned*, unsigned*, unsigned*, unsigned*) =
      get<int(void*, unsigned long, unsigned long*, int*, int*, unsigned*, unsigned*, unsigned*, unsigned*)>(
          "XGetGeometry");
  int (*file)(void*) = get<int(void*)>("XConnectionNumber");
  void* (*on_error)(int (*)(void*, void*)) = get<void*(int (*)(void*, void*))>("XSetErrorHandler");
  int (*threads)() = get<int()>("XInitThreads");
};

X11Window::X11Window(const std::string& title) : x_(std::make_unique<X11>()) {
  x_->threads();
  display_ = x_->open(nullptr);
  if (display_ == nullptr) throw std::runtime_error("there is no display to open its window on; set DISPLAY");
  x_->on_error(ignore_error);
  id_ = x_->create(display_, x_->root(display_), 0, 0, 400, 300, 0, 0, 0);
  x_->name(display_, id_, title.c_str());
  x_->select(display_, id_, structure_notify | inner_notify);
  delete_message_ = x_->atom(display_, "WM_DELETE_WINDOW", 0);
  x_->protocols(display_, id_, &delete_message_, 1);
  x_->sync(display_, 0);
  main_loop().add_file(x_->file(display_), POLLIN, [this](short) { serve(); });
}

X11Window::~X11Window() {
  main_loop().remove_file(x_->file(display_));
  x_->destroy(display_, id_);
  x_->close(display_);
}

void X11Window::resize(int width, int height) {
  if (width < 1 || height < 1 || width > 16384 || height > 16384) return;
  x_->resize(display_, id_, static_cast<unsigned>(width), static_cast<unsigned>(height));
  x_->sync(display_, 0);
}

void X11Window::fit(unsigned long inner) {
  unsigned long root = 0;
  int x = 0, y = 0;
  unsigned width = 0, height = 0, border = 0, depth = 0;
  if (inner != 0 && x_->geometry(display_, inner, &root, &x, &y, &width, &height, &border, &depth) != 0) {
    resize(static_cast<int>(width), static_cast<int>(height));
  }
}

void X11Window::show() {
  x_->map(display_, id_);
  x_->sync(display_, 0);
}

void X11Window::serve() {
  while (x_->pending(display_) > 0) {
    Event event{};
    x_->next(display_, &event);
    if (event.type == configured) {
      Configured inner{};
      std::memcpy(&inner, &event, sizeof inner);
      if (inner.window != id_) resize(inner.width, inner.height);
    }
    const bool asks_to_close =
        event.type == client_message && event.data[0] == static_cast<long>(delete_message_) && event.window == id_;
    is_closed_ = is_closed_ || asks_to_close || (event.type == destroyed && event.message == id_);
  }
}

}  // namespace twinrack::host
