// The layout of the reverb at a sample rate: lengths of lines and diffusers, early reflections, modulation. The engine
// and the twin share it.
#pragma once

#include <array>
#include <cmath>
#include <vector>

namespace twinrack {

inline constexpr int fdn_lines = 16;
inline constexpr int fdn_pairs = fdn_lines / 2;
inline constexpr int fdn_diffusers = 4;
inline constexpr int early_taps = 12;

struct FdnLayout {
  std::array<int, fdn_lines> line_frames;
  std::array<std::array<int, 2>, fdn_diffusers> diffuser_frames;  // for even and odd channels
  std::array<std::array<int, early_taps>, 2> early_frames;
  std::array<std::array<float, early_taps>, 2> early_gain;
  std::array<double, fdn_pairs> rate_factor;  // of the modulation, pair by pair
  std::array<double, fdn_pairs> start_turn;   // phase at frame 0, in turns
};

inline int prime_near(double value) {
  for (int n = static_cast<int>(std::lround(value)) | 1;; n += 2) {
    bool prime = n > 1;
    for (int d = 3; d * d <= n; d += 2) prime = prime && n % d != 0;
    if (prime) return n;
  }
}

inline FdnLayout fdn_layout(double sample_rate) {
  // Line lengths in ms: geometric, with irregular deviations so that no two combinations coincide often.
  constexpr std::array<double, fdn_lines> deviation{0.0,  0.31, -0.22, 0.17, -0.35, 0.08, 0.40,  -0.13,
                                                    0.26, -0.3, 0.05,  0.37, -0.18, 0.12, -0.27, 0.0};
  constexpr double shortest = 11.3, longest = 57.9;
  constexpr double diffuser_ms[fdn_diffusers][2] = {{2.31, 2.57}, {3.79, 3.53}, {6.11, 6.43}, {9.71, 9.29}};
  constexpr double early_ms[early_taps] = {3.1, 5.9, 8.3, 11.9, 14.3, 18.7, 22.1, 27.7, 32.9, 40.3, 48.1, 57.7};
  FdnLayout layout{};
  for (std::size_t i = 0; i < fdn_lines; ++i) {
    const double ms =
        shortest * std::pow(longest / shortest, (static_cast<double>(i) + deviation[i]) / (fdn_lines - 1));
    layout.line_frames[i] = prime_near(ms * 1e-3 * sample_rate);
  }
  for (std::size_t i = 0; i < fdn_diffusers; ++i) {
    for (std::size_t side = 0; side < 2; ++side) {
      layout.diffuser_frames[i][side] = prime_near(diffuser_ms[i][side] * 1e-3 * sample_rate);
    }
  }
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t i = 0; i < early_taps; ++i) {
      const double ms = early_ms[i] * (side == 0 ? 1.0 : 1.0 + 0.037 * (i % 2 == 0 ? 1.0 : -1.0));
      layout.early_frames[side][i] = static_cast<int>(std::lround(ms * 1e-3 * sample_rate));
      const double level = 0.7 * std::pow(10.0, -ms / 57.7 * 0.6);
      const bool negative = ((i * 5 + side * 3) % 7) % 2 == 1;
      layout.early_gain[side][i] = static_cast<float>(negative ? -level : level);
    }
  }
  for (std::size_t i = 0; i < fdn_pairs; ++i) {
    layout.rate_factor[i] = 1.0 + 0.13 * (static_cast<double>(i) - 3.5);
    layout.start_turn[i] = static_cast<double>((i * 3) % fdn_pairs) / fdn_pairs;
  }
  return layout;
}

}  // namespace twinrack
