// Early reflections: twelve taps a channel of a delay line; the odd ones come from the opposite channel.
#if defined(TWINRACK_DSP_DELAY_EARLY_REFLECTIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_EARLY_REFLECTIONS_INL_H_
#undef TWINRACK_DSP_DELAY_EARLY_REFLECTIONS_INL_H_
#else
#define TWINRACK_DSP_DELAY_EARLY_REFLECTIONS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "dsp/delay/delay.h"
#include "dsp/delay/fdn_layout.h"
#include "dsp/delay/stream_ring-inl.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/shaping/ramps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class EarlyReflections {
 public:
  void prepare(const FdnLayout& layout, int channels, int longest) {
    frames_ = layout.early_frames;
    gain_ = layout.early_gain;
    lines_.assign(static_cast<std::size_t>(channels), DelayLine());
    for (DelayLine& line : lines_) line.prepare(longest, max_segment);
  }
  void reset() noexcept TR_RT {
    for (DelayLine& line : lines_) line.reset();
  }

  // Adds the reflections of `x` to `y`, where whole vectors are written.
  void process(const float* const* x, float* const* y, const Ramp& level, int frames) noexcept TR_RT {
    const int channels = static_cast<int>(lines_.size());
    for (int c = 0; c < channels; ++c) lines_[static_cast<std::size_t>(c)].write(x[c], frames);
    for (int c = 0; c < channels; ++c) {
      const auto side = static_cast<std::size_t>(c % 2);
      const int opposite = (c ^ 1) < channels ? c ^ 1 : c;
      const float* tap[early_taps];
      for (std::size_t i = 0; i < early_taps; ++i) {
        const DelayLine& line = lines_[static_cast<std::size_t>(i % 2 == 0 ? c : opposite)];
        tap[i] = line.written(frames, frames_[side][i]);
      }
      int n = 0;
      for (; n + 4 * lane_count<float> <= frames; n += 4 * lane_count<float>) add<4>(tap, gain_[side], level, n, y[c]);
      for (; n < frames; n += lane_count<float>) add<1>(tap, gain_[side], level, n, y[c]);
    }
  }

  void state(StateArchive& archive) { archive(lines_); }

 private:
  friend class EarlyReflectionStreams;

  // Several vectors of frames at a time, which share the gains and do not wait for each other.
  template <int vectors>
  static HWY_INLINE void add(const float* const* tap, const std::array<float, early_taps>& gain, const Ramp& level,
                             int n, float* y) noexcept TR_RT {
    const Tag<float> d;
    constexpr int lanes = lane_count<float>;
    Vec<float> sum[vectors];
    for (auto& s : sum) s = hn::Zero(d);
    for (std::size_t i = 0; i < early_taps; ++i) {
      const auto g = hn::Set(d, gain[i]);
      for (int k = 0; k < vectors; ++k) sum[k] = hn::MulAdd(g, hn::LoadU(d, tap[i] + n + k * lanes), sum[k]);
    }
    for (int k = 0; k < vectors; ++k) {
      float* to = y + n + k * lanes;
      hn::StoreU(hn::MulAdd(level.vector(n + k * lanes), sum[k], hn::LoadU(d, to)), d, to);
    }
  }

  std::array<std::array<int, early_taps>, 2> frames_{};
  std::array<std::array<float, early_taps>, 2> gain_{};
  std::vector<DelayLine> lines_;
};

// The same for streams side by side.
class EarlyReflectionStreams {
 public:
  void prepare(const FdnLayout& layout, int channels) {
    frames_ = layout.early_frames;
    gain_ = layout.early_gain;
    rings_.resize(static_cast<std::size_t>(channels));
    int longest = 0;
    for (const auto& side : frames_) longest = std::max(longest, *std::max_element(side.begin(), side.end()));
    for (StreamRing& ring : rings_) ring.prepare(longest + StreamRing::block);
  }

  void take(const EarlyReflections& own, int lane) noexcept TR_RT {
    for (std::size_t c = 0; c < rings_.size(); ++c) rings_[c].take(own.lines_[c], lane);
  }
  void give(EarlyReflections& own, int lane) noexcept TR_RT {
    for (std::size_t c = 0; c < rings_.size(); ++c) rings_[c].give(own.lines_[c], lane);
  }

  // Adds the reflections of a block of a ring.
  void process(const float* const* x, float* const* y, Streams level) noexcept TR_RT {
    const StreamTag tag;
    constexpr int at_once = 8;
    for (std::size_t c = 0; c < rings_.size(); ++c) {
      std::copy_n(x[c], StreamRing::block * stream_lanes, rings_[c].oldest());
    }
    for (std::size_t c = 0; c < rings_.size(); ++c) {
      const std::size_t side = c % 2, opposite = (c ^ 1) < rings_.size() ? c ^ 1 : c;
      const float* tap[early_taps];
      for (std::size_t i = 0; i < early_taps; ++i) tap[i] = rings_[i % 2 == 0 ? c : opposite].written(frames_[side][i]);
      for (int n = 0; n < StreamRing::block; n += at_once) {
        Streams sum[at_once];
        for (Streams& s : sum) s = hn::Zero(tag);
        for (std::size_t i = 0; i < early_taps; ++i) {
          const Streams gain = hn::Set(tag, gain_[side][i]);
          for (int k = 0; k < at_once; ++k) sum[k] = hn::MulAdd(gain, load_streams(tap[i], n + k), sum[k]);
        }
        for (int k = 0; k < at_once; ++k) {
          store_streams(hn::MulAdd(level, sum[k], load_streams(y[c], n + k)), y[c], n + k);
        }
      }
    }
    for (StreamRing& ring : rings_) ring.close();
  }

 private:
  std::array<std::array<int, early_taps>, 2> frames_{};
  std::array<std::array<float, early_taps>, 2> gain_{};
  std::vector<StreamRing> rings_;  // of each channel
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
