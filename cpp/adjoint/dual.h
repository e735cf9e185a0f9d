// A number that carries its derivatives with respect to a few others, for what is too small to be swept backwards: the
// design of a filter (forward accumulation; R. E. Wengert, A simple automatic derivative evaluation program, 1964).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "dsp/filters/svf_design.h"

namespace twinrack::adjoint {

template <std::size_t count>
struct Dual {
  double value = 0;
  std::array<double, count> slope{};

  Dual() = default;
  explicit Dual(double v) : value(v) {}
  // The which-th of the numbers that derivatives are taken by.
  static Dual variable(double v, std::size_t which) {
    Dual d(v);
    d.slope[which] = 1.0;
    return d;
  }
  // f(x), where f has that value and slope there.
  Dual through(double f, double df) const {
    Dual d(f);
    for (std::size_t i = 0; i < count; ++i) d.slope[i] = df * slope[i];
    return d;
  }

  friend Dual operator+(const Dual& a, const Dual& b) {
    Dual d(a.value + b.value);
    for (std::size_t i = 0; i < count; ++i) d.slope[i] = a.slope[i] + b.slope[i];
    return d;
  }
  friend Dual operator-(const Dual& a) { return a.through(-a.value, -1.0); }
  friend Dual operator-(const Dual& a, const Dual& b) { return a + -b; }
  friend Dual operator*(const Dual& a, const Dual& b) {
    Dual d(a.value * b.value);
    for (std::size_t i = 0; i < count; ++i) d.slope[i] = a.slope[i] * b.value + a.value * b.slope[i];
    return d;
  }
  friend Dual operator/(const Dual& a, const Dual& b) {
    Dual d(a.value / b.value);
    for (std::size_t i = 0; i < count; ++i) d.slope[i] = (a.slope[i] - d.value * b.slope[i]) / b.value;
    return d;
  }
  friend Dual operator+(double a, const Dual& b) { return b.through(a + b.value, 1.0); }
  friend Dual operator+(const Dual& a, double b) { return a.through(a.value + b, 1.0); }
  friend Dual operator-(double a, const Dual& b) { return b.through(a - b.value, -1.0); }
  friend Dual operator-(const Dual& a, double b) { return a.through(a.value - b, 1.0); }
  friend Dual operator*(double a, const Dual& b) { return b.through(a * b.value, a); }
  friend Dual operator*(const Dual& a, double b) { return a.through(a.value * b, b); }
  friend Dual operator/(double a, const Dual& b) { return b.through(a / b.value, -a / (b.value * b.value)); }
  friend Dual operator/(const Dual& a, double b) { return a.through(a.value / b, 1.0 / b); }

  friend bool operator<(const Dual& a, double b) { return a.value < b; }
  friend Dual min(const Dual& a, const Dual& b) { return b.value < a.value ? b : a; }
  friend Dual max(const Dual& a, const Dual& b) { return a.value < b.value ? b : a; }
  friend Dual abs(const Dual& a) { return a.value < 0.0 ? -a : a; }
  friend Dual sqrt(const Dual& a) {
    const double root = std::sqrt(a.value);
    return a.through(root, root > 0.0 ? 0.5 / root : 0.0);
  }
  friend Dual exp(const Dual& a) { return a.through(std::exp(a.value), std::exp(a.value)); }
  friend Dual tan(const Dual& a) {
    const double t = std::tan(a.value);
    return a.through(t, 1.0 + t * t);
  }
};

}  // namespace twinrack::adjoint
