// The safety limiter before the outputs: no sample leaves above the ceiling. It acts within the sample, adds no
// latency, and multiplies by exactly 1 while nothing is too loud, so that such sound stays the same bit for bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "rt/realtime.h"

namespace twinrack::live {

class SafetyLimiter {
 public:
  void prepare(double sample_rate) { step_ = static_cast<float>(1.0 / (release_s * sample_rate)); }

  void ceiling(float linear) noexcept TR_RT { ceiling_ = linear; }
  void enable(bool on) noexcept TR_RT { on_ = on; }
  // The smallest gain since the last call.
  float read_min_gain() noexcept TR_RT { return std::exchange(min_gain_, gain_); }

  void process(float* const* y, int channels, int frames) noexcept TR_RT {
    if (!on_) {
      gain_ = 1.0f;
      return;
    }
    for (int n = 0; n < frames; ++n) {
      float peak = 0.0f;
      for (int c = 0; c < channels; ++c) peak = std::max(peak, std::abs(y[c][n]));
      const float allowed = peak > ceiling_ ? ceiling_ / peak : 1.0f;
      gain_ = std::min(allowed, std::min(1.0f, gain_ + step_));
      min_gain_ = std::min(min_gain_, gain_);
      for (int c = 0; c < channels; ++c) y[c][n] *= gain_;
    }
  }

 private:
  static constexpr double release_s = 0.25;
  float ceiling_ = 0.9661f, gain_ = 1.0f, min_gain_ = 1.0f, step_ = 0.0f;  // -0.3 dBFS
  bool on_ = true;
};

}  // namespace twinrack::live
