// The sweep of the feedback delay network: one batch item at a time, its sixteen lines in the lanes. Coefficients:
// - shelf, rows x ticks x 2 x 5 x 16, ramped;
// - turns, rows x knots x 2 x 8 (cosine, sine); knots is 1 or ticks + 1, with a straight line from knot to knot.
// Options: the length of each line in frames.
#if defined(TWINRACK_ADJOINT_FEEDBACK_NETWORK_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FEEDBACK_NETWORK_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_FEEDBACK_NETWORK_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_FEEDBACK_NETWORK_SWEEP_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "dsp/delay/fdn-inl.h"
#include "hwy/aligned_allocator.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace feedback_network {

using adjoint::Shape;

// One batch item of the network.
template <class T>
struct FdnItem {
  using L = Lines<T>;
  using V = Vec<T>;
  static constexpr int shelf_size = 2 * 5 * fdn_lines, turn_size = 2 * fdn_pairs;
  const Shape& shape;
  const int* line_frames;
  int knots;
  const T* shelf;  // this item's row
  const T* turns;
  std::array<T, fdn_lines> entrance = fdn_entrance<T>(shape.channels);

  bool ramped(int tick) const { return shape.ticks > 1 && tick > 0; }

  LineFilters<T> filters(int tick, int frame_in_tick) const {
    const bool moving = ramped(tick);
    const T* to = shelf + (shape.ticks == 1 ? 0 : tick) * shelf_size;
    const T* from = moving ? to - shelf_size : to;
    const V share = Broadcast<V>::of(ramp_position<T>(frame_in_tick));
    LineFilters<T> f;
    for (int which = 0; which < 2; ++which) {
      for (int part = 0; part < L::count; ++part) {
        const auto value = [&](int i) HWY_ATTR {
          const int at = (which * 5 + i) * fdn_lines + part * L::lanes;
          const V b = hn::LoadU(Tag<T>(), to + at);
          return moving ? MulAdd(b - hn::LoadU(Tag<T>(), from + at), share, hn::LoadU(Tag<T>(), from + at)) : b;
        };
        (which == 0 ? f.low : f.high)[part] = make_svf(value(0), value(1), value(2), value(3), value(4));
      }
    }
    return f;
  }

  Turns<T> turns_at(int tick, int frame_in_tick) const {
    const T* from = turns + (knots == 1 ? 0 : tick) * turn_size;
    const T* to = knots == 1 ? from : from + turn_size;
    const T share = ramp_position<T>(frame_in_tick);
    Turns<T> t;
    for (int i = 0; i < fdn_pairs; ++i) {
      t.cosine[i] = from[i] + (to[i] - from[i]) * share;
      t.sine[i] = from[fdn_pairs + i] + (to[fdn_pairs + i] - from[fdn_pairs + i]) * share;
    }
    return t;
  }

  // The outputs of the delay lines at a frame; w is this item's, frames x 16.
  L delayed(const T* w, int frame) const {
    T values[fdn_lines];
    for (int i = 0; i < fdn_lines; ++i) {
      const int then = frame - line_frames[i];
      values[i] = then < 0 ? T(0) : w[static_cast<std::int64_t>(then) * fdn_lines + i];
    }
    return L::load(values);
  }

  static void clear(LineStates<T>& s) {
    for (int i = 0; i < L::count; ++i) s.low[i] = s.high[i] = {Broadcast<V>::of(0), Broadcast<V>::of(0)};
  }
  static void save(const LineStates<T>& s, T* to) {
    for (int i = 0; i < L::count; ++i) {
      const V all[4] = {s.low[i].s1, s.low[i].s2, s.high[i].s1, s.high[i].s2};
      for (int j = 0; j < 4; ++j) hn::StoreU(all[j], Tag<T>(), to + (i * 4 + j) * L::lanes);
    }
  }
  static LineStates<T> restore(const T* from) {
    LineStates<T> s;
    for (int i = 0; i < L::count; ++i) {
      V all[4];
      for (int j = 0; j < 4; ++j) all[j] = hn::LoadU(Tag<T>(), from + (i * 4 + j) * L::lanes);
      s.low[i] = {all[0], all[1]};
      s.high[i] = {all[2], all[3]};
    }
    return s;
  }
};

}  // namespace feedback_network

struct FeedbackNetworkSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    const adjoint::Shape& shape = request.shape;
    const auto& lines = request.options;
    adjoint::require(request.coefficients.size() == 2, "coefficients must be two arrays: shelf and turns");
    const adjoint::Sizes &shelf = request.coefficients[0], &turns = request.coefficients[1];
    adjoint::require(shelf.size() == 5 && shelf[2] == 2 && shelf[3] == 5 && shelf[4] == fdn_lines,
                     "shelf must be (rows, ticks, 2, 5, 16)");
    adjoint::require(turns.size() == 4 && turns[2] == 2 && turns[3] == fdn_pairs, "turns must be (rows, knots, 2, 8)");
    adjoint::require(turns[1] == 1 || turns[1] == adjoint::tick_count(shape.frames) + 1,
                     "turns must have one knot, or one at each tick and at the end");
    adjoint::require(lines.size() == fdn_lines, "16 line lengths");
    adjoint::require(std::all_of(lines.begin(), lines.end(), [](int n) { return n >= 2 && n <= 1 << 26; }),
                     "line lengths are 2 to 2^26 frames");
    adjoint::require(shape.channels <= fdn_lines, "at most 16 channels");
    const std::int64_t batch = shape.batch();
    return {{batch * shape.frames * fdn_lines, batch * adjoint::tick_count(shape.frames) * 4 * fdn_lines},
            shape.batch()};
  }

  // Keeps what goes into the delay lines, and the states of the filters.
  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    using namespace feedback_network;
    const Shape& shape = pass.request.shape;
    const int ticks = adjoint::tick_count(shape.frames), batch = shape.streams / shape.channels;
    adjoint::parallel_for(batch, shape.threads, [&](int item) {
      const auto network = item_of(pass, item);
      const std::int64_t at = static_cast<std::int64_t>(item) * shape.channels * shape.frames;
      T* memory = pass.memory[0] + static_cast<std::int64_t>(item) * shape.frames * fdn_lines;
      LineStates<T> state;
      FdnItem<T>::clear(state);
      LineFilters<T> filters = network.filters(0, 0);
      for (int frame = 0; frame < shape.frames; ++frame) {
        const int tick = frame / tick_frames, n = frame % tick_frames;
        if (n == 0)
          FdnItem<T>::save(state, pass.memory[1] + (static_cast<std::int64_t>(item) * ticks + tick) * 4 * fdn_lines);
        if (network.ramped(tick)) filters = network.filters(tick, n);
        T values[fdn_lines];
        hadamard(turn(network.turns_at(tick, n), attenuate(state, filters, network.delayed(memory, frame))))
            .store(values);
        for (int c = 0; c < shape.channels; ++c)
          pass.y[at + static_cast<std::int64_t>(c) * shape.frames + frame] = values[c];
        for (int i = 0; i < fdn_lines; ++i) {
          const T in = pass.x[at + static_cast<std::int64_t>(i % shape.channels) * shape.frames + frame];
          memory[static_cast<std::int64_t>(frame) * fdn_lines + i] =
              values[i] + network.entrance[static_cast<std::size_t>(i)] * in;
        }
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    using namespace feedback_network;
    using L = Lines<T>;
    using V = Vec<T>;
    const Shape& shape = pass.request.shape;
    const int ticks = adjoint::tick_count(shape.frames), batch = shape.streams / shape.channels;
    adjoint::parallel_for(batch, shape.threads, [&](int item) {
      const auto network = item_of(pass, item);
      constexpr int shelf_size = FdnItem<T>::shelf_size, turn_size = FdnItem<T>::turn_size;
      const std::int64_t at = static_cast<std::int64_t>(item) * shape.channels * shape.frames;
      const T* memory = pass.memory[0] + static_cast<std::int64_t>(item) * shape.frames * fdn_lines;
      T* item_shelf_grad = pass.coefficient_grads[0] + static_cast<std::int64_t>(item) * shape.ticks * shelf_size;
      T* item_turn_grad = pass.coefficient_grads[1] + static_cast<std::int64_t>(item) * network.knots * turn_size;
      const V zero = Broadcast<V>::of(0);
      std::vector<T> w_grad(static_cast<std::size_t>(shape.frames) * fdn_lines, T(0));
      LineStates<T> adjoint;
      FdnItem<T>::clear(adjoint);
      struct Frame {
        LineStates<T> before;
        L in, middle, out;
        LineFilters<T> filters;
      };
      const auto frames_memory = hwy::AllocateAligned<Frame>(tick_frames);
      Frame* kept = frames_memory.get();
      for (int tick = ticks - 1; tick >= 0; --tick) {
        const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
        LineStates<T> state =
            FdnItem<T>::restore(pass.memory[1] + (static_cast<std::int64_t>(item) * ticks + tick) * 4 * fdn_lines);
        for (int n = 0; n < frames; ++n) {
          Frame& k = kept[n];
          k.before = state;
          k.filters = network.ramped(tick) || n == 0 ? network.filters(tick, n) : kept[0].filters;
          k.in = network.delayed(memory, start + n);
          for (int i = 0; i < L::count; ++i) k.middle.part[i] = svf_step(state.low[i], k.filters.low[i], k.in.part[i]);
          for (int i = 0; i < L::count; ++i)
            k.out.part[i] = svf_step(state.high[i], k.filters.high[i], k.middle.part[i]);
        }
        const bool moving = network.ramped(tick);
        SvfGradient<V> all[2][L::count], arrived[2][L::count];
        SvfSums<V> sums[2][L::count];  // while the filters stay the same
        for (int which = 0; which < 2; ++which) {
          for (int i = 0; i < L::count; ++i) {
            all[which][i] = arrived[which][i] = {zero, zero, zero, zero, zero};
            sums[which][i] = svf_no_sums<V>();
          }
        }
        for (int n = frames - 1; n >= 0; --n) {
          const int frame = start + n;
          const Frame& k = kept[n];
          T grad[fdn_lines];
          for (int i = 0; i < fdn_lines; ++i)
            grad[i] = w_grad[static_cast<std::size_t>(frame) * fdn_lines + static_cast<std::size_t>(i)];
          for (int c = 0; c < shape.channels; ++c) {
            T sum = 0;
            for (int i = c; i < fdn_lines; i += shape.channels)
              sum += network.entrance[static_cast<std::size_t>(i)] * grad[i];
            pass.x_grad[at + static_cast<std::int64_t>(c) * shape.frames + frame] = sum;
          }
          for (int c = 0; c < shape.channels; ++c)
            grad[c] += pass.y_grad[at + static_cast<std::int64_t>(c) * shape.frames + frame];
          const Turns<T> t = network.turns_at(tick, n);
          const L mixed = hadamard(L::load(grad));
          const L turned = turn(t, mixed, true);
          T g[fdn_lines], f[fdn_lines];
          mixed.store(g);
          k.out.store(f);
          const T turn_share = ramp_position<T>(n);
          T* from = item_turn_grad + (network.knots == 1 ? 0 : tick) * turn_size;
          T* to = network.knots == 1 ? from : from + turn_size;
          for (int i = 0; i < fdn_pairs; ++i) {
            const T cosine = g[i] * f[i] + g[i + fdn_pairs] * f[i + fdn_pairs];
            const T sine = g[i + fdn_pairs] * f[i] - g[i] * f[i + fdn_pairs];
            to[i] += turn_share * cosine;
            from[i] += (1 - turn_share) * cosine;
            to[fdn_pairs + i] += turn_share * sine;
            from[fdn_pairs + i] += (1 - turn_share) * sine;
          }
          const V share = Broadcast<V>::of(moving ? ramp_position<T>(n) : T(1));
          L in_grad;
          const auto gather = [&](const Svf<V>& c, int which, int i) HWY_ATTR {
            const SvfGradient<V> one = svf_gradient(c, sums[which][i]);
            SvfGradient<V>&sum = all[which][i], &part = arrived[which][i];
            sums[which][i] = svf_no_sums<V>();
            sum = {sum.g + one.g, sum.k + one.k, sum.m0 + one.m0, sum.m1 + one.m1, sum.m2 + one.m2};
            part = {MulAdd(share, one.g, part.g), MulAdd(share, one.k, part.k), MulAdd(share, one.m0, part.m0),
                    MulAdd(share, one.m1, part.m1), MulAdd(share, one.m2, part.m2)};
          };
          for (int i = 0; i < L::count; ++i) {
            const V middle = svf_step_back(k.before.high[i], k.filters.high[i], k.middle.part[i], turned.part[i],
                                           adjoint.high[i], sums[1][i]);
            in_grad.part[i] =
                svf_step_back(k.before.low[i], k.filters.low[i], k.in.part[i], middle, adjoint.low[i], sums[0][i]);
            if (moving || n == 0) {
              gather(k.filters.high[i], 1, i);
              gather(k.filters.low[i], 0, i);
            }
          }
          in_grad.store(grad);
          for (int i = 0; i < fdn_lines; ++i) {
            const int then = frame - network.line_frames[i];
            if (then >= 0) w_grad[static_cast<std::size_t>(then) * fdn_lines + static_cast<std::size_t>(i)] += grad[i];
          }
        }
        for (int which = 0; which < 2; ++which) {
          for (int i = 0; i < L::count; ++i) {
            const SvfGradient<V>&a = all[which][i], &b = arrived[which][i];
            const V whole[5] = {a.g, a.k, a.m0, a.m1, a.m2}, part[5] = {b.g, b.k, b.m0, b.m1, b.m2};
            for (int j = 0; j < 5; ++j) {
              T* to = item_shelf_grad + (shape.ticks == 1 ? 0 : tick) * shelf_size + (which * 5 + j) * fdn_lines +
                      i * L::lanes;
              hn::StoreU(hn::LoadU(Tag<T>(), to) + part[j], Tag<T>(), to);
              if (!moving) continue;
              T* from = to - shelf_size;
              hn::StoreU(hn::LoadU(Tag<T>(), from) + (whole[j] - part[j]), Tag<T>(), from);
            }
          }
        }
      }
    });
  }

 private:
  template <class T, template <class> class Pass>
  static feedback_network::FdnItem<T> item_of(const Pass<T>& pass, int item) {
    using Item = feedback_network::FdnItem<T>;
    const adjoint::Shape& shape = pass.request.shape;
    const adjoint::Sizes& turns = pass.request.coefficients[1];
    const int knots = static_cast<int>(turns[1]);
    const std::int64_t shelf_row = shape.rows == 1 ? 0 : item, turn_row = turns[0] == 1 ? 0 : item;
    return {shape, pass.request.options.data(), knots,
            pass.coefficients[0] + shelf_row * shape.ticks * Item::shelf_size,
            pass.coefficients[1] + turn_row * knots * Item::turn_size};
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
