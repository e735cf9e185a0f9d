#include <pybind11/stl.h>

#include <cmath>

#include "bind/engine.h"
#include "bind/live.h"
#include "live/callback.h"

namespace py = pybind11;

namespace twinrack {
namespace {

using live::Bridge;
using live::JackCallback;
using live::Mixer;
using live::PortAudioCallback;

std::shared_ptr<Mixer> make_mixer(const std::vector<py::tuple>& lines, int inputs, int outputs, double sample_rate,
                                  std::int64_t first_frame) {
  check_first_frame(first_frame);
  std::vector<live::LineRouting> routings;
  for (const py::tuple& line : lines) {
    if (line.size() != 4) throw py::value_error("a line is (engine, inputs, keys, outputs)");
    routings.push_back({line[0].cast<Engine&>().shared(), line[1].cast<std::vector<int>>(),
                        line[2].cast<std::vector<std::vector<int>>>(), line[3].cast<std::vector<int>>()});
  }
  return std::make_shared<Mixer>(std::move(routings), inputs, outputs, sample_rate, first_frame);
}

// One callback without a server: (inputs, frames) in, (outputs, frames) out.
Array process(Mixer& mixer, const Array& x) {
  if (x.ndim() != 2 || x.shape(0) != mixer.inputs())
    throw py::value_error("the block must be (inputs, frames) float32");
  const int frames = checked_frames(x.shape(1));
  Array y({static_cast<py::ssize_t>(mixer.outputs()), x.shape(1)});
  std::vector<const float*> in;
  std::vector<float*> out;
  if (frames == 0) return y;
  for (int c = 0; c < mixer.inputs(); ++c) in.push_back(x.data(c, 0));
  for (int c = 0; c < mixer.outputs(); ++c) out.push_back(y.mutable_data(c, 0));
  const py::gil_scoped_release release;
  mixer.process(in.data(), out.data(), frames);
  return y;
}

template <class C>
py::dict load_of(const C& callback) {
  const live::Load& load = callback.load();
  py::dict d;
  d["callbacks"] = load.callbacks();
  d["frames"] = load.frames();
  d["late"] = load.overruns();
  d["worst"] = load.worst();
  d["sum"] = load.sum();
  d["widest_gap"] = load.longest_gap();
  d["counts"] = load.counts();
  d["flagged"] = callback.xruns();
  return d;
}

template <class F>
std::uintptr_t address(F* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

Array vector_to_array(const std::vector<float>& x) { return Array(static_cast<py::ssize_t>(x.size()), x.data()); }

// Python names what to listen to by its place in this order.
static_assert(static_cast<int>(live::Listen::rack) == 0);
static_assert(static_cast<int>(live::Listen::dry) == 1);
static_assert(static_cast<int>(live::Listen::target) == 2);

void bind_mixer(py::module_& m) {
  m.attr("LISTEN") = py::make_tuple("rack", "dry", "target");
  py::enum_<live::MixerControl>(m, "MixerControl")
      .value("level", live::MixerControl::level)
      .value("fade", live::MixerControl::fade)
      .value("mute", live::MixerControl::mute)
      .value("limiter", live::MixerControl::limiter)
      .value("ceiling", live::MixerControl::ceiling)
      .value("mute_on_fault", live::MixerControl::mute_on_fault)
      .value("howl_duck", live::MixerControl::howl_duck)
      .value("listen", live::MixerControl::listen)
      .value("record", live::MixerControl::record);
  py::class_<live::OutputState>(m, "OutputState")
      .def_readonly("limiter_gain", &live::OutputState::limiter_gain)
      .def_readonly("duck_gain", &live::OutputState::duck_gain)
      .def_readonly("howl_hz", &live::OutputState::howl_hz)
      .def_readonly("howls", &live::OutputState::howls)
      .def_readonly("fault_mutes", &live::OutputState::fault_mutes)
      .def_readonly("weighted_energy", &live::OutputState::weighted_energy)
      .def_readonly("weighted_frames", &live::OutputState::weighted_frames);
  py::class_<Mixer, std::shared_ptr<Mixer>>(m, "Mixer")
      .def(py::init(&make_mixer), py::arg("lines"), py::arg("inputs"), py::arg("outputs"), py::arg("sample_rate"),
           py::arg("first_frame") = 0)
      .def("process", &process, py::arg("x").noconvert())
      .def("set_control", &Mixer::set_control, py::arg("control"), py::arg("index"), py::arg("value"))
      .def("keep_history", &Mixer::keep_history, py::arg("on"))
      .def("history",
           [](Mixer& mixer) {
             py::list applied;
             for (AppliedChange a{}; mixer.pop_history(a);) applied.append(py::make_tuple(a.id, a.frame));
             return applied;
           })
      .def_property_readonly("silent", &Mixer::silent)
      .def_property_readonly("frame", &Mixer::frame)
      .def("output_state", &Mixer::output_state)
      .def("output_peaks", &Mixer::output_peaks)
      .def(
          "scope",
          [](const Mixer& mixer, int line, bool after, int frames) {
            if (frames < 1 || frames > live::Scope::size / 2) throw py::value_error("1 to 16384 frames");
            return vector_to_array(mixer.scope(line, after).last(frames));
          },
          py::arg("line"), py::arg("after"), py::arg("frames"))
      .def(
          "play", [](Mixer& x, const Array& dry, const Array& target) { x.play(rows_of(dry), rows_of(target)); },
          py::arg("dry"), py::arg("target"))
      .def("record_into", &Mixer::record_into, py::arg("seconds"))
      .def(
          "read_record",
          [](Mixer& mixer, int frames) {
            const int width = mixer.inputs() + mixer.outputs();
            checked_frames(frames);
            Array x({frames, width});
            const int count = mixer.read_record(x.mutable_data(), frames);
            x.resize({count, width});
            return x;
          },
          py::arg("frames"))
      .def_property_readonly("lost_record", &Mixer::lost_record);
}

}  // namespace

void bind_live(py::module_& m) {
  bind_mixer(m);
  py::class_<Bridge, std::shared_ptr<Bridge>>(m, "Bridge")
      .def(py::init([](int channels, double input_rate, double output_rate, int delay) {
             check_format(input_rate, 1);
             check_format(output_rate, 1);
             if (channels < 1 || channels > 64 || delay < 1 || delay > (1 << 20) || input_rate / output_rate > 4.0) {
               throw py::value_error(
                   "a bridge has 1 to 64 channels, a delay of 1 to 2^20 frames, and at most 4 frames in for one out");
             }
             return std::make_shared<Bridge>(channels, input_rate, output_rate, delay);
           }),
           py::arg("channels"), py::arg("input_rate"), py::arg("output_rate"), py::arg("delay"))
      .def(
          "write",
          [](Bridge& b, const Array& x, double time) {
            if (x.ndim() != 2 || x.shape(1) != b.channels()) throw py::value_error("(frames, channels) float32");
            if (!std::isfinite(time)) throw py::value_error("time is NaN or infinity");
            b.write(x.data(), checked_frames(x.shape(0)), time);
          },
          py::arg("x").noconvert(), py::arg("time"))
      .def(
          "read",
          [](Bridge& b, int frames, double time) {
            if (!std::isfinite(time)) throw py::value_error("time is NaN or infinity");
            Array y({b.channels(), checked_frames(frames)});
            if (frames == 0) return y;
            std::vector<float*> at;
            for (int c = 0; c < b.channels(); ++c) at.push_back(y.mutable_data(c, 0));
            b.read(at.data(), frames, time);
            return y;
          },
          py::arg("frames"), py::arg("time"))
      .def_property_readonly("user", [](Bridge& b) { return reinterpret_cast<std::uintptr_t>(&b); })
      .def_property_readonly("written", &Bridge::written)
      .def_property_readonly("underruns", &Bridge::underruns)
      .def_property_readonly("overruns", &Bridge::overruns)
      .def_property_readonly("drift_ppm", &Bridge::drift_ppm)
      .def_property_readonly("waiting", &Bridge::waiting);
  py::class_<PortAudioCallback>(m, "PortAudioCallback")
      .def(py::init([](std::shared_ptr<Mixer> mixer, std::shared_ptr<Bridge> bridge) {
             if (mixer == nullptr) throw py::value_error("a callback needs a mixer");
             if (bridge != nullptr && bridge->channels() != mixer->inputs()) {
               throw py::value_error("a bridge has as many channels as the mixer has inputs");
             }
             return std::make_unique<PortAudioCallback>(std::move(mixer), std::move(bridge));
           }),
           py::arg("mixer"), py::arg("bridge") = nullptr)
      .def_static("entry", [] { return address(&PortAudioCallback::entry); })
      .def_static("bridge_entry", [] { return address(&PortAudioCallback::bridge_entry); })
      .def_property_readonly("user", [](PortAudioCallback& c) { return reinterpret_cast<std::uintptr_t>(&c); })
      .def_property_readonly("load", &load_of<PortAudioCallback>);
  py::class_<JackCallback>(m, "JackCallback")
      .def(py::init([](std::shared_ptr<Mixer> mixer, std::uintptr_t get_buffer, std::vector<std::uintptr_t> in,
                       std::vector<std::uintptr_t> out) {
             if (mixer == nullptr || in.size() != static_cast<std::size_t>(mixer->inputs()) ||
                 out.size() != static_cast<std::size_t>(mixer->outputs())) {
               throw py::value_error("a callback needs a mixer, and a port for each of its inputs and outputs");
             }
             return std::make_unique<JackCallback>(std::move(mixer), get_buffer, std::move(in), std::move(out));
           }),
           py::arg("mixer"), py::arg("get_buffer"), py::arg("input_ports"), py::arg("output_ports"))
      .def_static("entry", [] { return address(&JackCallback::entry); })
      .def_static("xrun_entry", [] { return address(&JackCallback::xrun); })
      .def_static("gone_entry", [] { return address(&JackCallback::server_gone); })
      .def_static("ignore_words", [] { return address(&JackCallback::ignore); })
      .def_property_readonly("user", [](JackCallback& c) { return reinterpret_cast<std::uintptr_t>(&c); })
      .def_property_readonly("load", &load_of<JackCallback>)
      .def_property_readonly("gone", &JackCallback::gone);
}

}  // namespace twinrack
