// Diffusers: Schroeder all-passes in series for each channel, with different lengths for even and odd channels.
#if defined(TWINRACK_DSP_DELAY_DIFFUSERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_DIFFUSERS_INL_H_
#undef TWINRACK_DSP_DELAY_DIFFUSERS_INL_H_
#else
#define TWINRACK_DSP_DELAY_DIFFUSERS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "dsp/delay/delay.h"
#include "dsp/delay/fdn_layout.h"
#include "dsp/delay/stream_ring-inl.h"
#include "dsp/filters/allpass-inl.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/shaping/ramps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class Diffusers {
 public:
  using Gains = std::array<Ramp, fdn_diffusers>;
  static constexpr int longest_block = 4 * tick_frames;

  void prepare(const FdnLayout& layout, int channels) {
    length_ = layout.diffuser_frames;
    lines_.assign(static_cast<std::size_t>(channels) * fdn_diffusers, DelayLine());
    for (std::size_t side = 0; side < 2; ++side) {
      int shortest = longest_block;
      for (const auto& sides : length_) shortest = std::min(shortest, sides[side]);
      longest_part_[side] = shortest / lane_count<float> * lane_count<float>;
    }
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      lines_[line].prepare(length_[line % fdn_diffusers][line / fdn_diffusers % 2], longest_block);
    }
  }
  void reset() noexcept TR_RT {
    for (DelayLine& line : lines_) line.reset();
  }

  // One channel, in place, at most longest_block frames; whole vectors are written.
  void process(int channel, float* x, const Gains& gains, int frames) noexcept TR_RT {
    const Tag<float> d;
    constexpr int lanes = lane_count<float>;
    const auto c = static_cast<std::size_t>(channel);
    DelayLine* const lines = &lines_[c * fdn_diffusers];
    for (int done = 0; done < frames; done += longest_part_[c % 2]) {
      const int count = std::min(longest_part_[c % 2], frames - done);
      const float* delayed[fdn_diffusers];
      float* v[fdn_diffusers];
      for (std::size_t i = 0; i < fdn_diffusers; ++i) {
        delayed[i] = lines[i].coming(length_[i][c % 2]);
        v[i] = lines[i].open();
      }
      for (int n = 0; n < count; n += lanes) {
        auto now = hn::LoadU(d, x + done + n);
        for (std::size_t i = 0; i < fdn_diffusers; ++i) {
          hn::StoreU(allpass_step(gains[i].vector(done + n), hn::LoadU(d, delayed[i] + n), now, now), d, v[i] + n);
        }
        hn::StoreU(now, d, x + done + n);
      }
      for (std::size_t i = 0; i < fdn_diffusers; ++i) lines[i].close(count);
    }
  }

  bool below(float level) const noexcept TR_RT {
    return std::all_of(lines_.begin(), lines_.end(), [&](const DelayLine& line) { return line.below(level); });
  }
  void state(StateArchive& archive) { archive(lines_); }

 private:
  friend class DiffuserStreams;

  std::array<std::array<int, 2>, fdn_diffusers> length_{};
  std::array<int, 2> longest_part_{};  // whole vectors, of which no frame depends on another
  std::vector<DelayLine> lines_;       // channel by channel
};

// The same for streams side by side.
class DiffuserStreams {
 public:
  void prepare(const FdnLayout& layout, int channels) {
    rings_.resize(static_cast<std::size_t>(channels));
    for (std::size_t c = 0; c < rings_.size(); ++c) {
      for (std::size_t i = 0; i < fdn_diffusers; ++i) rings_[c][i].prepare(layout.diffuser_frames[i][c % 2]);
    }
  }

  void take(const Diffusers& own, int lane) noexcept TR_RT {
    for (std::size_t i = 0; i < own.lines_.size(); ++i) ring(i).take(own.lines_[i], lane);
  }
  void give(Diffusers& own, int lane) noexcept TR_RT {
    for (std::size_t i = 0; i < own.lines_.size(); ++i) ring(i).give(own.lines_[i], lane);
  }

  // A block of a ring of one channel, times `level`; y may be x.
  void process(int channel, const float* x, float* y, const Streams* gains, Streams level) noexcept TR_RT {
    float* v[fdn_diffusers];
    auto& rings = rings_[static_cast<std::size_t>(channel)];
    for (std::size_t i = 0; i < fdn_diffusers; ++i) v[i] = rings[i].oldest();
    for (int n = 0; n < StreamRing::block; ++n) {
      Streams now = load_streams(x, n);
      for (int i = 0; i < fdn_diffusers; ++i) {
        store_streams(allpass_step(gains[i], load_streams(v[i], n), now, now), v[i], n);
      }
      store_streams(now * level, y, n);
    }
    for (StreamRing& ring : rings) ring.close();
  }

 private:
  StreamRing& ring(std::size_t line) noexcept TR_RT { return rings_[line / fdn_diffusers][line % fdn_diffusers]; }

  std::vector<std::array<StreamRing, fdn_diffusers>> rings_;  // of each channel
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
