// What a neural network consists of, read from the numbers that an effect is given. python/twinrack/architectures.py
// writes them (`Network.numbers`): how many describe it, the description, and then the weights in the order of a .nam
// file.
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace twinrack::neural {

struct Activation {
  // In the order of architectures.py's ACTIVATIONS.
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

// One after the other, an activation before each and one after the last.
struct Chain {
  std::vector<Conv> convs;
  std::vector<Activation> activations;  // one more than convs
};

enum class Gating : int { none, multiply, blend };

struct WaveNetLayer {
  Conv conv, mixer, out, head;
  bool has_out = true, has_head = false;
  Activation first, second;
  Gating gating = Gating::none;
};

struct WaveNetArray {
  Conv widen, head;
  std::vector<WaveNetLayer> layers;
};

struct WaveNet {
  std::vector<WaveNetArray> arrays;
  float head_scale = 1;
  Chain head;  // may be empty
};

struct RecurrentLayer {
  const float* weight;      // (gates x hidden, in + hidden)
  const float* bias;        // (gates x hidden): LSTM input, forget, cell, output; GRU reset, update, new
  const float* inner_bias;  // GRU only, (hidden): inside the reset
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
  enum Kind : int { chain, wavenet, lstm, gru, count };
  Kind kind = chain;
  Chain convs;
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
      case Plan::chain:
        plan.convs = chain(whole(1, most_layers));
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
    const float* found = weights_;
    weights_ += count;
    return found;
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

  Chain chain(int count) {
    Chain found;
    int in = count > 0 ? whole(1, widest) : 1;
    for (int i = 0; i < count; ++i) {
      found.activations.push_back(activation(in));
      const int out = whole(1, widest);
      Conv c = conv(in, out);
      fill(c, whole(0, 1) == 1);
      found.convs.push_back(c);
      in = out;
    }
    found.activations.push_back(count > 0 ? activation(in) : Activation{});
    return found;
  }

  WaveNet wavenet() {
    WaveNet found;
    const int arrays = whole(1, most_layers);
    int in = 1;
    for (int i = 0; i < arrays; ++i) {
      found.arrays.push_back(array(in));
      in = found.arrays.back().layers.front().conv.in;
    }
    const int head = whole(0, most_layers);
    if (head > 0) {
      found.head = chain(head);
      if (found.head.convs.front().in != found.arrays.back().head.out) {
        throw std::invalid_argument("a network whose head does not fit its layers");
      }
    }
    found.head_scale = *take(1);
    return found;
  }

  WaveNetArray array(int in) {
    WaveNetArray found;
    const int channels = whole(1, widest), middle = whole(1, widest);
    const int head_in = whole(0, widest),
              head_out = whole(1, widest);  // head_in 0: `middle`, without a conv of its own
    const bool has_out = whole(0, 1) == 1;
    found.widen = {in, channels, 1, 1, nullptr, nullptr};
    fill(found.widen, false);
    const int layers = whole(1, most_layers);
    for (int i = 0; i < layers; ++i) {
      WaveNetLayer layer;
      layer.gating = static_cast<Gating>(whole(0, 2));
      const int wide = layer.gating == Gating::none ? middle : 2 * middle;
      layer.conv = conv(channels, wide);
      layer.first = activation(middle);
      layer.second = activation(middle);
      layer.mixer = {1, wide, 1, 1, nullptr, nullptr};
      layer.out = {middle, channels, 1, 1, nullptr, nullptr};
      layer.head = {middle, head_in, 1, 1, nullptr, nullptr};
      layer.has_out = has_out;
      layer.has_head = head_in > 0;
      fill(layer.conv, true);
      fill(layer.mixer, false);
      if (layer.has_out) fill(layer.out, true);
      if (layer.has_head) fill(layer.head, true);
      found.layers.push_back(layer);
    }
    if (!has_out && middle != channels) throw std::invalid_argument("a network whose layers do not fit each other");
    found.head = conv(head_in > 0 ? head_in : middle, head_out);
    fill(found.head, whole(0, 1) == 1);
    return found;
  }

  Recurrent recurrent(bool gru) {
    Recurrent found;
    found.gru = gru;
    found.hidden = whole(1, widest);
    const int layers = whole(1, most_layers), gates = gru ? 3 : 4;
    const long long h = found.hidden;
    for (int i = 0; i < layers; ++i) {
      RecurrentLayer layer{};
      layer.weight = take(gates * h * ((i == 0 ? 1 : h) + h));
      layer.bias = take(gates * h);
      if (gru) layer.inner_bias = take(h);
      layer.hidden = take(h);
      if (!gru) layer.cell = take(h);
      found.layers.push_back(layer);
    }
    found.head_weight = take(h);
    found.head_bias = *take(1);
    return found;
  }

  long long past_ = 0;  // frames that all convolutions together look back
  const float *at_, *end_, *weights_, *end_of_weights_ = nullptr;
};

}  // namespace twinrack::neural
