// Levels of the mid and of the side of stereo pairs (A. D. Blumlein, British patent 394 325, 1931); before branches
// (`MidSide`) it gives one the mid and the other the side.
#if defined(TWINRACK_PLUGINS_MID_SIDE_LEVELS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_MID_SIDE_LEVELS_H_
#undef TWINRACK_PLUGINS_MID_SIDE_LEVELS_H_
#else
#define TWINRACK_PLUGINS_MID_SIDE_LEVELS_H_
#endif

#include <cmath>

#include "cards.h"
#include "dsp/shaping/ramps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct MidSideLevels {
  using Card = cards::MidSideLevels;
  static constexpr bool splits = true;

  void prepare(const Format& format) {
    channels_ = format.channels;
    branches_ = format.branches;
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const auto amplitude = [](float db) { return static_cast<float>(std::pow(10.0, static_cast<double>(db) / 20.0)); };
    levels_.go({amplitude(v.mid_gain_db), amplitude(v.side_gain_db)});
  }

  void reset() noexcept TR_RT { levels_.arrive(); }

  void process(Block io, SideBlock) noexcept TR_RT {
    const Ramp mid_level = levels_[0], side_level = levels_[1];
    float* const* x = io.channel;
    for (int c = 0; c < channels_; ++c) {
      if (c + 1 == channels_) {  // a channel without a partner is a mid
        for (int n = 0; n < io.frames; ++n) x[c][n] *= mid_level[n];
        continue;
      }
      float *left = x[c], *right = x[c + 1];
      float *side_left = branches_ > 1 ? x[channels_ + c] : left,
            *side_right = branches_ > 1 ? x[channels_ + c + 1] : right;
      for (int n = 0; n < io.frames; ++n) {
        const float mid = 0.5f * (left[n] + right[n]) * mid_level[n];
        const float side = 0.5f * (left[n] - right[n]) * side_level[n];
        if (branches_ > 1) {
          left[n] = right[n] = mid;
          side_left[n] = side;
          side_right[n] = -side;
        } else {
          left[n] = mid + side;
          right[n] = mid - side;
        }
      }
      ++c;
    }
    levels_.pass(io.frames);
  }

  bool tail_ended(int) noexcept TR_RT { return !levels_.moving(); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(levels_); }

 private:
  int channels_ = 0, branches_ = 1;
  Ramps<2> levels_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
