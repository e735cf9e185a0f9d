// Designs of many filters at once, with their derivatives.
#pragma once

#include <cstdint>
#include <vector>

#include "dsp/filters/svf_design.h"

namespace twinrack::adjoint {

// Designs `rows` x shapes.size() filters: frequencies in Hz, gains in dB and Qs lie row by row. `c` gets g, k, m0, m1,
// m2 of each, `slopes` the derivatives of each of these by frequency, gain and Q.
void design_filters(std::int64_t rows, const std::vector<FilterShape>& shapes, bool match, const double* frequency_hz,
                    const double* gain_db, const double* q, double sample_rate, double* c, double* slopes);

}  // namespace twinrack::adjoint
