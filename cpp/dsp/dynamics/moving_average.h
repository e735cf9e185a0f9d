// Moving average (box filter): for every frame the mean of the last `window` inputs, in constant time.
//
// The running sum is of multiples of 2^-18, which double precision adds and subtracts exactly: it does not drift, and
// does not depend on the block size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

class MovingAverage {
 public:
  static double quantised(float x) noexcept TR_RT {
    constexpr double magic = 1.5 * 17179869184.0;  // 2^34: the sum has 18 binary places
    return static_cast<double>(x) + magic - magic;
  }

  void prepare(int longest) {
    ring_.assign(static_cast<std::size_t>(longest), 0.0);
    reset();
  }
  void reset() noexcept TR_RT {
    std::fill(ring_.begin(), ring_.end(), 0.0);
    at_ = 0;
    sum_ = 0.0;
  }
  void set(int window) noexcept TR_RT {
    if (window == window_) return;
    window_ = window;
    scale_ = 1.0 / window;
    sum_ = 0.0;
    for (int ago = 1; ago <= window; ++ago) sum_ += ring_[index(at_ - ago)];
  }

  // Takes over the state of another one of the same length.
  void copy(const MovingAverage& other) noexcept TR_RT {
    std::copy(other.ring_.begin(), other.ring_.end(), ring_.begin());
    window_ = other.window_;
    at_ = other.at_;
    sum_ = other.sum_;
    scale_ = other.scale_;
  }

  // A run of frames in which neither end of the window wraps around in the ring: `begin`, a `step` for each of at most
  // `frames_to_wrap` frames, and `end`.
  class Run {
   public:
    float step(float x) noexcept TR_RT {
      const double enters = quantised(x);
      sum_ += enters - *leaving_++;
      *entering_++ = enters;
      return static_cast<float>(sum_ * scale_);
    }

   private:
    friend class MovingAverage;
    double* entering_;
    const double* leaving_;
    double sum_, scale_;
  };
  int frames_to_wrap() const noexcept TR_RT { return std::min(size() - at_, size() - oldest()); }
  Run begin() noexcept TR_RT {
    Run run;
    run.entering_ = ring_.data() + at_;
    run.leaving_ = ring_.data() + oldest();
    run.sum_ = sum_;
    run.scale_ = scale_;
    return run;
  }
  void end(const Run& run, int frames) noexcept TR_RT {
    sum_ = run.sum_;
    at_ = at_ + frames == size() ? 0 : at_ + frames;
  }

  void state(StateArchive& archive) {
    archive(ring_, sum_);
    archive.bounded(at_, 0, size() - 1);
  }

 private:
  int size() const noexcept TR_RT { return static_cast<int>(ring_.size()); }
  int oldest() const noexcept TR_RT { return at_ - window_ < 0 ? at_ - window_ + size() : at_ - window_; }
  std::size_t index(int at) const noexcept TR_RT { return static_cast<std::size_t>(at < 0 ? at + size() : at); }

  std::vector<double> ring_ = std::vector<double>(1, 0.0);
  int window_ = 1, at_ = 0;
  double sum_ = 0, scale_ = 1;
};

}  // namespace twinrack
