#include "adjoint/design.h"

#include "adjoint/dual.h"

namespace twinrack::adjoint {

void design_filters(std::int64_t rows, const std::vector<FilterShape>& shapes, bool match, const double* frequency_hz,
                    const double* gain_db, const double* q, double sample_rate, double* c, double* slopes) {
  using N = Dual<3>;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (const FilterShape shape : shapes) {
      const double f = *frequency_hz++, gain = *gain_db++, quality = *q++;
      // The numbers themselves as the engine has them, to the last digit.
      const SvfDesign exact = design_svf(shape, match, f, gain, quality, sample_rate);
      for (const double number : {exact.g, exact.k, exact.m0, exact.m1, exact.m2}) *c++ = number;
      const auto d =
          design_svf(shape, match, N::variable(f, 0), N::variable(gain, 1), N::variable(quality, 2), sample_rate);
      for (const N& number : {d.g, d.k, d.m0, d.m1, d.m2}) {
        for (const double slope : number.slope) *slopes++ = slope;
      }
    }
  }
}

}  // namespace twinrack::adjoint
