// The extension module: pybind11 only, numpy arrays in and out, no audio arithmetic.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bind/adjoint.h"
#include "bind/engine.h"
#include "bind/flat_rack.h"
#include "bind/live.h"
#include "bind/render_many.h"
#include "bind/signals.h"
#include "cards_json.h"

PYBIND11_MODULE(_engine, m) {
  using namespace twinrack;
  m.doc() = "The C++ engine of twinrack.";
  m.attr("TICK_FRAMES") = tick_frames;
  m.attr("MAX_CHANNELS") = max_channels;
  m.def("cards", [] {
    std::vector<std::string> all;
    for (const char* card : cards::json) all.emplace_back(card);
    return all;
  });
  m.def("simd_target", [] { return std::string(all_effects()[0]->target); });
  bind_engine(m);
  bind_flat_rack(m);
  bind_render_many(m);
  bind_signals(m);
  bind_live(m);
  bind_adjoint(m);
}
