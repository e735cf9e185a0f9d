// From frequency, gain and Q to the coefficients of state-variable filters, in double precision, once a control tick.
//
// bilinear: the prototypes of A. Simper (2013). matched: the poles are the prototype's, mapped exactly (z = exp(sT));
// the zeros make the magnitude agree with the prototype's at 0, near the centre and at Nyquist (M. Vicanek, 2016,
// extended to shelves by the same three points). N is double, or a number that carries derivatives (adjoint/dual.h).
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

// Squared magnitude of the prototype at a frequency relative to its poles.
template <class N>
inline N power(const Prototype<N>& p, N x) noexcept TR_RT {
  const N n2 = p.m0, n1 = p.m0 * p.k + p.m1, n0 = p.m0 + p.m2;
  const N re = n0 - n2 * x * x, im = n1 * x, den = 1.0 - x * x;
  return (re * re + im * im) / (den * den + p.k * p.k * x * x);
}

// 2 - 2 cos(sqrt z), continued to 2 - 2 cosh(sqrt -z) below 0: smooth where poles meet.
inline double chord(double z) noexcept TR_RT {
  if (std::abs(z) < 1e-3) return z * (1.0 - z / 12.0 * (1.0 - z / 30.0 * (1.0 - z / 56.0)));
  const double half = 0.5 * std::sqrt(std::abs(z)), s = z > 0.0 ? std::sin(half) : std::sinh(std::min(half, 300.0));
  return z > 0.0 ? 4.0 * s * s : -4.0 * s * s;
}
inline double chord_slope(double z) noexcept TR_RT {
  if (std::abs(z) < 1e-3) return 1.0 - z / 6.0 * (1.0 - z / 20.0 * (1.0 - z / 42.0));
  const double root = std::sqrt(std::abs(z));
  return z > 0.0 ? std::sin(root) / root : std::sinh(std::min(root, 600.0)) / root;
}

template <class N>
inline SvfDesignOf<N> matched(FilterShape shape, const Prototype<N>& p, N w) noexcept TR_RT {
  using std::abs, std::cos, std::exp, std::expm1, std::max, std::min, std::sin, std::sqrt;
  constexpr double pi = std::numbers::pi;
  const N wp = min(w * p.shift, N(0.98 * pi));
  // poles: at_one = A(1) = |1 - p|^2, at_minus_one = A(-1) = |1 + p|^2 of the denominator, without cancellation
  const N zeta = 0.5 * p.k, decay = zeta * wp, r = exp(-decay), fallen = expm1(-decay);
  const N between = r * chord(wp * wp * (1.0 - zeta * zeta));
  const N at_one = fallen * fallen + between, at_minus_one = (1.0 + r) * (1.0 + r) - between;
  const N product = -expm1(-2.0 * decay);  // 1 - p1 p2
  const N g = sqrt(at_one / at_minus_one);
  const N k = 2.0 * product / (at_minus_one * g);
  if (shape == FilterShape::all_pass) return {g, k, N(1.0), -2.0 * k, N(0.0)};
  const N d = 4.0 / at_minus_one;           // 1 + g k + g^2
  N b_one(0.0), b_minus_one(0.0), b0(0.0);  // numerator at z = 1, at z = -1, and its first coefficient
  if (shape == FilterShape::notch) {
    const N s = sin(0.5 * w), c = cos(0.5 * w);
    b_one = at_one;
    b0 = at_one / (4.0 * s * s);
    b_minus_one = 4.0 * b0 * c * c;
  } else {
    const N wm = min(w, N(0.9 * pi));
    const N s = sin(0.5 * wm), phi1 = s * s, phi0 = 1.0 - phi1;
    const N a_one = at_one * at_one, a_minus = at_minus_one * at_minus_one;
    // A2 = -4 a2 with a2 = 1 - product
    const N a_middle = a_one * phi0 + a_minus * phi1 - 16.0 * (1.0 - product) * phi0 * phi1;
    const N target = a_middle * power(p, wm / (w * p.shift));
    if (shape == FilterShape::low_cut) {
      b0 = sqrt(target) / (4.0 * phi1);
      b_minus_one = 4.0 * b0;
    } else {
      b_one = at_one * abs(p.m0 + p.m2);
      b_minus_one = at_minus_one * sqrt(power(p, pi / (w * p.shift)));
      const N b2 = (target - b_one * b_one * phi0 - b_minus_one * b_minus_one * phi1) / (4.0 * phi0 * phi1);
      const N half = 0.5 * (b_one + b_minus_one);
      b0 = 0.5 * (half + sqrt(max(half * half + b2, 1e-12 * half * half)));
    }
  }
  const N m0 = b_minus_one / at_minus_one;
  const N m2 = b_one / at_one - m0;
  return {g, k, m0, ((b0 - m0) * d - m2 * g * g) / g, m2};
}

}  // namespace svf_design

template <class N>
inline N audible_frequency(N frequency_hz, double sample_rate) noexcept TR_RT {
  using std::min;
  return min(frequency_hz, N(0.49 * sample_rate));
}

template <class N>
inline SvfDesignOf<N> design_svf(FilterShape shape, bool match, N frequency_hz, N gain_db, N q,
                                 double sample_rate) noexcept TR_RT {
  using std::tan;
  const auto p = svf_design::prototype(shape, gain_db, q);
  const N w = 2.0 * std::numbers::pi * audible_frequency(frequency_hz, sample_rate) / sample_rate;
  if (match) return svf_design::matched(shape, p, w);
  return {tan(0.5 * w) * p.shift, p.k, p.m0, p.m1, p.m2};
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
  using std::sqrt, std::tan;
  const N quarter = sqrt(sqrt(ratio)), root = quarter * quarter, one(1.0), k(std::numbers::sqrt2);
  const N w0 = tan(std::numbers::pi * audible_frequency(frequency_hz, sample_rate) / sample_rate);
  if (low) return {w0 / quarter, k, one, k * (root - 1.0), ratio - 1.0};
  return {w0 * quarter, k, ratio, k * (root - ratio), 1.0 - ratio};
}

}  // namespace twinrack
