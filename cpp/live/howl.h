// A detector of acoustic feedback (howl): one partial, free of harmonics, that stands far above everything else and
// grows from window to window (peak-to-average and peak-to-harmonic power, persistence and slope: T. van Waterschoot,
// M. Moonen, "Fifty years of acoustic feedback control", Proc. IEEE 99(2), 2011). Windows of 1024 frames, one every
// 512, on the absolute grid.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <numbers>
#include <vector>

#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack::live {

class HowlDetector {
 public:
  static constexpr int window = 1024, hop = max_segment, half = window / 2;

  // `position`: of the first frame within the grid of `hop`.
  void prepare(double sample_rate, int position) {
    at_ = position;
    min_windows_ = std::max(12, static_cast<int>(std::lround(min_duration_s * sample_rate / hop)));
    bin_hz_ = sample_rate / window;
    first_ = std::max(2, static_cast<int>(std::ceil(lowest_hz / bin_hz_)));
    for (int n = 0; n < window; ++n) {
      window_shape_[static_cast<std::size_t>(n)] =
          static_cast<float>(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * n / window));
    }
    for (int k = 0; k < half; ++k) {
      const double angle = -2.0 * std::numbers::pi * k / window;
      twiddles_[static_cast<std::size_t>(k)] = {static_cast<float>(std::cos(angle)),
                                                static_cast<float>(std::sin(angle))};
    }
  }

  // Clears what it observed, but keeps its position on the grid.
  void reset() noexcept TR_RT {
    samples_.fill(0.0f);
    bin_ = windows_ = rising_ = limited_windows_ = 0;
    last_level_ = first_level_ = middle_level_ = 0.0f;
  }

  // Takes the next frames of a grid of `hop`; true when they complete a howl. `limited`: the limiter already acts on
  // it.
  bool process(const float* const* y, int channels, int frames, bool limited) noexcept TR_RT {
    for (int n = 0; n < frames; ++n) {
      float sum = 0.0f;
      // Not equally, so that a howl in opposite polarity does not cancel.
      for (int c = 0; c < channels; ++c) sum += y[c][n] / (1.0f + 0.5f * static_cast<float>(c));
      samples_[static_cast<std::size_t>(half + at_ + n)] = sum;
    }
    at_ += frames;
    if (at_ < hop) return false;
    at_ = 0;
    const bool howls = is_howl(limited);
    std::copy_n(samples_.begin() + half, half, samples_.begin());
    return howls;
  }

  // Of the last howl, in Hz.
  float frequency_hz() const noexcept TR_RT { return static_cast<float>(bin_ * bin_hz_); }

 private:
  static constexpr double lowest_hz = 100.0;
  static constexpr double min_duration_s = 0.13;
  static constexpr float min_level = 1e-4f;                      // of the partial: -40 dBFS
  static constexpr float purity = 0.8f;                          // part of all power that lies in the partial
  static constexpr float above_harmonics = 1e3f, growth = 1.2f;  // 30 dB; 0.8 dB in half of the time

  bool is_howl(bool limited) noexcept TR_RT {
    transform();
    float total = 0.0f;
    int peak = first_;
    for (int k = first_; k < half - 2; ++k) {
      total += power(k);
      if (power(k) > power(peak)) peak = k;
    }
    float partial = 0.0f;
    for (int k = peak - 2; k <= peak + 2; ++k) partial += power(k);
    const bool pure = partial > purity * total && has_no_harmonics(peak, partial);
    const float level = partial / (0.09375f * window * window);  // a sine of amplitude 1 has 1
    if (!pure || level < min_level || std::abs(peak - bin_) > 1) {
      restart(level);
    } else {
      ++windows_;
      if (windows_ == 3) first_level_ = level;  // the first windows may hold only a part of it
      if (windows_ == min_windows_ / 2) middle_level_ = level;
      rising_ += level > last_level_ ? 1 : 0;
      limited_windows_ += limited ? 1 : 0;
    }
    bin_ = peak;
    last_level_ = level;
    if (windows_ < min_windows_) return false;
    // A played tone rises once and stays; a howl goes on rising.
    const bool grows =
        rising_ >= windows_ - 2 && level > growth * middle_level_ && middle_level_ > growth * first_level_;
    const bool howls = grows || limited_windows_ >= min_windows_;
    if (howls || windows_ >= 2 * min_windows_) restart(level);
    return howls;
  }

  void restart(float level) noexcept TR_RT {
    windows_ = rising_ = limited_windows_ = 0;
    first_level_ = level;
  }

  // Nothing stands where a played or sung tone would have harmonics.
  bool has_no_harmonics(int peak, float partial) const noexcept TR_RT {
    for (const int times : {2, 3}) {
      const int at = peak * times;
      if (at + 2 >= half) break;
      float harmonic = 0.0f;
      for (int k = at - 2; k <= at + 2; ++k) harmonic += power(k);
      if (harmonic * above_harmonics > partial) return false;
    }
    return true;
  }

  float power(int k) const noexcept TR_RT { return spectrum_[static_cast<std::size_t>(k)]; }

  // A transform of half the length over pairs of frames, then taken apart (radix 2: only once in `hop` frames).
  void transform() noexcept TR_RT {
    using Z = std::complex<float>;
    const auto times = [](Z a, Z b) noexcept {
      return Z(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
    };
    for (int n = 0, to = 0; n < half; ++n) {
      const auto even = static_cast<std::size_t>(2 * n);
      z_[static_cast<std::size_t>(to)] = {samples_[even] * window_shape_[even],
                                          samples_[even + 1] * window_shape_[even + 1]};
      int bit = half >> 1;
      for (; (to & bit) != 0; bit >>= 1) to ^= bit;
      to |= bit;
    }
    for (int length = 2; length <= half; length *= 2) {
      for (int start = 0; start < half; start += length) {
        for (int k = 0; k < length / 2; ++k) {
          const auto a = static_cast<std::size_t>(start + k), b = a + static_cast<std::size_t>(length / 2);
          const Z rotated = times(z_[b], twiddles_[static_cast<std::size_t>(k * (window / length))]);
          z_[b] = z_[a] - rotated;
          z_[a] = z_[a] + rotated;
        }
      }
    }
    for (int k = 0; k < half; ++k) {
      const Z a = z_[static_cast<std::size_t>(k)], b = std::conj(z_[static_cast<std::size_t>((half - k) % half)]);
      const Z odd = times(a - b, twiddles_[static_cast<std::size_t>(k)]);
      const Z x(0.5f * (a.real() + b.real() + odd.imag()), 0.5f * (a.imag() + b.imag() - odd.real()));
      spectrum_[static_cast<std::size_t>(k)] = x.real() * x.real() + x.imag() * x.imag();
    }
  }

  double bin_hz_ = 0.0;
  int first_ = 2, min_windows_ = 12, at_ = 0, bin_ = 0, windows_ = 0, rising_ = 0, limited_windows_ = 0;
  float last_level_ = 0.0f, first_level_ = 0.0f, middle_level_ = 0.0f;
  std::array<float, static_cast<std::size_t>(window)> samples_{}, window_shape_{};
  std::array<std::complex<float>, static_cast<std::size_t>(half)> twiddles_{}, z_{};
  std::array<float, static_cast<std::size_t>(half)> spectrum_{};
};

}  // namespace twinrack::live
