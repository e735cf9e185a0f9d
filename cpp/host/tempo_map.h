// The place on a timeline in beats, for plugins that follow the tempo.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace twinrack::host {

struct Transport {
  std::int64_t frame = 0;
  double seconds = 0.0, beat = 0.0, bpm = 120.0;
};

class TempoMap {
 public:
  static constexpr int beats_in_bar = 4;

  // Frames and the beats that come at them, both ascending; between two the tempo is constant, and goes on before the
  // first and after the last. At least two. Throws std::invalid_argument where they do not ascend.
  TempoMap(std::vector<std::pair<double, double>> knots, double rate);

  Transport at(std::int64_t frame) const;

 private:
  std::vector<std::pair<double, double>> knots_;
  double rate_;
};

}  // namespace twinrack::host
