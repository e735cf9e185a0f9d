// True-peak limiter with lookahead:
//
//   in -> gain -+-> true peaks -> dB above the ceiling -> peak hold -> release -> two moving averages -+
//               +-> delay --------------------------------------------------------------------------> x gain -> out
//
// A peak is held for so long that both averages have taken it in whole when it leaves the delay, and until its
// neighbours have left that the interpolation reaches: so the ceiling holds by construction, and the gain moves on a
// smooth curve as long as the lookahead.
#if defined(TWINRACK_PLUGINS_LIMITER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_LIMITER_H_
#undef TWINRACK_PLUGINS_LIMITER_H_
#else
#define TWINRACK_PLUGINS_LIMITER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/delay/delay.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gain_smoother-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/metering/true_peak-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Limiter {
  using Card = cards::Limiter;
  static constexpr int shortest_lookahead = 16;  // frames that the interpolation and both averages need
  static constexpr double slow_factor = 6.0;     // the slow release in releases
  static constexpr float floor_amplitude = 1e-7f;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    const int longest = std::max(shortest_lookahead, static_cast<int>(std::ceil(0.02 * rate_)) + 1);
    longest_ = longest;
    delay_.assign(static_cast<std::size_t>(channels_), DelayLine());
    for (DelayLine& line : delay_) line.prepare(longest + true_peak_taps, max_segment + true_peak_taps);
    ceilings_.prepare(longest, max_segment);
    smoothers_.resize(static_cast<std::size_t>(channels_));
    for (GainSmoother& smoother : smoothers_) smoother.prepare(longest + 2, longest);
    peaks_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    linked_peaks_.assign(max_segment, 0.0f);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    true_peak_ = v.detector == Card::Detector::true_peak;
    const auto level = [](double db) { return static_cast<float>(std::pow(10.0, db / 20.0)); };
    settings_.go({level(static_cast<double>(v.input_gain_db)), level(static_cast<double>(v.ceiling_db)), v.adaptive,
                  v.link_percent / 100.0f});
    release_ = {one_pole_coefficient(static_cast<double>(v.release_ms), rate_),
                one_pole_coefficient(slow_factor * static_cast<double>(v.release_ms), rate_)};
    lookahead_ = std::max(shortest_lookahead, whole_frames(v.lookahead_ms, rate_));
    const int averages = lookahead_ - (2 * true_peak_delay - 2);  // frames of both together
    for (GainSmoother& smoother : smoothers_) smoother.set(lookahead_ + 2, averages - averages / 2, averages / 2);
  }

  void reset() noexcept TR_RT {
    for (DelayLine& line : delay_) line.reset();
    for (GainSmoother& smoother : smoothers_) smoother.reset();
    split_ = false;
    settings_.arrive();
    for (int n = 0; n < longest_; n += max_segment) write_ceiling(max_segment);
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    const int frames = io.frames;
    for (int c = 0; c < channels_; ++c) {
      DelayLine& line = delay_[static_cast<std::size_t>(c)];
      amplify(io.channel[c], line, frames);
      find_peaks(line.written(frames, true_peak_taps - 1), true_peak_, peaks(c), frames);
    }
    if (!split_ && channels_ > 1 && !settings_.rests_at(link, 1.0f)) split();
    float* linked = split_ ? linked_peaks_.data() : peaks(0);
    if (split_) std::copy_n(peaks(0), frames, linked);
    for (int c = 1; c < channels_; ++c) {
      const float* p = peaks(c);
      for (int n = 0; n < frames; ++n) linked[n] = Max(linked[n], p[n]);
    }
    deepest_ = 0.0f;
    write_ceiling(frames);
    for (int c = 0; c < (split_ ? channels_ : 1); ++c) {
      peaks_to_gains(peaks(c), split_ ? linked : nullptr, frames, smoothers_[static_cast<std::size_t>(c)]);
    }
    for (int c = 0; c < channels_; ++c) apply(io.channel[c], c, peaks(split_ ? c : 0), frames);
    settings_.pass(frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (silent_frames < 2 * lookahead_ + true_peak_taps || settings_.moving()) return false;
    for (const GainSmoother& smoother : smoothers_) {
      if (!smoother.still()) return false;
    }
    for (GainSmoother& smoother : smoothers_) smoother.forget();
    return true;
  }

  int latency() const noexcept { return lookahead_; }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }
  void state(StateArchive& archive) { archive(settings_, split_, deepest_, ceilings_, delay_, smoothers_); }

 private:
  enum Ramped : std::size_t { input_gain, ceiling, adaptive, link, ramped_count };
  using D = Tag<float>;
  using V = Vec<float>;

  float* peaks(int channel) noexcept TR_RT { return peaks_.data() + static_cast<std::size_t>(channel) * max_segment; }

  // Fully linked channels have shared the first smoother; from here on each has its own.
  void split() noexcept TR_RT {
    split_ = true;
    for (std::size_t c = 1; c < smoothers_.size(); ++c) smoothers_[c].copy(smoothers_[0]);
  }

  void amplify(const float* x, DelayLine& line, int frames) noexcept TR_RT {
    float* in = line.open();
    for (int n = 0; n < frames; ++n) in[n] = settings_.at(input_gain, n) * x[n];
    line.close(frames);
  }

  // In place; `linked` are the peaks of all channels, where each has its own smoother.
  void peaks_to_gains(float* x, const float* linked, int frames, GainSmoother& smoother) noexcept TR_RT {
    const D tag;
    const V zero = hn::Zero(tag), floor = hn::Set(tag, floor_amplitude);
    for (int n = 0; n < frames; n += lane_count<float>) {
      const V limit = settings_.vector(ceiling, n);
      const auto over_db = [&](const float* peak)
                               HWY_ATTR { return Max(zero, decibels(Max(hn::LoadU(tag, peak + n), floor) / limit)); };
      V reduction = over_db(x);
      if (linked != nullptr) reduction = Max(reduction, settings_.vector(link, n) * over_db(linked));
      hn::StoreU(reduction, tag, x + n);
    }
    smoother.process(x, frames, release_, settings_[adaptive]);
    deepest_ = Max(deepest_, largest(x, frames));
    for (int n = 0; n < frames; n += lane_count<float>) {
      hn::StoreU(amplitude(zero - hn::LoadU(tag, x + n)), tag, x + n);
    }
  }

  void write_ceiling(int frames) noexcept TR_RT {
    float* limit = ceilings_.open();
    each_vector(frames, [&](int n) HWY_ATTR { hn::StoreU(settings_.vector(ceiling, n), D(), limit + n); });
    ceilings_.close(frames);
  }

  // Rounding can leave a little above the ceiling, which is clipped: at the ceiling of the time when the peaks were
  // found, since a falling one would clip what the gain still brings down.
  void apply(float* y, int channel, const float* gain, int frames) noexcept TR_RT {
    const float* x = delay_[static_cast<std::size_t>(channel)].written(frames, lookahead_);
    const float* limit = ceilings_.written(frames, lookahead_ - true_peak_delay);
    for (int n = 0; n < frames; ++n) y[n] = Max(Min(x[n] * gain[n], limit[n]), -limit[n]);
  }

  double rate_ = 0;
  int channels_ = 0, longest_ = 0, lookahead_ = shortest_lookahead;
  bool true_peak_ = true, split_ = false;
  Ramps<ramped_count> settings_;
  GainSmoother::Release release_{};
  float deepest_ = 0;
  DelayLine ceilings_;
  std::vector<DelayLine> delay_;
  std::vector<GainSmoother> smoothers_;
  std::vector<float> peaks_, linked_peaks_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
