// The engine as Python sees it: a rack that may be used from any thread.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <vector>

#include "engine/rack.h"

namespace twinrack {

using Array = pybind11::array_t<float, pybind11::array::c_style>;

// Refuse what memory is measured by.
void check_format(double sample_rate, int channels);
void check_first_frame(std::int64_t first_frame);
int checked_frames(pybind11::ssize_t frames);

// One call to `process` at a time, and the GIL is free meanwhile.
class Engine {
 public:
  Engine(const Node& root, double sample_rate, int channels, std::int64_t first_frame)
      : rack_(make(root, sample_rate, channels, first_frame)) {}

  Array process(const Array& x, const std::vector<Array>& keys);
  void automate(std::vector<int> parameters, const Array& curves, std::int64_t first_tick);
  Array trace() const;
  pybind11::bytes save_state();
  void load_state(const pybind11::bytes& state);

  Rack& rack() { return *rack_; }
  std::shared_ptr<Rack> shared() { return rack_; }

 private:
  void expect_alone() const;
  static std::shared_ptr<Rack> make(const Node& root, double sample_rate, int channels, std::int64_t first_frame) {
    check_format(sample_rate, channels);
    check_first_frame(first_frame);
    return std::make_shared<Rack>(root, Format{sample_rate, channels}, first_frame);
  }

  std::shared_ptr<Rack> rack_;
  std::mutex mutex_;
};

std::vector<std::vector<float>> rows_of(const Array& array);
void bind_live(pybind11::module_& m);

}  // namespace twinrack
