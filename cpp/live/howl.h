// Hears acoustic feedback: one partial, free of harmonics, that stands far above everything else and grows from window
// to window (peak-to-average and peak-to-harmonic power, persistence and slope: T. van Waterschoot, M. Moonen, "Fifty
// years of acoustic feedback control", Proc. IEEE 99(2), 2011). Windows of 1024 frames, one every 512, on the absolute
// grid.
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

  // `place`: of the first frame within the grid of `hop`.
  void prepare(double sample_rate, int place) {
    at_ = place;
    patience_ = std::max(12, static_cast<int>(std::lround(patience_s * sample_rate / hop)));
    bin_hz_ = sample_rate / window;
    first_ = std::max(2, static_cast<int>(std::ceil(lowest_hz / bin_hz_)));
    for (int n = 0; n < window; ++n) {
      shape_[static_cast<std::size_t>(n)] =
          static_cast<float>(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * n / window));
    }
    for (int k = 0; k < half; ++k) {
      const double angle = -2.0 * std::numbers::pi * k / window;
      turns_[static_cast<std::size_t>(k)] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
    }
  }

  // Forgets what it heard, but not where it is on the grid.
  void reset() noexcept TR_RT {
    heard_.fill(0.0f);
    bin_ = count_ = rises_ = limited_ = 0;
    last_ = begin_ = middle_ = 0.0f;
  }

  // The next frames of a grid of `hop`; true when with them a howl is heard. `limited`: it already pushes the limiter.
  bool hear(const float* const* y, int channels, int frames, bool limited) noexcept TR_RT {
    for (int n = 0; n < frames; ++n) {
      float sum = 0.0f;
      // Not equally, so that a howl in opposite polarity does not cancel.
      for (int c = 0; c < channels; ++c) sum += y[c][n] / (1.0f + 0.5f * static_cast<float>(c));
      heard_[static_cast<std::size_t>(half + at_ + n)] = sum;
    }
    at_ += frames;
    if (at_ < hop) return false;
    at_ = 0;
    const bool found = judge(limited);
    std::copy_n(heard_.begin() + half, half, heard_.begin());
    return found;
  }

  // Of the last howl, in Hz.
  float frequency_hz() const noexcept TR_RT { return static_cast<float>(bin_ * bin_hz_); }

 private:
  static constexpr double lowest_hz = 100.0;
  static constexpr double patience_s = 0.13;
  static constexpr float quietest = 1e-4f;                   // level of the partial: -40 dBFS
  static constexpr float purity = 0.8f;                      // share of all power within the partial
  static constexpr float over_harmonic = 1e3f, more = 1.2f;  // 30 dB; 0.8 dB in half of the time

  bool judge(bool limited) noexcept TR_RT {
    transform();
    float whole = 0.0f;
    int peak = first_;
    for (int k = first_; k < half - 2; ++k) {
      whole += power(k);
      if (power(k) > power(peak)) peak = k;
    }
    float partial = 0.0f;
    for (int k = peak - 2; k <= peak + 2; ++k) partial += power(k);
    const bool pure = partial > purity * whole && lonely(peak, partial);
    const float level = partial / (0.09375f * window * window);  // a sine of amplitude 1 has 1
    if (!pure || level < quietest || std::abs(peak - bin_) > 1) {
      restart(level);
    } else {
      ++count_;
      if (count_ == 3) begin_ = level;  // the first windows may only hold a part of it
      if (count_ == patience_ / 2) middle_ = level;
      rises_ += level > last_ ? 1 : 0;
      limited_ += limited ? 1 : 0;
    }
    bin_ = peak;
    last_ = level;
    if (count_ < patience_) return false;
    // A played tone rises once and stays; a howl goes on rising.
    const bool grows = rises_ >= count_ - 2 && level > more * middle_ && middle_ > more * begin_;
    const bool found = grows || limited_ >= patience_;
    if (found || count_ >= 2 * patience_) restart(level);
    return found;
  }

  void restart(float level) noexcept TR_RT {
    count_ = rises_ = limited_ = 0;
    begin_ = level;
  }

  // Nothing where harmonics of a played or sung tone would be.
  bool lonely(int peak, float partial) const noexcept TR_RT {
    for (const int times : {2, 3}) {
      const int at = peak * times;
      if (at + 2 >= half) break;
      float harmonic = 0.0f;
      for (int k = at - 2; k <= at + 2; ++k) harmonic += power(k);
      if (harmonic * over_harmonic > partial) return false;
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
      z_[static_cast<std::size_t>(to)] = {heard_[even] * shape_[even], heard_[even + 1] * shape_[even + 1]};
      int bit = half >> 1;
      for (; (to & bit) != 0; bit >>= 1) to ^= bit;
      to |= bit;
    }
    for (int length = 2; length <= half; length *= 2) {
      for (int start = 0; start < half; start += length) {
        for (int k = 0; k < length / 2; ++k) {
          const auto a = static_cast<std::size_t>(start + k), b = a + static_cast<std::size_t>(length / 2);
          const Z turned = times(z_[b], turns_[static_cast<std::size_t>(k * (window / length))]);
          z_[b] = z_[a] - turned;
          z_[a] = z_[a] + turned;
        }
      }
    }
    for (int k = 0; k < half; ++k) {
      const Z a = z_[static_cast<std::size_t>(k)], b = std::conj(z_[static_cast<std::size_t>((half - k) % half)]);
      const Z odd = times(a - b, turns_[static_cast<std::size_t>(k)]);
      const Z x(0.5f * (a.real() + b.real() + odd.imag()), 0.5f * (a.imag() + b.imag() - odd.real()));
      spectrum_[static_cast<std::size_t>(k)] = x.real() * x.real() + x.imag() * x.imag();
    }
  }

  double bin_hz_ = 0.0;
  int first_ = 2, patience_ = 12, at_ = 0, bin_ = 0, count_ = 0, rises_ = 0, limited_ = 0;
  float last_ = 0.0f, begin_ = 0.0f, middle_ = 0.0f;
  std::array<float, static_cast<std::size_t>(window)> heard_{}, shape_{};
  std::array<std::complex<float>, static_cast<std::size_t>(half)> turns_{}, z_{};
  std::array<float, static_cast<std::size_t>(half)> spectrum_{};
};

}  // namespace twinrack::live
