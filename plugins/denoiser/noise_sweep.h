// The noise in a band, from the power of its ticks: it follows the power while that is near its recent minimum, and
// rests while something sounds above it, or nothing at all (R. Martin 2001; I. Cohen, B. Berdugo 2002).
#if defined(TWINRACK_PLUGINS_DENOISER_NOISE_SWEEP_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_DENOISER_NOISE_SWEEP_H_
#undef TWINRACK_PLUGINS_DENOISER_NOISE_SWEEP_H_
#else
#define TWINRACK_PLUGINS_DENOISER_NOISE_SWEEP_H_
#endif

#include <numbers>

#include "dsp/lanes/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct DenoiserNoiseSweep {
  // In octaves of power above the minimum: where it is as likely noise as not, and how sharply that changes.
  static constexpr double middle = 0.25, sharpness = 3.0;
  static constexpr double loudest_start = 1e-5;  // power that counts as noise at the start
  static constexpr double silence = 1e-12;       // power, the least that there is

  template <class V>
  struct State {
    V age;  // ticks since the first sound
    V level, minimum, noise;
  };
  template <class V>
  struct Settings {
    V slow;   // share of the way to the power in a tick, of the level whose minimum counts
    V adapt;  // the same of the noise
    V rise;   // factor by which the minimum rises in a tick
    V start;  // ticks from the first sound on, at least 1, in which all is noise
  };
  static constexpr int ramped_settings = 0;

  // How likely a band holds nothing but noise, 0 to 1, so many octaves of power above its minimum.
  template <class V>
  static HWY_INLINE V likely(V octaves) noexcept TR_RT {
    const V odds = exp2_of((octaves - Broadcast<V>::of(middle)) * Broadcast<V>::of(sharpness));
    return Broadcast<V>::of(1) / (Broadcast<V>::of(1) + odds);
  }

  template <class V>
  static HWY_INLINE V step(State<V>& s, const Settings<V>& c, const int*, V x) noexcept TR_RT {
    const State<V> before = s;
    s.level = MulAdd(c.slow, x - s.level, s.level);
    const V running = s.age - c.start + Broadcast<V>::of(0.5);  // above 0 after the start
    const V begin = Min(s.level, Broadcast<V>::of(loudest_start));
    s.minimum = if_positive(running, Min(s.minimum * c.rise, s.level), begin);
    const V noise = MulAdd(likely_of(s) * c.adapt, x - s.noise, s.noise);
    s.noise = if_positive(running, noise, begin);
    const V sounds = sounding(x);
    s.level = if_positive(sounds, s.level, before.level);
    s.minimum = if_positive(sounds, s.minimum, before.minimum);
    s.noise = if_positive(sounds, s.noise, before.noise);
    s.age = if_positive(sounds, Min(s.age + Broadcast<V>::of(1), Broadcast<V>::of(1e6)), s.age);
    return Max(s.noise, Broadcast<V>::of(silence));
  }

  template <class V>
  static HWY_INLINE V step_back(const State<V>& before, const Settings<V>& c, const int*, V x, V y_grad,
                                State<V>& adjoint, Settings<V>& sum) {
    const V zero = Broadcast<V>::of(0), one = Broadcast<V>::of(1);
    State<V> after = before;
    step(after, c, nullptr, x);
    const V running = before.age - c.start + Broadcast<V>::of(0.5), sounds = sounding(x);
    const State<V> left = adjoint;  // as it stays where nothing sounds
    y_grad = if_positive(after.noise - Broadcast<V>::of(silence), y_grad, zero);
    const V noise_grad = y_grad + adjoint.noise;
    const V u = likely_of(after), distance = x - before.noise;
    // While it runs. d likely / d octaves = -ln 2 sharpness u (1 - u), and an octave is ln(level / minimum) / ln 2.
    const V octave_grad = noise_grad * c.adapt * distance * Broadcast<V>::of(-sharpness) * u * (one - u);
    const V minimum_grad = adjoint.minimum - octave_grad / after.minimum;
    V risen = if_positive(after.level - before.minimum * c.rise, minimum_grad, zero);
    V level_grad = adjoint.level + octave_grad / after.level + (minimum_grad - risen);
    // At the start both are the level, or the loudest start.
    const V begun = adjoint.minimum + noise_grad;
    const V below = if_positive(Broadcast<V>::of(loudest_start) - after.level, begun, zero);
    level_grad = if_positive(running, level_grad, adjoint.level + below);
    const V adapts = if_positive(sounds, if_positive(running, noise_grad, zero), zero);
    level_grad = if_positive(sounds, level_grad, zero);
    risen = if_positive(sounds, if_positive(running, risen, zero), zero);
    sum.adapt = MulAdd(adapts * u, distance, sum.adapt);
    sum.rise = MulAdd(risen, before.minimum, sum.rise);
    sum.slow = MulAdd(level_grad, x - before.level, sum.slow);
    adjoint.level = if_positive(sounds, NegMulAdd(level_grad, c.slow, level_grad), left.level);
    adjoint.minimum = if_positive(sounds, risen * c.rise, left.minimum);
    adjoint.noise = if_positive(sounds, NegMulAdd(adapts, u * c.adapt, adapts), left.noise + y_grad);
    adjoint.age = zero;
    return level_grad * c.slow + adapts * u * c.adapt;
  }

 private:
  // Above 0 where there is more than silence.
  template <class V>
  static HWY_INLINE V sounding(V x) noexcept TR_RT {
    return x - Broadcast<V>::of(1.5 * silence);
  }
  template <class V>
  static HWY_INLINE V likely_of(const State<V>& s) noexcept TR_RT {
    return likely(log2_of(s.level) - log2_of(s.minimum));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
