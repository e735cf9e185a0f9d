// Sweeps of the filter series and of the followers: streams in the lanes.
#if defined(TWINRACK_ADJOINT_FILTERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FILTERS_INL_H_
#undef TWINRACK_ADJOINT_FILTERS_INL_H_
#else
#define TWINRACK_ADJOINT_FILTERS_INL_H_
#endif

#include <vector>

#include "adjoint/tile-inl.h"
#include "adjoint/walk.h"
#include "dsp/follower-inl.h"
#include "dsp/svf-inl.h"
#include "hwy/aligned_allocator.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::Shape;
using adjoint_tile::lanes;
using adjoint_tile::Tile;

template <class T>
struct SvfSweep {
  using V = Vec<T>;
  const Tile& tile;
  int sections;
  const T* coefficients;

  V number(int tick, int section, int which) const {
    return tile.coefficient(coefficients, tick, sections * 5, section * 5 + which);
  }

  // The coefficients that the filters of one tick use at each frame.
  struct Moving {
    V from[5], to[5];
    bool ramped;
    Svf<V> at(int frame) const {
      const auto value = [&](int i) HWY_ATTR {
        return ramped ? MulAdd(to[i] - from[i], Broadcast<V>::of(ramp_share<T>(frame)), from[i]) : to[i];
      };
      return make_svf(value(0), value(1), value(2), value(3), value(4));
    }
  };
  Moving moving(int tick, int section) const {
    Moving m;
    m.ramped = tile.shape.ticks > 1 && tick > 0;
    for (int i = 0; i < 5; ++i) {
      m.to[i] = number(tick, section, i);
      m.from[i] = m.ramped ? number(tick - 1, section, i) : m.to[i];
    }
    return m;
  }
};

template <class T>
SvfState<Vec<T>> load_state(const T* at) {
  return {hn::LoadU(Tag<T>(), at), hn::LoadU(Tag<T>(), at + lanes<T>)};
}
template <class T>
void store_state(const SvfState<Vec<T>>& state, T* at) {
  hn::StoreU(state.s1, Tag<T>(), at);
  hn::StoreU(state.s2, Tag<T>(), at + lanes<T>);
}

template <class T>
void svf_forward(const Shape& shape, int sections, const T* x, const T* coefficients, T* y, T* states) {
  using V = Vec<T>;
  const int ticks = adjoint::tick_count(shape.frames), size = sections * 2 * lanes<T>;
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    const Tile tile{shape, item * lanes<T>};
    const SvfSweep<T> sweep{tile, sections, coefficients};
    const auto state_memory = hwy::AllocateAligned<T>(static_cast<std::size_t>(size));
    std::fill_n(state_memory.get(), size, T(0));
    V io[tick_frames];
    for (int tick = 0; tick < ticks; ++tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
      std::copy_n(state_memory.get(), size, states + (static_cast<std::int64_t>(item) * ticks + tick) * size);
      tile.load(x, start, frames, io);
      for (int s = 0; s < sections; ++s) {
        T* at = state_memory.get() + s * 2 * lanes<T>;
        SvfState<V> state = load_state<T>(at);
        const auto moving = sweep.moving(tick, s);
        if (moving.ramped) {
          for (int n = 0; n < frames; ++n) io[n] = svf_step(state, moving.at(n), io[n]);
        } else {
          const Svf<V> c = moving.at(0);
          for (int n = 0; n < frames; ++n) io[n] = svf_step(state, c, io[n]);
        }
        store_state<T>(state, at);
      }
      tile.store(y, start, frames, io);
    }
  });
}

template <class T>
void svf_backward(const Shape& shape, int sections, const T* x, const T* coefficients, const T* states, const T* y_grad,
                  T* x_grad, T* coefficient_grad) {
  using V = Vec<T>;
  const int ticks = adjoint::tick_count(shape.frames), size = sections * 2 * lanes<T>;
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    const Tile tile{shape, item * lanes<T>};
    const SvfSweep<T> sweep{tile, sections, coefficients};
    const V zero = Broadcast<V>::of(0);
    const auto adjoint_memory = hwy::AllocateAligned<T>(static_cast<std::size_t>(size));
    std::fill_n(adjoint_memory.get(), size, T(0));
    const auto inputs = hwy::AllocateAligned<T>(static_cast<std::size_t>(sections) * tick_frames * lanes<T>);
    const auto input = [&](int s, int n) { return inputs.get() + (s * tick_frames + n) * lanes<T>; };
    V io[tick_frames];
    SvfState<V> before[tick_frames];
    for (int tick = ticks - 1; tick >= 0; --tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
      const T* checkpoint = states + (static_cast<std::int64_t>(item) * ticks + tick) * size;
      tile.load(x, start, frames, io);
      for (int s = 0; s < sections; ++s) {  // what went into each filter
        SvfState<V> state = load_state<T>(checkpoint + s * 2 * lanes<T>);
        const auto moving = sweep.moving(tick, s);
        for (int n = 0; n < frames; ++n) {
          hn::StoreU(io[n], Tag<T>(), input(s, n));
          if (s + 1 < sections) io[n] = svf_step(state, moving.at(moving.ramped ? n : 0), io[n]);
        }
      }
      tile.load(y_grad, start, frames, io);
      for (int s = sections - 1; s >= 0; --s) {
        const auto moving = sweep.moving(tick, s);
        SvfState<V> state = load_state<T>(checkpoint + s * 2 * lanes<T>);
        for (int n = 0; n < frames; ++n) {
          before[n] = state;
          svf_step(state, moving.at(moving.ramped ? n : 0), hn::LoadU(Tag<T>(), input(s, n)));
        }
        T* at = adjoint_memory.get() + s * 2 * lanes<T>;
        SvfState<V> adjoint = load_state<T>(at);
        SvfGradient<V> all{zero, zero, zero, zero, zero}, arrived = all;
        for (int n = frames - 1; n >= 0; --n) {
          SvfGradient<V> one{zero, zero, zero, zero, zero};
          const Svf<V> c = moving.at(moving.ramped ? n : 0);
          io[n] = svf_step_back(before[n], c, hn::LoadU(Tag<T>(), input(s, n)), io[n], adjoint, one);
          const V share = Broadcast<V>::of(moving.ramped ? ramp_share<T>(n) : T(1));
          const auto gather = [&](V& sum, V& part, V amount) HWY_ATTR {
            sum = sum + amount;
            part = MulAdd(share, amount, part);
          };
          gather(all.g, arrived.g, one.g);
          gather(all.k, arrived.k, one.k);
          gather(all.m0, arrived.m0, one.m0);
          gather(all.m1, arrived.m1, one.m1);
          gather(all.m2, arrived.m2, one.m2);
        }
        store_state<T>(adjoint, at);
        const V whole[5] = {all.g, all.k, all.m0, all.m1, all.m2};
        const V part[5] = {arrived.g, arrived.k, arrived.m0, arrived.m1, arrived.m2};
        for (int i = 0; i < 5; ++i) {
          tile.add(coefficient_grad, tick, sections * 5, s * 5 + i, part[i]);
          if (moving.ramped) tile.add(coefficient_grad, tick - 1, sections * 5, s * 5 + i, whole[i] - part[i]);
        }
      }
      tile.store(x_grad, start, frames, io);
    }
  });
}

template <class T>
void follower_forward(const Shape& shape, bool decoupled, const T* x, const T* coefficients, T* y, T* states) {
  using V = Vec<T>;
  const int ticks = adjoint::tick_count(shape.frames), size = 2 * lanes<T>;
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    const Tile tile{shape, item * lanes<T>};
    FollowerState<V> state{Broadcast<V>::of(0), Broadcast<V>::of(0)};
    V io[tick_frames];
    for (int tick = 0; tick < ticks; ++tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
      T* checkpoint = states + (static_cast<std::int64_t>(item) * ticks + tick) * size;
      hn::StoreU(state.peak, Tag<T>(), checkpoint);
      hn::StoreU(state.level, Tag<T>(), checkpoint + lanes<T>);
      tile.load(x, start, frames, io);
      const FollowerTimes<V> c{tile.coefficient(coefficients, tick, 2, 0), tile.coefficient(coefficients, tick, 2, 1)};
      for (int n = 0; n < frames; ++n) {
        io[n] = decoupled ? decoupled_step(state, c, io[n]) : branching_step(state, c, io[n]);
      }
      tile.store(y, start, frames, io);
    }
  });
}

template <class T>
void follower_backward(const Shape& shape, bool decoupled, const T* x, const T* coefficients, const T* states,
                       const T* y_grad, T* x_grad, T* coefficient_grad) {
  using V = Vec<T>;
  const int ticks = adjoint::tick_count(shape.frames), size = 2 * lanes<T>;
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    const Tile tile{shape, item * lanes<T>};
    const V zero = Broadcast<V>::of(0);
    FollowerState<V> adjoint{zero, zero}, before[tick_frames];
    V input[tick_frames], grad[tick_frames];
    for (int tick = ticks - 1; tick >= 0; --tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
      const T* checkpoint = states + (static_cast<std::int64_t>(item) * ticks + tick) * size;
      FollowerState<V> state{hn::LoadU(Tag<T>(), checkpoint), hn::LoadU(Tag<T>(), checkpoint + lanes<T>)};
      tile.load(x, start, frames, input);
      tile.load(y_grad, start, frames, grad);
      const FollowerTimes<V> c{tile.coefficient(coefficients, tick, 2, 0), tile.coefficient(coefficients, tick, 2, 1)};
      for (int n = 0; n < frames; ++n) {
        before[n] = state;
        decoupled ? decoupled_step(state, c, input[n]) : branching_step(state, c, input[n]);
      }
      FollowerTimes<V> sum{zero, zero};
      for (int n = frames - 1; n >= 0; --n) {
        grad[n] = decoupled ? decoupled_step_back(before[n], c, input[n], grad[n], adjoint, sum)
                            : branching_step_back(before[n], c, input[n], grad[n], adjoint, sum);
      }
      tile.add(coefficient_grad, tick, 2, 0, sum.rise);
      tile.add(coefficient_grad, tick, 2, 1, sum.fall);
      tile.store(x_grad, start, frames, grad);
    }
  });
}

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
