// The input of a dynamics effect's detectors: the channels of its sidechain, or of the sound itself, combined and
// linked.
#if defined(TWINRACK_DSP_DYNAMICS_SIDECHAIN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_SIDECHAIN_INL_H_
#undef TWINRACK_DSP_DYNAMICS_SIDECHAIN_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_SIDECHAIN_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dsp/dynamics/channel_mode.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/filters/svf_pairs-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Levels above are taken as this where they are squared: the square is still a number.
inline constexpr float loudest_level = 1e18f;

// One frame: `sum` begins at 0 and takes one channel after the other; `combined` is the level of them all.
inline float combine(ChannelMode mode, float sum, float x) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return std::max(sum, std::abs(x));
  if (mode == ChannelMode::magnitude_mean) return sum + std::abs(x);
  return sum + (mode == ChannelMode::mean ? x : x * x);
}
inline float combined(ChannelMode mode, float sum, float channels) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return sum;
  const float mean = sum / channels;
  if (mode == ChannelMode::magnitude_mean) return mean;
  return mode == ChannelMode::mean ? std::abs(mean) : std::sqrt(mean);
}

// The level of all channels, over a stretch.
inline void combine_channels(ChannelMode mode, const float* const* x, int channels, float* level,
                             int frames) noexcept TR_RT {
  const auto add_up = [&](auto function) HWY_ATTR {
    for (int n = 0; n < frames; ++n) level[n] = function(x[0][n]);
    for (int c = 1; c < channels; ++c) {
      const float* more = x[c];
      for (int n = 0; n < frames; ++n) level[n] = level[n] + function(more[n]);
    }
  };
  switch (mode) {
    case ChannelMode::maximum:
      for (int n = 0; n < frames; ++n) level[n] = std::abs(x[0][n]);
      for (int c = 1; c < channels; ++c) {
        const float* more = x[c];
        for (int n = 0; n < frames; ++n) level[n] = Max(level[n], std::abs(more[n]));
      }
      return;
    case ChannelMode::mean:
      add_up([](float v) { return v; });
      break;
    case ChannelMode::magnitude_mean:
      add_up([](float v) { return std::abs(v); });
      break;
    case ChannelMode::power_mean:
      add_up([](float v) { return v * v; });
      break;
  }
  const auto count = static_cast<float>(channels);
  for (int n = 0; n < frames; ++n) level[n] = combined(mode, level[n], count);
}

// The level of one or two channels, combined vector by vector, through a filter where there is one. So the detector's
// recursions overlap with the filter's; over whole blocks, one would have to end before the other begins.
class StereoDetectorInput {
 public:
  StereoDetectorInput(SideBlock key, ChannelMode mode, SvfPairs* filter) noexcept TR_RT
      : first_(key.channel[0]),
        second_(key.channel[key.channels - 1]),
        mode_(mode),
        mono_(key.channels == 1),
        filter_(filter) {
    if (filter_ != nullptr) {
      state_ = filter_->state(0);
      steady_ = filter_->steady();
    }
  }
  static bool fits(SideBlock key) noexcept TR_RT { return key.channels <= 2 && pair_size == 2; }

  // The frames from the n-th on; `count` are left in the block. Called in order of time.
  HWY_INLINE Vec<float> next(int n, int count) noexcept TR_RT {
    Vec<float> first = load_some(first_ + n, count), second = mono_ ? first : load_some(second_ + n, count);
    if (filter_ != nullptr) {
      scan_lanes(first, second, count, [this](Pair x) HWY_ATTR { return svf_step(state_, steady_, x); });
    }
    fault_ = fault_ + (first - first) + (second - second);
    if (mode_ == ChannelMode::maximum) return Max(hn::Abs(first), hn::Abs(second));
    const Vec<float> half = hn::Set(Tag<float>(), 0.5f);
    if (mode_ == ChannelMode::magnitude_mean) return (hn::Abs(first) + hn::Abs(second)) * half;
    if (mode_ == ChannelMode::mean) return hn::Abs(mono_ ? first : (first + second) * half);
    return hn::Sqrt(mono_ ? first * first : (first * first + second * second) * half);
  }
  // Keeps the filter's state. False where a sample was NaN or infinity.
  bool finish() noexcept TR_RT {
    if (filter_ != nullptr) filter_->state(0) = state_;
    return hn::AllTrue(Tag<float>(), hn::Eq(fault_, hn::Zero(Tag<float>())));
  }

 private:
  const float *first_, *second_;
  ChannelMode mode_;
  bool mono_;
  SvfPairs* filter_;
  SvfPairs::State state_{};
  Svf<Pair> steady_{};
  Vec<float> fault_ = hn::Zero(Tag<float>());  // 0 until a sample is NaN or infinity
};

// The level that each detector follows. As long as all channels are fully linked they share one detector; from then on
// each has its own, whose level is a mix of its channel's and of all channels' by the link.
class LinkedDetectors {
 public:
  void prepare(int channels) {
    channels_ = channels;
    levels_.assign(static_cast<std::size_t>(channels) * max_segment, 0.0f);
    combined_.assign(max_segment, 0.0f);
  }

  void reset() noexcept TR_RT { detectors_ = 1; }

  float* level(int detector) noexcept TR_RT {
    return levels_.data() + static_cast<std::size_t>(detector) * max_segment;
  }
  // Once the levels have become gains: each channel, delayed by the lookahead, times the gain of its detector.
  void apply(Block io, Lookahead& lookahead) noexcept TR_RT {
    for (int c = 0; c < channels_; ++c) {
      const float* gain = level(detectors_ == 1 ? 0 : c);
      const float* x = lookahead.delayed(c, io.channel[c], io.frames);
      float* y = io.channel[c];
      for (int n = 0; n < io.frames; ++n) y[n] = x[n] * gain[n];
      // A detector hides NaN and infinity; they are passed on, so that the rack sees them and restarts the effect.
      if (fault_) y[0] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  bool share_one(bool fully_linked) const noexcept TR_RT { return fully_linked && detectors_ == 1; }
  void set_fault(bool fault) noexcept TR_RT { fault_ = fault; }

  // Sets the levels and returns the number of detectors; `link(n)` is 0 … 1 at a frame.
  template <class Link>
  int set_levels(SideBlock key, ChannelMode mode, bool fully_linked, const Link& link, int frames) noexcept TR_RT {
    if (!fully_linked) detectors_ = channels_;
    float* all = detectors_ == 1 ? level(0) : combined_.data();
    combine_channels(mode, key.channel, key.channels, all, frames);
    fault_ = false;
    for (int c = 0; c < key.channels; ++c) fault_ = fault_ || !all_finite(key.channel[c], frames);
    if (detectors_ == 1) return 1;
    for (int c = 0; c < channels_; ++c) {
      const float* own = key.channel[std::min(c, key.channels - 1)];
      float* mixed = level(c);
      for (int n = 0; n < frames; ++n) {
        const float linked = link(n);
        mixed[n] = (1.0f - linked) * std::abs(own[n]) + linked * combined_[static_cast<std::size_t>(n)];
      }
    }
    return channels_;
  }

  void state(StateArchive& archive) { archive.bounded(detectors_, 1, channels_); }

 private:
  int channels_ = 0, detectors_ = 1;
  bool fault_ = false;  // a sample of the block was NaN or infinity
  std::vector<float> levels_, combined_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
