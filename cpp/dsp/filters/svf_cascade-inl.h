// A cascade of state-variable filters for all channels, with filters and channels in the lanes of a vector.
//
// A recursion cannot be spread over time, but a series can be pipelined: in the step in which the last filter works on
// frame n, the one before works on frame n + 1, and so on. Each lane is one filter of one channel: four filters in each
// block of 128 bits (where moving a number to the next lane is quickest), and a channel in each block. After a step the
// outputs move one lane on and the next input enters at the top; what leaves one vector at the bottom enters the next
// one. What comes out of a step depends on the state that the step before left, over more operations than a state
// takes to the next; so in a long block each filter is two frames behind, and nothing waits for that. Filters that are
// left over in the last vector pass their input through. At the ends of a block the lanes that have no frame keep their
// state, so the result does not depend on block size.
#if defined(TWINRACK_DSP_FILTERS_SVF_CASCADE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_SVF_CASCADE_INL_H_
#undef TWINRACK_DSP_FILTERS_SVF_CASCADE_INL_H_
#else
#define TWINRACK_DSP_FILTERS_SVF_CASCADE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "dsp/lanes/streams-inl.h"
#include "rt/state.h"

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

  // Removes filters and states: the next tune starts anew.
  void clear() noexcept TR_RT {
    count_ = 0;
    to_ = identity();
    reset();
  }

  void reset() noexcept TR_RT {
    for (auto& state : states_) state = GroupState{};
    arrive();
  }
  void arrive() noexcept TR_RT {
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
        run<2>(io, channel, group);
      }
      if (group < used) run<1>(io, channel, group);
    }
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  // Nothing above -140 dBFS comes any more; what is left is forgotten.
  bool tail_ended() noexcept TR_RT {
    for (const GroupState& state : states_) {
      for (std::size_t i = 0; i < lanes; ++i) {
        if (std::abs(state.s1[i]) + std::abs(state.s2[i]) > 1e-8f) return false;
      }
    }
    for (auto& state : states_) state = GroupState{};
    return true;
  }

  // Several cascades side by side (`StreamBlock`). How many groups of filters it has now, by which cascades can be told
  // that may run together; -1 while it ramps.
  int stream_groups() const noexcept TR_RT { return ramping_ ? -1 : (count_ + sections - 1) / sections; }

  // So many channels, in place. `cascade(owner)` is the cascade of a stream; all have as many groups, at least one.
  // `peaks` take in the output, where they are asked for.
  template <class Owners, class Cascade>
  static void process_streams(const Owners& owners, const Cascade& cascade, float* const* x, int channels, int frames,
                              StreamPeaks* const* peaks) noexcept TR_RT {
    const auto used = static_cast<std::size_t>(cascade(owners.any()).stream_groups());
    for (std::size_t group = 0; group < used; ++group) {
      Svf<Streams> c[sections];
      for (int i = 0; i < sections; ++i) {
        const auto coefficient = [&](std::size_t which) HWY_ATTR {
          return owners.get([&](auto& owner) { return cascade(owner).to_[group][which].at[place(i).second]; });
        };
        c[i] = make_svf(coefficient(0), coefficient(1), coefficient(2), coefficient(3), coefficient(4));
      }
      for (int channel = 0; channel < channels; ++channel) {
        const std::size_t at = static_cast<std::size_t>(channel / blocks) * groups + group;
        const auto lane = [&](int i) {
          return static_cast<std::size_t>(channel % blocks * sections) + place(i).second;
        };
        SvfState<Streams> s[sections];
        for (int i = 0; i < sections; ++i) {
          s[i] = {owners.get([&](auto& owner) { return cascade(owner).states_[at].s1[lane(i)]; }),
                  owners.get([&](auto& owner) { return cascade(owner).states_[at].s2[lane(i)]; })};
        }
        run_streams(x[channel], frames, c, s, group + 1 == used ? peaks[channel] : nullptr);
        const bool alone = channel % blocks == 0 && channel + 1 == channels;  // then it is in all blocks
        for (int i = 0; i < sections; ++i) {
          const auto keep = [&](Streams state, auto member) HWY_ATTR {
            owners.put(state, [&](auto& owner, float value) {
              auto& numbers = cascade(owner).states_[at].*member;
              const auto end = alone ? static_cast<std::size_t>(lanes) : lane(i) + 1;
              for (std::size_t k = lane(i); k < end; k += static_cast<std::size_t>(sections)) numbers[k] = value;
            });
          };
          keep(s[i].s1, &GroupState::s1);
          keep(s[i].s2, &GroupState::s2);
        }
      }
    }
  }

  void state(StateArchive& archive) {
    archive(from_, to_, states_, ramping_);
    archive.bounded(frame_, 0, tick_frames);
    archive.bounded(count_, 0, max_sections);
  }

 private:
  using D = Tag<float>;
  using V = Vec<float>;
  static constexpr int lanes = lane_count<float>;
  static constexpr int sections = lanes < 4 ? lanes : 4;  // in one vector
  static constexpr int blocks = lanes / sections;         // channels in one vector
  static constexpr std::size_t groups = (max_sections + sections - 1) / sections + 1;
  // From so many frames on, a filter is two frames behind the one before it: what comes out need not be ready for the
  // next step, and a few more steps at the ends cost less than that.
  static constexpr int worth_lagging = 128;
  struct alignas(16) Row {
    float at[sections];
    void fill(float value) noexcept TR_RT { std::fill_n(at, sections, value); }
  };
  using Coefficients = std::array<Row, 5>;  // g, k, m0, m1, m2
  struct GroupState {
    alignas(32) std::array<float, lanes> s1{}, s2{};
  };

  // The filters of a group, two at a time, whose numbers all fit into the registers.
  static void run_streams(float* x, int frames, const Svf<Streams>* c, SvfState<Streams>* s,
                          StreamPeaks* peaks) noexcept TR_RT {
    constexpr int at_once = sections < 2 ? 1 : 2, stretch = 128;  // stays in the first cache
    const auto run = [&](float* from, int count, int i, const auto& look) HWY_ATTR {
      const Svf<Streams> first = c[i], second = c[i + at_once - 1];
      SvfState<Streams> first_state = s[i], second_state = s[i + at_once - 1];
      for (int n = 0; n < count; ++n) {
        Streams v = svf_step(first_state, first, load_streams(from, n));
        if constexpr (at_once == 2) v = svf_step(second_state, second, v);
        look(v);
        store_streams(v, from, n);
      }
      s[i] = first_state;
      if constexpr (at_once == 2) s[i + 1] = second_state;
    };
    for (int start = 0; start < frames; start += stretch) {
      float* from = x + static_cast<std::ptrdiff_t>(start) * stream_lanes;
      const int count = std::min(stretch, frames - start);
      for (int i = 0; i < sections; i += at_once) {
        if (peaks == nullptr || i + at_once < sections) {
          run(from, count, i, [](Streams) {});
          continue;
        }
        StreamPeaks own = *peaks;  // by itself, so that it stays in a register
        run(from, count, i, [&](Streams v) HWY_ATTR { own.add(v); });
        *peaks = own;
      }
    }
  }

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

  // Each number one lane down within its block; at the top enters what is lowest in the block of `above`.
  static HWY_INLINE V moved_on(V above, V y) noexcept TR_RT {
#if HWY_TARGET != HWY_SCALAR
    return hn::CombineShiftRightBytes<sizeof(float)>(D(), above, y);
#else
    (void)y;
    return above;
#endif
  }

  // Vectors one after the other, each with what came out of it in the last steps, newest first.
  template <int width, int lag>
  struct Pipeline {
    SvfState<V> state[width];
    V out[width][lag];
  };

  // One step of all vectors; `keep(w, old, next)` chooses the state that vector w goes on with.
  template <int width, int lag, class Keep>
  static HWY_INLINE V step(Pipeline<width, lag>& p, const Svf<V>* c, V in, Keep keep) noexcept TR_RT {
    for (int w = 0; w < width; ++w) {
      const V oldest = p.out[w][lag - 1], x = moved_on(in, oldest);
      in = oldest;
      for (int i = lag - 1; i > 0; --i) p.out[w][i] = p.out[w][i - 1];
      SvfState<V> next = p.state[w];
      p.out[w][0] = svf_step(next, c[w], x);
      p.state[w] = keep(w, p.state[w], next);
    }
    return p.out[width - 1][0];
  }

  template <int width>
  void run(Block io, int channel, int group) noexcept TR_RT {
    if (ramping_) return run<width, 1, true>(io, channel, group);
    io.frames < worth_lagging ? run<width, 1, false>(io, channel, group) : run<width, 2, false>(io, channel, group);
  }

  // `width` vectors one after the other, beginning with `group`, for the channels of one vector.
  template <int width, int lag, bool ramped>
  void run(Block io, int channel, int group) noexcept TR_RT {
    const D d;
    const int here = std::min(blocks, io.channels - channel);
    float* const left = io.channel[channel];
    [[maybe_unused]] float* const right = io.channel[channel + here - 1];  // a lone last channel is computed twice
    const auto first = static_cast<std::size_t>(group);
    GroupState* stored = &states_[static_cast<std::size_t>(channel / blocks) * groups + first];
    Pipeline<width, lag> pipeline;
    Svf<V> c[width];
    V delay[width];  // how far each lane is behind the first
    float behind[lanes];
    for (int w = 0; w < width; ++w) {
      pipeline.state[w] = {hn::LoadU(d, stored[w].s1.data()), hn::LoadU(d, stored[w].s2.data())};
      for (V& out : pipeline.out[w]) out = hn::Zero(d);
      c[w] = load(to_[first + static_cast<std::size_t>(w)]);
      for (int i = 0; i < lanes; ++i)
        behind[i] = static_cast<float>(lag * (w * sections + sections - 1 - i % sections));
      delay[w] = hn::LoadU(d, behind);
    }
    const V frames = hn::Set(d, static_cast<float>(io.frames)), per_frame = hn::Set(d, 1.0f / tick_frames);
    constexpr int depth = lag * (width * sections - 1);

    const auto input = [&](int s) HWY_ATTR {
#if HWY_TARGET != HWY_SCALAR
      if constexpr (blocks == 2) return hn::ConcatUpperLower(d, hn::Set(d, right[s]), hn::Set(d, left[s]));
#endif
      return hn::Set(d, left[s]);
    };
    const auto output = [&](V y, int n) HWY_ATTR {
#if HWY_TARGET != HWY_SCALAR
      if constexpr (blocks == 2) right[n] = hn::GetLane(hn::UpperHalf(hn::Half<D>(), y));
#endif
      left[n] = hn::GetLane(y);  // the last word, where both are the same channel
    };
    const auto ramp = [&](int s) HWY_ATTR {
      if constexpr (ramped) {
        for (int w = 0; w < width; ++w) {
          const auto at = first + static_cast<std::size_t>(w);
          const V in_tick = hn::Set(d, static_cast<float>(frame_ + 1 + s)) - delay[w];
          c[w] = load_ramped(from_[at], to_[at], in_tick * per_frame);
        }
      }
    };
    // At the ends of the block some lanes have no frame: they keep their state.
    const auto edge = [&](int s) HWY_ATTR {
      ramp(s);
      const V frame = hn::Set(d, static_cast<float>(s));
      const V y = step<width, lag>(
          pipeline, c, s < io.frames ? input(s) : hn::Zero(d),
          [&](int w, const SvfState<V>& old, const SvfState<V>& next) HWY_ATTR {
            const V here_now = frame - delay[w];
            const auto active = hn::And(hn::Ge(here_now, hn::Zero(d)), hn::Lt(here_now, frames));
            return SvfState<V>{hn::IfThenElse(active, next.s1, old.s1), hn::IfThenElse(active, next.s2, old.s2)};
          });
      if (s >= depth) output(y, s - depth);
    };
    int s = 0;
    for (; s < depth; ++s) edge(s);
    Pipeline<width, lag> inside = pipeline;  // by itself, so that it stays in registers
    for (; s < io.frames; ++s) {
      ramp(s);
      const V y = step<width, lag>(inside, c, input(s),
                                   [](int, const SvfState<V>&, const SvfState<V>& next) HWY_ATTR { return next; });
      output(y, s - depth);
    }
    pipeline = inside;
    for (; s < io.frames + depth; ++s) edge(s);

    for (int w = 0; w < width; ++w) {
      hn::StoreU(flushed(pipeline.state[w].s1), d, stored[w].s1.data());
      hn::StoreU(flushed(pipeline.state[w].s2), d, stored[w].s2.data());
    }
  }

  std::array<Coefficients, groups> from_ = identity(), to_ = identity();
  // Not inlined: GCC 12 for AVX-512 then fills some of the numbers with others.
  HWY_NOINLINE static std::array<Coefficients, groups> identity() noexcept TR_RT {
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
