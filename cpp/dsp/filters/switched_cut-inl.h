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

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
