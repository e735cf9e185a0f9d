// An effect whose work is done outside the engine, by a thread or by another process: blocks go out, results come back
// a stated time later. The audio thread does not wait for it, or, where that was asked for, for a bounded time and
// without a system call: where a result is missing, the dry block plays, with a fade, and is counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/effect.h"
#include "engine/ring_memory.h"
#include "rt/block.h"
#include "rt/block_ring.h"
#include "rt/clock.h"
#include "rt/realtime.h"

namespace twinrack {

// The parts of such an effect beside its sound.
struct WorkerShape {
  int keys = 0;                       // rows of its sidechain
  std::vector<Parameter> parameters;  // whose values go out with every tick
  int latency = 0;                    // frames that the work itself delays the sound by
  double wait_s = 0.0;                // that the audio thread waits for a result at most; 0 where it does not
  int file = -1;                      // of the memory to share with another process; -1 for memory of this process
};

class WorkerEffect {
 public:
  static constexpr int fade_frames = 32;

  // The result of a block is due `blocks` - 1 blocks after its last frame; with one block, at once. With
  // parameters, `block` is a multiple of a tick.
  WorkerEffect(int channels, int block, int blocks, const WorkerShape& shape = {});

  int channels() const noexcept { return ring_.shape().channels; }
  int block() const noexcept { return block_; }
  int latency() const noexcept { return latency_ + work_latency_; }
  const EffectType& type() const noexcept { return type_; }
  BlockRing& ring() noexcept { return ring_; }

  // For the audio thread:

  void reset() noexcept TR_RT {
    frame_ = (frame_ / block_ + 1) * block_;  // a block half filled is given up, and earlier results do not play
    first_block_ = frame_ / block_;
    plays_ = next_done_ = false;
    mix_ = 0.0f;
    filling_ = -1;
    ++restarts_;
    for (DelayLine& line : dry_lines_) line.reset();
  }
  void tune(const float* values) noexcept TR_RT { std::copy_n(values, values_.size(), values_.begin()); }

  void process(float* const* io, int frames, SideBlock keys) noexcept TR_RT {
    for (int start = 0; start < frames;) {
      const int in_block = static_cast<int>(frame_ % block_), out_block = frame_in_block(frame_ - latency_);
      if (in_block == 0) begin_filling(frame_ / block_);
      if (out_block == 0) begin_playing();
      const int until_check = (out_block < block_ - fade_frames ? block_ - fade_frames : block_) - out_block;
      const int length = std::min({frames - start, block_ - in_block, until_check, max_segment});
      if (out_block == block_ - fade_frames) next_done_ = is_done(block_of(frame_ - latency_) + 1);
      if (filling_ >= 0) fill_beside(keys, start, length, in_block);
      crossfade(io, start, length, in_block, out_block);
      start += length;
      frame_ += length;
      if (frame_ % block_ == 0) end_filling();
    }
  }

  // For a worker in this process:

  // Copies the oldest filled block, channels x block; false when there is none. It is the worker's until `deliver`.
  bool fetch(float* to) noexcept {
    const int slot = ring_.fetch();
    if (slot < 0) return false;
    working_ = slot;
    std::copy_n(ring_.channel(slot, 0), floats_in_block(), to);
    return true;
  }
  void deliver(const float* result) noexcept {
    if (working_ < 0) return;
    std::copy_n(result, floats_in_block(), ring_.channel(working_, 0));
    ring_.give_back(working_, true);
    working_ = -1;
  }
  // The block fetched last has no result.
  void discard() noexcept {
    if (working_ >= 0) ring_.give_back(working_, false);
    working_ = -1;
  }
  // The worker works by itself from now on: the audio thread may wait for it.
  void let_wait() noexcept { waits_.store(wait_ticks_ > 0, std::memory_order_relaxed); }
  // The audio thread is done with it, or the worker gives up.
  void detach() noexcept { detached_.store(true, std::memory_order_relaxed); }
  bool detached() const noexcept { return detached_.load(std::memory_order_relaxed); }

  // Frames until the block is complete that fills.
  int frames_left() const noexcept { return block_ - static_cast<int>(frame_ % block_); }
  // Blocks that played dry because their result was missing, and all blocks.
  std::uint64_t missed() const noexcept { return missed_.load(std::memory_order_relaxed); }
  std::uint64_t blocks() const noexcept { return blocks_.load(std::memory_order_relaxed); }

 private:
  using Slot = BlockRing::Slot;

  // Where a frame is in its block, and which block that is, for numbers below 0 too.
  int frame_in_block(std::int64_t frame) const noexcept TR_RT {
    return static_cast<int>((frame % block_ + block_) % block_);
  }
  std::int64_t block_of(std::int64_t frame) const noexcept TR_RT { return (frame - frame_in_block(frame)) / block_; }
  std::size_t floats_in_block() const noexcept {
    return static_cast<std::size_t>(channels()) * static_cast<std::size_t>(block_);
  }

  // The slot for a block that begins; none while the worker holds it.
  void begin_filling(std::int64_t block) noexcept TR_RT {
    Slot& next = ring_.slot(block);
    std::int32_t state = next.state.load(std::memory_order_acquire);
    const bool available = state == BlockRing::empty || state == BlockRing::done ||
                           (state == BlockRing::filled &&
                            next.state.compare_exchange_strong(state, BlockRing::empty, std::memory_order_acquire));
    filling_ = available ? ring_.number_of(block) : -1;
    if (available) {
      next.state.store(BlockRing::empty, std::memory_order_relaxed);
      next.restarts.store(restarts_, std::memory_order_relaxed);
      next.block.store(block, std::memory_order_relaxed);
      next.since.store(block - first_block_, std::memory_order_relaxed);
    }
  }
  void end_filling() noexcept TR_RT {
    if (filling_ < 0) return;
    ring_.slot(filling_).state.store(BlockRing::filled, std::memory_order_release);
    if (waits_.load(std::memory_order_relaxed)) wait_for(filling_);
    filling_ = -1;
  }
  // A worker that was too late is waited for again once it has given a block back.
  void wait_for(int slot) noexcept TR_RT {
    const std::uint64_t worked = ring_.worked();
    if (is_late_ && worked == worked_then_) return;
    const std::uint64_t begin = clock_ticks();
    is_late_ = false;
    while (ring_.slot(slot).state.load(std::memory_order_acquire) != BlockRing::done) {
      if (clock_ticks() - begin > wait_ticks_) {
        is_late_ = true;
        worked_then_ = ring_.worked();
        return;
      }
      rest();
    }
  }
  bool is_done(std::int64_t block) noexcept TR_RT {
    if (block < first_block_) return false;
    const Slot& s = ring_.slot(block);
    return s.state.load(std::memory_order_acquire) == BlockRing::done &&
           s.block.load(std::memory_order_relaxed) == block;
  }

  // The output reaches a new block.
  void begin_playing() noexcept TR_RT {
    plays_ = next_done_;
    next_done_ = false;
    const std::int64_t block = block_of(frame_ - latency_);
    if (block < first_block_) return;
    blocks_.fetch_add(1, std::memory_order_relaxed);
    if (!plays_) missed_.fetch_add(1, std::memory_order_relaxed);
    if (plays_ && block == first_block_) mix_ = 1.0f;  // nothing was heard before it
  }

  // Sidechains, and the values of the ticks that begin here.
  void fill_beside(SideBlock keys, int start, int frames, int in_block) noexcept TR_RT {
    for (int k = 0; k < ring_.shape().keys; ++k) {
      float* row = ring_.key(filling_, k) + in_block;
      const int from = keys.channels == 1 ? 0 : k;
      if (keys.channel == nullptr || from >= keys.channels) {
        std::fill_n(row, frames, 0.0f);
      } else {
        std::copy_n(keys.channel[from] + start, frames, row);
      }
    }
    if (values_.empty()) return;
    for (int tick = (in_block + tick_frames - 1) / tick_frames; tick * tick_frames < in_block + frames; ++tick) {
      std::copy_n(values_.data(), values_.size(), ring_.values(filling_, tick));
    }
  }

  void crossfade(float* const* io, int start, int frames, int in_block, int out_block) noexcept TR_RT {
    constexpr float step = 1.0f / fade_frames;
    const bool fades_out = out_block >= block_ - fade_frames && !next_done_;
    const int playing = ring_.number_of(std::max<std::int64_t>(block_of(frame_ - latency_), 0));
    float mix = mix_;
    for (int c = 0; c < ring_.shape().channels; ++c) {
      DelayLine& line = dry_lines_[static_cast<std::size_t>(c)];
      float* x = io[c] + start;
      if (filling_ >= 0) std::copy_n(x, frames, ring_.channel(filling_, c) + in_block);
      line.write(x, frames);
      const float* dry = line.written(frames, latency_ + work_latency_);
      const float* wet = ring_.channel(playing, c) + out_block;
      mix = mix_;
      if (plays_ && !fades_out && mix == 1.0f) {
        std::copy_n(wet, frames, x);
        continue;
      }
      for (int n = 0; n < frames; ++n) {
        const float target = plays_ && !fades_out ? 1.0f : 0.0f;
        mix = target > mix ? std::min(target, mix + step) : std::max(target, mix - step);
        x[n] = plays_ ? dry[n] + mix * (wet[n] - dry[n]) : dry[n];
      }
    }
    mix_ = mix;
  }

  int block_, latency_, work_latency_;
  std::vector<Parameter> parameters_;
  EffectType type_;
  RingMemory memory_;
  BlockRing ring_;
  std::vector<DelayLine> dry_lines_;
  // The audio thread's.
  std::int64_t frame_ = 0, first_block_ = 0;
  std::int32_t restarts_ = 0;
  bool plays_ = false, next_done_ = false;
  float mix_ = 0.0f;
  int filling_ = -1;  // slots; -1 for none
  std::uint64_t wait_ticks_ = 0, worked_then_ = 0;
  bool is_late_ = false;
  std::vector<float> values_;
  // The worker's.
  int working_ = -1;
  std::atomic<bool> detached_{false}, waits_{false};
  std::atomic<std::uint64_t> missed_{0}, blocks_{0};
};

// The engine's side.
EffectInstance make_worker_effect(std::shared_ptr<WorkerEffect> worker);

}  // namespace twinrack
