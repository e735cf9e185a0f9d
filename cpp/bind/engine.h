// The engine as Python sees it: a rack that any thread may use.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "bind/arrays.h"
#include "engine/rack.h"

namespace twinrack {

// `process` runs one call at a time, with the GIL released. Created and destroyed with the GIL.
class Engine {
 public:
  Engine(const Node& root, double sample_rate, int channels, std::int64_t first_frame);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Around a fork, with the GIL. Waits up to half a second for the threads that are inside an engine. In the child, an
  // engine whose thread took longer is torn, and refuses to go on.
  static void before_fork();
  static void after_fork(bool in_child);

  Array process(const Array& x, const std::vector<Array>& keys);
  // None where the block is not float32 of (channels, frames) in one piece, or where the rack listens to sidechains.
  std::optional<Array> process_plain(const pybind11::object& x);
  // The whole of x, and silence for as long as the latency, into y without the latency.
  void render(const Array& x, Array y, const std::vector<Array>& keys);
  void automate(std::vector<int> parameters, const Array& curves, std::int64_t first_tick);
  Array trace() const;
  pybind11::bytes save_state();
  void load_state(const pybind11::bytes& state);

  Rack& rack() { return *rack_; }
  std::shared_ptr<Rack> shared() { return rack_; }

 private:
  void expect_alone() const;
  void expect_whole() const;
  Array processed(const Array& x, const SideBlock* keys);

  std::shared_ptr<Rack> rack_;
  std::unique_ptr<std::timed_mutex> mutex_ = std::make_unique<std::timed_mutex>();
  bool held_ = false, torn_ = false;
};

void bind_engine(pybind11::module_& m);

}  // namespace twinrack
