// Ring modulator (DAFX, 3.2): the sound times a sine.
#if defined(TWINRACK_PLUGINS_RING_MODULATOR_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_RING_MODULATOR_H_
#undef TWINRACK_PLUGINS_RING_MODULATOR_H_
#else
#define TWINRACK_PLUGINS_RING_MODULATOR_H_
#endif

#include <algorithm>

#include "cards.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct RingModulator {
  using Card = cards::RingModulator;
  static constexpr double highest_share = 0.45;  // of the sample rate

  void prepare(const Format& format) { rate_ = format.sample_rate; }

  void tune(const Card::Values& v) noexcept TR_RT {
    const double hz = std::min(static_cast<double>(v.frequency_hz), highest_share * rate_);
    modulator_.tune(Modulator::Settings::of(v, hz, Wave::sine), rate_);
    settings_.go({v.mix});
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    settings_.arrive();
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    const Tag<float> d;
    const Vec<float> one = hn::Set(d, 1.0f);
    alignas(32) float sine[max_segment];
    for (int c = 0; c < io.channels; ++c) {
      float* x = io.channel[c];
      modulator_.fill(c, sine, io.frames);
      each_vector(io.frames, [&](int n) HWY_ATTR {
        const Vec<float> gain = MulAdd(settings_.vector(0, n), hn::Load(d, sine + n) - one, one);
        store_some(load_some(x + n, io.frames - n) * gain, x + n, io.frames - n);
      });
    }
    modulator_.pass(io.frames);
    settings_.pass(io.frames);
  }

  bool tail_ended(int) noexcept TR_RT { return !settings_.moving(); }
  void skip_silence(int frames) noexcept TR_RT { modulator_.pass(frames); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(modulator_, settings_); }

 private:
  double rate_ = 0;
  Modulator modulator_;
  Ramps<1> settings_;  // the mix
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
