// A neural network as an effect:
//
//   in -> input gain -> network -> less what it makes of silence -> cut at 5 Hz -> output gain -> mix, or added -> out
//
// With `keep_dc` what the network gives goes on as it is.
#if defined(TWINRACK_PLUGINS_ADAPTER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_ADAPTER_H_
#undef TWINRACK_PLUGINS_ADAPTER_H_
#else
#define TWINRACK_PLUGINS_ADAPTER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "cards.h"
#include "dsp/neural/neural-inl.h"
#include "dsp/shaping/ramps-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Adapter {
  using Card = cards::Adapter;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    filter_.prepare(channels_);
    for (auto* rows : {&wet_, &raw_}) rows->assign(static_cast<std::size_t>(channels_) * max_segment, 0.0f);
    for (auto* once : {&driven_, &nothing_}) once->assign(max_segment, 0.0f);
    for (int c = 0; c < channels_; ++c) wet_pointers_[static_cast<std::size_t>(c)] = row(wet_, c);
  }

  void load(const Resource& network) {
    if (network.channels > 1) throw std::invalid_argument("a network has one row of numbers");
    network_.prepare(network.channels == 0 ? nullptr : network.channel[0], network.frames, channels_);
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    replaces_.go(v.connection == Card::Connection::replace);
    replaces_.tick();
    tuned_ = {static_cast<float>(std::pow(10.0, static_cast<double>(v.input_db) / 20.0)),
              static_cast<float>(std::pow(10.0, static_cast<double>(v.output_db) / 20.0)), v.mix,
              v.keep_dc ? 1.0f : 0.0f, static_cast<float>(replaces_.share())};
    settings_.go(tuned_);
    const SvfDesign cut = design_svf(FilterShape::low_cut, false, 5.0, 0.0, std::numbers::sqrt2 / 2.0, rate_);
    filter_.tune(&cut, 1);
  }

  void reset() noexcept TR_RT {
    network_.reset();
    filter_.reset();
    replaces_.arrive();
    tuned_[replace] = static_cast<float>(replaces_.share());
    settings_.go(tuned_);
    settings_.arrive();
    quiet_frames_ = 0;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    const Tag<float> d;
    const int frames = io.frames;
    network_.hear_nothing(nothing_.data(), frames);
    for (int c = 0; c < channels_; ++c) {
      each_vector(frames, [&](int n) HWY_ATTR {
        const auto x = load_some(io.channel[c] + n, frames - n);
        hn::StoreU(settings_.vector(input, n) * x, d, driven_.data() + n);
      });
      network_.process(c, driven_.data(), row(raw_, c), frames);
      each_vector(frames, [&](int n) HWY_ATTR {
        hn::StoreU(hn::LoadU(d, row(raw_, c) + n) - hn::LoadU(d, nothing_.data() + n), d, row(wet_, c) + n);
      });
    }
    filter_.process({wet_pointers_.data(), channels_, frames});
    int loud = -1;  // the last frame in which something audible came
    for (int c = 0; c < channels_; ++c) {
      float *y = io.channel[c], *w = row(wet_, c), *r = row(raw_, c);
      for (int n = 0; n < frames; ++n) {
        const float share = settings_.at(mix, n), as_it_is = settings_.at(keep_dc, n);
        const float made = settings_.at(output, n) * ((1.0f - as_it_is) * w[n] + as_it_is * r[n]);
        if (std::abs(made) >= 1e-7f) loud = std::max(loud, n);
        y[n] = (1.0f - share * settings_.at(replace, n)) * y[n] + share * made;
      }
    }
    quiet_frames_ = loud < 0 ? std::min(quiet_frames_ + frames, 1 << 30) : frames - 1 - loud;
    settings_.pass(frames);
  }

  // True while the sound that comes in is faded in beside the network's, or out.
  bool is_ramping() const noexcept TR_RT { return replaces_.moving(); }

  // Silent for longer than the network hears back, and nothing has come for a period of the filter's 5 Hz. The filter
  // and a recurrent network keep their state: it is what silence makes of them.
  bool tail_ended(int silent_frames) noexcept TR_RT {
    const int wait = network_.memory() + 2 * max_segment, period = static_cast<int>(rate_ / 5.0);
    return silent_frames > wait && quiet_frames_ > period && !settings_.moving();
  }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) { archive(settings_, replaces_, network_, filter_, quiet_frames_); }

 private:
  enum Ramped : std::size_t { input, output, mix, keep_dc, replace, ramped_count };

  static float* row(std::vector<float>& rows, int channel) noexcept TR_RT {
    return rows.data() + static_cast<std::size_t>(channel) * max_segment;
  }

  double rate_ = 0;
  int channels_ = 0;
  int quiet_frames_ = 0;      // since something audible came out of the network
  TickFade<0, 16> replaces_;  // the sound that came in, instead of being added to it
  Ramps<ramped_count> settings_;
  Ramps<ramped_count>::Values tuned_{};
  neural::Network network_;
  SvfCascade<1> filter_;
  std::vector<float> wet_, raw_, driven_, nothing_;
  std::array<float*, max_channels> wet_pointers_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
