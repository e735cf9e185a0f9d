// The sweep of a compressor that hears its input, from the level of its detectors to the gain they apply: streams in
// the lanes. Forwards only the states at the ticks are kept; backwards each tick is computed again from there.
//
// Settings: rows x ticks x 9: threshold, slope, knee, range, makeup, mix (ramped), rise, fall, averaging (held).
// Options: RMS; what is followed: 0 reduction, 1 level, 2 power; how: 0 branching, 1 decoupled, 2 two stages.
#if defined(TWINRACK_PLUGINS_COMPRESSOR_FEED_FORWARD_SWEEP_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_COMPRESSOR_FEED_FORWARD_SWEEP_H_
#undef TWINRACK_PLUGINS_COMPRESSOR_FEED_FORWARD_SWEEP_H_
#else
#define TWINRACK_PLUGINS_COMPRESSOR_FEED_FORWARD_SWEEP_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "adjoint/parallel_for.h"
#include "adjoint/sweep.h"
#include "adjoint/tile-inl.h"
#include "plugins/compressor/detector.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace compressor_feed_forward {

using adjoint_tile::lanes;
using adjoint_tile::Tile;

enum Setting : int { threshold, slope, knee, range, makeup, mix, ramped_count, rise = ramped_count, fall, averaging };
inline constexpr int setting_count = averaging + 1;
inline constexpr int state_count = 4;  // the average, both of the follower, and the smoothed one of two stages

// One tile on its way.
template <class T>
class DetectorTile {
 public:
  using V = Vec<T>;

  DetectorTile(const adjoint::SweepRequest& request, int item, const T* settings)
      : tile_{request.shape, item * lanes<T>}, choices_(detector_choices(request.options.data())), settings_(settings) {
    const FollowerState<V> zero{number(0), number(0)};
    state_ = adjoint_ = {zero, zero, number(0)};
    for (int i = 0; i < setting_count; ++i) whole_[i] = arrived_[i] = number(0);
  }

  void save(T* to) const {
    hn::StoreU(state_.average.level, Tag<T>(), to);
    hn::StoreU(state_.follower.peak, Tag<T>(), to + lanes<T>);
    hn::StoreU(state_.follower.level, Tag<T>(), to + 2 * lanes<T>);
    hn::StoreU(state_.smoothed, Tag<T>(), to + 3 * lanes<T>);
  }
  void restore(const T* from) {
    const V average = hn::LoadU(Tag<T>(), from);
    state_ = {{average, average},
              {hn::LoadU(Tag<T>(), from + lanes<T>), hn::LoadU(Tag<T>(), from + 2 * lanes<T>)},
              hn::LoadU(Tag<T>(), from + 3 * lanes<T>)};
  }

  void forward(int tick, const T* level, T* gain) {
    const int start = tick * tick_frames, frames = std::min(tick_frames, tile_.shape.frames - start);
    set_tick(tick);
    V io[tick_frames];
    tile_.load(level, start, frames, io);
    run(frames, io);
    tile_.store(gain, start, frames, io);
  }

  // From the state at the start of the tick; adds to the gradients of the settings.
  void backward(int tick, const T* level, const T* gain_grad, T* level_grad, T* setting_grad) {
    const int start = tick * tick_frames, frames = std::min(tick_frames, tile_.shape.frames - start);
    set_tick(tick, true);
    V io[tick_frames];
    tile_.load(level, start, frames, io);
    run(frames, io);
    tile_.load(gain_grad, start, frames, io);
    run_back(frames, io);
    tile_.store(level_grad, start, frames, io);
    // Sums of many ticks would lose their last digits in one number.
    if (tile_.shape.ticks > 1 || tick % 256 == 0) flush_sums(tick, setting_grad);
  }

 private:
  static V number(double x) { return Broadcast<V>::of(x); }

  // For gradients a curve moves also where both of its ends are equal: each of them has its share.
  void set_tick(int tick, bool for_gradients = false) {
    if (ready_ && tile_.shape.ticks == 1) return;
    ready_ = true;
    ramped_ = for_gradients && tile_.shape.ticks > 1 && tick > 0;
    for (int i = 0; i < setting_count; ++i) {
      to_[i] = tile_.coefficient(settings_, tick, setting_count, i);
      from_[i] = tick > 0 ? tile_.coefficient(settings_, tick - 1, setting_count, i) : to_[i];
      ramped_ = ramped_ || (i < ramped_count && !hn::AllTrue(Tag<T>(), hn::Eq(to_[i], from_[i])));
    }
    ballistics_ = {to_[rise], to_[fall]};
  }
  V at(Setting which, int n) const {
    return ramped_ ? MulAdd(to_[which] - from_[which], number(ramp_position<T>(n)), from_[which]) : to_[which];
  }
  GainCurve<V> curve(int n) const { return {at(threshold, n), at(slope, n), at(knee, n), at(range, n)}; }

  // From levels to gains, in place.
  void run(int frames, V* io) {
    for (int n = 0; n < frames; ++n) {
      io[n] = detector_step<V>(state_, choices_, {curve(n), ballistics_, to_[averaging]}, io[n], frames_[n]);
    }
    for (int n = 0; n < frames; ++n) {
      const V wet = at(mix, n);
      amplified_[n] = amplitude(at(makeup, n) - io[n]);
      io[n] = (number(1) - wet) + wet * amplified_[n];
    }
  }

  // A gradient at a frame, in parts to the ticks before and after.
  void add(Setting which, int n, V amount) {
    whole_[which] = whole_[which] + amount;
    if (ramped_) arrived_[which] = MulAdd(number(ramp_position<T>(n)), amount, arrived_[which]);
  }

  // Part by part, each over all frames of the tick: only the followers wait for themselves. It is detector_step_back in
  // another order.
  void run_back(int frames, V* grad) {
    constexpr double per_db = 0.11512925464970229;  // ln(10) / 20
    for (int n = 0; n < frames; ++n) {
      add(mix, n, grad[n] * (amplified_[n] - number(1)));
      const V db = grad[n] * at(mix, n) * amplified_[n] * number(per_db);
      add(makeup, n, db);
      grad[n] = number(0) - db;
    }
    if (choices_.on_reduction()) follow_back(frames, grad);
    for (int n = 0; n < frames; ++n) {
      GainCurve<V> sum{number(0), number(0), number(0), number(0)};
      const V db = reduction_back(curve(n), frames_[n].level_db, grad[n], sum);
      add(threshold, n, sum.threshold_db);
      add(slope, n, sum.slope);
      add(knee, n, sum.knee_db);
      add(range, n, sum.range_db);
      const V floor = number(1e-7);
      const V level_grad = db / (number(per_db) * Max(frames_[n].curve_in, floor));
      grad[n] = hn::IfThenElseZero(hn::Ge(frames_[n].curve_in, floor), level_grad);
    }
    if (choices_.on_power()) {
      for (int n = 0; n < frames; ++n) grad[n] = grad[n] * slope_of_root(frames_[n].curve_in);
    }
    if (!choices_.on_reduction()) follow_back(frames, grad);
    if (choices_.on_power()) {
      for (int n = 0; n < frames; ++n) grad[n] = number(2) * frames_[n].averaged * grad[n];
    }
    if (choices_.rms) average_back(frames, grad);
  }
  static V slope_of_root(V root) { return hn::IfThenElseZero(hn::Gt(root, number(0)), number(0.5) / root); }
  void follow_back(int frames, V* grad) {
    FollowerCoefficients<V> sum{number(0), number(0)};
    for (int n = frames - 1; n >= 0; --n) {
      grad[n] =
          detector_follow_back(choices_, frames_[n].before, ballistics_, frames_[n].follow_in, grad[n], adjoint_, sum);
    }
    whole_[rise] = whole_[rise] + sum.rise;
    whole_[fall] = whole_[fall] + sum.fall;
  }
  void average_back(int frames, V* grad) {
    const FollowerCoefficients<V> same{to_[averaging], to_[averaging]};
    FollowerCoefficients<V> sum{number(0), number(0)};
    for (int n = frames - 1; n >= 0; --n) {
      const DetectorFrame<V>& frame = frames_[n];
      const V back = branching_step_back(frame.before.average, same, frame.level * frame.level,
                                         grad[n] * slope_of_root(frame.averaged), adjoint_.average, sum);
      grad[n] = number(2) * frame.level * back;
    }
    whole_[averaging] = whole_[averaging] + sum.rise + sum.fall;
  }

  void flush_sums(int tick, T* setting_grad) {
    for (int i = 0; i < setting_count; ++i) {
      const bool moving = ramped_ && i < ramped_count;
      tile_.add(setting_grad, tick, setting_count, i, moving ? arrived_[i] : whole_[i]);
      if (moving) tile_.add(setting_grad, tick - 1, setting_count, i, whole_[i] - arrived_[i]);
      whole_[i] = arrived_[i] = number(0);
    }
  }

  const Tile tile_;
  const DetectorChoices choices_;
  const T* settings_;
  V to_[setting_count], from_[setting_count], whole_[setting_count], arrived_[setting_count];
  FollowerCoefficients<V> ballistics_;
  bool ready_ = false, ramped_ = false;
  DetectorState<V> state_, adjoint_;
  DetectorFrame<V> frames_[tick_frames];  // of this tick
  V amplified_[tick_frames];              // makeup less reduction, as an amplitude
};

}  // namespace compressor_feed_forward

struct CompressorFeedForwardSweep {
  static adjoint::SweepLayout layout(const adjoint::SweepRequest& request) {
    using namespace compressor_feed_forward;
    adjoint::require(request.coefficients.size() == 1 && request.coefficients[0].size() == 3 &&
                         request.coefficients[0][2] == setting_count,
                     "settings must be (rows, ticks, 9)");
    adjoint::require(request.options.size() == 3 && are_detector_choices(request.options.data()),
                     "three options: RMS (0 or 1), what is followed (0 to 2), how it is followed (0 to 2)");
    return {{adjoint_tile::state_size(request.shape, state_count)}, request.shape.streams};
  }

  template <class T>
  static void forward(const adjoint::ForwardPass<T>& pass) {
    using namespace compressor_feed_forward;
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      DetectorTile<T> tile(pass.request, item, pass.coefficients[0]);
      for (int tick = 0; tick < adjoint::tick_count(shape.frames); ++tick) {
        tile.save(checkpoint(shape, pass.memory[0], item, tick));
        tile.forward(tick, pass.x, pass.y);
      }
    });
  }

  template <class T>
  static void backward(const adjoint::BackwardPass<T>& pass) {
    using namespace compressor_feed_forward;
    const adjoint::Shape& shape = pass.request.shape;
    adjoint::parallel_for(adjoint_tile::tile_count<T>(shape.streams), shape.threads, [&](int item) {
      DetectorTile<T> tile(pass.request, item, pass.coefficients[0]);
      for (int tick = adjoint::tick_count(shape.frames) - 1; tick >= 0; --tick) {
        tile.restore(checkpoint(shape, pass.memory[0], item, tick));
        tile.backward(tick, pass.x, pass.y_grad, pass.x_grad, pass.coefficient_grads[0]);
      }
    });
  }

 private:
  template <class P>
  static P* checkpoint(const adjoint::Shape& shape, P* memory, int item, int tick) {
    const std::int64_t index = static_cast<std::int64_t>(item) * adjoint::tick_count(shape.frames) + tick;
    return memory + index * compressor_feed_forward::state_count * lane_count<std::remove_const_t<P>>;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
