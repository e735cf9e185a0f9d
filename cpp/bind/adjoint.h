// The sweeps for training, on numpy arrays of float32 or float64.
#pragma once

#include <pybind11/pybind11.h>

namespace twinrack {
void bind_adjoint(pybind11::module_& m);
}
