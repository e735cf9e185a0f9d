// The level of a part of the spectrum: a filter, the square of the loudest channel, and a peak of it that falls with
// the release and is smoothed with the attack. In double precision, for long times move by less than a float's last
// bit.
#if defined(TWINRACK_DSP_DYNAMICS_BAND_LEVEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_BAND_LEVEL_INL_H_
#undef TWINRACK_DSP_DYNAMICS_BAND_LEVEL_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_BAND_LEVEL_INL_H_
#endif

#include <algorithm>
#include <cmath>

#include "dsp/dynamics/follower-inl.h"
#include "dsp/filters/svf_pairs-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_clock.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class BandLevel {
 public:
  static constexpr double floor = 1e-10;   // square of -100 dBFS
  static constexpr double loudest = 1e18;  // sample; what is beyond it counts as that

  void prepare(int channels) { filter_.prepare(channels); }

  // From this tick on.
  void tune(const SvfDesign& filter, float attack_ms, float release_ms, double sample_rate) noexcept TR_RT {
    filter_.tune(filter);
    coefficients_ = {one_pole_coefficient(static_cast<double>(attack_ms), sample_rate),
                     one_pole_coefficient(static_cast<double>(release_ms), sample_rate)};
  }

  void reset() noexcept TR_RT {
    filter_.reset();
    state_ = {};
  }

  // At most a tick.
  void process(const float* const* x, int channels, int frames) noexcept TR_RT {
    float memory[max_channels][tick_frames];
    float* y[max_channels];
    for (int c = 0; c < channels; ++c) y[c] = memory[c];
    filter_.process(x, y, channels, frames);
    for (int n = 0; n < frames; ++n) {
      float peak = 0.0f;
      for (int c = 0; c < channels; ++c) peak = std::max(peak, std::abs(y[c][n]));
      const double sample = std::min(static_cast<double>(peak), loudest);
      decoupled_step(state_, coefficients_, sample * sample);
    }
    state_ = {flushed(state_.peak), flushed(state_.level)};
  }

  bool at_floor() const noexcept TR_RT { return std::max(state_.peak, state_.level) <= floor; }
  double level_db() const noexcept TR_RT { return 10.0 * std::log10(std::max(state_.level, floor)); }

  // Nothing above -100 dBFS is followed any more; what is left is forgotten.
  bool tail_ended() noexcept TR_RT {
    if (!at_floor() || !filter_.tail_ended()) return false;
    state_ = {};
    return true;
  }

  void state(StateArchive& archive) { archive(filter_, state_); }

 private:
  SvfPairs filter_;
  FollowerCoefficients<double> coefficients_{1.0, 1.0};
  FollowerState<double> state_{};
};

// The frames of a block tick by tick: calls `begin()` before the first of each tick, and `run(heard, channels, sound)`
// for those of each tick, where `heard` is the sidechain, or the block itself where there is none.
template <class Begin, class Run>
inline void pass_ticks(TickClock& clock, Block io, SideBlock key, const Begin& begin, const Run& run) noexcept TR_RT {
  const float* const* from_start = key.channel != nullptr ? key.channel : io.channel;
  const int channels = key.channel != nullptr ? key.channels : io.channels;
  clock.pass(io.frames, begin, [&](int from, int frames) HWY_ATTR {
    const float* heard[max_channels];
    float* x[max_channels];
    for (int c = 0; c < channels; ++c) heard[c] = from_start[c] + from;
    for (int c = 0; c < io.channels; ++c) x[c] = io.channel[c] + from;
    run(heard, channels, Block{x, io.channels, frames});
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
