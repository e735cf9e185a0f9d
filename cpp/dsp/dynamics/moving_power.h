// The mean power over the last so many frames, a fraction of a frame included, in constant time.
//
// The running sum is of multiples of 2^-38 as integers, so it does not drift, whatever was in it before.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class MovingPower {
 public:
  static constexpr float loudest = 64.0f;  // power that others are taken as, 18 dB above full scale

  void prepare(double longest_frames) {
    ring_.assign(static_cast<std::size_t>(std::ceil(longest_frames)) + 2, 0.0f);
    reset();
  }
  void reset() noexcept TR_RT {
    std::fill(ring_.begin(), ring_.end(), 0.0f);
    sum_ = 0;
    at_ = 0;
  }

  // At least one frame. It costs as much as the window moves.
  void set(double frames) noexcept TR_RT {
    const double window = std::clamp(frames, 1.0, static_cast<double>(size() - 2));
    const int whole = static_cast<int>(window);
    for (; whole_ < whole; ++whole_) sum_ += fixed(ring_[ago(whole_ + 1)]);
    for (; whole_ > whole; --whole_) sum_ -= fixed(ring_[ago(whole_)]);
    part_ = window - whole;
    scale_ = 1.0 / window;
  }

  // Takes over the past of another one that was prepared for as much.
  void copy(const MovingPower& other) noexcept TR_RT {
    std::copy(other.ring_.begin(), other.ring_.end(), ring_.begin());
    sum_ = other.sum_;
    at_ = other.at_;
    whole_ = other.whole_;
    part_ = other.part_;
    scale_ = other.scale_;
  }

  float step(float power) noexcept TR_RT {
    const float now = power > 0.0f ? std::min(power, loudest) : 0.0f;  // NaN is 0
    const float oldest = ring_[ago(whole_)];
    sum_ += fixed(now) - fixed(oldest);
    ring_[static_cast<std::size_t>(at_)] = now;
    at_ = at_ + 1 == size() ? 0 : at_ + 1;
    return static_cast<float>((static_cast<double>(sum_) / unit + part_ * static_cast<double>(oldest)) * scale_);
  }

  int frames() const noexcept TR_RT { return size(); }  // of the past that it keeps

  // The window is set from the values; the sum follows it.
  void state(StateArchive& archive) {
    archive(ring_, sum_);
    archive.bounded(at_, 0, size() - 1);
    archive.bounded(whole_, 1, size() - 2);
  }

 private:
  static constexpr double unit = 274877906944.0;  // 2^38

  static std::int64_t fixed(float power) noexcept TR_RT {
    return static_cast<std::int64_t>(static_cast<double>(power) * unit);
  }
  int size() const noexcept TR_RT { return static_cast<int>(ring_.size()); }
  // Where the frame so many before the next one lies.
  std::size_t ago(int frames) const noexcept TR_RT {
    const int index = at_ - frames;
    return static_cast<std::size_t>(index < 0 ? index + size() : index);
  }

  std::vector<float> ring_ = std::vector<float>(3, 0.0f);
  std::int64_t sum_ = 0;
  int at_ = 0, whole_ = 1;
  double part_ = 0.0, scale_ = 1.0;
};

}  // namespace twinrack
