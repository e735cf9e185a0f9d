// A wait-free queue between exactly one writing and one reading thread. `push` fails when full, `pop` when empty. The
// counters never wrap and are masked on use, so full and empty differ. `reserve` comes before the first `push`: many
// queues are large and never used.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>

#include "rt/realtime.h"

namespace twinrack {

template <class T, std::size_t capacity>
class SpscQueue {
  static_assert((capacity & (capacity - 1)) == 0, "capacity is a power of two");

 public:
  // Not on the audio thread, and before it knows of the queue or of what is in it.
  void reserve() {
    if (items_ == nullptr) items_ = std::make_unique<std::array<T, capacity>>();
  }

  bool push(const T& item) noexcept TR_RT {
    const std::size_t at = written_.load(std::memory_order_relaxed);
    if (at - read_.load(std::memory_order_acquire) == capacity) return false;
    (*items_)[at & (capacity - 1)] = item;
    written_.store(at + 1, std::memory_order_release);
    return true;
  }

  bool pop(T& item) noexcept TR_RT {
    const std::size_t at = read_.load(std::memory_order_relaxed);
    if (at == written_.load(std::memory_order_acquire)) return false;
    item = (*items_)[at & (capacity - 1)];
    read_.store(at + 1, std::memory_order_release);
    return true;
  }

  bool empty() const noexcept TR_RT {
    return read_.load(std::memory_order_acquire) == written_.load(std::memory_order_acquire);
  }

 private:
  std::unique_ptr<std::array<T, capacity>> items_;
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

}  // namespace twinrack
