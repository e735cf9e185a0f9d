#include "export/rack_file.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>
#ifndef _WIN32
#include <dlfcn.h>
#endif

namespace twinrack {

namespace {
constexpr std::size_t trailer_bytes = 8 + sizeof trailer - 1;

std::string whole_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) throw std::runtime_error(path + " is missing; export the rack again");
  std::string bytes;
  std::vector<char> part(1 << 16);
  for (std::size_t got = 1; got > 0;) {
    got = std::fread(part.data(), 1, part.size(), file.get());
    bytes.append(part.data(), got);
  }
  if (std::ferror(file.get()) != 0) throw std::runtime_error(path + " cannot be read");
  return bytes;
}
}  // namespace

FlatRack read_flat_file(const std::string& path) { return FlatRack::read(whole_file(path)); }

FlatRack read_appended(const std::string& path) {
  const std::string bytes = whole_file(path);
  std::uint64_t size = 0;
  if (bytes.size() > trailer_bytes &&
      bytes.compare(bytes.size() - trailer_bytes + 8, std::string::npos, trailer) == 0) {
    std::memcpy(&size, bytes.data() + bytes.size() - trailer_bytes, sizeof size);
  }
  if (size == 0 || size > bytes.size() - trailer_bytes) {
    throw std::runtime_error(path + " has no rack in it; export the rack again");
  }
  const auto length = static_cast<std::size_t>(size);
  return FlatRack::read(std::string_view(bytes).substr(bytes.size() - trailer_bytes - length, length));
}

std::string own_path() {
#ifndef _WIN32
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&own_path), &info) != 0 && info.dli_fname != nullptr) return info.dli_fname;
#endif
  return "";
}

void complain(const std::string& what) noexcept { std::fprintf(stderr, "twinrack: %s\n", what.c_str()); }

}  // namespace twinrack
