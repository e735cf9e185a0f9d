// Up to 16 bands, each one to four trapezoidal state-variable filters (A. Simper, 2013), all in one series.
#if defined(TWINRACK_PLUGINS_PARAMETRIC_EQ_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#undef TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#else
#define TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#endif

#include "cards.h"
#include "dsp/svf_cascade-inl.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct ParametricEQ {
  using Card = cards::ParametricEQ;
  static constexpr int bands = 16, max_stages = 4;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    filters_.prepare(format.channels);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    SvfDesign design[bands * max_stages];
    int key[bands * max_stages];
    int count = 0;
    const bool match = v.warping == Card::Warping::matched;
    for (int b = 0; b < bands; ++b) {
      const auto& band = v.bands[static_cast<std::size_t>(b)];
      if (band.type == Card::Type::off) continue;
      const auto shape = static_cast<FilterShape>(static_cast<int>(band.type) - 1);
      const bool cut = shape == FilterShape::low_cut || shape == FilterShape::high_cut;
      const int stages = cut ? static_cast<int>(band.slope_db_per_octave) + 1 : 1;
      for (int stage = 0; stage < stages; ++stage) {
        const double q = cut ? cut_section_q(stage, stages, static_cast<double>(band.q)) : static_cast<double>(band.q);
        design[count] = design_svf(shape, match, static_cast<double>(band.frequency_hz),
                                   static_cast<double>(band.gain_db), q, rate_);
        key[count++] = b * max_stages + stage;
      }
    }
    filters_.tune(design, key, count);
  }

  void reset() noexcept TR_RT { filters_.reset(); }
  void process(Block io, SideBlock) noexcept TR_RT { filters_.process(io); }
  int latency() const noexcept { return 0; }

 private:
  SvfCascade<bands * max_stages> filters_;
  double rate_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
