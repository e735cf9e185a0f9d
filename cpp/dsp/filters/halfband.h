// Half-band filters for oversampling by 2, 4 and 8: a steep one between the base rate and twice that, gentler ones
// above. Flat to 0.417 of the base rate (20 kHz at 48 kHz), 94 dB down or more from 0.583 on.
//
// Linear phase: a windowed sinc (J. F. Kaiser, 1974); all coefficients but the middle one sit at even places. Minimum
// phase: two chains of all-passes, from an elliptic filter whose poles lie on the imaginary axis (R. A. Valenzuela, A.
// G. Constantinides, Digital signal processing schemes for efficient interpolation and decimation, IEE Proc. 130,
// 1983).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace twinrack {

inline constexpr int halfband_stages = 3;

// A filter of 4 m + 3 coefficients, for a stage.
struct HalfbandShape {
  int m;
  double beta;
};
inline constexpr std::array<HalfbandShape, halfband_stages> halfband_shapes{{{19, 9.6}, {7, 9.5}, {5, 10.0}}};

inline double bessel_i0(double x) {
  double sum = 1.0, term = 1.0;
  for (int k = 1; term > 1e-17 * sum; ++k) {
    term *= (x / (2.0 * k)) * (x / (2.0 * k));
    sum += term;
  }
  return sum;
}

// The 2 m + 2 coefficients at even places; the middle one is 1. They add up to 1, which is twice the filter's, so that
// a signal with zeros inserted keeps its level.
inline std::vector<float> halfband_taps(int stage) {
  const auto [m, beta] = halfband_shapes[static_cast<std::size_t>(stage)];
  const double centre = 2.0 * m + 1.0;
  std::vector<double> taps;
  double sum = 0.0;
  for (int i = 0; i < 2 * m + 2; ++i) {
    const double away = 2.0 * i - centre, place = away / centre;
    const double sinc = std::sin(0.5 * std::numbers::pi * away) / (0.5 * std::numbers::pi * away);
    taps.push_back(sinc * bessel_i0(beta * std::sqrt(1.0 - place * place)));
    sum += taps.back();
  }
  std::vector<float> scaled;
  for (const double tap : taps) scaled.push_back(static_cast<float>(tap / sum));
  return scaled;
}

// The delay of a stage up and down, in samples of its lower rate; a stage above the first adds what makes it whole
// frames.
inline int halfband_delay(int stage) {
  const int bare = 2 * halfband_shapes[static_cast<std::size_t>(stage)].m + 1, whole = 1 << stage;
  return (bare + whole - 1) / whole * whole;
}

// Samples of a stage's lower rate that it waits beyond the delay of its filters.
inline int halfband_wait(int stage) {
  return halfband_delay(stage) - (2 * halfband_shapes[static_cast<std::size_t>(stage)].m + 1);
}

// The delay of oversampling by 2^stages, in frames.
inline int oversampling_delay(int stages) {
  int frames = 0;
  for (int stage = 0; stage < stages; ++stage) frames += halfband_delay(stage) / (1 << stage);
  return frames;
}

// The all-passes of a stage; the first chain has those at even places, the second the others.
inline constexpr int most_allpasses = 6;
struct HalfbandAllpasses {
  int count;
  std::array<double, most_allpasses> coefficient;
};
inline constexpr std::array<HalfbandAllpasses, halfband_stages> halfband_allpasses{{
    {6,
     {0.04418190936614738, 0.1641888606563408, 0.330744163240607, 0.5150869442601129, 0.702052853526497,
      0.8948896428217772}},
    {3, {0.06378783701023288, 0.2667809630344926, 0.6685487936635895}},
    {2, {0.11030121005434075, 0.5367721239306243}},
}};

// Frames by which oversampling by 2^stages with all-passes delays low frequencies, to the nearest whole one.
inline int allpass_oversampling_delay(int stages) noexcept {
  double frames = 0.0;
  for (int stage = 0; stage < stages; ++stage) {
    const HalfbandAllpasses& all = halfband_allpasses[static_cast<std::size_t>(stage)];
    for (int i = 0; i < all.count; ++i) {
      const double c = all.coefficient[static_cast<std::size_t>(i)];
      frames += (1.0 - c) / (1.0 + c) / (1 << stage);
    }
  }
  return static_cast<int>(std::lround(frames));
}

}  // namespace twinrack
