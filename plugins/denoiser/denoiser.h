// Noise reduction: lowers each band of the sound by as much of it as is noise.
//
//   sound -> power of each band, once a tick -> noise in it, tracked, learned, held or given
//                                            -> share of noise, or a network's decision -> gains of the bands
//   sound -> a filter of linear phase that takes its share of each band away, moved over each tick
#if defined(TWINRACK_PLUGINS_DENOISER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_DENOISER_H_
#undef TWINRACK_PLUGINS_DENOISER_H_
#else
#define TWINRACK_PLUGINS_DENOISER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "cards.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/filters/auditory_bands-inl.h"
#include "dsp/neural/stack_stream-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "plugins/denoiser/noise_sweep.h"
#include "rt/tick_clock.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Denoiser {
  using Card = cards::Denoiser;
  static constexpr int bands = AuditoryBands::count;
  static constexpr double longest_lookahead_s = 0.01;
  static constexpr double slow_s = 0.075, start_s = 0.06;
  static constexpr double rise_db = 3.0;                      // of the minimum, in the time of the adaptation
  static constexpr float floor = 1e-12f, silence = 1.5e-12f;  // power: the least, and up to where nothing sounds
  static constexpr float excess = 1.4125375f;  // the noise counts 1.5 dB louder than the mean of what was taken for it
  static constexpr float loudest = 1e6f;       // sample; what is beyond it counts as that
  static constexpr double gain_s = 0.002;      // time constant of the gains in dB, so that nothing clicks
  static constexpr double hop_s = 128.0 / 48000.0;  // from one decision of a network to the next

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    powers_.prepare(channels_, rate_);
    taken_.prepare(channels_, rate_, static_cast<int>(std::ceil(longest_lookahead_s * rate_)));
    start_ticks_ = std::max(static_cast<int>(std::lround(start_s * rate_ / tick_frames)), 1);
    hop_ticks_ = std::max(static_cast<int>(std::lround(hop_s * rate_ / tick_frames)), 1);
  }

  void load(const Resource& network) {
    decides_ = network.frames > 0;
    if (!decides_) return;
    const twinrack::neural::Plan plan = twinrack::neural::PlanReader(network.channel[0], network.frames).read();
    if (plan.kind != twinrack::neural::Plan::conv_stack || plan.stack.convs.front().in != 2 * bands ||
        plan.stack.convs.back().out != bands) {
      throw std::invalid_argument("the network does not take the bands of a denoiser");
    }
    network_.prepare(plan.stack);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    reduction_db_ = v.reduction_db;
    sensitivity_ = power_of(v.sensitivity_db);
    smooth_ = share_of(1e-3 * static_cast<double>(v.smoothing_ms));
    const double adaptation = static_cast<double>(v.adaptation_s);
    slow_ = share_of(slow_s);
    glide_ = share_of(gain_s);
    adapt_ = share_of(adaptation);
    rise_ = std::pow(10.0, 0.1 * rise_db * tick_frames / (adaptation * rate_));
    if (v.noise != source_) learned_.fill(0);
    source_ = v.noise;
    for (std::size_t b = 0; b < bands; ++b) profile_[b] = static_cast<double>(power_of(v.bands[b].noise_db));
    removed_.go(v.listen == Card::Listen::removed);
    removed_.tick();
    taken_.set_delay(whole_frames(v.lookahead_ms, rate_));
  }

  void reset() noexcept TR_RT {
    powers_.reset();
    taken_.reset();
    clock_.reset();
    network_.reset();
    followed_ = {};
    noise_.fill(static_cast<double>(floor));
    hop_power_.fill(0.0f);
    target_db_.fill(0.0f);
    gain_db_.fill(0.0);
    removed_.arrive();
    learned_.fill(0);
    ages_.fill(0);
    hop_tick_ = 0;
    begun_ = false;
    listened_.go({static_cast<float>(removed_.share())});
    listened_.arrive();
    reduced_db_ = 0.0f;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    clock_.pass(
        io.frames, [&]() HWY_ATTR { begin_tick(); }, [&](int from, int frames) HWY_ATTR { run(io, from, frames); });
  }

  // True while what is listened to crossfades.
  bool is_ramping() const noexcept TR_RT { return removed_.moving(); }

  // It stays awake: what it knows of the noise goes on in silence.
  int latency() const noexcept { return taken_.delay(); }
  float gain_reduction_db() const noexcept TR_RT { return reduced_db_; }
  void state(StateArchive& archive) {
    archive(powers_, taken_, clock_, network_, followed_, hop_power_, noise_, target_db_, gain_db_, removed_, listened_,
            begun_, reduced_db_);
    for (int& age : ages_) archive.bounded(age, 0, start_ticks_);
    for (int& count : learned_) archive.bounded(count, 0, most_learned);
    archive.bounded(hop_tick_, 0, hop_ticks_ - 1);
  }

 private:
  using Row = AuditoryBandPowers::Row;
  static constexpr std::size_t lanes = lane_count<float>;
  static constexpr int most_learned = 1 << 24;  // ticks

  static float power_of(float db) noexcept TR_RT {
    return static_cast<float>(std::pow(10.0, 0.1 * static_cast<double>(db)));
  }
  double share_of(double seconds) const noexcept TR_RT { return -std::expm1(-tick_frames / (seconds * rate_)); }

  // The gains that this tick ends with come from the powers up to the tick before.
  void begin_tick() noexcept TR_RT {
    if (begun_) {
      Row power;
      powers_.take(channels_, power);
      for (float& p : power) p = std::max(p, floor);
      follow(power);
      decides_ ? decide(power) : weigh();
      for (std::size_t b = 0; b < bands; ++b) {
        gain_db_[b] += glide_ * (static_cast<double>(target_db_[b]) - gain_db_[b]);
      }
    } else {  // as after endless silence
      if (source_ == Card::Noise::profile) noise_ = profile_;
      decides_ ? aim(network_.output()) : weigh();
      for (std::size_t b = 0; b < bands; ++b) gain_db_[b] = static_cast<double>(target_db_[b]);
    }
    const Tag<float> d;
    Row gain;
    double sum = 0.0;
    for (std::size_t b = 0; b < bands; ++b) {
      gain[b] = static_cast<float>(gain_db_[b]);
      if (static_cast<int>(b) < taken_.used()) sum += gain_db_[b];
    }
    reduced_db_ = static_cast<float>(-sum / taken_.used());
    for (std::size_t b = 0; b < bands; b += lanes) {
      hn::StoreU(hn::Set(d, 1.0f) - amplitude(hn::LoadU(d, gain.data() + b)), d, gain.data() + b);
    }
    taken_.tune(gain);
    listened_.go({static_cast<float>(removed_.share())});
    if (!begun_) listened_.arrive();
    begun_ = true;
  }

  // The smoothed power, and the noise. In double precision, for long times move by less than a float's last bit;
  // DenoiserNoiseSweep does the same in training.
  void follow(const Row& power) noexcept TR_RT {
    Row likely;
    for (std::size_t b = 0; b < bands; ++b) {
      Band& band = followed_[b];
      const auto p = static_cast<double>(power[b]);
      band.smoothed += smooth_ * (p - band.smoothed);
      if (power[b] > silence) {  // without sound all stays as it is known
        band.level += slow_ * (p - band.level);
        band.minimum = ages_[b] >= start_ticks_ ? std::min(band.minimum * rise_, band.level)
                                                : std::min(band.level, DenoiserNoiseSweep::loudest_start);
      }
      likely[b] = static_cast<float>(band.level / std::max(band.minimum, 1e-30));
    }
    const Tag<float> d;
    for (std::size_t b = 0; b < bands; b += lanes) {
      hn::StoreU(DenoiserNoiseSweep::likely(log2_of(hn::LoadU(d, likely.data() + b))), d, likely.data() + b);
    }
    for (std::size_t b = 0; b < bands; ++b) {
      if (power[b] <= silence) continue;
      Band& band = followed_[b];
      const double way = static_cast<double>(likely[b]) * adapt_;
      const auto p = static_cast<double>(power[b]);
      band.noise = ages_[b] >= start_ticks_ ? band.noise + way * (p - band.noise) : band.minimum;
      ages_[b] = std::min(ages_[b] + 1, start_ticks_);
    }
    switch (source_) {
      case Card::Noise::track:
        for (std::size_t b = 0; b < bands; ++b) noise_[b] = std::max(followed_[b].noise, DenoiserNoiseSweep::silence);
        break;
      case Card::Noise::learn:
        for (std::size_t b = 0; b < bands; ++b) {
          if (power[b] <= silence) continue;
          learned_[b] = std::min(learned_[b] + 1, most_learned);
          noise_[b] += (static_cast<double>(power[b]) - noise_[b]) / learned_[b];
        }
        break;
      case Card::Noise::hold:
        break;
      case Card::Noise::profile:
        noise_ = profile_;
    }
  }

  // By the share of noise: power subtraction (S. F. Boll 1979; M. Berouti 1979).
  void weigh() noexcept TR_RT {
    const Tag<float> d;
    const double counted = static_cast<double>(sensitivity_ * excess);
    const float least = power_of(-reduction_db_);
    for (std::size_t b = 0; b < bands; ++b) {
      target_db_[b] =
          std::max(static_cast<float>(1.0 - counted * std::max(noise_[b] - static_cast<double>(floor), 0.0) /
                                                std::max(followed_[b].smoothed, static_cast<double>(floor))),
                   least);
    }
    for (std::size_t b = 0; b < bands; b += lanes) {
      const auto gain = hn::LoadU(d, target_db_.data() + b);
      hn::StoreU(hn::Set(d, static_cast<float>(0.5 * db_per_log2)) * log2_of(gain), d, target_db_.data() + b);
    }
  }

  // By the network, once a hop.
  void decide(const Row& power) noexcept TR_RT {
    for (std::size_t b = 0; b < bands; ++b) hop_power_[b] += power[b];
    if (++hop_tick_ < hop_ticks_) return;
    hop_tick_ = 0;
    float* in = network_.input();
    for (int b = 0; b < taken_.used(); ++b) {
      const auto at = static_cast<std::size_t>(b);
      const float level = level_db(hop_power_[at] / static_cast<float>(hop_ticks_));
      in[b] = (level + 100.0f) * (1.0f / 40.0f);
      in[bands + b] = (level - level_db(static_cast<float>(noise_[at]))) * (1.0f / 20.0f);
    }
    for (int b = taken_.used(); b < bands; ++b) in[b] = in[bands + b] = 0.0f;
    aim(network_.run());
    hop_power_.fill(0.0f);
  }
  void aim(const float* out) noexcept TR_RT {
    for (std::size_t b = 0; b < bands; ++b) {
      // a sigmoid, its odds lowered by the sensitivity
      const float odds = sensitivity_ * exp2_of(-1.4426950408889634f * out[b]);
      target_db_[b] = -reduction_db_ * (odds / (1.0f + odds));
    }
  }
  static float level_db(float power) noexcept TR_RT {
    return static_cast<float>(0.5 * db_per_log2) * log2_of(std::max(power, 1e-10f));
  }

  // Frames of one tick.
  void run(Block io, int from, int frames) noexcept TR_RT {
    float bounded[max_channels][tick_frames], late[max_channels][tick_frames];
    const float* all[max_channels] = {};
    float* sound[max_channels] = {};
    for (int c = 0; c < io.channels; ++c) {
      sound[c] = io.channel[c] + from;
      for (int n = 0; n < frames; ++n) bounded[c][n] = std::clamp(sound[c][n], -loudest, loudest);
      all[c] = bounded[c];
    }
    powers_.add(all, io.channels, frames);
    taken_.process({sound, io.channels, frames}, late);
    const Ramp share = listened_[0];
    for (int c = 0; c < io.channels; ++c) {
      for (int n = 0; n < frames; ++n) {
        const float taken = sound[c][n], rest = late[c][n] - taken;
        sound[c][n] = rest + share[n] * (taken - rest);
      }
    }
    listened_.pass(frames);
  }

  struct Band {
    double smoothed, level, minimum, noise;  // power
  };

  double rate_ = 0;
  int channels_ = 1;
  AuditoryBandPowers powers_;
  AuditoryBandGains taken_;  // what is taken away
  TickClock clock_;
  neural::StackStream network_;
  bool decides_ = false;
  TickFade<0, 16> removed_;  // to what is taken away
  float reduction_db_ = 0, sensitivity_ = 1;
  double smooth_ = 1, glide_ = 1, slow_ = 1, adapt_ = 1, rise_ = 1;  // a tick
  Card::Noise source_ = Card::Noise::track;
  std::array<Band, static_cast<std::size_t>(bands)> followed_{};
  std::array<double, static_cast<std::size_t>(bands)> noise_{}, profile_{};  // power
  Row hop_power_{}, target_db_{};
  std::array<double, static_cast<std::size_t>(bands)> gain_db_{};
  std::array<int, static_cast<std::size_t>(bands)> ages_{}, learned_{};  // ticks with sound
  int start_ticks_ = 1, hop_ticks_ = 1, hop_tick_ = 0;
  bool begun_ = false;
  Ramps<1> listened_;  // the share of what is taken away
  float reduced_db_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
