// A neural network as an effect (an amplifier capture, for example):
//
//   in -> input gain -> network - its response to silence -> cut at 5 Hz -> output gain -> mix, or added -> out
//
// With `keep_dc` the network's output goes on as it is.
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
#include "dsp/neural/network-inl.h"
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
    for (auto* row : {&driven_, &silence_response_}) row->assign(max_segment, 0.0f);
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
    network_.silence_response(silence_response_.data(), frames);
    for (int c = 0; c < channels_; ++c) {
      each_vector(frames, [&](int n) HWY_ATTR {
        const auto x = load_some(io.channel[c] + n, frames - n);
        hn::StoreU(settings_.vector(input, n) * x, d, driven_.data() + n);
      });
      network_.process(c, driven_.data(), row(raw_, c), frames);
      each_vector(frames, [&](int n) HWY_ATTR {
        hn::StoreU(hn::LoadU(d, row(raw_, c) + n) - hn::LoadU(d, silence_response_.data() + n), d, row(wet_, c) + n);
      });
    }
    filter_.process({wet_pointers_.data(), channels_, frames});
    int last_audible = -1;  // frame of the block
    for (int c = 0; c < channels_; ++c) {
      float *y = io.channel[c], *w = row(wet_, c), *r = row(raw_, c);
      for (int n = 0; n < frames; ++n) {
        const float wet_share = settings_.at(mix, n), raw_share = settings_.at(keep_dc, n);
        const float wet = settings_.at(output, n) * ((1.0f - raw_share) * w[n] + raw_share * r[n]);
        if (std::abs(wet) >= 1e-7f) last_audible = std::max(last_audible, n);
        y[n] = (1.0f - wet_share * settings_.at(replace, n)) * y[n] + wet_share * wet;
      }
    }
    quiet_frames_ = last_audible < 0 ? std::min(quiet_frames_ + frames, 1 << 30) : frames - 1 - last_audible;
    settings_.pass(frames);
  }

  // True while the connection crossfades.
  bool is_ramping() const noexcept TR_RT { return replaces_.moving(); }

  // Silence has lasted for longer than the network looks back, and the output for a period of the filter's 5 Hz. The
  // filter and a recurrent network keep their state, which is their response to silence.
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
  int quiet_frames_ = 0;      // since the network's last audible output
  TickFade<0, 16> replaces_;  // the network's output replaces the input, instead of being added to it
  Ramps<ramped_count> settings_;
  Ramps<ramped_count>::Values tuned_{};
  neural::Network network_;
  SvfCascade<1> filter_;
  std::vector<float> wet_, raw_, driven_, silence_response_;
  std::array<float*, max_channels> wet_pointers_{};
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
