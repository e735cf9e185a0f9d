// Level, balance and polarity as one gain a channel (DAFX, ch. 5), ramped over each tick in which it changes. A
// polarity fades within 32 ticks.
#if defined(TWINRACK_PLUGINS_GAIN_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_GAIN_H_
#undef TWINRACK_PLUGINS_GAIN_H_
#else
#define TWINRACK_PLUGINS_GAIN_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>

#include "cards.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/streams-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Gain {
  using Card = cards::Gain;

  void prepare(const Format& format) { channels_ = format.channels; }

  void tune(const Card::Values& v) noexcept TR_RT {
    const double level = std::pow(10.0, static_cast<double>(v.gain_db) / 20.0);
    for (int c = 0; c < channels_; ++c) {
      const bool left = c % 2 == 0;
      const double away = static_cast<double>(left ? v.balance : -v.balance);
      const double side = channels_ == 1 ? 1.0 : std::min(1.0, 1.0 - away);
      const bool invert = v.polarity == Card::Polarity::invert ||
                          v.polarity == (left ? Card::Polarity::invert_left : Card::Polarity::invert_right);
      const auto at = static_cast<std::size_t>(c);
      level_[at] = level * side;
      polarity_[at].go(!invert);
      polarity_[at].tick();
      from_[at] = to_[at];
      to_[at] = gain(at);
    }
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    for (std::size_t at = 0; at < max_channels; ++at) {
      polarity_[at].arrive();
      to_[at] = gain(at);
    }
    from_ = to_;
  }

  // True while a polarity fades.
  bool is_ramping() const noexcept TR_RT {
    for (std::size_t at = 0; at < static_cast<std::size_t>(channels_); ++at) {
      if (polarity_[at].moving()) return true;
    }
    return false;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    for (int c = 0; c < io.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const float from = from_[at], to = to_[at], distance = to - from;
      float* x = io.channel[c];
      if (distance == 0.0f) {
        for (int n = 0; n < io.frames; ++n) x[n] *= to;
      } else {
        for (int n = 0; n < io.frames; ++n) x[n] *= from + distance * ramp_position<float>(frame_ + n);
      }
    }
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  int stream_group() const noexcept TR_RT { return from_ == to_ ? 0 : -1; }

  static StreamPeaks process_streams(const StreamOwners<Gain>& owners, const StreamBlock& io) noexcept TR_RT {
    StreamPeaks peaks;
    for (int c = 0; c < io.channels; ++c) {
      const auto gain = owners.get([&](const Gain& g) { return g.to_[static_cast<std::size_t>(c)]; });
      for (int n = 0; n < io.frames; ++n) {
        const Streams y = load_streams(io.channel[c], n) * gain;
        peaks.add(y);
        store_streams(y, io.channel[c], n);
      }
    }
    return peaks;
  }

  bool tail_ended(int) noexcept TR_RT { return from_ == to_; }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(from_, to_, polarity_);
    archive.bounded(frame_, 0, tick_frames);
  }

 private:
  // The polarity fades between -1 and 1.
  float gain(std::size_t at) const noexcept TR_RT {
    return static_cast<float>(level_[at] * (2.0 * polarity_[at].share() - 1.0));
  }

  std::array<float, max_channels> from_{}, to_{};
  std::array<double, max_channels> level_{};
  std::array<TickFade<-16, 16>, max_channels> polarity_{};
  int channels_ = 0, frame_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
