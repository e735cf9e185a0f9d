#include "host/tempo_map.h"

#include <algorithm>
#include <stdexcept>

namespace twinrack::host {

TempoMap::TempoMap(std::vector<std::pair<double, double>> knots, double rate) : knots_(std::move(knots)), rate_(rate) {
  bool ascends = knots_.size() >= 2;
  for (std::size_t i = 1; i < knots_.size(); ++i) {
    ascends = ascends && knots_[i].first > knots_[i - 1].first && knots_[i].second > knots_[i - 1].second;
  }
  if (!ascends) throw std::invalid_argument("a tempo map must have two points and ascend");
}

Transport TempoMap::at(std::int64_t frame) const {
  const auto place = static_cast<double>(frame);
  const auto next = std::upper_bound(knots_.begin() + 1, knots_.end() - 1, place,
                                     [](double at, const auto& knot) { return at < knot.first; });
  const auto& [from, beat] = *(next - 1);
  const double beats_per_frame = (next->second - beat) / (next->first - from);
  return {frame, place / rate_, beat + (place - from) * beats_per_frame, 60.0 * rate_ * beats_per_frame};
}

}  // namespace twinrack::host
