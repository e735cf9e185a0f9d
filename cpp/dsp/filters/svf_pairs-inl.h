// A state-variable filter for all channels, two channels in a small vector. Its output is not some frames late, as a
// cascade's is, so a detector can take it vector by vector while its other recursions run.
#if defined(TWINRACK_DSP_FILTERS_SVF_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_SVF_PAIRS_INL_H_
#undef TWINRACK_DSP_FILTERS_SVF_PAIRS_INL_H_
#else
#define TWINRACK_DSP_FILTERS_SVF_PAIRS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "dsp/lanes/scan_lanes-inl.h"
#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

class SvfPairs {
 public:
  using State = SvfState<Pair>;

  void prepare(int channels) {
    states_.assign(static_cast<std::size_t>((channels + pair_size - 1) / pair_size), silence());
    tuned_ = false;
  }

  void reset() noexcept TR_RT {
    std::fill(states_.begin(), states_.end(), silence());
    from_ = to_;
  }

  // The filter from this tick on; it ramps to its coefficients within the tick. The first one starts at them.
  void tune(const SvfDesign& d) noexcept TR_RT {
    from_ = to_;
    to_ = {static_cast<float>(d.g), static_cast<float>(d.k), static_cast<float>(d.m0), static_cast<float>(d.m1),
           static_cast<float>(d.m2)};
    if (!tuned_) from_ = to_;
    tuned_ = true;
    frame_ = 0;
    steady_ = mixed(1.0f);
  }

  bool moving() const noexcept TR_RT { return from_ != to_; }
  // While it is not moving: its coefficients, and the state of a pair of channels.
  const Svf<Pair>& steady() const noexcept TR_RT { return steady_; }
  State& state(int pair) noexcept TR_RT { return states_[static_cast<std::size_t>(pair)]; }

  // For streams side by side (streams-inl.h): a channel's part of the state. A lone last channel is in both places.
  struct ChannelState {
    float s1, s2;
  };
  ChannelState channel_state(int channel) const noexcept TR_RT {
    const State& s = states_[static_cast<std::size_t>(channel / pair_size)];
    return {numbers(s.s1)[static_cast<std::size_t>(channel % pair_size)],
            numbers(s.s2)[static_cast<std::size_t>(channel % pair_size)]};
  }
  void set_channel_state(int channel, int channels, ChannelState to) noexcept TR_RT {
    State& s = state(channel / pair_size);
    auto s1 = numbers(s.s1), s2 = numbers(s.s2);
    const int last = channel + 1 == channels ? pair_size - 1 : channel % pair_size;
    for (int i = channel % pair_size; i <= last; ++i) {
      s1[static_cast<std::size_t>(i)] = to.s1;
      s2[static_cast<std::size_t>(i)] = to.s2;
    }
    const hn::CappedTag<float, 2> two;
    s = {hn::LoadU(two, s1.data()), hn::LoadU(two, s2.data())};
  }

  // While moving, a call stays inside one tick. `y` may be `x`.
  void process(const float* const* x, float* const* y, int channels, int frames) noexcept TR_RT {
    for (int c = 0; c < channels; c += pair_size) {
      const int other = std::min(c + pair_size - 1, channels - 1);  // a lone last channel is computed twice
      State& stored = state(c / pair_size);
      State s = stored;
      for (int n = 0; n < frames; n += lane_count<float>) {
        const int count = frames - n;
        Vec<float> first = load_some(x[c] + n, count), second = load_some(x[other] + n, count);
        if (moving()) {
          int frame = frame_ + n;
          scan_lanes(first, second, count, [&](Pair in) HWY_ATTR {
            ++frame;
            return svf_step(s, mixed(static_cast<float>(frame) * (1.0f / tick_frames)), in);
          });
        } else {
          scan_lanes(first, second, count, [&](Pair in) HWY_ATTR { return svf_step(s, steady_, in); });
        }
        store_some(first, y[c] + n, count);
        if (other != c) store_some(second, y[other] + n, count);
      }
      stored = s;
    }
    frame_ = std::min(frame_ + frames, tick_frames);
  }

  // Nothing above -140 dBFS comes any more; what is left is forgotten.
  bool tail_ended() noexcept TR_RT {
    const hn::CappedTag<float, 2> two;
    for (const State& s : states_) {
      float most[2] = {};
      hn::StoreU(hn::Abs(s.s1) + hn::Abs(s.s2), two, most);
      if (std::max(most[0], most[1]) > 1e-8f) return false;
    }
    std::fill(states_.begin(), states_.end(), silence());
    return true;
  }

  void state(StateArchive& archive) {
    archive(from_, to_, steady_, states_, tuned_);
    archive.bounded(frame_, 0, tick_frames);
  }

 private:
  static std::array<float, 2> numbers(Pair x) noexcept TR_RT {
    std::array<float, 2> all{};
    hn::StoreU(x, hn::CappedTag<float, 2>(), all.data());
    return all;
  }
  static State silence() noexcept TR_RT {
    const hn::CappedTag<float, 2> two;
    return {hn::Zero(two), hn::Zero(two)};
  }

  Svf<Pair> mixed(float share) const noexcept TR_RT {
    const hn::CappedTag<float, 2> two;
    const auto at = [&](std::size_t i) HWY_ATTR { return hn::Set(two, MulAdd(to_[i] - from_[i], share, from_[i])); };
    return make_svf(at(0), at(1), at(2), at(3), at(4));
  }

  std::array<float, 5> from_{1, 1, 1, 0, 0}, to_ = from_;  // g, k, m0, m1, m2
  Svf<Pair> steady_ = mixed(1.0f);
  std::vector<State> states_;
  int frame_ = 0;  // since the tick began
  bool tuned_ = false;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
