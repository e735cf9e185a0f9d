// A window on the display that DISPLAY names, for a plugin to put its own into. libX11 is loaded when one is made.
#pragma once

#include <memory>
#include <string>

namespace twinrack::host {

struct X11;

class X11Window {
 public:
  // Throws with a sentence where there is no display.
  explicit X11Window(const std::string& title);
  ~X11Window();
  X11Window(const X11Window&) = delete;
  X11Window& operator=(const X11Window&) = delete;

  unsigned long id() const { return id_; }
  void resize(int width, int height);
  // As large as a window that lies in it; later it follows all that do.
  void fit(unsigned long inner);
  void show();
  // Whether somebody has closed it.
  bool is_closed() const { return is_closed_; }

 private:
  void serve();

  std::unique_ptr<X11> x_;
  void* display_ = nullptr;
  unsigned long id_ = 0, delete_message_ = 0;
  bool is_closed_ = false;
};

}  // namespace twinrack::host
