// Delay lines of streams side by side, of one length: a frame of all streams is a vector.
//
// A block takes the place of the oldest one, which was read before. The beginning is repeated after the end, so that
// every block lies in one piece.
#if defined(TWINRACK_DSP_DELAY_STREAM_RING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DELAY_STREAM_RING_INL_H_
#undef TWINRACK_DSP_DELAY_STREAM_RING_INL_H_
#else
#define TWINRACK_DSP_DELAY_STREAM_RING_INL_H_
#endif

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "dsp/delay/delay.h"
#include "dsp/lanes/streams-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// Numbers of streams side by side, so many frames, aligned and 0.
inline hwy::AlignedFreeUniquePtr<float[]> stream_memory(int frames) {
  const auto numbers = static_cast<std::size_t>(frames) * stream_lanes;
  auto memory = hwy::AllocateAligned<float>(numbers);
  if (memory == nullptr) throw std::bad_alloc();
  std::fill_n(memory.get(), numbers, 0.0f);
  return memory;
}

class StreamRing {
 public:
  static constexpr int block = 16;  // frames that are read and written at once

  // At least `block` frames long.
  void prepare(int size) {
    size_ = size;
    memory_ = stream_memory(size + block);
    at_ = 0;
    fresh_ = true;
  }

  // The block that is as old as the ring is long; the next one is written in its place, and `close` ends that.
  float* oldest() noexcept TR_RT { return frame(at_); }
  void close() noexcept TR_RT {
    const int end = at_ + block;
    fresh_ = false;
    if (end > size_) copy(size_, 0, end - size_);
    if (at_ < block) copy(at_, size_ + at_, std::min(end, block) - at_);
    at_ = end >= size_ ? end - size_ : end;
  }
  // Before `close`, the block that is `age` frames older than the one that was written; at most size - block.
  const float* written(int age) noexcept TR_RT { return frame(place(age)); }

  // The last frames of a stream's own delay line, up to the length of the ring, and back.
  void take(const DelayLine& line, int lane) noexcept TR_RT {
    for (int age = size_; age > 0;) {
      const int count = std::min(age, block);
      const float* x = line.coming(age);
      std::uint32_t bits = 0;
      for (int n = 0; n < count; ++n) bits |= std::bit_cast<std::uint32_t>(x[n]);
      fresh_ = fresh_ && bits == 0;
      for (int n = 0; !fresh_ && n < count; ++n) set(place(age - n), lane, x[n]);
      age -= count;
    }
  }
  void give(DelayLine& line, int lane) noexcept TR_RT {
    for (int age = size_; age > 0;) {
      const int count = std::min(age, block);
      float x[block];
      for (int n = 0; n < count; ++n) x[n] = frame(place(age - n))[lane];
      line.write(x, count);
      age -= count;
    }
  }

 private:
  float* frame(int at) noexcept TR_RT { return memory_.get() + static_cast<std::ptrdiff_t>(at) * stream_lanes; }
  int place(int age) const noexcept TR_RT { return at_ - age < 0 ? at_ - age + size_ : at_ - age; }
  void copy(int from, int to, int frames) noexcept TR_RT {
    std::copy_n(frame(from), static_cast<std::ptrdiff_t>(frames) * stream_lanes, frame(to));
  }
  void set(int at, int lane, float value) noexcept TR_RT {
    frame(at)[lane] = value;
    if (at < block) frame(size_ + at)[lane] = value;
  }

  hwy::AlignedFreeUniquePtr<float[]> memory_;
  int size_ = 0, at_ = 0;
  bool fresh_ = true;  // all of it is 0
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
