// Binding of the sweeps: checks what arrives, makes the arrays that are returned, and calls.
#include "bind/adjoint.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "adjoint/design.h"
#include "adjoint/fir.h"
#include "adjoint/parallel_for.h"
#include "adjoint/recurrent.h"
#include "adjoint/sweep.h"
#include "dsp/dynamics/gate.h"

namespace py = pybind11;

namespace twinrack {
namespace {

using adjoint::require;
using adjoint::Shape;
using adjoint::Sizes;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

constexpr py::ssize_t most_numbers = std::numeric_limits<std::int32_t>::max();

Sizes sizes_of(const py::array& a) { return Sizes(a.shape(), a.shape() + a.ndim()); }

void check_threads(int threads) { require(threads >= 0 && threads <= 4096, "0 to 4096 threads"); }

// The memory behind a tensor is walked by the sizes of others: each must have the shape that they say.
template <class T>
void expect(const Array<T>& a, std::initializer_list<py::ssize_t> shape, const char* what) {
  require(a.ndim() == static_cast<py::ssize_t>(shape.size()) && std::equal(shape.begin(), shape.end(), a.shape()),
          what);
}
template <class T>
void expect_like(const Array<T>& a, const Array<T>& x, const char* what) {
  require(a.ndim() == x.ndim() && std::equal(x.shape(), x.shape() + x.ndim(), a.shape()), what);
}

template <class T>
Array<T> like(const Array<T>& x) {
  return Array<T>(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
}

template <class T>
Array<T> zeros(std::vector<py::ssize_t> shape) {
  Array<T> a(std::move(shape));
  std::fill_n(a.mutable_data(), a.size(), T(0));
  return a;
}

// A sweep and what it is asked for: x is (batch, channels, frames), coefficients are (rows, ticks, ...). What is walked
// by these sizes is checked here and by the sweep's own `layout`; NaN is not refused, it goes through to the loss.
struct Request {
  const adjoint::SweepType* type;
  adjoint::SweepRequest sweep;
  adjoint::SweepLayout layout;
};

template <class T>
Request request_of(const std::string& name, const Array<T>& x, const std::vector<Array<T>>& coefficients,
                   std::vector<int> options, int threads) {
  Request request{adjoint::find_sweep(name), {}, {}};
  if (request.type == nullptr) throw py::value_error("there is no sweep '" + name + "'");
  require(x.ndim() == 3, "x must be (batch, channels, frames)");
  require(x.shape(0) > 0 && x.shape(1) > 0 && x.shape(2) > 0, "x must not be empty");
  require(x.size() <= most_numbers && x.shape(2) <= most_numbers / 64, "x is too large for one sweep");
  require(!coefficients.empty(), "coefficients are missing");
  check_threads(threads);
  for (const auto& c : coefficients) {
    require(c.ndim() >= 2, "coefficients must be (rows, ticks, ...)");
    require(c.shape(0) == 1 || c.shape(0) == x.shape(0), "coefficients must have one row, or one for each batch item");
    request.sweep.coefficients.push_back(sizes_of(c));
  }
  const py::ssize_t ticks = coefficients[0].shape(1);
  const int frames = static_cast<int>(x.shape(2));
  require(ticks == 1 || ticks == adjoint::tick_count(frames),
          "coefficients must have one tick, or one for every 32 frames");
  request.sweep.shape = {static_cast<int>(x.shape(0) * x.shape(1)),  static_cast<int>(x.shape(1)), frames,
                         static_cast<int>(coefficients[0].shape(0)), static_cast<int>(ticks),      threads};
  request.sweep.options = std::move(options);
  request.layout = request.type->layout(request.sweep);
  return request;
}

// Returns y, and what the way back needs.
template <class T>
py::tuple sweep_forward(const std::string& name, const Array<T>& x, const std::vector<Array<T>>& coefficients,
                        const std::vector<int>& options, int threads) {
  const Request request = request_of(name, x, coefficients, options, threads);
  Array<T> y = like(x);
  std::vector<Array<T>> memory;
  adjoint::ForwardPass<T> pass{request.sweep, x.data(), {}, y.mutable_data(), {}};
  for (const auto& c : coefficients) pass.coefficients.push_back(c.data());
  for (const std::int64_t size : request.layout.memory) {
    memory.emplace_back(static_cast<py::ssize_t>(size));
    pass.memory.push_back(memory.back().mutable_data());
  }
  {
    const py::gil_scoped_release release;
    request.type->forward(pass);
  }
  return py::make_tuple(y, memory);
}

// Returns the gradients of x and of the coefficients: for every stream or batch item in place of the rows.
template <class T>
py::tuple sweep_backward(const std::string& name, const Array<T>& x, const std::vector<Array<T>>& coefficients,
                         const std::vector<Array<T>>& memory, const Array<T>& y_grad, const std::vector<int>& options,
                         int threads) {
  const Request request = request_of(name, x, coefficients, options, threads);
  require(memory.size() == request.layout.memory.size(), "the memory is not that of this sweep");
  expect_like(y_grad, x, "the gradient of y has the shape of x");
  Array<T> x_grad = like(x);
  std::vector<Array<T>> grads;
  adjoint::BackwardPass<T> pass{request.sweep, x.data(), {}, {}, y_grad.data(), x_grad.mutable_data(), {}};
  for (std::size_t i = 0; i < memory.size(); ++i) {
    expect(memory[i], {static_cast<py::ssize_t>(request.layout.memory[i])}, "the memory is not that of this sweep");
    pass.memory.push_back(memory[i].data());
  }
  for (const auto& c : coefficients) {
    pass.coefficients.push_back(c.data());
    std::vector<py::ssize_t> shape(c.shape(), c.shape() + c.ndim());
    shape[0] = request.layout.gradient_rows;
    grads.push_back(zeros<T>(std::move(shape)));
    pass.coefficient_grads.push_back(grads.back().mutable_data());
  }
  {
    const py::gil_scoped_release release;
    request.type->backward(pass);
  }
  return py::make_tuple(x_grad, grads);
}

std::vector<std::string> sweep_names() {
  std::vector<std::string> names;
  for (const adjoint::SweepType* const* type = adjoint::all_sweeps(); *type != nullptr; ++type) {
    names.emplace_back((*type)->name);
  }
  return names;
}

template <class T>
Array<T> fir(const Array<T>& x, const std::vector<double>& taps, bool backwards, int threads) {
  require(x.ndim() == 3 && !taps.empty(), "x must be (batch, channels, frames), with at least one coefficient");
  require(x.size() <= most_numbers && taps.size() <= 1 << 26, "x or the filter is too large for one sweep");
  check_threads(threads);
  Shape s{};
  s.streams = static_cast<int>(x.shape(0) * x.shape(1));
  s.frames = static_cast<int>(x.shape(2));
  s.threads = threads;
  Array<T> y = like(x);
  const T* xp = x.data();
  T* yp = y.mutable_data();
  const adjoint::FirTaps which{taps.data(), static_cast<int>(taps.size()), backwards};
  {
    const py::gil_scoped_release release;
    adjoint::fir(s, which, xp, yp);
  }
  return y;
}

// above: (batch, channels, frames); hold: (batch, frames).
Array<std::uint8_t> gate_open(const Array<std::uint8_t>& upper, const Array<std::uint8_t>& lower,
                              const Array<std::int32_t>& hold) {
  require(upper.ndim() == 3 && lower.ndim() == 3 && hold.ndim() == 2,
          "levels (batch, channels, frames), hold (batch, frames)");
  require(std::equal(upper.shape(), upper.shape() + 3, lower.shape()) && hold.shape(0) == upper.shape(0) &&
              hold.shape(1) == upper.shape(2),
          "levels and hold must fit");
  Array<std::uint8_t> open = like(upper);
  const auto channels = upper.shape(1), frames = upper.shape(2);
  const std::uint8_t *u = upper.data(), *l = lower.data();
  const std::int32_t* h = hold.data();
  std::uint8_t* o = open.mutable_data();
  const py::gil_scoped_release release;
  for (py::ssize_t stream = 0; stream < upper.shape(0) * channels; ++stream) {
    GateState state;
    for (py::ssize_t n = 0; n < frames; ++n) {
      const auto at = stream * frames + n;
      const bool above = (state.open ? l[at] : u[at]) != 0;
      o[at] = gate_step(state, above, h[stream / channels * frames + n]) ? 1 : 0;
    }
  }
  return open;
}

// frequency_hz, gain_db and q: (..., sections).
py::tuple design_filters(const std::vector<int>& shapes, bool match, const Array<double>& frequency_hz,
                         const Array<double>& gain_db, const Array<double>& q, double sample_rate) {
  const auto sections = static_cast<py::ssize_t>(shapes.size());
  require(sections > 0 && frequency_hz.ndim() > 0 && frequency_hz.shape(frequency_hz.ndim() - 1) == sections,
          "one frequency for each shape");
  require(gain_db.size() == frequency_hz.size() && q.size() == frequency_hz.size(), "as many gains and Qs");
  std::vector<FilterShape> which;
  for (const int shape : shapes) {
    require(shape >= 0 && shape <= static_cast<int>(FilterShape::all_pass), "a shape that there is");
    which.push_back(static_cast<FilterShape>(shape));
  }
  std::vector<py::ssize_t> size(frequency_hz.shape(), frequency_hz.shape() + frequency_hz.ndim());
  size.push_back(5);
  Array<double> c(size);
  size.push_back(3);
  Array<double> by(size);
  adjoint::design_filters(frequency_hz.size() / sections, which, match, frequency_hz.data(), gain_db.data(), q.data(),
                          sample_rate, c.mutable_data(), by.mutable_data());
  return py::make_tuple(c, by);
}

template <class T>
adjoint::RecurrentLayer<T> layer_of(const Array<T>& x, const Array<T>& weight, const Array<T>& bias,
                                    const Array<T>& inner_bias, const Array<T>& hidden, const Array<T>& cell, bool gru,
                                    int threads) {
  require(x.ndim() == 3 && weight.ndim() == 2, "x must be (batch, frames, inputs), weight (rows, inputs + hidden)");
  require(x.size() > 0 && x.size() <= most_numbers && hidden.size() >= 1 && hidden.size() <= 4096,
          "x must not be empty, and the state has 1 to 4096 numbers");
  check_threads(threads);
  const py::ssize_t h = hidden.size(), rows = (gru ? 3 : 4) * h;
  require(weight.shape(0) == rows && weight.shape(1) == x.shape(2) + h && bias.size() == rows,
          "the weights of a recurrent layer do not fit its state");
  require(gru ? inner_bias.size() == h : cell.size() == h, "a recurrent layer lacks its inner bias or its cell");
  return {static_cast<int>(x.shape(0)),
          static_cast<int>(x.shape(1)),
          static_cast<int>(x.shape(2)),
          static_cast<int>(h),
          gru,
          threads,
          weight.data(),
          bias.data(),
          inner_bias.data(),
          hidden.data(),
          cell.data()};
}

template <class T>
py::tuple recurrent_forward(const Array<T>& x, const Array<T>& weight, const Array<T>& bias, const Array<T>& inner_bias,
                            const Array<T>& hidden, const Array<T>& cell, bool gru, int threads) {
  const auto layer = layer_of(x, weight, bias, inner_bias, hidden, cell, gru, threads);
  Array<T> y({x.shape(0), x.shape(1), hidden.size()});
  Array<T> states(static_cast<py::ssize_t>(adjoint::recurrent_state_size(layer.streams, layer.frames, layer.hidden)));
  T *to = y.mutable_data(), *memory = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::recurrent_forward<T>(layer, x.data(), to, memory);
  }
  return py::make_tuple(y, states);
}

template <class T>
py::tuple recurrent_backward(const Array<T>& x, const Array<T>& weight, const Array<T>& bias,
                             const Array<T>& inner_bias, const Array<T>& hidden, const Array<T>& cell, bool gru,
                             const Array<T>& states, const Array<T>& y_grad, int threads) {
  const auto layer = layer_of(x, weight, bias, inner_bias, hidden, cell, gru, threads);
  expect(states, {static_cast<py::ssize_t>(adjoint::recurrent_state_size(layer.streams, layer.frames, layer.hidden))},
         "states are not those of this layer");
  expect(y_grad, {x.shape(0), x.shape(1), hidden.size()}, "the gradient of y must be (batch, frames, hidden)");
  Array<T> x_grad = like(x);
  Array<T> sums = zeros<T>({static_cast<py::ssize_t>(adjoint::recurrent_sums(layer.inputs, layer.hidden, gru))});
  T *to = x_grad.mutable_data(), *all = sums.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::recurrent_backward<T>(layer, x.data(), states.data(), y_grad.data(), to, all);
  }
  return py::make_tuple(x_grad, sums);
}

template <class T>
void bind_for(py::module_& m) {
  const auto def = [&](const char* name, auto* function) { m.def(name, function); };
  m.def("sweep_forward", &sweep_forward<T>, py::arg("name"), py::arg("x"), py::arg("coefficients"), py::arg("options"),
        py::arg("threads"));
  m.def("sweep_backward", &sweep_backward<T>, py::arg("name"), py::arg("x"), py::arg("coefficients"), py::arg("memory"),
        py::arg("y_grad"), py::arg("options"), py::arg("threads"));
  def("fir", &fir<T>);
  def("recurrent_forward", &recurrent_forward<T>);
  def("recurrent_backward", &recurrent_backward<T>);
}

}  // namespace

void bind_adjoint(py::module_& m) {
  bind_for<float>(m);
  bind_for<double>(m);
  m.def("sweep_names", &sweep_names);
  m.def("cut_section_q", &cut_section_q, py::arg("section"), py::arg("sections"), py::arg("q"));
  m.def("design_filters", &design_filters, py::arg("shapes"), py::arg("match"), py::arg("frequency_hz"),
        py::arg("gain_db"), py::arg("q"), py::arg("sample_rate"));
  m.def(
      "use_thread_team", [](std::uintptr_t address) { adjoint::torch_team = reinterpret_cast<adjoint::Team>(address); },
      py::arg("address"));
  m.def("gate_open", &gate_open, py::arg("above_upper"), py::arg("above_lower"), py::arg("hold"));
}

}  // namespace twinrack
