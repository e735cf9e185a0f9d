#include "bind/signals.h"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <vector>

#include "bind/arrays.h"
#include "dsp/delay/fdn_layout.h"
#include "dsp/filters/halfband.h"
#include "dsp/metering/loudness.h"
#include "dsp/metering/true_peak.h"
#include "engine/kernels.h"
#include "engine/mix.h"

namespace py = pybind11;

namespace twinrack {
namespace {

// Signals added one after the other, each as it is or, where its matrix is not the identity, through a 2 x 2 matrix.
Array mix_arrays(const std::vector<py::array_t<float>>& sounds, const std::vector<std::array<float, 4>>& matrices,
                 int channels, int frames) {
  if (channels < 1 || channels > max_channels || frames < 0 || matrices.size() != sounds.size()) {
    throw py::value_error("1 to 16 channels, and a matrix for each sound");
  }
  Array y({channels, frames});
  std::vector<MixSource> sources;
  for (std::size_t i = 0; i < sounds.size(); ++i) {
    const auto& x = sounds[i];
    const bool identity = matrices[i] == std::array<float, 4>{1.0f, 0.0f, 0.0f, 1.0f};
    if (x.ndim() != 2 || x.shape(0) != channels || x.shape(1) > frames ||
        (x.shape(1) > 1 && x.strides(1) != static_cast<py::ssize_t>(sizeof(float))) || (!identity && channels != 2)) {
      throw py::value_error("a sound must be (channels, frames) float32, not longer than the result, a matrix for two");
    }
    MixSource source{
        .channel = {}, .frames = static_cast<int>(x.shape(1)), .matrix = identity ? nullptr : matrices[i].data()};
    for (int c = 0; c < channels; ++c) source.channel[c] = x.shape(1) == 0 ? nullptr : x.data(c, 0);
    sources.push_back(source);
  }
  float* rows[max_channels];
  for (int c = 0; c < channels; ++c) rows[c] = frames == 0 ? nullptr : y.mutable_data(c, 0);
  const py::gil_scoped_release release;
  mix(sources, rows, channels, frames);
  return y;
}

// Frames of a file as a row for each channel; `bytes` of an integer sample, or 0 for floats.
Array unpack(const py::buffer& from, int bytes, int channels, int frames) {
  const py::buffer_info info = from.request();
  const py::ssize_t each = bytes == 0 ? 4 : bytes;
  if (bytes < 0 || bytes == 1 || bytes > 4 || channels < 1 || channels > max_channels || frames < 0 ||
      info.itemsize != 1 || info.ndim != 1 || info.strides[0] != 1 || info.size < each * channels * frames) {
    throw py::value_error("bytes of 16, 24, 32-bit or float frames, as many as are asked for");
  }
  Array y({channels, frames});
  float* rows[max_channels];
  for (int c = 0; c < channels; ++c) rows[c] = frames == 0 ? nullptr : y.mutable_data(c, 0);
  const py::gil_scoped_release release;
  kernels().unpack(static_cast<const unsigned char*>(info.ptr), bytes, channels, frames, rows);
  return y;
}

py::dict layout(double sample_rate) {
  check_format(sample_rate, 1);
  const FdnLayout l = fdn_layout(sample_rate);
  py::dict d;
  d["line_frames"] = l.line_frames;
  d["diffuser_frames"] = l.diffuser_frames;
  d["early_frames"] = l.early_frames;
  d["early_gain"] = l.early_gain;
  d["rate_factor"] = l.rate_factor;
  d["start_turn"] = l.start_turn;
  return d;
}

// The filters of oversampling, by stage.
py::dict halfbands() {
  py::list taps, m, wait, allpasses, latency, allpass_latency;
  for (int stage = 0; stage < halfband_stages; ++stage) {
    const auto which = static_cast<std::size_t>(stage);
    taps.append(halfband_taps(stage));
    m.append(halfband_shapes[which].m);
    wait.append(halfband_wait(stage));
    const auto& all = halfband_allpasses[which];
    allpasses.append(std::vector<double>(all.coefficient.begin(), all.coefficient.begin() + all.count));
  }
  for (int stages = 0; stages <= halfband_stages; ++stages) {
    latency.append(oversampling_delay(stages));
    allpass_latency.append(allpass_oversampling_delay(stages));
  }
  py::dict d;
  d["taps"] = taps;
  d["m"] = m;
  d["wait"] = wait;
  d["allpasses"] = allpasses;
  d["latency"] = latency;
  d["allpass_latency"] = allpass_latency;
  return d;
}

void bind_loudness(py::module_& m) {
  py::class_<LoudnessMeter>(m, "LoudnessMeter")
      .def(py::init([](double sample_rate, int channels) {
             check_format(sample_rate, channels);
             return std::make_unique<LoudnessMeter>(sample_rate, channels);
           }),
           py::arg("sample_rate"), py::arg("channels"))
      .def(
          "process",
          [](LoudnessMeter& meter, const Array& x, int channels) {
            if (channels != meter.channels() || x.ndim() != 2 || x.shape(0) != channels) {
              throw py::value_error("a block must be (channels, frames)");
            }
            if (x.shape(1) == 0) return;
            const float* rows[max_channels];
            for (int c = 0; c < channels; ++c) rows[c] = x.data(c, 0);
            const int frames = checked_frames(x.shape(1));
            const py::gil_scoped_release release;
            meter.process(rows, frames);
          },
          py::arg("x"), py::arg("channels"))
      .def_property_readonly("powers",
                             [](const LoudnessMeter& meter) {
                               return py::array_t<double>(static_cast<py::ssize_t>(meter.powers().size()),
                                                          meter.powers().data());
                             })
      .def_property_readonly("faults", &LoudnessMeter::faults)
      .def_property_readonly("peak", &LoudnessMeter::peak)
      .def_property_readonly("true_peak", &LoudnessMeter::true_peak);
}

}  // namespace

void bind_signals(py::module_& m) {
  bind_loudness(m);
  m.def("mix", &mix_arrays, py::arg("sounds"), py::arg("matrices"), py::arg("channels"), py::arg("frames"));
  m.def("unpack", &unpack, py::arg("data"), py::arg("bytes"), py::arg("channels"), py::arg("frames"));
  m.def("fdn_layout", &layout, py::arg("sample_rate"));
  m.def("halfbands", &halfbands);
  m.def("true_peak_phases", [] { return true_peak_phases; });
}

}  // namespace twinrack
