// One layer of LSTM or GRU over time and batch, for training.
#pragma once

#include <cstdint>

namespace twinrack::adjoint {

// On x (streams x frames x inputs), y and y_grad (streams x frames x hidden). weight: gates x hidden rows of inputs +
// hidden numbers; gates are input, forget, candidate, output, or reset, update, candidate. inner_bias (GRU) is added to
// what the state gives the candidate.
template <class T>
struct RecurrentLayer {
  int streams, frames, inputs, hidden;
  bool gru;
  int threads;
  const T *weight, *bias, *inner_bias, *first_hidden, *first_cell;
};

// How many numbers `states` has: tiles x ticks x 2 hidden x lanes.
std::int64_t recurrent_state_size(int streams, int frames, int hidden);
// How many numbers `sums` has: gradients of weight, bias, inner bias (as many as bias; the last third counts), first
// hidden state and first cell.
std::int64_t recurrent_sums(int inputs, int hidden, bool gru);

template <class T>
void recurrent_forward(const RecurrentLayer<T>& layer, const T* x, T* y, T* states);
template <class T>
void recurrent_backward(const RecurrentLayer<T>& layer, const T* x, const T* states, const T* y_grad, T* x_grad,
                        T* sums);

}  // namespace twinrack::adjoint
