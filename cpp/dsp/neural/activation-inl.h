// The activations of a network, on rows.
#if defined(TWINRACK_DSP_NEURAL_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_ACTIVATION_INL_H_
#undef TWINRACK_DSP_NEURAL_ACTIVATION_INL_H_
#else
#define TWINRACK_DSP_NEURAL_ACTIVATION_INL_H_
#endif

#include <cstdint>

#include "dsp/neural/neural_plan.h"
#include "dsp/neural/rows-inl.h"
#include "dsp/shaping/shapes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

using twinrack::neural::Activation;

template <Activation::Kind kind>
HWY_INLINE V activated(V x, const float* number, [[maybe_unused]] int channel) noexcept TR_RT {
  const D d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  if constexpr (kind == Activation::tanh) {
    return tanh_of(x);
  } else if constexpr (kind == Activation::sigmoid) {
    return sigmoid_of(x);
  } else if constexpr (kind == Activation::relu) {
    return hn::Max(x, zero);
  } else if constexpr (kind == Activation::leaky_relu) {
    return hn::IfThenElse(hn::Gt(x, zero), x, hn::Set(d, number[0]) * x);
  } else if constexpr (kind == Activation::hard_tanh) {
    return hn::Min(hn::Max(x, hn::Set(d, number[0])), hn::Set(d, number[1]));
  } else if constexpr (kind == Activation::leaky_hard_tanh) {
    const V low = hn::Set(d, number[0]), high = hn::Set(d, number[1]);
    const V below = hn::MulAdd(x - low, hn::Set(d, number[2]), low);
    const V above = hn::MulAdd(x - high, hn::Set(d, number[3]), high);
    return hn::IfThenElse(hn::Lt(x, low), below, hn::IfThenElse(hn::Gt(x, high), above, x));
  } else if constexpr (kind == Activation::silu) {
    return x * sigmoid_of(x);
  } else if constexpr (kind == Activation::softsign) {
    return x / (one + hn::Abs(x));
  } else if constexpr (kind == Activation::soft_sigmoid) {
    return hn::Set(d, 0.5f) * (one + x / (one + hn::Abs(x)));
  } else if constexpr (kind == Activation::fast_tanh) {  // a quotient of polynomials, within 0.003 of tanh
    const V size = hn::Abs(x), square = x * x;
    const V top = hn::MulAdd(hn::MulAdd(hn::Set(d, 0.821226666969744f), size, hn::Set(d, 0.893229853513558f)), square,
                             hn::MulAdd(hn::Set(d, 2.45550750702956f), size, hn::Set(d, 2.45550750702956f)));
    const V bottom =
        hn::MulAdd(hn::Set(d, 2.44506634652299f) + square,
                   hn::Abs(hn::MulAdd(hn::Set(d, 0.814642734961073f) * x, size, x)), hn::Set(d, 2.44506634652299f));
    return x * top / bottom;
  } else if constexpr (kind == Activation::prelu) {
    return hn::IfThenElse(hn::Gt(x, zero), x, hn::LoadU(d, number + channel) * x);
  } else if constexpr (kind == Activation::hard_swish) {
    const V open = hn::Min(hn::Max(x + hn::Set(d, 3.0f), zero), hn::Set(d, 6.0f));
    return x * open * hn::Set(d, 1.0f / 6.0f);
  } else {
    return x;
  }
}

// Calls work(function), where function(x, channel) is the activation of a vector whose first channel is `channel`. So
// the choice is made once and not for every vector. Identity calls nothing.
template <class Work>
HWY_INLINE void with_activation(const Activation& a, const Work& work) noexcept TR_RT {
  const float* n = a.number;
  switch (a.kind) {
    case Activation::tanh:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::tanh>(x, n, i); });
    case Activation::sigmoid:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::sigmoid>(x, n, i); });
    case Activation::relu:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::relu>(x, n, i); });
    case Activation::leaky_relu:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::leaky_relu>(x, n, i); });
    case Activation::hard_tanh:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::hard_tanh>(x, n, i); });
    case Activation::leaky_hard_tanh:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::leaky_hard_tanh>(x, n, i); });
    case Activation::silu:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::silu>(x, n, i); });
    case Activation::softsign:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::softsign>(x, n, i); });
    case Activation::soft_sigmoid:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::soft_sigmoid>(x, n, i); });
    case Activation::hard_swish:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::hard_swish>(x, n, i); });
    case Activation::fast_tanh:
      return work([n](V x, int i) HWY_ATTR { return activated<Activation::fast_tanh>(x, n, i); });
    case Activation::prelu: {
      const float* slopes = a.slopes.data();
      return work([slopes](V x, int i) HWY_ATTR { return activated<Activation::prelu>(x, slopes, i); });
    }
    case Activation::identity:
    case Activation::count:
      return;
  }
}

HWY_INLINE void activate(const Activation& a, Rows& rows, std::int64_t t, int frames, int first,
                         int width) noexcept TR_RT {
  with_activation(a, [&](const auto& function) HWY_ATTR {
    const D d;
    for (int n = 0; n < frames; ++n) {
      float* x = rows.row(t + n) + first;
      for (int i = 0; i < width; i += lanes) hn::Store(function(hn::Load(d, x + i), i), d, x + i);
    }
  });
}

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
