#include "host/midi.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace twinrack::host {

MidiMessage midi_message(const std::string& hexadecimal) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(hexadecimal.c_str(), &end, 16);
  if (hexadecimal.size() != 6 || *end != '\0' || number < 0x800000 || number >= 0xF00000 || (number & 0x8080) != 0) {
    throw std::invalid_argument(hexadecimal + " is not a MIDI message of a channel");
  }
  const auto byte = [&](int shift) { return static_cast<std::uint8_t>(number >> shift); };
  return {0, {byte(16), byte(8), byte(0)}};
}

void MidiScore::add(const MidiMessage& message) {
  if (!messages_.empty() && message.frame < messages_.back().frame) {
    throw std::invalid_argument("MIDI messages must come in the order of time");
  }
  messages_.push_back(message);
}

std::span<const MidiMessage> MidiScore::between(std::int64_t begin, std::int64_t end) const {
  const auto at = [&](std::int64_t frame) {
    return std::lower_bound(messages_.begin(), messages_.end(), frame,
                            [](const MidiMessage& message, std::int64_t wanted) { return message.frame < wanted; });
  };
  return {at(begin), at(end)};
}

}  // namespace twinrack::host
