// A parameter as hosts see it: its value in the card's unit, as a position from 0 to 1 along its scale, and as text.
#pragma once

#include <string>
#include <string_view>

#include "engine/flat_rack.h"
#include "rt/card.h"
#include "rt/realtime.h"

namespace twinrack {

struct HostParameter {
  FlatParameter flat;
  Parameter card;

  bool is_log() const noexcept TR_RT { return card.scale == Scale::log; }
  // How many values a choice or a switch has; 0 for a number.
  int values() const noexcept TR_RT;
  float least() const noexcept TR_RT { return values() > 0 ? 0.0f : card.min; }
  float most() const noexcept TR_RT { return values() > 0 ? static_cast<float>(values() - 1) : card.max; }

  // Both ways the initial value stays what it is, to the last bit.
  double to_position(float value) const noexcept TR_RT;
  float from_position(double position) const noexcept TR_RT;
  // The nearest value that there is.
  float bounded(double value) const noexcept TR_RT;

  std::string to_text(float value) const;
  // False for text that is neither a number nor an option.
  bool from_text(std::string_view text, float& value) const;
};

// In decimals, whatever the locale is.
std::string decimals(double x, int digits);
// False where the text does not begin with a finite number; `whole`: or goes on after it.
bool read_number(std::string_view text, double& x, bool whole = false);

}  // namespace twinrack
