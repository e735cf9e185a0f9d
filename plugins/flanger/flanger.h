// Flanger: a short delay that moves, with feedback, added to the sound itself.
#if defined(TWINRACK_PLUGINS_FLANGER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_FLANGER_H_
#undef TWINRACK_PLUGINS_FLANGER_H_
#else
#define TWINRACK_PLUGINS_FLANGER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cards.h"
#include "dsp/delay/delay_loop-inl.h"
#include "dsp/modulation/lfo-inl.h"
#include "dsp/modulation/tempo.h"
#include "dsp/shaping/ramps-inl.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Flanger {
  using Card = cards::Flanger;
  static constexpr double longest_s = 0.025;

  void prepare(const Format& format) {
    rate_ = format.sample_rate;
    const int longest = std::max(static_cast<int>(std::ceil(longest_s * rate_)), 4);
    loops_.assign(static_cast<std::size_t>((format.channels + 1) / 2), DelayLoop());
    for (std::size_t i = 0; i < loops_.size(); ++i) {
      loops_[i].prepare(std::min(2, format.channels - 2 * static_cast<int>(i)), longest);
    }
  }

  void tune(const Card::Values& v) noexcept TR_RT {
    constexpr Wave waves[] = {Wave::sine, Wave::triangle, Wave::random};
    modulator_.tune(Modulator::Settings::of(v, rate_of(v), waves[static_cast<std::size_t>(v.wave)]), rate_);
    from_ = to_;
    to_ = {static_cast<double>(v.delay_ms) * 1e-3 * rate_, static_cast<double>(v.sweep_ms) * 1e-3 * rate_};
    loop_.go({v.feedback, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f});
    mix_.go({1.0f, v.mix});
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    modulator_.reset();
    from_ = to_;
    loop_.arrive();
    mix_.arrive();
    for (DelayLoop& loop : loops_) loop.reset();
  }

  bool is_ramping() const noexcept TR_RT { return modulator_.fading(); }

  void process(Block io, SideBlock) noexcept TR_RT {
    double delay[2][max_segment];
    float wet[2][max_segment];
    for (int c = 0; c < io.channels; c += 2) {
      const int count = std::min(2, io.channels - c);
      for (int i = 0; i < count; ++i) {
        modulator_.fill(c + i, delay[i], io.frames);
        for (int n = 0; n < io.frames; ++n) {
          const double share = ramp_position<double>(std::min(frame_ + n, tick_frames - 1));
          const double least = from_[0] + (to_[0] - from_[0]) * share, sweep = from_[1] + (to_[1] - from_[1]) * share;
          delay[i][n] = std::max(shortest_loop, least + sweep * (0.5 + 0.5 * delay[i][n]));
        }
      }
      float* const* x = io.channel + c;
      const int other = count - 1;
      loops_[static_cast<std::size_t>(c / 2)].process(loop_, {delay[0], delay[other]}, {x[0], x[other]},
                                                      {wet[0], wet[other]}, io.frames);
      for (int i = 0; i < count; ++i) blend(mix_, 0, 1, x[i], wet[i], x[i], io.frames);
    }
    modulator_.pass(io.frames);
    loop_.pass(io.frames);
    mix_.pass(io.frames);
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int) noexcept TR_RT {
    if (loop_.moving() || mix_.moving() || from_ != to_) return false;
    for (DelayLoop& loop : loops_) {
      if (!loop.quiet()) return false;
    }
    for (DelayLoop& loop : loops_) loop.forget();
    return true;
  }
  void skip_silence(int frames) noexcept TR_RT { modulator_.pass(frames); }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(modulator_, loop_, mix_, loops_);
    archive.bounded(frame_, 0, tick_frames);
    for (auto* ends : {&from_, &to_}) {
      archive.bounded((*ends)[0], 0.0, 0.015 * rate_);
      archive.bounded((*ends)[1], 0.0, 0.01 * rate_);
    }
  }

 private:
  double rate_ = 0;
  std::array<double, 2> from_{}, to_{};  // the shortest delay and the sweep, in frames
  int frame_ = 0;                        // since the last tune
  Modulator modulator_;
  DelayLoop::Settings loop_;
  Ramps<2> mix_;  // the wet level, 1, and the mix
  std::vector<DelayLoop> loops_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
