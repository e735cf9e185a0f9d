// A stereo gain with a sidechain for tests, in a framework that makes CLAP and VST3 plugins of it (Debian's
// dpf-source).
#include <cmath>
#include <cstdint>
#include <cstring>

#include "DistrhoPlugin.hpp"

START_NAMESPACE_DISTRHO

namespace {
// The first one of a plugin that hears MIDI cannot be read in VST3 (a fault of this framework).
enum { level, gain, frequency, mode, invert, delay, clock, listen, count };
constexpr std::uint32_t most_delay = 64;

class FramedGain : public Plugin {
 public:
  FramedGain() : Plugin(count, 2, 1) {}

 protected:
  const char* getLabel() const override { return "FramedGain"; }
  const char* getMaker() const override { return "twinrack tests"; }
  const char* getLicense() const override { return "Apache-2.0"; }
  std::uint32_t getVersion() const override { return d_version(1, 0, 0); }
  std::int64_t getUniqueId() const override { return d_cconst('t', 'w', 'F', 'g'); }

  void initAudioPort(bool input, std::uint32_t index, AudioPort& port) override {
    Plugin::initAudioPort(input, index, port);
    if (input && index >= 2) port.hints = kAudioPortIsSidechain;
  }

  void initParameter(std::uint32_t index, Parameter& p) override {
    const auto set = [&](const char* name, const char* unit, std::uint32_t hints, float low, float high, float first) {
      p.name = name;
      p.symbol = name;
      p.unit = unit;
      p.hints = hints | kParameterIsAutomatable;
      p.ranges = ParameterRanges(first, low, high);
    };
    if (index == gain) set("Gain", "dB", 0, -60.0f, 12.0f, 0.0f);
    if (index == frequency) set("Frequency", "Hz", kParameterIsLogarithmic, 20.0f, 20000.0f, 1000.0f);
    if (index == mode) {
      set("Mode", "", kParameterIsInteger, 0.0f, 2.0f, 0.0f);
      p.enumValues.values = new ParameterEnumerationValue[3]{{0.0f, "Soft"}, {1.0f, "Hard"}, {2.0f, "Off"}};
      p.enumValues.count = 3;
      p.enumValues.restrictedMode = true;
    }
    if (index == invert) set("Invert", "", kParameterIsBoolean, 0.0f, 1.0f, 0.0f);
    if (index == delay) set("Delay", "frames", 0, 0.0f, most_delay, 0.0f);
    if (index == clock) set("Clock", "", kParameterIsBoolean, 0.0f, 1.0f, 0.0f);
    if (index == listen) set("Listen", "", kParameterIsBoolean, 0.0f, 1.0f, 0.0f);
    if (index == level) {
      set("Level", "", 0, 0.0f, 1.0f, 0.0f);
      p.hints = kParameterIsOutput;
    }
  }

  float getParameterValue(std::uint32_t index) const override { return values_[index]; }
  void setParameterValue(std::uint32_t index, float value) override {
    values_[index] = value;
    if (index == delay) setLatency(static_cast<std::uint32_t>(value));
  }

  void initProgramName(std::uint32_t index, String& name) override { name = index == 0 ? "Plain" : "Quiet"; }
  void loadProgram(std::uint32_t index) override {
    values_[gain] = index == 0 ? 0.0f : -20.0f;
    values_[mode] = static_cast<float>(index);
  }

  void initState(std::uint32_t, State& state) override {
    state.key = "note";
    state.defaultValue = "";
  }
  void setState(const char*, const char* value) override { has_note_ = value[0] != '\0'; }

  void activate() override { std::memset(past_, 0, sizeof past_); }

  void run(const float** in, float** out, std::uint32_t frames, const MidiEvent* midi, std::uint32_t events) override {
    const float sizes[] = {1.0f, 2.0f, 0.0f};
    const float factor = std::pow(10.0f, values_[gain] / 20.0f) * (values_[frequency] / 1000.0f) *
                         sizes[static_cast<int>(values_[mode])] * (values_[invert] > 0.5f ? -1.0f : 1.0f) *
                         (has_note_ ? 3.0f : 1.0f);
    const auto late = static_cast<std::uint32_t>(values_[delay]);
    float peak = 0.0f;
    for (std::uint32_t n = 0; n < frames; ++n) {
      for (int c = 0; c < 2; ++c) {
        past_[c][at_ % (most_delay + 1)] = factor * in[c][n] + in[2 + c][n];
        out[c][n] = past_[c][(at_ + most_delay + 1 - late) % (most_delay + 1)];
        peak = std::fmax(peak, std::fabs(in[c][n]));
      }
      ++at_;
    }
    values_[level] = std::fmin(peak, 1.0f);
    if (values_[listen] > 0.5f) play_messages(out, frames, midi, events);
    const TimePosition& time = getTimePosition();
    if (values_[clock] < 0.5f || !time.playing || !time.bbt.valid) return;
    const double beat =
        (time.bbt.bar - 1) * time.bbt.beatsPerBar + (time.bbt.beat - 1) + time.bbt.tick / time.bbt.ticksPerBeat;
    for (std::uint32_t n = 0; n < frames; ++n) {  // the beats of each frame, and the tempo
      out[0][n] = static_cast<float>(beat + n * time.bbt.beatsPerMinute / (60.0 * getSampleRate()));
      out[1][n] = static_cast<float>(0.001 * time.bbt.beatsPerMinute);
    }
  }

 private:
  // A key that is hit, in thousandths; one that is let go, below 0; a controller in the other channel.
  static void play_messages(float** out, std::uint32_t frames, const MidiEvent* midi, std::uint32_t events) {
    for (int c = 0; c < 2; ++c) std::memset(out[c], 0, frames * sizeof(float));
    for (std::uint32_t i = 0; i < events; ++i) {
      const std::uint8_t kind = midi[i].data[0] & 0xF0;
      const float key = 0.001f * static_cast<float>(midi[i].data[1]);
      if (kind == 0x90) out[0][midi[i].frame] = key;
      if (kind == 0x80) out[0][midi[i].frame] = -key;
      if (kind == 0xB0) out[1][midi[i].frame] = 0.001f * static_cast<float>(midi[i].data[2]);
    }
  }

  float values_[count] = {0.0f, 0.0f, 1000.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  float past_[2][most_delay + 1] = {};
  std::uint32_t at_ = 0;
  bool has_note_ = false;
};
}  // namespace

Plugin* createPlugin() { return new FramedGain(); }

END_NAMESPACE_DISTRHO
