// An effect whose work another thread does, in whatever language: blocks go out, results come back a stated time later.
// The audio thread never waits for it: where a result is missing, the dry block plays, with a fade, and is counted.
//
// Each block has a slot that belongs to one side at a time: the audio thread fills it, the worker fetches it, works and
// delivers it, the audio thread plays it. While a worker holds a slot for too long, the audio thread goes without.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/effect.h"
#include "rt/block.h"
#include "rt/realtime.h"

namespace twinrack {

class WorkerEffect {
 public:
  static constexpr int fade_frames = 32;

  // The result of a block is due `blocks` - 1 blocks after its last frame.
  WorkerEffect(int channels, int block, int blocks)
      : channels_(channels),
        block_(block),
        latency_(block * blocks + fade_frames),
        slots_(static_cast<std::size_t>(blocks) + 4) {
    for (Slot& slot : slots_) slot.samples.resize(static_cast<std::size_t>(channels) * static_cast<std::size_t>(block));
    dry_lines_.resize(static_cast<std::size_t>(channels));
    for (DelayLine& line : dry_lines_) line.prepare(latency_, max_segment);
  }

  int channels() const noexcept { return channels_; }
  int block() const noexcept { return block_; }
  int latency() const noexcept { return latency_; }

  // For the audio thread:

  void reset() noexcept TR_RT {
    frame_ = (frame_ / block_ + 1) * block_;  // a block half filled is given up, and earlier results do not play
    first_block_ = frame_ / block_;
    plays_ = next_done_ = false;
    mix_ = 0.0f;
    filling_ = nullptr;
    for (DelayLine& line : dry_lines_) line.reset();
  }

  void process(float* const* io, int frames) noexcept TR_RT {
    for (int start = 0; start < frames;) {
      const int in_block = static_cast<int>(frame_ % block_), out_block = frame_in_block(frame_ - latency_);
      if (in_block == 0) begin_filling(frame_ / block_);
      if (out_block == 0) begin_playing();
      const int until_check = (out_block < block_ - fade_frames ? block_ - fade_frames : block_) - out_block;
      const int length = std::min({frames - start, block_ - in_block, until_check, max_segment});
      if (out_block == block_ - fade_frames) next_done_ = is_done(block_of(frame_ - latency_) + 1);
      crossfade(io, start, length, in_block, out_block);
      start += length;
      frame_ += length;
      if (frame_ % block_ == 0) end_filling();
    }
  }

  // For the worker:

  // Copies the oldest filled block, channels x block; false when there is none. It is the worker's until `deliver`.
  bool fetch(float* to) noexcept {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (slot.state.load(std::memory_order_acquire) != filled) continue;
      if (oldest == nullptr || slot.block.load() < oldest->block.load()) oldest = &slot;
    }
    if (oldest == nullptr) return false;
    int state = filled;
    if (!oldest->state.compare_exchange_strong(state, fetched, std::memory_order_acquire)) return false;
    working_ = oldest;
    std::copy(oldest->samples.begin(), oldest->samples.end(), to);
    return true;
  }
  void deliver(const float* result) noexcept {
    if (working_ == nullptr) return;
    std::copy_n(result, working_->samples.size(), working_->samples.begin());
    working_->state.store(done, std::memory_order_release);
    working_ = nullptr;
  }
  // The block fetched last has no result.
  void discard() noexcept {
    if (working_ != nullptr) working_->state.store(empty, std::memory_order_release);
    working_ = nullptr;
  }
  // The audio thread is done with it, or the worker gives up.
  void detach() noexcept { detached_.store(true, std::memory_order_relaxed); }
  bool detached() const noexcept { return detached_.load(std::memory_order_relaxed); }

  // Blocks that played dry because their result was missing, and all blocks.
  std::uint64_t missed() const noexcept { return missed_.load(std::memory_order_relaxed); }
  std::uint64_t blocks() const noexcept { return blocks_.load(std::memory_order_relaxed); }

 private:
  enum : int { empty, filled, fetched, done };
  struct Slot {
    std::atomic<int> state{empty};
    std::atomic<std::int64_t> block{-1};
    std::vector<float> samples;
  };

  // Where a frame is in its block, and which block that is, for numbers below 0 too.
  int frame_in_block(std::int64_t frame) const noexcept TR_RT {
    return static_cast<int>((frame % block_ + block_) % block_);
  }
  std::int64_t block_of(std::int64_t frame) const noexcept TR_RT { return (frame - frame_in_block(frame)) / block_; }
  Slot& slot(std::int64_t block) noexcept TR_RT {
    return slots_[static_cast<std::size_t>(block % static_cast<std::int64_t>(slots_.size()))];
  }

  // The slot for a block that begins; none while the worker holds it.
  void begin_filling(std::int64_t block) noexcept TR_RT {
    Slot& next = slot(block);
    int state = next.state.load(std::memory_order_acquire);
    const bool available =
        state == empty || state == done ||
        (state == filled && next.state.compare_exchange_strong(state, empty, std::memory_order_acquire));
    filling_ = available ? &next : nullptr;
    if (available) {
      next.state.store(empty, std::memory_order_relaxed);
      next.block.store(block, std::memory_order_relaxed);
    }
  }
  void end_filling() noexcept TR_RT {
    if (filling_ != nullptr) filling_->state.store(filled, std::memory_order_release);
    filling_ = nullptr;
  }
  bool is_done(std::int64_t block) noexcept TR_RT {
    if (block < first_block_) return false;
    const Slot& s = slot(block);
    return s.state.load(std::memory_order_acquire) == done && s.block.load(std::memory_order_relaxed) == block;
  }

  // The output reaches a new block.
  void begin_playing() noexcept TR_RT {
    plays_ = next_done_;
    next_done_ = false;
    const std::int64_t block = block_of(frame_ - latency_);
    if (block < first_block_) return;
    blocks_.fetch_add(1, std::memory_order_relaxed);
    if (!plays_) missed_.fetch_add(1, std::memory_order_relaxed);
  }

  void crossfade(float* const* io, int start, int frames, int in_block, int out_block) noexcept TR_RT {
    constexpr float step = 1.0f / fade_frames;
    const bool fades_out = out_block >= block_ - fade_frames && !next_done_;
    const Slot& playing = slot(std::max<std::int64_t>(block_of(frame_ - latency_), 0));
    float mix = mix_;
    for (int c = 0; c < channels_; ++c) {
      const auto channel = static_cast<std::size_t>(c), row = channel * static_cast<std::size_t>(block_);
      float* x = io[c] + start;
      if (filling_ != nullptr) std::copy_n(x, frames, filling_->samples.data() + row + in_block);
      dry_lines_[channel].write(x, frames);
      const float* dry = dry_lines_[channel].written(frames, latency_);
      const float* wet = playing.samples.data() + row + out_block;
      mix = mix_;
      for (int n = 0; n < frames; ++n) {
        const float target = plays_ && !fades_out ? 1.0f : 0.0f;
        mix = target > mix ? std::min(target, mix + step) : std::max(target, mix - step);
        x[n] = plays_ ? dry[n] + mix * (wet[n] - dry[n]) : dry[n];
      }
    }
    mix_ = mix;
  }

  int channels_, block_, latency_;
  std::vector<Slot> slots_;
  std::vector<DelayLine> dry_lines_;
  // The audio thread's.
  std::int64_t frame_ = 0, first_block_ = 0;
  bool plays_ = false, next_done_ = false;
  float mix_ = 0.0f;
  Slot* filling_ = nullptr;
  // The worker's.
  Slot* working_ = nullptr;
  std::atomic<bool> detached_{false};
  std::atomic<std::uint64_t> missed_{0}, blocks_{0};
};

// The engine's side: an effect without parameters.
const EffectType& worker_effect_type();
EffectInstance make_worker_effect(std::shared_ptr<WorkerEffect> worker);

}  // namespace twinrack
