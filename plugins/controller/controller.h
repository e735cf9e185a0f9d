// A network that controls values of other effects:
//
//   sound or sidechain -> mean of channels -> levels (10 ms, 300 ms; four bands, 100 ms) -> network -> once a tick, an
//   offset for each value that it controls
//
// The engine adds the offsets to the values. The sound itself passes unchanged.
#if defined(TWINRACK_PLUGINS_CONTROLLER_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TWINRACK_PLUGINS_CONTROLLER_H_
#undef TWINRACK_PLUGINS_CONTROLLER_H_
#else
#define TWINRACK_PLUGINS_CONTROLLER_H_
#endif

#include <array>
#include <cmath>
#include <span>
#include <stdexcept>
#include <vector>

#include "cards.h"
#include "dsp/neural/conv_stack-inl.h"
#include "dsp/filters/svf-inl.h"
#include "dsp/filters/svf_design.h"
#include "rt/block.h"
#include "rt/state.h"

HWY_BEFORE_NAMESPACE();
namespace twinrack {
namespace HWY_NAMESPACE {

struct Controller {
  using Card = cards::Controller;
  static constexpr int bands = 4, features = 2 + bands;
  static constexpr std::array<double, bands> centres = {100.0, 500.0, 2000.0, 8000.0};
  static constexpr std::array<double, features> times_s = {0.010, 0.300, 0.100, 0.100, 0.100, 0.100};

  void prepare(const Format& format) {
    for (std::size_t b = 0; b < bands; ++b) {
      const double centre = std::min(centres[b], 0.45 * format.sample_rate);
      const auto c = design_svf(FilterShape::band_pass, false, centre, 0.0, std::numbers::sqrt2, format.sample_rate);
      filters_[b] = make_svf(static_cast<float>(c.g), static_cast<float>(c.k), static_cast<float>(c.m0),
                             static_cast<float>(c.m1), static_cast<float>(c.m2));
    }
    for (std::size_t f = 0; f < features; ++f) {
      coefficients_[f] = static_cast<float>(1.0 - std::exp(-tick_frames / (times_s[f] * format.sample_rate)));
    }
  }

  void load(const Resource& network) {
    loaded_ = network.channels > 0;
    if (!loaded_) return;
    if (network.channels > 1) throw std::invalid_argument("a network has one row of numbers");
    const twinrack::neural::Plan plan = twinrack::neural::PlanReader(network.channel[0], network.frames).read();
    if (plan.kind != twinrack::neural::Plan::conv_stack || plan.stack.convs.front().in != features) {
      throw std::invalid_argument("the controller's network does not take the inputs of a controller");
    }
    network_.prepare(plan.stack);
    if (network_.memory() > 0) throw std::invalid_argument("the controller's network needs past frames");
    state_ = neural::StreamState{};
    network_.make_rows(state_);
    outputs_.assign(static_cast<std::size_t>(plan.stack.convs.back().out), 0.0f);
  }

  void tune(const Card::Values& v) noexcept TR_RT { amount_ = v.amount; }

  void reset() noexcept TR_RT {
    filled_ = 0;
    levels_ = {};
    for (auto& s : states_) s = {0.0f, 0.0f};
    for (float& o : outputs_) o = 0.0f;
  }

  void process(Block io, SideBlock key) noexcept TR_RT {
    const bool keyed = key.channel != nullptr;
    const int channels = keyed ? key.channels : io.channels;
    const float scale = 1.0f / static_cast<float>(channels);
    for (int n = 0; n < io.frames && filled_ + n < tick_frames; ++n) {
      float sum = 0.0f;
      for (int c = 0; c < channels; ++c) sum += keyed ? key.channel[c][n] : io.channel[c][n];
      mono_[static_cast<std::size_t>(filled_ + n)] = sum * scale;
    }
    filled_ = std::min(filled_ + io.frames, tick_frames);
    if (filled_ == tick_frames) update();
  }

  // The offsets for the tick that begins.
  std::span<const float> control_values() noexcept TR_RT { return outputs_; }

  int latency() const noexcept { return 0; }
  void state(StateArchive& archive) {
    archive.bounded(filled_, 0, tick_frames - 1);
    archive(mono_, states_, levels_, outputs_);
  }

 private:
  // After a whole tick.
  void update() noexcept TR_RT {
    filled_ = 0;
    std::array<float, features> power{};
    for (const float x : mono_) {
      power[0] += x * x;
      for (std::size_t b = 0; b < bands; ++b) {
        const float y = svf_step(states_[b], filters_[b], x);
        power[2 + b] += y * y;
      }
    }
    power[1] = power[0];
    if (!loaded_) return;
    for (std::size_t f = 0; f < features; ++f) {
      levels_[f] += coefficients_[f] * (power[f] * (1.0f / tick_frames) - levels_[f]);
      // 10 log10, from -100 dB on, over 40 dB
      const float db = 3.0102999566f * log2_of(levels_[f] + 1e-10f);
      state_.rows.front().row(0)[f] = db * (1.0f / 40.0f) + 1.0f;
    }
    network_.run(state_.rows.data(), 0, 1);
    const float* out = state_.rows.back().row(0);
    for (std::size_t o = 0; o < outputs_.size(); ++o) outputs_[o] = amount_ * out[o];
  }

  bool loaded_ = false;
  int filled_ = 0;
  float amount_ = 1.0f;
  std::array<float, tick_frames> mono_{};
  std::array<Svf<float>, bands> filters_{};
  std::array<SvfState<float>, bands> states_{};
  std::array<float, features> coefficients_{}, levels_{};
  neural::ConvStack network_;
  neural::StreamState state_;
  std::vector<float> outputs_;
};

}  // namespace HWY_NAMESPACE
}  // namespace twinrack
HWY_AFTER_NAMESPACE();

#endif
