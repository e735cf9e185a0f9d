// A Linkwitz-Riley crossover of two to six bands (linkwitz_riley.h). What is above one split goes on to the next; a
// band then passes the all-passes of all later splits, so that the bands add up to an all-pass.
#if defined(TWINRACK_DSP_FILTERS_LINKWITZ_RILEY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_LINKWITZ_RILEY_INL_H_
#undef TWINRACK_DSP_FILTERS_LINKWITZ_RILEY_INL_H_
#else
#define TWINRACK_DSP_FILTERS_LINKWITZ_RILEY_INL_H_
#endif

#include <algorithm>
#include <array>

#include "dsp/filters/linkwitz_riley.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

template <int most_bands>
class LinkwitzRiley {
 public:
  static constexpr int most_splits = most_bands - 1;
  using Frequencies = std::array<double, most_splits>;

  void prepare(int channels) {
    for (Split& split : splits_) {
      for (Series* series : {&split.low, &split.all_pass, &split.later}) series->prepare(channels);
    }
  }

  // `hz` rises; those of `bands` - 1 splits count. Another number of bands or order starts anew.
  void tune(const Frequencies& hz, int bands, int order, double sample_rate) noexcept TR_RT {
    bands_ = bands;
    std::array<SvfDesign, most_later> later;  // all-passes of the second split and those after it
    int count = 0;
    for (int i = 0; i + 1 < bands; ++i) {
      Split& split = splits_[static_cast<std::size_t>(i)];
      const LinkwitzRileySections d = design_linkwitz_riley(order, hz[static_cast<std::size_t>(i)], sample_rate);
      split.low.tune(d.low.data(), d.lows);
      split.all_pass.tune(d.all_pass.data(), d.all_passes);
      for (int a = 0; a < d.all_passes && i > 0; ++a) {
        later[static_cast<std::size_t>(count++)] = d.all_pass[static_cast<std::size_t>(a)];
      }
    }
    const int each = (order + 1) / 2;
    for (int i = 0; i + 2 < bands; ++i) {
      splits_[static_cast<std::size_t>(i)].later.tune(later.data() + i * each, count - i * each);
    }
  }

  void reset() noexcept TR_RT {
    for (Split& split : splits_) {
      for (Series* series : {&split.low, &split.all_pass, &split.later}) series->reset();
    }
  }

  // From the sound in the first `channels` rows to the bands, `channels` rows each, the lowest first.
  void process(float* const* rows, int channels, int frames) noexcept TR_RT {
    for (int i = 0; i + 1 < bands_; ++i) {
      Split& split = splits_[static_cast<std::size_t>(i)];
      float *const *low = rows + i * channels, *const *high = low + channels;
      for (int c = 0; c < channels; ++c) std::copy_n(low[c], frames, high[c]);
      split.low.process({low, channels, frames});
      split.all_pass.process({high, channels, frames});
      for (int c = 0; c < channels; ++c) {
        for (int n = 0; n < frames; ++n) high[c][n] -= low[c][n];
      }
    }
    for (int i = 0; i + 2 < bands_; ++i) {
      splits_[static_cast<std::size_t>(i)].later.process({rows + i * channels, channels, frames});
    }
  }

  bool tail_ended() noexcept TR_RT {
    bool all = true;
    for (Split& split : splits_) {
      for (Series* series : {&split.low, &split.all_pass, &split.later}) all = series->tail_ended() && all;
    }
    return all;
  }

  void state(StateArchive& archive) { archive(splits_); }

 private:
  static constexpr int most_later = linkwitz_riley_steepest / 2 * (most_splits - 1);
  using Series = SvfCascade<std::max(most_later, linkwitz_riley_steepest)>;
  struct Split {
    Series low, all_pass;  // of its own input
    Series later;          // the all-passes of later splits
    void state(StateArchive& archive) { archive(low, all_pass, later); }
  };

  std::array<Split, most_splits> splits_;
  int bands_ = 2;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
