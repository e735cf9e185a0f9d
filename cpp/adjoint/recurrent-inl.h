// The sweeps of one layer of LSTM or GRU: streams in the lanes, so every weight is read once for all of them.
//
// Forwards the states are kept at the beginning of every tick; backwards each tick is computed again from there,
// and the gradient of the weights is summed over its frames in registers, weights by weights. Each tile of streams has
// sums of its own, which are added in order at the end: the result does not depend on the number of threads.
#if defined(TWINRACK_ADJOINT_RECURRENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_ADJOINT_RECURRENT_INL_H_
#undef TWINRACK_ADJOINT_RECURRENT_INL_H_
#else
#define TWINRACK_ADJOINT_RECURRENT_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "adjoint/parallel_for.h"
#include "adjoint/recurrent.h"
#include "adjoint/sweep.h"
#include "adjoint/tile-inl.h"
#include "dsp/shaping/shapes-inl.h"
#include "hwy/aligned_allocator.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace sweeps {

using adjoint::RecurrentLayer;

template <class V>
HWY_INLINE V exact_tanh(V x) noexcept {
  if constexpr (is_double<V>) {
    return one_by_one(x, [](double v) { return std::tanh(v); });
  } else {
    return tanh_of(x);
  }
}

// Vectors in a row of memory.
template <class T>
class Vectors {
 public:
  using V = Vec<T>;
  explicit Vectors(std::size_t count)
      : data_(hwy::AllocateAligned<T>(count * static_cast<std::size_t>(adjoint_tile::lanes<T>))), count_(count) {
    for (std::size_t i = 0; i < count; ++i) set(i, hn::Zero(Tag<T>()));
  }
  V get(std::size_t i) const noexcept { return hn::Load(Tag<T>(), at(i)); }
  void set(std::size_t i, V v) noexcept { hn::Store(v, Tag<T>(), at(i)); }
  T* at(std::size_t i) const noexcept { return data_.get() + i * static_cast<std::size_t>(adjoint_tile::lanes<T>); }
  std::size_t size() const noexcept { return count_; }

 private:
  hwy::AlignedFreeUniquePtr<T[]> data_;
  std::size_t count_;
};

// One tile of streams on its way through a layer.
template <class T>
class RecurrentTile {
 public:
  using V = Vec<T>;
  static constexpr int lanes = adjoint_tile::lanes<T>;

  RecurrentTile(const RecurrentLayer<T>& layer, int tile)
      : layer_(layer),
        first_(tile * lanes),
        in_(static_cast<std::size_t>(layer.inputs)),
        hidden_(static_cast<std::size_t>(layer.hidden)),
        gates_(layer.gru ? 3 : 4),
        x_(tick_frames * in_),
        h_((tick_frames + 1) * hidden_),
        c_((tick_frames + 1) * hidden_),
        activations_(tick_frames * (gates_ + 1) * hidden_) {}

  void set_first_state() {
    for (std::size_t j = 0; j < hidden_; ++j) {
      h_.set(j, Broadcast<V>::of(layer_.first_hidden[j]));
      if (!layer_.gru) c_.set(j, Broadcast<V>::of(layer_.first_cell[j]));
    }
  }
  void save(T* states) const {
    for (std::size_t j = 0; j < hidden_; ++j) {
      hn::StoreU(h_.get(j), Tag<T>(), states + 2 * j * lanes);
      hn::StoreU(c_.get(j), Tag<T>(), states + (2 * j + 1) * lanes);
    }
  }
  void restore(const T* states) {
    for (std::size_t j = 0; j < hidden_; ++j) {
      h_.set(j, hn::LoadU(Tag<T>(), states + 2 * j * lanes));
      c_.set(j, hn::LoadU(Tag<T>(), states + (2 * j + 1) * lanes));
    }
  }

  // (streams, frames, width) from and to vectors frame by frame; lanes without a stream are 0.
  void load(const T* from, int start, int frames, std::size_t width, Vectors<T>& to) const {
    for (int lane = 0; lane < lanes; ++lane) {
      const bool real = first_ + lane < layer_.streams;
      for (std::size_t i = 0; i < static_cast<std::size_t>(frames) * width; ++i) {
        to.at(i)[lane] = real ? row(from, lane, start, width)[i] : T(0);
      }
    }
  }
  void store(const Vectors<T>& from, std::size_t offset, T* to, int start, int frames, std::size_t width) const {
    for (int lane = 0; lane < lanes && first_ + lane < layer_.streams; ++lane) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(frames) * width; ++i) {
        row(to, lane, start, width)[i] = from.at(offset + i)[lane];
      }
    }
  }

  // A tick, from the state at its beginning, with everything kept.
  void forward(const T* x, int start, int frames) {
    load(x, start, frames, in_, x_);
    for (std::size_t n = 0; n < static_cast<std::size_t>(frames); ++n) layer_.gru ? gru(n) : lstm(n);
  }
  void store_hidden(T* y, int start, int frames) const { store(h_, hidden_, y, start, frames, hidden_); }
  // The last state becomes the first of the next tick.
  void next_tick(int frames) {
    const std::size_t last = static_cast<std::size_t>(frames) * hidden_;
    for (std::size_t j = 0; j < hidden_; ++j) {
      h_.set(j, h_.get(last + j));
      c_.set(j, c_.get(last + j));
    }
  }

  const RecurrentLayer<T>& layer() const { return layer_; }

 private:
  template <class U>
  friend class RecurrentBack;

  template <class P>
  P* row(P* all, int lane, int start, std::size_t width) const {
    return all + (static_cast<std::size_t>(first_ + lane) * static_cast<std::size_t>(layer_.frames) +
                  static_cast<std::size_t>(start)) *
                     width;
  }

  // `sum` plus the product of row r of the weights with the input, or with the state.
  V from_input(std::size_t r, std::size_t n, V sum) const {
    const T* w = layer_.weight + r * (in_ + hidden_);
    for (std::size_t i = 0; i < in_; ++i) sum = MulAdd(Broadcast<V>::of(w[i]), x_.get(n * in_ + i), sum);
    return sum;
  }
  // Four rows at once: each state is read once for them.
  void from_state(std::size_t r, std::size_t n, V* sums) const {
    const T* w = layer_.weight + r * (in_ + hidden_) + in_;
    const std::size_t next = in_ + hidden_;
    for (std::size_t k = 0; k < hidden_; ++k) {
      const V h = h_.get(n * hidden_ + k);
      for (std::size_t i = 0; i < 4; ++i) sums[i] = MulAdd(Broadcast<V>::of(w[i * next + k]), h, sums[i]);
    }
  }
  V from_state(std::size_t r, std::size_t n, V sum) const {
    const T* w = layer_.weight + r * (in_ + hidden_) + in_;
    for (std::size_t k = 0; k < hidden_; ++k) sum = MulAdd(Broadcast<V>::of(w[k]), h_.get(n * hidden_ + k), sum);
    return sum;
  }
  // All rows of some gates, into z.
  void rows(std::size_t first, std::size_t last, std::size_t n, bool input, const T* bias, Vectors<T>& z,
            std::size_t to) const {
    std::size_t r = first;
    for (; r + 4 <= last; r += 4) {
      V sums[4];
      for (std::size_t i = 0; i < 4; ++i) {
        sums[i] = Broadcast<V>::of(bias[r + i - first]);
        if (input) sums[i] = from_input(r + i, n, sums[i]);
      }
      from_state(r, n, sums);
      for (std::size_t i = 0; i < 4; ++i) z.set(to + r + i - first, sums[i]);
    }
    for (; r < last; ++r) {
      V sum = Broadcast<V>::of(bias[r - first]);
      if (input) sum = from_input(r, n, sum);
      z.set(to + r - first, from_state(r, n, sum));
    }
  }

  std::size_t place(std::size_t n, std::size_t gate) const { return (n * (gates_ + 1) + gate) * hidden_; }

  // Keeps input gate, forget gate, candidate, output gate, and tanh of the cell.
  void lstm(std::size_t n) {
    rows(0, 4 * hidden_, n, true, layer_.bias, activations_, place(n, 0));
    for (std::size_t j = 0; j < hidden_; ++j) {
      const V i = sigmoid_of(activations_.get(place(n, 0) + j)), f = sigmoid_of(activations_.get(place(n, 1) + j));
      const V g = exact_tanh(activations_.get(place(n, 2) + j)), o = sigmoid_of(activations_.get(place(n, 3) + j));
      const V c = MulAdd(f, c_.get(n * hidden_ + j), i * g), t = exact_tanh(c);
      const V all[5] = {i, f, g, o, t};
      for (std::size_t gate = 0; gate < 5; ++gate) activations_.set(place(n, gate) + j, all[gate]);
      c_.set((n + 1) * hidden_ + j, c);
      h_.set((n + 1) * hidden_ + j, o * t);
    }
  }

  // Keeps reset, update, candidate, and what the state gives the candidate.
  void gru(std::size_t n) {
    rows(0, 2 * hidden_, n, true, layer_.bias, activations_, place(n, 0));
    rows(2 * hidden_, 3 * hidden_, n, false, layer_.inner_bias, activations_, place(n, 3));
    for (std::size_t j = 0; j < hidden_; ++j) {
      const V r = sigmoid_of(activations_.get(place(n, 0) + j)), u = sigmoid_of(activations_.get(place(n, 1) + j));
      const V own = from_input(2 * hidden_ + j, n, Broadcast<V>::of(layer_.bias[2 * hidden_ + j]));
      const V candidate = exact_tanh(MulAdd(r, activations_.get(place(n, 3) + j), own));
      const V before = h_.get(n * hidden_ + j);
      activations_.set(place(n, 0) + j, r);
      activations_.set(place(n, 1) + j, u);
      activations_.set(place(n, 2) + j, candidate);
      h_.set((n + 1) * hidden_ + j, MulAdd(u, before - candidate, candidate));
    }
  }

  const RecurrentLayer<T>& layer_;
  int first_;
  std::size_t in_, hidden_, gates_;
  Vectors<T> x_, h_, c_, activations_;  // by frame of the tick; h and c with the state before it
};

template <class T>
class RecurrentBack {
 public:
  using V = Vec<T>;
  explicit RecurrentBack(RecurrentTile<T>& tile)
      : tile_(tile),
        in_(tile.in_),
        hidden_(tile.hidden_),
        rows_(tile.gates_ * tile.hidden_),
        h_grad_(hidden_),
        c_grad_(hidden_),
        y_grad_(tick_frames * hidden_),
        x_grad_(tick_frames * in_),
        own_(tick_frames * rows_),
        back_(tick_frames * rows_),
        weight_(rows_ * (in_ + hidden_)),
        bias_(rows_),
        inner_(rows_) {}

  void tick(const T* y_grad, T* x_grad, int start, int frames) {
    tile_.load(y_grad, start, frames, hidden_, y_grad_);
    for (std::size_t n = static_cast<std::size_t>(frames); n-- > 0;) {
      for (std::size_t j = 0; j < hidden_; ++j) h_grad_.set(j, h_grad_.get(j) + y_grad_.get(n * hidden_ + j));
      tile_.layer_.gru ? gru(n) : lstm(n);
      back_through(n);
    }
    tile_.store(x_grad_, 0, x_grad, start, frames, in_);
    add_weights(static_cast<std::size_t>(frames));
  }

  // Adds up the lanes: weights, biases, inner biases, first state and cell.
  void finish(T* sums) const {
    const auto add = [&](const Vectors<T>& v) {
      for (std::size_t i = 0; i < v.size(); ++i) *sums++ += hn::GetLane(hn::SumOfLanes(Tag<T>(), v.get(i)));
    };
    add(weight_);
    add(bias_);
    add(inner_);
    add(h_grad_);
    add(c_grad_);
  }

 private:
  V zero() const { return Broadcast<V>::of(0); }
  V one() const { return Broadcast<V>::of(1); }
  V activation(std::size_t n, std::size_t gate, std::size_t j) const {
    return tile_.activations_.get(tile_.place(n, gate) + j);
  }
  void set(Vectors<T>& z, std::size_t n, std::size_t gate, std::size_t j, V v) {
    z.set(n * rows_ + gate * hidden_ + j, v);
  }

  void lstm(std::size_t n) {
    for (std::size_t j = 0; j < hidden_; ++j) {
      const V i = activation(n, 0, j), f = activation(n, 1, j), g = activation(n, 2, j), o = activation(n, 3, j),
              t = activation(n, 4, j);
      const V h = h_grad_.get(j), c = MulAdd(h * o, one() - t * t, c_grad_.get(j));
      const V all[4] = {c * g * i * (one() - i), c * tile_.c_.get(n * hidden_ + j) * f * (one() - f),
                        c * i * (one() - g * g), h * t * o * (one() - o)};
      for (std::size_t gate = 0; gate < 4; ++gate) {
        set(own_, n, gate, j, all[gate]);
        set(back_, n, gate, j, all[gate]);
      }
      c_grad_.set(j, c * f);
      h_grad_.set(j, zero());
    }
  }

  void gru(std::size_t n) {
    for (std::size_t j = 0; j < hidden_; ++j) {
      const V r = activation(n, 0, j), u = activation(n, 1, j), candidate = activation(n, 2, j),
              inner = activation(n, 3, j);
      const V h = h_grad_.get(j), before = tile_.h_.get(n * hidden_ + j);
      const V candidate_grad = h * (one() - u) * (one() - candidate * candidate);
      const V reset_grad = candidate_grad * inner * r * (one() - r),
              update_grad = h * (before - candidate) * u * (one() - u);
      for (auto* z : {&own_, &back_}) {
        set(*z, n, 0, j, reset_grad);
        set(*z, n, 1, j, update_grad);
      }
      set(own_, n, 2, j, candidate_grad);
      set(back_, n, 2, j, candidate_grad * r);
      h_grad_.set(j, h * u);
    }
  }

  // From the gates to the input and to the state before.
  void back_through(std::size_t n) {
    const T* weight = tile_.layer_.weight;
    const std::size_t wide = in_ + hidden_;
    for (std::size_t i = 0; i < in_; ++i) {
      V sum = zero();
      for (std::size_t r = 0; r < rows_; ++r) {
        sum = MulAdd(Broadcast<V>::of(weight[r * wide + i]), own_.get(n * rows_ + r), sum);
      }
      x_grad_.set(n * in_ + i, sum);
    }
    std::size_t k = 0;
    for (; k + 4 <= hidden_; k += 4) {
      V sums[4];
      for (std::size_t i = 0; i < 4; ++i) sums[i] = h_grad_.get(k + i);
      for (std::size_t r = 0; r < rows_; ++r) {
        const V z = back_.get(n * rows_ + r);
        const T* w = weight + r * wide + in_ + k;
        for (std::size_t i = 0; i < 4; ++i) sums[i] = MulAdd(Broadcast<V>::of(w[i]), z, sums[i]);
      }
      for (std::size_t i = 0; i < 4; ++i) h_grad_.set(k + i, sums[i]);
    }
    for (; k < hidden_; ++k) {
      V sum = h_grad_.get(k);
      for (std::size_t r = 0; r < rows_; ++r) {
        sum = MulAdd(Broadcast<V>::of(weight[r * wide + in_ + k]), back_.get(n * rows_ + r), sum);
      }
      h_grad_.set(k, sum);
    }
  }

  void add_weights(std::size_t frames) {
    const std::size_t wide = in_ + hidden_;
    for (std::size_t r = 0; r < rows_; ++r) {
      V own = bias_.get(r), back = inner_.get(r);
      for (std::size_t n = 0; n < frames; ++n) {
        own = own + own_.get(n * rows_ + r);
        back = back + back_.get(n * rows_ + r);
      }
      bias_.set(r, own);
      inner_.set(r, back);
      products(r * wide, own_, r, tile_.x_, in_, frames, in_);
      products(r * wide + in_, back_, r, tile_.h_, hidden_, frames, hidden_);
    }
  }
  // weight[at + i] += sum over the frames of z[n][r] * a[n][i], four at a time
  void products(std::size_t at, const Vectors<T>& z, std::size_t r, const Vectors<T>& a, std::size_t width,
                std::size_t frames, std::size_t count) {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
      V sums[4];
      for (std::size_t k = 0; k < 4; ++k) sums[k] = weight_.get(at + i + k);
      for (std::size_t n = 0; n < frames; ++n) {
        const V grad = z.get(n * rows_ + r);
        for (std::size_t k = 0; k < 4; ++k) sums[k] = MulAdd(grad, a.get(n * width + i + k), sums[k]);
      }
      for (std::size_t k = 0; k < 4; ++k) weight_.set(at + i + k, sums[k]);
    }
    for (; i < count; ++i) {
      V sum = weight_.get(at + i);
      for (std::size_t n = 0; n < frames; ++n) sum = MulAdd(z.get(n * rows_ + r), a.get(n * width + i), sum);
      weight_.set(at + i, sum);
    }
  }

  RecurrentTile<T>& tile_;
  std::size_t in_, hidden_, rows_;
  Vectors<T> h_grad_, c_grad_, y_grad_, x_grad_;
  Vectors<T> own_, back_;  // gradients of the gates' sums, by frame: as the input and as the state reaches them
  Vectors<T> weight_, bias_, inner_;
};

template <class T>
void recurrent_forward(const RecurrentLayer<T>& layer, const T* x, T* y, T* states) {
  const int ticks = adjoint::tick_count(layer.frames);
  const auto size = static_cast<std::size_t>(2 * layer.hidden * adjoint_tile::lanes<T>);
  adjoint::parallel_for(adjoint_tile::tile_count<T>(layer.streams), layer.threads, [&](int item) {
    RecurrentTile<T> tile(layer, item);
    tile.set_first_state();
    for (int tick = 0; tick < ticks; ++tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, layer.frames - start);
      tile.save(states +
                (static_cast<std::size_t>(item) * static_cast<std::size_t>(ticks) + static_cast<std::size_t>(tick)) *
                    size);
      tile.forward(x, start, frames);
      tile.store_hidden(y, start, frames);
      tile.next_tick(frames);
    }
  });
}

template <class T>
void recurrent_backward(const RecurrentLayer<T>& layer, const T* x, const T* states, const T* y_grad, T* x_grad,
                        T* sums) {
  const int ticks = adjoint::tick_count(layer.frames), tiles = adjoint_tile::tile_count<T>(layer.streams);
  const auto size = static_cast<std::size_t>(2 * layer.hidden * adjoint_tile::lanes<T>);
  const auto count = static_cast<std::size_t>(adjoint::recurrent_sums(layer.inputs, layer.hidden, layer.gru));
  std::vector<T> each(static_cast<std::size_t>(tiles) * count, T(0));
  adjoint::parallel_for(tiles, layer.threads, [&](int item) {
    RecurrentTile<T> tile(layer, item);
    RecurrentBack<T> back(tile);
    for (int tick = ticks - 1; tick >= 0; --tick) {
      const int start = tick * tick_frames, frames = std::min(tick_frames, layer.frames - start);
      tile.restore(states +
                   (static_cast<std::size_t>(item) * static_cast<std::size_t>(ticks) + static_cast<std::size_t>(tick)) *
                       size);
      tile.forward(x, start, frames);
      back.tick(y_grad, x_grad, start, frames);
    }
    back.finish(each.data() + static_cast<std::size_t>(item) * count);
  });
  for (std::size_t i = 0; i < each.size(); ++i) sums[i % count] += each[i];
}

}  // namespace sweeps
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
