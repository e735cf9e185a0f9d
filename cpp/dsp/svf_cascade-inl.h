// Many state-variable filters in series, for all channels, with filters and channels in the lanes of a vector.
//
// A recursion cannot be spread over time, but a series can be pipelined: in the step in which the last filter works on
// frame n, the one before works on frame n + 1, and so on. Each lane is one filter of one channel: four filters in each
// block of 128 bits (where moving a number to the next lane is quickest), and a channel in each block. After a step the
// outputs move one lane on and the next input enters at the top; what leaves one vector at the bottom enters the next
// one. Filters that are left over in the last vector pass their input through. At the ends of a block the lanes that
// have no frame keep their state, so the result does not depend on block size.
#if defined(TWINRACK_DSP_SVF_CASCADE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SVF_CASCADE_INL_H_
#undef TWINRACK_DSP_SVF_CASCADE_INL_H_
#else
#define TWINRACK_DSP_SVF_CASCADE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "dsp/svf-inl.h"
#include "dsp/svf_design.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <int max_sections>
class SvfCascade {
 public:
  void prepare(int channels) {
    const int vectors = (channels + blocks - 1) / blocks;
    states_.assign(static_cast<std::size_t>(vectors) * groups, GroupState{});
    count_ = 0;
  }

  // Forgets filters and states: the next tune starts anew.
  void clear() noexcept TR_RT {
    count_ = 0;
    to_ = identity();
    reset();
  }

  void reset() noexcept TR_RT {
    for (auto& state : states_) state = GroupState{};
    from_ = to_;
    ramping_ = false;
  }

  // The filters from this tick on, first to last; they ramp to their coefficients within the tick. Another number of
  // filters starts anew, at its coefficients.
  void tune(const SvfDesign* design, int count) noexcept TR_RT {
    const bool fresh = count != count_;
    if (fresh) clear();
    count_ = count;
    from_ = to_;
    ramping_ = false;
    for (int i = 0; i < count; ++i) {
      const auto [group, lane] = place(i);
      const SvfDesign& d = design[i];
      const float values[5] = {static_cast<float>(d.g), static_cast<float>(d.k), static_cast<float>(d.m0),
                               static_cast<float>(d.m1), static_cast<float>(d.m2)};
      for (std::size_t c = 0; c < 5; ++c) {
        to_[group][c].at[lane] = values[c];
        ramping_ = ramping_ || from_[group][c].at[lane] != values[c];
      }
    }
    if (fresh) {
      from_ = to_;
      ramping_ = false;
    }
    frame_ = 0;
  }

  // In place. While ramping, a call stays inside one tick.
  void process(Block io) noexcept TR_RT {
    const int used = (count_ + sections - 1) / sections;
    for (int channel = 0; channel < io.channels; channel += blocks) {
      int group = 0;
      for (; group + 1 < used; group += 2) {  // each recursion waits for itself, so two fit where one does
        ramping_ ? run<2, true>(io, channel, group) : run<2, false>(io, channel, group);
      }
      if (group < used) ramping_ ? run<1, true>(io, channel, group) : run<1, false>(io, channel, group);
    }
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  // Nothing above -140 dBFS comes any more; what is left is forgotten.
  bool settle() noexcept TR_RT {
    for (const GroupState& state : states_) {
      for (std::size_t i = 0; i < lanes; ++i) {
        if (std::abs(state.s1[i]) + std::abs(state.s2[i]) > 1e-8f) return false;
      }
    }
    for (auto& state : states_) state = GroupState{};
    return true;
  }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  static constexpr int sections = lanes < 4 ? lanes : 4;  // in one vector
  static constexpr int blocks = lanes / sections;         // channels in one vector
  static constexpr std::size_t groups = (max_sections + sections - 1) / sections + 1;
  struct alignas(16) Row {
    float at[sections];
    void fill(float value) noexcept TR_RT { std::fill_n(at, sections, value); }
  };
  using Coefficients = std::array<Row, 5>;  // g, k, m0, m1, m2
  struct GroupState {
    alignas(32) std::array<float, lanes> s1{}, s2{};
  };

  // The first section sits in the highest lane, so the last one's output is the lowest.
  static std::pair<std::size_t, std::size_t> place(int section) noexcept TR_RT {
    return {static_cast<std::size_t>(section / sections), static_cast<std::size_t>(sections - 1 - section % sections)};
  }

  static void pass_through(Coefficients& c) noexcept TR_RT {
    c[0].fill(1.0f);
    c[1].fill(1.0f);
    c[2].fill(1.0f);
    c[3].fill(0.0f);
    c[4].fill(0.0f);
  }

  static V row(const Row& values) noexcept TR_RT { return hn::LoadDup128(D(), values.at); }

  static Svf<V> load(const Coefficients& c) noexcept TR_RT {
    return make_svf(row(c[0]), row(c[1]), row(c[2]), row(c[3]), row(c[4]));
  }

  static Svf<V> load_ramped(const Coefficients& a, const Coefficients& b, V share) noexcept TR_RT {
    const auto mixed = [&](std::size_t i) HWY_ATTR { return MulAdd(row(b[i]) - row(a[i]), share, row(a[i])); };
    return make_svf(mixed(0), mixed(1), mixed(2), mixed(3), mixed(4));
  }

  // Each number one lane down within its block; the lowest comes out at the top, where the next vector takes it.
  static V moved_on(V y) noexcept TR_RT {
#if HWY_TARGET != HWY_SCALAR
    return hn::Shuffle0321(y);
#else
    return y;
#endif
  }

  // `width` vectors one after the other, beginning with `group`, for the channels of one vector.
  template <int width, bool ramped>
  void run(Block io, int channel, int group) noexcept TR_RT {
    const D d;
    const int here = std::min(blocks, io.channels - channel);
    float* x[2] = {io.channel[channel], io.channel[channel + here - 1]};  // a lone last channel is worked out twice
    const auto first = static_cast<std::size_t>(group);
    GroupState* stored = &states_[static_cast<std::size_t>(channel / blocks) * groups + first];
    SvfState<V> state[width];
    Svf<V> fixed[width];
    V moved[width], delay[width];  // how far each lane is behind the first
    float behind[lanes];
    for (int w = 0; w < width; ++w) {
      state[w] = {hn::LoadU(d, stored[w].s1.data()), hn::LoadU(d, stored[w].s2.data())};
      moved[w] = hn::Zero(d);
      fixed[w] = load(to_[first + static_cast<std::size_t>(w)]);
      for (int i = 0; i < lanes; ++i) behind[i] = static_cast<float>(w * sections + sections - 1 - i % sections);
      delay[w] = hn::LoadU(d, behind);
    }
    for (int i = 0; i < lanes; ++i) behind[i] = static_cast<float>(i / sections);
    const auto other_channel = hn::Gt(hn::LoadU(d, behind), hn::Zero(d));
    const auto top = hn::Eq(delay[0], hn::Zero(d));
    const V frames = hn::Set(d, static_cast<float>(io.frames)), per_frame = hn::Set(d, 1.0f / tick_frames);
    constexpr int depth = width * sections - 1;

    // One step. At the ends of the block (`edge`) some lanes have no frame: they keep their state.
    const auto step = [&](int s, bool edge) HWY_ATTR {
      V in = hn::Zero(d);
      if (!edge || s < io.frames) {
        in = hn::Set(d, x[0][s]);
        if constexpr (blocks == 2) in = hn::IfThenElse(other_channel, hn::Set(d, x[1][s]), in);
      }
      for (int w = 0; w < width; ++w) {
        in = hn::IfThenElse(top, in, moved[w]);
        Svf<V> c = fixed[w];
        if constexpr (ramped) {
          const auto at = first + static_cast<std::size_t>(w);
          const V in_tick = hn::Set(d, static_cast<float>(frame_ + 1 + s)) - delay[w];
          c = load_ramped(from_[at], to_[at], in_tick * per_frame);
        }
        SvfState<V> next = state[w];
        const V y = svf_step(next, c, in);
        if (edge) {
          const V frame = hn::Set(d, static_cast<float>(s)) - delay[w];
          const auto active = hn::And(hn::Ge(frame, hn::Zero(d)), hn::Lt(frame, frames));
          next.s1 = hn::IfThenElse(active, next.s1, state[w].s1);
          next.s2 = hn::IfThenElse(active, next.s2, state[w].s2);
        }
        state[w] = next;
        in = moved[w];  // what came out a step ago; its top goes into the next vector
        moved[w] = moved_on(y);
        if (w == width - 1 && (!edge || s >= depth)) {
#if HWY_TARGET != HWY_SCALAR
          if constexpr (blocks == 2) x[1][s - depth] = hn::GetLane(hn::UpperHalf(hn::Half<D>(), y));
#endif
          x[0][s - depth] = hn::GetLane(y);  // the last word, where both are the same channel
        }
      }
    };
    int s = 0;
    for (; s < depth; ++s) step(s, true);
    for (; s < io.frames; ++s) step(s, false);
    for (; s < io.frames + depth; ++s) step(s, true);

    for (int w = 0; w < width; ++w) {
      hn::StoreU(state[w].s1, d, stored[w].s1.data());
      hn::StoreU(state[w].s2, d, stored[w].s2.data());
    }
  }

  std::array<Coefficients, groups> from_ = identity(), to_ = identity();
  static std::array<Coefficients, groups> identity() noexcept {
    std::array<Coefficients, groups> all;
    for (auto& coefficients : all) pass_through(coefficients);
    return all;
  }
  std::vector<GroupState> states_;
  int count_ = 0;
  int frame_ = 0;  // frames since the tick began
  bool ramping_ = false;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
