// Makes a sweep of one step: streams in the lanes, frame after frame.
//
// Such a recursion is a struct with
//   template <class V> struct State { V ...; };          0 at the first frame
//   template <class V> struct Settings { V ...; };       one column of the coefficients (rows, ticks, settings) each
//   static constexpr int ramped_settings = ...;          how many of them, from the first, are ramped; the others are
//   held static constexpr std::array option_limits = {...};   where it has options: each is 0 to this template <class
//   V> static V step(State<V>& state, const Settings<V>& settings, const int* options, V x); template <class V> static
//   V step_back(const State<V>& before, const Settings<V>& settings, const int* options, V x,
//                                         V y_grad, State<V>& adjoint, Settings<V>& sum);
// `step` returns y. `step_back` is given the state that `step` was given; it takes the gradient of the state after the
// step and leaves that of the state before it, adds the gradients of the settings to `sum`, and returns that of x. A
// step that the engine calls too is noexcept TR_RT.
#if defined(TWINRACK_ADJOINT_STEPWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_STEPWISE_INL_H_
#undef TWINRACK_ADJOINT_STEPWISE_INL_H_
#else
#define TWINRACK_ADJOINT_STEPWISE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "adjoint/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// A struct of numbers of one type, and the same numbers in a row.
template <class Struct, class V>
inline Struct struct_of(const V* numbers) {
  static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) % sizeof(V) == 0);
  Struct result;
  std::memcpy(static_cast<void*>(&result), numbers, sizeof(Struct));
  return result;
}
template <class Struct, class V>
inline void numbers_of(const Struct& from, V* numbers) {
  std::memcpy(static_cast<void*>(numbers), &from, sizeof(Struct));
}

template <class Recursion>
struct Stepwise {
  static constexpr int state_count = sizeof(typename Recursion::template State<double>) / sizeof(double);
  static constexpr int setting_count = sizeof(typename Recursion::template Settings<double>) / sizeof(double);

  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    const auto& coefficients = request.coefficients;
    adjoint::require(
        coefficients.size() == 1 && coefficients[0].size() == 3 && coefficients[0][2] == setting_count,
        "coefficients must be one array (rows, ticks, settings), with as many settings as the recursion has");
    if constexpr (requires { Recursion::option_limits; }) {
      adjoint::require(request.options.size() == Recursion::option_limits.size(), "one number for each option");
      for (std::size_t i = 0; i < request.options.size(); ++i) {
        adjoint::require(request.options[i] >= 0 && request.options[i] <= Recursion::option_limits[i],
                         "an option is beyond its limit");
      }
    } else {
      adjoint::require(request.options.empty(), "there are no options");
    }
    return {{adjoint_tile::state_size(request.shape, state_count)}, request.shape.streams};
  }

  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    using V = Vec<T>;
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      OneTile<T> tile(pass.request, item, pass.coefficients[0]);
      auto state = zero<State<V>, V>();
      V io[tick_frames];
      for (int tick = 0; tick < adjoint::tick_count(shape.frames); ++tick) {
        const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
        save<T>(state, tile.checkpoint(pass.memory[0], tick));
        tile.set_tick(tick);
        tile.load(pass.x, start, frames, io);
        for (int n = 0; n < frames; ++n) {
          io[n] = Recursion::template step<V>(state, tile.settings(n), pass.request.options.data(), io[n]);
        }
        tile.store(pass.y, start, frames, io);
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    using V = Vec<T>;
    const adjoint::Shape& shape = pass.request.shape;
    const int* options = pass.request.options.data();
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      OneTile<T> tile(pass.request, item, pass.coefficients[0]);
      auto adjoint = zero<State<V>, V>();
      State<V> before[tick_frames];
      V x[tick_frames], grad[tick_frames];
      for (int tick = adjoint::tick_count(shape.frames) - 1; tick >= 0; --tick) {
        const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
        auto state = restore<T>(tile.checkpoint(pass.memory[0], tick));
        tile.set_tick(tick, true);
        tile.load(pass.x, start, frames, x);
        tile.load(pass.y_grad, start, frames, grad);
        for (int n = 0; n < frames; ++n) {
          before[n] = state;
          Recursion::template step<V>(state, tile.settings(n), options, x[n]);
        }
        auto sum = zero<Settings<V>, V>();
        for (int n = frames - 1; n >= 0; --n) {
          grad[n] = Recursion::template step_back<V>(before[n], tile.settings(n), options, x[n], grad[n], adjoint, sum);
          if (tile.ramped()) {
            tile.share(n, sum);
            sum = zero<Settings<V>, V>();
          }
        }
        tile.add_settings(pass.coefficient_grads[0], tick, sum);
        tile.store(pass.x_grad, start, frames, grad);
      }
    });
  }

 private:
  template <class V>
  using State = typename Recursion::template State<V>;
  template <class V>
  using Settings = typename Recursion::template Settings<V>;

  template <class Struct, class V>
  static Struct zero() {
    V numbers[sizeof(Struct) / sizeof(V)];
    std::fill(std::begin(numbers), std::end(numbers), Broadcast<V>::of(0));
    return struct_of<Struct>(numbers);
  }
  template <class T>
  static void save(const State<Vec<T>>& state, T* to) {
    Vec<T> numbers[state_count];
    numbers_of(state, numbers);
    for (int i = 0; i < state_count; ++i) hn::StoreU(numbers[i], Tag<T>(), to + i * lane_count<T>);
  }
  template <class T>
  static State<Vec<T>> restore(const T* from) {
    Vec<T> numbers[state_count];
    for (int i = 0; i < state_count; ++i) numbers[i] = hn::LoadU(Tag<T>(), from + i * lane_count<T>);
    return struct_of<State<Vec<T>>>(numbers);
  }

  // One tile at one tick: its settings, and their gradients.
  template <class T>
  class OneTile : public adjoint_tile::Tile {
   public:
    using V = Vec<T>;

    OneTile(const adjoint::SweepRequest& request, int item, const T* settings)
        : Tile{request.shape, item * lane_count<T>}, item_(item), all_(settings) {}

    template <class P>
    P* checkpoint(P* memory, int tick) const {
      const std::int64_t index = static_cast<std::int64_t>(item_) * adjoint::tick_count(shape.frames) + tick;
      return memory + index * state_count * lane_count<T>;
    }

    // For gradients a curve moves also where both of its ends are equal: each of them has its share.
    void set_tick(int tick, bool for_gradients = false) {
      ramped_ = for_gradients && Recursion::ramped_settings > 0 && shape.ticks > 1 && tick > 0;
      for (int i = 0; i < setting_count; ++i) {
        to_[i] = coefficient(all_, tick, setting_count, i);
        from_[i] = tick > 0 ? coefficient(all_, tick - 1, setting_count, i) : to_[i];
        ramped_ = ramped_ || (i < Recursion::ramped_settings && !hn::AllTrue(Tag<T>(), hn::Eq(to_[i], from_[i])));
        whole_[i] = arrived_[i] = Broadcast<V>::of(0);
      }
    }
    // True when settings move within this tick.
    bool ramped() const { return ramped_; }
    Settings<V> settings(int n) const {
      if (!ramped_) return struct_of<Settings<V>>(to_);
      V now[setting_count];
      const V ramp = Broadcast<V>::of(ramp_position<T>(n));
      for (int i = 0; i < setting_count; ++i) {
        now[i] = i < Recursion::ramped_settings ? MulAdd(to_[i] - from_[i], ramp, from_[i]) : to_[i];
      }
      return struct_of<Settings<V>>(now);
    }
    // The gradient at a frame of a ramped tick: in parts to the ticks before and after it.
    void share(int n, const Settings<V>& grad) {
      V numbers[setting_count];
      numbers_of(grad, numbers);
      const V ramp = Broadcast<V>::of(ramp_position<T>(n));
      for (int i = 0; i < setting_count; ++i) {
        whole_[i] = whole_[i] + numbers[i];
        arrived_[i] = MulAdd(ramp, numbers[i], arrived_[i]);
      }
    }
    // `sum` is what came together while nothing moved.
    void add_settings(T* grad, int tick, const Settings<V>& sum) const {
      V numbers[setting_count];
      numbers_of(sum, numbers);
      for (int i = 0; i < setting_count; ++i) {
        const bool moving = ramped_ && i < Recursion::ramped_settings;
        add(grad, tick, setting_count, i, moving ? arrived_[i] : ramped_ ? whole_[i] : numbers[i]);
        if (moving) add(grad, tick - 1, setting_count, i, whole_[i] - arrived_[i]);
      }
    }

   private:
    int item_;
    const T* all_;
    V to_[setting_count], from_[setting_count], whole_[setting_count], arrived_[setting_count];
    bool ramped_ = false;
  };
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
