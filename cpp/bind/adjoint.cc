#include "bind/adjoint.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "adjoint/design.h"
#include "adjoint/sweeps.h"
#include "adjoint/walk.h"
#include "dsp/delay/fdn_layout.h"
#include "dsp/dynamics/gate.h"
#include "rt/block.h"

namespace py = pybind11;

namespace twinrack {
namespace {

using adjoint::CompressorChoices;
using adjoint::FdnShape;
using adjoint::FeedbackChoices;
using adjoint::Shape;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

constexpr py::ssize_t most_numbers = std::numeric_limits<std::int32_t>::max();

void require(bool condition, const char* what) {
  if (!condition) throw py::value_error(what);
}

// x is (batch, channels, frames); coefficients are (rows, ticks, …).
template <class T>
Shape shape_of(const Array<T>& x, const Array<T>& coefficients, int threads) {
  require(x.ndim() == 3, "x must be (batch, channels, frames)");
  require(coefficients.ndim() >= 2, "coefficients must be (rows, ticks, ...)");
  require(x.shape(0) > 0 && x.shape(1) > 0 && x.shape(2) > 0, "x must not be empty");
  require(x.size() <= most_numbers && x.shape(2) <= most_numbers / 64, "x is too large for one sweep");
  require(threads >= 0 && threads <= 4096, "0 to 4096 threads");
  Shape s{};
  s.channels = static_cast<int>(x.shape(1));
  s.streams = static_cast<int>(x.shape(0) * x.shape(1));
  s.frames = static_cast<int>(x.shape(2));
  s.rows = static_cast<int>(coefficients.shape(0));
  s.ticks = static_cast<int>(coefficients.shape(1));
  s.threads = threads;
  require(s.rows == 1 || s.rows == x.shape(0), "coefficients must have one row, or one for each batch item");
  require(s.ticks == 1 || s.ticks == adjoint::tick_count(s.frames),
          "coefficients must have one tick, or one for every 32 frames");
  return s;
}

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

// Gradients come out for every stream (or batch item): `leading` replaces the number of rows.
template <class T>
Array<T> gradient_of(const Array<T>& coefficients, py::ssize_t leading) {
  std::vector<py::ssize_t> shape(coefficients.shape(), coefficients.shape() + coefficients.ndim());
  shape[0] = leading;
  return zeros<T>(std::move(shape));
}

// How many filters: coefficients are (rows, ticks, filters, 5).
template <class T>
int sections_of(const Array<T>& c) {
  require(c.ndim() == 4 && c.shape(2) >= 1 && c.shape(2) <= 4096 && c.shape(3) == 5,
          "coefficients must be (rows, ticks, filters, 5), with 1 to 4096 filters");
  return static_cast<int>(c.shape(2));
}

template <class T>
py::tuple svf_forward(const Array<T>& x, const Array<T>& c, int threads) {
  const Shape s = shape_of(x, c, threads);
  const int sections = sections_of(c);
  Array<T> y = like(x), states({adjoint::svf_state_size(s, sections)});
  const T *xp = x.data(), *cp = c.data();
  T *yp = y.mutable_data(), *sp = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::svf_forward(s, sections, xp, cp, yp, sp);
  }
  return py::make_tuple(y, states);
}

template <class T>
py::tuple svf_backward(const Array<T>& x, const Array<T>& c, const Array<T>& states, const Array<T>& y_grad,
                       int threads) {
  const Shape s = shape_of(x, c, threads);
  const int sections = sections_of(c);
  expect(states, {adjoint::svf_state_size(s, sections)}, "states are not those of this series");
  expect_like(y_grad, x, "the gradient of y has its shape");
  Array<T> x_grad = like(x), c_grad = gradient_of(c, s.streams);
  const T *xp = x.data(), *cp = c.data(), *sp = states.data(), *gp = y_grad.data();
  T *xg = x_grad.mutable_data(), *cg = c_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::svf_backward(s, sections, xp, cp, sp, gp, xg, cg);
  }
  return py::make_tuple(x_grad, c_grad);
}

template <class T>
py::tuple follower_forward(const Array<T>& x, const Array<T>& c, bool decoupled, int threads) {
  const Shape s = shape_of(x, c, threads);
  require(c.ndim() == 3 && c.shape(2) == 2, "coefficients must be (rows, ticks, 2): rise and fall");
  Array<T> y = like(x), states({adjoint::svf_state_size(s, 1)});
  const T *xp = x.data(), *cp = c.data();
  T *yp = y.mutable_data(), *sp = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::follower_forward(s, decoupled, xp, cp, yp, sp);
  }
  return py::make_tuple(y, states);
}

template <class T>
py::tuple follower_backward(const Array<T>& x, const Array<T>& c, const Array<T>& states, const Array<T>& y_grad,
                            bool decoupled, int threads) {
  const Shape s = shape_of(x, c, threads);
  require(c.ndim() == 3 && c.shape(2) == 2, "coefficients must be (rows, ticks, 2): rise and fall");
  expect(states, {adjoint::svf_state_size(s, 1)}, "states are not those of this follower");
  expect_like(y_grad, x, "the gradient of y has its shape");
  Array<T> x_grad = like(x), c_grad = gradient_of(c, s.streams);
  const T *xp = x.data(), *cp = c.data(), *sp = states.data(), *gp = y_grad.data();
  T *xg = x_grad.mutable_data(), *cg = c_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::follower_backward(s, decoupled, xp, cp, sp, gp, xg, cg);
  }
  return py::make_tuple(x_grad, c_grad);
}

template <class T>
void expect_delays(const Array<T>& c, const std::vector<int>& delay, const Shape& s) {
  require(c.ndim() == 2, "coefficients must be (rows, ticks)");
  require(delay.size() == static_cast<std::size_t>(s.channels), "one delay for each channel");
  require(std::all_of(delay.begin(), delay.end(), [](int d) { return d >= 1 && d <= 1 << 26; }),
          "delays are 1 to 2^26 frames");
}

template <class T>
py::tuple allpass_forward(const Array<T>& x, const Array<T>& c, const std::vector<int>& delay, int threads) {
  const Shape s = shape_of(x, c, threads);
  expect_delays(c, delay, s);
  Array<T> y = like(x), v = like(x);
  const T *xp = x.data(), *cp = c.data();
  T *yp = y.mutable_data(), *vp = v.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::allpass_forward(s, delay.data(), xp, cp, yp, vp);
  }
  return py::make_tuple(y, v);
}

template <class T>
py::tuple allpass_backward(const Array<T>& x, const Array<T>& c, const Array<T>& v, const Array<T>& y_grad,
                           const std::vector<int>& delay, int threads) {
  const Shape s = shape_of(x, c, threads);
  expect_delays(c, delay, s);
  expect_like(v, x, "v has the shape of x");
  expect_like(y_grad, x, "the gradient of y has the shape of x");
  Array<T> x_grad = like(x), c_grad = gradient_of(c, s.streams);
  const T *xp = x.data(), *cp = c.data(), *vp = v.data(), *gp = y_grad.data();
  T *xg = x_grad.mutable_data(), *cg = c_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::allpass_backward(s, delay.data(), xp, cp, vp, gp, xg, cg);
  }
  return py::make_tuple(x_grad, c_grad);
}

template <class T>
FdnShape fdn_shape(const Array<T>& x, const Array<T>& shelf, const Array<T>& turns, const std::vector<int>& lines,
                   int threads) {
  require(shelf.ndim() == 5 && shelf.shape(2) == 2 && shelf.shape(3) == 5 && shelf.shape(4) == fdn_lines,
          "shelf must be (rows, ticks, 2, 5, 16)");
  require(turns.ndim() == 4 && turns.shape(2) == 2 && turns.shape(3) == fdn_lines / 2,
          "turns must be (rows, knots, 2, 8)");
  require(std::all_of(lines.begin(), lines.end(), [](int n) { return n >= 2 && n <= 1 << 26; }),
          "line lengths are 2 to 2^26 frames");
  const FdnShape s{shape_of(x, shelf, threads), static_cast<int>(turns.shape(0)), static_cast<int>(turns.shape(1)),
                   lines.data()};
  require(lines.size() == fdn_lines, "16 line lengths");
  require(s.base.channels <= fdn_lines, "at most 16 channels");
  require(s.turn_rows == 1 || s.turn_rows == x.shape(0), "turns must have one row, or one for each batch item");
  require(s.knots == 1 || s.knots == adjoint::tick_count(s.base.frames) + 1,
          "turns must have one knot, or one at each tick and at the end");
  return s;
}

template <class T>
py::tuple fdn_forward(const Array<T>& x, const Array<T>& shelf, const Array<T>& turns, const std::vector<int>& lines,
                      int threads) {
  const FdnShape s = fdn_shape(x, shelf, turns, lines, threads);
  const py::ssize_t batch = x.shape(0), ticks = adjoint::tick_count(s.base.frames);
  Array<T> y = like(x), w({batch, x.shape(2), py::ssize_t{fdn_lines}}),
           states({batch, ticks, py::ssize_t{4 * fdn_lines}});
  const T *xp = x.data(), *fp = shelf.data(), *tp = turns.data();
  T *yp = y.mutable_data(), *wp = w.mutable_data(), *sp = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::fdn_forward(s, xp, fp, tp, yp, wp, sp);
  }
  return py::make_tuple(y, w, states);
}

template <class T>
py::tuple fdn_backward(const Array<T>&, const Array<T>& shelf, const Array<T>& turns, const Array<T>& w,
                       const Array<T>& states, const Array<T>& y_grad, const std::vector<int>& lines, int threads) {
  const FdnShape s = fdn_shape(y_grad, shelf, turns, lines, threads);
  const py::ssize_t batch = y_grad.shape(0);
  const py::ssize_t frames = y_grad.shape(2), ticks = adjoint::tick_count(s.base.frames);
  expect(w, {batch, frames, py::ssize_t{fdn_lines}}, "w must be (batch, frames, 16)");
  expect(states, {batch, ticks, py::ssize_t{4 * fdn_lines}}, "states must be (batch, ticks, 64)");
  Array<T> x_grad = like(y_grad), shelf_grad = gradient_of(shelf, batch), turn_grad = gradient_of(turns, batch);
  const T *fp = shelf.data(), *tp = turns.data(), *wp = w.data(), *sp = states.data(), *gp = y_grad.data();
  T *xg = x_grad.mutable_data(), *fg = shelf_grad.mutable_data(), *tg = turn_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::fdn_backward(s, fp, tp, wp, sp, gp, xg, fg, tg);
  }
  return py::make_tuple(x_grad, shelf_grad, turn_grad);
}

template <class T>
Array<T> fir(const Array<T>& x, const std::vector<double>& taps, bool backwards, int threads) {
  require(x.ndim() == 3 && !taps.empty(), "x must be (batch, channels, frames), with at least one coefficient");
  require(x.size() <= most_numbers && taps.size() <= 1 << 26, "x or the filter is too large for one sweep");
  require(threads >= 0 && threads <= 4096, "0 to 4096 threads");
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

CompressorChoices compressor_choices(const std::vector<bool>& c) {
  require(c.size() == 3, "three choices: rms, on level, decoupled");
  return {c[0], c[1], c[2]};
}

template <class T>
Shape compressor_shape(const Array<T>& level, const Array<T>& settings, int threads) {
  require(settings.ndim() == 3 && settings.shape(2) == adjoint::compressor_settings, "nine settings");
  return shape_of(level, settings, threads);
}

template <class T>
py::tuple compressor_forward(const Array<T>& level, const Array<T>& settings, const std::vector<bool>& choices,
                             int threads) {
  const Shape s = compressor_shape(level, settings, threads);
  const CompressorChoices which = compressor_choices(choices);
  Array<T> gain = like(level), states({adjoint::compressor_state_size(s)});
  const T *xp = level.data(), *cp = settings.data();
  T *yp = gain.mutable_data(), *sp = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::compressor_forward(s, which, xp, cp, yp, sp);
  }
  return py::make_tuple(gain, states);
}

template <class T>
py::tuple compressor_backward(const Array<T>& level, const Array<T>& settings, const Array<T>& states,
                              const Array<T>& gain_grad, const std::vector<bool>& choices, int threads) {
  const Shape s = compressor_shape(level, settings, threads);
  const CompressorChoices which = compressor_choices(choices);
  expect(states, {adjoint::compressor_state_size(s)}, "states are not those of this compressor");
  expect_like(gain_grad, level, "the gradient of the gain has the shape of the level");
  Array<T> level_grad = like(level), setting_grad = gradient_of(settings, s.streams);
  const T *xp = level.data(), *cp = settings.data(), *sp = states.data(), *gp = gain_grad.data();
  T *xg = level_grad.mutable_data(), *cg = setting_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::compressor_backward(s, which, xp, cp, sp, gp, xg, cg);
  }
  return py::make_tuple(level_grad, setting_grad);
}

FeedbackChoices choices_of(const std::vector<int>& c) {
  require(c.size() == 5 && c[4] >= 0 && c[4] <= 3,
          "five choices: low cut, rms, on level, decoupled, channel mode 0 to 3");
  return {c[0] != 0, c[1] != 0, c[2] != 0, c[3] != 0, c[4]};
}

template <class T>
void expect_feedback(const Array<T>& c, const Shape& s) {
  require(s.channels <= max_channels, "at most 16 channels");
  require(c.ndim() == 3 && c.shape(2) == 10, "settings must be (rows, ticks, 10)");
}

template <class T>
py::tuple feedback_forward(const Array<T>& x, const Array<T>& c, const std::vector<int>& choices, int threads) {
  const Shape s = shape_of(x, c, threads);
  const FeedbackChoices f = choices_of(choices);
  expect_feedback(c, s);
  Array<T> y = like(x), states({x.shape(0), py::ssize_t{adjoint::tick_count(s.frames)}, x.shape(1), py::ssize_t{7}});
  const T *xp = x.data(), *cp = c.data();
  T *yp = y.mutable_data(), *sp = states.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::feedback_forward(s, f, xp, cp, yp, sp);
  }
  return py::make_tuple(y, states);
}

template <class T>
py::tuple feedback_backward(const Array<T>& x, const Array<T>& c, const Array<T>& states, const Array<T>& y_grad,
                            const std::vector<int>& choices, int threads) {
  const Shape s = shape_of(x, c, threads);
  const FeedbackChoices f = choices_of(choices);
  expect_feedback(c, s);
  expect(states, {x.shape(0), py::ssize_t{adjoint::tick_count(s.frames)}, x.shape(1), py::ssize_t{7}},
         "states must be (batch, ticks, channels, 7)");
  expect_like(y_grad, x, "the gradient of y has the shape of x");
  Array<T> x_grad = like(x), c_grad = gradient_of(c, x.shape(0));
  const T *xp = x.data(), *cp = c.data(), *sp = states.data(), *gp = y_grad.data();
  T *xg = x_grad.mutable_data(), *cg = c_grad.mutable_data();
  {
    const py::gil_scoped_release release;
    adjoint::feedback_backward(s, f, xp, cp, sp, gp, xg, cg);
  }
  return py::make_tuple(x_grad, c_grad);
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
  require(threads >= 0 && threads <= 4096, "0 to 4096 threads");
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
  def("svf_forward", &svf_forward<T>);
  def("svf_backward", &svf_backward<T>);
  def("follower_forward", &follower_forward<T>);
  def("follower_backward", &follower_backward<T>);
  def("allpass_forward", &allpass_forward<T>);
  def("allpass_backward", &allpass_backward<T>);
  def("fdn_forward", &fdn_forward<T>);
  def("fdn_backward", &fdn_backward<T>);
  def("fir", &fir<T>);
  def("compressor_forward", &compressor_forward<T>);
  def("compressor_backward", &compressor_backward<T>);
  def("feedback_forward", &feedback_forward<T>);
  def("feedback_backward", &feedback_backward<T>);
  def("recurrent_forward", &recurrent_forward<T>);
  def("recurrent_backward", &recurrent_backward<T>);
}

}  // namespace

void bind_adjoint(py::module_& m) {
  bind_for<float>(m);
  bind_for<double>(m);
  m.def("cut_section_q", &cut_section_q, py::arg("section"), py::arg("sections"), py::arg("q"));
  m.def("design_filters", &design_filters, py::arg("shapes"), py::arg("match"), py::arg("frequency_hz"),
        py::arg("gain_db"), py::arg("q"), py::arg("sample_rate"));
  m.def(
      "use_thread_team", [](std::uintptr_t address) { adjoint::torch_team = reinterpret_cast<adjoint::Team>(address); },
      py::arg("address"));
  m.def("gate_open", &gate_open, py::arg("above_upper"), py::arg("above_lower"), py::arg("hold"));
}

}  // namespace twinrack
