// The load of the audio callback: how long each call takes, as a part of its deadline, by the processor's clock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "rt/clock_rate.h"
#include "rt/realtime.h"

namespace twinrack::live {

class Load {
 public:
  static constexpr int bins = 40;  // of the histogram: each a twentieth of the deadline; the last holds all beyond

  explicit Load(double sample_rate) : per_frame_(ticks_per_second() / sample_rate) {}

  // Around the work of one callback.
  std::uint64_t begin() noexcept TR_RT { return clock_ticks(); }
  void end(std::uint64_t begin, int frames) noexcept TR_RT {
    const auto relaxed = std::memory_order_relaxed;
    const double deadline = per_frame_ * std::max(frames, 1);
    const double load = static_cast<double>(clock_ticks() - begin) / deadline;
    const double gap = last_ == 0 ? 0.0 : static_cast<double>(begin - last_) / deadline;
    last_ = begin;
    counts_[static_cast<std::size_t>(std::clamp(static_cast<int>(load * 20.0), 0, bins - 1))].fetch_add(1, relaxed);
    sum_.store(sum_.load(relaxed) + load, relaxed);
    worst_.store(std::max(worst_.load(relaxed), load), relaxed);
    longest_gap_.store(std::max(longest_gap_.load(relaxed), gap), relaxed);
    callbacks_.fetch_add(1, relaxed);
    frames_.fetch_add(static_cast<std::uint64_t>(frames), relaxed);
    if (load > 1.0) overruns_.fetch_add(1, relaxed);
  }

  std::uint64_t callbacks() const noexcept { return callbacks_.load(std::memory_order_relaxed); }
  std::uint64_t frames() const noexcept { return frames_.load(std::memory_order_relaxed); }
  // Callbacks that took longer than their block lasts.
  std::uint64_t overruns() const noexcept { return overruns_.load(std::memory_order_relaxed); }
  // In deadlines, since the start: the longest callback, the sum of all, the longest time between two.
  double worst() const noexcept { return worst_.load(std::memory_order_relaxed); }
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }
  double longest_gap() const noexcept { return longest_gap_.load(std::memory_order_relaxed); }
  std::array<std::uint64_t, static_cast<std::size_t>(bins)> counts() const noexcept {
    std::array<std::uint64_t, static_cast<std::size_t>(bins)> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
    return counts;
  }

 private:
  double per_frame_;
  std::uint64_t last_ = 0;
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(bins)> counts_{};
  std::atomic<std::uint64_t> callbacks_{0}, frames_{0}, overruns_{0};
  std::atomic<double> sum_{0}, worst_{0}, longest_gap_{0};
};

}  // namespace twinrack::live
