#include "engine/render_many.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "bind/arrays.h"
#include "bind/render_many.h"

namespace py = pybind11;

namespace twinrack {
namespace {

int checked_channels(const Array& x, const char* what) {
  if (x.ndim() != 2 || x.shape(0) < 1 || x.shape(0) > max_channels) {
    throw py::value_error(std::string(what) + " must be (channels, frames) float32");
  }
  return static_cast<int>(x.shape(0));
}

// One rendering for each output: with the tree, the sound, the sidechains and the row of values of the same number.
void render_arrays(double sample_rate, const std::vector<const Node*>& roots, const std::vector<int>& parameters,
                   const Array& values, const std::vector<Array>& sounds, const std::vector<std::vector<Array>>& keys,
                   std::vector<Array>& outputs, int threads, const py::function& check) {
  const std::size_t count = outputs.size();
  if (roots.size() != count || sounds.size() != count || keys.size() != count || values.ndim() != 2 ||
      values.shape(0) != static_cast<py::ssize_t>(count) ||
      values.shape(1) != static_cast<py::ssize_t>(parameters.size())) {
    throw py::value_error("as many trees, sounds, lists of sidechains and rows of values as outputs are needed");
  }
  Renderings renderings{sample_rate, parameters, {}};
  for (std::size_t i = 0; i < count; ++i) {
    const Array& x = sounds[i];
    const int channels = checked_channels(x, "a sound"), frames = checked_frames(x.shape(1));
    check_format(sample_rate, channels);
    if (roots[i] == nullptr) throw py::value_error("a tree is missing");
    if (outputs[i].ndim() != 2 || outputs[i].shape(0) != channels || outputs[i].shape(1) != frames) {
      throw py::value_error("an output must have the shape of its sound");
    }
    Rendering r{
        roots[i], values.data() + static_cast<py::ssize_t>(i) * values.shape(1), x.data(), {}, {}, nullptr, channels,
        frames};
    if (keys[i].size() >= max_channels) throw py::value_error("too many sidechain inputs");
    for (const Array& key : keys[i]) {
      r.key_channels.push_back(checked_channels(key, "a sidechain"));
      if (key.shape(1) != frames) throw py::value_error("a sidechain must be as long as its sound");
      r.keys.push_back(key.data());
    }
    r.output = outputs[i].mutable_data();
    renderings.all.push_back(std::move(r));
  }
  std::unique_ptr<py::error_already_set> stopped;
  {
    const py::gil_scoped_release release;
    render_many(renderings, threads, [&] {
      const py::gil_scoped_acquire acquire;
      try {
        check();
      } catch (py::error_already_set& error) {
        stopped = std::make_unique<py::error_already_set>(error);
      }
      return stopped == nullptr;
    });
  }
  if (stopped != nullptr) throw py::error_already_set(*stopped);
}

}  // namespace

void bind_render_many(py::module_& m) {
  m.def("render_many", &render_arrays, py::arg("sample_rate"), py::arg("roots"), py::arg("parameters"),
        py::arg("values").noconvert(), py::arg("sounds").noconvert(), py::arg("keys").noconvert(),
        py::arg("outputs").noconvert(), py::arg("threads"), py::arg("check"));
}

}  // namespace twinrack
