// What a dynamics effect hears: all channels of its key, or of the sound itself, as one.
#if defined(TWINRACK_DSP_SIDECHAIN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SIDECHAIN_INL_H_
#undef TWINRACK_DSP_SIDECHAIN_INL_H_
#else
#define TWINRACK_DSP_SIDECHAIN_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dsp/lane-inl.h"
#include "dsp/lookahead.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Levels above are taken as this where they are squared: the square is still a number.
inline constexpr float loudest_level = 1e18f;

// How linked channels are combined; in the order of the cards' options.
enum class ChannelMode : int { maximum, mean, power_mean };

inline float combine(ChannelMode mode, float gathered, float x) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return std::max(gathered, std::abs(x));
  return gathered + (mode == ChannelMode::mean ? x : x * x);
}
inline float combined(ChannelMode mode, float gathered, float channels) noexcept TR_RT {
  if (mode == ChannelMode::maximum) return gathered;
  const float mean = gathered / channels;
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
    case ChannelMode::power_mean:
      gather([](float v) { return v * v; });
      break;
  }
  const auto count = static_cast<float>(channels);
  for (int n = 0; n < frames; ++n) together[n] = combined(mode, together[n], count);
}

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

 private:
  int channels_ = 0, detectors_ = 1;
  bool broken_ = false;  // what was heard is not a number
  std::vector<float> levels_, together_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
