// An oversampler: a memoryless function at 2, 4 or 8 times the sample rate, so that its harmonics do not alias.
//
// The samples of the higher rate are kept as phases (polyphase form): every r-th of them is a row of its own, as long
// as the block. So all loops run over whole vectors of frames; or over frames whose vectors have a stream in every
// lane.
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
#include "dsp/lanes/aligned_row.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/streams-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// How a row lies in memory: one sound, whose frames are in the lanes, or streams side by side.
struct FramesInLanes {
  using V = Vec<float>;
  using One = float;                                        // a frame
  static constexpr int unit = 1, step = lane_count<float>;  // numbers in a frame, frames in a vector

  template <class N>
  static HWY_INLINE N* at(N* x, int frame) noexcept TR_RT {
    return x + frame;
  }
  static HWY_INLINE V load(const float* x) noexcept TR_RT { return hn::LoadU(Tag<float>(), x); }
  static HWY_INLINE void store(V v, float* x) noexcept TR_RT { hn::StoreU(v, Tag<float>(), x); }
  static HWY_INLINE One load_one(const float* x) noexcept TR_RT { return *x; }
  static HWY_INLINE void store_one(One v, float* x) noexcept TR_RT { *x = v; }
};
struct StreamsInLanes {
  using V = Streams;
  using One = Streams;
  static constexpr int unit = stream_lanes, step = 1;

  template <class N>
  static HWY_INLINE N* at(N* x, int frame) noexcept TR_RT {
    return x + static_cast<std::ptrdiff_t>(frame) * stream_lanes;
  }
  static HWY_INLINE V load(const float* x) noexcept TR_RT { return hn::LoadU(StreamTag(), x); }
  static HWY_INLINE void store(V v, float* x) noexcept TR_RT { hn::StoreU(v, StreamTag(), x); }
  static HWY_INLINE One load_one(const float* x) noexcept TR_RT { return load(x); }
  static HWY_INLINE void store_one(One v, float* x) noexcept TR_RT { store(v, x); }
};

// The last samples of a row, and behind them the block that is being worked on.
template <class Layout>
class PhaseRow {
 public:
  void prepare(int longest, int longest_block) {
    past_ = (longest + lane_count<float> - 1) / lane_count<float> * lane_count<float>;
    size_ = (past_ + longest_block + lane_count<float>)*Layout::unit;
    memory_ = AlignedRow(static_cast<std::size_t>(size_));
  }
  void reset() noexcept TR_RT { std::fill_n(memory_.data(), size_, 0.0f); }

  // The block; before it lie the samples of the last ones, behind it a vector that may be overwritten.
  float* now() noexcept TR_RT { return Layout::at(memory_.data(), past_); }
  const float* now() const noexcept TR_RT { return Layout::at(memory_.data(), past_); }
  void pass(int frames) noexcept TR_RT {
    float* const to = memory_.data();
    const float* const from = Layout::at(to, frames);
    for (int n = 0; n < past_; n += Layout::step) Layout::store(Layout::load(Layout::at(from, n)), Layout::at(to, n));
  }

  // The last samples of one stream from its own row, and back.
  void take(const PhaseRow<FramesInLanes>& own, int lane) noexcept TR_RT {
    for (int n = 0; n < past_; ++n) Layout::at(memory_.data(), n)[lane] = own.memory_.data()[n];
  }
  void give(PhaseRow<FramesInLanes>& own, int lane) const noexcept TR_RT {
    for (int n = 0; n < past_; ++n) own.memory_.data()[n] = Layout::at(memory_.data(), n)[lane];
  }

  void state(StateArchive& archive) { archive(memory_); }

 private:
  template <class Other>
  friend class PhaseRow;

  AlignedRow memory_;
  int past_ = 0, size_ = 0;
};

template <class Layout>
class OversamplerOf {
 public:
  void prepare(int channels, int longest_block) {
    for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
      taps_[stage] = halfband_taps(static_cast<int>(stage));
    }
    channels_.assign(static_cast<std::size_t>(channels), Channel());
    for (Channel& channel : channels_) {
      for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
        channel.up[stage].assign(std::size_t{1} << stage, PhaseRow<Layout>());
        channel.down[stage].assign(std::size_t{2} << stage, PhaseRow<Layout>());
        for (auto* lines : {&channel.up[stage], &channel.down[stage]}) {
          for (auto& line : *lines) line.prepare(2 * halfband_shapes[stage].m + 8, longest_block);
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

  // The past of one stream, and back; both oversample by as much.
  void take(const OversamplerOf<FramesInLanes>& own, int lane) noexcept TR_RT {
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      Channel& channel = channels_[c];
      const auto& its = own.channels_[c];
      for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
        for (std::size_t i = 0; i < channel.up[stage].size(); ++i) channel.up[stage][i].take(its.up[stage][i], lane);
        for (std::size_t i = 0; i < channel.down[stage].size(); ++i) {
          channel.down[stage][i].take(its.down[stage][i], lane);
        }
        for (std::size_t i = 0; i < most_allpasses; ++i) {
          channel.up_states[stage][i][static_cast<std::size_t>(lane)] = its.up_states[stage][i][0];
          channel.down_states[stage][i][static_cast<std::size_t>(lane)] = its.down_states[stage][i][0];
        }
      }
    }
  }
  void give(OversamplerOf<FramesInLanes>& own, int lane) const noexcept TR_RT {
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      const Channel& channel = channels_[c];
      auto& its = own.channels_[c];
      for (std::size_t stage = 0; stage < halfband_stages; ++stage) {
        for (std::size_t i = 0; i < channel.up[stage].size(); ++i) channel.up[stage][i].give(its.up[stage][i], lane);
        for (std::size_t i = 0; i < channel.down[stage].size(); ++i) {
          channel.down[stage][i].give(its.down[stage][i], lane);
        }
        for (std::size_t i = 0; i < most_allpasses; ++i) {
          its.up_states[stage][i][0] = channel.up_states[stage][i][static_cast<std::size_t>(lane)];
          its.down_states[stage][i][0] = channel.down_states[stage][i][static_cast<std::size_t>(lane)];
        }
      }
    }
  }

  int stages() const noexcept TR_RT { return stages_; }
  bool minimum_phase() const noexcept TR_RT { return minimum_; }
  // Exact with linear phase; with minimum phase that of low frequencies, within half a frame.
  int latency() const noexcept TR_RT { return (minimum_ ? allpass_delay_ : delay_)[static_cast<std::size_t>(stages_)]; }

  // True when silence comes out; asked after silence went in for at least 64 frames.
  bool tail_ended() noexcept TR_RT {
    if (!minimum_) return true;
    for (Channel& channel : channels_) {
      for (auto* states : {&channel.up_states, &channel.down_states}) {
        for (const auto& stage : *states) {
          for (const auto& state : stage) {
            for (const float number : state) {
              if (std::abs(number) > 1e-9f) return false;
            }
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
    std::memcpy(channel.up[0][0].now(), x, sizeof(float) * static_cast<std::size_t>(frames * Layout::unit));
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
  template <class Other>
  friend class OversamplerOf;

  using V = typename Layout::V;
  using One = typename Layout::One;
  static constexpr int step = Layout::step;
  using Row = PhaseRow<Layout>;
  using Lines = std::vector<Row>;
  using StageStates = std::array<std::array<float, Layout::unit>, most_allpasses>;
  using States = std::array<StageStates, halfband_stages>;
  struct Channel {
    // The inputs of each stage: upwards the phases of its lower rate, downwards those of its higher rate.
    std::array<Lines, halfband_stages> up, down;
    States up_states{}, down_states{};
    void state(StateArchive& archive) { archive(up, down, up_states, down_states); }
  };

  template <class Shape>
  static void apply(float* x, int frames, const Shape& shape) noexcept TR_RT {
    for (int n = 0; n < frames; n += step) Layout::store(shape(Layout::load(Layout::at(x, n)), n), Layout::at(x, n));
  }

  // The samples `back` samples before those of a phase, in a signal of 2^log_count phases, each `stride` rows on.
  static const float* before(const Row* rows, int log_count, int stride, int phase, int back) noexcept TR_RT {
    const int at = phase - back, row = at & ((1 << log_count) - 1);
    return Layout::at(rows[row * stride].now(), (at - row) >> log_count);
  }

  // The filter over a signal of 2^log_count phases, for all of them; `finish(phase, n, sum)` takes each vector.
  template <class Finish>
  static void fir(const Row* rows, int log_count, int stride, int wait, const std::vector<float>& taps, int frames,
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
    for (; n + many * step <= frames; n += many * step) some<phases, many>(x, taps, n, finish);
    if constexpr (many == 8) {
      if (n + 4 * step <= frames) {
        some<phases, 4>(x, taps, n, finish);
        n += 4 * step;
      }
    }
    for (; n < frames; n += step) some<phases, 1>(x, taps, n, finish);
  }

  template <int phases, int vectors, class Finish>
  static HWY_INLINE void some(const float* const* x, const std::vector<float>& taps, int n,
                              const Finish& finish) noexcept TR_RT {
    const int count = static_cast<int>(taps.size());
    V sum[phases][vectors];
    for (auto& of_phase : sum) {
      for (V& s : of_phase) s = Broadcast<V>::of(0);
    }
    if constexpr (phases == 1) {
      // Every eighth coefficient one after the other: the vectors that they need are those of the frames before.
      constexpr int apart = 8, turns = (2 * halfband_shapes[0].m + 2) / apart;
      static_assert(turns * apart == 2 * halfband_shapes[0].m + 2);
      for (int first = 0; first < apart; ++first) {
        const float* at = Layout::at(x[0], n - first);
        for (int turn = 0; turn < turns; ++turn) {
          const V tap = Broadcast<V>::of(taps[static_cast<std::size_t>(first + apart * turn)]);
          for (int i = 0; i < vectors; ++i) {
            sum[0][i] = hn::MulAdd(tap, Layout::load(Layout::at(at, i * step - apart * turn)), sum[0][i]);
          }
        }
      }
    } else {
      // A sample serves all phases, each by another coefficient.
      for (int sample = phases - 1; sample > -count; --sample) {
        const int row = sample & (phases - 1);
        const float* at = Layout::at(x[row], n + (sample - row) / phases);
        V in[vectors];
        for (int i = 0; i < vectors; ++i) in[i] = Layout::load(Layout::at(at, i * step));
        for (int phase = 0; phase < phases; ++phase) {
          const int k = phase - sample;
          if (k < 0 || k >= count) continue;
          const V tap = Broadcast<V>::of(taps[static_cast<std::size_t>(k)]);
          for (int i = 0; i < vectors; ++i) sum[phase][i] = hn::MulAdd(tap, in[i], sum[phase][i]);
        }
      }
    }
    for (int phase = 0; phase < phases; ++phase) {
      for (int i = 0; i < vectors; ++i) finish(phase, n + i * step, sum[phase][i]);
    }
  }

  // Every sample of the lower rate becomes two, written to the input of the next stage or of the function.
  void up(Channel& channel, int stage, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    Lines& to = stage == stages_ - 1 ? channel.down[which] : channel.up[which + 1];
    const Row* from = channel.up[which].data();
    if (minimum_) return with_stage(stage, [&](auto known) { up_minimum<known.value>(channel, to, frames); });
    const float* middle[1 << (halfband_stages - 1)];
    float* into[1 << halfband_stages];
    for (int phase = 0; phase < 1 << stage; ++phase) {
      middle[phase] = before(from, stage, 1, phase, halfband_shapes[which].m);
    }
    for (std::size_t phase = 0; phase < std::size_t{2} << stage; ++phase) into[phase] = to[phase].now();
    fir(from, stage, 1, 0, taps_[which], frames, [&](int phase, int n, V sum) HWY_ATTR {
      Layout::store(sum, Layout::at(into[2 * phase], n));
      Layout::store(Layout::load(Layout::at(middle[phase], n)), Layout::at(into[2 * phase + 1], n));
    });
  }

  // Two samples of the higher rate become one, written to the input of the next stage or to y.
  void down(Channel& channel, int stage, float* y, int frames) noexcept TR_RT {
    const auto which = static_cast<std::size_t>(stage);
    const Row* from = channel.down[which].data();
    float* into[1 << (halfband_stages - 1)] = {y};
    for (std::size_t phase = 0; stage > 0 && phase < std::size_t{1} << stage; ++phase) {
      into[phase] = channel.down[which - 1][phase].now();
    }
    if (minimum_) return with_stage(stage, [&](auto known) { down_minimum<known.value>(channel, into, frames); });
    const int wait = halfband_wait(stage);
    const float* odd[1 << (halfband_stages - 1)];
    for (int phase = 0; phase < 1 << stage; ++phase) {
      odd[phase] = before(from + 1, stage, 2, phase, halfband_shapes[which].m + 1 + wait);
    }
    fir(from, stage, 2, wait, taps_[which], frames, [&](int phase, int n, V sum) HWY_ATTR {
      const V both = sum + Layout::load(Layout::at(odd[phase], n));
      Layout::store(Broadcast<V>::of(0.5) * both, Layout::at(into[phase], n));
    });
  }

  // Calls use(stage as a type), so that the numbers of all-passes are known.
  template <class Use>
  static void with_stage(int stage, const Use& use) noexcept TR_RT {
    static_assert(halfband_stages == 3);
    if (stage == 0) return use(std::integral_constant<std::size_t, 0>());
    if (stage == 1) return use(std::integral_constant<std::size_t, 1>());
    use(std::integral_constant<std::size_t, 2>());
  }
  // Both all-pass branches of a stage, in place.
  template <std::size_t stage>
  static HWY_INLINE void branches(One* states, One& first, One& second) noexcept TR_RT {
    constexpr HalfbandAllpasses all = halfband_allpasses[stage];
    for (int i = 0; i < all.count; ++i) {
      const float coefficient = -static_cast<float>(all.coefficient[static_cast<std::size_t>(i)]);
      One& x = i % 2 == 0 ? first : second;
      states[i] = allpass_step(Broadcast<One>::of(coefficient), states[i], x, x);
    }
  }
  static void load_states(const StageStates& from, One* to) noexcept TR_RT {
    for (const auto& state : from) *to++ = Layout::load_one(state.data());
  }
  static void store_states(const One* from, StageStates& to) noexcept TR_RT {
    for (auto& state : to) Layout::store_one(*from++, state.data());
  }

  template <std::size_t stage>
  void up_minimum(Channel& channel, Lines& to, int frames) noexcept TR_RT {
    One states[most_allpasses];
    load_states(channel.up_states[stage], states);
    const float* from[1 << halfband_stages];
    float* into[2 << halfband_stages];
    constexpr std::size_t phases = std::size_t{1} << stage;
    for (std::size_t p = 0; p < phases; ++p) from[p] = channel.up[stage][p].now();
    for (std::size_t p = 0; p < 2 * phases; ++p) into[p] = to[p].now();
    for (int n = 0; n < frames; ++n) {
      for (std::size_t p = 0; p < phases; ++p) {
        One first = Layout::load_one(Layout::at(from[p], n)), second = first;
        branches<stage>(states, first, second);
        Layout::store_one(first, Layout::at(into[2 * p], n));
        Layout::store_one(second, Layout::at(into[2 * p + 1], n));
      }
    }
    store_states(states, channel.up_states[stage]);
  }

  template <std::size_t stage>
  void down_minimum(Channel& channel, float* const* into, int frames) noexcept TR_RT {
    One states[most_allpasses];
    load_states(channel.down_states[stage], states);
    const float* from[2 << halfband_stages];
    constexpr std::size_t phases = std::size_t{1} << stage;
    for (std::size_t p = 0; p < 2 * phases; ++p) from[p] = channel.down[stage][p].now();
    for (int n = 0; n < frames; ++n) {
      for (std::size_t p = 0; p < phases; ++p) {
        One first = Layout::load_one(Layout::at(from[2 * p + 1], n));
        One second = Layout::load_one(Layout::at(from[2 * p], n));
        branches<stage>(states, first, second);
        Layout::store_one(Broadcast<One>::of(0.5) * (first + second), Layout::at(into[p], n));
      }
    }
    store_states(states, channel.down_states[stage]);
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

using Oversampler = OversamplerOf<FramesInLanes>;
using OversamplerStreams = OversamplerOf<StreamsInLanes>;

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
