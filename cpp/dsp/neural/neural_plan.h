// The plan of a neural network, read from a row of numbers: how many of them describe it, the description, and the
// weights in the order of a .nam file. python/twinrack/resources/network.py writes the row (`Network.numbers`).
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace twinrack::neural {

struct Activation {
  // In the order of ACTIVATIONS in python/twinrack/resources/architectures.py.
  enum Kind : int {
    identity,
    tanh,
    sigmoid,
    relu,
    leaky_relu,
    hard_tanh,
    leaky_hard_tanh,
    silu,
    softsign,
    soft_sigmoid,
    hard_swish,
    fast_tanh,
    prelu,
    count
  };
  Kind kind = identity;
  float number[4] = {};       // slopes and limits
  std::vector<float> slopes;  // of prelu, one for each channel
};

// A causal convolution: weight (out, in, kernel), then bias (out) where there is one.
struct Conv {
  int in = 1, out = 1, kernel = 1, dilation = 1;
  const float* weight = nullptr;
  const float* bias = nullptr;
};

// Convolutions in series, with an activation before each and one after the last.
struct ConvStack {
  std::vector<Conv> convs;
  std::vector<Activation> activations;  // one more than convs
};

enum class Gating : int { none, multiply, blend };

struct WaveNetLayer {
  Conv conv, input_mixin, layer1x1, head1x1;
  bool has_layer1x1 = true, has_head1x1 = false;
  Activation first, second;
  Gating gating = Gating::none;
};

struct WaveNetArray {
  Conv rechannel, head;
  std::vector<WaveNetLayer> layers;
};

struct WaveNet {
  std::vector<WaveNetArray> arrays;
  float head_scale = 1;
  ConvStack head;  // may be empty
};

struct RecurrentLayer {
  const float* weight;      // (gates x hidden, in + hidden)
  const float* bias;        // (gates x hidden): LSTM input, forget, candidate, output; GRU reset, update, candidate
  const float* inner_bias;  // GRU only, (hidden): of the candidate, inside the reset
  const float* hidden;      // at the start
  const float* cell;        // LSTM only, at the start
};

struct Recurrent {
  bool gru = false;
  int hidden = 1;
  std::vector<RecurrentLayer> layers;
  const float* head_weight = nullptr;
  float head_bias = 0;
};

struct Plan {
  enum Kind : int { conv_stack, wavenet, lstm, gru, count };
  Kind kind = conv_stack;
  ConvStack stack;
  WaveNet wave;
  Recurrent recurrent;
};

class PlanReader {
 public:
  PlanReader(const float* numbers, int count) : at_(numbers), end_(numbers + count), weights_(numbers) {
    const int described = whole(1, count);
    weights_ = numbers + described;
    end_of_weights_ = end_;
    end_ = weights_;
  }

  Plan read() {
    Plan plan;
    plan.kind = static_cast<Plan::Kind>(whole(0, Plan::count - 1));
    switch (plan.kind) {
      case Plan::conv_stack:
        plan.stack = conv_stack(whole(1, most_layers));
        break;
      case Plan::wavenet:
        plan.wave = wavenet();
        break;
      default:
        plan.recurrent = recurrent(plan.kind == Plan::gru);
    }
    if (at_ != end_ || weights_ != end_of_weights_) throw std::invalid_argument("a network with numbers left over");
    return plan;
  }

 private:
  static constexpr std::size_t most_lanes = 64;
  static constexpr int most_layers = 1024, widest = 4096, longest = 1 << 20;

  float number() {
    if (at_ >= end_) throw std::invalid_argument("a network whose description ends early");
    return *at_++;
  }
  int whole(int least, int most) {
    const float value = number();
    if (!(value >= static_cast<float>(least) && value <= static_cast<float>(most)) || value != std::floor(value)) {
      throw std::invalid_argument("a network whose description is broken");
    }
    return static_cast<int>(value);
  }
  const float* take(long long count) {
    if (count > end_of_weights_ - weights_) throw std::invalid_argument("a network with too few weights");
    const float* first = weights_;
    weights_ += count;
    return first;
  }

  // For rows of so many channels.
  Activation activation(int channels) {
    Activation a;
    a.kind = static_cast<Activation::Kind>(whole(0, Activation::count - 1));
    for (float& n : a.number) n = number();
    if (a.kind != Activation::prelu) return a;
    if (a.number[0] != static_cast<float>(channels))
      throw std::invalid_argument("a PReLU has a slope for each channel");
    for (int i = 0; i < channels; ++i) a.slopes.push_back(number());
    a.slopes.resize(a.slopes.size() + most_lanes, 0.0f);  // so that whole vectors can be read
    return a;
  }
  // Its shape; the weights come with `fill`, in their own order.
  Conv conv(int in, int out) {
    Conv c{in, out, whole(1, longest), whole(1, longest), nullptr, nullptr};
    past_ += static_cast<long long>(c.kernel - 1) * c.dilation;
    if (past_ > longest) throw std::invalid_argument("a network that looks back too far");
    return c;
  }
  void fill(Conv& c, bool bias) {
    c.weight = take(static_cast<long long>(c.in) * c.out * c.kernel);
    c.bias = bias ? take(c.out) : nullptr;
  }

  ConvStack conv_stack(int count) {
    ConvStack stack;
    int in = count > 0 ? whole(1, widest) : 1;
    for (int i = 0; i < count; ++i) {
      stack.activations.push_back(activation(in));
      const int out = whole(1, widest);
      Conv c = conv(in, out);
      fill(c, whole(0, 1) == 1);
      stack.convs.push_back(c);
      in = out;
    }
    stack.activations.push_back(count > 0 ? activation(in) : Activation{});
    return stack;
  }

  WaveNet wavenet() {
    WaveNet net;
    const int arrays = whole(1, most_layers);
    int in = 1;
    for (int i = 0; i < arrays; ++i) {
      net.arrays.push_back(array(in));
      in = net.arrays.back().layers.front().conv.in;
    }
    const int head = whole(0, most_layers);
    if (head > 0) {
      net.head = conv_stack(head);
      if (net.head.convs.front().in != net.arrays.back().head.out) {
        throw std::invalid_argument("a network whose head does not fit its layers");
      }
    }
    net.head_scale = *take(1);
    return net;
  }

  WaveNetArray array(int in) {
    WaveNetArray array;
    const int channels = whole(1, widest), bottleneck = whole(1, widest);
    const int head_in = whole(0, widest), head_out = whole(1, widest);  // head_in 0: the bottleneck, without a head1x1
    const bool has_layer1x1 = whole(0, 1) == 1;
    array.rechannel = {in, channels, 1, 1, nullptr, nullptr};
    fill(array.rechannel, false);
    const int layers = whole(1, most_layers);
    for (int i = 0; i < layers; ++i) {
      WaveNetLayer layer;
      layer.gating = static_cast<Gating>(whole(0, 2));
      const int wide = layer.gating == Gating::none ? bottleneck : 2 * bottleneck;
      layer.conv = conv(channels, wide);
      layer.first = activation(bottleneck);
      layer.second = activation(bottleneck);
      layer.input_mixin = {1, wide, 1, 1, nullptr, nullptr};
      layer.layer1x1 = {bottleneck, channels, 1, 1, nullptr, nullptr};
      layer.head1x1 = {bottleneck, head_in, 1, 1, nullptr, nullptr};
      layer.has_layer1x1 = has_layer1x1;
      layer.has_head1x1 = head_in > 0;
      fill(layer.conv, true);
      fill(layer.input_mixin, false);
      if (layer.has_layer1x1) fill(layer.layer1x1, true);
      if (layer.has_head1x1) fill(layer.head1x1, true);
      array.layers.push_back(layer);
    }
    if (!has_layer1x1 && bottleneck != channels)
      throw std::invalid_argument("a network whose layers do not fit each other");
    array.head = conv(head_in > 0 ? head_in : bottleneck, head_out);
    fill(array.head, whole(0, 1) == 1);
    return array;
  }

  Recurrent recurrent(bool gru) {
    Recurrent plan;
    plan.gru = gru;
    plan.hidden = whole(1, widest);
    const int layers = whole(1, most_layers), gates = gru ? 3 : 4;
    const long long h = plan.hidden;
    for (int i = 0; i < layers; ++i) {
      RecurrentLayer layer{};
      layer.weight = take(gates * h * ((i == 0 ? 1 : h) + h));
      layer.bias = take(gates * h);
      if (gru) layer.inner_bias = take(h);
      layer.hidden = take(h);
      if (!gru) layer.cell = take(h);
      plan.layers.push_back(layer);
    }
    plan.head_weight = take(h);
    plan.head_bias = *take(1);
    return plan;
  }

  long long past_ = 0;  // frames that all convolutions together look back
  const float *at_, *end_, *weights_, *end_of_weights_ = nullptr;
};

}  // namespace twinrack::neural
