// Parametric equaliser: up to 16 bands in series, each of one to four trapezoidal state-variable filters (A. Simper,
// 2013).
#if defined(TWINRACK_PLUGINS_PARAMETRIC_EQ_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#undef TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#else
#define TWINRACK_PLUGINS_PARAMETRIC_EQ_H_
#endif

#include <algorithm>
#include <array>
#include <vector>

#include "cards.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "rt/smoothstep.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct ParametricEQ {
  using Card = cards::ParametricEQ;
  static constexpr int bands = 16, max_stages = 4, fade_frames = 16 * tick_frames;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    for (Filters& filters : filters_) filters.prepare(format.channels);
    before_.assign(static_cast<std::size_t>(format.channels), std::vector<float>(max_segment));
    for (auto& channel : before_) pointers_.push_back(channel.data());
  }

  // Frequencies, gains and Qs ramp. A new layout (a band's type or slope, the warping) starts from silence beside the
  // old one, which it replaces in a short crossfade; a third one waits for its end.
  void tune(const Card::Values& v) noexcept TR_RT {
    wanted_ = layout_of(v);
    if (!(wanted_ == layout_) && faded_ >= fade_frames) {
      layout_ = wanted_;
      filters_[now_].arrive();  // it is not tuned any more
      now_ = 1 - now_;
      filters_[now_].clear();
      faded_ = 0;
    }
    filters_[now_].tune(v, layout_, rate_);
  }

  // True while a new layout waits.
  bool is_ramping() const noexcept TR_RT { return !(wanted_ == layout_); }

  void reset() noexcept TR_RT {
    filters_[now_].reset();
    faded_ = fade_frames;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    if (faded_ >= fade_frames) return filters_[now_].process(io);
    for (int c = 0; c < io.channels; ++c) std::copy_n(io.channel[c], io.frames, pointers_[static_cast<std::size_t>(c)]);
    filters_[1 - now_].process({pointers_.data(), io.channels, io.frames});
    filters_[now_].process(io);
    for (int c = 0; c < io.channels; ++c) {
      const float* before = pointers_[static_cast<std::size_t>(c)];
      float* x = io.channel[c];
      for (int n = 0; n < io.frames; ++n) {
        const float t = std::min(1.0f, static_cast<float>(faded_ + n + 1) / fade_frames);
        const float present = smoothstep(t);
        x[n] = (1.0f - present) * before[n] + present * x[n];
      }
    }
    faded_ += io.frames;
  }

  // Streams side by side have as many filters each.
  int stream_group() const noexcept TR_RT { return faded_ >= fade_frames ? filters_[now_].stream_group() : -1; }

  static StreamPeaks process_streams(const StreamOwners<ParametricEQ>& owners, const StreamBlock& io) noexcept TR_RT {
    return Filters::process_streams(owners, [](ParametricEQ& eq) -> Filters& { return eq.filters_[eq.now_]; }, io);
  }

  bool tail_ended(int) noexcept TR_RT { return faded_ >= fade_frames && filters_[now_].tail_ended(); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(filters_, layout_);
    archive.bounded(now_, 0, 1);
    archive.bounded(faded_, 0, fade_frames + max_segment);
  }

 private:
  struct BandLayout {
    Card::Type type{};
    int stages = 1;
    Card::Channel channel{};
    bool operator==(const BandLayout&) const = default;
  };
  struct Layout {
    Card::Warping warping{};
    std::array<BandLayout, bands> band{};
    bool operator==(const Layout&) const = default;
    void state(StateArchive& archive) {
      archive(warping);
      for (BandLayout& b : band) {
        archive.bounded(b.type, Card::Type::off, Card::Type::all_pass);
        archive.bounded(b.stages, 1, max_stages);
        archive.bounded(b.channel, Card::Channel::all, Card::Channel::right);
      }
    }
  };

  // The bands of all channels in one series, then those of the left and of the right channel alone.
  class Filters {
   public:
    void prepare(int channels) {
      for (std::size_t part = 0; part < series_.size(); ++part) series_[part].prepare(part == 0 ? channels : 1);
    }
    void tune(const Card::Values& v, const Layout& layout, double rate) noexcept TR_RT {
      SvfDesign design[bands * max_stages];
      for (int part = 0; part < parts; ++part) {
        int count = 0;
        for (std::size_t b = 0; b < bands; ++b) {
          const auto& band = v.bands[b];
          const auto [type, stages, channel] = layout.band[b];
          if (type == Card::Type::off || static_cast<int>(channel) != part) continue;
          for (int stage = 0; stage < stages; ++stage) {
            const double user_q = static_cast<double>(band.q);
            const double q = is_cut(type) ? cut_section_q(stage, stages, user_q) : user_q;
            design[count] =
                design_svf(shape_of(type), layout.warping == Card::Warping::matched,
                           static_cast<double>(band.frequency_hz), static_cast<double>(band.gain_db), q, rate);
            ++count;
          }
        }
        series_[static_cast<std::size_t>(part)].tune(design, count);
      }
    }
    void process(Block io) noexcept TR_RT {
      series_[0].process(io);
      for (int part = 1; part < parts && part <= io.channels; ++part) {
        series_[static_cast<std::size_t>(part)].process({io.channel + part - 1, 1, io.frames});
      }
    }
    int stream_group() const noexcept TR_RT {
      int group = 0;
      for (const Series& series : series_) {
        if (series.stream_groups() < 0) return -1;
        group = 100 * group + series.stream_groups();
      }
      return group;
    }
    template <class Of>
    static StreamPeaks process_streams(const StreamOwners<ParametricEQ>& owners, const Of& of,
                                       const StreamBlock& io) noexcept TR_RT {
      StreamPeaks peaks;
      const auto in_use = [&](int part) {
        return of(owners.any()).series_[static_cast<std::size_t>(part)].stream_groups() > 0;
      };
      const auto run = [&](int part, float* const* x, int channels, StreamPeaks* const* of_output) {
        const auto series = [&](ParametricEQ& eq) -> Series& { return of(eq).series_[static_cast<std::size_t>(part)]; };
        Series::process_streams(owners, series, x, channels, io.frames, of_output);
      };
      StreamPeaks* of_all[2];
      for (int c = 0; c < io.channels; ++c) of_all[c] = in_use(c + 1) ? nullptr : &peaks;
      if (in_use(0)) run(0, io.channel, io.channels, of_all);
      for (int c = 0; c < io.channels; ++c) {
        StreamPeaks* of_own = &peaks;
        if (in_use(c + 1)) {
          run(c + 1, io.channel + c, 1, &of_own);
        } else if (!in_use(0)) {
          for (int n = 0; n < io.frames; ++n) peaks.add(load_streams(io.channel[c], n));
        }
      }
      return peaks;
    }
    void arrive() noexcept TR_RT {
      for (Series& series : series_) series.arrive();
    }
    void clear() noexcept TR_RT {
      for (Series& series : series_) series.clear();
    }
    void reset() noexcept TR_RT {
      for (Series& series : series_) series.reset();
    }
    bool tail_ended() noexcept TR_RT {
      bool all = true;
      for (Series& series : series_) all = series.tail_ended() && all;
      return all;
    }
    void state(StateArchive& archive) { archive(series_); }

   private:
    using Series = SvfCascade<bands * max_stages>;
    static constexpr int parts = 3;
    static_assert(static_cast<int>(Card::Channel::all) == 0 && static_cast<int>(Card::Channel::left) == 1 &&
                  static_cast<int>(Card::Channel::right) == 2);
    std::array<Series, parts> series_;
  };

  // By name, so the order in the card does not matter; a type without a case stops the build.
  static FilterShape shape_of(Card::Type type) noexcept TR_RT {
    switch (type) {
      case Card::Type::off:
      case Card::Type::bell:
        return FilterShape::bell;
      case Card::Type::low_shelf:
        return FilterShape::low_shelf;
      case Card::Type::high_shelf:
        return FilterShape::high_shelf;
      case Card::Type::low_cut:
        return FilterShape::low_cut;
      case Card::Type::high_cut:
        return FilterShape::high_cut;
      case Card::Type::notch:
        return FilterShape::notch;
      case Card::Type::band_pass:
        return FilterShape::band_pass;
      case Card::Type::all_pass:
        return FilterShape::all_pass;
    }
    return FilterShape::bell;
  }
  static bool is_cut(Card::Type type) noexcept TR_RT {
    return type == Card::Type::low_cut || type == Card::Type::high_cut;
  }
  static int stages_of(Card::SlopeDbPerOctave slope) noexcept TR_RT {
    using Slope = Card::SlopeDbPerOctave;  // each option is one stage of 12 dB an octave more
    static_assert(static_cast<int>(Slope::n12) == 0 && static_cast<int>(Slope::n24) == 1);
    static_assert(static_cast<int>(Slope::n36) == 2 && static_cast<int>(Slope::n48) == max_stages - 1);
    return static_cast<int>(slope) + 1;
  }

  static Layout layout_of(const Card::Values& v) noexcept TR_RT {
    Layout layout{v.warping};
    for (std::size_t b = 0; b < bands; ++b) {
      const auto& band = v.bands[b];
      const int stages = is_cut(band.type) ? stages_of(band.slope_db_per_octave) : 1;
      layout.band[b] = {band.type, stages, band.channel};
    }
    return layout;
  }

  double rate_ = 0;
  std::array<Filters, 2> filters_;
  std::size_t now_ = 0;
  Layout layout_{}, wanted_{};
  int faded_ = fade_frames;
  std::vector<std::vector<float>> before_;
  std::vector<float*> pointers_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
