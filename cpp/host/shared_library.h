// A library that is loaded for as long as this lives.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace twinrack::host {

class SharedLibrary {
 public:
  explicit SharedLibrary(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(std::string("it cannot be loaded: ") + dlerror());
  }
  ~SharedLibrary() { dlclose(handle_); }
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  void* handle() const { return handle_; }
  // Null where there is none.
  template <class T>
  T find(const char* symbol) const {
    return reinterpret_cast<T>(dlsym(handle_, symbol));
  }

 private:
  void* handle_;
};

}  // namespace twinrack::host
