// Graphic equaliser: bells a third of an octave apart, in series.
//
// Neighbours reach into each other, so the gains of the bells are solved for from those that are set (V. Välimäki,
// J. Liski, Accurate cascade graphic equalizer, 2017), with one correction by what the bells then really do.
#if defined(TWINRACK_PLUGINS_GRAPHIC_EQ_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_GRAPHIC_EQ_H_
#undef TWINRACK_PLUGINS_GRAPHIC_EQ_H_
#else
#define TWINRACK_PLUGINS_GRAPHIC_EQ_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct GraphicEQ {
  using Card = cards::GraphicEQ;
  static constexpr std::size_t bands = 31;
  static constexpr double highest = 0.47;       // of the sample rate, of a band that is used
  static constexpr double width_octaves = 0.5;  // of a bell
  static constexpr double unit_db = 10.0;       // at which it is measured how far a bell reaches

  // Exact thirds of an octave round 1 kHz.
  static double hz(std::size_t band) noexcept TR_RT {
    return 1000.0 * std::pow(2.0, (static_cast<double>(band) - 17.0) / 3.0);
  }

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    used_ = 0;
    while (used_ < bands && hz(used_) < highest * rate_) ++used_;
    for (std::size_t b = 0; b < used_; ++b) tangents_[b] = std::tan(std::numbers::pi * hz(b) / rate_);
    solve();
    filters_.prepare(format.channels);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    Row wanted{}, gain{};
    for (std::size_t b = 0; b < used_; ++b) wanted[b] = static_cast<double>(v.bands[b].gain_db);
    share_out(wanted, gain);
    Row missing = wanted;
    for (std::size_t section = 0; section < used_; ++section) {
      const SvfDesign d = bell(section, gain[section]);
      for (std::size_t b = 0; b < used_; ++b) missing[b] -= magnitude_db(d, tangents_[b]);
    }
    share_out(missing, gain);
    std::array<SvfDesign, bands> design;
    for (std::size_t section = 0; section < used_; ++section) design[section] = bell(section, gain[section]);
    filters_.tune(design.data(), static_cast<int>(used_));
  }

  void reset() noexcept TR_RT { filters_.reset(); }
  void process(Block io, SideBlock) noexcept TR_RT { filters_.process(io); }
  bool tail_ended(int) noexcept TR_RT { return filters_.tail_ended(); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(filters_); }

 private:
  using Row = std::array<double, bands>;

  SvfDesign bell(std::size_t section, double gain_db) const noexcept TR_RT {
    const double q = 1.0 / (std::exp2(0.5 * width_octaves) - std::exp2(-0.5 * width_octaves));
    return design_svf(FilterShape::bell, true, hz(section), gain_db, q, rate_);
  }
  static double magnitude_db(const SvfDesign& d, double tangent) noexcept TR_RT {
    const double x = tangent / d.g, square = 1.0 - x * x;
    const double real = d.m0 * square + d.m2, imaginary = (d.m0 * d.k + d.m1) * x;
    return 10.0 * std::log10((real * real + imaginary * imaginary) / (square * square + d.k * d.k * x * x));
  }
  // Adds to the sections' gains what the bands want.
  void share_out(const Row& wanted, Row& gain) const noexcept TR_RT {
    for (std::size_t b = 0; b < used_; ++b) {
      if (wanted[b] == 0.0) continue;
      for (std::size_t section = 0; section < used_; ++section) gain[section] += shares_[b][section] * wanted[b];
    }
  }

  // The inverse of how far each bell reaches into each band.
  void solve() {
    std::vector<std::vector<double>> rows(used_, std::vector<double>(2 * used_, 0.0));
    for (std::size_t section = 0; section < used_; ++section) {
      const SvfDesign d = bell(section, unit_db);
      for (std::size_t b = 0; b < used_; ++b) rows[b][section] = magnitude_db(d, tangents_[b]) / unit_db;
      rows[section][used_ + section] = 1.0;
    }
    for (std::size_t i = 0; i < used_; ++i) {  // Gauss and Jordan; the diagonal is the largest
      const double pivot = rows[i][i];
      for (double& number : rows[i]) number /= pivot;
      for (std::size_t other = 0; other < used_; ++other) {
        if (other == i) continue;
        const double factor = rows[other][i];
        for (std::size_t c = 0; c < 2 * used_; ++c) rows[other][c] -= factor * rows[i][c];
      }
    }
    for (std::size_t b = 0; b < used_; ++b) {
      for (std::size_t section = 0; section < used_; ++section) shares_[b][section] = rows[section][used_ + b];
    }
  }

  double rate_ = 0;
  std::size_t used_ = 0;
  Row tangents_{};                   // of the bands' frequencies, bilinear
  std::array<Row, bands> shares_{};  // of what each band wants, in the sections
  SvfCascade<static_cast<int>(bands)> filters_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
