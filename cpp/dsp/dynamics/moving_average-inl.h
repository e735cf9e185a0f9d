// Moving average (box filter): for every frame the mean of the last `window` inputs, in constant time.
//
// The running sum is of multiples of 2^-18, which double precision adds and subtracts exactly: it does not drift, and
// does not depend on the block size, nor on how many are added at once.
#if defined(TWINRACK_DSP_DYNAMICS_MOVING_AVERAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_DYNAMICS_MOVING_AVERAGE_INL_H_
#undef TWINRACK_DSP_DYNAMICS_MOVING_AVERAGE_INL_H_
#else
#define TWINRACK_DSP_DYNAMICS_MOVING_AVERAGE_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <vector>

#include "dsp/lanes/lane-inl.h"
#include "rt/realtime.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class MovingAverage {
 public:
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

  // In place.
  void process(float* x, int frames) noexcept TR_RT {
    for (int n = 0; n < frames;) {
      const int oldest = at_ - window_ < 0 ? at_ - window_ + size() : at_ - window_;
      const int count = std::min({frames - n, size() - at_, size() - oldest});  // no end of the window wraps around
      double* entering = ring_.data() + at_;
      const double* leaving = ring_.data() + oldest;
      int i = 0;
#if HWY_HAVE_FLOAT64
      V sum = hn::Set(D(), sum_);  // in all lanes
      if (window_ >= lanes) {      // else what leaves may enter in the same vector
        for (; i + lanes <= count; i += lanes) {
          const V enters = quantised(hn::PromoteTo(D(), hn::LoadU(F(), x + n + i)));
          const V differences = sums(enters - hn::LoadU(D(), leaving + i));
          hn::StoreU(enters, D(), entering + i);
          put(sum + differences, x + n + i);
          sum = sum + last(differences);
        }
      }
      for (; i < count; ++i) {
        const V enters = quantised(hn::Set(D(), static_cast<double>(x[n + i])));
        sum = sum + enters - hn::Set(D(), leaving[i]);
        entering[i] = hn::GetLane(enters);
        x[n + i] = static_cast<float>(hn::GetLane(sum * hn::Set(D(), scale_)));
      }
      sum_ = hn::GetLane(sum);
#else
      for (; i < count; ++i) {
        const double enters = quantised(static_cast<double>(x[n + i]));
        sum_ = sum_ + enters - leaving[i];
        entering[i] = enters;
        x[n + i] = static_cast<float>(sum_ * scale_);
      }
#endif
      at_ = at_ + count == size() ? 0 : at_ + count;
      n += count;
    }
  }

  void state(StateArchive& archive) {
    archive(ring_, sum_);
    archive.bounded(at_, 0, size() - 1);
  }

 private:
  static constexpr double magic = 1.5 * 17179869184.0;  // 2^34: the sum has 18 binary places

#if HWY_HAVE_FLOAT64
  using D = hn::CappedTag<double, 4>;
  using F = hn::Rebind<float, D>;
  using V = hn::Vec<D>;
  static constexpr int lanes = static_cast<int>(hn::MaxLanes(D()));

  static HWY_INLINE V quantised(V x) noexcept TR_RT { return x + hn::Set(D(), magic) - hn::Set(D(), magic); }
  HWY_INLINE void put(V sum, float* x) const noexcept TR_RT {
    hn::StoreU(hn::DemoteTo(F(), sum * hn::Set(D(), scale_)), F(), x);
  }
  // The sums up to each lane.
  static HWY_INLINE V sums(V x) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
    return x;
#else
    const V pairs = x + hn::ShiftLeftLanes<1>(D(), x);
#if HWY_MAX_BYTES >= 32
    return pairs + hn::ConcatLowerLower(D(), hn::InterleaveUpper(D(), pairs, pairs), hn::Zero(D()));
#else
    return pairs;
#endif
#endif
  }
  // The last lane, in all.
  static HWY_INLINE V last(V x) noexcept TR_RT {
#if HWY_TARGET == HWY_SCALAR
    return x;
#else
    const V upper = hn::InterleaveUpper(D(), x, x);
#if HWY_MAX_BYTES >= 32
    return hn::ConcatUpperUpper(D(), upper, upper);
#else
    return upper;
#endif
#endif
  }

#else
  static double quantised(double x) noexcept TR_RT { return x + magic - magic; }
#endif

  int size() const noexcept TR_RT { return static_cast<int>(ring_.size()); }
  std::size_t index(int at) const noexcept TR_RT { return static_cast<std::size_t>(at < 0 ? at + size() : at); }

  std::vector<double> ring_ = std::vector<double>(1, 0.0);
  int window_ = 1, at_ = 0;
  double sum_ = 0, scale_ = 1;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
