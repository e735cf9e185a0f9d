// The sections of a Linkwitz-Riley crossover (S. H. Linkwitz, JAES 24, 1976), as state-variable filters.
//
// The low band is a Butterworth low pass B of order m, twice. The all-pass B(-s) / B(s) less the low band is the high
// band, for B(-s) B(s) = 1 + (-1)^m s^2m: a Butterworth high pass twice, with the sign (-1)^m. So both bands add up to
// the all-pass, to the rounding, and while the frequency moves. The square of a first-order low pass is one section of
// Q 1/2.
#pragma once

#include <array>
#include <cmath>
#include <numbers>

#include "dsp/filters/svf_design.h"
#include "rt/realtime.h"

namespace twinrack {

inline constexpr int linkwitz_riley_steepest = 4;  // times 12 dB an octave

struct LinkwitzRileySections {
  std::array<SvfDesign, linkwitz_riley_steepest> low{};
  std::array<SvfDesign, linkwitz_riley_steepest / 2> all_pass{};
  int lows = 0, all_passes = 0;
};

// `order` is that of the Butterworth filter, 1 to 4: 12 dB an octave for each.
inline LinkwitzRileySections design_linkwitz_riley(int order, double frequency_hz, double sample_rate) noexcept TR_RT {
  LinkwitzRileySections d;
  const double g = prewarped(frequency_hz, sample_rate);
  const auto add = [&](double k, bool first_order) {
    for (int i = 0; i < (first_order ? 1 : 2); ++i) d.low[static_cast<std::size_t>(d.lows++)] = {g, k, 0.0, 0.0, 1.0};
    d.all_pass[static_cast<std::size_t>(d.all_passes++)] =
        first_order ? SvfDesign{g, k, -1.0, k, 2.0} : SvfDesign{g, k, 1.0, -2.0 * k, 0.0};
  };
  if (order % 2 == 1) add(2.0, true);
  for (int i = order / 2; i > 0; --i) {  // the most resonant one last
    add(2.0 * std::sin(std::numbers::pi * (2.0 * i - 1.0) / (2.0 * order)), false);
  }
  return d;
}

}  // namespace twinrack
