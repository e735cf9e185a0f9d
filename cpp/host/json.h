// JSON text, written piece by piece.
#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace twinrack::host {

class Json {
 public:
  Json& begin(char bracket) {
    comma();
    text_ += bracket;
    first_ = true;
    return *this;
  }
  Json& end(char bracket) {
    text_ += bracket;
    first_ = false;
    return *this;
  }
  Json& key(std::string_view name) {
    comma();
    quote(name);
    text_ += ':';
    first_ = true;
    return *this;
  }
  Json& value(std::string_view text) {
    comma();
    quote(text);
    return *this;
  }
  Json& value(const char* text) { return value(std::string_view(text == nullptr ? "" : text)); }
  Json& value(bool on) { return raw(on ? "true" : "false"); }
  Json& value(long number) { return raw(std::to_string(number)); }
  // NaN and infinity become null.
  Json& value(double number) {
    if (!std::isfinite(number)) return raw("null");
    char digits[64];
    const auto written = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::general, 9);
    return raw({digits, static_cast<std::size_t>(written.ptr - digits)});
  }

  const std::string& text() const { return text_; }

 private:
  void comma() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  Json& raw(std::string_view text) {
    comma();
    text_ += text;
    return *this;
  }
  void quote(std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    text_ += '"';
    for (const char c : text) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (code < 0x20 || code == 0x7f) {
        text_ += "\\u00";
        text_ += digits[code >> 4];
        text_ += digits[code & 15];
      } else {
        text_ += c;
      }
    }
    text_ += '"';
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace twinrack::host
