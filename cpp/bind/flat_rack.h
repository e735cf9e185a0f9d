// Bindings of the flat form of racks, and of the player that plugins are made of.
#pragma once

#include <pybind11/pybind11.h>

namespace twinrack {
void bind_flat_rack(pybind11::module_& m);
}
