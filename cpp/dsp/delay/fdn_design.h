// The design of a reverb's delay network: from decay times and diffusion to gains and filters, in double precision.
#pragma once

#include <algorithm>
#include <cmath>

#include "dsp/filters/svf_design.h"
#include "rt/realtime.h"

namespace twinrack {

// The gain of a diffuser, an all-pass of so many seconds. Its tail falls by the gain once a length: by 10^(-6 length /
// decay) it would fall by 120 dB in the decay time, twice as fast as the reverb, so diffusers never outlast it. Gains
// above 0.75 are not used: an all-pass rings the more audibly the closer its gain is to 1.
inline double diffuser_gain(double diffusion, double length_s, double decay_s) noexcept TR_RT {
  return 0.75 * diffusion * std::pow(10.0, -6.0 * length_s / decay_s);
}

// The output level that makes late reverberation about as loud for every decay time. A turn through the lines, of about
// 31.6 ms, multiplies the energy by r = 10^(-6 * 0.0316 / decay), so an impulse has the energy 1 / (1 - r) in all. 1.3
// sets the level beside the early reflections.
inline double late_level(double decay_s) noexcept TR_RT {
  return 1.3 * std::sqrt(1.0 - std::pow(10.0, -6.0 * 0.0316 / decay_s));
}

// Decay times of three bands, and the frequencies between them.
struct DecayBands {
  double mid_s, low_s, high_s, low_hz, high_hz;
};

// (low / high)^4 of the frequencies between the bands, prewarped.
inline double crossover_ratio4(const DecayBands& bands, double sample_rate) noexcept TR_RT {
  return std::pow(prewarped(bands.low_hz, sample_rate) / prewarped(bands.high_hz, sample_rate), 4.0);
}

// The scale that keeps two shelves in series at or below the gains of their three bands, for gains of the low and the
// high band relative to the middle one. The squared magnitude of the shelves is a ratio of quadratics in frequency^4,
// so it never exceeds the largest ratio of their coefficients. The ratios of the ends are the bands' own; where both
// shelves rise the middle ratio can be larger.
inline double overshoot_scale(double low, double high, double ratio4) noexcept TR_RT {
  const double ends = std::max({1.0, low * low, high * high});
  const double middle = (high + low * high * high * ratio4) / (high + ratio4 / low);
  return std::sqrt(ends / std::max(ends, middle));
}

// The attenuation of a line: 60 dB per decay time in each band, as two shelves, of which the second carries the gain of
// the middle band.
struct LineAttenuation {
  SvfDesign low, high;
};
inline LineAttenuation line_attenuation(double length_s, const DecayBands& bands, double ratio4,
                                        double sample_rate) noexcept TR_RT {
  const double mid = std::pow(10.0, -3.0 * length_s / bands.mid_s);
  const double low = std::pow(10.0, -3.0 * length_s / bands.low_s) / mid;
  const double high = std::pow(10.0, -3.0 * length_s / bands.high_s) / mid;
  const double gain = mid * overshoot_scale(low, high, ratio4);
  LineAttenuation line{monotonous_shelf(true, low, bands.low_hz, sample_rate),
                       monotonous_shelf(false, high, bands.high_hz, sample_rate)};
  line.high.m0 *= gain;
  line.high.m1 *= gain;
  line.high.m2 *= gain;
  return line;
}
// While the reverb is frozen: none.
inline LineAttenuation no_attenuation(const DecayBands& bands, double sample_rate) noexcept TR_RT {
  return {monotonous_shelf(true, 1.0, bands.low_hz, sample_rate),
          monotonous_shelf(false, 1.0, bands.high_hz, sample_rate)};
}

}  // namespace twinrack
