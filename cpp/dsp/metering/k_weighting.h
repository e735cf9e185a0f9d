// The K weighting of Rec. ITU-R BS.1770-4: a shelf for the head and a low cut, as biquads in double precision.
#pragma once

#include <array>
#include <cmath>
#include <numbers>

#include "rt/realtime.h"

namespace twinrack {

class KWeighting {
 public:
  using State = std::array<double, 4>;  // of one channel

  explicit KWeighting(double sample_rate) {
    // The analogue prototype behind the coefficients that the recommendation prints for 48 kHz.
    const double shelf = std::tan(std::numbers::pi * 1681.974450955533 / sample_rate);
    const double high = std::pow(10.0, 3.999843853973347 / 20.0), middle = std::pow(high, 0.4996667741545416);
    const double damping = shelf / 0.7071752369554196, a = 1.0 + damping + shelf * shelf;
    shelf_ = {(high + middle * damping + shelf * shelf) / a, 2.0 * (shelf * shelf - high) / a,
              (high - middle * damping + shelf * shelf) / a, 2.0 * (shelf * shelf - 1.0) / a,
              (1.0 - damping + shelf * shelf) / a};
    const double cut = std::tan(std::numbers::pi * 38.13547087602444 / sample_rate);
    const double b = 1.0 + cut / 0.5003270373238773 + cut * cut;
    cut_ = {1.0, -2.0, 1.0, 2.0 * (cut * cut - 1.0) / b, (1.0 - cut / 0.5003270373238773 + cut * cut) / b};
  }

  // The sum of the squares of the weighted sound.
  double energy(const float* x, int frames, State& state) const noexcept TR_RT {
    auto [s0, s1, t0, t1] = state;
    double sum = 0.0;
    for (int n = 0; n < frames; ++n) {
      const auto in = static_cast<double>(x[n]);
      const double y = shelf_.b0 * in + s0;
      s0 = shelf_.b1 * in - shelf_.a1 * y + s1;
      s1 = shelf_.b2 * in - shelf_.a2 * y;
      const double z = cut_.b0 * y + t0;
      t0 = cut_.b1 * y - cut_.a1 * z + t1;
      t1 = cut_.b2 * y - cut_.a2 * z;
      sum += z * z;
    }
    constexpr double least = 1e-30;  // far below audibility, and far above denormal numbers
    for (double* s : {&s0, &s1, &t0, &t1}) *s = std::abs(*s) < least ? 0.0 : *s;
    state = {s0, s1, t0, t1};
    return sum;
  }

 private:
  struct Biquad {
    double b0, b1, b2, a1, a2;
  };
  Biquad shelf_{}, cut_{};
};

}  // namespace twinrack
