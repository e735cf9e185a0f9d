// LSTM and GRU layers (S. Hochreiter, J. Schmidhuber 1997; K. Cho et al. 2014). A layer's input and state are one row;
// its gates stand in the lanes, each in whole vectors.
#if defined(TWINRACK_DSP_NEURAL_RECURRENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_RECURRENT_INL_H_
#undef TWINRACK_DSP_NEURAL_RECURRENT_INL_H_
#else
#define TWINRACK_DSP_NEURAL_RECURRENT_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <vector>

#include "dsp/neural/neural_plan.h"
#include "dsp/neural/rows-inl.h"
#include "dsp/shaping/shapes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

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

  // For each layer: the row of its input and state, its cell, and its gates.
  void make_rows(StreamState& s) const {
    for (const Layer& l : layers_) {
      s.numbers.resize(s.numbers.size() + 3);
      AlignedFloats* own = s.numbers.data() + s.numbers.size() - 3;
      own[0].prepare(whole_vectors(l.in + hidden_) + lanes);
      own[1].prepare(wide_);
      own[2].prepare(4 * wide_);
      std::copy_n(l.first_hidden.data(), hidden_, own[0].data() + l.in);
      std::copy_n(l.first_cell.data(), hidden_, own[1].data());
    }
  }

  void run(StreamState& s, const float* x, float* y, int frames) const noexcept TR_RT {
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
    AlignedFloats weights, bias, first_hidden, first_cell;

    // Always four gates. A GRU's third and fourth are its candidate's sums over the input and over the state.
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
            const bool connected = !gru || gate < 2 || (i < in) == (gate == 2);
            weights.data()[place(slot, i, width)] = connected ? plan.weight[o * rows + i] : 0.0f;
          }
        }
      }
      std::copy_n(plan.hidden, hidden, first_hidden.data());
      // A GRU's own state stands where an LSTM has its cell.
      std::copy_n(gru ? plan.hidden : plan.cell, hidden, first_cell.data());
    }

    // Where a weight stands. Up to eight vectors of gates share a pass through the row.
    int place(int slot, int i, int width) const {
      const int first = slot / (8 * lanes) * 8 * lanes, left = width - first;
      const int start = left >= 8 * lanes ? first : first + (slot - first) / (4 * lanes) * 4 * lanes;
      const int width_at_once = left >= 8 * lanes ? 8 * lanes : 4 * lanes;
      return start * rows + i * width_at_once + slot - start;
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
      const V candidate = tanh_of(hn::Load(d, z + 2 * wide_ + h)), out = sigmoid_of(hn::Load(d, z + 3 * wide_ + h));
      const V c = hn::MulAdd(forget, hn::Load(d, cell + h), in * candidate);
      hn::Store(c, d, cell + h);
      hn::Store(out * tanh_of(c), d, z + h);
    }
  }

  void gru(const float* z, float* state) const noexcept TR_RT {
    const D d;
    for (int h = 0; h < wide_; h += lanes) {
      const V reset = sigmoid_of(hn::Load(d, z + h)), update = sigmoid_of(hn::Load(d, z + wide_ + h));
      const V candidate = tanh_of(hn::MulAdd(reset, hn::Load(d, z + 3 * wide_ + h), hn::Load(d, z + 2 * wide_ + h)));
      const V before = hn::Load(d, state + h);
      hn::Store(hn::MulAdd(update, before - candidate, candidate), d, state + h);
    }
  }

  bool gru_ = false;
  int hidden_ = 1, wide_ = lanes;
  std::vector<Layer> layers_;
  AlignedFloats head_;
  float head_bias_ = 0;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
