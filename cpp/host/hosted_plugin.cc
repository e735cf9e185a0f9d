#include "host/hosted_plugin.h"

#include <cmath>

namespace twinrack::host {

void HostedPlugin::set(std::size_t number, float value) {
  const auto scale = scales_.find(number);
  values_[number] = scale == scales_.end() ? value : scale->second.own(value);
}

float HostedPlugin::get(std::size_t number) const {
  const auto scale = scales_.find(number);
  return scale == scales_.end() ? values_[number] : scale->second.number(values_[number]);
}

int checked_latency(double frames) { return frames > 0.0 && frames < 1e7 ? static_cast<int>(std::lround(frames)) : 0; }

}  // namespace twinrack::host
