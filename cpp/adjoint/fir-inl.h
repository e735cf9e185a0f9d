// A filter of fixed coefficients along time, forwards or backwards, summed in double precision.
#if defined(TWINRACK_ADJOINT_FIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_FIR_INL_H_
#undef TWINRACK_ADJOINT_FIR_INL_H_
#else
#define TWINRACK_ADJOINT_FIR_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <vector>

#include "adjoint/fir.h"
#include "adjoint/parallel_for.h"
#include "dsp/lanes/lane-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

template <class T>
void fir(const adjoint::Shape& shape, const adjoint::FirTaps& taps, const T* x, T* y) {
  using D = Tag<double>;
  constexpr int lanes = lane_count<double>, at_once = 4, step = at_once * lanes;
  const D d;
  const int more = taps.count - 1, frames = shape.frames, whole = (frames + step - 1) / step * step;
  adjoint::parallel_for(shape.streams, shape.threads, [&](int stream) {
    // Silence before the first frame, or after the last one; and up to a whole step.
    std::vector<double> in(static_cast<std::size_t>(whole + more), 0.0), out(static_cast<std::size_t>(whole));
    const T* from = x + static_cast<std::int64_t>(stream) * frames;
    std::copy_n(from, frames, in.begin() + (taps.backwards ? 0 : more));
    for (int n = 0; n < whole; n += step) {
      Vec<double> sum[at_once];
      for (auto& s : sum) s = hn::Zero(d);
      for (int k = 0; k < taps.count; ++k) {
        const auto h = hn::Set(d, taps.h[k]);
        const double* at = in.data() + n + (taps.backwards ? k : more - k);
        for (int i = 0; i < at_once; ++i) sum[i] = hn::MulAdd(h, hn::LoadU(d, at + i * lanes), sum[i]);
      }
      for (int i = 0; i < at_once; ++i) hn::StoreU(sum[i], d, out.data() + n + i * lanes);
    }
    T* to = y + static_cast<std::int64_t>(stream) * frames;
    for (int n = 0; n < frames; ++n) to[n] = static_cast<T>(out[static_cast<std::size_t>(n)]);
  });
}

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
