// Convolutions in series that go on frame by frame: a row of numbers in, a row out. It begins as after endless zeros.
#if defined(TWINRACK_DSP_NEURAL_STACK_STREAM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_STACK_STREAM_INL_H_
#undef TWINRACK_DSP_NEURAL_STACK_STREAM_INL_H_
#else
#define TWINRACK_DSP_NEURAL_STACK_STREAM_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "dsp/neural/conv_stack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

class StackStream {
 public:
  void prepare(const twinrack::neural::ConvStack& plan) {
    stack_.prepare(plan);
    state_ = StreamState{};
    silent_ = StreamState{};
    stack_.make_rows(state_);
    stack_.make_rows(silent_);
    int frames = 0;
    for (const Rows& rows : silent_.rows) frames = std::max(frames, stack_.memory() + rows.size());
    for (int n = 0; n < frames; ++n) {
      stack_.run(silent_.rows.data(), silent_.t, 1);
      ++silent_.t;
    }
    silent_.t = 0;
    reset();
  }

  void reset() noexcept TR_RT {
    state_.copy(silent_);
    state_.t = 0;
  }

  // The row to be written before each run, all of it.
  float* input() noexcept TR_RT { return state_.rows.front().row(state_.t); }
  const float* run() noexcept TR_RT {
    stack_.run(state_.rows.data(), state_.t, 1);
    const float* out = state_.rows.back().row(state_.t);
    ++state_.t;
    return out;
  }

  // The row of the last run; before the first one, the answer to zeros.
  const float* output() noexcept TR_RT { return state_.rows.back().row(std::max<std::int64_t>(state_.t - 1, 0)); }

  void state(StateArchive& archive) { archive(state_); }

 private:
  ConvStack stack_;
  StreamState state_, silent_;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
