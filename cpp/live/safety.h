// The last thing before the loudspeakers: no sample above the ceiling, whatever comes. It acts within the sample, holds
// nothing back, and multiplies by exactly 1 as long as nothing is too loud, so a sound that needs no protection stays
// as it was, bit for bit.
#pragma once

#include <algorithm>
#include <cmath>

#include "rt/realtime.h"

namespace twinrack::live {

class SafetyLimiter {
 public:
  void prepare(double sample_rate) { step_ = static_cast<float>(1.0 / (release_s * sample_rate)); }

  void ceiling(float linear) noexcept TR_RT { ceiling_ = linear; }
  void enable(bool on) noexcept TR_RT { on_ = on; }
  // The smallest gain since the last call.
  float deepest() noexcept TR_RT {
    const float found = deepest_;
    deepest_ = gain_;
    return found;
  }

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
      deepest_ = std::min(deepest_, gain_);
      for (int c = 0; c < channels; ++c) y[c][n] *= gain_;
    }
  }

 private:
  static constexpr double release_s = 0.25;
  float ceiling_ = 0.9661f, gain_ = 1.0f, deepest_ = 1.0f, step_ = 0.0f;  // -0.3 dBFS
  bool on_ = true;
};

}  // namespace twinrack::live
