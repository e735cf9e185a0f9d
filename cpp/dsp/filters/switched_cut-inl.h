// A low or high cut that is off at the end of its range.
#if defined(TWINRACK_DSP_FILTERS_SWITCHED_CUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_SWITCHED_CUT_INL_H_
#undef TWINRACK_DSP_FILTERS_SWITCHED_CUT_INL_H_
#else
#define TWINRACK_DSP_FILTERS_SWITCHED_CUT_INL_H_
#endif

#include <array>
#include <numbers>
#include <vector>

#include "dsp/filters/svf_pairs-inl.h"
#include "dsp/filters/svf_design.h"
#include "dsp/lanes/streams-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

// It filters copies of the channels. While it is off its state is held (g = 0), so it may be switched while it sounds.
template <FilterShape shape>
class SwitchedCut {
 public:
  void prepare(double sample_rate) {
    rate_ = sample_rate;
    filter_.prepare(max_channels);
    for (std::size_t c = 0; c < max_channels; ++c) {
      memory_[c].assign(max_segment, 0.0f);
      to_[c] = memory_[c].data();
    }
  }

  static bool in_use(float frequency_hz) noexcept TR_RT {
    return shape == FilterShape::low_cut ? frequency_hz > 10.001f : frequency_hz < 19999.0f;
  }

  void tune(float frequency_hz) noexcept TR_RT {
    const bool on = in_use(frequency_hz);
    auto d = design_svf(shape, false, static_cast<double>(frequency_hz), 0.0, std::numbers::sqrt2 / 2.0, rate_);
    if (!on) d.g = 0.0;
    on_ = on;
    filter_.tune(d);
  }

  void reset() noexcept TR_RT { filter_.reset(); }
  bool tail_ended() noexcept TR_RT {
    if (on_ || filter_.moving()) return filter_.tail_ended();
    filter_.reset();  // what it held
    return true;
  }

  // The filter, while it is on and does not move; else null.
  SvfPairs* steady() noexcept TR_RT { return on_ && !filter_.moving() ? &filter_ : nullptr; }
  bool off() const noexcept TR_RT { return !on_ && !filter_.moving(); }
  bool moving() const noexcept TR_RT { return filter_.moving(); }
  bool on() const noexcept TR_RT { return on_; }
  SvfPairs& filter() noexcept TR_RT { return filter_; }

  // Returns the channels themselves while it is off, else their filtered copies.
  SideBlock process(SideBlock key, int frames) noexcept TR_RT {
    if (off()) return key;
    filter_.process(key.channel, to_.data(), key.channels, frames);
    return on_ ? SideBlock{to_.data(), key.channels, key.silent} : key;
  }

  void state(StateArchive& archive) { archive(filter_); }

 private:
  double rate_ = 0;
  bool on_ = false;
  SvfPairs filter_;
  std::array<std::vector<float>, max_channels> memory_;
  std::array<float*, max_channels> to_{};
};

// The cuts of streams side by side, of one or two channels, while none of them moves. Where one is off, its stream
// passes (a zero may change its sign) and its state is held.
template <class Owners, class Cut>
class StreamCuts {
 public:
  // `cut(owner)` is the cut of a stream.
  StreamCuts(const Owners& owners, const Cut& cut, int channels) noexcept TR_RT : owners_(owners),
                                                                                  cut_(cut),
                                                                                  channels_(channels) {
    owners.each([&](auto& owner, int) { on_ = on_ || cut(owner).on(); });
    if (!on_) return;
    const auto number = [&](auto member, float off) HWY_ATTR {
      return owners.get([&](auto& owner) {
        auto& of = cut(owner);
        return of.on() ? hn::GetLane(of.filter().steady().*member) : off;
      });
    };
    using C = Svf<Pair>;
    c_.step = number(&C::step, 0.0f);
    c_.step_damping = number(&C::step_damping, 0.0f);
    c_.step_g = number(&C::step_g, 0.0f);
    c_.from_x = number(&C::from_x, 1.0f);
    c_.from_s1 = number(&C::from_s1, 0.0f);
    c_.from_s2 = number(&C::from_s2, 0.0f);
    for (int c = 0; c < channels; ++c) {
      s_[c] = {owners.get([&](auto& owner) { return cut(owner).filter().channel_state(c).s1; }),
               owners.get([&](auto& owner) { return cut(owner).filter().channel_state(c).s2; })};
    }
  }

  HWY_INLINE Streams step(int channel, Streams x) noexcept TR_RT { return on_ ? svf_step(s_[channel], c_, x) : x; }

  // Keeps the states.
  void finish() const noexcept TR_RT {
    for (int c = 0; on_ && c < channels_; ++c) {
      alignas(64) float s1[stream_lanes], s2[stream_lanes];
      hn::Store(s_[c].s1, StreamTag(), s1);
      hn::Store(s_[c].s2, StreamTag(), s2);
      owners_.each([&](auto& owner, int k) { cut_(owner).filter().set_channel_state(c, channels_, {s1[k], s2[k]}); });
    }
  }

 private:
  const Owners& owners_;
  Cut cut_;
  int channels_;
  bool on_ = false;
  Svf<Streams> c_{};
  SvfState<Streams> s_[2]{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
