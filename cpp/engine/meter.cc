#include "engine/meter.h"

#include <cmath>

namespace twinrack {

void PublishedMeter::store(const Meter& meter) noexcept TR_RT {
  const auto relaxed = std::memory_order_relaxed;
  peak_in_.store(meter.in.peak, relaxed);
  peak_out_.store(meter.out.peak, relaxed);
  power_in_.store(meter.in.power, relaxed);
  power_out_.store(meter.out.power, relaxed);
  gain_reduction_db_.store(meter.gain_reduction_db, relaxed);
  faults_.store(meter.faults, relaxed);
}

EffectMeter PublishedMeter::load(double samples) const noexcept {
  const auto relaxed = std::memory_order_relaxed;
  const auto rms = [&](double power) { return static_cast<float>(std::sqrt(power / samples)); };
  return {.peak_in = peak_in_.load(relaxed),
          .peak_out = peak_out_.load(relaxed),
          .rms_in = rms(power_in_.load(relaxed)),
          .rms_out = rms(power_out_.load(relaxed)),
          .gain_reduction_db = gain_reduction_db_.load(relaxed),
          .faults = faults_.load(relaxed)};
}

}  // namespace twinrack
