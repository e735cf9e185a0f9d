// Detectors of acoustic feedback (howl): a partial, free of harmonics, that stands far above everything else and
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
#include "rt/state.h"

namespace twinrack {

// The powers over frequency of the latest window.
class HowlSpectrum {
 public:
  static constexpr int window = 1024, hop = max_segment, half = window / 2;
  static constexpr double lowest_hz = 100.0;

  // `position`: of the first frame within the grid of `hop`.
  void prepare(double sample_rate, int position) {
    at_ = position;
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
  void reset() noexcept TR_RT { samples_.fill(0.0f); }
  // As it was prepared, at the beginning of the grid.
  void begin() noexcept TR_RT {
    reset();
    at_ = 0;
  }

  // Takes the next frames of a grid of `hop`; true when they complete a window, whose powers are then there.
  bool process(const float* const* y, int channels, int frames) noexcept TR_RT {
    for (int n = 0; n < frames; ++n) {
      float sum = 0.0f;
      // Not equally, so that a howl in opposite polarity does not cancel.
      for (int c = 0; c < channels; ++c) sum += y[c][n] / (1.0f + 0.5f * static_cast<float>(c));
      samples_[static_cast<std::size_t>(half + at_ + n)] = sum;
    }
    at_ += frames;
    if (at_ < hop) return false;
    at_ = 0;
    transform();
    std::copy_n(samples_.begin() + half, half, samples_.begin());
    return true;
  }

  int first() const noexcept TR_RT { return first_; }  // bin that is looked at
  double bin_hz() const noexcept TR_RT { return bin_hz_; }
  float power(int k) const noexcept TR_RT { return spectrum_[static_cast<std::size_t>(k)]; }
  double log_power(int k) const noexcept TR_RT { return std::log(std::max(static_cast<double>(power(k)), 1e-30)); }
  float total() const noexcept TR_RT {
    float sum = 0.0f;
    for (int k = first_; k < half - 2; ++k) sum += power(k);
    return sum;
  }
  // Of the five bins around one: all of a steady tone.
  float partial(int k) const noexcept TR_RT {
    float sum = 0.0f;
    for (int i = k - 2; i <= k + 2; ++i) sum += power(i);
    return sum;
  }
  // A sine of amplitude 1 has 1.
  static float level(float partial) noexcept TR_RT { return partial / (0.09375f * window * window); }

  // Nothing stands where a played or sung tone would have harmonics, so far below it.
  bool has_no_harmonics(int peak, float partial_power, float below) const noexcept TR_RT {
    for (const int times : {2, 3}) {
      const int at = peak * times;
      if (at + 2 >= half) break;
      float harmonic = 0.0f;  // beyond what the window spreads of the partial itself
      for (int i = std::max(at - 2, peak + 4); i <= at + 2; ++i) harmonic += power(i);
      if (harmonic * below > partial_power) return false;
    }
    return true;
  }

  // The frequency of a peak, between the bins by a parabola through the logarithms of three.
  double hz(int k) const noexcept TR_RT {
    const double below = log_power(k - 1), at = log_power(k), above = log_power(k + 1);
    const double bend = below - 2.0 * at + above;
    const double beside = bend < 0.0 ? std::clamp(0.5 * (below - above) / bend, -0.5, 0.5) : 0.0;
    return (k + beside) * bin_hz_;
  }

  void state(StateArchive& archive) {
    archive(samples_);
    archive.bounded(at_, 0, hop - 1);
  }

 private:
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
  int first_ = 2, at_ = 0;
  std::array<float, static_cast<std::size_t>(window)> samples_{}, window_shape_{};
  std::array<std::complex<float>, static_cast<std::size_t>(half)> twiddles_{}, z_{};
  std::array<float, static_cast<std::size_t>(half)> spectrum_{};
};

// One partial, from window to window: it howls when it has grown, or has been loud, for long enough.
class HowlTrack {
 public:
  static constexpr double min_duration_s = 0.13;
  static constexpr float growth = 1.2f;         // 0.8 dB in half of the time
  static constexpr float steady_growth = 2.5f;  // 4 dB
  static constexpr int steady_percent = 85;     // of the windows in which it rises
  static constexpr int lately = 6;              // windows
  static constexpr double still = 0.85;         // of its growth before, that it has lately

  static int windows_for(double sample_rate) noexcept {
    return std::max(12, static_cast<int>(std::lround(min_duration_s * sample_rate / HowlSpectrum::hop)));
  }

  int bin() const noexcept TR_RT { return bin_; }
  void begin(int bin, float level) noexcept TR_RT {
    windows_ = rising_ = loud_windows_ = 0;
    bin_ = bin;
    first_ = last_ = level;
  }
  // The next window has it at this bin; `loud`: as loud as a howl gets.
  void follow(int bin, float level, bool loud, int least) noexcept TR_RT {
    ++windows_;
    if (windows_ == 3) first_ = level;  // the first windows may hold only a part of it
    if (windows_ == least / 2) middle_ = level;
    rising_ += level > last_ ? 1 : 0;
    earlier_[static_cast<std::size_t>(windows_) % earlier_.size()] = level;
    loud_windows_ += loud ? 1 : 0;
    bin_ = bin;
    last_ = level;
  }
  int windows() const noexcept TR_RT { return windows_; }
  bool stays_loud(int least) const noexcept TR_RT { return loud_windows_ >= least; }
  bool stays(int least) const noexcept TR_RT { return stays_loud(least) && last_ > 0.8f * first_; }
  // A played tone rises once and stays; a howl goes on rising.
  bool grows(int least) const noexcept TR_RT {
    return windows_ >= least && rising_ >= windows_ - 2 && last_ > growth * middle_ && middle_ > growth * first_;
  }
  // Also slowly, over as long as it takes; and as fast at the end as before, while the attack of a tone slows down.
  bool grows_steadily(int least) const noexcept TR_RT {
    if (windows_ < least || 100 * rising_ < steady_percent * windows_ || !(last_ > steady_growth * first_))
      return false;
    const float before = earlier_[static_cast<std::size_t>(windows_ + 1) % earlier_.size()];
    const double late = std::log(static_cast<double>(last_) / before) / lately;
    const double early = std::log(static_cast<double>(before) / first_) / (windows_ - 3 - lately);
    return late > still * early;
  }
  void restart() noexcept TR_RT { begin(bin_, last_); }

  void state(StateArchive& archive) {
    archive(first_, middle_, last_, earlier_);
    archive.bounded(bin_, 0, HowlSpectrum::half - 3);
    for (int* count : {&windows_, &rising_, &loud_windows_}) archive.bounded(*count, 0, 1 << 20);
  }

 private:
  int bin_ = 0, windows_ = 0, rising_ = 0, loud_windows_ = 0;
  float first_ = 0.0f, middle_ = 0.0f, last_ = 0.0f;
  std::array<float, lately + 1> earlier_{};  // levels of the latest windows, by their number
};

// Says that a sound is a howl: one partial is nearly all there is.
class HowlDetector {
 public:
  static constexpr int hop = HowlSpectrum::hop;
  static constexpr float min_level = 1e-4f;       // of the partial: -40 dBFS
  static constexpr float purity = 0.8f;           // part of all power that lies in the partial
  static constexpr float above_harmonics = 1e3f;  // 30 dB

  // `position`: of the first frame within the grid of `hop`.
  void prepare(double sample_rate, int position) {
    spectrum_.prepare(sample_rate, position);
    min_windows_ = HowlTrack::windows_for(sample_rate);
  }
  // Clears what it observed, but keeps its position on the grid.
  void reset() noexcept TR_RT {
    spectrum_.reset();
    track_ = {};
  }

  // Takes the next frames of a grid of `hop`; true when they complete a howl. `limited`: the limiter already acts on
  // it.
  bool process(const float* const* y, int channels, int frames, bool limited) noexcept TR_RT {
    if (!spectrum_.process(y, channels, frames)) return false;
    int peak = spectrum_.first();
    for (int k = peak; k < HowlSpectrum::half - 2; ++k) {
      if (spectrum_.power(k) > spectrum_.power(peak)) peak = k;
    }
    const float partial = spectrum_.partial(peak), level = HowlSpectrum::level(partial);
    const bool pure =
        partial > purity * spectrum_.total() && spectrum_.has_no_harmonics(peak, partial, above_harmonics);
    if (!pure || level < min_level || std::abs(peak - track_.bin()) > 1) {
      track_.begin(peak, level);
      return false;
    }
    track_.follow(peak, level, limited, min_windows_);
    const bool howls = track_.grows(min_windows_) || track_.stays_loud(min_windows_);
    if (howls || track_.windows() >= 2 * min_windows_) track_.restart();
    return howls;
  }

  // Of the last howl, in Hz.
  float frequency_hz() const noexcept TR_RT { return static_cast<float>(track_.bin() * spectrum_.bin_hz()); }

 private:
  HowlSpectrum spectrum_;
  HowlTrack track_;
  int min_windows_ = 12;
};

// Follows several partials at once, and says which of them howls: rooms ring at more than one frequency, and while
// somebody speaks.
class HowlTracker {
 public:
  static constexpr int hop = HowlSpectrum::hop, most = 4;
  static constexpr float min_level = 1e-5f;       // -50 dBFS
  static constexpr float share = 0.1f;            // of all power, that a partial has at least
  static constexpr double above_beside = 250.0;   // 24 dB above the geometric mean of the bins beside it
  static constexpr float above_harmonics = 1e2f;  // 20 dB
  static constexpr int near = 4, far = 12;        // bins beside it
  static constexpr float loud = 0.03f;            // -15 dBFS: alone and as loud as that, a tone that stays is one, too
  static constexpr int stays = 8, longest = 10;   // times the least duration: of such a tone, and of a rise

  void prepare(double sample_rate) {
    spectrum_.prepare(sample_rate, 0);
    min_windows_ = HowlTrack::windows_for(sample_rate);
  }
  void reset() noexcept TR_RT {
    spectrum_.begin();
    tracks_.fill({});
    count_ = 0;
  }

  // Takes the next frames; the frequency of the loudest howl that they complete, in Hz, or 0.
  double process(const float* const* y, int channels, int frames) noexcept TR_RT {
    if (!spectrum_.process(y, channels, frames)) return 0.0;
    Peak peaks[most];
    const float total = spectrum_.total();
    const int count = find(peaks, share * total);
    std::array<HowlTrack, most> next{};
    int howling = -1;
    for (int i = 0; i < count; ++i) {
      auto& track = next[static_cast<std::size_t>(i)];
      const HowlTrack* before = nullptr;
      for (int j = 0; j < count_ && before == nullptr; ++j) {
        const HowlTrack& t = tracks_[static_cast<std::size_t>(j)];
        if (std::abs(t.bin() - peaks[i].bin) <= 1) before = &t;
      }
      const float level = HowlSpectrum::level(peaks[i].partial);
      if (before == nullptr) {
        track.begin(peaks[i].bin, level);
        continue;
      }
      track = *before;
      const bool alone = level > loud && peaks[i].partial > HowlDetector::purity * total;
      track.follow(peaks[i].bin, level, alone, min_windows_);
      const bool howls = track.grows_steadily(min_windows_) || track.stays(stays * min_windows_);
      if (howls && howling < 0) howling = i;  // the loudest comes first
      if (howling == i || track.windows() >= longest * min_windows_) track.restart();
    }
    tracks_ = next;
    count_ = count;
    return howling < 0 ? 0.0 : spectrum_.hz(peaks[howling].bin);
  }

  void state(StateArchive& archive) {
    archive(spectrum_, tracks_);
    archive.bounded(count_, 0, most);
  }

 private:
  struct Peak {
    int bin = 0;
    float partial = 0.0f;
  };

  // The strongest partials of at least so much power that stand out of what is beside them, and have no harmonics.
  int find(Peak* peaks, float least) const noexcept TR_RT {
    int count = 0;
    for (int k = spectrum_.first(); k < HowlSpectrum::half - far; ++k) {
      if (!(spectrum_.power(k) > spectrum_.power(k - 1) && spectrum_.power(k) >= spectrum_.power(k + 1))) continue;
      const float partial = spectrum_.partial(k);
      if (partial < least || HowlSpectrum::level(partial) < min_level || !stands_out(k, partial)) continue;
      if (!spectrum_.has_no_harmonics(k, partial, above_harmonics)) continue;
      if (count == most && partial <= peaks[most - 1].partial) continue;
      int at = count < most ? count++ : most - 1;
      for (; at > 0 && peaks[at - 1].partial < partial; --at) peaks[at] = peaks[at - 1];
      peaks[at] = {k, partial};
    }
    return count;
  }
  // The geometric mean, so that another howl beside it counts as one bin of many.
  bool stands_out(int k, float partial) const noexcept TR_RT {
    double sum = 0.0;
    int bins = 0;
    for (int away = near; away <= far; ++away) {
      for (const int at : {k - away, k + away}) {
        if (at < 1) continue;
        sum += spectrum_.log_power(at);
        ++bins;
      }
    }
    return std::log(static_cast<double>(partial)) > std::log(above_beside) + sum / bins;
  }

  HowlSpectrum spectrum_;
  std::array<HowlTrack, most> tracks_{};
  int min_windows_ = 12, count_ = 0;
};

}  // namespace twinrack
