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

// One call to `process` at a time, and the GIL is free meanwhile. Made and destroyed with the GIL.
class Engine {
 public:
  Engine(const Node& root, double sample_rate, int channels, std::int64_t first_frame);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Around a fork, with the GIL. Engines that other threads are in are waited for, for half a second; the child finds
  // them whole, and those that took longer torn: it refuses to go on with them.
  static void before_fork();
  static void after_fork(bool in_child);

  Array process(const Array& x, const std::vector<Array>& keys);
  void automate(std::vector<int> parameters, const Array& curves, std::int64_t first_tick);
  Array trace() const;
  pybind11::bytes save_state();
  void load_state(const pybind11::bytes& state);

  Rack& rack() { return *rack_; }
  std::shared_ptr<Rack> shared() { return rack_; }

 private:
  void expect_alone() const;
  void expect_whole() const;

  std::shared_ptr<Rack> rack_;
  std::unique_ptr<std::timed_mutex> mutex_ = std::make_unique<std::timed_mutex>();
  bool held_ = false, torn_ = false;
};

std::vector<std::vector<float>> rows_of(const Array& array);
void bind_live(pybind11::module_& m);

}  // namespace twinrack
