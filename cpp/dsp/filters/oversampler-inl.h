// An oversampler: a memoryless function at 2, 4 or 8 times the sample rate, so that its harmonics do not alias.
//
// The samples of the higher rate are kept as phases (polyphase form): every r-th of them is a row of its own, as long
// as the block. So all loops run over whole vectors of frames.
#if defined(TWINRACK_DSP_FILTERS_OVERSAMPLER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_OVERSAMPLER_INL_H_
#undef TWINRACK_DSP_FILTERS_OVERSAMPLER_INL_H_
#else
#define TWINRACK_DSP_FILTERS_OVERSAMPLER_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "dsp/filters/allpass-inl.h"
#include "dsp/filters/halfband.h"
#include "dsp/lanes/lane-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// The last samples of a row, and behind them the block that is being worked on.
class PhaseRow {
 public:
  void prepare(int longest) {
    past_ = (longest + lane_count<float> - 1) / lane_count<float> * lane_count<float>;
    memory_.assign(static_cast<std::size_t>(past_ + max_segment + lane_count<float>), 0.0f);
  }
  void reset() noexcept TR_RT { std::fill(memory_.begin(), memory_.end(), 0.0f); }

  // The block; before it lie the samples of the last ones, behind it a vector that may be overwritten.
  float* now() noexcept TR_RT { return memory_.data() + past_; }
  const float* now() const noexcept TR_RT { return memory_.data() + past_; }
  void pass(int frames) noexcept TR_RT {
    const Tag<float> d;
    float* const to = memory_.data();
    each_vector(past_, [&](int n) HWY_ATTR { hn::StoreU(hn::LoadU(d, to + frames + n), d, to + n); });
  }

  void state(StateArchive& archive) { archive(memory_); }

 private:
  std::vector<float> memory_;
  int past_ = 0;
};

class Oversampler {
 public:
  void prepare(int channels) {
    for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
      taps_[stage] = halfband_taps(static_cast<int>(stage));
    }
    channels_.assign(static_cast<std::size_t>(channels), Channel());
    for (Channel& channel : channels_) {
      for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
        channel.up[stage].assign(std::size_t{1} << stage, PhaseRow());
        channel.down[stage].assign(std::size_t{2} << stage, PhaseRow());
        for (auto* lines : {&channel.up[stage], &channel.down[stage]}) {
          for (auto& line : *lines) line.prepare(2 * halfband_shapes[stage].m + 8);
        }
      }
    }
  }

  // By 2^stages. A change starts from silence.
  void set(int stages, bool minimum_phase) noexcept TR_RT {
    if (stages == stages_ && minimum_phase == minimum_) return;
    stages_ = stages;
    minimum_ = minimum_phase;
    reset();
  }

  void reset() noexcept TR_RT {
    for (Channel& channel : channels_) {
      for (auto* both : {&channel.up, &channel.down}) {
        for (auto& lines : *both) {
          for (auto& line : lines) line.reset();
        }
      }
      channel.up_states = channel.down_states = {};
    }
  }

  bool minimum_phase() const noexcept TR_RT { return minimum_; }
  // Exact with linear phase; with minimum phase that of low frequencies, within half a frame.
  int latency() const noexcept TR_RT { return (minimum_ ? allpass_delay_ : delay_)[static_cast<std::size_t>(stages_)]; }

  // True when silence comes out; asked after silence went in for at least 64 frames.
  bool tail_ended() noexcept TR_RT {
    if (!minimum_) return true;
    for (Channel& channel : channels_) {
      for (auto* states : {&channel.up_states, &channel.down_states}) {
        for (const auto& stage : *states) {
          for (const float state : stage) {
            if (std::abs(state) > 1e-9f) return false;
          }
        }
      }
    }
    for (Channel& channel : channels_) channel.up_states = channel.down_states = {};
    return true;
  }

  // In place, up to the end of the last vector; shape(x, n) is the function, for the vector of frames that begins at n.
  template <class Shape>
  void process(int which, float* x, int frames, const Shape& shape) noexcept TR_RT {
    if (stages_ == 0) return apply(x, frames, shape);
    Channel& channel = channels_[static_cast<std::size_t>(which)];
    std::memcpy(channel.up[0][0].now(), x, sizeof(float) * static_cast<std::size_t>(frames));
    for (int stage = 0; stage < stages_; ++stage) up(channel, stage, frames);
    for (auto& row : channel.down[static_cast<std::size_t>(stages_ - 1)]) apply(row.now(), frames, shape);
    for (int stage = stages_ - 1; stage >= 0; --stage) down(channel, stage, x, frames);
    for (std::size_t stage = 0; stage < static_cast<std::size_t>(stages_); ++stage) {
      for (auto& row : channel.up[stage]) row.pass(frames);
      for (auto& row : channel.down[stage]) row.pass(frames);
    }
  }

  void state(StateArchive& archive) { archive(channels_); }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  using Lines = std::vector<PhaseRow>;
  using States = std::array<std::array<float, most_allpasses>, halfband_stages>;
  struct Channel {
    // The inputs of each stage: upwards the phases of its lower rate, downwards those of its higher rate.
    std::array<Lines, halfband_stages> up, down;
    States up_states{}, down_states{};
    void state(StateArchive& archive) { archive(up, down, up_states, down_states); }
  };

  template <class Shape>
  static void apply(float* x, int frames, const Shape& shape) noexcept TR_RT {
    for (int n = 0; n < frames; n += lanes) hn::StoreU(shape(hn::LoadU(D(), x + n), n), D(), x + n);
  }

  // The samples `back` samples before those of a phase, in a signal of 2^log_count phases, each `stride` rows on.
  static const float* before(const PhaseRow* rows, int log_count, int stride, int phase, int back) noexcept TR_RT {
    const int at = phase - back, row = at & ((1 << log_count) - 1);
    return rows[row * stride].now() + ((at - row) >> log_count);
  }

  // The filter over a signal of 2^log_count phases, for all of them; `finish(phase, n, sum)` takes each vector.
  template <class Finish>
  static void fir(const PhaseRow* rows, int log_count, int stride, int wait, const std::vector<float>& taps, int frames,
                  const Finish& finish) noexcept TR_RT {
    const float* x[1 << (halfband_stages - 1)];
    for (int phase = 0; phase < 1 << log_count; ++phase) x[phase] = before(rows, log_count, stride, phase, wait);
    static_assert(halfband_stages == 3);
    if (log_count == 0) return filter<1>(x, taps, frames, finish);
    if (log_count == 1) return filter<2>(x, taps, frames, finish);
    filter<4>(x, taps, frames, finish);
  }

  // Eight sums at a time: a multiply-add waits four cycles for the last one, and two begin in each.
  template <int phases, class Finish>
  static void filter(const float* const* x, const std::vector<float>& taps, int frames,
                     const Finish& finish) noexcept TR_RT {
    constexpr int many = 8 / phases;
    int n = 0;
    for (; n + many * lanes <= frames; n += many * lanes) some<phases, many>(x, taps, n, finish);
    if constexpr (many == 8) {
      if (n + 4 * lanes <= frames) {
        some<phases, 4>(x, taps, n, finish);
        n += 4 * lanes;
      }
    }
    for (; n < frames; n += lanes) some<phases, 1>(x, taps, n, finish);
  }

  template <int phases, int vectors, class Finish>
  static HWY_INLINE void some(const float* const* x, const std::vector<float>& taps, int n,
                              const Finish& finish) noexcept TR_RT {
    const D d;
    const int count = static_cast<int>(taps.size());
    V sum[phases][vectors];
    for (auto& of_phase : sum) {
      for (V& s : of_phase) s = hn::Zero(d);
    }
    if constexpr (phases == 1) {
      // Every eighth coefficient one after the other: the vectors that they need are those of the frames before.
      constexpr int step = 8, turns = (2 * halfband_shapes[0].m + 2) / step;
      static_assert(turns * step == 2 * halfband_shapes[0].m + 2);
      for (int first = 0; first < step; ++first) {
        const float* at = x[0] + n - first;
        for (int turn = 0; turn < turns; ++turn) {
          const V tap = hn::Set(d, taps[static_cast<std::size_t>(first + step * turn)]);
          for (int i = 0; i < vectors; ++i) {
            sum[0][i] = hn::MulAdd(tap, hn::LoadU(d, at + i * lanes - step * turn), sum[0][i]);
          }
        }
      }
    } else {
      // A sample serves all phases, each by another coefficient.
      for (int sample = phases - 1; sample > -count; --sample) {
        const int row = sample & (phases - 1);
        const float* at = x[row] + n + (sample - row) / phases;
        V in[vectors];
        for (int i = 0; i < vectors; ++i) in[i] = hn::LoadU(d, at + i * lanes);
        for (int phase = 0; phase < phases; ++phase) {
          const int k = phase - sample;
          if (k < 0 || k >= count) continue;
          const V tap = hn::Set(d, taps[static_cast<std::size_t>(k)]);
          for (int i = 0; i < vectors; ++i) sum[phase][i] = hn::MulAdd(tap, in[i], sum[phase][i]);
        }
      }
    }
    for (int phase = 0; phase < phases; ++phase) {
      for (int i = 0; i < vectors; ++i) finish(phase, n + i * lanes, sum[phase][i]);
    }
  }

  // Every sample of the lower rate becomes two, written to the input of the next stage or of the function.
  void up(Channel& channel, int stage, int frames) noexcept TR_RT {
    const D d;
    const auto which = static_cast<std::size_t>(stage);
    Lines& to = stage == stages_ - 1 ? channel.down[which] : channel.up[which + 1];
    const PhaseRow* from = channel.up[which].data();
    if (minimum_) return up_minimum(channel, stage, to, frames);
    const float* middle[1 << (halfband_stages - 1)];
    float* into[1 << halfband_stages];
    for (int phase = 0; phase < 1 << stage; ++phase) {
      middle[phase] = before(from, stage, 1, phase, halfband_shapes[which].m);
    }
    for (std::size_t phase = 0; phase < std::size_t{2} << stage; ++phase) into[phase] = to[phase].now();
    fir(from, stage, 1, 0, taps_[which], frames, [&](int phase, int n, V sum) HWY_ATTR {
      hn::StoreU(sum, d, into[2 * phase] + n);
      hn::StoreU(hn::LoadU(d, middle[phase] + n), d, into[2 * phase + 1] + n);
    });
  }

  // Two samples of the higher rate become one, written to the input of the next stage or to y.
  void down(Channel& channel, int stage, float* y, int frames) noexcept TR_RT {
    const D d;
    const auto which = static_cast<std::size_t>(stage);
    const PhaseRow* from = channel.down[which].data();
    float* into[1 << (halfband_stages - 1)] = {y};
    for (std::size_t phase = 0; stage > 0 && phase < std::size_t{1} << stage; ++phase) {
      into[phase] = channel.down[which - 1][phase].now();
    }
    if (minimum_) return down_minimum(channel, stage, into, frames);
    const int wait = halfband_wait(stage);
    const float* odd[1 << (halfband_stages - 1)];
    for (int phase = 0; phase < 1 << stage; ++phase) {
      odd[phase] = before(from + 1, stage, 2, phase, halfband_shapes[which].m + 1 + wait);
    }
    fir(from, stage, 2, wait, taps_[which], frames, [&](int phase, int n, V sum) HWY_ATTR {
      hn::StoreU(hn::Set(d, 0.5f) * (sum + hn::LoadU(d, odd[phase] + n)), d, into[phase] + n);
    });
  }

  // Both all-pass branches of a stage, in place.
  static void branches(int stage, std::array<float, most_allpasses>& states, float& first,
                       float& second) noexcept TR_RT {
    const HalfbandAllpasses& all = halfband_allpasses[static_cast<std::size_t>(stage)];
    for (int i = 0; i < all.count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      float& x = i % 2 == 0 ? first : second;
      states[at] = allpass_step(-static_cast<float>(all.coefficient[at]), states[at], x, x);
    }
  }

  void up_minimum(Channel& channel, int stage, Lines& to, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    auto states = channel.up_states[which];
    const float* from[1 << halfband_stages];
    float* into[2 << halfband_stages];
    const std::size_t phases = std::size_t{1} << stage;
    for (std::size_t p = 0; p < phases; ++p) from[p] = channel.up[which][p].now();
    for (std::size_t p = 0; p < 2 * phases; ++p) into[p] = to[p].now();
    for (int n = 0; n < frames; ++n) {
      for (std::size_t p = 0; p < phases; ++p) {
        float first = from[p][n], second = first;
        branches(stage, states, first, second);
        into[2 * p][n] = first;
        into[2 * p + 1][n] = second;
      }
    }
    channel.up_states[which] = states;
  }

  void down_minimum(Channel& channel, int stage, float* const* into, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    auto states = channel.down_states[which];
    const float* from[2 << halfband_stages];
    const std::size_t phases = std::size_t{1} << stage;
    for (std::size_t p = 0; p < 2 * phases; ++p) from[p] = channel.down[which][p].now();
    for (int n = 0; n < frames; ++n) {
      for (std::size_t p = 0; p < phases; ++p) {
        float first = from[2 * p + 1][n], second = from[2 * p][n];
        branches(stage, states, first, second);
        into[p][n] = 0.5f * (first + second);
      }
    }
    channel.down_states[which] = states;
  }

  std::array<std::vector<float>, halfband_stages> taps_;
  std::array<int, halfband_stages + 1> delay_{oversampling_delay(0), oversampling_delay(1), oversampling_delay(2),
                                              oversampling_delay(3)};
  std::array<int, halfband_stages + 1> allpass_delay_{allpass_oversampling_delay(0), allpass_oversampling_delay(1),
                                                      allpass_oversampling_delay(2), allpass_oversampling_delay(3)};
  std::vector<Channel> channels_;
  int stages_ = 0;
  bool minimum_ = false;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
