// True-peak limiter with lookahead:
//
//   in -> gain -+-> peaks between the samples -> dB above the ceiling -> largest in the window -> release -> two means
//   -+
//               +-> delay ------------------------------------------------------------------------------> x gain -->
//               out
//
// The gain is worked out in dB. A peak is held for so long that both means have taken it in whole when it leaves the
// delay, and are still when its neighbours do that the interpolation between samples reaches: so the ceiling holds by
// construction, and the gain moves on a smooth curve of the length of the lookahead.
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
#include "dsp/lanes/in_order-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/dynamics/sliding.h"
#include "dsp/metering/true_peak.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Limiter {
  using Card = cards::Limiter;
  static constexpr int shortest_lookahead = 16;  // frames: what the interpolation and both means need
  static constexpr double slow_factor = 6.0;     // how much longer the adaptive release takes
  static constexpr float floor_amplitude = 1e-7f;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    const int longest = std::max(shortest_lookahead, static_cast<int>(std::ceil(0.02 * rate_)) + 1);
    lines_.assign(static_cast<std::size_t>(channels_), DelayLine());
    for (auto& line : lines_) line.prepare(longest + true_peak_taps, max_segment + true_peak_taps);
    longest_ = longest;
    limits_.prepare(longest, max_segment);
    detectors_.resize(static_cast<std::size_t>(channels_));
    for (auto& d : detectors_) {
      d.largest.prepare(longest + 2);
      for (auto& mean : d.means) mean.prepare(longest);
    }
    peaks_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    together_.assign(max_segment, 0.0f);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    true_peak_ = v.detector == Card::Detector::true_peak;
    const auto level = [](double db) { return static_cast<float>(std::pow(10.0, db / 20.0)); };
    settings_.go({level(static_cast<double>(v.input_gain_db)), level(static_cast<double>(v.ceiling_db)), v.adaptive,
                  v.link_percent / 100.0f});
    release_ = follower_share(static_cast<double>(v.release_ms), rate_);
    slow_ = follower_share(slow_factor * static_cast<double>(v.release_ms), rate_);
    lookahead_ = std::max(shortest_lookahead, whole_frames(v.lookahead_ms, rate_));
    const int both = lookahead_ - (2 * true_peak_delay - 2);
    for (auto& d : detectors_) {
      d.largest.set(lookahead_ + 2);
      d.means[0].set(both - both / 2);
      d.means[1].set(both / 2);
    }
  }

  void reset() noexcept TR_RT {
    for (auto& line : lines_) line.reset();
    for (auto& d : detectors_) {
      d.largest.reset();
      for (auto& mean : d.means) mean.reset();
      d.fast = d.slow = 0.0;
    }
    split_ = false;
    settings_.arrive();
    for (int n = 0; n < longest_; n += max_segment) remember_limit(max_segment);
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    const int frames = io.frames;
    for (int c = 0; c < channels_; ++c) {
      DelayLine& line = lines_[static_cast<std::size_t>(c)];
      amplify(io.channel[c], line, frames);
      find_peaks(line, peaks(c), frames);
    }
    if (!split_ && channels_ > 1 && !settings_.rests_at(link, 1.0f)) split();
    float* all = split_ ? together_.data() : peaks(0);
    if (split_) std::copy_n(peaks(0), frames, all);
    for (int c = 1; c < channels_; ++c) {
      const float* p = peaks(c);
      for (int n = 0; n < frames; ++n) all[n] = Max(all[n], p[n]);
    }
    deepest_ = 0.0f;
    remember_limit(frames);
    for (int c = 0; c < (split_ ? channels_ : 1); ++c) {
      detect(peaks(c), split_ ? all : nullptr, frames, detectors_[static_cast<std::size_t>(c)]);
    }
    for (int c = 0; c < channels_; ++c) apply(io.channel[c], c, peaks(split_ ? c : 0), frames);
    settings_.pass(frames);
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    if (silent_frames < 2 * lookahead_ + true_peak_taps || settings_.moving()) return false;
    for (const auto& d : detectors_) {
      if (Max(d.fast, d.slow) > 1e-6 || !d.largest.below(0.0f)) return false;
    }
    for (auto& d : detectors_) d.fast = d.slow = 0.0;
    return true;
  }

  int latency() const noexcept { return lookahead_; }
  float gain_reduction_db() const noexcept TR_RT { return deepest_; }
  void state(StateArchive& archive) { archive(settings_, split_, deepest_, limits_, lines_, detectors_); }

 private:
  enum Ramped : std::size_t { input_gain, ceiling, adaptive, link, ramped_count };
  struct Detector {
    SlidingMax largest;
    std::array<SlidingMean, 2> means;
    double fast = 0, slow = 0;  // what the release has come to, in dB
    void state(StateArchive& archive) { archive(largest, means, fast, slow); }
  };
  using D = Tag<float>;
  using V = Vec<float>;

  float* peaks(int channel) noexcept TR_RT { return peaks_.data() + static_cast<std::size_t>(channel) * max_segment; }

  // Channels that were fully linked shared one detector; from here on each has its own.
  void split() noexcept TR_RT {
    split_ = true;
    const Detector& first = detectors_[0];
    for (std::size_t c = 1; c < detectors_.size(); ++c) {
      Detector& d = detectors_[c];
      d.largest.follow(first.largest);
      for (std::size_t i = 0; i < d.means.size(); ++i) d.means[i].follow(first.means[i]);
      d.fast = first.fast;
      d.slow = first.slow;
    }
  }

  void amplify(const float* x, DelayLine& line, int frames) noexcept TR_RT {
    float* in = line.open();
    for (int n = 0; n < frames; ++n) in[n] = settings_.at(input_gain, n) * x[n];
    line.close(frames);
  }

  // The largest of the samples and of what lies between them.
  void find_peaks(const DelayLine& line, float* peak, int frames) noexcept TR_RT {
    const D d;
    const float* x = line.written(frames, true_peak_taps - 1);  // the oldest that the first frame needs
    each_vector(frames, [&](int n) HWY_ATTR {
      V most = hn::Abs(hn::LoadU(d, x + n + true_peak_taps - 1 - true_peak_delay));
      if (true_peak_) {
        V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
        for (std::size_t k = 0; k < true_peak_taps; ++k) {
          const std::size_t back = true_peak_taps - 1 - k;
          const V sample = hn::LoadU(d, x + n + back);
          sum[0] = MulAdd(hn::Set(d, true_peak_phases[0][k]), sample, sum[0]);
          sum[1] = MulAdd(hn::Set(d, true_peak_phases[1][k]), sample, sum[1]);
          sum[2] = MulAdd(hn::Set(d, true_peak_phases[1][back]), sample, sum[2]);
          sum[3] = MulAdd(hn::Set(d, true_peak_phases[0][back]), sample, sum[3]);
        }
        for (const V& s : sum) most = hn::Max(most, hn::Abs(s));
      }
      hn::StoreU(most, d, peak + n);
    });
  }

  // From peaks to gains, in place; `all` are those of all channels where each has its own detector.
  void detect(float* x, const float* all, int frames, Detector& d) noexcept TR_RT {
    const D tag;
    const V zero = hn::Zero(tag), floor = hn::Set(tag, floor_amplitude);
    for (int n = 0; n < frames; n += lane_count<float>) {
      const V limit = settings_.vector(ceiling, n);
      const auto over = [&](const float* p)
                            HWY_ATTR { return Max(zero, decibels(Max(hn::LoadU(tag, p + n), floor) / limit)); };
      V reduction = over(x);
      if (all != nullptr) reduction = Max(reduction, settings_.vector(link, n) * over(all));
      hn::StoreU(reduction, tag, x + n);
    }
    d.largest.process(x, frames);
    // Back to 0 dB with the release, or, where limiting went on for long, with the slow one. In double precision: a
    // step of many seconds' release is less than what float32 can add. All in one loop, where no part waits for
    // another.
    double fast = d.fast, slow = d.slow;
    for (int n = 0; n < frames;) {
      const int end = n + std::min({frames - n, d.means[0].piece(), d.means[1].piece()}), count = end - n;
      auto first = d.means[0].begin(), second = d.means[1].begin();
      for (; n < end; ++n) {
        const auto held = static_cast<double>(x[n]);
        fast = Max(held, MulAdd(release_, held - fast, fast));
        slow = MulAdd(slow_, held - slow, slow);
        const float released = Max(static_cast<float>(fast), settings_.at(adaptive, n) * static_cast<float>(slow));
        x[n] = second.step(first.step(released));
      }
      d.means[0].end(first, count);
      d.means[1].end(second, count);
    }
    d.fast = fast;
    d.slow = slow;
    deepest_ = Max(deepest_, largest(x, frames));
    for (int n = 0; n < frames; n += lane_count<float>) {
      hn::StoreU(amplitude(zero - hn::LoadU(tag, x + n)), tag, x + n);
    }
  }

  void remember_limit(int frames) noexcept TR_RT {
    float* limit = limits_.open();
    each_vector(frames, [&](int n) HWY_ATTR { hn::StoreU(settings_.vector(ceiling, n), D(), limit + n); });
    limits_.close(frames);
  }

  // What rounding leaves above the ceiling is cut; above that of the time when the peaks were found, for a falling one
  // would cut what is to come down by gain.
  void apply(float* y, int channel, const float* gain, int frames) noexcept TR_RT {
    const float* x = lines_[static_cast<std::size_t>(channel)].written(frames, lookahead_);
    const float* limit = limits_.written(frames, lookahead_ - true_peak_delay);
    for (int n = 0; n < frames; ++n) y[n] = Max(Min(x[n] * gain[n], limit[n]), -limit[n]);
  }

  double rate_ = 0;
  int channels_ = 0, lookahead_ = shortest_lookahead;
  bool true_peak_ = true, split_ = false;
  Ramps<ramped_count> settings_;
  double release_ = 0, slow_ = 0;
  float deepest_ = 0;
  int longest_ = 0;
  DelayLine limits_;  // the ceiling
  std::vector<DelayLine> lines_;
  std::vector<Detector> detectors_;
  std::vector<float> peaks_, together_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
