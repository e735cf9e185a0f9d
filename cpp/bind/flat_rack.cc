#include "bind/flat_rack.h"

#include <pybind11/stl.h>

#include <mutex>
#include <string>
#include <vector>

#include "bind/arrays.h"
#include "engine/flat_rack.h"
#include "export/player.h"

namespace py = pybind11;

namespace twinrack {
namespace {

// For tests and checks: the sound of a plugin.
Array play(Player& player, std::mutex& mutex, int channels, const Array& x, const std::vector<Array>& keys) {
  if (x.ndim() != 2 || x.shape(0) != channels) {
    throw py::value_error("the block must be (" + std::to_string(channels) + ", frames) float32");
  }
  const int frames = checked_frames(x.shape(1));
  Array y({x.shape(0), x.shape(1)});
  const float* in[max_channels];
  float* out[max_channels];
  for (int c = 0; c < channels; ++c) {
    in[c] = x.data() + static_cast<py::ssize_t>(c) * frames;
    out[c] = y.mutable_data() + static_cast<py::ssize_t>(c) * frames;
  }
  const float* key_channels[max_channels][max_channels] = {};
  const float* const* key_pointers[max_channels] = {};
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (k >= max_channels || keys[k].ndim() != 2 || keys[k].shape(0) != channels || keys[k].shape(1) != frames) {
      throw py::value_error("a sidechain must be as long and have as many channels as the block");
    }
    for (int c = 0; c < channels; ++c) {
      key_channels[k][c] = keys[k].data() + static_cast<py::ssize_t>(c) * frames;
    }
    key_pointers[k] = key_channels[k];
  }
  const py::gil_scoped_release release;
  const std::lock_guard lock(mutex);
  player.process(in, out, keys.empty() ? nullptr : key_pointers, frames);
  return y;
}

struct BoundPlayer {
  BoundPlayer(const FlatRack& rack, double rate)
      : player(rack, rate), channels(rack.channels), keys(rack.keys.size()) {}
  Player player;
  std::mutex mutex;  // one thread at a time is the audio thread
  int channels;
  std::size_t keys;
};

}  // namespace

void bind_flat_rack(py::module_& m) {
  py::class_<FlatParameter>(m, "FlatParameter")
      .def(py::init<>())
      .def_readwrite("index", &FlatParameter::index)
      .def_readwrite("id", &FlatParameter::id)
      .def_readwrite("symbol", &FlatParameter::symbol)
      .def_readwrite("name", &FlatParameter::name)
      .def_readwrite("group", &FlatParameter::group)
      .def_readwrite("unit", &FlatParameter::unit)
      .def_readwrite("options", &FlatParameter::options)
      .def_readwrite("is_switch", &FlatParameter::is_switch)
      .def_readwrite("initial", &FlatParameter::initial);
  py::class_<FlatPreset>(m, "FlatPreset")
      .def(py::init<>())
      .def_readwrite("name", &FlatPreset::name)
      .def_readwrite("values", &FlatPreset::values);
  py::class_<FlatRack>(m, "FlatRack")
      .def(py::init<>())
      .def_readwrite("id", &FlatRack::id)
      .def_readwrite("name", &FlatRack::name)
      .def_readwrite("description", &FlatRack::description)
      .def_readwrite("made_by", &FlatRack::made_by)
      .def_property(
          "class_id", [](const FlatRack& rack) { return py::bytes(rack.class_id); },
          [](FlatRack& rack, const py::bytes& id) { rack.class_id = std::string(id); })
      .def_property(
          "patch", [](const FlatRack& rack) { return py::bytes(rack.patch); },
          [](FlatRack& rack, const py::bytes& patch) { rack.patch = std::string(patch); })
      .def_readwrite("channels", &FlatRack::channels)
      .def_readwrite("keys", &FlatRack::keys)
      .def_readwrite("tail_s", &FlatRack::tail_s)
      .def_readwrite("parameters", &FlatRack::parameters)
      .def_readwrite("presets", &FlatRack::presets)
      .def_property_readonly("rates", &FlatRack::rates)
      .def("add_rate", &FlatRack::add_rate, py::arg("rate"), py::arg("root"))
      .def("to_bytes", [](const FlatRack& rack) { return py::bytes(rack.bytes()); })
      .def_static(
          "from_bytes", [](const py::bytes& bytes) { return FlatRack::read(std::string_view(bytes)); },
          py::arg("bytes"));
  py::class_<BoundPlayer>(m, "Player")
      .def(py::init<const FlatRack&, double>(), py::arg("rack"), py::arg("sample_rate"))
      .def(
          "process",
          [](BoundPlayer& p, const Array& x, const std::vector<Array>& keys) {
            if (keys.size() > p.keys) throw py::value_error("the rack has fewer sidechains");
            return play(p.player, p.mutex, p.channels, x, keys);
          },
          py::arg("x").noconvert(), py::arg("keys") = std::vector<Array>())
      .def(
          "change",
          [](BoundPlayer& p, int parameter, float value) {
            const std::lock_guard lock(p.mutex);
            p.player.change(parameter, value);
          },
          py::arg("parameter"), py::arg("value"))
      .def(
          "bypass", [](BoundPlayer& p, bool on) { p.player.bypass(on); }, py::arg("on"))
      .def("reset",
           [](BoundPlayer& p) {
             const std::lock_guard lock(p.mutex);
             p.player.reset();
           })
      .def_property_readonly("latency", [](const BoundPlayer& p) { return p.player.latency(); });
}

}  // namespace twinrack
