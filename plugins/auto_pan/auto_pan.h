// Auto pan: an oscillator moves the place between left and right on a curve of constant power.
#if defined(TWINRACK_PLUGINS_AUTO_PAN_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_AUTO_PAN_H_
#undef TWINRACK_PLUGINS_AUTO_PAN_H_
#else
#define TWINRACK_PLUGINS_AUTO_PAN_H_
#endif

#include <numbers>

#include "cards.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct AutoPan {
  using Card = cards::AutoPan;

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
    const Vec<float> half = hn::Set(d, 0.5f), root = hn::Set(d, std::numbers::sqrt2_v<float>);
    alignas(32) float wave[max_segment];
    if (io.channels > 1) modulator_.fill(0, wave, io.frames);
    for (int c = 0; c + 1 < io.channels; c += 2) {
      float *left = io.channel[c], *right = io.channel[c + 1];
      each_vector(io.frames, [&](int n) HWY_ATTR {
        const Vec<float> place = MulAdd(half * settings_.vector(0, n), hn::Load(d, wave + n), half);
        const Vec<float> to_left = root * cosine_of_quarter(place), to_right = root * sine_of_quarter(place);
        store_some(load_some(left + n, io.frames - n) * to_left, left + n, io.frames - n);
        store_some(load_some(right + n, io.frames - n) * to_right, right + n, io.frames - n);
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
