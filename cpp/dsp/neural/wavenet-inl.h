// A WaveNet: arrays of dilated layers (E.-P. Damskägg et al., Deep learning for tube amplifier emulation, ICASSP 2019).
// The names are those of S. Atkinson's Neural Amp Modeler.
#if defined(TWINRACK_DSP_NEURAL_WAVENET_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_WAVENET_INL_H_
#undef TWINRACK_DSP_NEURAL_WAVENET_INL_H_
#else
#define TWINRACK_DSP_NEURAL_WAVENET_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dsp/neural/conv_stack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

using twinrack::neural::Gating;

class WaveNet {
 public:
  void prepare(const twinrack::neural::WaveNet& plan) {
    arrays_.clear();
    for (const auto& array : plan.arrays) {
      arrays_.emplace_back();
      Array& a = arrays_.back();
      a.rechannel.prepare(array.rechannel);
      a.head.prepare(array.head);
      a.head_in = array.head.in;
      for (const auto& layer : array.layers) {
        a.layers.emplace_back();
        Layer& l = a.layers.back();
        const int parts = layer.gating == Gating::none ? 1 : 2;
        l.plan = layer;
        l.conv.prepare(layer.conv, parts);
        l.input_mixin.prepare(layer.input_mixin, parts);
        if (layer.has_layer1x1) l.layer1x1.prepare(layer.layer1x1);
        if (layer.has_head1x1) l.head1x1.prepare(layer.head1x1);
        l.bottleneck = l.conv.width() / parts;
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

  // The signals: the network's input; for each array the input of each layer, the output of the last one, the sum over
  // the layers and the head's output; a layer's bottleneck; and those of the network's head.
  void make_rows(StreamState& s) const {
    const auto add = [&](int width, int memory) {
      s.rows.emplace_back();
      s.rows.back().prepare(width, memory);
    };
    add(1, 0);
    int widest = 1;
    for (const Array& a : arrays_) {
      for (const Layer& l : a.layers) {
        add(a.rechannel.width(), l.conv.memory());
        widest = std::max(widest, l.conv.width());
      }
      add(a.rechannel.width(), 0);
      add(std::max(a.head_in, a.layers.front().bottleneck), a.head.memory());
      add(a.head.width(), 0);
    }
    add(widest, 0);
    if (!head_.empty()) head_.make_rows(s);
  }

  void run(StreamState& s, const float* x, float* y, int frames) const noexcept TR_RT {
    const D d;
    const std::int64_t t = s.t;
    Rows* rows = s.rows.data();
    Rows& input = rows[0];
    std::size_t used = 1;
    for (const Array& a : arrays_) used += a.layers.size() + 3;
    Rows &bottleneck = rows[used], *head_rows = rows + used + 1;
    for (int n = 0; n < frames; ++n) input.row(t + n)[0] = x[n];
    Rows *array_in = &input, *head_out = nullptr, *at = rows + 1;
    for (const Array& a : arrays_) {
      Rows *layer_in = at, &sums = at[a.layers.size() + 1], &out = at[a.layers.size() + 2];
      at += a.layers.size() + 3;
      a.rechannel.run(*array_in, t, frames, *layer_in);
      for (int n = 0; n < frames; ++n) {
        float* sum = sums.row(t + n);
        if (head_out == nullptr) {
          std::memset(sum, 0, sizeof(float) * static_cast<std::size_t>(sums.stride()));
        } else {
          for (int i = 0; i < sums.stride(); i += lanes) {
            const bool inside = i < head_out->stride();
            hn::Store(inside ? hn::Load(d, head_out->row(t + n) + i) : hn::Zero(d), d, sum + i);
          }
        }
      }
      for (const Layer& l : a.layers) {
        const bool last = &a == &arrays_.back() && &l == &a.layers.back();
        layer(l, input, *layer_in, bottleneck, sums, last ? nullptr : layer_in + 1, t, frames);
        ++layer_in;
      }
      a.head.run(sums, t, frames, out);
      head_out = &out;
      array_in = layer_in;
    }
    const V scale = hn::Set(d, scale_);
    if (head_.empty()) {
      for (int n = 0; n < frames; ++n) y[n] = scale_ * head_out->row(t + n)[0];
    } else {
      for (int n = 0; n < frames; ++n) {
        for (int i = 0; i < head_rows->stride(); i += lanes) {
          hn::Store(scale * hn::Load(d, head_out->row(t + n) + i), d, head_rows->row(t + n) + i);
        }
      }
      head_.run(head_rows, t, frames);
      for (int n = 0; n < frames; ++n) y[n] = head_rows[head_.rows() - 1].row(t + n)[0];
    }
  }

 private:
  struct Layer {
    twinrack::neural::WaveNetLayer plan;
    Conv conv, input_mixin, layer1x1, head1x1;
    int bottleneck = lanes;
  };
  struct Array {
    Conv rechannel, head;
    int head_in = 1;
    std::vector<Layer> layers;
  };

  // z = gated(conv(in) + input_mixin(input)) is the bottleneck; out = in + layer1x1(z), and z or head1x1(z) is added to
  // the sums. The last layer's `out` is null, since nothing uses it.
  void layer(const Layer& l, Rows& input, Rows& in, Rows& z, Rows& sums, Rows* out, std::int64_t t,
             int frames) const noexcept TR_RT {
    const D d;
    l.conv.run(in, t, frames, z, [&](std::int64_t when, int number) HWY_ATTR {
      return hn::MulAdd(l.input_mixin.weight(number), hn::Set(d, input.row(when)[0]), l.conv.bias(number));
    });
    gate(l, z, t, frames);
    if (l.plan.has_head1x1) {
      l.head1x1.run(z, t, frames, sums, [&](std::int64_t when, int number) HWY_ATTR {
        return hn::Load(d, sums.row(when) + number) + l.head1x1.bias(number);
      });
    } else {
      add(z, sums, sums, l.bottleneck, t, frames);
    }
    if (out == nullptr) return;
    if (l.plan.has_layer1x1) {
      l.layer1x1.run(z, t, frames, *out, [&](std::int64_t when, int number) HWY_ATTR {
        return hn::Load(d, in.row(when) + number) + l.layer1x1.bias(number);
      });
    } else {
      add(z, in, *out, l.bottleneck, t, frames);
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
    const int m = l.bottleneck;
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
          const V x = hn::Load(d, row + i), mix = hn::Load(d, row + m + i);
          hn::Store(mix * function(x, i) + (hn::Set(d, 1.0f) - mix) * x, d, row + i);
        }
      }
    };
    if (l.plan.first.kind != Activation::identity) with_activation(l.plan.first, blend);
  }

  std::vector<Array> arrays_;
  ConvStack head_;
  float scale_ = 1;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
