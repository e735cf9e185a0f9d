// Reverb by convolution with an impulse response, without latency:
//
//   in -> * response -> gain -> mix -> out
//
// Cuts, pre-delay, trim, length and decay are applied to the response beforehand (resource.py), since they do not
// change with time.
#if defined(TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#undef TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#else
#define TWINRACK_PLUGINS_CONVOLUTION_REVERB_H_
#endif

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "cards.h"
#include "dsp/spectral/convolver-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct ConvolutionReverb {
  using Card = cards::ConvolutionReverb;

  void prepare(const Format& format) {
    channels_ = format.channels;
    wet_.assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    for (int c = 0; c < channels_; ++c) {
      wet_pointers_[static_cast<std::size_t>(c)] = wet_.data() + static_cast<std::size_t>(c) * max_segment;
    }
  }

  // One channel serves all; two serve even and odd ones; four are left and right to left, then to right; otherwise each
  // has its own. None is a single 1.
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
    frames_ = response.frames == 0 ? 1 : response.frames;
    convolver_.prepare(channels_, paths, frames_);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    settings_.go({static_cast<float>(std::pow(10.0, static_cast<double>(v.gain_db) / 20.0)), v.mix});
  }

  void reset() noexcept TR_RT {
    convolver_.reset();
    settings_.arrive();
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    convolver_.process(io.channel, wet_pointers_.data(), io.frames);
    for (int c = 0; c < channels_; ++c) {
      blend(settings_, gain, mix, io.channel[c], wet_pointers_[static_cast<std::size_t>(c)], io.channel[c], io.frames);
    }
    settings_.pass(io.frames);
  }

  // After so much silence all blocks in memory are zero.
  bool tail_ended(int silent_frames) noexcept TR_RT {
    return silent_frames - frames_ > convolver_.memory() && !settings_.moving();
  }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(settings_, convolver_); }

 private:
  enum Ramped : std::size_t { gain, mix, ramped_count };

  int channels_ = 0, frames_ = 1;
  Ramps<ramped_count> settings_;
  Convolver convolver_;
  std::vector<float> wet_;
  std::array<float*, max_channels> wet_pointers_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
