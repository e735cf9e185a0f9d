// Convolutions in series, with an activation before each and one after the last.
#if defined(TWINRACK_DSP_NEURAL_CONV_STACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_CONV_STACK_INL_H_
#undef TWINRACK_DSP_NEURAL_CONV_STACK_INL_H_
#else
#define TWINRACK_DSP_NEURAL_CONV_STACK_INL_H_
#endif

#include <cstdint>
#include <vector>

#include "dsp/neural/activation-inl.h"
#include "dsp/neural/conv-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

class ConvStack {
 public:
  void prepare(const twinrack::neural::ConvStack& plan) {
    activations_ = plan.activations;
    convs_.clear();
    for (const auto& conv : plan.convs) {
      convs_.emplace_back();
      convs_.back().prepare(conv);
    }
    width_in_ = plan.convs.empty() ? 1 : plan.convs.front().in;
  }

  bool empty() const noexcept TR_RT { return convs_.empty(); }
  int memory() const noexcept {
    int sum = 0;
    for (const Conv& conv : convs_) sum += conv.memory();
    return sum;
  }
  // How many signals it has: its input, and one after each convolution.
  std::size_t rows() const noexcept TR_RT { return convs_.size() + 1; }
  void make_rows(StreamState& s) const {
    int width = width_in_;
    for (const Conv& conv : convs_) {
      s.rows.emplace_back();
      s.rows.back().prepare(width, conv.memory());
      width = conv.width();
    }
    s.rows.emplace_back();
    s.rows.back().prepare(width, 0);
  }

  // From the first of these signals to the last.
  void run(Rows* rows, std::int64_t t, int frames) const noexcept TR_RT {
    for (std::size_t i = 0; i < convs_.size(); ++i) {
      activate(activations_[i], rows[i], t, frames, 0, rows[i].stride());
      convs_[i].run(rows[i], t, frames, rows[i + 1]);
    }
    activate(activations_.back(), rows[convs_.size()], t, frames, 0, rows[convs_.size()].stride());
  }

 private:
  int width_in_ = 1;
  std::vector<Conv> convs_;
  std::vector<Activation> activations_;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
