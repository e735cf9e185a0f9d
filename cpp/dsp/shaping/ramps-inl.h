// Ramps: numbers that move on straight lines from one tick's values to the next one's.
#if defined(TWINRACK_DSP_SHAPING_RAMPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_SHAPING_RAMPS_INL_H_
#undef TWINRACK_DSP_SHAPING_RAMPS_INL_H_
#else
#define TWINRACK_DSP_SHAPING_RAMPS_INL_H_
#endif

#include <algorithm>
#include <array>

#include "dsp/lanes/lane-inl.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// One number; `frame` counts from where the tick began.
struct Ramp {
  float from, to;
  int frame;
  bool moves;

  // At the n-th frame from here, and at a vector of frames from the n-th on.
  float operator[](int n) const noexcept TR_RT {
    return moves ? from + (to - from) * ramp_position<float>(frame + n) : to;
  }
  Vec<float> vector(int n) const noexcept TR_RT {
    const Tag<float> d;
    if (!moves) return hn::Set(d, to);
    const auto share = hn::Iota(d, static_cast<float>(frame + n + 1)) * hn::Set(d, 1.0f / tick_frames);
    return hn::Set(d, from) + hn::Set(d, to - from) * share;
  }
};

template <std::size_t count>
class Ramps {
 public:
  using Values = std::array<float, count>;
  struct Vectors {
    Vec<float> at[count];
    Vec<float> operator[](std::size_t i) const noexcept TR_RT { return at[i]; }
  };

  // From this tick's first frame on.
  void go(const Values& to) noexcept TR_RT {
    from_ = to_;
    to_ = to;
    moving_ = from_ != to_;
    frame_ = 0;
  }
  void arrive() noexcept TR_RT {
    from_ = to_;
    moving_ = false;
  }
  void pass(int frames) noexcept TR_RT { frame_ = std::min(frame_ + frames, tick_frames); }

  bool moving() const noexcept TR_RT { return moving_; }
  // True when a number has this value and does not move.
  bool rests_at(std::size_t i, float value) const noexcept TR_RT { return to_[i] == value && from_[i] == value; }
  const Values& to() const noexcept TR_RT { return to_; }

  Ramp operator[](std::size_t i) const noexcept TR_RT { return {from_[i], to_[i], frame_, moving_}; }
  float at(std::size_t i, int n) const noexcept TR_RT { return (*this)[i][n]; }
  Vec<float> vector(std::size_t i, int n) const noexcept TR_RT { return (*this)[i].vector(n); }
  Vectors vectors(int n) const noexcept TR_RT {
    Vectors all;
    for (std::size_t i = 0; i < count; ++i) all.at[i] = vector(i, n);
    return all;
  }

  void state(StateArchive& archive) {
    archive(from_, to_, moving_);
    archive.bounded(frame_, 0, tick_frames);
  }

 private:
  Values from_{}, to_{};
  bool moving_ = false;
  int frame_ = 0;  // since the tick began
};

// x = (1 - mix) dry + mix level wet, where `level` and `mix` are places in the ramps; dry may be x.
template <std::size_t count>
inline void blend(const Ramps<count>& ramps, std::size_t level, std::size_t mix, const float* dry, const float* wet,
                  float* x, int frames) noexcept TR_RT {
  for (int n = 0; n < frames; ++n) {
    const float wet_share = ramps.at(mix, n);
    x[n] = (1.0f - wet_share) * dry[n] + wet_share * (ramps.at(level, n) * wet[n]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
