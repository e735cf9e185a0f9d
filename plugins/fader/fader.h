// The output stage of a mixer channel: width, pan and level as one 2 x 2 matrix for each stereo pair, and mute as a
// factor of it (DAFX, ch. 5). The matrix ramps over each tick in which it changes.
#if defined(TWINRACK_PLUGINS_FADER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_FADER_H_
#undef TWINRACK_PLUGINS_FADER_H_
#else
#define TWINRACK_PLUGINS_FADER_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "cards.h"
#include "dsp/lanes/lane-inl.h"
#include "rt/block.h"
#include "rt/state.h"
#include "rt/tick_fade.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Fader {
  using Card = cards::Fader;

  void prepare(const Format&) {}

  void tune(const Card::Values& v) noexcept TR_RT {
    level_ = std::pow(10.0, static_cast<double>(v.gain_db) / 20.0);
    pan_ = static_cast<double>(v.pan);
    width_ = static_cast<double>(v.width);
    law_ = v.law;
    unmuted_.go(!v.mute);
    unmuted_.tick();
    for (std::size_t i = 0; i < laws; ++i) {
      laws_[i].go(i == static_cast<std::size_t>(law_));
      laws_[i].tick();
    }
    from_ = to_;
    to_ = now();
    frame_ = 0;
  }

  void reset() noexcept TR_RT {
    unmuted_.arrive();
    for (Fade& law : laws_) law.arrive();
    to_ = from_ = now();
  }

  // True while a mute or a change of law fades.
  bool is_ramping() const noexcept TR_RT {
    return unmuted_.moving() || std::any_of(laws_.begin(), laws_.end(), [](const Fade& law) { return law.moving(); });
  }

  void process(Block io, SideBlock) noexcept TR_RT {
    for (int c = 0; c + 1 < io.channels; c += 2) pair(io.channel[c], io.channel[c + 1], io.frames);
    if (io.channels % 2 == 1) {
      const float from = from_[alone], distance = to_[alone] - from;
      float* x = io.channel[io.channels - 1];
      for (int n = 0; n < io.frames; ++n)
        x[n] *= distance == 0.0f ? from : from + distance * ramp_position<float>(frame_ + n);
    }
    frame_ = std::min(frame_ + io.frames, tick_frames);
  }

  bool tail_ended(int) noexcept TR_RT { return from_ == to_; }
  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive(from_, to_);
    archive(unmuted_);
    for (Fade& law : laws_) archive(law);
    archive.bounded(frame_, 0, tick_frames);
  }

 private:
  using Fade = TickFade<0, 16>;
  static constexpr std::size_t laws = 4;
  static_assert(static_cast<std::size_t>(Card::Law::linear_6db) == laws - 1, "the last law of the card");
  static constexpr std::size_t alone = 4;  // the gain of a channel without a partner, after the four of the matrix
  using Gains = std::array<float, 5>;

  // The gain of the side that is at pan 1, by each law.
  static double side(Card::Law law, double pan) noexcept TR_RT {
    const double x = 0.5 * (pan + 1.0);
    const double sine = std::sin(0.5 * std::numbers::pi * x);
    switch (law) {
      case Card::Law::constant_power_3db:
        return sine;
      case Card::Law::compromise_4_5db:
        return std::sqrt(x * sine);
      case Card::Law::linear_6db:
        return x;
      default:
        return std::min(1.0, 1.0 + pan);
    }
  }

  // By the law; while it changes, a weighted mean.
  double side(double pan) const noexcept TR_RT {
    double sum = 0.0, weights = 0.0;
    for (std::size_t i = 0; i < laws; ++i) {
      if (laws_[i].at_first()) continue;
      const double weight = laws_[i].share();
      sum += weight * side(static_cast<Card::Law>(i), pan);
      weights += weight;
    }
    return weights > 0.0 ? sum / weights : side(law_, pan);
  }

  Gains now() const noexcept TR_RT {
    const double level = level_ * unmuted_.share(), left = level * side(-pan_), right = level * side(pan_);
    const double same = 0.5 * (1.0 + width_), other = 0.5 * (1.0 - width_);
    return {static_cast<float>(left * same), static_cast<float>(left * other), static_cast<float>(right * other),
            static_cast<float>(right * same), static_cast<float>(level)};
  }

  void pair(float* left, float* right, int frames) noexcept TR_RT {
    const Gains &a = from_, &b = to_;
    if (a == b) {
      for (int n = 0; n < frames; ++n) {
        const float l = left[n], r = right[n];
        left[n] = b[0] * l + b[1] * r;
        right[n] = b[2] * l + b[3] * r;
      }
      return;
    }
    for (int n = 0; n < frames; ++n) {
      const float t = ramp_position<float>(frame_ + n), l = left[n], r = right[n];
      left[n] = (a[0] + (b[0] - a[0]) * t) * l + (a[1] + (b[1] - a[1]) * t) * r;
      right[n] = (a[2] + (b[2] - a[2]) * t) * l + (a[3] + (b[3] - a[3]) * t) * r;
    }
  }

  double level_ = 1.0, pan_ = 0.0, width_ = 1.0;
  Card::Law law_ = Card::Law::balance;
  std::array<Fade, laws> laws_{Fade(true)};
  Gains from_{}, to_{};
  Fade unmuted_{true};
  int frame_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
