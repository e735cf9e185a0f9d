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
#include "dsp/lanes/streams-inl.h"
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

// For streams side by side: calls use<channels>(combine) with the level of one or two channels, combine(first, second).
template <class Use>
HWY_INLINE void with_combined_streams(ChannelMode mode, int channels, const Use& use) noexcept TR_RT {
  const auto half = hn::Set(StreamTag(), 0.5f);
  if (channels == 1) {
    if (mode == ChannelMode::power_mean) {
      return use.template operator()<1>([](Streams x, Streams) HWY_ATTR { return hn::Sqrt(x * x); });
    }
    return use.template operator()<1>([](Streams x, Streams) HWY_ATTR { return hn::Abs(x); });
  }
  switch (mode) {
    case ChannelMode::maximum:
      return use.template operator()<2>([](Streams a, Streams b) HWY_ATTR { return Max(hn::Abs(a), hn::Abs(b)); });
    case ChannelMode::mean:
      return use.template operator()<2>([=](Streams a, Streams b) HWY_ATTR { return hn::Abs((a + b) * half); });
    case ChannelMode::magnitude_mean:
      return use.template operator()<2>([=](Streams a, Streams b)
                                            HWY_ATTR { return (hn::Abs(a) + hn::Abs(b)) * half; });
    case ChannelMode::power_mean:
      return use.template operator()<2>([=](Streams a, Streams b)
                                            HWY_ATTR { return hn::Sqrt((a * a + b * b) * half); });
  }
}

// Each channel of streams side by side, delayed by the lookahead of its effect; `lookahead(owner)` is that.
template <class Owners, class Of>
inline void delay_streams(const Owners& owners, const Of& lookahead, const StreamBlock& io) noexcept TR_RT {
  float rows[stream_lanes][max_segment];
  float* to[stream_lanes];
  for (int c = 0; c < io.channels; ++c) {
    const float* from[stream_lanes];
    for (int k = 0; k < stream_lanes; ++k) from[k] = to[k] = rows[k];
    from_streams(io.channel[c], to, io.frames);
    owners.each([&](auto& owner, int k) { from[k] = lookahead(owner).delayed(c, rows[k], io.frames); });
    to_streams(from, io.channel[c], io.frames);
  }
}

// Streams side by side whose detectors hear their own channels: `filter(channel, x)` goes before the detectors, of
// which there is one for all channels or one for each; `detect(d, level, frames)` turns the level of one into the gain
// to apply, in place; `linked` is how far each follows the level of all channels. Returns the peaks of the output.
template <class Owners, class Filter, class Of, class Detect>
inline StreamPeaks detect_streams(const Owners& owners, const StreamBlock& io, ChannelMode mode, int detectors,
                                  Streams linked, Filter& filter, const Of& lookahead,
                                  const Detect& detect) noexcept TR_RT {
  alignas(64) float memory[2][max_segment * stream_lanes];
  bool looks_ahead = false;
  owners.each([&](auto& owner, int) { looks_ahead = looks_ahead || lookahead(owner).frames() > 0; });
  StreamPeaks peaks;
  // In short blocks, stage by stage, so that the recursions of one overlap with the curves of another.
  const int block = looks_ahead ? io.frames : tick_frames;
  for (int start = 0; start < io.frames; start += block) {
    const int count = std::min(block, io.frames - start);
    const auto set_levels = [&]<int channels>(auto combine_all) HWY_ATTR {
      for (int n = 0; n < count; ++n) {
        const Streams first = filter(0, load_streams(io.channel[0], start + n));
        const Streams second = channels == 1 ? first : filter(1, load_streams(io.channel[channels - 1], start + n));
        const Streams all = combine_all(first, second);
        if (detectors == 1) {
          store_streams(all, memory[0], n);
        } else {
          const Streams own = hn::Set(StreamTag(), 1.0f) - linked;
          store_streams(own * hn::Abs(first) + linked * all, memory[0], n);
          store_streams(own * hn::Abs(second) + linked * all, memory[1], n);
        }
      }
    };
    with_combined_streams(mode, io.channels, set_levels);
    for (int d = 0; d < detectors; ++d) detect(d, memory[d], count);
    if (looks_ahead) delay_streams(owners, lookahead, io);
    StreamPeaks own = peaks;  // by itself, so that it stays in a register
    for (int c = 0; c < io.channels; ++c) {
      const float* gain = memory[detectors == 1 ? 0 : c];
      for (int n = 0; n < count; ++n) {
        const Streams y = load_streams(io.channel[c], start + n) * load_streams(gain, n);
        own.add(y);
        store_streams(y, io.channel[c], start + n);
      }
    }
    peaks = own;
  }
  return peaks;
}

// In place: change(x) for each frame of streams side by side.
template <class Change>
HWY_INLINE void each_streams(float* x, int frames, const Change& change) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) store_streams(change(load_streams(x, n)), x, n);
}

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

  // For streams side by side: how many detectors there are from now on, if the link does not move; 0 where channels
  // that are fully linked have their own nevertheless.
  int stream_detectors(bool fully_linked) const noexcept TR_RT {
    if (!fully_linked) return channels_;
    return detectors_ == 1 ? 1 : 0;
  }
  void set_detectors(int detectors) noexcept TR_RT { detectors_ = detectors; }

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
