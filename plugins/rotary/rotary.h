// Rotary speaker: a horn for the highs and a drum for the lows that turn before two microphones.
//
//   crossover -> highs -> delay and level on the horn's sine, for each microphone -+-> sum
//             -> lows  -> delay and level on the drum's sine, the other way round -+
#if defined(TWINRACK_PLUGINS_ROTARY_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_ROTARY_H_
#undef TWINRACK_PLUGINS_ROTARY_H_
#else
#define TWINRACK_PLUGINS_ROTARY_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/delay/fractional_delay-inl.h"
#include "dsp/delay/gliding_delay.h"
#include "dsp/filters/linkwitz_riley-inl.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Rotary {
  using Card = cards::Rotary;
  static constexpr double drum_radius = 0.9, most_ms = 1.0;  // the drum's way, as a part of the horn's

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    longest_ = std::ceil(2.0 * most_ms * 1e-3 * rate_) + 1.0;
    crossover_.prepare(channels_);
    memory_.assign(static_cast<std::size_t>(rotors * channels_), std::vector<float>(max_segment));
    for (auto& row : memory_) rows_.push_back(row.data());
    lines_.assign(static_cast<std::size_t>(rotors * channels_), FractionalDelay());
    for (FractionalDelay& line : lines_) line.prepare(static_cast<int>(longest_) + 3, max_segment);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const double rate_hz = static_cast<double>(v.rate_hz), start = static_cast<double>(v.start_deg) / 360.0;
    const double stereo = static_cast<double>(v.stereo_deg) / 360.0;
    modulators_[horn].tune({rate_hz, Wave::sine, start, stereo}, rate_);
    modulators_[drum].tune({rate_hz * static_cast<double>(v.drum_ratio), Wave::sine, start, 1.0 - stereo}, rate_);
    crossover_.tune({static_cast<double>(v.crossover_hz)}, rotors, 2, rate_);
    const double swing = 1e-3 * static_cast<double>(v.doppler_ms) * rate_;
    swings_[horn].go(swing, 0.5 * tick_frames);
    swings_[drum].go(drum_radius * swing, 0.5 * tick_frames);
    settings_.go({v.horn_tremolo, v.drum_tremolo, v.mix});
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    crossover_.reset();
    for (Modulator& modulator : modulators_) modulator.reset();
    for (GlidingDelay& swing : swings_) swing.arrive();
    for (FractionalDelay& line : lines_) line.reset();
    settings_.arrive();
  }

  bool is_ramping() const noexcept TR_RT { return swings_[horn].moving() || swings_[drum].moving(); }

  void process(Block io, SideBlock) noexcept TR_RT {
    for (int c = 0; c < channels_; ++c) std::copy_n(io.channel[c], io.frames, row(0, c));
    crossover_.process(rows_.data(), channels_, io.frames);
    for (int r = 0; r < rotors; ++r) {
      for (int c = 0; c < channels_; ++c) turn(r, c, row(r, c), io.frames);
      modulators_[static_cast<std::size_t>(r)].pass(io.frames);
    }
    const Ramp mix = settings_[mixed];
    for (int c = 0; c < channels_; ++c) {
      const float *low = row(drum, c), *high = row(horn, c);
      float* x = io.channel[c];
      for (int n = 0; n < io.frames; ++n) x[n] += mix[n] * (low[n] + high[n] - x[n]);
    }
    settings_.pass(io.frames);
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    return !is_ramping() && !settings_.moving() && silent_frames > static_cast<int>(longest_) + 4 &&
           crossover_.tail_ended();
  }
  void skip_silence(int frames) noexcept TR_RT {
    for (Modulator& modulator : modulators_) modulator.pass(frames);
  }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(crossover_, modulators_, lines_, settings_);
    archive.bounded(frame_, 0, tick_frames);
    for (GlidingDelay& swing : swings_) swing.state(archive, 0.5 * longest_);
  }

 private:
  enum Rotor : int { drum, horn, rotors };  // as the crossover's bands
  enum Ramped : std::size_t { horn_tremolo, drum_tremolo, mixed, ramped_count };

  float* row(int rotor, int channel) noexcept TR_RT {
    return rows_[static_cast<std::size_t>(rotor * channels_ + channel)];
  }

  // One rotor as one microphone hears it: loudest where it is nearest.
  void turn(int rotor, int channel, float* x, int frames) noexcept TR_RT {
    double delay[max_segment];
    float gain[max_segment];
    const GlidingDelay& swing = swings_[static_cast<std::size_t>(rotor)];
    const Ramp tremolo = settings_[rotor == horn ? horn_tremolo : drum_tremolo];
    modulators_[static_cast<std::size_t>(rotor)].fill(channel, delay, frames);
    for (int n = 0; n < frames; ++n) {
      const double away = 1.0 + delay[n];  // 0 … 2
      gain[n] = 1.0f - tremolo[n] * static_cast<float>(0.5 * away);
      delay[n] = std::max(1.0, 1.0 + swing[frame_ + n] * away);
    }
    FractionalDelay& line = lines_[static_cast<std::size_t>(rotor * channels_ + channel)];
    line.write(x, frames);
    line.read(delay, x, frames);
    for (int n = 0; n < frames; ++n) x[n] *= gain[n];
  }

  double rate_ = 0, longest_ = 0;
  int channels_ = 0, frame_ = 0;  // frames since the last tune
  LinkwitzRiley<rotors> crossover_;
  std::array<Modulator, rotors> modulators_;
  std::array<GlidingDelay, rotors> swings_;
  Ramps<ramped_count> settings_;
  std::vector<FractionalDelay> lines_;
  std::vector<std::vector<float>> memory_;
  std::vector<float*> rows_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
