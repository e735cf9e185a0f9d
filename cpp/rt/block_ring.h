// A ring of blocks of sound between the audio thread and whoever works on them: a thread, or another process, for all
// of it lies in one piece of memory that two processes may map.
//
// Each block has a slot that belongs to one side at a time: the audio thread fills it, the worker fetches it, works and
// delivers it, the audio thread plays it. Nothing that the other side writes is used as an index or a size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack {

// The contents of a slot. `keys`: rows of sidechains; `values`: numbers that may change with every tick.
struct RingShape {
  int channels, keys, values, block, slots;

  int ticks() const noexcept TR_RT { return (block + tick_frames - 1) / tick_frames; }
  std::size_t floats_in_slot() const noexcept TR_RT {
    return static_cast<std::size_t>(channels + keys) * static_cast<std::size_t>(block) +
           static_cast<std::size_t>(values) * static_cast<std::size_t>(ticks());
  }
};

class BlockRing {
 public:
  enum State : std::int32_t { empty, filled, fetched, done };
  struct Slot {
    std::atomic<std::int32_t> state;
    std::atomic<std::int32_t> restarts;  // another number than before: the worker is to forget the past
    std::atomic<std::int64_t> block;
    std::atomic<std::int64_t> since;  // blocks since the sound began
  };

  // In memory of zeros, as large as `bytes` says.
  BlockRing(const RingShape& shape, void* memory) noexcept
      : shape_(shape),
        head_(static_cast<Head*>(memory)),
        slots_(reinterpret_cast<Slot*>(static_cast<char*>(memory) + line)),
        floats_(reinterpret_cast<float*>(static_cast<char*>(memory) + line * (1 + lines_of_slots(shape)))) {}
  static std::size_t bytes(const RingShape& shape) noexcept {
    return line * (1 + lines_of_slots(shape)) +
           sizeof(float) * shape.floats_in_slot() * static_cast<std::size_t>(shape.slots);
  }

  const RingShape& shape() const noexcept { return shape_; }
  Slot& slot(std::int64_t block) noexcept TR_RT { return slots_[block % shape_.slots]; }
  int number_of(std::int64_t block) const noexcept TR_RT { return static_cast<int>(block % shape_.slots); }

  // A row of `block` frames of a slot: a channel of the sound, then the sidechains.
  float* channel(int slot, int c) noexcept TR_RT {
    return floats(slot) + static_cast<std::size_t>(c) * static_cast<std::size_t>(shape_.block);
  }
  float* key(int slot, int k) noexcept TR_RT { return channel(slot, shape_.channels + k); }
  // The values of one tick.
  float* values(int slot, int tick) noexcept TR_RT {
    return channel(slot, shape_.channels + shape_.keys) +
           static_cast<std::size_t>(tick) * static_cast<std::size_t>(shape_.values);
  }

  // For the worker:

  // Takes the oldest filled slot; -1 where there is none.
  int fetch() noexcept {
    int oldest = -1;
    for (int i = 0; i < shape_.slots; ++i) {
      if (slots_[i].state.load(std::memory_order_acquire) != filled) continue;
      if (oldest < 0 || slots_[i].block.load() < slots_[oldest].block.load()) oldest = i;
    }
    if (oldest < 0) return -1;
    std::int32_t state = filled;
    return slots_[oldest].state.compare_exchange_strong(state, fetched, std::memory_order_acquire) ? oldest : -1;
  }
  // Gives it back with its result, or without one.
  void give_back(int slot, bool has_result) noexcept {
    slots_[slot].state.store(has_result ? done : empty, std::memory_order_release);
    head_->worked.fetch_add(1, std::memory_order_relaxed);
  }
  // Nothing was played, but the worker is busy and not stuck.
  void show_life() noexcept { head_->worked.fetch_add(1, std::memory_order_relaxed); }
  void report_latency(int frames) noexcept { head_->latency_and_one.store(frames + 1, std::memory_order_relaxed); }

  // For whoever watches the worker:

  // Blocks that were given back so far.
  std::uint64_t worked() const noexcept TR_RT { return head_->worked.load(std::memory_order_relaxed); }
  // The latency that the worker reported last, in frames; -1 before that.
  int latency() const noexcept { return head_->latency_and_one.load(std::memory_order_relaxed) - 1; }
  // The worker is gone for good: what it held is free again.
  void reclaim() noexcept {
    for (int i = 0; i < shape_.slots; ++i) {
      std::int32_t state = fetched;
      slots_[i].state.compare_exchange_strong(state, empty);
    }
  }

 private:
  static constexpr std::size_t line = 64;  // of the cache
  struct Head {
    std::atomic<std::uint64_t> worked;
    std::atomic<std::int32_t> latency_and_one;
  };
  static_assert(std::atomic<std::int64_t>::is_always_lock_free && sizeof(Slot) <= line && sizeof(Head) <= line);

  static std::size_t lines_of_slots(const RingShape& shape) noexcept {
    return (static_cast<std::size_t>(shape.slots) * sizeof(Slot) + line - 1) / line;
  }
  float* floats(int slot) noexcept TR_RT { return floats_ + static_cast<std::size_t>(slot) * shape_.floats_in_slot(); }

  RingShape shape_;
  Head* head_;
  Slot* slots_;
  float* floats_;
};

}  // namespace twinrack
