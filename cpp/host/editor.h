// A plugin's own window, open as long as this lives or until somebody closes it.
#pragma once

namespace twinrack::host {

class Editor {
 public:
  virtual ~Editor() = default;
  virtual bool is_open() const = 0;
};

}  // namespace twinrack::host
