// How long the callback takes, beside how long it may take, measured inside every callback with the processor's clock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "rt/clock.h"
#include "rt/realtime.h"

namespace twinrack::live {

class Load {
 public:
  static constexpr int bins = 40;  // each a twentieth of the deadline; the last holds all that is longer

  explicit Load(double sample_rate) : per_frame_(ticks_per_second() / sample_rate) {}

  // Around the work of one callback.
  std::uint64_t begin() noexcept TR_RT { return clock_ticks(); }
  void end(std::uint64_t begin, int frames) noexcept TR_RT {
    const auto relaxed = std::memory_order_relaxed;
    const double allowed = per_frame_ * std::max(frames, 1);
    const double share = static_cast<double>(clock_ticks() - begin) / allowed;
    const double gap = last_ == 0 ? 0.0 : static_cast<double>(begin - last_) / allowed;
    last_ = begin;
    counts_[static_cast<std::size_t>(std::clamp(static_cast<int>(share * 20.0), 0, bins - 1))].fetch_add(1, relaxed);
    sum_.store(sum_.load(relaxed) + share, relaxed);
    worst_.store(std::max(worst_.load(relaxed), share), relaxed);
    widest_.store(std::max(widest_.load(relaxed), gap), relaxed);
    callbacks_.fetch_add(1, relaxed);
    frames_.fetch_add(static_cast<std::uint64_t>(frames), relaxed);
    if (share > 1.0) late_.fetch_add(1, relaxed);
  }

  std::uint64_t callbacks() const noexcept { return callbacks_.load(std::memory_order_relaxed); }
  std::uint64_t frames() const noexcept { return frames_.load(std::memory_order_relaxed); }
  // Callbacks that took longer than their block lasts.
  std::uint64_t late() const noexcept { return late_.load(std::memory_order_relaxed); }
  // Shares of the deadline, since the start: the longest callback, all of them, the longest gap between two.
  double worst() const noexcept { return worst_.load(std::memory_order_relaxed); }
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }
  double widest_gap() const noexcept { return widest_.load(std::memory_order_relaxed); }
  std::array<std::uint64_t, static_cast<std::size_t>(bins)> counts() const noexcept {
    std::array<std::uint64_t, static_cast<std::size_t>(bins)> found{};
    for (std::size_t i = 0; i < found.size(); ++i) found[i] = counts_[i].load(std::memory_order_relaxed);
    return found;
  }

 private:
  double per_frame_;
  std::uint64_t last_ = 0;
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(bins)> counts_{};
  std::atomic<std::uint64_t> callbacks_{0}, frames_{0}, late_{0};
  std::atomic<double> sum_{0}, worst_{0}, widest_{0};
};

}  // namespace twinrack::live
