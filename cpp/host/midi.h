// Messages of MIDI for plugins that hear them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace twinrack::host {

// One of up to three bytes, at a frame. The bytes that it does not have are 0.
struct MidiMessage {
  static constexpr std::uint8_t note_off = 0x80, note_on = 0x90, poly_pressure = 0xA0, controller = 0xB0,
                                program = 0xC0, pressure = 0xD0, bend = 0xE0;

  std::int64_t frame = 0;
  std::array<std::uint8_t, 3> bytes{};

  std::uint8_t kind() const { return bytes[0] & 0xF0; }
  std::uint8_t channel() const { return bytes[0] & 0x0F; }
  std::uint32_t size() const { return kind() == program || kind() == pressure ? 2 : 3; }
  // A key that is hit without velocity is let go.
  bool begins_note() const { return kind() == note_on && bytes[2] > 0; }
  bool ends_note() const { return kind() == note_off || (kind() == note_on && bytes[2] == 0); }
};

// From six digits, "903c64". Throws where they are none of MIDI, or not of a channel.
MidiMessage midi_message(const std::string& hexadecimal);

// Messages by their frames on a timeline.
class MidiScore {
 public:
  void add(const MidiMessage& message);  // none before those that were added already
  std::span<const MidiMessage> between(std::int64_t begin, std::int64_t end) const;

 private:
  std::vector<MidiMessage> messages_;
};

}  // namespace twinrack::host
