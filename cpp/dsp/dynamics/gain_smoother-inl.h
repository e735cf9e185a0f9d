// A limiter's gain smoother in dB: peak hold, release, and two moving averages in series.
//
// A peak is held for so long that both averages have taken it in whole when it leaves the lookahead delay. The release
// is in double precision: a frame's step of a release of many seconds is less than float32 can add.
#if defined(TWINRACK_DSP_DYNAMICS_GAIN_SMOOTHER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_GAIN_SMOOTHER_INL_H_
#undef TWINRACK_DSP_DYNAMICS_GAIN_SMOOTHER_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_GAIN_SMOOTHER_INL_H_
#endif

#include <algorithm>
#include <array>

#include "dsp/dynamics/moving_average-inl.h"
#include "dsp/dynamics/sliding_maximum-inl.h"
#include "dsp/lanes/lane-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class GainSmoother {
 public:
  // One-pole coefficients: of the release after a short peak, and of the longer one after a long reduction.
  struct Release {
    double fast, slow;
  };

  // For holds and averages of up to so many frames.
  void prepare(int longest_hold, int longest_average) {
    hold_.prepare(longest_hold);
    for (MovingAverage& average : averages_) average.prepare(longest_average);
  }
  void set(int hold, int first_average, int second_average) noexcept TR_RT {
    hold_.set(hold);
    averages_[0].set(first_average);
    averages_[1].set(second_average);
  }
  void reset() noexcept TR_RT {
    hold_.reset();
    for (MovingAverage& average : averages_) average.reset();
    forget();
  }
  // Takes over the state of another one of the same length.
  void copy(const GainSmoother& other) noexcept TR_RT {
    hold_.copy(other.hold_);
    for (std::size_t i = 0; i < averages_.size(); ++i) averages_[i].copy(other.averages_[i]);
    fast_ = other.fast_;
    slow_ = other.slow_;
  }

  // A reduction in dB, in place. `slow_share` is how much of the slow release counts, 0 … 1. Each part has a
  // loop of its own: a frame of all takes some seventy cycles, and of so many operations a processor holds few frames.
  void process(float* reduction_db, int frames, const Release& release, const Ramp slow_share) noexcept TR_RT {
    hold_.process(reduction_db, frames);
    // With what a frame keeps instead of what it takes away, each state is one multiply-add from the next. Lanes,
    // because of two plain numbers the compiler may find the larger one by a branch, which is guessed wrongly at every
    // other peak.
#if HWY_HAVE_FLOAT64
    const hn::CappedTag<double, 1> d;
    const auto number = [d](double x) HWY_ATTR { return hn::Set(d, x); };
    const auto plain = [](auto x) HWY_ATTR { return hn::GetLane(x); };
#else
    const auto number = [](double x) { return x; };
    const auto plain = [](double x) { return x; };
#endif
    const auto keep_fast = number(1.0 - release.fast), take_fast = number(release.fast);
    const double keep_slow = 1.0 - release.slow, take_slow = release.slow;
    auto fast = number(fast_);
    double slow = slow_;
    for (int n = 0; n < frames; ++n) {
      const auto held = static_cast<double>(reduction_db[n]);
      fast = Max(number(held), MulAdd(keep_fast, fast, take_fast * number(held)));
      slow = MulAdd(keep_slow, slow, take_slow * held);
      reduction_db[n] = Max(static_cast<float>(plain(fast)), slow_share[n] * static_cast<float>(slow));
    }
    fast_ = plain(fast);
    slow_ = slow;
    for (MovingAverage& average : averages_) average.process(reduction_db, frames);
  }

  // True when nothing is held and the release is over.
  bool still() const noexcept TR_RT { return Max(fast_, slow_) <= 1e-6 && hold_.below(0.0f); }
  void forget() noexcept TR_RT { fast_ = slow_ = 0.0; }

  void state(StateArchive& archive) { archive(hold_, averages_, fast_, slow_); }

 private:
  SlidingMaximum hold_;
  std::array<MovingAverage, 2> averages_;
  double fast_ = 0, slow_ = 0;  // the released reduction, in dB
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
