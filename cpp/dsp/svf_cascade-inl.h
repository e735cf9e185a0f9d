// Many state-variable filters in series, for all channels, with the filters in the lanes of a vector.
//
// A recursion cannot be spread over time, but a series can be pipelined: in the step in which the last filter works on
// frame n, the one before works on frame n + 1, and so on. Each lane is one filter; after a step the outputs move one
// lane on and the next input enters at the top. Sections that are left over in the last vector pass their input
// through. At the ends of a block the lanes that have no frame keep their state, so the result does not depend on block
// size.
#if defined(TWINRACK_DSP_SVF_CASCADE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SVF_CASCADE_INL_H_
#undef TWINRACK_DSP_SVF_CASCADE_INL_H_
#else
#define TWINRACK_DSP_SVF_CASCADE_INL_H_
#endif

#include <array>
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
    states_.assign(static_cast<std::size_t>(channels) * groups, GroupState{});
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
        to_[group][c][lane] = values[c];
        ramping_ = ramping_ || from_[group][c][lane] != values[c];
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
    const int used = (count_ + lanes - 1) / lanes;
    for (std::size_t group = 0; group < static_cast<std::size_t>(used); ++group) {
      int channel = 0;
      if (ramping_) {
        for (; channel < io.channels; ++channel) run<1, true>(io, channel, group);
      } else {  // two channels at a time: each recursion waits for itself, so two fit where one does
        for (; channel + 1 < io.channels; channel += 2) run<2, false>(io, channel, group);
        for (; channel < io.channels; ++channel) run<1, false>(io, channel, group);
      }
    }
    frame_ += io.frames;
  }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  static constexpr std::size_t groups = (max_sections + lanes - 1) / lanes;
  using Row = std::array<float, lanes>;
  using Coefficients = std::array<Row, 5>;  // g, k, m0, m1, m2
  struct GroupState {
    alignas(32) Row s1{}, s2{};
  };

  // The first section sits in the highest lane, so the last one's output is lane 0.
  static std::pair<std::size_t, std::size_t> place(int section) noexcept TR_RT {
    return {static_cast<std::size_t>(section / lanes), static_cast<std::size_t>(lanes - 1 - section % lanes)};
  }

  static void pass_through(Coefficients& c) noexcept TR_RT {
    c[0].fill(1.0f);
    c[1].fill(1.0f);
    c[2].fill(1.0f);
    c[3].fill(0.0f);
    c[4].fill(0.0f);
  }

  static V row(const Row& values) noexcept TR_RT { return hn::LoadU(D(), values.data()); }

  static Svf<V> load(const Coefficients& c) noexcept TR_RT {
    return make_svf(row(c[0]), row(c[1]), row(c[2]), row(c[3]), row(c[4]));
  }

  static Svf<V> load_ramped(const Coefficients& a, const Coefficients& b, V share) noexcept TR_RT {
    const auto mixed = [&](std::size_t i) { return MulAdd(row(b[i]) - row(a[i]), share, row(a[i])); };
    return make_svf(mixed(0), mixed(1), mixed(2), mixed(3), mixed(4));
  }

  template <int width, bool ramped>
  void run(Block io, int channel, std::size_t group) noexcept TR_RT {
    const D d;
    float* x[width];
    SvfState<V> state[width];
    V moved[width];
    for (int w = 0; w < width; ++w) {
      x[w] = io.channel[channel + w];
      const GroupState& stored = states_[static_cast<std::size_t>(channel + w) * groups + group];
      state[w] = {row(stored.s1), row(stored.s2)};
      moved[w] = hn::Zero(d);
    }
    const V delay =
        hn::Set(d, static_cast<float>(lanes - 1)) - hn::Iota(d, 0.0f);  // how far a lane is behind the first
    const V frames = hn::Set(d, static_cast<float>(io.frames));
    const V first_share = (hn::Set(d, static_cast<float>(frame_ + 1)) - delay) * hn::Set(d, 1.0f / tick_frames);
    const V share_step = hn::Set(d, 1.0f / tick_frames);
    const auto top = hn::Eq(delay, hn::Zero(d));
    const auto shift = shift_down(d);
    const Svf<V> fixed = load(to_[group]);

    const auto step = [&](int s, auto whole) HWY_ATTR {
      Svf<V> c = fixed;
      if constexpr (ramped)
        c = load_ramped(from_[group], to_[group], MulAdd(share_step, hn::Set(d, static_cast<float>(s)), first_share));
      for (int w = 0; w < width; ++w) {
        const float input = decltype(whole)::value || s < io.frames ? x[w][s] : 0.0f;
        const V in = hn::IfThenElse(top, hn::Set(d, input), moved[w]);
        SvfState<V> next = state[w];
        const V y = svf_step(next, c, in);
        if constexpr (decltype(whole)::value) {
          state[w] = next;
        } else {
          const V frame = hn::Set(d, static_cast<float>(s)) - delay;
          const auto active = hn::And(hn::Ge(frame, hn::Zero(d)), hn::Lt(frame, frames));
          state[w].s1 = hn::IfThenElse(active, next.s1, state[w].s1);
          state[w].s2 = hn::IfThenElse(active, next.s2, state[w].s2);
        }
        if (s >= lanes - 1) x[w][s - (lanes - 1)] = hn::GetLane(y);
        moved[w] = hn::TableLookupLanes(y, shift);
      }
    };
    int s = 0;
    for (; s < lanes - 1; ++s) step(s, std::false_type{});
    for (; s < io.frames; ++s) step(s, std::true_type{});
    for (; s < io.frames + lanes - 1; ++s) step(s, std::false_type{});

    for (int w = 0; w < width; ++w) {
      GroupState& stored = states_[static_cast<std::size_t>(channel + w) * groups + group];
      hn::StoreU(state[w].s1, d, stored.s1.data());
      hn::StoreU(state[w].s2, d, stored.s2.data());
    }
  }

  static auto shift_down(D d) noexcept TR_RT {
    std::int32_t from[lanes];
    for (int i = 0; i < lanes; ++i) from[i] = (i + 1) % lanes;
    return hn::SetTableIndices(d, from);
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
