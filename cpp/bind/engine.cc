#include "bind/engine.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <unordered_set>
#include <utility>

namespace py = pybind11;

namespace twinrack {
namespace {
std::unordered_set<Engine*>& engines() {
  static std::unordered_set<Engine*> all;
  return all;
}

std::shared_ptr<Rack> make_rack(const Node& root, double sample_rate, int channels, std::int64_t first_frame) {
  check_format(sample_rate, channels);
  check_first_frame(first_frame);
  return std::make_shared<Rack>(root, Format{sample_rate, channels}, first_frame);
}
}  // namespace

Engine::Engine(const Node& root, double sample_rate, int channels, std::int64_t first_frame)
    : rack_(make_rack(root, sample_rate, channels, first_frame)) {
  engines().insert(this);
}

Engine::~Engine() { engines().erase(this); }

void Engine::before_fork() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (Engine* engine : engines()) engine->held_ = engine->mutex_->try_lock_until(end);
}

void Engine::after_fork(bool in_child) {
  for (Engine* engine : engines()) {
    if (engine->held_) {
      engine->mutex_->unlock();
    } else if (in_child) {
      engine->torn_ = true;
      static_cast<void>(engine->mutex_.release());  // the thread that holds it is not in this process
      engine->mutex_ = std::make_unique<std::timed_mutex>();
    }
    engine->held_ = false;
  }
}

void Engine::expect_whole() const {
  if (!torn_) return;
  throw std::runtime_error(
      "another thread was inside the stream when this process was forked; call prepare again in this process");
}

namespace {

// The sidechains of a call, as the rack takes them from a frame on.
class Keys {
 public:
  Keys(const std::vector<Array>& keys, py::ssize_t frames) : count_(keys.size()) {
    if (keys.size() >= max_channels) throw py::value_error("too many sidechain inputs");
    for (std::size_t k = 0; k < count_; ++k) {
      if (keys[k].ndim() != 2 || keys[k].shape(1) != frames || keys[k].shape(0) < 1 ||
          keys[k].shape(0) > max_channels) {
        throw py::value_error("a sidechain must be (channels, frames) float32, as long as the block");
      }
      block_[k] = {now_[k], static_cast<int>(keys[k].shape(0))};
      for (int c = 0; c < block_[k].channels; ++c) first_[k][c] = keys[k].data() + c * frames;
    }
  }

  const SideBlock* from(std::int64_t frame) {
    for (std::size_t k = 0; k < count_; ++k) {
      for (int c = 0; c < block_[k].channels; ++c) now_[k][c] = first_[k][c] + frame;
    }
    return count_ == 0 ? nullptr : block_;
  }

  const SideBlock* silent(const float* zeros) {
    for (std::size_t k = 0; k < count_; ++k) std::fill_n(now_[k], block_[k].channels, zeros);
    return count_ == 0 ? nullptr : block_;
  }

 private:
  std::size_t count_;
  const float* first_[max_channels][max_channels] = {};
  const float* now_[max_channels][max_channels] = {};
  SideBlock block_[max_channels] = {};
};

}  // namespace

Array Engine::process(const Array& x, const std::vector<Array>& keys) {
  const int channels = rack_->format().channels;
  if (x.ndim() != 2 || x.shape(0) != channels) {
    throw py::value_error("the block must be (" + std::to_string(channels) + ", frames) float32");
  }
  if (keys.empty()) return processed(x, nullptr);
  Keys all(keys, x.shape(1));
  return processed(x, all.from(0));
}

std::optional<Array> Engine::process_plain(const py::object& x) {
  if (rack_->key_count() > 0 || !py::isinstance<Array>(x)) return std::nullopt;
  const auto block = py::reinterpret_borrow<Array>(x);
  if (block.ndim() != 2 || block.shape(0) != rack_->format().channels) return std::nullopt;
  return processed(block, nullptr);
}

Array Engine::processed(const Array& x, const SideBlock* keys) {
  const int channels = rack_->format().channels, frames = checked_frames(x.shape(1));
  Array y({x.shape(0), x.shape(1)});
  float* channel[max_channels];
  for (int c = 0; c < channels; ++c) channel[c] = y.mutable_data() + static_cast<py::ssize_t>(c) * frames;
  const float* from = x.data();
  float* to = y.mutable_data();
  const auto bytes = static_cast<std::size_t>(x.nbytes());
  const py::gil_scoped_release release;
  const std::lock_guard lock(*mutex_);
  expect_whole();
  if (bytes > 0) std::memcpy(to, from, bytes);
  if (frames > 0) rack_->process(channel, keys, frames);
  return y;
}

void Engine::render(const Array& x, Array y, const std::vector<Array>& keys) {
  constexpr int piece = 2 * max_segment;  // input and output stay in the first cache
  const int channels = rack_->format().channels;
  if (x.ndim() != 2 || x.shape(0) != channels || y.ndim() != 2 || y.shape(0) != channels || y.shape(1) != x.shape(1)) {
    throw py::value_error("input and output must be (" + std::to_string(channels) + ", frames) float32, equally long");
  }
  Keys all(keys, x.shape(1));
  const std::int64_t frames = checked_frames(x.shape(1));
  const float* from = x.data();
  float* to = y.mutable_data();
  const py::gil_scoped_release release;
  const std::lock_guard lock(*mutex_);
  expect_whole();
  const std::int64_t latency = rack_->latency();
  std::vector<float> dropped(static_cast<std::size_t>(std::min<std::int64_t>(latency, piece) * channels));
  const std::vector<float> silence(keys.empty() || latency == 0 ? 0 : piece);
  for (std::int64_t at = 0; at < frames + latency;) {
    // A piece ends where the output begins, and where the input ends.
    const bool in_output = at >= latency, in_input = at < frames;
    std::int64_t left = frames + latency - at;
    if (!in_output) left = std::min(left, latency - at);
    if (in_input) left = std::min(left, frames - at);
    const int length = static_cast<int>(std::min<std::int64_t>(left, piece));
    float* channel[max_channels];
    for (int c = 0; c < channels; ++c) {
      channel[c] =
          in_output ? to + c * frames + (at - latency) : dropped.data() + c * std::min<std::int64_t>(latency, piece);
      if (in_input) {
        std::memmove(channel[c], from + c * frames + at, sizeof(float) * static_cast<std::size_t>(length));
      } else {
        std::fill_n(channel[c], length, 0.0f);
      }
    }
    rack_->process(channel, in_input ? all.from(at) : all.silent(silence.data()), length);
    at += length;
  }
}

void Engine::automate(std::vector<int> parameters, const Array& curves, std::int64_t first_tick) {
  if (curves.ndim() != 2 || curves.shape(0) != static_cast<py::ssize_t>(parameters.size())) {
    throw py::value_error("curves are (parameters, ticks) float32");
  }
  for (const int parameter : parameters) {
    if (parameter < 0 || parameter >= rack_->parameter_count()) throw py::index_error("no parameter has this number");
  }
  if (first_tick < 0 || first_tick > last_frame) throw py::value_error("first_tick must be 0 or more");
  Automation automation;
  automation.first_tick = first_tick;
  automation.parameter = std::move(parameters);
  automation.ticks = curves.shape(1);
  automation.curves.assign(curves.data(), curves.data() + curves.size());
  rack_->automate(std::move(automation));
}

Array Engine::trace() const {
  const auto& all = rack_->trace();
  const auto columns = static_cast<py::ssize_t>(rack_->parameter_count());
  const auto rows = columns == 0 ? 0 : static_cast<py::ssize_t>(all.size()) / columns;
  Array y({rows, columns});
  if (!all.empty()) std::memcpy(y.mutable_data(), all.data(), all.size() * sizeof(float));
  return y;
}

py::bytes Engine::save_state() {
  std::string state;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(*mutex_);
    expect_whole();
    expect_alone();
    state = rack_->save_state();
  }
  return {state};
}

void Engine::load_state(const py::bytes& state) {
  const std::string_view bytes = state;
  const py::gil_scoped_release release;
  const std::lock_guard lock(*mutex_);
  expect_whole();
  expect_alone();
  rack_->load_state(bytes);
}

void Engine::expect_alone() const {
  if (rack_.use_count() > 1) throw std::runtime_error("the rack plays live; stop the stream before its state is kept");
}

namespace {

// The latency of an effect with these values, in frames.
int effect_latency(const std::string& id, const std::vector<float>& values, double sample_rate) {
  const EffectType* type = find_effect(id.c_str());
  if (type == nullptr || values.size() != static_cast<std::size_t>(type->parameter_count)) {
    throw py::value_error("no such effect, or a wrong number of values");
  }
  check_format(sample_rate, 1);
  for (const float value : values) {
    if (!std::isfinite(value)) throw py::value_error("a value is NaN or infinity");
  }
  EffectInstance effect(*type);
  effect.prepare({sample_rate, 1});
  effect.tune(values.data());
  return effect.latency() - effect.dispersion();
}

void set_resource(Node& node, const Array& rows) { node.resource = rows_of(rows); }

void bind_node(py::module_& m) {
  py::enum_<Node::Kind>(m, "NodeKind")
      .value("effect", Node::Kind::effect)
      .value("chain", Node::Kind::chain)
      .value("parallel", Node::Kind::parallel)
      .value("split", Node::Kind::split);
  py::class_<Node>(m, "Node")
      .def(py::init<>())
      .def_readwrite("kind", &Node::kind)
      .def_readwrite("effect", &Node::effect)
      .def_readwrite("values", &Node::values)
      .def_readwrite("bypass", &Node::bypass)
      .def_readwrite("key", &Node::key)
      .def("set_resource", &set_resource, py::arg("rows"))
      .def_readwrite("drives", &Node::drives)
      .def_readwrite("children", &Node::children)
      .def_readwrite("worker", &Node::worker);
}

using ValueRange = std::tuple<bool, float, float, float>;  // whether it moves in steps; lowest, highest, first value

std::shared_ptr<WorkerEffect> make_worker(int channels, int block, int blocks, int keys,
                                          const std::vector<ValueRange>& ranges, int latency, int file, double wait_s) {
  if (channels < 1 || channels > max_channels || block < WorkerEffect::fade_frames || block > 65536 ||
      blocks < (wait_s > 0.0 ? 1 : 2) || blocks > 64) {
    throw py::value_error("1 to 16 channels, a block of 32 to 65536 frames, 2 to 64 blocks, or 1 that is waited for");
  }
  if (!(wait_s >= 0.0 && wait_s <= 1.0)) throw py::value_error("the audio thread waits for 0 to 1 s");
  if (keys < 0 || keys > max_channels) throw py::value_error("0 to 16 rows of a sidechain");
  if (latency < 0 || latency > (1 << 22)) throw py::value_error("a latency of 0 to 4194304 frames");
  if (!ranges.empty() && (block % tick_frames != 0 || ranges.size() > 65536)) {
    throw py::value_error("with values, at most 65536, a block is a multiple of 32 frames");
  }
  WorkerShape shape{.keys = keys, .parameters = {}, .latency = latency, .wait_s = wait_s, .file = file};
  for (const auto& [steps, min, max, initial] : ranges) {
    if (!(min <= initial && initial <= max && std::isfinite(max - min))) throw py::value_error("a range is not one");
    shape.parameters.push_back({"", steps ? Scale::step : Scale::linear, min, max, initial, 0.0f});
  }
  return std::make_shared<WorkerEffect>(channels, block, blocks, shape);
}

void bind_worker_effect(py::module_& m) {
  py::class_<WorkerEffect, std::shared_ptr<WorkerEffect>>(m, "WorkerEffect")
      .def(py::init(&make_worker), py::arg("channels"), py::arg("block"), py::arg("blocks"), py::arg("keys") = 0,
           py::arg("ranges") = std::vector<ValueRange>{}, py::arg("latency") = 0, py::arg("file") = -1,
           py::arg("wait_s") = 0.0)
      .def("fetch",
           [](WorkerEffect& w) -> py::object {
             Array x({w.channels(), w.block()});
             if (!w.fetch(x.mutable_data())) return py::none();
             return x;
           })
      .def(
          "deliver",
          [](WorkerEffect& w, const Array& y) {
            if (y.ndim() != 2 || y.shape(0) != w.channels() || y.shape(1) != w.block()) {
              throw py::value_error("a result has the shape of the block that was fetched");
            }
            w.deliver(y.data());
          },
          py::arg("y"))
      .def("discard", &WorkerEffect::discard)
      .def("let_wait", &WorkerEffect::let_wait)
      .def("detach", &WorkerEffect::detach)
      .def("reclaim", [](WorkerEffect& w) { w.ring().reclaim(); })
      .def_property_readonly("worked", [](WorkerEffect& w) { return w.ring().worked(); })
      .def_property_readonly("reported_latency", [](WorkerEffect& w) { return w.ring().latency(); })
      .def_property_readonly("latency", &WorkerEffect::latency)
      .def_property_readonly("frames_left", &WorkerEffect::frames_left)
      .def_property_readonly("missed", &WorkerEffect::missed)
      .def_property_readonly("blocks", &WorkerEffect::blocks)
      .def_property_readonly("detached", &WorkerEffect::detached);
}

}  // namespace

void bind_engine(py::module_& m) {
  bind_worker_effect(m);
  bind_node(m);
  py::class_<EffectMeter>(m, "EffectMeter")
      .def_readonly("peak_in", &EffectMeter::peak_in)
      .def_readonly("peak_out", &EffectMeter::peak_out)
      .def_readonly("rms_in", &EffectMeter::rms_in)
      .def_readonly("rms_out", &EffectMeter::rms_out)
      .def_readonly("gain_reduction_db", &EffectMeter::gain_reduction_db)
      .def_readonly("faults", &EffectMeter::faults);
  py::class_<Engine, std::shared_ptr<Engine>>(m, "Engine")
      .def(py::init<const Node&, double, int, std::int64_t>(), py::arg("root"), py::arg("sample_rate"),
           py::arg("channels"), py::arg("first_frame") = 0)
      .def("process", &Engine::process, py::arg("x").noconvert(), py::arg("keys") = std::vector<Array>())
      .def("process_plain", &Engine::process_plain, py::arg("x"))
      .def("render", &Engine::render, py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("keys"))
      .def("set_parameter", [](Engine& e, int index, float value) { return e.rack().set_parameter(index, value); })
      .def("set_bypass", [](Engine& e, int effect, bool bypass) { return e.rack().set_bypass(effect, bypass); })
      .def("swap", [](Engine& e, const Node& root) { return e.rack().swap(root); })
      .def("collect", [](Engine& e) { e.rack().collect(); })
      .def("keep_history", [](Engine& e, bool on) { e.rack().keep_history(on); })
      .def("history",
           [](Engine& e) {
             py::list applied;
             for (AppliedChange a{}; e.rack().pop_history(a);) {
               for (std::uint64_t id = a.id; id <= a.last; ++id) applied.append(py::make_tuple(id, a.frame));
             }
             return applied;
           })
      .def_property_readonly("swap_frames", [](Engine& e) { return e.rack().swap_frames(); })
      .def("meters", [](Engine& e) { return e.rack().meters(); })
      .def("automate", &Engine::automate, py::arg("parameters"), py::arg("curves"), py::arg("first_tick") = 0)
      .def("enable_trace",
           [](Engine& e, std::int64_t ticks) {
             if (ticks < 0 || ticks > max_frames) throw py::value_error("0 to 2^30 ticks can be traced");
             e.rack().enable_trace(ticks);
           })
      .def("trace", &Engine::trace)
      .def("save_state", &Engine::save_state)
      .def("load_state", &Engine::load_state, py::arg("state"))
      .def("stay_awake", [](Engine& e) { e.rack().stay_awake(); })
      .def_property_readonly("slept", [](Engine& e) { return e.rack().slept(); })
      .def_property_readonly("latency", [](Engine& e) { return e.rack().latency(); })
      .def_property_readonly("input_faults", [](Engine& e) { return e.rack().input_faults(); });
  m.def("before_fork", &Engine::before_fork);
  m.def("after_fork", &Engine::after_fork, py::arg("in_child"));
  m.def("effect_latency", &effect_latency, py::arg("effect"), py::arg("values"), py::arg("sample_rate"));
}

}  // namespace twinrack
