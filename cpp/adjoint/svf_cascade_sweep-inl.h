// The sweep of state-variable filters in series: streams in the lanes, and a few filters at work at the same time,
// because each waits for itself. Forwards only the states at the ticks are kept; backwards each tick is computed again
// from there. Coefficients: rows x ticks x filters x 5 (g, k, m0, m1, m2), ramped.
#if defined(TWINRACK_ADJOINT_SVF_CASCADE_SWEEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_SVF_CASCADE_SWEEP_INL_H_
#undef TWINRACK_ADJOINT_SVF_CASCADE_SWEEP_INL_H_
#else
#define TWINRACK_ADJOINT_SVF_CASCADE_SWEEP_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "adjoint/tile-inl.h"
#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "dsp/filters/svf-inl.h"
#include "hwy/aligned_allocator.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace svf_cascade {

using adjoint_tile::lanes;
using adjoint_tile::Tile;

inline constexpr int numbers = 5;  // g, k, m0, m1, m2

// The filters of one tile at one tick.
template <class T>
class SvfBank {
 public:
  using V = Vec<T>;

  SvfBank(const Tile& tile, int sections, const T* coefficients)
      : tile_(tile),
        sections_(sections),
        coefficients_(coefficients),
        to_(hwy::AllocateAligned<V>(static_cast<std::size_t>(sections) * numbers)),
        from_(hwy::AllocateAligned<V>(static_cast<std::size_t>(sections) * numbers)),
        steady_(hwy::AllocateAligned<Svf<V>>(static_cast<std::size_t>(sections))) {}

  // To be called for every tick, in either direction.
  void set_tick(int tick) {
    if (ready_ && tile_.shape.ticks == 1) return;
    ready_ = true;
    ramped_ = false;
    for (int s = 0; s < sections_; ++s) {
      for (int i = 0; i < numbers; ++i) {
        V& to = to_[at(s, i)];
        V& from = from_[at(s, i)];
        to = tile_.coefficient(coefficients_, tick, sections_ * numbers, s * numbers + i);
        from = tick > 0 ? tile_.coefficient(coefficients_, tick - 1, sections_ * numbers, s * numbers + i) : to;
        ramped_ = ramped_ || !hn::AllTrue(Tag<T>(), hn::Eq(to, from));
      }
      const V* c = &to_[at(s, 0)];
      steady_[static_cast<std::size_t>(s)] = make_svf(c[0], c[1], c[2], c[3], c[4]);
    }
  }

  // True when the coefficients move within this tick.
  bool ramped() const { return ramped_; }
  const Svf<V>& steady(int section) const { return steady_[static_cast<std::size_t>(section)]; }
  Svf<V> at_frame(int section, int frame_in_tick) const {
    const V share = Broadcast<V>::of(ramp_position<T>(frame_in_tick));
    const auto mixed = [&](int i) HWY_ATTR {
      const V a = from_[at(section, i)];
      return MulAdd(to_[at(section, i)] - a, share, a);
    };
    return make_svf(mixed(0), mixed(1), mixed(2), mixed(3), mixed(4));
  }

 private:
  static std::size_t at(int section, int number) { return static_cast<std::size_t>(section * numbers + number); }

  const Tile& tile_;
  int sections_;
  const T* coefficients_;
  hwy::AlignedFreeUniquePtr<V[]> to_, from_;
  hwy::AlignedFreeUniquePtr<Svf<V>[]> steady_;
  bool ready_ = false, ramped_ = false;
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

// The input of a filter at a frame, and its state before it.
template <class T>
struct SvfFrame {
  Vec<T> x;
  SvfState<Vec<T>> before;
};

// `count` filters in a row, one inside the other, so that all their numbers are in registers.
template <int count, class T>
struct SvfRow {
  using V = Vec<T>;
  SvfRow<count - 1, T> before;
  SvfState<V> state;
  Svf<V> c;

  void load(const SvfBank<T>& bank, int first, const T* states) {
    before.load(bank, first, states);
    state = load_state<T>(states + (first + count - 1) * 2 * lanes<T>);
    c = bank.steady(first + count - 1);
  }
  void store(int first, T* states) const {
    before.store(first, states);
    store_state<T>(state, states + (first + count - 1) * 2 * lanes<T>);
  }
  HWY_INLINE void move(const SvfBank<T>& bank, int first, int n) {
    before.move(bank, first, n);
    c = bank.at_frame(first + count - 1, n);
  }
  HWY_INLINE V step(V x) { return svf_step(state, c, before.step(x)); }
  // `kept` is the place of this frame for the first filter.
  HWY_INLINE V step(V x, SvfFrame<T>* kept) {
    const V in = before.step(x, kept);
    kept[(count - 1) * tick_frames] = {in, state};
    return svf_step(state, c, in);
  }
};
template <class T>
struct SvfRow<0, T> {
  void load(const SvfBank<T>&, int, const T*) {}
  void store(int, T*) const {}
  HWY_INLINE void move(const SvfBank<T>&, int, int) {}
  HWY_INLINE Vec<T> step(Vec<T> x) { return x; }
  HWY_INLINE Vec<T> step(Vec<T> x, SvfFrame<T>*) { return x; }
};

// `count` filters from `first` on, for one tick in place; `kept` gets what they are given, filter by filter, or is
// null.
template <int count, class T>
void svf_group_forward(const SvfBank<T>& bank, int first, int frames, Vec<T>* io, T* states, SvfFrame<T>* kept) {
  SvfRow<count, T> row;
  row.load(bank, first, states);
  if (bank.ramped()) {
    for (int n = 0; n < frames; ++n) {
      row.move(bank, first, n);
      io[n] = kept == nullptr ? row.step(io[n]) : row.step(io[n], kept + n);
    }
  } else if (kept == nullptr) {
    for (int n = 0; n < frames; ++n) io[n] = row.step(io[n]);
  } else {
    for (int n = 0; n < frames; ++n) io[n] = row.step(io[n], kept + n);
  }
  row.store(first, states);
}

// The same backwards: `state` is what comes back from later frames.
template <int count, class T>
struct SvfRowBack {
  using V = Vec<T>;
  SvfRowBack<count - 1, T> before;
  SvfState<V> adjoint;
  SvfSums<V> sum;
  Svf<V> c;

  void load(const SvfBank<T>& bank, int first, const T* adjoints) {
    before.load(bank, first, adjoints);
    adjoint = load_state<T>(adjoints + (first + count - 1) * 2 * lanes<T>);
    sum = svf_no_sums<V>();
    c = bank.steady(first + count - 1);
  }
  void store(int first, T* adjoints, SvfSums<V>* sums) const {
    before.store(first, adjoints, sums);
    store_state<T>(adjoint, adjoints + (first + count - 1) * 2 * lanes<T>);
    SvfSums<V>& all = sums[first + count - 1];
    all = {all.from_x + sum.from_x, all.from_s1 + sum.from_s1,           all.from_s2 + sum.from_s2,
           all.step + sum.step,     all.step_damping + sum.step_damping, all.step_g + sum.step_g};
  }
  HWY_INLINE V step(V grad, const SvfFrame<T>* kept) {
    const SvfFrame<T>& m = kept[(count - 1) * tick_frames];
    return before.step(svf_step_back(m.before, c, m.x, grad, adjoint, sum), kept);
  }
};
template <class T>
struct SvfRowBack<0, T> {
  void load(const SvfBank<T>&, int, const T*) {}
  void store(int, T*, SvfSums<Vec<T>>*) const {}
  HWY_INLINE Vec<T> step(Vec<T> grad, const SvfFrame<T>*) { return grad; }
};

// From the gradients of what came out to those of what went in, while nothing moves. Adds to `sums`.
template <int count, class T>
void svf_group_backward(const SvfBank<T>& bank, int first, int frames, Vec<T>* io, T* adjoints, const SvfFrame<T>* kept,
                        SvfSums<Vec<T>>* sums) {
  SvfRowBack<count, T> row;
  row.load(bank, first, adjoints);
  for (int n = frames - 1; n >= 0; --n) io[n] = row.step(io[n], kept + n);
  row.store(first, adjoints, sums);
}

// Calls work(first, count as a type) for groups of nearly the same size: two, three or four filters hide each other's
// waiting.
template <class Work>
void svf_groups(int sections, bool backwards, const Work& work) {
  const int groups = (sections + 3) / 4;
  for (int i = 0; i < groups; ++i) {
    const int g = backwards ? groups - 1 - i : i;
    const int first = g * sections / groups, count = (g + 1) * sections / groups - first;
    switch (count) {
      case 1:
        work(first, std::integral_constant<int, 1>());
        break;
      case 2:
        work(first, std::integral_constant<int, 2>());
        break;
      case 3:
        work(first, std::integral_constant<int, 3>());
        break;
      default:
        work(first, std::integral_constant<int, 4>());
    }
  }
}

template <class T>
class SvfBackward {
 public:
  using V = Vec<T>;

  SvfBackward(const Tile& tile, int sections, const T* coefficients, T* coefficient_grad)
      : tile_(tile),
        sections_(sections),
        bank_(tile, sections, coefficients),
        coefficient_grad_(coefficient_grad),
        state_(hwy::AllocateAligned<T>(size())),
        adjoint_(hwy::AllocateAligned<T>(size())),
        kept_(hwy::AllocateAligned<SvfFrame<T>>(static_cast<std::size_t>(sections * tick_frames))),
        sums_(hwy::AllocateAligned<SvfSums<V>>(static_cast<std::size_t>(sections))) {
    std::fill_n(adjoint_.get(), size(), T(0));
    std::fill_n(sums_.get(), sections, svf_no_sums<V>());
  }

  void tick(int tick, const T* x, const T* checkpoint, const T* y_grad, T* x_grad) {
    const int start = tick * tick_frames, frames = std::min(tick_frames, tile_.shape.frames - start);
    V io[tick_frames];
    std::copy_n(checkpoint, size(), state_.get());
    bank_.set_tick(tick);
    tile_.load(x, start, frames, io);
    svf_groups(sections_, false, [&](int first, auto count) {
      svf_group_forward<count.value, T>(bank_, first, frames, io, state_.get(), &kept_[first_frame(first)]);
    });
    tile_.load(y_grad, start, frames, io);
    // For gradients a curve moves also where both of its ends are equal: each of them has its share.
    if (bank_.ramped() || (tile_.shape.ticks > 1 && tick > 0)) {
      for (int s = sections_ - 1; s >= 0; --s) ramped(tick, s, frames, io);
    } else {
      svf_groups(sections_, true, [&](int first, auto count) {
        svf_group_backward<count.value, T>(bank_, first, frames, io, adjoint_.get(), &kept_[first_frame(first)],
                                           sums_.get());
      });
      // Sums of many ticks would lose their last digits in one number.
      if (tile_.shape.ticks > 1 || tick % 256 == 0) flush_sums(tick);
    }
    tile_.store(x_grad, start, frames, io);
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(sections_ * 2 * lanes<T>); }
  static std::size_t first_frame(int section) { return static_cast<std::size_t>(section * tick_frames); }

  // Adds the sums to the gradient of this tick's coefficients.
  void flush_sums(int tick) {
    for (int s = 0; s < sections_; ++s) {
      SvfSums<V>& sums = sums_[static_cast<std::size_t>(s)];
      const SvfGradient<V> grad = svf_gradient(bank_.steady(s), sums);
      add(tick, s, {grad.g, grad.k, grad.m0, grad.m1, grad.m2});
      sums = svf_no_sums<V>();
    }
  }

  struct Five {
    V at[numbers];
  };
  void add(int tick, int section, const Five& grad) {
    for (int i = 0; i < numbers; ++i) {
      tile_.add(coefficient_grad_, tick, sections_ * numbers, section * numbers + i, grad.at[i]);
    }
  }

  // One filter while it moves: each frame's gradient goes in shares to the ticks before and after it.
  void ramped(int tick, int section, int frames, V* io) {
    T* at = adjoint_.get() + section * 2 * lanes<T>;
    SvfState<V> adjoint = load_state<T>(at);
    const V zero = Broadcast<V>::of(0);
    Five all{{zero, zero, zero, zero, zero}}, arrived = all;
    for (int n = frames - 1; n >= 0; --n) {
      const Svf<V> c = bank_.at_frame(section, n);
      const SvfFrame<T>& m = kept_[first_frame(section) + static_cast<std::size_t>(n)];
      SvfSums<V> sums = svf_no_sums<V>();
      io[n] = svf_step_back(m.before, c, m.x, io[n], adjoint, sums);
      const SvfGradient<V> one = svf_gradient(c, sums);
      const V share = Broadcast<V>::of(ramp_position<T>(n)), amounts[5] = {one.g, one.k, one.m0, one.m1, one.m2};
      for (int i = 0; i < numbers; ++i) {
        all.at[i] = all.at[i] + amounts[i];
        arrived.at[i] = MulAdd(share, amounts[i], arrived.at[i]);
      }
    }
    store_state<T>(adjoint, at);
    add(tick, section, arrived);
    for (int i = 0; i < numbers; ++i) all.at[i] = all.at[i] - arrived.at[i];
    add(tick - 1, section, all);
  }

  const Tile& tile_;
  int sections_;
  SvfBank<T> bank_;
  T* coefficient_grad_;
  hwy::AlignedFreeUniquePtr<T[]> state_, adjoint_;
  hwy::AlignedFreeUniquePtr<SvfFrame<T>[]> kept_;
  hwy::AlignedFreeUniquePtr<SvfSums<V>[]> sums_;
};

}  // namespace svf_cascade

struct SvfCascadeSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    const auto& coefficients = request.coefficients;
    adjoint::require(coefficients.size() == 1 && coefficients[0].size() == 4 && coefficients[0][2] >= 1 &&
                         coefficients[0][2] <= 4096 && coefficients[0][3] == svf_cascade::numbers,
                     "coefficients must be (rows, ticks, filters, 5), with 1 to 4096 filters");
    adjoint::require(request.options.empty(), "there are no options");
    return {{adjoint_tile::state_size(request.shape, 2 * sections_of(request))}, request.shape.streams};
  }

  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    using namespace svf_cascade;
    const adjoint::Shape& shape = pass.request.shape;
    const int sections = sections_of(pass.request);
    const int ticks = adjoint::tick_count(shape.frames), size = sections * 2 * lanes<T>;
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      const Tile tile{shape, item * lanes<T>};
      SvfBank<T> bank(tile, sections, pass.coefficients[0]);
      const auto state = hwy::AllocateAligned<T>(static_cast<std::size_t>(size));
      std::fill_n(state.get(), size, T(0));
      Vec<T> io[tick_frames];
      for (int tick = 0; tick < ticks; ++tick) {
        const int start = tick * tick_frames, frames = std::min(tick_frames, shape.frames - start);
        std::copy_n(state.get(), size, pass.memory[0] + (static_cast<std::int64_t>(item) * ticks + tick) * size);
        bank.set_tick(tick);
        tile.load(pass.x, start, frames, io);
        svf_groups(sections, false, [&](int first, auto count) {
          svf_group_forward<count.value, T>(bank, first, frames, io, state.get(), nullptr);
        });
        tile.store(pass.y, start, frames, io);
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    using namespace svf_cascade;
    const adjoint::Shape& shape = pass.request.shape;
    const int sections = sections_of(pass.request);
    const int ticks = adjoint::tick_count(shape.frames), size = sections * 2 * lanes<T>;
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      const Tile tile{shape, item * lanes<T>};
      SvfBackward<T> sweep(tile, sections, pass.coefficients[0], pass.coefficient_grads[0]);
      for (int tick = ticks - 1; tick >= 0; --tick) {
        const T* checkpoint = pass.memory[0] + (static_cast<std::int64_t>(item) * ticks + tick) * size;
        sweep.tick(tick, pass.x, checkpoint, pass.y_grad, pass.x_grad);
      }
    });
  }

 private:
  static int sections_of(const adjoint::SweepRequest& request) { return static_cast<int>(request.coefficients[0][2]); }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
