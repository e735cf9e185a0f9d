// A feedback delay network of sixteen lines over blocks (see fdn-inl.h), with the time in the lanes. Only the filters
// of the lines are recursions; they have the lines in the lanes.
#if defined(TWINRACK_DSP_DELAY_DELAY_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_DELAY_NETWORK_INL_H_
#undef TWINRACK_DSP_DELAY_DELAY_NETWORK_INL_H_
#else
#define TWINRACK_DSP_DELAY_DELAY_NETWORK_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dsp/delay/delay.h"
#include "dsp/delay/fdn-inl.h"
#include "dsp/delay/fdn_layout.h"
#include "dsp/lanes/math-inl.h"
#include "dsp/lanes/transpose-inl.h"
#include "dsp/shaping/ramps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class DelayNetwork {
 public:
  // Coefficients of the two shelves (low, high) of every line: g, k, m0, m1, m2.
  using Shelf = std::array<std::array<float, fdn_lines>, 5>;
  using Shelves = std::array<Shelf, 2>;
  // They move from one tick's to the next one's; `frame` counts from where the tick began.
  struct ShelfRamp {
    const Shelves &from, &to;
    int frame;
    bool moves;
  };

  void prepare(const FdnLayout& layout, int channels) {
    channels_ = channels;
    length_ = layout.line_frames;
    rate_factor_ = layout.rate_factor;
    start_turn_ = layout.start_turn;
    entrance_ = fdn_entrance<float>(channels);
    lines_.assign(fdn_lines, DelayLine());
    for (std::size_t i = 0; i < fdn_lines; ++i) lines_[i].prepare(length_[i], tick_frames);
  }

  // Modulation in turns a tick, and its depth in right angles.
  void tune(const Shelves& shelves, double turn_rate, float turn_depth) noexcept TR_RT {
    steady_ = filters({shelves, shelves, 0, false}, 1.0f);
    turn_rate_ = turn_rate;
    turn_depth_ = turn_depth;
  }

  void reset() noexcept TR_RT {
    for (DelayLine& line : lines_) line.reset();
    clear_filters();
    phase_ = 0.0;
    skipped_ = false;
    turns_from_ = turns_to_ = turns_at(0.0);
  }

  // At the beginning of every tick: the modulation goes on.
  void tick() noexcept TR_RT {
    phase_ += turn_rate_;
    turns_from_ = turns_to_;
    turns_to_ = turns_at(phase_);
  }
  // The same without sound; `resume` stands before the next sound.
  void skip_tick() noexcept TR_RT { phase_ += turn_rate_; }
  void skip() noexcept TR_RT { skipped_ = true; }
  void resume() noexcept TR_RT {
    if (!skipped_) return;
    turns_from_ = turns_at(phase_ - turn_rate_);
    turns_to_ = turns_at(phase_);
    skipped_ = false;
  }

  // In place, inside one tick. The shortest line is longer than a tick, so what leaves the lines is known in advance.
  void process(float* const* channel, const ShelfRamp& shelves, const Ramp& level, int frame_in_tick,
               int frames) noexcept TR_RT {
    constexpr int lanes = L::lanes;
    const L::D d;
    const float *out[fdn_lines], *source[fdn_lines];
    float* in[fdn_lines];
    for (std::size_t i = 0, c = 0; i < fdn_lines; ++i) {
      source[i] = channel[c++];
      if (c == static_cast<std::size_t>(channels_)) c = 0;
      out[i] = lines_[i].coming(length_[i]);
      in[i] = lines_[i].open();
    }
    Turns<float> moves;  // within the tick
    for (int i = 0; i < fdn_pairs; ++i) {
      moves.cosine[i] = turns_to_.cosine[i] - turns_from_.cosine[i];
      moves.sine[i] = turns_to_.sine[i] - turns_from_.sine[i];
    }
    for (int n = 0; n < frames; n += lanes) {
      V x[fdn_lines];
      for (int i = 0; i < fdn_lines; ++i) x[i] = hn::LoadU(d, out[i] + n);
      attenuate_lines(x, shelves, n, std::min(lanes, frames - n));
      rotate(x, moves, frame_in_tick + n);
      hadamard(x);
      for (std::size_t i = 0; i < fdn_lines; ++i) {
        hn::StoreU(MulAdd(hn::Set(d, entrance_[i]), hn::LoadU(d, source[i] + n), x[i]), d, in[i] + n);
      }
      for (int c = 0; c < channels_; ++c) store_some(level.vector(n) * x[c], channel[c] + n, frames - n);
    }
    for (DelayLine& line : lines_) line.close(frames);
  }

  bool below(float level) const noexcept TR_RT {
    return std::all_of(lines_.begin(), lines_.end(), [&](const DelayLine& line) { return line.below(level); });
  }
  void clear_filters() noexcept TR_RT {
    const V zero = hn::Zero(L::D());
    for (int i = 0; i < L::count; ++i) states_.low[i] = states_.high[i] = {zero, zero};
  }

  void state(StateArchive& archive) { archive(lines_, states_, turns_from_, turns_to_, phase_, skipped_); }

 private:
  friend class DelayNetworkStreams;  // the same for several streams

  using L = Lines<float>;
  using V = L::V;

  static LineFilters<float> filters(const ShelfRamp& shelves, float share) noexcept TR_RT {
    LineFilters<float> filters;
    const V s = hn::Set(L::D(), share);
    for (std::size_t which = 0; which < 2; ++which) {
      auto* into = which == 0 ? filters.low : filters.high;
      for (int part = 0; part < L::count; ++part) {
        const auto mixed = [&](std::size_t i) HWY_ATTR {
          const V a = hn::LoadU(L::D(), shelves.from[which][i].data() + part * L::lanes);
          const V b = hn::LoadU(L::D(), shelves.to[which][i].data() + part * L::lanes);
          return share == 1.0f ? b : MulAdd(b - a, s, a);
        };
        into[part] = make_svf(mixed(0), mixed(1), mixed(2), mixed(3), mixed(4));
      }
    }
    return filters;
  }

  // Frame by frame. Not inlined: there the compiler would rather keep the coefficients in registers than the states.
  HWY_NOINLINE void attenuate_lines(V* x, const ShelfRamp& shelves, int n, int count) noexcept TR_RT {
    for (int part = 0; part < L::count; ++part) transpose(x + part * L::lanes);
    LineStates<float> states = states_;
    for (int k = 0; k < count; ++k) {
      L frame;
      for (int part = 0; part < L::count; ++part) frame.part[part] = x[part * L::lanes + k];
      frame = shelves.moves ? attenuate(states, filters(shelves, ramp_position<float>(shelves.frame + n + k)), frame)
                            : attenuate(states, steady_, frame);
      for (int part = 0; part < L::count; ++part) x[part * L::lanes + k] = frame.part[part];
    }
    states_ = states;
    for (int part = 0; part < L::count; ++part) transpose(x + part * L::lanes);
  }

  // Of one pair: -1/2 to 1/2.
  static float turn_at(double phase, double rate_factor, double start_turn) noexcept TR_RT {
    const double turns = phase * rate_factor + start_turn;  // at least 0
    return static_cast<float>(turns - static_cast<double>(static_cast<std::int64_t>(turns + 0.5)));
  }

  Turns<float> turns_at(double phase) const noexcept TR_RT {
    Turns<float> turns;
    float turn[fdn_pairs];
    for (std::size_t i = 0; i < fdn_pairs; ++i) {
      turn[i] = turn_at(phase, rate_factor_[i], start_turn_[i]);
    }
    const L::D d;
    for (int i = 0; i < fdn_pairs; i += L::lanes) {
      const V angle = hn::Set(d, turn_depth_) * sine_of_turn(hn::LoadU(d, turn + i));
      hn::StoreU(cosine_of_quarter(angle), d, turns.cosine + i);
      hn::StoreU(sine_of_quarter(angle), d, turns.sine + i);
    }
    return turns;
  }

  HWY_INLINE void rotate(V* x, const Turns<float>& moves, int frame_in_tick) const noexcept TR_RT {
    const L::D d;
    const V share = hn::Iota(d, static_cast<float>(frame_in_tick + 1)) * hn::Set(d, 1.0f / tick_frames);
    for (std::size_t i = 0; i < fdn_pairs; ++i) {
      const V c = hn::Set(d, turns_from_.cosine[i]) + hn::Set(d, moves.cosine[i]) * share;
      const V s = hn::Set(d, turns_from_.sine[i]) + hn::Set(d, moves.sine[i]) * share;
      rotate_pair(x[i], x[i + fdn_pairs], c, s);
    }
  }

  template <class N>
  static HWY_INLINE void rotate_pair(N& first, N& second, N cosine, N sine) noexcept TR_RT {
    const N a = first, b = second;
    first = NegMulAdd(sine, b, cosine * a);
    second = MulAdd(sine, a, cosine * b);
  }

  // One stage of a Hadamard matrix, and the whole of it, orthonormal.
  template <int stride, class N>
  static HWY_INLINE void butterflies(N* x) noexcept TR_RT {
    for (int first = 0; first < fdn_lines; first += 2 * stride) {
      for (int i = first; i < first + stride; ++i) {
        const N a = x[i], b = x[i + stride];
        x[i] = a + b;
        x[i + stride] = a - b;
      }
    }
  }
  template <class N>
  static HWY_INLINE void hadamard(N* x) noexcept TR_RT {
    butterflies<8>(x);
    butterflies<4>(x);
    butterflies<2>(x);
    butterflies<1>(x);
    for (int i = 0; i < fdn_lines; ++i) x[i] = x[i] * Broadcast<N>::of(0.25);
  }

  int channels_ = 0;
  std::array<int, fdn_lines> length_{};
  std::array<double, fdn_pairs> rate_factor_{}, start_turn_{};
  std::array<float, fdn_lines> entrance_{};
  std::vector<DelayLine> lines_;
  LineFilters<float> steady_{};
  LineStates<float> states_{};
  Turns<float> turns_from_{}, turns_to_{};
  double phase_ = 0, turn_rate_ = 0;
  float turn_depth_ = 0;
  bool skipped_ = false;  // ticks went by without sound
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
