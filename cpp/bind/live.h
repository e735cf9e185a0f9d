// Bindings of the live mixer, the audio callbacks and the bridge between two clocks.
#pragma once

#include <pybind11/pybind11.h>

namespace twinrack {
void bind_live(pybind11::module_& m);
}
