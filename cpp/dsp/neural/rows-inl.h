// The signals between the layers of a network, and the state of a stream.
//
// A signal is rows: the numbers of one frame side by side, padded to whole vectors. So a layer's outputs stand in the
// lanes and every frame is computed by itself: the result does not depend on the block size. Rows are kept in rings, as
// many as a convolution looks back.
#if defined(TWINRACK_DSP_NEURAL_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_ROWS_INL_H_
#undef TWINRACK_DSP_NEURAL_ROWS_INL_H_
#else
#define TWINRACK_DSP_NEURAL_ROWS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

#include "dsp/lanes/lane-inl.h"
#include "hwy/aligned_allocator.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

using D = Tag<float>;
using V = Vec<float>;
inline constexpr int lanes = lane_count<float>;
inline constexpr int chunk = 64;  // frames at most that go through all layers at once

inline int whole_vectors(int width, int size = lanes) noexcept TR_RT { return (width + size - 1) / size * size; }

// Floats in aligned memory, 0 at first.
class AlignedFloats {
 public:
  void prepare(std::size_t count) {
    if (count > most) throw std::invalid_argument("a network that needs too much memory");
    data_ = hwy::AllocateAligned<float>(count);
    if (data_ == nullptr) throw std::bad_alloc();
    count_ = count;
    for (std::size_t i = 0; i < count; ++i) data_[i] = 0.0f;
  }
  void prepare(int count) { prepare(static_cast<std::size_t>(count)); }
  float* data() noexcept TR_RT { return data_.get(); }
  const float* data() const noexcept TR_RT { return data_.get(); }
  void copy(const AlignedFloats& other) noexcept TR_RT {
    if (count_ > 0) std::memcpy(data_.get(), other.data_.get(), sizeof(float) * count_);
  }

  void state(StateArchive& archive) { archive.bytes(data(), sizeof(float) * count_); }

 private:
  static constexpr std::size_t most = std::size_t{1} << 26;
  hwy::AlignedFreeUniquePtr<float[]> data_;
  std::size_t count_ = 0;
};

// A ring of a signal's rows: the last `memory` ones, and room for a chunk of new ones.
class Rows {
 public:
  void prepare(int width, int memory) {
    stride_ = whole_vectors(width);
    int size = chunk;
    while (size < memory + chunk) size *= 2;
    mask_ = size - 1;
    numbers_.prepare(static_cast<std::size_t>(size) * static_cast<std::size_t>(stride_));
  }
  float* row(std::int64_t t) noexcept TR_RT {
    return numbers_.data() + static_cast<std::size_t>(t & mask_) * static_cast<std::size_t>(stride_);
  }
  int stride() const noexcept TR_RT { return stride_; }
  int size() const noexcept { return static_cast<int>(mask_) + 1; }
  void copy(const Rows& other) noexcept TR_RT { numbers_.copy(other.numbers_); }

  void state(StateArchive& archive) { archive(numbers_); }

 private:
  AlignedFloats numbers_;
  std::int64_t mask_ = 0;
  int stride_ = 0;
};

// The state of a network for one channel.
struct StreamState {
  std::vector<Rows> rows;
  std::vector<AlignedFloats> numbers;
  std::int64_t t = 0;

  void copy(const StreamState& other) noexcept TR_RT {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].copy(other.rows[i]);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i].copy(other.numbers[i]);
  }
  void state(StateArchive& archive) { archive(rows, numbers, t); }
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
