// Sweeps of the followers: streams in the lanes.
#if defined(TWINRACK_ADJOINT_FOLLOWERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FOLLOWERS_INL_H_
#undef TWINRACK_ADJOINT_FOLLOWERS_INL_H_
#else
#define TWINRACK_ADJOINT_FOLLOWERS_INL_H_
#endif

#include "adjoint/tile-inl.h"
#include "adjoint/walk.h"
#include "dsp/dynamics/follower-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::Shape;
using adjoint_tile::lanes;
using adjoint_tile::Tile;

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
      const FollowerCoefficients<V> c{tile.coefficient(coefficients, tick, 2, 0),
                                      tile.coefficient(coefficients, tick, 2, 1)};
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
      const FollowerCoefficients<V> c{tile.coefficient(coefficients, tick, 2, 0),
                                      tile.coefficient(coefficients, tick, 2, 1)};
      for (int n = 0; n < frames; ++n) {
        before[n] = state;
        decoupled ? decoupled_step(state, c, input[n]) : branching_step(state, c, input[n]);
      }
      FollowerCoefficients<V> sum{zero, zero};
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
