// The meters of one effect: levels before and after it, gain reduction, and faults, summed on the audio thread and read
// by others.
#pragma once

#include <atomic>
#include <cstdint>

#include "engine/kernels.h"
#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

struct EffectMeter {
  float peak_in = 0, peak_out = 0;  // linear
  float rms_in = 0, rms_out = 0;
  float gain_reduction_db = 0;
  std::uint32_t faults = 0;
};

// Peak and power of a signal since the meters were last read.
struct LevelSum {
  float peak = 0;
  double power = 0;

  void add(const BlockLevel& level) noexcept TR_RT {
    peak = peak > level.peak ? peak : level.peak;
    power += static_cast<double>(level.power);
  }
  void state(StateArchive& archive) { archive(peak, power); }
};

struct Meter {
  LevelSum in, out;
  float gain_reduction_db = 0;  // the largest
  std::uint32_t faults = 0;

  void restart() noexcept TR_RT {
    in = out = {};
    gain_reduction_db = 0;
  }
  void state(StateArchive& archive) { archive(in, out, gain_reduction_db, faults); }
};

// A meter's numbers for other threads.
class PublishedMeter {
 public:
  void store(const Meter& meter) noexcept TR_RT;
  // `samples`: frames x channels that the powers are summed over.
  EffectMeter load(double samples) const noexcept;

 private:
  std::atomic<float> peak_in_{0}, peak_out_{0}, gain_reduction_db_{0};
  std::atomic<double> power_in_{0}, power_out_{0};
  std::atomic<std::uint32_t> faults_{0};
};

}  // namespace twinrack
