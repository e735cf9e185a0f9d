// Where a plugin's flat rack stands: in a file beside the library, or after the library's own end.
#pragma once

#include <exception>
#include <string>

#include "engine/flat_rack.h"

namespace twinrack {

// The end of a file that holds both: the library, the flat rack, its length as 8 bytes, and this.
inline constexpr char trailer[] = "TWINRACK";

// Both throw std::runtime_error or std::invalid_argument with a sentence.
FlatRack read_flat_file(const std::string& path);
FlatRack read_appended(const std::string& path);

// The file that this library was loaded from; empty where the system does not say.
std::string own_path();

// Says what went wrong where a host lets nothing else be said.
void complain(const std::string& what) noexcept;

// The result of a function; where it throws, a complaint and nothing.
template <class Make>
auto made_or_complained(const Make& make) -> decltype(make()) {
  try {
    return make();
  } catch (const std::exception& error) {
    complain(error.what());
    return {};
  }
}

}  // namespace twinrack
