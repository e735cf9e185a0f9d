// Independent streams in the lanes of vectors: one frame of all of them is a vector, frames follow each other in
// memory.
//
// So a recursion, which waits for itself in every frame, works for as many streams at once as a vector has lanes. The
// operations of one stream are those that it has alone, so the result is the same to the last bit.
#if defined(TWINRACK_DSP_LANES_STREAMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_LANES_STREAMS_INL_H_
#undef TWINRACK_DSP_LANES_STREAMS_INL_H_
#else
#define TWINRACK_DSP_LANES_STREAMS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dsp/lanes/lane-inl.h"
#include "dsp/lanes/transpose-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

using StreamTag = hn::CappedTag<float, max_streams>;
using Streams = hn::Vec<StreamTag>;  // a number of each stream
inline constexpr int stream_lanes = static_cast<int>(hn::MaxLanes(StreamTag()));

HWY_INLINE Streams load_streams(const float* x, int frame) noexcept TR_RT {
  return hn::LoadU(StreamTag(), x + static_cast<std::ptrdiff_t>(frame) * stream_lanes);
}
HWY_INLINE void store_streams(Streams v, float* x, int frame) noexcept TR_RT {
  hn::StoreU(v, StreamTag(), x + static_cast<std::ptrdiff_t>(frame) * stream_lanes);
}

// The peak of each stream; it remains NaN or infinity once a sample is.
class StreamPeaks {
 public:
  StreamPeaks() noexcept TR_RT : bits_(hn::Zero(Integers())) {}
  HWY_INLINE void add(Streams v) noexcept TR_RT { bits_ = hn::Max(bits_, hn::BitCast(Integers(), hn::Abs(v))); }
  void store(float* peaks) const noexcept TR_RT { hn::StoreU(hn::BitCast(StreamTag(), bits_), StreamTag(), peaks); }

 private:
  using Integers = hn::RebindToSigned<StreamTag>;  // the bits of larger numbers are larger, those of NaN the largest
  hn::Vec<Integers> bits_;
};

// From a row for each stream to streams side by side, and back. `frames` is a multiple of 16.
inline void to_streams(const float* const* rows, float* x, int frames) noexcept TR_RT {
  constexpr int lanes = lane_count<float>;
  if (std::all_of(rows, rows + stream_lanes, [&](const float* row) { return row == rows[0]; })) {
    for (int n = 0; n < frames; ++n) store_streams(hn::Set(StreamTag(), rows[0][n]), x, n);
    return;
  }
  const Tag<float> d;
  for (int n = 0; n < frames; n += lanes) {
    for (int first = 0; first < stream_lanes; first += lanes) {
      Vec<float> square[lanes];
      for (int i = 0; i < lanes; ++i) {
        square[i] = hn::LoadU(d, rows[first + i] + n);
        hwy::Prefetch(rows[first + i] + n + max_segment);
      }
      transpose(square);
      for (int i = 0; i < lanes; ++i) {
        hn::StoreU(square[i], d, x + static_cast<std::ptrdiff_t>(n + i) * stream_lanes + first);
      }
    }
  }
}
// Past the caches where a row begins on a line of them, for rows that are not read again soon.
template <bool past_caches = false>
inline void from_streams(const float* x, float* const* rows, int frames) noexcept TR_RT {
  constexpr int lanes = lane_count<float>, squares = 16 / lanes;  // a line of the cache of each row at a time
  const Tag<float> d;
  for (int first = 0; first < stream_lanes; first += lanes) {
    float* to[lanes];
    std::copy_n(rows + first, lanes, to);
    for (int n = 0; n < frames; n += 16) {
      Vec<float> square[squares][lanes];
      for (int s = 0; s < squares; ++s) {
        for (int i = 0; i < lanes; ++i) {
          square[s][i] = hn::LoadU(d, x + static_cast<std::ptrdiff_t>(n + s * lanes + i) * stream_lanes + first);
        }
        transpose(square[s]);
      }
      for (int i = 0; i < lanes; ++i) {
        if (past_caches && reinterpret_cast<std::uintptr_t>(to[i]) % 64 == 0) {
          for (int s = 0; s < squares; ++s) hn::Stream(square[s][i], d, to[i] + n + s * lanes);
        } else {
          for (int s = 0; s < squares; ++s) hn::StoreU(square[s][i], d, to[i] + n + s * lanes);
        }
      }
    }
  }
}

// The effects whose streams are in the lanes; null where a lane has none.
template <class E>
class StreamOwners {
 public:
  explicit StreamOwners(void* const* owners) noexcept TR_RT {
    for (int k = 0; k < stream_lanes; ++k) {
      owners_[k] = static_cast<E*>(owners[k]);
      if (any_ == nullptr) any_ = owners_[k];
    }
  }

  E& any() const noexcept TR_RT { return *any_; }
  // The one of a lane, or another one where a lane has none.
  E& at(int lane) const noexcept TR_RT { return owners_[lane] != nullptr ? *owners_[lane] : *any_; }

  // A number of each; a lane without an owner gets that of another one.
  template <class Get>
  HWY_INLINE Streams get(const Get& number) const noexcept TR_RT {
    alignas(64) float numbers[stream_lanes];
    for (int k = 0; k < stream_lanes; ++k) numbers[k] = number(at(k));
    return hn::Load(StreamTag(), numbers);
  }
  template <class Put>
  HWY_INLINE void put(Streams v, const Put& put_number) const noexcept TR_RT {
    alignas(64) float numbers[stream_lanes];
    hn::Store(v, StreamTag(), numbers);
    for (int k = 0; k < stream_lanes; ++k) {
      if (owners_[k] != nullptr) put_number(*owners_[k], numbers[k]);
    }
  }
  template <class Use>
  void each(const Use& use) const noexcept TR_RT {
    for (int k = 0; k < stream_lanes; ++k) {
      if (owners_[k] != nullptr) use(*owners_[k], k);
    }
  }

 private:
  E* owners_[stream_lanes];
  E* any_ = nullptr;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
