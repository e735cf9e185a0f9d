// Neural networks in real time: chains of convolutions, WaveNet, LSTM and GRU, one channel at a time.
//
// Signals between layers are rows: the numbers of one frame side by side, filled up to whole vectors, so a layer's
// outputs stand in the lanes and every frame is worked out by itself: how a stream is cut into blocks changes no bit.
// Rows are kept in rings, as many as a convolution looks back. A convolution holds the sums of a few frames and outputs
// in registers while it goes through the weights once; its weights stand in the order in which they are read.
//
// A convolutional network starts as after endless silence (its biases make something of zeros), a recurrent one from
// the state that is given with its weights.
#if defined(TWINRACK_DSP_NEURAL_NEURAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_NEURAL_INL_H_
#undef TWINRACK_DSP_NEURAL_NEURAL_INL_H_
#else
#define TWINRACK_DSP_NEURAL_NEURAL_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

#include "dsp/neural/neural_plan.h"
#include "dsp/shaping/shapes-inl.h"
#include "hwy/aligned_allocator.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

using twinrack::neural::Activation;
using twinrack::neural::Gating;
using twinrack::neural::Plan;
using D = Tag<float>;
using V = Vec<float>;
inline constexpr int lanes = lane_count<float>;
inline constexpr int chunk = 64;  // frames at most that go through all layers at once

inline int whole_vectors(int width) noexcept TR_RT { return (width + lanes - 1) / lanes * lanes; }

class Numbers {  // aligned, zero at first
 public:
  void prepare(std::size_t count) {
    if (count > most) throw std::invalid_argument("a network that needs too much memory");
    data_ = hwy::AllocateAligned<float>(count);
    if (data_ == nullptr) throw std::bad_alloc();
    count_ = count;
    for (std::size_t i = 0; i < count; ++i) data_[i] = 0.0f;
  }
  void prepare(int count) { prepare(static_cast<std::size_t>(count)); }
  float* data() noexcept TR_RT { return data_.get(); }
  const float* data() const noexcept TR_RT { return data_.get(); }
  void copy(const Numbers& other) noexcept TR_RT {
    if (count_ > 0) std::memcpy(data_.get(), other.data_.get(), sizeof(float) * count_);
  }

  void state(StateArchive& archive) { archive.bytes(data(), sizeof(float) * count_); }

 private:
  static constexpr std::size_t most = std::size_t{1} << 26;
  hwy::AlignedFreeUniquePtr<float[]> data_;
  std::size_t count_ = 0;
};

// The rows of one signal: the last `memory` and up to a chunk of new ones.
class Rows {
 public:
  void prepare(int width, int memory) {
    stride_ = whole_vectors(width);
    int size = chunk;
    while (size < memory + chunk) size *= 2;
    mask_ = size - 1;
    numbers_.prepare(static_cast<std::size_t>(size) * static_cast<std::size_t>(stride_));
  }
  float* row(std::int64_t t) noexcept TR_RT {
    return numbers_.data() + static_cast<std::size_t>(t & mask_) * static_cast<std::size_t>(stride_);
  }
  int stride() const noexcept TR_RT { return stride_; }
  int size() const noexcept { return static_cast<int>(mask_) + 1; }
  void copy(const Rows& other) noexcept TR_RT { numbers_.copy(other.numbers_); }

  void state(StateArchive& archive) { archive(numbers_); }

 private:
  Numbers numbers_;
  std::int64_t mask_ = 0;
  int stride_ = 0;
};

// A causal convolution. Its outputs come in `parts` of whole vectors each: two where half of them gate the others.
class Conv {
 public:
  void prepare(const twinrack::neural::Conv& plan, int parts = 1) {
    in_ = plan.in;
    kernel_ = plan.kernel;
    dilation_ = plan.dilation;
    const int part = plan.out / parts, wide = whole_vectors(part);
    width_ = parts * wide;
    weights_.prepare(width_ * in_ * kernel_);
    bias_.prepare(width_);
    for (int o = 0; o < plan.out; ++o) {
      const int slot = o / part * wide + o % part;
      if (plan.bias != nullptr) bias_.data()[slot] = plan.bias[o];
      for (int i = 0; i < in_; ++i) {
        for (int k = 0; k < kernel_; ++k) weights_.data()[place(slot, i, k)] = plan.weight[(o * in_ + i) * kernel_ + k];
      }
    }
  }

  int width() const noexcept TR_RT { return width_; }
  int memory() const noexcept { return (kernel_ - 1) * dilation_; }
  V bias(int number) const noexcept TR_RT { return hn::Load(D(), bias_.data() + number); }
  // The weights themselves where there is one input and no past.
  V weight(int number) const noexcept TR_RT { return hn::Load(D(), weights_.data() + number); }

  // The rows of `out` from frame t on; `start` gives what the sums begin with, for a frame and the number of an output.
  template <class Start>
  void run(Rows& in, std::int64_t t, int frames, Rows& out, const Start& start) const noexcept TR_RT {
    int number = 0;
    for (; number + 2 * lanes <= width_; number += 2 * lanes) outputs<2, 4>(number, in, t, frames, out, start);
    if (number < width_) outputs<1, 8>(number, in, t, frames, out, start);
  }
  void run(Rows& in, std::int64_t t, int frames, Rows& out) const noexcept TR_RT {
    run(in, t, frames, out, [&](std::int64_t, int number) HWY_ATTR { return bias(number); });
  }

 private:
  // Two vectors of outputs go through the weights together; the last one alone where their number is odd.
  int place(int slot, int i, int k) const {
    const int pair = slot / (2 * lanes) * 2 * lanes, together = std::min(2 * lanes, width_ - pair);
    return pair * in_ * kernel_ + (k * in_ + i) * together + slot - pair;
  }

  template <int vectors, int together, class Start>
  HWY_INLINE void outputs(int number, Rows& in, std::int64_t t, int frames, Rows& out,
                          const Start& start) const noexcept TR_RT {
    int n = 0;
    for (; n + together <= frames; n += together) tile<vectors, together>(number, in, t + n, out, start);
    for (; n < frames; ++n) tile<vectors, 1>(number, in, t + n, out, start);
  }

  template <int vectors, int together, class Start>
  HWY_INLINE void tile(int number, Rows& in, std::int64_t t, Rows& out, const Start& start) const noexcept TR_RT {
    const D d;
    V sum[together][vectors];
    for (int f = 0; f < together; ++f) {
      for (int v = 0; v < vectors; ++v) sum[f][v] = start(t + f, number + v * lanes);
    }
    const float* w = weights_.data() + number * in_ * kernel_;
    for (int k = 0; k < kernel_; ++k) {
      const std::int64_t then = t - static_cast<std::int64_t>(kernel_ - 1 - k) * dilation_;
      const float* x[together];
      for (int f = 0; f < together; ++f) x[f] = in.row(then + f);
      for (int i = 0; i < in_; ++i) {
        V weight[vectors];
        for (int v = 0; v < vectors; ++v) weight[v] = hn::Load(d, w + v * lanes);
        w += vectors * lanes;
        for (int f = 0; f < together; ++f) {
          const V now = hn::Set(d, x[f][i]);
          for (int v = 0; v < vectors; ++v) sum[f][v] = hn::MulAdd(weight[v], now, sum[f][v]);
        }
      }
    }
    for (int f = 0; f < together; ++f) {
      for (int v = 0; v < vectors; ++v) hn::Store(sum[f][v], d, out.row(t + f) + number + v * lanes);
    }
  }

  int in_ = 1, kernel_ = 1, dilation_ = 1, width_ = lanes;
  Numbers weights_, bias_;
};

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

// Calls work with a function of a vector and of the number of its first channel, the one that is meant: the choice is
// made once and not for every vector.
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

// What a stream of one channel remembers.
struct State {
  std::vector<Rows> rows;
  std::vector<Numbers> numbers;
  std::int64_t t = 0;

  void copy(const State& other) noexcept TR_RT {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].copy(other.rows[i]);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i].copy(other.numbers[i]);
  }
  void state(StateArchive& archive) { archive(rows, numbers, t); }
};

class Chain {
 public:
  void prepare(const twinrack::neural::Chain& plan) {
    activations_ = plan.activations;
    convs_.clear();
    for (const auto& conv : plan.convs) {
      convs_.emplace_back();
      convs_.back().prepare(conv);
    }
    width_in_ = plan.convs.empty() ? 1 : plan.convs.front().in;
  }

  bool empty() const noexcept TR_RT { return convs_.empty(); }
  int memory() const noexcept {
    int sum = 0;
    for (const Conv& conv : convs_) sum += conv.memory();
    return sum;
  }
  // Rows that it needs: for its input, and after every convolution.
  std::size_t rows() const noexcept TR_RT { return convs_.size() + 1; }
  void make_rows(State& s) const {
    int width = width_in_;
    for (const Conv& conv : convs_) {
      s.rows.emplace_back();
      s.rows.back().prepare(width, conv.memory());
      width = conv.width();
    }
    s.rows.emplace_back();
    s.rows.back().prepare(width, 0);
  }

  // From the first of these rows to the last.
  void run(Rows* rows, std::int64_t t, int frames) const noexcept TR_RT {
    for (std::size_t i = 0; i < convs_.size(); ++i) {
      activate(activations_[i], rows[i], t, frames, 0, rows[i].stride());
      convs_[i].run(rows[i], t, frames, rows[i + 1]);
    }
    activate(activations_.back(), rows[convs_.size()], t, frames, 0, rows[convs_.size()].stride());
  }

 private:
  int width_in_ = 1;
  std::vector<Conv> convs_;
  std::vector<Activation> activations_;
};

class WaveNet {
 public:
  void prepare(const twinrack::neural::WaveNet& plan) {
    arrays_.clear();
    for (const auto& array : plan.arrays) {
      arrays_.emplace_back();
      Array& a = arrays_.back();
      a.widen.prepare(array.widen);
      a.head.prepare(array.head);
      a.head_in = array.head.in;
      for (const auto& layer : array.layers) {
        a.layers.emplace_back();
        Layer& l = a.layers.back();
        const int parts = layer.gating == Gating::none ? 1 : 2;
        l.plan = layer;
        l.conv.prepare(layer.conv, parts);
        l.mixer.prepare(layer.mixer, parts);
        if (layer.has_out) l.out.prepare(layer.out);
        if (layer.has_head) l.head.prepare(layer.head);
        l.middle = l.conv.width() / parts;
      }
    }
    scale_ = plan.head_scale;
    head_.prepare(plan.head);
  }

  int memory() const noexcept {
    int sum = head_.memory();
    for (const Array& a : arrays_) {
      sum += a.head.memory();
      for (const Layer& l : a.layers) sum += l.conv.memory();
    }
    return sum;
  }

  // The input; of each array: what goes into each layer and what comes out of the last, the sums of the layers, and
  // what the head makes of them; the middle of a layer; and what the last head needs.
  void make_rows(State& s) const {
    const auto add = [&](int width, int memory) {
      s.rows.emplace_back();
      s.rows.back().prepare(width, memory);
    };
    add(1, 0);
    int widest = 1;
    for (const Array& a : arrays_) {
      for (const Layer& l : a.layers) {
        add(a.widen.width(), l.conv.memory());
        widest = std::max(widest, l.conv.width());
      }
      add(a.widen.width(), 0);
      add(std::max(a.head_in, a.layers.front().middle), a.head.memory());
      add(a.head.width(), 0);
    }
    add(widest, 0);
    if (!head_.empty()) head_.make_rows(s);
  }

  void run(State& s, const float* x, float* y, int frames) const noexcept TR_RT {
    const D d;
    const std::int64_t t = s.t;
    Rows* rows = s.rows.data();
    Rows& input = rows[0];
    std::size_t used = 1;
    for (const Array& a : arrays_) used += a.layers.size() + 3;
    Rows &middle = rows[used], *ends = rows + used + 1;
    for (int n = 0; n < frames; ++n) input.row(t + n)[0] = x[n];
    Rows *into = &input, *so_far = nullptr, *at = rows + 1;
    for (const Array& a : arrays_) {
      Rows *layer_in = at, &sums = at[a.layers.size() + 1], &out = at[a.layers.size() + 2];
      at += a.layers.size() + 3;
      a.widen.run(*into, t, frames, *layer_in);
      for (int n = 0; n < frames; ++n) {
        float* sum = sums.row(t + n);
        if (so_far == nullptr) {
          std::memset(sum, 0, sizeof(float) * static_cast<std::size_t>(sums.stride()));
        } else {
          for (int i = 0; i < sums.stride(); i += lanes) {
            const bool there = i < so_far->stride();
            hn::Store(there ? hn::Load(d, so_far->row(t + n) + i) : hn::Zero(d), d, sum + i);
          }
        }
      }
      for (const Layer& l : a.layers) {
        const bool last = &a == &arrays_.back() && &l == &a.layers.back();
        layer(l, input, *layer_in, middle, sums, last ? nullptr : layer_in + 1, t, frames);
        ++layer_in;
      }
      a.head.run(sums, t, frames, out);
      so_far = &out;
      into = layer_in;
    }
    const V scale = hn::Set(d, scale_);
    if (head_.empty()) {
      for (int n = 0; n < frames; ++n) y[n] = scale_ * so_far->row(t + n)[0];
    } else {
      for (int n = 0; n < frames; ++n) {
        for (int i = 0; i < ends->stride(); i += lanes) {
          hn::Store(scale * hn::Load(d, so_far->row(t + n) + i), d, ends->row(t + n) + i);
        }
      }
      head_.run(ends, t, frames);
      for (int n = 0; n < frames; ++n) y[n] = ends[head_.rows() - 1].row(t + n)[0];
    }
  }

 private:
  struct Layer {
    twinrack::neural::WaveNetLayer plan;
    Conv conv, mixer, out, head;
    int middle = lanes;
  };
  struct Array {
    Conv widen, head;
    int head_in = 1;
    std::vector<Layer> layers;
  };

  // out = in + 1x1(gated(conv(in) + mixer(input))), and its middle or a 1x1 of it is added to the sums. Nobody hears
  // the last layer's out.
  void layer(const Layer& l, Rows& input, Rows& in, Rows& z, Rows& sums, Rows* out, std::int64_t t,
             int frames) const noexcept TR_RT {
    const D d;
    l.conv.run(in, t, frames, z, [&](std::int64_t when, int number) HWY_ATTR {
      return hn::MulAdd(l.mixer.weight(number), hn::Set(d, input.row(when)[0]), l.conv.bias(number));
    });
    gate(l, z, t, frames);
    if (l.plan.has_head) {
      l.head.run(z, t, frames, sums, [&](std::int64_t when, int number) HWY_ATTR {
        return hn::Load(d, sums.row(when) + number) + l.head.bias(number);
      });
    } else {
      add(z, sums, sums, l.middle, t, frames);
    }
    if (out == nullptr) return;
    if (l.plan.has_out) {
      l.out.run(z, t, frames, *out, [&](std::int64_t when, int number) HWY_ATTR {
        return hn::Load(d, in.row(when) + number) + l.out.bias(number);
      });
    } else {
      add(z, in, *out, l.middle, t, frames);
    }
  }

  static void add(Rows& a, Rows& b, Rows& sum, int width, std::int64_t t, int frames) noexcept TR_RT {
    const D d;
    for (int n = 0; n < frames; ++n) {
      for (int i = 0; i < width; i += lanes) {
        hn::Store(hn::Load(d, a.row(t + n) + i) + hn::Load(d, b.row(t + n) + i), d, sum.row(t + n) + i);
      }
    }
  }

  static void gate(const Layer& l, Rows& z, std::int64_t t, int frames) noexcept TR_RT {
    const D d;
    const int m = l.middle;
    if (l.plan.gating == Gating::none) return activate(l.plan.first, z, t, frames, 0, m);
    activate(l.plan.second, z, t, frames, m, m);
    if (l.plan.gating == Gating::multiply) {
      activate(l.plan.first, z, t, frames, 0, m);
      for (int n = 0; n < frames; ++n) {
        float* row = z.row(t + n);
        for (int i = 0; i < m; i += lanes) hn::Store(hn::Load(d, row + i) * hn::Load(d, row + m + i), d, row + i);
      }
      return;
    }
    const auto blend = [&](const auto& function) HWY_ATTR {
      for (int n = 0; n < frames; ++n) {
        float* row = z.row(t + n);
        for (int i = 0; i < m; i += lanes) {
          const V x = hn::Load(d, row + i), share = hn::Load(d, row + m + i);
          hn::Store(share * function(x, i) + (hn::Set(d, 1.0f) - share) * x, d, row + i);
        }
      }
    };
    if (l.plan.first.kind != Activation::identity) with_activation(l.plan.first, blend);
  }

  std::vector<Array> arrays_;
  Chain head_;
  float scale_ = 1;
};

// LSTM and GRU. The input and the state of a layer are one row; its gates stand in the lanes, each in whole vectors.
class Recurrent {
 public:
  void prepare(const twinrack::neural::Recurrent& plan) {
    gru_ = plan.gru;
    hidden_ = plan.hidden;
    wide_ = whole_vectors(hidden_);
    layers_.clear();
    for (std::size_t l = 0; l < plan.layers.size(); ++l) {
      layers_.emplace_back();
      layers_.back().prepare(plan.layers[l], gru_, l == 0 ? 1 : hidden_, hidden_);
    }
    head_.prepare(wide_);
    std::copy_n(plan.head_weight, hidden_, head_.data());
    head_bias_ = plan.head_bias;
  }

  // Of each layer: input and state side by side, its cell, and its gates.
  void make_rows(State& s) const {
    for (const Layer& l : layers_) {
      s.numbers.resize(s.numbers.size() + 3);
      Numbers* own = s.numbers.data() + s.numbers.size() - 3;
      own[0].prepare(whole_vectors(l.in + hidden_) + lanes);
      own[1].prepare(wide_);
      own[2].prepare(4 * wide_);
      std::copy_n(l.first_hidden.data(), hidden_, own[0].data() + l.in);
      std::copy_n(l.first_cell.data(), hidden_, own[1].data());
    }
  }

  void run(State& s, const float* x, float* y, int frames) const noexcept TR_RT {
    const D d;
    for (int n = 0; n < frames; ++n) {
      float* into = s.numbers[0].data();
      into[0] = x[n];
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& l = layers_[i];
        float *row = s.numbers[3 * i].data(), *cell = s.numbers[3 * i + 1].data(), *z = s.numbers[3 * i + 2].data();
        l.gates(row, z, 4 * wide_);
        float* hidden = gru_ ? cell : z;  // where the new state is written before it goes back into the row
        gru_ ? gru(z, cell) : lstm(z, cell);
        std::memcpy(row + l.in, hidden, sizeof(float) * static_cast<std::size_t>(hidden_));
        if (i + 1 < layers_.size()) {
          std::memcpy(s.numbers[3 * (i + 1)].data(), hidden, sizeof(float) * static_cast<std::size_t>(hidden_));
        } else {
          V sum = hn::Zero(d);
          for (int h = 0; h < wide_; h += lanes) {
            sum = hn::MulAdd(hn::Load(d, head_.data() + h), hn::Load(d, hidden + h), sum);
          }
          y[n] = hn::GetLane(hn::SumOfLanes(d, sum)) + head_bias_;
        }
      }
    }
  }

 private:
  struct Layer {
    int in = 1, rows = 1;
    Numbers weights, bias, first_hidden, first_cell;

    // Four gates in any case. A GRU's third and fourth are its new state from the input and from the state.
    void prepare(const twinrack::neural::RecurrentLayer& plan, bool gru, int inputs, int hidden) {
      in = inputs;
      rows = inputs + hidden;
      const int wide = whole_vectors(hidden), width = 4 * wide;
      weights.prepare(width * rows);
      bias.prepare(width);
      first_hidden.prepare(wide);
      first_cell.prepare(wide);
      for (int gate = 0; gate < 4; ++gate) {
        const int from = gru ? std::min(gate, 2) : gate;
        const bool inner = gru && gate == 3;
        for (int h = 0; h < hidden; ++h) {
          const int o = from * hidden + h, slot = gate * wide + h;
          bias.data()[slot] = inner ? plan.inner_bias[h] : plan.bias[o];
          for (int i = 0; i < rows; ++i) {
            const bool heard = !gru || gate < 2 || (i < in) == (gate == 2);
            weights.data()[place(slot, i, width)] = heard ? plan.weight[o * rows + i] : 0.0f;
          }
        }
      }
      std::copy_n(plan.hidden, hidden, first_hidden.data());
      // a GRU's own state stands where an LSTM has its cell
      std::copy_n(gru ? plan.hidden : plan.cell, hidden, first_cell.data());
    }

    // Up to eight vectors of gates go through the row together.
    int place(int slot, int i, int width) const {
      const int first = slot / (8 * lanes) * 8 * lanes, left = width - first;
      const int start = left >= 8 * lanes ? first : first + (slot - first) / (4 * lanes) * 4 * lanes;
      const int together = left >= 8 * lanes ? 8 * lanes : 4 * lanes;
      return start * rows + i * together + slot - start;
    }

    void gates(const float* row, float* z, int width) const noexcept TR_RT {
      int slot = 0;
      for (; slot + 8 * lanes <= width; slot += 8 * lanes) sums<8>(row, z, slot);
      for (; slot < width; slot += 4 * lanes) sums<4>(row, z, slot);
    }

    template <int vectors>
    HWY_INLINE void sums(const float* row, float* z, int slot) const noexcept TR_RT {
      const D d;
      V sum[vectors];
      for (int v = 0; v < vectors; ++v) sum[v] = hn::Load(d, bias.data() + slot + v * lanes);
      const float* w = weights.data() + slot * rows;
      for (int i = 0; i < rows; ++i, w += vectors * lanes) {
        const V now = hn::Set(d, row[i]);
        for (int v = 0; v < vectors; ++v) sum[v] = hn::MulAdd(hn::Load(d, w + v * lanes), now, sum[v]);
      }
      for (int v = 0; v < vectors; ++v) hn::Store(sum[v], d, z + slot + v * lanes);
    }
  };

  void lstm(float* z, float* cell) const noexcept TR_RT {
    const D d;
    for (int h = 0; h < wide_; h += lanes) {
      const V in = sigmoid_of(hn::Load(d, z + h)), forget = sigmoid_of(hn::Load(d, z + wide_ + h));
      const V fresh = tanh_of(hn::Load(d, z + 2 * wide_ + h)), out = sigmoid_of(hn::Load(d, z + 3 * wide_ + h));
      const V c = hn::MulAdd(forget, hn::Load(d, cell + h), in * fresh);
      hn::Store(c, d, cell + h);
      hn::Store(out * tanh_of(c), d, z + h);
    }
  }

  void gru(const float* z, float* state) const noexcept TR_RT {
    const D d;
    for (int h = 0; h < wide_; h += lanes) {
      const V reset = sigmoid_of(hn::Load(d, z + h)), keep = sigmoid_of(hn::Load(d, z + wide_ + h));
      const V fresh = tanh_of(hn::MulAdd(reset, hn::Load(d, z + 3 * wide_ + h), hn::Load(d, z + 2 * wide_ + h)));
      const V before = hn::Load(d, state + h);
      hn::Store(hn::MulAdd(keep, before - fresh, fresh), d, state + h);
    }
  }

  bool gru_ = false;
  int hidden_ = 1, wide_ = lanes;
  std::vector<Layer> layers_;
  Numbers head_;
  float head_bias_ = 0;
};

// One network, a stream of its own for each channel.
class Network {
 public:
  // May allocate. None (count 0) gives nothing but zeros.
  void prepare(const float* numbers, int count, int channels) {
    there_ = count > 0;
    states_.clear();
    memory_ = 0;
    answer_ = 0;
    if (!there_) return;
    const Plan plan = twinrack::neural::PlanReader(numbers, count).read();
    kind_ = plan.kind;
    if (kind_ == Plan::chain) {
      chain_.prepare(plan.convs);
      memory_ = chain_.memory();
    } else if (kind_ == Plan::wavenet) {
      wavenet_.prepare(plan.wave);
      memory_ = wavenet_.memory();
    } else {
      recurrent_.prepare(plan.recurrent);
    }
    rest_ = State{};
    make_rows(rest_);
    for (int c = 0; c < channels + 1; ++c) {  // the last one hears silence
      states_.emplace_back();
      make_rows(states_.back());
    }
    hear_silence();
    reset();
  }

  int memory() const noexcept TR_RT { return memory_; }  // frames back that it hears; a recurrent one has no number

  void reset() noexcept TR_RT {
    for (State& s : states_) s.copy(rest_);
    settled_ = memory_known();
    silent_frames_ = 0;
  }

  void process(int channel, const float* x, float* y, int frames) noexcept TR_RT {
    if (!there_) {
      std::fill_n(y, frames, 0.0f);
      return;
    }
    run(states_[static_cast<std::size_t>(channel)], x, y, frames);
  }

  // What it makes of silence, in the same frames: a number, once a recurrent network's state has settled.
  void hear_nothing(float* y, int frames) noexcept TR_RT {
    int n = 0;
    while (there_ && !settled_ && n < frames) {
      const int now = std::min({frames - n, chunk, span - silent_frames_ % span});
      const float nothing[chunk] = {};
      run(states_.back(), nothing, y + n, now);
      for (int i = n; i < n + now; ++i) change_ = std::max(change_, std::abs(y[i] - answer_));
      silent_frames_ = silent_frames_ > 1 << 20 ? span + (silent_frames_ + now) % span : silent_frames_ + now;
      n += now;
      if (silent_frames_ % span == 0) {
        settled_ = change_ < 1e-7f && silent_frames_ > span;
        answer_ = y[n - 1];
        change_ = 0.0f;
      }
    }
    std::fill(y + n, y + frames, answer_);
  }

  void state(StateArchive& archive) {
    archive(states_, settled_, answer_, change_);
    archive.bounded(silent_frames_, 0, 1 << 21);
  }

 private:
  static constexpr int span = 512;  // frames in which silence must change nothing

  bool memory_known() const noexcept TR_RT { return kind_ == Plan::chain || kind_ == Plan::wavenet; }
  void make_rows(State& s) const {
    if (kind_ == Plan::chain) {
      chain_.make_rows(s);
    } else if (kind_ == Plan::wavenet) {
      wavenet_.make_rows(s);
    } else {
      recurrent_.make_rows(s);
    }
  }

  void run(State& s, const float* x, float* y, int frames) noexcept TR_RT {
    for (int n = 0; n < frames; n += chunk) {
      const int now = std::min(chunk, frames - n);
      if (kind_ == Plan::chain) {
        for (int i = 0; i < now; ++i) s.rows[0].row(s.t + i)[0] = x[n + i];
        chain_.run(s.rows.data(), s.t, now);
        for (int i = 0; i < now; ++i) y[n + i] = s.rows.back().row(s.t + i)[0];
      } else if (kind_ == Plan::wavenet) {
        wavenet_.run(s, x + n, y + n, now);
      } else {
        recurrent_.run(s, x + n, y + n, now);
      }
      s.t += now;
    }
  }

  // Brings all rows of a convolutional network to what silence makes of them.
  void hear_silence() {
    int frames = rest_.rows.empty() ? 0 : memory_;
    for (const Rows& rows : rest_.rows) frames = std::max(frames, memory_ + rows.size());
    float x[chunk] = {}, y[chunk] = {};
    for (int n = 0; n < frames; n += chunk) run(rest_, x, y, chunk);
    answer_ = y[chunk - 1];
    rest_.t = 0;
  }

  bool there_ = false;
  Plan::Kind kind_ = Plan::chain;
  int memory_ = 0, silent_frames_ = 0;
  bool settled_ = true;
  float answer_ = 0, change_ = 0;
  Chain chain_;
  WaveNet wavenet_;
  Recurrent recurrent_;
  State rest_;
  std::vector<State> states_;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
