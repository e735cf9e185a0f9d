// Tremolo (DAFX, 3.3): a gain that follows an oscillator, from 1 down to 1 less the depth.
#if defined(TWINRACK_PLUGINS_TREMOLO_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_TREMOLO_H_
#undef TWINRACK_PLUGINS_TREMOLO_H_
#else
#define TWINRACK_PLUGINS_TREMOLO_H_
#endif

#include "cards.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Tremolo {
  using Card = cards::Tremolo;

  void prepare(const Format& format) { rate_ = format.sample_rate; }

  void tune(const Card::Values& v) noexcept TR_RT {
    modulator_.tune(Modulator::Settings::of(v, rate_of(v), static_cast<Wave>(v.wave)), rate_);
    settings_.go({v.depth});
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    settings_.arrive();
  }

  bool is_ramping() const noexcept TR_RT { return modulator_.fading(); }

  void process(Block io, SideBlock) noexcept TR_RT {
    const Tag<float> d;
    const Vec<float> one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
    alignas(32) float wave[max_segment];
    for (int c = 0; c < io.channels; ++c) {
      float* x = io.channel[c];
      modulator_.fill(c, wave, io.frames);
      each_vector(io.frames, [&](int n) HWY_ATTR {
        const Vec<float> fallen = NegMulAdd(half, hn::Load(d, wave + n), half);
        const Vec<float> gain = NegMulAdd(settings_.vector(0, n), fallen, one);
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
  Ramps<1> settings_;  // the depth
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
