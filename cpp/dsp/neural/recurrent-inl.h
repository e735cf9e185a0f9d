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
  // Sixteen units at once where the processor has such vectors: each has a lane of its own, so the result is the same.
  static constexpr int most_units = 16;
  using UnitTag = hn::CappedTag<float, most_units>;
  using Units = hn::Vec<UnitTag>;
  static constexpr int units_at_once = static_cast<int>(hn::MaxLanes(UnitTag()));

 public:
  void prepare(const twinrack::neural::Recurrent& plan) {
    gru_ = plan.gru;
    hidden_ = plan.hidden;
    wide_ = whole_vectors(hidden_, units_at_once);
    layers_.clear();
    for (std::size_t l = 0; l < plan.layers.size(); ++l) {
      layers_.emplace_back();
      layers_.back().prepare(plan.layers[l], gru_, l == 0 ? 1 : hidden_, hidden_);
    }
    head_.prepare(wide_);
    std::copy_n(plan.head_weight, hidden_, head_.data());
    head_bias_ = plan.head_bias;
  }

  // For each layer: the row of its input and state, its cell, and the next frame's row.
  void make_rows(StreamState& s) const {
    for (const Layer& l : layers_) {
      s.numbers.resize(s.numbers.size() + 3);
      AlignedFloats* own = s.numbers.data() + s.numbers.size() - 3;
      const int row = whole_vectors(l.in + hidden_, most_units) + most_units;  // the same in every instruction set
      own[0].prepare(row);
      own[1].prepare(whole_vectors(hidden_, most_units));
      own[2].prepare(row);
      std::copy_n(l.first_hidden.data(), hidden_, own[0].data() + l.in);
      std::copy_n(l.first_cell.data(), hidden_, own[1].data());
    }
  }

  void run(StreamState& s, const float* x, float* y, int frames) const noexcept TR_RT {
    gru_ ? run_cells<true>(s, x, y, frames) : run_cells<false>(s, x, y, frames);
  }

 private:
  struct Layer {
    int in = 1, rows = 1, wide = units_at_once;
    AlignedFloats weights, bias, first_hidden, first_cell;

    // Always four gates. A GRU's third and fourth are its candidate's sums over the input and over the state.
    void prepare(const twinrack::neural::RecurrentLayer& plan, bool gru, int inputs, int hidden) {
      in = inputs;
      rows = inputs + hidden;
      wide = whole_vectors(hidden, units_at_once);
      weights.prepare(4 * wide * rows);
      bias.prepare(4 * wide);
      first_hidden.prepare(wide);
      first_cell.prepare(wide);
      for (int gate = 0; gate < 4; ++gate) {
        const int from = gru ? std::min(gate, 2) : gate;
        const bool inner = gru && gate == 3;
        for (int h = 0; h < hidden; ++h) {
          const int o = from * hidden + h;
          const int pairs = wide / (2 * units_at_once) * 2 * units_at_once;
          const int units = h < pairs ? 2 * units_at_once : units_at_once, first = h / units * units;
          const int slot = gate * units + h - first;  // among the gates of the units that are computed together
          bias.data()[4 * first + slot] = inner ? plan.inner_bias[h] : plan.bias[o];
          for (int i = 0; i < rows; ++i) {
            const bool connected = !gru || gate < 2 || (i < in) == (gate == 2);
            weights.data()[4 * (first * rows + i * units) + slot] = connected ? plan.weight[o * rows + i] : 0.0f;
          }
        }
      }
      std::copy_n(plan.hidden, hidden, first_hidden.data());
      // A GRU's own state stands where an LSTM has its cell.
      std::copy_n(gru ? plan.hidden : plan.cell, hidden, first_cell.data());
    }

    // One frame. Two vectors of units at a time get all their gates, so that their activations, which take long but
    // fill no unit of the processor, run beside the sums of the next ones.
    template <bool is_gru>
    HWY_INLINE void step(const float* row, float* cell, float* next) const noexcept TR_RT {
      int h = 0;
      for (; h + 2 * units_at_once <= wide; h += 2 * units_at_once) units<is_gru, 2>(row, cell, next, h);
      if (h < wide) units<is_gru, 1>(row, cell, next, h);
    }

    template <bool is_gru, int vectors>
    HWY_INLINE void units(const float* row, float* cell, float* next, int h) const noexcept TR_RT {
      const UnitTag d;
      Units sum[4 * vectors];
      for (int v = 0; v < 4 * vectors; ++v) sum[v] = hn::Load(d, bias.data() + 4 * h + v * units_at_once);
      const float* w = weights.data() + 4 * h * rows;
      for (int i = 0; i < rows; ++i, w += 4 * vectors * units_at_once) {
        const Units now = hn::Set(d, row[i]);
        for (int v = 0; v < 4 * vectors; ++v) sum[v] = hn::MulAdd(hn::Load(d, w + v * units_at_once), now, sum[v]);
      }
      for (int v = 0; v < vectors; ++v, h += units_at_once) {
        const Units a = sum[v], b = sum[vectors + v], c = sum[2 * vectors + v], e = sum[3 * vectors + v];
        const Units before = hn::Load(d, cell + h);
        const Units after = is_gru ? gru(a, b, c, e, before) : lstm_cell(a, b, c, before);
        hn::Store(after, d, cell + h);
        hn::StoreU(is_gru ? after : sigmoid_by_tanh(e, after), d, next + h);
      }
    }

    static HWY_INLINE Units lstm_cell(Units in, Units forget, Units candidate, Units before) noexcept TR_RT {
      return hn::MulAdd(sigmoid_of(forget), before, sigmoid_by_tanh(in, candidate));
    }
    static HWY_INLINE Units gru(Units reset, Units update, Units from_input, Units from_state,
                                Units before) noexcept TR_RT {
      const Units candidate = tanh_of(hn::MulAdd(sigmoid_of(reset), from_state, from_input));
      return hn::MulAdd(sigmoid_of(update), before - candidate, candidate);
    }
  };

  template <bool is_gru>
  void run_cells(StreamState& s, const float* x, float* y, int frames) const noexcept TR_RT {
    const Tag<float> d;  // at most eight lanes, so that AVX2 and AVX-512 add in the same order
    const std::size_t state = sizeof(float) * static_cast<std::size_t>(hidden_);
    for (int n = 0; n < frames; ++n) {
      const std::size_t now = n % 2 == 0 ? 0 : 2, after = 2 - now;  // which row is read, and which is written
      s.numbers[now].data()[0] = x[n];
      const float* hidden = nullptr;
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& l = layers_[i];
        float* next = s.numbers[3 * i + after].data() + l.in;
        l.template step<is_gru>(s.numbers[3 * i + now].data(), s.numbers[3 * i + 1].data(), next);
        if (i + 1 < layers_.size()) std::memcpy(s.numbers[3 * (i + 1) + now].data(), next, state);
        hidden = next;
      }
      Vec<float> sum = hn::Zero(d);
      for (int h = 0; h < wide_; h += lane_count<float>) {
        sum = hn::MulAdd(hn::Load(d, head_.data() + h), hn::LoadU(d, hidden + h), sum);
      }
      y[n] = hn::GetLane(hn::SumOfLanes(d, sum)) + head_bias_;
    }
    if (frames % 2 == 0) return;
    for (std::size_t i = 0; i < layers_.size(); ++i) s.numbers[3 * i].copy(s.numbers[3 * i + 2]);
  }

  bool gru_ = false;
  int hidden_ = 1, wide_ = units_at_once;
  std::vector<Layer> layers_;
  AlignedFloats head_;
  float head_bias_ = 0;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
