// What a dynamics effect hears: its key, or the sound itself, through cuts, and all channels as one.
#if defined(TWINRACK_DSP_SIDECHAIN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SIDECHAIN_INL_H_
#undef TWINRACK_DSP_SIDECHAIN_INL_H_
#else
#define TWINRACK_DSP_SIDECHAIN_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "dsp/lane-inl.h"
#include "dsp/svf_cascade-inl.h"
#include "dsp/svf_design.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

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

// A cut in the way of what is heard. While it is off its state is held (g = 0), so it may go on and off while it
// sounds.
template <FilterShape shape>
class SidechainFilter {
 public:
  void prepare(double sample_rate) {
    rate_ = sample_rate;
    filter_.prepare(max_channels);
    for (auto& channel : memory_) channel.assign(max_segment, 0.0f);
  }

  void tune(float frequency_hz, bool on) noexcept TR_RT {
    auto d = design_svf(shape, false, static_cast<double>(frequency_hz), 0.0, std::numbers::sqrt2 / 2.0, rate_);
    if (!on) d.g = 0.0;
    moving_ = !(d.g == g_ && d.k == k_);
    g_ = d.g;
    k_ = d.k;
    on_ = on;
    filter_.tune(&d, 1);
  }

  void reset() noexcept TR_RT {
    filter_.reset();
    moving_ = false;
  }
  bool settle() noexcept TR_RT { return filter_.settle(); }

  // Gives what is heard: the channels themselves, or where they were filtered to.
  SideBlock process(SideBlock key, int frames) noexcept TR_RT {
    if (!on_ && !moving_) return key;
    for (int c = 0; c < key.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      to_[at] = memory_[at].data();
      std::memcpy(to_[at], key.channel[c], sizeof(float) * static_cast<std::size_t>(frames));
    }
    filter_.process({to_.data(), key.channels, frames});
    return on_ ? SideBlock{to_.data(), key.channels, key.silent} : key;
  }

 private:
  double rate_ = 0, g_ = 0, k_ = 1;
  bool on_ = false, moving_ = false;
  SvfCascade<1> filter_;
  std::array<std::vector<float>, max_channels> memory_;
  std::array<float*, max_channels> to_{};
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
  // Which detector a channel obeys.
  int of(int channel) const noexcept TR_RT { return detectors_ == 1 ? 0 : channel; }

  // Gives the number of detectors; `link(n)` is 0 … 1 at a frame.
  template <class Link>
  int gather(SideBlock heard, ChannelMode mode, bool fully, const Link& link, int frames) noexcept TR_RT {
    if (!fully) detectors_ = channels_;
    combine_channels(mode, heard.channel, heard.channels, detectors_ == 1 ? level(0) : together_.data(), frames);
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
  std::vector<float> levels_, together_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
