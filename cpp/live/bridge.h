// An adaptive resampler between the clocks of two audio devices, which never run at quite the same rate. Its ratio
// follows how full the buffer between them is (F. Adriaensen, "Controlling adaptive resampling", Linux Audio Conference
// 2012): both sides report the time, so the fill is known between blocks, and a slow loop of second order follows the
// drift.
//
// One thread writes, one other reads; neither waits.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <vector>

#include "rt/block.h"
#include "rt/clock_rate.h"
#include "rt/frame_ring.h"
#include "rt/realtime.h"

namespace twinrack::live {

class Bridge {
 public:
  static constexpr int taps = 48, phases = 512;
  static constexpr double max_ratio = 4.5;

  // `delay`: frames of the input that wait on average; a little more than the blocks of both devices.
  Bridge(int channels, double input_rate, double output_rate, int delay)
      : channels_(channels),
        delay_(delay),
        input_rate_(input_rate),
        output_rate_(output_rate),
        nominal_(input_rate / output_rate),
        seconds_per_tick_(1.0 / ticks_per_second()),
        ring_(channels, 4 * delay + 8192),
        table_(make_table(std::min(1.0, output_rate / input_rate))),
        incoming_(static_cast<std::size_t>(channels) * max_input_frames) {
    ratio_ = nominal_;
    lines_.assign(static_cast<std::size_t>(channels), std::vector<float>(taps + max_input_frames + 8));
  }

  int channels() const noexcept { return channels_; }

  // Interleaved. `time` in seconds, on a clock that both threads share; without it, the processor's.
  void write(const float* x, int frames) noexcept TR_RT { write(x, frames, now()); }
  void write(const float* x, int frames, double time) noexcept TR_RT {
    const auto channels = static_cast<std::size_t>(channels_);
    for (int start = 0; start < frames; start += max_segment) {
      const int length = std::min(max_segment, frames - start);
      for (std::size_t c = 0; c < channels; ++c) {
        for (int n = 0; n < length; ++n) {
          planar_[c][static_cast<std::size_t>(n)] = x[static_cast<std::size_t>(start + n) * channels + c];
        }
      }
      const auto at = [&](int c) noexcept -> const float* { return planar_[static_cast<std::size_t>(c)].data(); };
      if (!ring_.write(at, length)) {
        overruns_.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      frames_written_ += length;
    }
    sequence_.fetch_add(1, std::memory_order_acq_rel);
    written_.store(frames_written_, std::memory_order_relaxed);
    time_.store(time, std::memory_order_relaxed);
    sequence_.fetch_add(1, std::memory_order_release);
  }

  // Planar; silence until enough frames wait.
  void read(float* const* y, int frames) noexcept TR_RT { read(y, frames, now()); }
  void read(float* const* y, int frames, double time) noexcept TR_RT {
    read_writer();
    if (!running_) {
      for (int c = 0; c < channels_; ++c) std::fill_n(y[c], frames, 0.0f);
      if (ring_.filled() < delay_) return;
      start();
    }
    update_ratio(time, frames);
    for (int start = 0; start < frames && running_; start += max_segment) {
      const int length = std::min(max_segment, frames - start);
      if (!fetch(length)) {
        underruns_.fetch_add(1, std::memory_order_relaxed);
        running_ = false;
        for (int c = 0; c < channels_; ++c) std::fill_n(y[c] + start, frames - start, 0.0f);
        return;
      }
      for (int c = 0; c < channels_; ++c) interpolate(lines_[static_cast<std::size_t>(c)].data(), y[c] + start, length);
      drop_used(length);
    }
  }

  std::int64_t written() const noexcept { return written_.load(std::memory_order_relaxed); }
  std::uint64_t underruns() const noexcept { return underruns_.load(std::memory_order_relaxed); }
  std::uint64_t overruns() const noexcept { return overruns_.load(std::memory_order_relaxed); }
  // How much faster the input's clock runs, in parts per million, as measured by the loop.
  double drift_ppm() const noexcept {
    return 1e6 * (published_ratio_.load(std::memory_order_relaxed) / nominal_ - 1.0);
  }
  // Frames of the input that wait, averaged by the loop.
  double waiting() const noexcept { return published_fill_.load(std::memory_order_relaxed); }

 private:
  static constexpr int max_input_frames = static_cast<int>(max_segment * max_ratio) + 2;
  static constexpr double fast_hz = 0.5, slow_hz = 0.05, fast_for_s = 8.0, max_correction = 0.005;

  double now() const noexcept TR_RT { return static_cast<double>(clock_ticks()) * seconds_per_tick_; }

  // A sinc under a Kaiser window, at `phases` fractions of a frame and one beyond.
  static std::vector<float> make_table(double cutoff) {
    constexpr double beta = 9.0, edge = 0.93;
    const auto bessel = [](double x) {
      double sum = 1.0, term = 1.0;
      for (int k = 1; k < 40; ++k) sum += term *= x * x / (4.0 * k * k);
      return sum;
    };
    std::vector<float> table(static_cast<std::size_t>(taps) * (phases + 1));
    const double band = edge * cutoff;
    for (int p = 0; p <= phases; ++p) {
      double sum = 0.0;
      std::array<double, static_cast<std::size_t>(taps)> row{};
      for (int k = 0; k < taps; ++k) {
        const double x = k - (taps / 2 - 1) - static_cast<double>(p) / phases;
        const double place = 2.0 * x / taps, angle = std::numbers::pi * band * x;
        const double shape = std::abs(place) < 1.0 ? bessel(beta * std::sqrt(1.0 - place * place)) / bessel(beta) : 0.0;
        row[static_cast<std::size_t>(k)] = shape * (x == 0.0 ? band : band * std::sin(angle) / angle);
        sum += row[static_cast<std::size_t>(k)];
      }
      for (int k = 0; k < taps; ++k) {
        table[static_cast<std::size_t>(p * taps + k)] = static_cast<float>(row[static_cast<std::size_t>(k)] / sum);
      }
    }
    return table;
  }

  // Reads what the writer published (a sequence lock); keeps the last reading while it is writing.
  void read_writer() noexcept TR_RT {
    const std::uint32_t before = sequence_.load(std::memory_order_acquire);
    const std::int64_t written = written_.load(std::memory_order_acquire);
    const double time = time_.load(std::memory_order_acquire);
    if (before % 2 != 0 || sequence_.load(std::memory_order_relaxed) != before) return;
    known_written_ = written;
    known_time_ = time;
  }

  void start() noexcept TR_RT {
    for (auto& line : lines_) std::fill(line.begin(), line.end(), 0.0f);
    buffered_ = taps;
    position_ = 0.0;
    frames_read_ = known_written_ - ring_.filled();
    drift_ = 0.0;
    filtered_error_ = 0.0;
    running_s_ = 0.0;
    running_ = true;
  }

  void update_ratio(double time, int frames) noexcept TR_RT {
    const double since = std::clamp(time - known_time_, 0.0, 1.0);
    const double fill = static_cast<double>(known_written_ - frames_read_) + since * input_rate_ - position_;
    const double dt = frames / output_rate_;
    if (running_s_ == 0.0) target_fill_ = fill;  // it keeps the fill that it starts with, give or take a block's jitter
    const double hz = running_s_ < fast_for_s ? fast_hz : slow_hz, w = 2.0 * std::numbers::pi * hz;
    filtered_error_ += (1.0 - std::exp(-10.0 * w * dt)) * (fill - target_fill_ - filtered_error_);
    drift_ += w * w * filtered_error_ * dt;
    const double correction = (2.0 * w * filtered_error_ + drift_) / input_rate_;
    ratio_ = nominal_ * (1.0 + std::clamp(correction, -max_correction, max_correction));
    running_s_ += dt;
    published_ratio_.store(nominal_ * (1.0 + std::clamp(drift_ / input_rate_, -max_correction, max_correction)),
                           std::memory_order_relaxed);
    published_fill_.store(filtered_error_ + target_fill_, std::memory_order_relaxed);
  }

  // Fetches the input frames that `frames` of output need.
  bool fetch(int frames) noexcept TR_RT {
    const int needed = static_cast<int>(position_ + ratio_ * frames) + taps + 1 - buffered_;
    if (needed <= 0) return true;
    if (ring_.filled() < needed) return false;
    ring_.read(incoming_.data(), needed);
    for (int c = 0; c < channels_; ++c) {
      float* line = lines_[static_cast<std::size_t>(c)].data() + buffered_;
      for (int n = 0; n < needed; ++n) line[n] = incoming_[static_cast<std::size_t>(n * channels_ + c)];
    }
    buffered_ += needed;
    frames_read_ += needed;
    return true;
  }

  void interpolate(const float* line, float* y, int frames) const noexcept TR_RT {
    for (int n = 0; n < frames; ++n) {
      const double at = position_ + ratio_ * n;
      const int whole = static_cast<int>(at);
      const double phase = (at - whole) * phases;
      const int row = static_cast<int>(phase);
      const auto between = static_cast<float>(phase - row);
      const float* a = table_.data() + static_cast<std::ptrdiff_t>(row) * taps;
      const float* x = line + whole;
      float sums[8] = {};
      for (int k = 0; k < taps; k += 8) {
        for (int i = 0; i < 8; ++i) sums[i] += x[k + i] * (a[k + i] + between * (a[taps + k + i] - a[k + i]));
      }
      y[n] = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
    }
  }

  void drop_used(int frames) noexcept TR_RT {
    position_ += ratio_ * frames;
    const int whole = static_cast<int>(position_);
    position_ -= whole;
    buffered_ -= whole;
    const auto bytes = sizeof(float) * static_cast<std::size_t>(buffered_);
    for (auto& line : lines_) std::memmove(line.data(), line.data() + whole, bytes);
  }

  int channels_, delay_;
  double input_rate_, output_rate_, nominal_, seconds_per_tick_;
  FrameRing ring_;
  std::vector<float> table_, incoming_;
  std::array<std::array<float, max_segment>, 64> planar_{};
  // Of the writer.
  std::int64_t frames_written_ = 0;
  std::atomic<std::uint32_t> sequence_{0};
  std::atomic<std::int64_t> written_{0};
  std::atomic<double> time_{0.0};
  // Of the reader.
  std::vector<std::vector<float>> lines_;
  bool running_ = false;
  int buffered_ = 0;
  double position_ = 0.0, ratio_ = 1.0, drift_ = 0.0, filtered_error_ = 0.0, target_fill_ = 0.0, running_s_ = 0.0;
  std::int64_t known_written_ = 0, frames_read_ = 0;
  double known_time_ = 0.0;
  std::atomic<double> published_ratio_{1.0}, published_fill_{0.0};
  std::atomic<std::uint64_t> underruns_{0}, overruns_{0};
};

}  // namespace twinrack::live
