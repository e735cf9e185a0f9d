// From frequency, gain and Q to the coefficients of state-variable filters, in double precision, once a control tick.
//
// bilinear: the prototypes of A. Simper (2013), the frequency axis squeezed by tan(w / 2).
// matched: the magnitude is the prototype's at W, with W^2 = alpha t / (1 + delta t) and t = tan^2(w / 2). delta = 0 is
// the bilinear transform, whose W is infinite at Nyquist; a delta above 0 keeps it finite, and the result is still of
// second order. W rises with w, so whatever is monotonic, never above or never below 0 dB in the prototype stays so.
// alpha puts the filter's own frequency where it belongs; delta (fitted by us over shapes, gains and Qs) keeps W within
// 4 % of w up to 0.9 of Nyquist. The filter itself is the factor of this magnitude whose poles and zeros lie inside the
// circle. N is double, or a number that carries derivatives (adjoint/dual.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rt/realtime.h"

namespace twinrack {

template <class N>
struct SvfDesignOf {
  N g, k, m0, m1, m2;
};
using SvfDesign = SvfDesignOf<double>;

enum class FilterShape { bell, low_shelf, high_shelf, low_cut, high_cut, notch, band_pass, all_pass };

namespace svf_design {

// Pole frequency relative to the nominal one, damping, and mixing of an analogue prototype.
template <class N>
struct Prototype {
  N shift, k, m0, m1, m2;
};

template <class N>
inline Prototype<N> prototype(FilterShape shape, N gain_db, N q) noexcept TR_RT {
  using std::exp, std::sqrt;
  const N a = exp(gain_db * (std::numbers::ln10 / 40.0)), k = 1.0 / q, one(1.0), zero(0.0);
  switch (shape) {
    case FilterShape::bell:
      return {one, k / a, one, k / a * (a * a - 1.0), zero};
    case FilterShape::low_shelf:
      return {1.0 / sqrt(a), k, one, k * (a - 1.0), a * a - 1.0};
    case FilterShape::high_shelf:
      return {sqrt(a), k, a * a, k * (1.0 - a) * a, 1.0 - a * a};
    case FilterShape::low_cut:
      return {one, k, one, -k, -one};
    case FilterShape::high_cut:
      return {one, k, zero, zero, one};
    case FilterShape::notch:
      return {one, k, one, -k, zero};
    case FilterShape::band_pass:
      return {one, k, zero, k, zero};
    case FilterShape::all_pass:
      return {one, k, one, -2.0 * k, zero};
  }
  return {one, k, one, zero, zero};
}

// W^2 = alpha t / (1 + delta t), t = tan^2(w / 2), for a filter at w (radians a frame, also above Nyquist).
template <class N>
struct Warp {
  N alpha, delta;
};

template <class N>
inline Warp<N> warp(N w) noexcept TR_RT {
  using std::max, std::min, std::tan;
  constexpr double last = 0.9 * std::numbers::pi;
  const N exact = min(w, N(last)), tangent = tan(0.5 * exact), place = exact / last;
  const N delta = 0.52 - 0.14 * place * place + 0.12 * max(1.0 - last / w, N(0.0));
  return {exact * exact * (1.0 / (tangent * tangent) + delta), delta};
}

// The squared magnitude (n0 - n2 W^2)^2 + n1^2 W^2 in t: that of s^2 square + s sqrt(line) + n0, up to (1 + delta t)^2.
template <class N>
struct Factor {
  N square, line;
};

template <class N>
inline Factor<N> factor(N n0, N n1, N n2, N gamma, N delta) noexcept TR_RT {
  using std::sqrt;
  const N d = n0 * delta - n2 * gamma, cross = n1 * n1 * gamma * delta, square = sqrt(d * d + cross);
  const N sum = d < 0.0 ? cross / (square - d) : square + d;  // without cancellation
  return {square, n1 * n1 * gamma + 2.0 * n0 * sum};
}

template <class N>
inline SvfDesignOf<N> matched(FilterShape shape, const Prototype<N>& p, N w) noexcept TR_RT {
  using std::sqrt;
  const auto [alpha, delta] = warp(w);
  const N wp = w * p.shift, gamma = alpha / (wp * wp), one(1.0), zero(0.0);
  const Factor<N> poles = factor(one, p.k, one, gamma, delta);
  const N g = 1.0 / sqrt(poles.square), k = sqrt(poles.line / poles.square);
  if (shape == FilterShape::all_pass) return {g, k, one, -2.0 * k, zero};
  const N n2 = p.m0, n1 = p.m0 * p.k + p.m1, n0 = p.m0 + p.m2;
  if (shape == FilterShape::low_cut || shape == FilterShape::notch) {  // zeros on the circle, or both on the real axis
    const N m0 = (n2 * gamma - n0 * delta) / poles.square;
    return {g, k, m0, -m0 * k, n0 - m0};
  }
  const Factor<N> zeros = factor(n0, n1, n2, gamma, delta);
  const N m0 = zeros.square / poles.square;
  return {g, k, m0, sqrt(zeros.line / poles.square) - m0 * k, n0 - m0};
}

}  // namespace svf_design

// tan(w / 2) of the bilinear transform for a filter at a frequency; above 0.49 of the sample rate what lies at 0.49 of
// it keeps its place, so that a filter whose frequency the rate does not hold does below Nyquist what its prototype
// does.
template <class N>
inline N prewarped(N frequency_hz, double sample_rate) noexcept TR_RT {
  using std::min, std::tan;
  const N held = min(frequency_hz, N(0.49 * sample_rate));
  return tan(std::numbers::pi * held / sample_rate) * (frequency_hz / held);
}

template <class N>
inline SvfDesignOf<N> design_svf(FilterShape shape, bool match, N frequency_hz, N gain_db, N q,
                                 double sample_rate) noexcept TR_RT {
  const auto p = svf_design::prototype(shape, gain_db, q);
  if (match) return svf_design::matched(shape, p, 2.0 * std::numbers::pi * frequency_hz / sample_rate);
  return {prewarped(frequency_hz, sample_rate) * p.shift, p.k, p.m0, p.m1, p.m2};
}

// Q of one section of a steep cut: Butterworth, the most resonant section scaled by the user's Q.
inline double cut_section_q(int section, int sections, double q) noexcept TR_RT {
  if (sections == 1) return q;
  const double angle = std::numbers::pi * (2.0 * section + 1.0) / (4.0 * sections);
  const double butterworth = 0.5 / std::cos(angle);
  return section == sections - 1 ? butterworth * q * std::numbers::sqrt2 : butterworth;
}

// A second-order shelf between two Butterworth polynomials, monotonous in frequency: squared magnitude
// (w^4 + (r w0^4)) / (w^4 + w0^4 / r) for a low shelf, mirrored for a high one; `ratio` is its gain at the shelf's end.
template <class N>
inline SvfDesignOf<N> monotonous_shelf(bool low, N ratio, N frequency_hz, double sample_rate) noexcept TR_RT {
  using std::sqrt;
  const N quarter = sqrt(sqrt(ratio)), root = quarter * quarter, one(1.0), k(std::numbers::sqrt2);
  const N w0 = prewarped(frequency_hz, sample_rate);
  if (low) return {w0 / quarter, k, one, k * (root - 1.0), ratio - 1.0};
  return {w0 * quarter, k, ratio, k * (root - ratio), 1.0 - ratio};
}

}  // namespace twinrack
