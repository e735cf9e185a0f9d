// Forward and backward sweeps of the recursions over time and batch, for training. Tensors arrive as plain memory; a
// sweep only walks: the arithmetic of a step, and of a step backwards, is in dsp/. States are kept at every tick (32
// frames) and recomputed inside, so memory grows with 1/32 of the samples.
//
// Coefficients are rows x ticks x ...: one row for all streams or one for each batch item (`channels` streams), one
// tick for a constant or one for every 32 frames. Where it says "ramped", the value moves within a tick on a straight
// line from the previous tick's, as in the engine. Gradients of coefficients come out per stream, to be summed by the
// caller.
#pragma once

#include <cstdint>

namespace twinrack::adjoint {

struct Shape {
  int streams;  // batch x channels
  int channels;
  int frames;
  int rows;   // of coefficients: 1 or streams / channels
  int ticks;  // of coefficients: 1 or ceil(frames / 32)
  int threads;
};

int tick_count(int frames);

// Series of state-variable filters; coefficients: rows x ticks x sections x 5 (g, k, m0, m1, m2), ramped.
// states: tiles() x ticks x sections x 2 x 8 numbers.
std::int64_t svf_state_size(const Shape& shape, int sections);
template <class T>
void svf_forward(const Shape& shape, int sections, const T* x, const T* coefficients, T* y, T* states);
template <class T>
void svf_backward(const Shape& shape, int sections, const T* x, const T* coefficients, const T* states, const T* y_grad,
                  T* x_grad, T* coefficient_grad);

// Follower; coefficients: rows x ticks x 2 (rise, fall), held.
template <class T>
void follower_forward(const Shape& shape, bool decoupled, const T* x, const T* coefficients, T* y, T* states);
template <class T>
void follower_backward(const Shape& shape, bool decoupled, const T* x, const T* coefficients, const T* states,
                       const T* y_grad, T* x_grad, T* coefficient_grad);

// A filter of fixed coefficients: y[n] = sum of h[k] x[n - k]; backwards, which is its transpose, of h[k] x[n + k].
// Summed in double precision.
struct FirTaps {
  const double* h;
  int count;
  bool backwards;
};
template <class T>
void fir(const Shape& shape, const FirTaps& taps, const T* x, T* y);

// Schroeder all-pass; coefficient: rows x ticks (gain), ramped; delay: frames, one for each channel. v has the size of
// x.
template <class T>
void allpass_forward(const Shape& shape, const int* delay, const T* x, const T* gain, T* y, T* v);
template <class T>
void allpass_backward(const Shape& shape, const int* delay, const T* x, const T* gain, const T* v, const T* y_grad,
                      T* x_grad, T* gain_grad);

// Feedback delay network of 16 lines. shelf: rows x ticks x 2 x 5 x 16, ramped; turns: turn_rows x knots x 2 x 8
// (cosine, sine), knots is 1 or ticks + 1, from knot to knot within a tick. w: batch x frames x 16; states: batch x
// ticks x 64.
struct FdnShape {
  Shape base;
  int turn_rows;
  int knots;
  const int* line_frames;
};
template <class T>
void fdn_forward(const FdnShape& shape, const T* x, const T* shelf, const T* turns, T* y, T* w, T* states);
template <class T>
void fdn_backward(const FdnShape& shape, const T* shelf, const T* turns, const T* w, const T* states, const T* y_grad,
                  T* x_grad, T* shelf_grad, T* turn_grad);

// Compressor's detector from a level to a gain, streams apart. settings: rows x ticks x 9: threshold, slope, knee,
// range, makeup, mix (ramped), rise, fall, average (held). states: as svf_state_size, with compressor_state numbers in
// place of two for each section.
inline constexpr int compressor_settings = 9, compressor_state = 3;
struct CompressorChoices {
  bool rms, on_level, decoupled;
};
std::int64_t compressor_state_size(const Shape& shape);
template <class T>
void compressor_forward(const Shape& shape, const CompressorChoices& choices, const T* level, const T* settings,
                        T* gain, T* states);
template <class T>
void compressor_backward(const Shape& shape, const CompressorChoices& choices, const T* level, const T* settings,
                         const T* states, const T* gain_grad, T* level_grad, T* setting_grad);

// Feedback compressor up to the reduced signal, before makeup and mix. settings: rows x ticks x 10: threshold, slope,
// knee, range, link, g and k of the low cut (ramped), rise, fall, average (held). states: batch x ticks x channels x 7.
struct FeedbackChoices {
  bool low_cut, rms, on_level, decoupled;
  int channel_mode;  // 0 maximum, 1 mean, 2 mean power, 3 mean magnitude
};
template <class T>
void feedback_forward(const Shape& shape, const FeedbackChoices& choices, const T* x, const T* settings, T* y,
                      T* states);
template <class T>
void feedback_backward(const Shape& shape, const FeedbackChoices& choices, const T* x, const T* settings,
                       const T* states, const T* y_grad, T* x_grad, T* setting_grad);

// One layer of LSTM or GRU on x (streams x frames x inputs), y and y_grad (streams x frames x hidden). weight: gates x
// hidden rows of inputs + hidden numbers; gates are input, forget, candidate, output, or reset, update, candidate.
// inner_bias (GRU) is added to what the state gives the candidate. states: tiles x ticks x 2 hidden x lanes. sums:
// recurrent_sums numbers, gradients of weight, bias, inner bias (as many as bias; the last third counts), first hidden
// state and first cell.
template <class T>
struct RecurrentLayer {
  int streams, frames, inputs, hidden;
  bool gru;
  int threads;
  const T *weight, *bias, *inner_bias, *first_hidden, *first_cell;
};
std::int64_t recurrent_state_size(int streams, int frames, int hidden);
std::int64_t recurrent_sums(int inputs, int hidden, bool gru);
template <class T>
void recurrent_forward(const RecurrentLayer<T>& layer, const T* x, T* y, T* states);
template <class T>
void recurrent_backward(const RecurrentLayer<T>& layer, const T* x, const T* states, const T* y_grad, T* x_grad,
                        T* sums);

}  // namespace twinrack::adjoint
