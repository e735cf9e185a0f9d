// An effect whose work is done by another thread, in whatever language: blocks go out, results come back a stated time
// later. The audio thread never waits for it: a block whose result is not there is heard dry, with a fade, and counted.
//
// Each block has a slot that belongs to one side at a time: the audio thread fills it, the worker takes it, works and
// gives it back, the audio thread plays it. A worker that holds a slot for too long makes the audio thread go without.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/effect.h"
#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack {

class Outside {
 public:
  static constexpr int fade_frames = 32;

  // The result of a block is due `blocks` - 1 blocks after its last frame came.
  Outside(int channels, int block, int blocks)
      : channels_(channels),
        block_(block),
        latency_(block * blocks + fade_frames),
        slots_(static_cast<std::size_t>(blocks) + 4) {
    for (Slot& slot : slots_) slot.sound.resize(static_cast<std::size_t>(channels) * static_cast<std::size_t>(block));
    dry_.resize(static_cast<std::size_t>(channels));
    for (DelayLine& line : dry_) line.prepare(latency_, max_segment);
  }

  int channels() const noexcept { return channels_; }
  int block() const noexcept { return block_; }
  int latency() const noexcept { return latency_; }

  // --- the audio thread ---

  void reset() noexcept TR_RT {
    heard_ = (heard_ / block_ + 1) * block_;  // what was begun is left; results of before are not heard any more
    first_ = heard_ / block_;
    have_ = next_ = false;
    share_ = 0.0f;
    filling_ = nullptr;
    for (DelayLine& line : dry_) line.reset();
  }

  void process(float* const* io, int frames) noexcept TR_RT {
    for (int start = 0; start < frames;) {
      const int in_block = static_cast<int>(heard_ % block_), out_block = place(heard_ - latency_);
      if (in_block == 0) open(heard_ / block_);
      if (out_block == 0) turn();
      const int until_look = (out_block < block_ - fade_frames ? block_ - fade_frames : block_) - out_block;
      const int length = std::min({frames - start, block_ - in_block, until_look, max_segment});
      if (out_block == block_ - fade_frames) next_ = is_done(number(heard_ - latency_) + 1);
      run(io, start, length, in_block, out_block);
      start += length;
      heard_ += length;
      if (heard_ % block_ == 0) close();
    }
  }

  // --- the worker ---

  // The oldest block that waits, channels x block; false when there is none. It is the worker's until `give`.
  bool take(float* to) noexcept {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (slot.state.load(std::memory_order_acquire) != filled) continue;
      if (oldest == nullptr || slot.block.load() < oldest->block.load()) oldest = &slot;
    }
    if (oldest == nullptr) return false;
    int state = filled;
    if (!oldest->state.compare_exchange_strong(state, taken, std::memory_order_acquire)) return false;
    taken_ = oldest;
    std::copy(oldest->sound.begin(), oldest->sound.end(), to);
    return true;
  }
  void give(const float* result) noexcept {
    if (taken_ == nullptr) return;
    std::copy_n(result, taken_->sound.size(), taken_->sound.begin());
    taken_->state.store(done, std::memory_order_release);
    taken_ = nullptr;
  }
  // The block taken last has no result.
  void drop() noexcept {
    if (taken_ != nullptr) taken_->state.store(empty, std::memory_order_release);
    taken_ = nullptr;
  }
  // True when nobody plays it any more.
  bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
  void leave() noexcept { closed_.store(true, std::memory_order_relaxed); }

  // Blocks that were heard dry because their result was not there, and all blocks.
  std::uint64_t late() const noexcept { return late_.load(std::memory_order_relaxed); }
  std::uint64_t blocks() const noexcept { return blocks_.load(std::memory_order_relaxed); }

 private:
  enum : int { empty, filled, taken, done };
  struct Slot {
    std::atomic<int> state{empty};
    std::atomic<std::int64_t> block{-1};
    std::vector<float> sound;
  };

  // Where a frame is in its block, and which block that is, for numbers below 0 too.
  int place(std::int64_t frame) const noexcept TR_RT { return static_cast<int>((frame % block_ + block_) % block_); }
  std::int64_t number(std::int64_t frame) const noexcept TR_RT { return (frame - place(frame)) / block_; }
  Slot& slot(std::int64_t block) noexcept TR_RT {
    return slots_[static_cast<std::size_t>(block % static_cast<std::int64_t>(slots_.size()))];
  }

  // The slot for a block that begins; none while the worker holds it.
  void open(std::int64_t block) noexcept TR_RT {
    Slot& next = slot(block);
    int state = next.state.load(std::memory_order_acquire);
    const bool mine = state == empty || state == done ||
                      (state == filled && next.state.compare_exchange_strong(state, empty, std::memory_order_acquire));
    filling_ = mine ? &next : nullptr;
    if (mine) {
      next.state.store(empty, std::memory_order_relaxed);
      next.block.store(block, std::memory_order_relaxed);
    }
  }
  void close() noexcept TR_RT {
    if (filling_ != nullptr) filling_->state.store(filled, std::memory_order_release);
    filling_ = nullptr;
  }
  bool is_done(std::int64_t block) noexcept TR_RT {
    if (block < first_) return false;
    const Slot& s = slot(block);
    return s.state.load(std::memory_order_acquire) == done && s.block.load(std::memory_order_relaxed) == block;
  }

  // A block begins to be heard.
  void turn() noexcept TR_RT {
    have_ = next_;
    next_ = false;
    const std::int64_t block = number(heard_ - latency_);
    if (block < first_) return;
    blocks_.fetch_add(1, std::memory_order_relaxed);
    if (!have_) late_.fetch_add(1, std::memory_order_relaxed);
  }

  void run(float* const* io, int start, int frames, int in_block, int out_block) noexcept TR_RT {
    constexpr float step = 1.0f / fade_frames;
    const bool leaves = out_block >= block_ - fade_frames && !next_;
    const Slot& playing = slot(std::max<std::int64_t>(number(heard_ - latency_), 0));
    float share = share_;
    for (int c = 0; c < channels_; ++c) {
      const auto channel = static_cast<std::size_t>(c), row = channel * static_cast<std::size_t>(block_);
      float* x = io[c] + start;
      if (filling_ != nullptr) std::copy_n(x, frames, filling_->sound.data() + row + in_block);
      dry_[channel].write(x, frames);
      const float* dry = dry_[channel].written(frames, latency_);
      const float* wet = playing.sound.data() + row + out_block;
      share = share_;
      for (int n = 0; n < frames; ++n) {
        const float goal = have_ && !leaves ? 1.0f : 0.0f;
        share = goal > share ? std::min(goal, share + step) : std::max(goal, share - step);
        x[n] = have_ ? dry[n] + share * (wet[n] - dry[n]) : dry[n];
      }
    }
    share_ = share;
  }

  int channels_, block_, latency_;
  std::vector<Slot> slots_;
  std::vector<DelayLine> dry_;
  // The audio thread's.
  std::int64_t heard_ = 0, first_ = 0;
  bool have_ = false, next_ = false;
  float share_ = 0.0f;
  Slot* filling_ = nullptr;
  // The worker's.
  Slot* taken_ = nullptr;
  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> late_{0}, blocks_{0};
};

// How the engine calls it: one more kind of effect, without parameters.
const EffectType& outside_effect();

}  // namespace twinrack
