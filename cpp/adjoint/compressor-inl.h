// Sweeps of a compressor's detector, from the level it hears to the gain it applies: streams in the lanes. Forwards
// only the states at the ticks are kept; backwards each tick is worked out once more from there.
#if defined(TWINRACK_ADJOINT_COMPRESSOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_COMPRESSOR_INL_H_
#undef TWINRACK_ADJOINT_COMPRESSOR_INL_H_
#else
#define TWINRACK_ADJOINT_COMPRESSOR_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "adjoint/tile-inl.h"
#include "adjoint/walk.h"
#include "dsp/dynamics/follower-inl.h"
#include "dsp/dynamics/gain_curve-inl.h"
#include "dsp/lanes/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::CompressorChoices;
using adjoint::Shape;
using adjoint_tile::lanes;
using adjoint_tile::Tile;

template <class T>
class CompressorSweep {
 public:
  using V = Vec<T>;
  enum Setting : int { threshold, slope, knee, range, makeup, mix, ramped_count, rise = ramped_count, fall, average };
  static constexpr int count = adjoint::compressor_settings, state_size = adjoint::compressor_state * lanes<T>;

  CompressorSweep(const Shape& shape, const CompressorChoices& choices, int item, const T* settings)
      : tile_{shape, item * lanes<T>}, choices_(choices), settings_(settings) {
    const V zero = Broadcast<V>::of(0);
    average_ = zero;
    follower_ = average_adjoint_ = {zero, zero};
    follower_adjoint_ = follower_;
    for (int i = 0; i < count; ++i) all_[i] = arrived_[i] = zero;
  }

  void save(T* to) const {
    hn::StoreU(average_, Tag<T>(), to);
    hn::StoreU(follower_.peak, Tag<T>(), to + lanes<T>);
    hn::StoreU(follower_.level, Tag<T>(), to + 2 * lanes<T>);
  }
  void restore(const T* from) {
    average_ = hn::LoadU(Tag<T>(), from);
    follower_ = {hn::LoadU(Tag<T>(), from + lanes<T>), hn::LoadU(Tag<T>(), from + 2 * lanes<T>)};
  }

  void forward(int tick, const T* level, T* gain) {
    const int start = tick * tick_frames, frames = std::min(tick_frames, tile_.shape.frames - start);
    go(tick);
    tile_.load(level, start, frames, heard_);
    run(frames);
    tile_.store(gain, start, frames, gain_);
  }

  // From the state at the start of the tick; adds to the gradients of the settings.
  void backward(int tick, const T* level, const T* gain_grad, T* level_grad, T* setting_grad) {
    const int start = tick * tick_frames, frames = std::min(tick_frames, tile_.shape.frames - start);
    go(tick);
    tile_.load(level, start, frames, heard_);
    run(frames);
    V grad[tick_frames];
    tile_.load(gain_grad, start, frames, grad);
    run_back(frames, grad);
    tile_.store(level_grad, start, frames, grad);
    // Sums of many ticks would lose their last digits in one number.
    if (tile_.shape.ticks > 1 || tick % 256 == 0) give(tick, setting_grad);
  }

 private:
  static V number(double x) { return Broadcast<V>::of(x); }

  void go(int tick) {
    if (ready_ && tile_.shape.ticks == 1) return;
    ready_ = true;
    ramped_ = false;
    for (int i = 0; i < count; ++i) {
      to_[i] = tile_.coefficient(settings_, tick, count, i);
      from_[i] = tick > 0 ? tile_.coefficient(settings_, tick - 1, count, i) : to_[i];
      ramped_ = ramped_ || (i < ramped_count && !hn::AllTrue(Tag<T>(), hn::Eq(to_[i], from_[i])));
    }
    times_ = {to_[rise], to_[fall]};
  }
  V at(Setting which, int n) const {
    return ramped_ ? MulAdd(to_[which] - from_[which], number(ramp_share<T>(n)), from_[which]) : to_[which];
  }
  GainCurve<V> curve(int n) const { return {at(threshold, n), at(slope, n), at(knee, n), at(range, n)}; }
  static V audible(V level) { return Max(level, number(1e-7)); }  // -140 dBFS

  void follow(V* x, int frames) {
    for (int n = 0; n < frames; ++n) {
      followed_[n] = x[n];
      before_[n] = follower_;
      x[n] = choices_.decoupled ? decoupled_step(follower_, times_, x[n]) : branching_step(follower_, times_, x[n]);
    }
  }
  void follow_back(V* grad, int frames) {
    FollowerCoefficients<V> sum{number(0), number(0)};
    for (int n = frames - 1; n >= 0; --n) {
      grad[n] = choices_.decoupled
                    ? decoupled_step_back(before_[n], times_, followed_[n], grad[n], follower_adjoint_, sum)
                    : branching_step_back(before_[n], times_, followed_[n], grad[n], follower_adjoint_, sum);
    }
    all_[rise] = all_[rise] + sum.rise;
    all_[fall] = all_[fall] + sum.fall;
  }

  void run(int frames) {
    V x[tick_frames];
    std::copy_n(heard_, frames, x);
    if (choices_.rms) {
      for (int n = 0; n < frames; ++n) {
        average_before_[n] = average_;
        x[n] = smoothing_step(average_, to_[average], x[n] * x[n]);
      }
      for (int n = 0; n < frames; ++n) root_[n] = x[n] = hn::Sqrt(x[n]);
    }
    if (choices_.on_level) follow(x, frames);
    for (int n = 0; n < frames; ++n) {
      level_[n] = x[n];
      decibels_[n] = decibels(audible(x[n]));
      x[n] = reduction_db(curve(n), decibels_[n]);
    }
    if (!choices_.on_level) follow(x, frames);
    for (int n = 0; n < frames; ++n) {
      const V share = at(mix, n);
      wet_[n] = amplitude(at(makeup, n) - x[n]);
      gain_[n] = (number(1) - share) + share * wet_[n];
    }
  }

  // A gradient at a frame, in shares to the ticks before and after.
  void add(Setting which, int n, V amount) {
    all_[which] = all_[which] + amount;
    if (ramped_) arrived_[which] = MulAdd(number(ramp_share<T>(n)), amount, arrived_[which]);
  }

  void run_back(int frames, V* grad) {
    constexpr double per_db = 0.11512925464970229;  // ln(10) / 20
    for (int n = 0; n < frames; ++n) {
      add(mix, n, grad[n] * (wet_[n] - number(1)));
      const V db = grad[n] * at(mix, n) * wet_[n] * number(per_db);
      add(makeup, n, db);
      grad[n] = number(0) - db;
    }
    if (!choices_.on_level) follow_back(grad, frames);
    for (int n = 0; n < frames; ++n) {
      GainCurve<V> sum{number(0), number(0), number(0), number(0)};
      const V db = reduction_back(curve(n), decibels_[n], grad[n], sum);
      add(threshold, n, sum.threshold_db);
      add(slope, n, sum.slope);
      add(knee, n, sum.knee_db);
      add(range, n, sum.range_db);
      const V heard = db / (number(per_db) * audible(level_[n]));
      grad[n] = hn::IfThenElseZero(hn::Ge(level_[n], number(1e-7)), heard);
    }
    if (choices_.on_level) follow_back(grad, frames);
    if (choices_.rms) {
      const FollowerCoefficients<V> same{to_[average], to_[average]};
      FollowerCoefficients<V> sum{number(0), number(0)};
      for (int n = frames - 1; n >= 0; --n) {
        const V power = heard_[n] * heard_[n];
        const V slope_of_root = hn::IfThenElseZero(hn::Gt(root_[n], number(0)), number(0.5) / root_[n]);
        const V back = branching_step_back({average_before_[n], average_before_[n]}, same, power,
                                           grad[n] * slope_of_root, average_adjoint_, sum);
        grad[n] = number(2) * heard_[n] * back;
      }
      all_[average] = all_[average] + sum.rise + sum.fall;
    }
  }

  void give(int tick, T* setting_grad) {
    for (int i = 0; i < count; ++i) {
      const bool shared = ramped_ && i < ramped_count;
      tile_.add(setting_grad, tick, count, i, shared ? arrived_[i] : all_[i]);
      if (shared) tile_.add(setting_grad, tick - 1, count, i, all_[i] - arrived_[i]);
      all_[i] = arrived_[i] = number(0);
    }
  }

  const Tile tile_;
  const CompressorChoices& choices_;
  const T* settings_;
  V to_[count], from_[count], all_[count], arrived_[count];
  FollowerCoefficients<V> times_;
  bool ready_ = false, ramped_ = false;
  V average_;
  FollowerState<V> follower_, average_adjoint_, follower_adjoint_;
  // What each frame of the tick met on its way.
  V heard_[tick_frames], average_before_[tick_frames], root_[tick_frames], followed_[tick_frames], level_[tick_frames],
      decibels_[tick_frames], wet_[tick_frames], gain_[tick_frames];
  FollowerState<V> before_[tick_frames];
};

template <class T>
void compressor_forward(const Shape& shape, const CompressorChoices& choices, const T* level, const T* settings,
                        T* gain, T* states) {
  const int ticks = adjoint::tick_count(shape.frames);
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    CompressorSweep<T> sweep(shape, choices, item, settings);
    for (int tick = 0; tick < ticks; ++tick) {
      sweep.save(states + (static_cast<std::int64_t>(item) * ticks + tick) * sweep.state_size);
      sweep.forward(tick, level, gain);
    }
  });
}

template <class T>
void compressor_backward(const Shape& shape, const CompressorChoices& choices, const T* level, const T* settings,
                         const T* states, const T* gain_grad, T* level_grad, T* setting_grad) {
  const int ticks = adjoint::tick_count(shape.frames);
  adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
    CompressorSweep<T> sweep(shape, choices, item, settings);
    for (int tick = ticks - 1; tick >= 0; --tick) {
      sweep.restore(states + (static_cast<std::int64_t>(item) * ticks + tick) * sweep.state_size);
      sweep.backward(tick, level, gain_grad, level_grad, setting_grad);
    }
  });
}

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
