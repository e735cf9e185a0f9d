// From frequency, gain and Q to the coefficients of state-variable filters, in double precision, once a control tick.
//
// bilinear: the prototypes of A. Simper (2013). matched: the poles are the prototype's, mapped exactly (z = exp(sT));
// the zeros make the magnitude agree with the prototype's at 0, near the centre and at Nyquist (M. Vicanek, 2016,
// extended to shelves by the same three points).
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rt/realtime.h"

namespace twinrack {

struct SvfDesign {
  double g, k, m0, m1, m2;
};

enum class FilterShape { bell, low_shelf, high_shelf, low_cut, high_cut, notch, band_pass, all_pass };

namespace svf_design {

// Pole frequency relative to the nominal one, damping, and mixing of an analogue prototype.
struct Prototype {
  double shift, k, m0, m1, m2;
};

inline Prototype prototype(FilterShape shape, double gain_db, double q) noexcept TR_RT {
  const double a = std::pow(10.0, gain_db / 40.0), k = 1.0 / q;
  switch (shape) {
    case FilterShape::bell:
      return {1.0, k / a, 1.0, k / a * (a * a - 1.0), 0.0};
    case FilterShape::low_shelf:
      return {1.0 / std::sqrt(a), k, 1.0, k * (a - 1.0), a * a - 1.0};
    case FilterShape::high_shelf:
      return {std::sqrt(a), k, a * a, k * (1.0 - a) * a, 1.0 - a * a};
    case FilterShape::low_cut:
      return {1.0, k, 1.0, -k, -1.0};
    case FilterShape::high_cut:
      return {1.0, k, 0.0, 0.0, 1.0};
    case FilterShape::notch:
      return {1.0, k, 1.0, -k, 0.0};
    case FilterShape::band_pass:
      return {1.0, k, 0.0, k, 0.0};
    case FilterShape::all_pass:
      return {1.0, k, 1.0, -2.0 * k, 0.0};
  }
  return {1.0, k, 1.0, 0.0, 0.0};
}

// Squared magnitude of the prototype at a frequency relative to its poles.
inline double power(const Prototype& p, double x) noexcept TR_RT {
  const double n2 = p.m0, n1 = p.m0 * p.k + p.m1, n0 = p.m0 + p.m2;
  const double re = n0 - n2 * x * x, im = n1 * x, den = 1.0 - x * x;
  return (re * re + im * im) / (den * den + p.k * p.k * x * x);
}

inline SvfDesign matched(FilterShape shape, const Prototype& p, double w) noexcept TR_RT {
  constexpr double pi = std::numbers::pi;
  const double wp = std::min(w * p.shift, 0.98 * pi);
  // poles: at_one = A(1) = |1 - p|^2, at_minus_one = A(-1) = |1 + p|^2 of the denominator, without cancellation
  double at_one = 0, at_minus_one = 0, product = 0;  // product: 1 - p1 p2
  const double zeta = 0.5 * p.k;
  if (zeta < 1.0) {
    const double decay = zeta * wp, angle = wp * std::sqrt(1.0 - zeta * zeta), r = std::exp(-decay);
    const double s = std::sin(0.5 * angle);
    at_one = std::expm1(-decay) * std::expm1(-decay) + 4.0 * r * s * s;
    at_minus_one = (1.0 + r) * (1.0 + r) - 4.0 * r * s * s;
    product = -std::expm1(-2.0 * decay);
  } else {
    const double fast = wp * (zeta + std::sqrt(zeta * zeta - 1.0)), slow = wp * wp / fast;
    at_one = std::expm1(-fast) * std::expm1(-slow);
    at_minus_one = (1.0 + std::exp(-fast)) * (1.0 + std::exp(-slow));
    product = -std::expm1(-fast - slow);
  }
  const double g = std::sqrt(at_one / at_minus_one);
  const double k = 2.0 * product / (at_minus_one * g);
  if (shape == FilterShape::all_pass) return {g, k, 1.0, -2.0 * k, 0.0};
  const double d = 4.0 / at_minus_one;        // 1 + g k + g^2
  double b_one = 0, b_minus_one = 0, b0 = 0;  // numerator at z = 1, at z = -1, and its first coefficient
  if (shape == FilterShape::notch) {
    const double s = std::sin(0.5 * w), c = std::cos(0.5 * w);
    b_one = at_one;
    b0 = at_one / (4.0 * s * s);
    b_minus_one = 4.0 * b0 * c * c;
  } else {
    const double wm = std::min(w, 0.9 * pi);
    const double s = std::sin(0.5 * wm), phi1 = s * s, phi0 = 1.0 - phi1;
    const double a_one = at_one * at_one, a_minus = at_minus_one * at_minus_one;
    // A2 = -4 a2 with a2 = 1 - product
    const double a_middle = a_one * phi0 + a_minus * phi1 - 16.0 * (1.0 - product) * phi0 * phi1;
    const double target = a_middle * power(p, wm / (w * p.shift));
    if (shape == FilterShape::low_cut) {
      b0 = std::sqrt(target) / (4.0 * phi1);
      b_minus_one = 4.0 * b0;
    } else {
      b_one = at_one * std::abs(p.m0 + p.m2);
      b_minus_one = at_minus_one * std::sqrt(power(p, pi / (w * p.shift)));
      const double b2 = (target - b_one * b_one * phi0 - b_minus_one * b_minus_one * phi1) / (4.0 * phi0 * phi1);
      const double half = 0.5 * (b_one + b_minus_one);
      b0 = 0.5 * (half + std::sqrt(std::max(half * half + b2, 1e-12 * half * half)));
    }
  }
  const double m0 = b_minus_one / at_minus_one;
  const double m2 = b_one / at_one - m0;
  return {g, k, m0, ((b0 - m0) * d - m2 * g * g) / g, m2};
}

}  // namespace svf_design

inline double audible_frequency(double frequency_hz, double sample_rate) noexcept TR_RT {
  return std::min(frequency_hz, 0.49 * sample_rate);
}

inline SvfDesign design_svf(FilterShape shape, bool match, double frequency_hz, double gain_db, double q,
                            double sample_rate) noexcept TR_RT {
  const auto p = svf_design::prototype(shape, gain_db, q);
  const double w = 2.0 * std::numbers::pi * audible_frequency(frequency_hz, sample_rate) / sample_rate;
  if (match) return svf_design::matched(shape, p, w);
  return {std::tan(0.5 * w) * p.shift, p.k, p.m0, p.m1, p.m2};
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
inline SvfDesign monotonous_shelf(bool low, double ratio, double frequency_hz, double sample_rate) noexcept TR_RT {
  const double quarter = std::sqrt(std::sqrt(ratio)), root = quarter * quarter;
  const double w0 = std::tan(std::numbers::pi * audible_frequency(frequency_hz, sample_rate) / sample_rate);
  constexpr double k = std::numbers::sqrt2;
  if (low) return {w0 / quarter, k, 1.0, k * (root - 1.0), ratio - 1.0};
  return {w0 * quarter, k, ratio, k * (root - ratio), 1.0 - ratio};
}

}  // namespace twinrack
