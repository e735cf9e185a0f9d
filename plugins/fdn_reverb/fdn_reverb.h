// Reverb: early reflections beside a diffused feedback delay network.
//
//   in -> low cut -> high cut -> pre-delay -+-> early reflections ---------------------> + -> width -> mix -> out
//                                           +-> diffusers -> 16-line delay network ----> +
#if defined(TWINRACK_PLUGINS_FDN_REVERB_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_FDN_REVERB_H_
#undef TWINRACK_PLUGINS_FDN_REVERB_H_
#else
#define TWINRACK_PLUGINS_FDN_REVERB_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "cards.h"
#include "dsp/delay/delay_network-inl.h"
#include "dsp/delay/delay_network_streams-inl.h"
#include "dsp/delay/diffusers-inl.h"
#include "dsp/delay/early_reflections-inl.h"
#include "dsp/delay/fdn_design.h"
#include "dsp/delay/fractional_delay-inl.h"
#include "dsp/filters/svf_cascade-inl.h"
#include "dsp/filters/svf_design.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct FDNReverb {
  using Card = cards::FDNReverb;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    channels_ = format.channels;
    layout_ = fdn_layout(rate_);
    cuts_.prepare(channels_);
    const auto count = static_cast<std::size_t>(channels_);
    pre_delay_.assign(count, FractionalDelay());
    for (auto& delay : pre_delay_) delay.prepare(static_cast<int>(std::ceil(0.25 * rate_)) + 4, max_segment);
    early_.prepare(layout_, channels_, static_cast<int>(std::ceil(0.07 * rate_)));
    diffusers_.prepare(layout_, channels_);
    network_.prepare(layout_, channels_);
    memory_.assign(2 * count * max_segment, 0.0f);
    for (std::size_t c = 0; c < count; ++c) {
      wet_[c] = memory_.data() + 2 * c * max_segment;
      late_[c] = wet_[c] + max_segment;
    }
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    const double decay_s = static_cast<double>(v.decay_s);
    from_ = to_;
    for (std::size_t i = 0; i < fdn_diffusers; ++i) {
      for (std::size_t side = 0; side < 2; ++side) {
        const double length_s = layout_.diffuser_frames[i][side] / rate_;
        to_.diffusion[i][side] = static_cast<float>(diffuser_gain(static_cast<double>(v.diffusion), length_s, decay_s));
      }
    }
    pre_delay_from_ = pre_delay_to_;
    pre_delay_to_ = 1.0 + static_cast<double>(v.pre_delay_ms) * 1e-3 * rate_;
    to_.early =
        v.early_db > -59.99f ? static_cast<float>(std::pow(10.0, static_cast<double>(v.early_db) / 20.0)) : 0.0f;
    to_.network_input = v.freeze ? 0.0f : 1.0f;
    to_.late_level = static_cast<float>(late_level(decay_s));
    to_.width = v.width;
    to_.mix = v.mix;
    tune_lines(v);
    network_.tune(to_.shelves, static_cast<double>(v.modulation_rate_hz) * tick_frames / rate_, v.modulation_depth);
    const SvfDesign cuts[2] = {design_svf(FilterShape::low_cut, false, static_cast<double>(v.low_cut_hz), 0.0,
                                          std::numbers::sqrt2 / 2.0, rate_),
                               design_svf(FilterShape::high_cut, false, static_cast<double>(v.high_cut_hz), 0.0,
                                          std::numbers::sqrt2 / 2.0, rate_)};
    cuts_.tune(cuts, 2);
    ramping_ = !(from_ == to_) || pre_delay_from_ != pre_delay_to_;
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    from_ = to_;
    pre_delay_from_ = pre_delay_to_;
    ramping_ = false;
    cuts_.reset();
    for (auto& delay : pre_delay_) delay.reset();
    early_.reset();
    diffusers_.reset();
    network_.reset();
    frame_in_tick_ = 0;
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    network_.resume();
    for (std::size_t c = 0; c < pre_delay_.size(); ++c) std::copy_n(io.channel[c], io.frames, wet_[c]);
    cuts_.process({wet_.data(), channels_, io.frames});
    for (std::size_t c = 0; c < pre_delay_.size(); ++c) {
      if (ramping_) {
        pre_delay_[c].process(wet_[c], pre_delay_from_, pre_delay_to_, frame_, io.frames);
      } else {
        pre_delay_[c].process(wet_[c], pre_delay_to_, io.frames);
      }
    }
    for (int start = 0; start < io.frames;) {
      const int block = ramping_ ? tick_frames - frame_in_tick_ : Diffusers::longest_block;
      const int frames = std::min(io.frames - start, block);
      std::array<const float*, max_channels> delayed{};
      for (std::size_t c = 0; c < pre_delay_.size(); ++c) delayed[c] = wet_[c] + start;
      diffuse(delayed, frames);
      reverberate(frames);
      early_.process(delayed.data(), late_.data(), ramp(from_.early, to_.early), frames);
      mix_with_dry(io, start, frames);
      start += frames;
      frame_ = std::min(frame_ + frames, tick_frames);
    }
  }

  int stream_group() const noexcept TR_RT {
    return ramping_ || cuts_.stream_groups() < 0 || frame_in_tick_ != 0 ? -1 : 0;
  }

  // The past of streams side by side, but that of the cuts and the pre-delay, which stays with each of them.
  class StreamMemory {
   public:
    explicit StreamMemory(const Format& format) {
      const FdnLayout layout = fdn_layout(format.sample_rate);
      early_.prepare(layout, format.channels);
      diffusers_.prepare(layout, format.channels);
      network_.prepare(layout, format.channels);
      memory_ = stream_memory((format.channels + 1) * max_segment);
    }
    void take(FDNReverb& own, int lane) noexcept TR_RT {
      early_.take(own.early_, lane);
      diffusers_.take(own.diffusers_, lane);
      network_.take(own.network_, lane);
    }
    void give(FDNReverb& own, int lane) noexcept TR_RT {
      early_.give(own.early_, lane);
      diffusers_.give(own.diffusers_, lane);
      network_.give(own.network_, lane);
    }

   private:
    friend FDNReverb;

    EarlyReflectionStreams early_;
    DiffuserStreams diffusers_;
    DelayNetworkStreams network_;
    hwy::AlignedFreeUniquePtr<float[]> memory_;
  };

  static StreamPeaks process_streams(StreamMemory& memory, const StreamOwners<FDNReverb>& owners,
                                     const StreamBlock& io) noexcept TR_RT {
    float* wet[2];
    for (int c = 0; c < io.channels; ++c) wet[c] = memory.memory_.get() + c * max_segment * stream_lanes;
    filter_streams(owners, io, wet, memory.memory_.get() + io.channels * max_segment * stream_lanes);
    memory.network_.set(
        owners, [](FDNReverb& own) -> auto& { return own.to_.shelves; },
        [](FDNReverb& own) -> auto& { return own.network_; });
    const auto setting = [&](float Settings::* number)
                             HWY_ATTR { return owners.get([&](FDNReverb& own) { return own.to_.*number; }); };
    const StreamTag tag;
    const Streams input = setting(&Settings::network_input), late_level = setting(&Settings::late_level);
    const Streams early = setting(&Settings::early), width = setting(&Settings::width), mix = setting(&Settings::mix);
    const Streams dry = hn::Set(tag, 1.0f) - mix;
    const Streams per_channel = hn::Set(tag, 1.0f / static_cast<float>(io.channels));
    Streams gains[2][fdn_diffusers];
    for (std::size_t side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < fdn_diffusers; ++i) {
        gains[side][i] = owners.get([&](FDNReverb& own) { return own.to_.diffusion[i][side]; });
      }
    }
    StreamPeaks peaks;
    alignas(64) float late_memory[2][StreamRing::block * stream_lanes];
    float* const late[2] = {late_memory[0], late_memory[1]};
    for (int start = 0; start < io.frames; start += StreamRing::block) {
      const float* delayed[2];
      for (int c = 0; c < io.channels; ++c) {
        delayed[c] = wet[c] + start * stream_lanes;
        memory.diffusers_.process(c, delayed[c], late[c], gains[c % 2], input);
      }
      if (start % tick_frames == 0) memory.network_.tick();
      memory.network_.process(late, late_level, start % tick_frames);
      memory.early_.process(delayed, late, early);
      for (int n = 0; n < StreamRing::block; ++n) {
        Streams mean = hn::Zero(tag);
        for (int c = 0; c < io.channels; ++c) mean = mean + load_streams(late[c], n);
        mean = mean * per_channel;
        for (int c = 0; c < io.channels; ++c) {
          const Streams y = mix * MulAdd(width, load_streams(late[c], n) - mean, mean);
          const Streams out = dry * load_streams(io.channel[c], start + n) + y;
          peaks.add(out);
          store_streams(out, io.channel[c], start + n);
        }
      }
    }
    return peaks;
  }

  bool tail_ended(int silent_frames) noexcept TR_RT {
    constexpr float quiet = 1e-8f;
    if (silent_frames < pre_delay_to_ + 0.08 * rate_) return false;  // the reflections have passed
    if (!network_.below(quiet) || !diffusers_.below(quiet) || !cuts_.tail_ended()) return false;
    network_.clear_filters();
    return true;
  }

  // The modulation goes on in silence.
  void skip_silence(int frames) noexcept TR_RT {
    while (frames > 0) {
      if (frame_in_tick_ == 0) network_.skip_tick();
      const int step = std::min(frames, tick_frames - frame_in_tick_);
      frame_in_tick_ = (frame_in_tick_ + step) % tick_frames;
      frames -= step;
    }
    network_.skip();
  }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(from_, to_, ramping_, cuts_, pre_delay_, early_, diffusers_, network_);
    archive.bounded(frame_, 0, tick_frames);
    archive.bounded(frame_in_tick_, 0, tick_frames - 1);
    archive.bounded(pre_delay_from_, 1.0, std::ceil(0.25 * rate_) + 2.0);
  }

 private:
  struct Settings {
    std::array<std::array<float, 2>, fdn_diffusers> diffusion{};
    float early = 0, network_input = 0, late_level = 0, width = 1, mix = 0;
    DelayNetwork::Shelves shelves{};
    bool operator==(const Settings&) const = default;
  };

  void tune_lines(const Card::Values& v) noexcept TR_RT {
    const DecayBands bands{static_cast<double>(v.decay_s), static_cast<double>(v.decay_low_s),
                           static_cast<double>(v.decay_high_s), static_cast<double>(v.crossover_low_hz),
                           static_cast<double>(v.crossover_high_hz)};
    const double ratio4 = crossover_ratio4(bands, rate_);
    for (std::size_t i = 0; i < fdn_lines; ++i) {
      const LineAttenuation line = v.freeze ? no_attenuation(bands, rate_)
                                            : line_attenuation(layout_.line_frames[i] / rate_, bands, ratio4, rate_);
      for (std::size_t which = 0; which < 2; ++which) {
        const SvfDesign& d = which == 0 ? line.low : line.high;
        const double coefficients[5] = {d.g, d.k, d.m0, d.m1, d.m2};
        for (std::size_t k = 0; k < 5; ++k) to_.shelves[which][k][i] = static_cast<float>(coefficients[k]);
      }
    }
  }

  // The cuts and the pre-delay of streams side by side, into `wet`; `room` is as large as one channel.
  static void filter_streams(const StreamOwners<FDNReverb>& owners, const StreamBlock& io, float* const* wet,
                             float* room) noexcept TR_RT {
    StreamPeaks* const no_peaks[2] = {nullptr, nullptr};
    for (int c = 0; c < io.channels; ++c) std::copy_n(io.channel[c], io.frames * stream_lanes, wet[c]);
    SvfCascade<2>::process_streams(
        owners, [](FDNReverb& own) -> auto& { return own.cuts_; }, wet, io.channels, io.frames, no_peaks);
    float* rows[stream_lanes];
    for (int k = 0; k < stream_lanes; ++k) rows[k] = room + k * max_segment;
    for (int c = 0; c < io.channels; ++c) {
      from_streams(wet[c], rows, io.frames);
      owners.each([&](FDNReverb& own, int k) {
        own.pre_delay_[static_cast<std::size_t>(c)].process(rows[k], own.pre_delay_to_, io.frames);
      });
      to_streams(rows, wet[c], io.frames);
    }
  }

  // A setting within the tick.
  Ramp ramp(float from, float to) const noexcept TR_RT { return {from, to, frame_, ramping_}; }

  // Into the network's input, which closes while the reverb is frozen.
  void diffuse(const std::array<const float*, max_channels>& x, int frames) noexcept TR_RT {
    const Ramp input = ramp(from_.network_input, to_.network_input);
    for (std::size_t c = 0; c < pre_delay_.size(); ++c) {
      Diffusers::Gains gains;
      for (std::size_t i = 0; i < fdn_diffusers; ++i) {
        gains[i] = ramp(from_.diffusion[i][c % 2], to_.diffusion[i][c % 2]);
      }
      float* y = late_[c];
      std::copy_n(x[c], frames, y);
      diffusers_.process(static_cast<int>(c), y, gains, frames);
      if (input.from == 1.0f && input.to == 1.0f) continue;
      for (int n = 0; n < frames; ++n) y[n] *= input[n];
    }
  }

  // Through the network, whose modulation moves at every tick.
  void reverberate(int frames) noexcept TR_RT {
    std::array<float*, max_channels> at = late_;
    for (int done = 0; done < frames;) {
      const int here = std::min(frames - done, tick_frames - frame_in_tick_);
      if (frame_in_tick_ == 0) network_.tick();
      network_.process(at.data(), {from_.shelves, to_.shelves, frame_, ramping_},
                       ramp(from_.late_level, to_.late_level), frame_in_tick_, here);
      for (int c = 0; c < channels_; ++c) at[static_cast<std::size_t>(c)] += here;
      done += here;
      frame_in_tick_ = (frame_in_tick_ + here) % tick_frames;
    }
  }

  void mix_with_dry(Block io, int start, int frames) noexcept TR_RT {
    const Tag<float> d;
    constexpr int lanes = lane_count<float>;
    const Ramp width = ramp(from_.width, to_.width), mix = ramp(from_.mix, to_.mix);
    const auto per_channel = hn::Set(d, 1.0f / static_cast<float>(channels_)), one = hn::Set(d, 1.0f);
    for (int n = 0; n < frames; n += lanes) {
      auto mean = hn::Zero(d);
      for (int c = 0; c < channels_; ++c) mean = mean + hn::LoadU(d, late(c) + n);
      mean = mean * per_channel;
      const auto side = width.vector(n), wet = mix.vector(n);
      const auto dry = one - wet;
      for (int c = 0; c < channels_; ++c) {
        float* x = io.channel[c] + start + n;
        const auto y = wet * MulAdd(side, hn::LoadU(d, late(c) + n) - mean, mean);
        store_some(dry * load_some(x, frames - n) + y, x, frames - n);
      }
    }
  }

  float* late(int channel) const noexcept TR_RT { return late_[static_cast<std::size_t>(channel)]; }

  double rate_ = 0;
  int channels_ = 0;
  int frame_ = 0;  // since the last tune
  int frame_in_tick_ = 0;
  FdnLayout layout_{};
  Settings from_, to_;
  double pre_delay_from_ = 1, pre_delay_to_ = 1;  // frames; one more than set, as the interpolation needs
  bool ramping_ = false;
  SvfCascade<2> cuts_;
  std::vector<FractionalDelay> pre_delay_;
  EarlyReflections early_;
  Diffusers diffusers_;
  DelayNetwork network_;
  std::vector<float> memory_;
  std::array<float*, max_channels> wet_{}, late_{};  // of each channel: after the pre-delay, and the reverb
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
