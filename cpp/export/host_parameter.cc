#include "export/host_parameter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

namespace twinrack {

int HostParameter::values() const noexcept TR_RT {
  if (flat.is_switch) return 2;
  return static_cast<int>(flat.options.size());
}

double HostParameter::to_position(float value) const noexcept TR_RT {
  const auto v = static_cast<double>(value), low = static_cast<double>(least()), high = static_cast<double>(most());
  if (high == low) return 0.0;
  return is_log() ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
}

float HostParameter::from_position(double position) const noexcept TR_RT {
  if (position == to_position(flat.initial)) return flat.initial;
  const double at = std::clamp(position, 0.0, 1.0);
  const auto low = static_cast<double>(least()), high = static_cast<double>(most());
  return bounded(is_log() ? low * std::exp(at * std::log(high / low)) : low + at * (high - low));
}

float HostParameter::bounded(double value) const noexcept TR_RT {
  const float near = static_cast<float>(values() > 0 ? std::round(value) : value);
  return std::clamp(near, least(), most());
}

std::string HostParameter::to_text(float value) const {
  if (flat.is_switch) return value > 0.5f ? "on" : "off";
  if (values() > 0) return flat.options[static_cast<std::size_t>(bounded(static_cast<double>(value)))];
  return decimals(static_cast<double>(value), 4) + (flat.unit.empty() ? "" : " " + flat.unit);
}

bool HostParameter::from_text(std::string_view text, float& value) const {
  for (std::size_t i = 0; i < flat.options.size(); ++i) {
    if (flat.options[i] == text) {
      value = static_cast<float>(i);
      return true;
    }
  }
  if (flat.is_switch && (text == "on" || text == "off")) {
    value = text == "on" ? 1.0f : 0.0f;
    return true;
  }
  double number = 0.0;
  if (!read_number(text, number)) return false;
  value = bounded(number);
  return true;
}

std::string decimals(double x, int digits) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::general, digits);
  return {text, end.ptr};
}

bool read_number(std::string_view text, double& x, bool whole) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, x);
  return read.ec == std::errc{} && std::isfinite(x) && (!whole || read.ptr == end);
}

}  // namespace twinrack
