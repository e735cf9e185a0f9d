// A recursion over time as training needs it: forwards, and backwards to the gradients, on plain memory.
//
// A sweep only walks: the arithmetic of a step, and of a step backwards, is in dsp/ or in the folder of the effect.
// States are kept at every tick (32 frames) and computed again inside, so memory grows with 1/32 of the samples.
//
// Sound is batch x channels x frames. Coefficients are rows x ticks x ...: one row for the whole batch or one for each
// item, one tick for a constant or one for every 32 frames. "Ramped" coefficients move within a tick on a straight line
// from the previous tick's, as in the engine; "held" ones do not. Gradients of coefficients come out for every stream
// or item, to be summed by the caller.
//
// Every file `plugins/<id>/<part>_sweep.h` and `cpp/adjoint/<name>_sweep-inl.h` is one sweep: the build finds it,
// compiles it for every instruction set in a unit of its own and lists it here by its name (`<id>.<part>`, `<name>`).
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "rt/block.h"

namespace twinrack::adjoint {

struct Shape {
  int streams;  // batch x channels
  int channels;
  int frames;
  int rows;   // of the first coefficients: 1 or batch()
  int ticks;  // of the first coefficients: 1 or tick_count(frames)
  int threads;

  int batch() const { return streams / channels; }
};

constexpr int tick_count(int frames) { return (frames + tick_frames - 1) / tick_frames; }

// Throws std::invalid_argument with the message.
inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

// True when so many options are 0 or 1 each.
inline bool are_flags(const int* options, int count) {
  for (int i = 0; i < count; ++i) {
    if (options[i] != 0 && options[i] != 1) return false;
  }
  return true;
}

using Sizes = std::vector<std::int64_t>;

struct SweepRequest {
  Shape shape;
  std::vector<Sizes> coefficients;  // all sizes of each array
  std::vector<int> options;         // what is chosen, and lengths in frames
};

struct SweepLayout {
  Sizes memory;       // how many numbers each array has that goes from the way forwards to the way back
  int gradient_rows;  // shape.streams or shape.batch()
};

template <class T>
struct ForwardPass {
  const SweepRequest& request;
  const T* x;
  std::vector<const T*> coefficients;
  T* y;
  std::vector<T*> memory;
};

template <class T>
struct BackwardPass {
  const SweepRequest& request;
  const T* x;
  std::vector<const T*> coefficients;
  std::vector<const T*> memory;
  const T* y_grad;
  T* x_grad;
  std::vector<T*> coefficient_grads;  // gradient_rows in place of the rows, 0 at first
};

struct SweepType {
  const char* name;
  // Throws std::invalid_argument where sizes or options do not fit: what is behind the pointers is never read before.
  SweepLayout (*layout)(const SweepRequest& request);
  void (*forward_f32)(const ForwardPass<float>& pass);
  void (*forward_f64)(const ForwardPass<double>& pass);
  void (*backward_f32)(const BackwardPass<float>& pass);
  void (*backward_f64)(const BackwardPass<double>& pass);

  void forward(const ForwardPass<float>& pass) const { forward_f32(pass); }
  void forward(const ForwardPass<double>& pass) const { forward_f64(pass); }
  void backward(const BackwardPass<float>& pass) const { backward_f32(pass); }
  void backward(const BackwardPass<double>& pass) const { backward_f64(pass); }
};

// All sweeps, and nullptr after the last.
const SweepType* const* all_sweeps();
// nullptr when there is none of this name.
const SweepType* find_sweep(std::string_view name);

}  // namespace twinrack::adjoint
