// A tile: as many streams as a vector has lanes, side by side. Copies a tick of them between planar memory and vectors,
// and picks their coefficients.
#if defined(TWINRACK_ADJOINT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_TILE_INL_H_
#undef TWINRACK_ADJOINT_TILE_INL_H_
#else
#define TWINRACK_ADJOINT_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "adjoint/sweep.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace adjoint_tile {

template <class T>
inline constexpr int lanes = lane_count<T>;

// Whole vectors of frames can be turned into vectors of streams.
template <class T>
inline constexpr bool turns = std::is_same_v<T, float> && lanes<T> > 1;

template <class T>
inline int tile_count(int streams) {
  return (streams + lanes<T> - 1) / lanes<T>;
}

// How many numbers it takes to keep `numbers` of them for every stream at every tick; enough for every lane width,
// because tiles x lanes < streams + lanes.
inline std::int64_t state_size(const adjoint::Shape& shape, int numbers) {
  return (static_cast<std::int64_t>(shape.streams) + 8) * adjoint::tick_count(shape.frames) * numbers;
}

// One tile of a tensor (streams x frames). Lanes without a stream repeat the last one.
struct Tile {
  const adjoint::Shape& shape;
  int first;

  int stream(int lane) const { return std::min(first + lane, shape.streams - 1); }
  bool real(int lane) const { return first + lane < shape.streams; }
  int row(int lane) const { return shape.rows == 1 ? 0 : stream(lane) / shape.channels; }

  template <class T>
  void load(const T* x, int start, int frames, Vec<T>* into) const {
    T values[lanes<T>];
    int n = 0;
    if constexpr (turns<T>) {
      for (; n + lanes<T> <= frames; n += lanes<T>) {
        for (int lane = 0; lane < lanes<T>; ++lane) {
          into[n + lane] = hn::LoadU(Tag<T>(), x + static_cast<std::int64_t>(stream(lane)) * shape.frames + start + n);
        }
        transpose(into + n);
      }
    }
    for (; n < frames; ++n) {
      for (int lane = 0; lane < lanes<T>; ++lane) {
        values[lane] = x[static_cast<std::int64_t>(stream(lane)) * shape.frames + start + n];
      }
      into[n] = hn::LoadU(Tag<T>(), values);
    }
  }

  template <class T>
  void store(T* y, int start, int frames, const Vec<T>* from) const {
    T values[lanes<T>];
    int n = 0;
    if constexpr (turns<T>) {
      for (; n + lanes<T> <= frames; n += lanes<T>) {
        Vec<T> rows[lanes<T>];
        std::copy_n(from + n, lanes<T>, rows);
        transpose(rows);
        for (int lane = 0; lane < lanes<T>; ++lane) {
          if (!real(lane)) break;
          hn::StoreU(rows[lane], Tag<T>(), y + static_cast<std::int64_t>(first + lane) * shape.frames + start + n);
        }
      }
    }
    for (; n < frames; ++n) {
      hn::StoreU(from[n], Tag<T>(), values);
      for (int lane = 0; lane < lanes<T>; ++lane) {
        if (real(lane)) y[static_cast<std::int64_t>(stream(lane)) * shape.frames + start + n] = values[lane];
      }
    }
  }

  // One number of each lane's coefficients at a tick; `size` numbers belong to a tick.
  template <class T>
  Vec<T> coefficient(const T* all, int tick, int size, int which) const {
    T values[lanes<T>];
    tick = std::min(tick, shape.ticks - 1);
    for (int lane = 0; lane < lanes<T>; ++lane) {
      values[lane] = all[(static_cast<std::int64_t>(row(lane)) * shape.ticks + tick) * size + which];
    }
    return hn::LoadU(Tag<T>(), values);
  }

  // Adds to a gradient, streams x ticks x size.
  template <class T>
  void add(T* all, int tick, int size, int which, Vec<T> amount) const {
    T values[lanes<T>];
    hn::StoreU(amount, Tag<T>(), values);
    tick = std::clamp(tick, 0, shape.ticks - 1);
    for (int lane = 0; lane < lanes<T>; ++lane) {
      if (real(lane))
        all[(static_cast<std::int64_t>(stream(lane)) * shape.ticks + tick) * size + which] += values[lane];
    }
  }
};

}  // namespace adjoint_tile
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
