#include "host/scale.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <utility>

namespace twinrack::host {

namespace {
double part(double from, double to, double at) { return (at - from) / (to - from); }
}  // namespace

Scale::Scale(std::vector<float> numbers, std::vector<float> owns, bool is_log)
    : numbers_(std::move(numbers)), owns_(std::move(owns)), is_log_(is_log) {
  const bool ascends = std::adjacent_find(numbers_.begin(), numbers_.end(), std::greater_equal<>()) == numbers_.end();
  if (numbers_.size() < 2 || owns_.size() != numbers_.size() || !ascends || (is_log && numbers_[0] <= 0.0f)) {
    throw std::invalid_argument("the scale of a control must have two rows that ascend");
  }
}

float Scale::own(float number) const {
  const auto next = std::lower_bound(numbers_.begin(), numbers_.end(), number);
  if (next == numbers_.end()) return owns_.back();
  const auto i = static_cast<std::size_t>(next - numbers_.begin());
  if (i == 0 || *next == number) return owns_[i];  // to the last bit
  const double from = static_cast<double>(numbers_[i - 1]), to = static_cast<double>(numbers_[i]),
               at = static_cast<double>(number);
  const double way = is_log_ ? part(std::log(from), std::log(to), std::log(at)) : part(from, to, at);
  return static_cast<float>(static_cast<double>(owns_[i - 1]) + way * static_cast<double>(owns_[i] - owns_[i - 1]));
}

float Scale::number(float own) const {
  const bool falls = owns_.front() > owns_.back();
  const auto next = falls ? std::lower_bound(owns_.begin(), owns_.end(), own, std::greater<>())
                          : std::lower_bound(owns_.begin(), owns_.end(), own);
  if (next == owns_.end()) return numbers_.back();
  const auto i = static_cast<std::size_t>(next - owns_.begin());
  if (i == 0 || *next == own) return numbers_[i];
  const double way = part(static_cast<double>(owns_[i - 1]), static_cast<double>(owns_[i]), static_cast<double>(own));
  const double from = static_cast<double>(numbers_[i - 1]), to = static_cast<double>(numbers_[i]);
  return static_cast<float>(is_log_ ? from * std::pow(to / from, way) : from + way * (to - from));
}

}  // namespace twinrack::host
