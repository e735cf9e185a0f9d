// How a detector combines the channels of its sidechain: the options of the cards by name.
#pragma once

#include "rt/realtime.h"

namespace twinrack {

enum class ChannelMode : int { maximum, mean, power_mean, magnitude_mean };

// From a card's option. By name, so the order in the card does not matter; an option without a case stops the build.
template <class Option>
constexpr ChannelMode channel_mode_of(Option option) noexcept TR_RT {
  switch (option) {
    case Option::maximum:
      return ChannelMode::maximum;
    case Option::mean:
      return ChannelMode::mean;
    case Option::power_mean:
      return ChannelMode::power_mean;
    case Option::magnitude_mean:
      return ChannelMode::magnitude_mean;
  }
  return ChannelMode::maximum;
}

}  // namespace twinrack
