// A neural network in real time: convolutions in series, WaveNet, LSTM or GRU, with a stream for each channel.
//
// A convolutional network starts as after endless silence (its biases make something of zeros), a recurrent one from
// the state that is given with its weights.
#if defined(TWINRACK_DSP_NEURAL_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_NEURAL_NETWORK_INL_H_
#undef TWINRACK_DSP_NEURAL_NETWORK_INL_H_
#else
#define TWINRACK_DSP_NEURAL_NETWORK_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <vector>

#include "dsp/neural/conv_stack-inl.h"
#include "dsp/neural/recurrent-inl.h"
#include "dsp/neural/wavenet-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {
namespace neural {

using twinrack::neural::Plan;

class Network {
 public:
  // Allocates. Without a network (count 0) the output is 0.
  void prepare(const float* numbers, int count, int channels) {
    loaded_ = count > 0;
    states_.clear();
    memory_ = 0;
    constant_response_ = 0;
    if (!loaded_) return;
    const Plan plan = twinrack::neural::PlanReader(numbers, count).read();
    kind_ = plan.kind;
    if (kind_ == Plan::conv_stack) {
      conv_stack_.prepare(plan.stack);
      memory_ = conv_stack_.memory();
    } else if (kind_ == Plan::wavenet) {
      wavenet_.prepare(plan.wave);
      memory_ = wavenet_.memory();
    } else {
      recurrent_.prepare(plan.recurrent);
    }
    silent_ = StreamState{};
    make_rows(silent_);
    for (int c = 0; c < channels + 1; ++c) {  // the last one is given silence
      states_.emplace_back();
      make_rows(states_.back());
    }
    run_silence();
    reset();
  }

  int memory() const noexcept TR_RT { return memory_; }  // frames that it looks back; 0 for a recurrent one

  void reset() noexcept TR_RT {
    for (StreamState& s : states_) s.copy(silent_);
    response_is_constant_ = memory_known();
    silent_frames_ = 0;
  }

  void process(int channel, const float* x, float* y, int frames) noexcept TR_RT {
    if (!loaded_) {
      std::fill_n(y, frames, 0.0f);
      return;
    }
    run(states_[static_cast<std::size_t>(channel)], x, y, frames);
  }

  // Its response to silence in the same frames. For a recurrent network it is constant from when its state no longer
  // changes.
  void silence_response(float* y, int frames) noexcept TR_RT {
    int n = 0;
    while (loaded_ && !response_is_constant_ && n < frames) {
      const int now = std::min({frames - n, chunk, span - silent_frames_ % span});
      const float zeros[chunk] = {};
      run(states_.back(), zeros, y + n, now);
      for (int i = n; i < n + now; ++i) change_ = std::max(change_, std::abs(y[i] - constant_response_));
      silent_frames_ = silent_frames_ > 1 << 20 ? span + (silent_frames_ + now) % span : silent_frames_ + now;
      n += now;
      if (silent_frames_ % span == 0) {
        response_is_constant_ = change_ < 1e-7f && silent_frames_ > span;
        constant_response_ = y[n - 1];
        change_ = 0.0f;
      }
    }
    std::fill(y + n, y + frames, constant_response_);
  }

  void state(StateArchive& archive) {
    archive(states_, response_is_constant_, constant_response_, change_);
    archive.bounded(silent_frames_, 0, 1 << 21);
  }

 private:
  static constexpr int span = 512;  // frames in which the response must not change

  bool memory_known() const noexcept TR_RT { return kind_ == Plan::conv_stack || kind_ == Plan::wavenet; }
  void make_rows(StreamState& s) const {
    if (kind_ == Plan::conv_stack) {
      conv_stack_.make_rows(s);
    } else if (kind_ == Plan::wavenet) {
      wavenet_.make_rows(s);
    } else {
      recurrent_.make_rows(s);
    }
  }

  void run(StreamState& s, const float* x, float* y, int frames) noexcept TR_RT {
    for (int n = 0; n < frames; n += chunk) {
      const int now = std::min(chunk, frames - n);
      if (kind_ == Plan::conv_stack) {
        for (int i = 0; i < now; ++i) s.rows[0].row(s.t + i)[0] = x[n + i];
        conv_stack_.run(s.rows.data(), s.t, now);
        for (int i = 0; i < now; ++i) y[n + i] = s.rows.back().row(s.t + i)[0];
      } else if (kind_ == Plan::wavenet) {
        wavenet_.run(s, x + n, y + n, now);
      } else {
        recurrent_.run(s, x + n, y + n, now);
      }
      s.t += now;
    }
  }

  // Fills all rows of a convolutional network with its response to silence.
  void run_silence() {
    int frames = silent_.rows.empty() ? 0 : memory_;
    for (const Rows& rows : silent_.rows) frames = std::max(frames, memory_ + rows.size());
    float x[chunk] = {}, y[chunk] = {};
    for (int n = 0; n < frames; n += chunk) run(silent_, x, y, chunk);
    constant_response_ = y[chunk - 1];
    silent_.t = 0;
  }

  bool loaded_ = false;
  Plan::Kind kind_ = Plan::conv_stack;
  int memory_ = 0, silent_frames_ = 0;
  bool response_is_constant_ = true;
  float constant_response_ = 0, change_ = 0;
  ConvStack conv_stack_;
  WaveNet wavenet_;
  Recurrent recurrent_;
  StreamState silent_;
  std::vector<StreamState> states_;
};

}  // namespace neural
}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
