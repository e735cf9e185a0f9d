#include "host/base64.h"

#include <array>
#include <cstdint>
#include <stdexcept>

namespace twinrack::host {

namespace {
constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string to_base64(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += at + i > bytes.size() ? '=' : letters[group >> (18 - 6 * i) & 63];
    }
  }
  return text;
}

std::string from_base64(std::string_view text) {
  if (text.size() % 4 != 0) throw std::invalid_argument("the text of a state is incomplete");
  std::string bytes;
  std::uint32_t group = 0;
  int digits = 0, padding = 0;
  for (const char c : text) {
    const std::size_t digit = letters.find(c);
    const bool is_padding = c == '=' && digits >= 2;
    if ((digit == std::string_view::npos || padding > 0) && !is_padding) {
      throw std::invalid_argument("the text of a state has letters that do not belong there");
    }
    padding += is_padding;
    group = group << 6 | (is_padding ? 0u : static_cast<std::uint32_t>(digit));
    if (++digits == 4) {
      for (int i = 0; i < 3 - padding; ++i) bytes += static_cast<char>(group >> (16 - 8 * i) & 255);
      group = 0;
      digits = 0;
    }
  }
  return bytes;
}

}  // namespace twinrack::host
