// Bands about as wide as those of hearing: what lies in each of them, from a low-pass over band-passes to a high-pass
// (of fourth order, without delay), and a gain for each.
//
// The centres lie equally far apart on the scale of equivalent rectangular bandwidths (B. R. Glasberg, B. C. J. Moore,
// 1990).
#if defined(TWINRACK_DSP_FILTERS_AUDITORY_BANDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_DSP_FILTERS_AUDITORY_BANDS_INL_H_
#undef TWINRACK_DSP_FILTERS_AUDITORY_BANDS_INL_H_
#else
#define TWINRACK_DSP_FILTERS_AUDITORY_BANDS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>
#include <vector>

#include "dsp/delay/delay.h"
#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct AuditoryBands {
  static constexpr int count = 24;
  static constexpr double lowest_hz = 80.0, highest_hz = 16000.0;  // centres of the first and the last
  static constexpr double highest_edge = 0.4;                      // of the sample rate, where the last used one begins

  static double number_of(double hz) noexcept TR_RT { return 21.4 * std::log10(1.0 + 0.00437 * hz); }
  static double hz_of(double number) noexcept TR_RT { return (std::pow(10.0, number / 21.4) - 1.0) / 0.00437; }
  // Of the centre of a band, counted from 0; half a band further is its upper edge.
  static double hz(double band) noexcept TR_RT {
    const double first = number_of(lowest_hz);
    return hz_of(first + (number_of(highest_hz) - first) * band / (count - 1));
  }
  // The bands that a rate holds: those that begin below what it can show.
  static int used(double sample_rate) {
    int bands = 2;
    while (bands < count && hz(bands - 0.5) < highest_edge * sample_rate) ++bands;
    return bands;
  }
  static double q(int band) { return hz(band) / (hz(band + 0.5) - hz(band - 0.5)); }
};

// The mean power of a tick in each band, over all channels.
class AuditoryBandPowers {
 public:
  static constexpr int count = AuditoryBands::count;
  using Row = std::array<float, static_cast<std::size_t>(count)>;

  void prepare(int channels, double sample_rate) {
    const int used = AuditoryBands::used(sample_rate);
    for (auto& row : coefficients_) row.fill(0.0f);
    for (int b = 0; b < count; ++b) {
      const bool first = b == 0, last = b == used - 1;
      const FilterShape shape = first ? FilterShape::high_cut : last ? FilterShape::low_cut : FilterShape::band_pass;
      const double hz = first ? AuditoryBands::hz(0.5) : last ? AuditoryBands::hz(b - 0.5) : AuditoryBands::hz(b);
      const double q = first || last ? std::numbers::sqrt2 / 2.0 : AuditoryBands::q(b);
      const SvfDesign d = b < used ? design_svf(shape, false, hz, 0.0, q, sample_rate) : SvfDesign{1.0, 1.0, 0, 0, 0};
      const double numbers[5] = {d.g, d.k, d.m0, d.m1, d.m2};
      for (std::size_t i = 0; i < 5; ++i)
        coefficients_[i][static_cast<std::size_t>(b)] = static_cast<float>(numbers[i]);
    }
    states_.assign(static_cast<std::size_t>(channels), State{});
  }

  void reset() noexcept TR_RT { std::fill(states_.begin(), states_.end(), State{}); }

  // Frames of one tick.
  void add(const float* const* x, int channels, int frames) noexcept TR_RT {
    const Tag<float> d;
    for (int c = 0; c < channels; ++c) {
      State& state = states_[static_cast<std::size_t>(c)];
      for (std::size_t b = 0; b < count; b += lane_count<float>) {
        const auto row = [&](std::size_t i) HWY_ATTR { return hn::LoadU(d, coefficients_[i].data() + b); };
        const Svf<Vec<float>> filter = make_svf(row(0), row(1), row(2), row(3), row(4));
        const auto load = [&](const Row& numbers) HWY_ATTR { return hn::LoadU(d, numbers.data() + b); };
        SvfState<Vec<float>> one{load(state.at[0]), load(state.at[1])}, two{load(state.at[2]), load(state.at[3])};
        auto energy = load(state.energy);
        for (int n = 0; n < frames; ++n) {
          const auto y = svf_step(two, filter, svf_step(one, filter, hn::Set(d, x[c][n])));
          energy = MulAdd(y, y, energy);
        }
        const auto store = [&](Vec<float> v, Row& numbers) HWY_ATTR { hn::StoreU(v, d, numbers.data() + b); };
        store(flushed(one.s1), state.at[0]);
        store(flushed(one.s2), state.at[1]);
        store(flushed(two.s1), state.at[2]);
        store(flushed(two.s2), state.at[3]);
        store(energy, state.energy);
      }
    }
  }

  // The power of the tick that has ended; the next one begins.
  void take(int channels, Row& power) noexcept TR_RT {
    power.fill(0.0f);
    for (int c = 0; c < channels; ++c) {
      Row& energy = states_[static_cast<std::size_t>(c)].energy;
      for (std::size_t b = 0; b < count; ++b) power[b] += energy[b];
      energy.fill(0.0f);
    }
    for (float& p : power) p *= 1.0f / static_cast<float>(channels * tick_frames);
  }

  void state(StateArchive& archive) { archive(states_); }

 private:
  struct State {
    std::array<Row, 4> at{};
    Row energy{};
    void state(StateArchive& archive) { archive(at, energy); }
  };
  std::array<Row, 5> coefficients_{};
  std::vector<State> states_;
};

// A gain for each band, moved once a tick: a filter of linear phase, as long as twice its delay. The bands are
// triangles between the centres, which add up to 1, so that equal gains leave the sound as it is.
class AuditoryBandGains {
 public:
  static constexpr int count = AuditoryBands::count;
  using Row = AuditoryBandPowers::Row;

  void prepare(int channels, double sample_rate, int longest_delay) {
    rate_ = sample_rate;
    used_ = AuditoryBands::used(sample_rate);
    stride_ = longest_delay + 1 + lane_count<float>;
    bands_.assign(static_cast<std::size_t>(count * stride_), 0.0f);
    for (auto* row : {&from_, &step_, &to_}) row->assign(static_cast<std::size_t>(stride_), 0.0f);
    lines_.assign(static_cast<std::size_t>(channels), DelayLine());
    for (DelayLine& line : lines_) line.prepare(2 * longest_delay, tick_frames);
    for (int b = 0; b < used_; ++b) hz_[static_cast<std::size_t>(b)] = AuditoryBands::hz(b);
    delay_ = -1;
  }

  // Of the filter, in frames; another one takes some time, so it is set before the sound runs.
  void set_delay(int frames) noexcept TR_RT {
    if (frames == delay_) return;
    delay_ = frames;
    for (int n = 0; n <= frames; ++n) set_taps(n);
  }
  int delay() const noexcept TR_RT { return delay_; }

  void reset() noexcept TR_RT {
    for (DelayLine& line : lines_) line.reset();
    frame_ = 0;
    begun_ = false;
  }

  // The gains, as amplitudes, at the end of the tick that begins.
  void tune(const Row& gain) noexcept TR_RT {
    const Tag<float> d;
    std::swap(from_, to_);
    for (int n = 0; n <= delay_; n += lane_count<float>) {
      auto sum = hn::Zero(d);
      for (int b = 0; b < used_; ++b) {
        const float* taps = bands_.data() + static_cast<std::ptrdiff_t>(b) * stride_;
        sum = MulAdd(hn::Set(d, gain[static_cast<std::size_t>(b)]), hn::LoadU(d, taps + n), sum);
      }
      hn::StoreU(sum, d, to_.data() + n);
      if (!begun_) hn::StoreU(sum, d, from_.data() + n);
      hn::StoreU(sum - hn::LoadU(d, from_.data() + n), d, step_.data() + n);
    }
    begun_ = true;
    frame_ = 0;
  }

  // Frames of one tick, in place; `late` takes the sound as it is, as late as what is filtered.
  void process(Block io, float (*late)[tick_frames]) noexcept TR_RT {
    const Tag<float> d;
    for (int c = 0; c < io.channels; ++c) {
      float* x = io.channel[c];
      DelayLine& line = lines_[static_cast<std::size_t>(c)];
      line.write(x, io.frames);
      const float* middle = line.written(io.frames, delay_);
      std::copy_n(middle, io.frames, late[c]);
      for (int start = 0; start < io.frames; start += at_once * lane_count<float>) {
        Vec<float> steady[at_once], moving[at_once];
        for (int v = 0; v < at_once; ++v) {
          const auto centre = hn::LoadU(d, middle + std::min(start + v * lane_count<float>, io.frames));
          steady[v] = hn::Set(d, from_[0]) * centre;
          moving[v] = hn::Set(d, step_[0]) * centre;
        }
        for (int first = 1; first <= delay_; first += summed) {  // in parts, whose sums round less
          Vec<float> steady_part[at_once], moving_part[at_once];
          for (int v = 0; v < at_once; ++v) steady_part[v] = moving_part[v] = hn::Zero(d);
          for (int n = first; n <= std::min(first + summed - 1, delay_); ++n) {
            const float *early = line.written(io.frames, delay_ - n), *past = line.written(io.frames, delay_ + n);
            const auto tap = hn::Set(d, from_[static_cast<std::size_t>(n)]);
            const auto step = hn::Set(d, step_[static_cast<std::size_t>(n)]);
            for (int v = 0; v < at_once; ++v) {
              const int at = std::min(start + v * lane_count<float>, io.frames);
              const auto both = hn::LoadU(d, early + at) + hn::LoadU(d, past + at);
              steady_part[v] = MulAdd(tap, both, steady_part[v]);
              moving_part[v] = MulAdd(step, both, moving_part[v]);
            }
          }
          for (int v = 0; v < at_once; ++v) {
            steady[v] = steady[v] + steady_part[v];
            moving[v] = moving[v] + moving_part[v];
          }
        }
        for (int v = 0; v < at_once; ++v) {
          const int at = start + v * lane_count<float>;
          if (at >= io.frames) break;
          const auto share = hn::Iota(d, static_cast<float>(frame_ + at + 1)) * hn::Set(d, 1.0f / tick_frames);
          store_some(MulAdd(share, moving[v], steady[v]), x + at, io.frames - at);
        }
      }
    }
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  int used() const noexcept TR_RT { return used_; }
  void state(StateArchive& archive) {
    archive(from_, to_, step_, lines_, begun_);
    archive.bounded(frame_, 0, tick_frames);
  }

 private:
  static constexpr int at_once = 4;  // vectors of frames, whose sums fill the registers
  static constexpr int summed = 64;  // taps

  // Tap `n` from the middle, of all bands: the cosine transform of triangles with corners at the centres; a first and a
  // last band go on to the ends. Windowed by a raised cosine.
  void set_taps(int n) noexcept TR_RT {
    const double w = 2.0 * std::numbers::pi * n / rate_;
    const double window = 0.5 + 0.5 * std::cos(std::numbers::pi * n / (delay_ + 1));
    double edge[count];  // the transform of a slope of 1 up to each centre, or the area below it
    for (int b = 0; b < used_; ++b) {
      const double hz = hz_[static_cast<std::size_t>(b)];
      edge[b] = n > 0 ? std::cos(w * hz) / (w * w) : -0.5 * hz * hz;
    }
    for (int b = 0; b < used_; ++b) {
      const auto slope = [&](int from) {
        const auto at = static_cast<std::size_t>(from);
        return (edge[from + 1] - edge[from]) / (hz_[at + 1] - hz_[at]);
      };
      double sum = b == used_ - 1 && n == 0 ? 0.5 * rate_ : 0.0;
      if (b > 0) sum += slope(b - 1);
      if (b < used_ - 1) sum -= slope(b);
      bands_[static_cast<std::size_t>(b * stride_ + n)] = static_cast<float>(window * sum * 2.0 / rate_);
    }
  }

  double rate_ = 0;
  int used_ = count, stride_ = 1, delay_ = -1, frame_ = 0;
  bool begun_ = false;
  std::array<double, static_cast<std::size_t>(count)> hz_{};  // of the centres
  std::vector<float> bands_;                                  // taps of each band, from the middle on
  std::vector<float> from_, to_, step_;  // those of the filter, before the tick and at its end, and how far it moves
  std::vector<DelayLine> lines_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
