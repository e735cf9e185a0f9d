// Bindings of what works on signals without a rack: mixing, unpacking, loudness, and the designs that twins share.
#pragma once

#include <pybind11/pybind11.h>

namespace twinrack {
void bind_signals(pybind11::module_& m);
}
