// Bytes as text, for states of plugins.
#pragma once

#include <string>
#include <string_view>

namespace twinrack::host {

std::string to_base64(std::string_view bytes);
// Throws std::invalid_argument for text that is none.
std::string from_base64(std::string_view text);

}  // namespace twinrack::host
