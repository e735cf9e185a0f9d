// The way from numbers in the unit of a control to the values by which its plugin knows them.
#pragma once

#include <vector>

namespace twinrack::host {

class Scale {
 public:
  // `numbers` ascend, `owns` are the plugin's values for them. Between them lie straight lines, of the logarithm of the
  // number where `is_log`. Throws std::invalid_argument for tables that are none.
  Scale(std::vector<float> numbers, std::vector<float> owns, bool is_log);

  float own(float number) const;
  float number(float own) const;

 private:
  std::vector<float> numbers_, owns_;
  bool is_log_;
};

}  // namespace twinrack::host
