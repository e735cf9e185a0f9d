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
#include "dsp/delay/delay.h"
#include "dsp/filters/halfband.h"
#include "dsp/lanes/lane-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class Oversampler {
 public:
  void prepare(int channels) {
    for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
      taps_[stage] = halfband_taps(static_cast<int>(stage));
    }
    channels_.assign(static_cast<std::size_t>(channels), Channel());
    for (Channel& channel : channels_) {
      for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
        channel.up[stage].assign(std::size_t{1} << stage, DelayLine());
        channel.down[stage].assign(std::size_t{2} << stage, DelayLine());
        for (auto* lines : {&channel.up[stage], &channel.down[stage]}) {
          for (auto& line : *lines)
            line.prepare(2 * halfband_shapes[stage].m + 8, max_segment + 2 * halfband_shapes[stage].m + 8);
        }
      }
      channel.out.assign(max_segment, 0.0f);
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

  // In place; shape(x, n) is the function, for the vector of frames that begins at n.
  template <class Shape>
  void process(int which, float* x, int frames, const Shape& shape) noexcept TR_RT {
    Channel& channel = channels_[static_cast<std::size_t>(which)];
    if (stages_ == 0) {
      std::memcpy(channel.out.data(), x, sizeof(float) * static_cast<std::size_t>(frames));
      apply(channel.out.data(), frames, shape);
    } else {
      channel.up[0][0].write(x, frames);
      for (int stage = 0; stage < stages_; ++stage) up(channel, stage, frames);
      for (auto& line : channel.down[static_cast<std::size_t>(stages_ - 1)]) apply(line.open(), frames, shape);
      for (int stage = stages_ - 1; stage >= 0; --stage) down(channel, stage, frames);
    }
    std::memcpy(x, channel.out.data(), sizeof(float) * static_cast<std::size_t>(frames));
  }

  void state(StateArchive& archive) { archive(channels_); }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  using Lines = std::vector<DelayLine>;
  using States = std::array<std::array<float, most_allpasses>, halfband_stages>;
  struct Channel {
    // The inputs of each stage: upwards the phases of its lower rate, downwards those of its higher rate.
    std::array<Lines, halfband_stages> up, down;
    std::vector<float> out;
    States up_states{}, down_states{};
    void state(StateArchive& archive) { archive(up, down, up_states, down_states); }
  };

  template <class Shape>
  static void apply(float* x, int frames, const Shape& shape) noexcept TR_RT {
    for (int n = 0; n < frames; n += lane_count<float>) hn::StoreU(shape(hn::LoadU(D(), x + n), n), D(), x + n);
  }

  // The samples `back` samples before those of a phase, in a signal of 2^log_count phases.
  static const float* before(const DelayLine* lines, int log_count, int stride, int phase, int back,
                             int frames) noexcept TR_RT {
    const int at = phase - back, line = at & ((1 << log_count) - 1);
    return lines[line * stride].written(frames, (line - at) >> log_count);
  }

  // The filter over a signal of 2^log_count phases, for its samples of one phase.
  static void fir(const DelayLine* lines, int log_count, int stride, int phase, int wait,
                  const std::vector<float>& taps, float* y, int frames) noexcept TR_RT {
    const D d;
    const int turns = 1 << log_count, count = static_cast<int>(taps.size());
    const float* x[1 << halfband_stages];  // for the first coefficient in each line; the next one is a frame before
    for (int turn = 0; turn < turns; ++turn) {
      const int last = turn + (count - 1 - turn) / turns * turns;  // the oldest, from which a line lies in one piece
      x[turn] = before(lines, log_count, stride, phase, last + wait, frames) + (last - turn) / turns;
    }
    const auto some = [&](int n, auto vectors) HWY_ATTR {
      V sum[vectors.value];
      for (V& s : sum) s = hn::Zero(d);
      for (int turn = 0; turn < turns; ++turn) {
        const float* at = x[turn] + n;
        for (int k = turn; k < count; k += turns, --at) {
          const V tap = hn::Set(d, taps[static_cast<std::size_t>(k)]);
          for (int i = 0; i < vectors.value; ++i) sum[i] = hn::MulAdd(tap, hn::LoadU(d, at + i * lanes), sum[i]);
        }
      }
      for (int i = 0; i < vectors.value; ++i) hn::StoreU(sum[i], d, y + n + i * lanes);
    };
    int n = 0;  // every coefficient serves four vectors, as long as there are so many
    for (; n + 4 * lanes <= frames; n += 4 * lanes) some(n, std::integral_constant<int, 4>{});
    for (; n < frames; n += lanes) some(n, std::integral_constant<int, 1>{});
  }

  // Every sample of the lower rate becomes two, written to the input of the next stage or of the function.
  void up(Channel& channel, int stage, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    const bool last = stage == stages_ - 1;
    Lines& to = last ? channel.down[which] : channel.up[which + 1];
    const DelayLine* from = channel.up[which].data();
    const int phases = 1 << stage;
    if (minimum_) {
      up_minimum(channel, stage, to, frames);
    } else {
      const int middle = halfband_shapes[which].m;
      for (int phase = 0; phase < phases; ++phase) {
        fir(from, stage, 1, phase, 0, taps_[which], to[static_cast<std::size_t>(2 * phase)].open(), frames);
        std::memcpy(to[static_cast<std::size_t>(2 * phase + 1)].open(), before(from, stage, 1, phase, middle, frames),
                    sizeof(float) * static_cast<std::size_t>(frames));
      }
    }
    if (last) return;
    for (auto& line : to) line.close(frames);
  }

  // Two samples of the higher rate become one.
  void down(Channel& channel, int stage, int frames) noexcept TR_RT {
    const D d;
    const auto which = static_cast<std::size_t>(stage);
    Lines& from = channel.down[which];
    for (auto& line : from) line.close(frames);
    const int phases = 1 << stage;
    const auto to = [&](int phase) {
      return stage == 0 ? channel.out.data() : channel.down[which - 1][static_cast<std::size_t>(phase)].open();
    };
    if (minimum_) return down_minimum(channel, stage, to, frames);
    const int middle = halfband_shapes[which].m, wait = halfband_wait(stage);
    for (int phase = 0; phase < phases; ++phase) {
      float* y = to(phase);
      fir(from.data(), stage, 2, phase, wait, taps_[which], y, frames);
      const float* odd = before(from.data() + 1, stage, 2, phase, middle + 1 + wait, frames);
      for (int n = 0; n < frames; n += lane_count<float>) {
        hn::StoreU(hn::Set(d, 0.5f) * (hn::LoadU(d, y + n) + hn::LoadU(d, odd + n)), d, y + n);
      }
    }
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
    for (std::size_t p = 0; p < phases; ++p) from[p] = channel.up[which][p].written(frames, 0);
    for (std::size_t p = 0; p < 2 * phases; ++p) into[p] = to[p].open();
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

  template <class To>
  void down_minimum(Channel& channel, int stage, const To& to, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    auto states = channel.down_states[which];
    const float* from[2 << halfband_stages];
    float* into[1 << halfband_stages];
    const std::size_t phases = std::size_t{1} << stage;
    for (std::size_t p = 0; p < 2 * phases; ++p) from[p] = channel.down[which][p].written(frames, 0);
    for (std::size_t p = 0; p < phases; ++p) into[p] = to(static_cast<int>(p));
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
