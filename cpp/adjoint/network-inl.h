// Sweeps of the reverb's recursions: all-passes (one stream at a time) and the delay network (lines in the lanes).
#if defined(TWINRACK_ADJOINT_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_NETWORK_INL_H_
#undef TWINRACK_ADJOINT_NETWORK_INL_H_
#else
#define TWINRACK_ADJOINT_NETWORK_INL_H_
#endif

#include <vector>

#include "adjoint/sweeps.h"
#include "adjoint/walk.h"
#include "dsp/filters/allpass-inl.h"
#include "dsp/delay/fdn-inl.h"
#include "hwy/aligned_allocator.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::FdnShape;
using adjoint::Shape;

// A coefficient that moves on a straight line within each tick, for one stream.
template <class T>
struct Ramped {
  const T* values;  // of this stream's row, one a tick
  int ticks;
  T at(int frame) const {
    const int tick = frame / tick_frames;
    if (ticks == 1 || tick == 0) return values[0];
    return values[tick - 1] + (values[tick] - values[tick - 1]) * ramp_share<T>(frame % tick_frames);
  }
  void add(T* grad, int frame, T amount) const {
    const int tick = frame / tick_frames;
    if (ticks == 1 || tick == 0) {
      grad[0] += amount;
      return;
    }
    const T share = ramp_share<T>(frame % tick_frames);
    grad[tick] += share * amount;
    grad[tick - 1] += (1 - share) * amount;
  }
};

inline int row_of(const Shape& shape, int stream) { return shape.rows == 1 ? 0 : stream / shape.channels; }

template <class T>
void allpass_forward(const Shape& shape, const int* delay, const T* x, const T* gain, T* y, T* v) {
  adjoint::parallel_for(shape.streams, shape.threads, [&](int stream) {
    const std::int64_t at = static_cast<std::int64_t>(stream) * shape.frames;
    const Ramped<T> g{gain + static_cast<std::int64_t>(row_of(shape, stream)) * shape.ticks, shape.ticks};
    const int length = delay[stream % shape.channels];
    for (int n = 0; n < shape.frames; ++n) {
      const T delayed = n < length ? T(0) : v[at + n - length];
      v[at + n] = allpass_step(g.at(n), delayed, x[at + n], y[at + n]);
    }
  });
}

template <class T>
void allpass_backward(const Shape& shape, const int* delay, const T* x, const T* gain, const T* v, const T* y_grad,
                      T* x_grad, T* gain_grad) {
  adjoint::parallel_for(shape.streams, shape.threads, [&](int stream) {
    const std::int64_t at = static_cast<std::int64_t>(stream) * shape.frames;
    const Ramped<T> g{gain + static_cast<std::int64_t>(row_of(shape, stream)) * shape.ticks, shape.ticks};
    const int length = delay[stream % shape.channels];
    std::vector<T> v_grad(static_cast<std::size_t>(shape.frames), T(0));
    for (int n = shape.frames - 1; n >= 0; --n) {
      const T delayed = n < length ? T(0) : v[at + n - length];
      T g_sum = 0;
      const T back = allpass_step_back(g.at(n), delayed, x[at + n], y_grad[at + n], v_grad[static_cast<std::size_t>(n)],
                                       x_grad[at + n], g_sum);
      if (n >= length) v_grad[static_cast<std::size_t>(n - length)] += back;
      g.add(gain_grad + static_cast<std::int64_t>(stream) * shape.ticks, n, g_sum);
    }
  });
}

// One batch item of the network.
template <class T>
struct FdnSweep {
  using L = Lines<T>;
  using V = Vec<T>;
  static constexpr int shelf_size = 2 * 5 * fdn_lines, turn_size = 2 * fdn_pairs;
  const FdnShape& shape;
  const T* shelf;  // this item's row
  const T* turns;
  std::array<T, fdn_lines> entrance = fdn_entrance<T>(shape.base.channels);

  bool ramped(int tick) const { return shape.base.ticks > 1 && tick > 0; }

  LineFilters<T> filters(int tick, int frame_in_tick) const {
    const bool moving = ramped(tick);
    const T* to = shelf + (shape.base.ticks == 1 ? 0 : tick) * shelf_size;
    const T* from = moving ? to - shelf_size : to;
    const V share = Broadcast<V>::of(ramp_share<T>(frame_in_tick));
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
    const T* from = turns + (shape.knots == 1 ? 0 : tick) * turn_size;
    const T* to = shape.knots == 1 ? from : from + turn_size;
    const T share = ramp_share<T>(frame_in_tick);
    Turns<T> t;
    for (int i = 0; i < fdn_pairs; ++i) {
      t.cosine[i] = from[i] + (to[i] - from[i]) * share;
      t.sine[i] = from[fdn_pairs + i] + (to[fdn_pairs + i] - from[fdn_pairs + i]) * share;
    }
    return t;
  }

  // What comes out of the delay lines at a frame; w is this item's, frames x 16.
  L delayed(const T* w, int frame) const {
    T values[fdn_lines];
    for (int i = 0; i < fdn_lines; ++i) {
      const int then = frame - shape.line_frames[i];
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

template <class T>
FdnSweep<T> fdn_item(const FdnShape& shape, int item, const T* shelf, const T* turns) {
  const std::int64_t shelf_row = shape.base.rows == 1 ? 0 : item, turn_row = shape.turn_rows == 1 ? 0 : item;
  return {shape, shelf + shelf_row * shape.base.ticks * FdnSweep<T>::shelf_size,
          turns + turn_row * shape.knots * FdnSweep<T>::turn_size};
}

template <class T>
void fdn_forward(const FdnShape& shape, const T* x, const T* shelf, const T* turns, T* y, T* w, T* states) {
  const Shape& base = shape.base;
  const int ticks = adjoint::tick_count(base.frames), batch = base.streams / base.channels;
  adjoint::parallel_for(batch, base.threads, [&](int item) {
    const auto sweep = fdn_item(shape, item, shelf, turns);
    const std::int64_t at = static_cast<std::int64_t>(item) * base.channels * base.frames;
    T* memory = w + static_cast<std::int64_t>(item) * base.frames * fdn_lines;
    LineStates<T> state;
    FdnSweep<T>::clear(state);
    LineFilters<T> filters = sweep.filters(0, 0);
    for (int frame = 0; frame < base.frames; ++frame) {
      const int tick = frame / tick_frames, n = frame % tick_frames;
      if (n == 0) FdnSweep<T>::save(state, states + (static_cast<std::int64_t>(item) * ticks + tick) * 4 * fdn_lines);
      if (sweep.ramped(tick)) filters = sweep.filters(tick, n);
      T values[fdn_lines];
      hadamard(turn(sweep.turns_at(tick, n), attenuate(state, filters, sweep.delayed(memory, frame)))).store(values);
      for (int c = 0; c < base.channels; ++c) y[at + static_cast<std::int64_t>(c) * base.frames + frame] = values[c];
      for (int i = 0; i < fdn_lines; ++i) {
        const T in = x[at + static_cast<std::int64_t>(i % base.channels) * base.frames + frame];
        memory[static_cast<std::int64_t>(frame) * fdn_lines + i] =
            values[i] + sweep.entrance[static_cast<std::size_t>(i)] * in;
      }
    }
  });
}

template <class T>
void fdn_backward(const FdnShape& shape, const T* shelf, const T* turns, const T* w, const T* states, const T* y_grad,
                  T* x_grad, T* shelf_grad, T* turn_grad) {
  using L = Lines<T>;
  using V = Vec<T>;
  const Shape& base = shape.base;
  const int ticks = adjoint::tick_count(base.frames), batch = base.streams / base.channels;
  adjoint::parallel_for(batch, base.threads, [&](int item) {
    const auto sweep = fdn_item(shape, item, shelf, turns);
    constexpr int shelf_size = FdnSweep<T>::shelf_size, turn_size = FdnSweep<T>::turn_size;
    const std::int64_t at = static_cast<std::int64_t>(item) * base.channels * base.frames;
    const T* memory = w + static_cast<std::int64_t>(item) * base.frames * fdn_lines;
    T* item_shelf_grad = shelf_grad + static_cast<std::int64_t>(item) * base.ticks * shelf_size;
    T* item_turn_grad = turn_grad + static_cast<std::int64_t>(item) * shape.knots * turn_size;
    const V zero = Broadcast<V>::of(0);
    std::vector<T> w_grad(static_cast<std::size_t>(base.frames) * fdn_lines, T(0));
    LineStates<T> adjoint;
    FdnSweep<T>::clear(adjoint);
    struct Frame {
      LineStates<T> before;
      L in, middle, out;
      LineFilters<T> filters;
    };
    const auto frames_memory = hwy::AllocateAligned<Frame>(tick_frames);
    Frame* kept = frames_memory.get();
    for (int tick = ticks - 1; tick >= 0; --tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, base.frames - start);
      LineStates<T> state =
          FdnSweep<T>::restore(states + (static_cast<std::int64_t>(item) * ticks + tick) * 4 * fdn_lines);
      for (int n = 0; n < frames; ++n) {
        Frame& k = kept[n];
        k.before = state;
        k.filters = sweep.ramped(tick) || n == 0 ? sweep.filters(tick, n) : kept[0].filters;
        k.in = sweep.delayed(memory, start + n);
        for (int i = 0; i < L::count; ++i) k.middle.part[i] = svf_step(state.low[i], k.filters.low[i], k.in.part[i]);
        for (int i = 0; i < L::count; ++i) k.out.part[i] = svf_step(state.high[i], k.filters.high[i], k.middle.part[i]);
      }
      const bool moving = sweep.ramped(tick);
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
        for (int c = 0; c < base.channels; ++c) {
          T sum = 0;
          for (int i = c; i < fdn_lines; i += base.channels)
            sum += sweep.entrance[static_cast<std::size_t>(i)] * grad[i];
          x_grad[at + static_cast<std::int64_t>(c) * base.frames + frame] = sum;
        }
        for (int c = 0; c < base.channels; ++c)
          grad[c] += y_grad[at + static_cast<std::int64_t>(c) * base.frames + frame];
        const Turns<T> t = sweep.turns_at(tick, n);
        const L mixed = hadamard(L::load(grad));
        const L turned = turn(t, mixed, true);
        T g[fdn_lines], f[fdn_lines];
        mixed.store(g);
        k.out.store(f);
        const T turn_share = ramp_share<T>(n);
        T* from = item_turn_grad + (shape.knots == 1 ? 0 : tick) * turn_size;
        T* to = shape.knots == 1 ? from : from + turn_size;
        for (int i = 0; i < fdn_pairs; ++i) {
          const T cosine = g[i] * f[i] + g[i + fdn_pairs] * f[i + fdn_pairs];
          const T sine = g[i + fdn_pairs] * f[i] - g[i] * f[i + fdn_pairs];
          to[i] += turn_share * cosine;
          from[i] += (1 - turn_share) * cosine;
          to[fdn_pairs + i] += turn_share * sine;
          from[fdn_pairs + i] += (1 - turn_share) * sine;
        }
        const V share = Broadcast<V>::of(moving ? ramp_share<T>(n) : T(1));
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
          const int then = frame - shape.line_frames[i];
          if (then >= 0) w_grad[static_cast<std::size_t>(then) * fdn_lines + static_cast<std::size_t>(i)] += grad[i];
        }
      }
      for (int which = 0; which < 2; ++which) {
        for (int i = 0; i < L::count; ++i) {
          const SvfGradient<V>&a = all[which][i], &b = arrived[which][i];
          const V whole[5] = {a.g, a.k, a.m0, a.m1, a.m2}, part[5] = {b.g, b.k, b.m0, b.m1, b.m2};
          for (int j = 0; j < 5; ++j) {
            T* to = item_shelf_grad + (base.ticks == 1 ? 0 : tick) * shelf_size + (which * 5 + j) * fdn_lines +
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

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
