// What a dynamics effect hears: all channels of its key, or of the sound itself, as one.
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

#include "dsp/lanes/lane-inl.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/filters/svf_pairs-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Levels above are taken as this where they are squared: the square is still a number.
inline constexpr float loudest_level = 1e18f;

// How linked channels are combined; in the order of the cards' options.
enum class ChannelMode : int { maximum, mean, power_mean, magnitude_mean };

inline float combine(ChannelMode mode, float gathered, float x) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return std::max(gathered, std::abs(x));
  if (mode == ChannelMode::magnitude_mean) return gathered + std::abs(x);
  return gathered + (mode == ChannelMode::mean ? x : x * x);
}
inline float combined(ChannelMode mode, float gathered, float channels) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return gathered;
  const float mean = gathered / channels;
  if (mode == ChannelMode::magnitude_mean) return mean;
  return mode == ChannelMode::mean ? std::abs(mean) : std::sqrt(mean);
}

// All channels as one, over a stretch.
inline void combine_channels(ChannelMode mode, const float* const* x, int channels, float* together,
                             int frames) noexcept TR_RT {
  const auto gather = [&](auto one) HWY_ATTR {
    for (int n = 0; n < frames; ++n) together[n] = one(x[0][n]);
    for (int c = 1; c < channels; ++c) {
      const float* more = x[c];
      for (int n = 0; n < frames; ++n) together[n] = together[n] + one(more[n]);
    }
  };
  switch (mode) {
    case ChannelMode::maximum:
      for (int n = 0; n < frames; ++n) together[n] = std::abs(x[0][n]);
      for (int c = 1; c < channels; ++c) {
        const float* more = x[c];
        for (int n = 0; n < frames; ++n) together[n] = Max(together[n], std::abs(more[n]));
      }
      return;
    case ChannelMode::mean:
      gather([](float v) { return v; });
      break;
    case ChannelMode::magnitude_mean:
      gather([](float v) { return std::abs(v); });
      break;
    case ChannelMode::power_mean:
      gather([](float v) { return v * v; });
      break;
  }
  const auto count = static_cast<float>(channels);
  for (int n = 0; n < frames; ++n) together[n] = combined(mode, together[n], count);
}

// One or two channels that count as one, rectified, vector by vector; through a filter, if there is one. So a
// detector's recursions overlap with the filter's, as they cannot where one has done all frames before the other
// begins.
class Together {
 public:
  Together(SideBlock heard, ChannelMode mode, SvfPairs* filter) noexcept TR_RT
      : first_(heard.channel[0]),
        second_(heard.channel[heard.channels - 1]),
        mode_(mode),
        one_(heard.channels == 1),
        filter_(filter) {
    if (filter_ != nullptr) {
      state_ = filter_->state(0);
      steady_ = filter_->steady();
    }
  }
  static bool fits(SideBlock heard) noexcept TR_RT { return heard.channels <= 2 && pair_size == 2; }

  // From the n-th frame on, of which `count` are still there; in order.
  HWY_INLINE Vec<float> next(int n, int count) noexcept TR_RT {
    Vec<float> first = load_some(first_ + n, count), second = one_ ? first : load_some(second_ + n, count);
    if (filter_ != nullptr) {
      in_order(first, second, count, [this](Pair x) HWY_ATTR { return svf_step(state_, steady_, x); });
    }
    odd_ = odd_ + (first - first) + (second - second);
    if (mode_ == ChannelMode::maximum) return Max(hn::Abs(first), hn::Abs(second));
    const Vec<float> half = hn::Set(Tag<float>(), 0.5f);
    if (mode_ == ChannelMode::magnitude_mean) return (hn::Abs(first) + hn::Abs(second)) * half;
    if (mode_ == ChannelMode::mean) return hn::Abs(one_ ? first : (first + second) * half);
    return hn::Sqrt(one_ ? first * first : (first * first + second * second) * half);
  }
  // True when all that was heard were numbers.
  bool done() noexcept TR_RT {
    if (filter_ != nullptr) filter_->state(0) = state_;
    return hn::AllTrue(Tag<float>(), hn::Eq(odd_, hn::Zero(Tag<float>())));
  }

 private:
  const float *first_, *second_;
  ChannelMode mode_;
  bool one_;
  SvfPairs* filter_;
  SvfPairs::State state_{};
  Svf<Pair> steady_{};
  Vec<float> odd_ = hn::Zero(Tag<float>());  // 0 as long as nothing is infinite or no number
};

// The rectified level that each detector follows. Channels share one detector as long as they were fully linked; after
// that each has its own, which hears itself and, by the link, all of them.
class Linked {
 public:
  void prepare(int channels) {
    channels_ = channels;
    levels_.assign(static_cast<std::size_t>(channels) * max_segment, 0.0f);
    together_.assign(max_segment, 0.0f);
  }

  void reset() noexcept TR_RT { detectors_ = 1; }

  float* level(int detector) noexcept TR_RT {
    return levels_.data() + static_cast<std::size_t>(detector) * max_segment;
  }
  // When the levels have become gains: every channel, as it was so long ago, times that of its detector.
  void apply(Block io, Lookahead& lookahead) noexcept TR_RT {
    for (int c = 0; c < channels_; ++c) {
      const float* gain = level(detectors_ == 1 ? 0 : c);
      const float* x = lookahead.delayed(c, io.channel[c], io.frames);
      float* y = io.channel[c];
      for (int n = 0; n < io.frames; ++n) y[n] = x[n] * gain[n];
      // Detectors hide what is not a number; it is passed on, so that the rack finds it and starts the effect anew.
      if (broken_) y[0] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  // True when all channels are one from here on, as they have been.
  bool one(bool fully) const noexcept TR_RT { return fully && detectors_ == 1; }
  void hear(bool finite) noexcept TR_RT { broken_ = !finite; }

  // Gives the number of detectors; `link(n)` is 0 … 1 at a frame.
  template <class Link>
  int gather(SideBlock heard, ChannelMode mode, bool fully, const Link& link, int frames) noexcept TR_RT {
    if (!fully) detectors_ = channels_;
    float* together = detectors_ == 1 ? level(0) : together_.data();
    combine_channels(mode, heard.channel, heard.channels, together, frames);
    broken_ = false;
    for (int c = 0; c < heard.channels; ++c) broken_ = broken_ || !all_finite(heard.channel[c], frames);
    if (detectors_ == 1) return 1;
    for (int c = 0; c < channels_; ++c) {
      const float* own = heard.channel[std::min(c, heard.channels - 1)];
      float* mixed = level(c);
      for (int n = 0; n < frames; ++n) {
        const float share = link(n);
        mixed[n] = (1.0f - share) * std::abs(own[n]) + share * together_[static_cast<std::size_t>(n)];
      }
    }
    return channels_;
  }

  void state(StateArchive& archive) { archive.bounded(detectors_, 1, channels_); }

 private:
  int channels_ = 0, detectors_ = 1;
  bool broken_ = false;  // what was heard is not a number
  std::vector<float> levels_, together_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
