// Reverb by convolution with an impulse response, without latency of its own:
//
//   in -> * response -> gain -> mix -> out
//     `-> lead ----------------^
//
// Cuts, pre-delay, trim, length and decay are applied to the response beforehand (resource.py), since they do not
// change with time.
#if defined(TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#undef TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#else
#define TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "cards.h"
#include "dsp/dynamics/lookahead.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/spectral/convolver-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct ConvolutionReverb {
  using Card = cards::ConvolutionReverb;
  static constexpr double longest_lead_s = 0.2;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    dry_.prepare(channels_, static_cast<int>(std::ceil(longest_lead_s * rate_)));
    wet_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    for (int c = 0; c < channels_; ++c) {
      wet_pointers_[static_cast<std::size_t>(c)] = wet_.data() + static_cast<std::size_t>(c) * max_segment;
    }
  }

  // One channel serves all; two serve even and odd ones; four are left and right to left, then to right; otherwise each
  // has its own. Without one the sound passes, after the lead.
  void load(const Resource& response) {
    std::vector<ConvolverPath> paths;
    const float unit = 1.0f;
    for (int c = 0; c < channels_; ++c) {
      if (response.frames == 0) {
        paths.push_back({c, c, &unit});
      } else if (response.channels == 1) {
        paths.push_back({c, c, response.channel[0]});
      } else if (response.channels == 4 && channels_ == 2) {
        for (int from = 0; from < 2; ++from) paths.push_back({from, c, response.channel[2 * from + c]});
      } else if (response.channels == 2 || response.channels == channels_) {
        paths.push_back({c, c, response.channel[c % response.channels]});
      } else {
        throw std::invalid_argument("a response of " + std::to_string(response.channels) + " channels does not fit " +
                                    std::to_string(channels_));
      }
    }
    given_ = response.frames > 0;
    frames_ = given_ ? response.frames : 1;
    convolver_.prepare(channels_, paths, frames_);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    settings_.go({static_cast<float>(std::pow(10.0, static_cast<double>(v.gain_db) / 20.0)), v.mix});
    dry_.set(whole_frames(v.lead_ms, rate_));
  }

  void reset() noexcept TR_RT {
    convolver_.reset();
    dry_.reset();
    settings_.arrive();
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    convolver_.process(io.channel, wet_pointers_.data(), io.frames);
    for (int c = 0; c < channels_; ++c) {
      const float* dry = dry_.delayed(c, io.channel[c], io.frames);
      const float* wet = given_ ? wet_pointers_[static_cast<std::size_t>(c)] : dry;
      blend(settings_, gain, mix, dry, wet, io.channel[c], io.frames);
    }
    settings_.pass(io.frames);
  }

  // After so much silence all blocks in memory are zero.
  bool tail_ended(int silent_frames) noexcept TR_RT {
    return silent_frames - std::max(frames_, dry_.frames()) > convolver_.memory() && !settings_.moving();
  }

  int latency() const noexcept { return dry_.frames(); }
  void state(StateArchive& archive) { archive(settings_, convolver_, dry_); }

 private:
  enum Ramped : std::size_t { gain, mix, ramped_count };

  double rate_ = 0;
  int channels_ = 0, frames_ = 1;
  bool given_ = false;
  Lookahead dry_;  // the sound, as late as the direct sound in the response
  Ramps<ramped_count> settings_;
  Convolver convolver_;
  std::vector<float> wet_;
  std::array<float*, max_channels> wet_pointers_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
