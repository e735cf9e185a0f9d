// Many renderings at once, for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace twinrack {

void bind_render_many(pybind11::module_& m);

}  // namespace twinrack
