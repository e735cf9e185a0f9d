#include "live/callback.h"

#include <algorithm>

namespace twinrack::live {

namespace {
// Values of PaStreamCallbackFlags and PaStreamCallbackResult
constexpr unsigned long input_overflow = 2, output_underflow = 4;
constexpr int proceed = 0;
constexpr double fade_s = 0.01;
}  // namespace

Callback::Callback(std::shared_ptr<Rack> rack, int inputs, int outputs)
    : rack_(std::move(rack)),
      inputs_(inputs),
      outputs_(outputs),
      channels_(rack_->format().channels),
      step_(static_cast<float>(1.0 / (fade_s * rack_->format().sample_rate))) {
  planar_.assign(static_cast<std::size_t>(channels_), std::vector<float>(max_segment));
  for (auto& channel : planar_) pointers_.push_back(channel.data());
}

Counters Callback::counters() const noexcept {
  const auto relaxed = std::memory_order_relaxed;
  return {callbacks_.load(relaxed), frames_.load(relaxed), overflows_.load(relaxed), underflows_.load(relaxed)};
}

int Callback::entry(const void* input, void* output, unsigned long frames, const void*, unsigned long flags,
                    void* user) noexcept TR_RT {
  Callback& self = *static_cast<Callback*>(user);
  const auto relaxed = std::memory_order_relaxed;
  if ((flags & input_overflow) != 0) self.overflows_.fetch_add(1, relaxed);
  if ((flags & output_underflow) != 0) self.underflows_.fetch_add(1, relaxed);
  const auto* in = static_cast<const float*>(input);
  auto* out = static_cast<float*>(output);
  for (unsigned long start = 0; start < frames; start += max_segment) {
    const int length = static_cast<int>(std::min<unsigned long>(frames - start, max_segment));
    self.run(in == nullptr ? nullptr : in + start * static_cast<unsigned long>(self.inputs_),
             out + start * static_cast<unsigned long>(self.outputs_), length);
  }
  self.callbacks_.fetch_add(1, relaxed);
  self.frames_.fetch_add(frames, relaxed);
  return proceed;
}

void Callback::play(Recording dry, Recording target) {
  dry_ = std::move(dry);
  target_ = std::move(target);
  place_ = 0;
}

void Callback::play(int frames) noexcept TR_RT {
  const auto length = static_cast<int>(dry_.front().size());
  for (int c = 0; c < channels_; ++c) {
    const auto& from = dry_[std::min(static_cast<std::size_t>(c), dry_.size() - 1)];
    for (int n = 0; n < frames; ++n) {
      pointers_[static_cast<std::size_t>(c)][n] = from[static_cast<std::size_t>((place_ + n) % length)];
    }
  }
}

// The recordings as they are wait as long as the rack holds its sound back.
void Callback::mix(int frames) noexcept TR_RT {
  const auto length = static_cast<int>(dry_.front().size());
  const int late = rack_->sounding_latency() % length, heard = listen_.load(std::memory_order_relaxed);
  for (int n = 0; n < frames; ++n) {
    for (int i = 0; i < 3; ++i) {
      float& share = shares_[i];
      share = i == heard ? std::min(1.0f, share + step_) : std::max(0.0f, share - step_);
    }
    const auto at = static_cast<std::size_t>((place_ + n - late + length) % length);
    for (int c = 0; c < channels_; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      const float dry = dry_[std::min(channel, dry_.size() - 1)][at];
      const float target = target_.empty() ? 0.0f : target_[std::min(channel, target_.size() - 1)][at];
      float& y = pointers_[channel][n];
      y = shares_[0] * y + shares_[1] * dry + shares_[2] * target;
    }
  }
  place_ = (place_ + frames) % length;
}

// A channel that the input lacks repeats its last one; an output that the rack lacks stays silent.
void Callback::run(const float* input, float* output, int frames) noexcept TR_RT {
  for (int c = 0; c < channels_; ++c) {
    float* x = pointers_[static_cast<std::size_t>(c)];
    const int from = std::min(c, inputs_ - 1);
    for (int n = 0; n < frames; ++n) x[n] = input == nullptr ? 0.0f : input[n * inputs_ + from];
  }
  if (!dry_.empty()) play(frames);
  rack_->process(pointers_.data(), nullptr, frames);
  if (!dry_.empty()) mix(frames);
  const float goal = audible_.load(std::memory_order_relaxed) ? 1.0f : 0.0f;
  for (int n = 0; n < frames; ++n) {
    level_ = goal > level_ ? std::min(goal, level_ + step_) : std::max(goal, level_ - step_);
    for (int c = 0; c < outputs_; ++c) {
      output[n * outputs_ + c] = c < channels_ ? level_ * pointers_[static_cast<std::size_t>(c)][n] : 0.0f;
    }
  }
  silent_.store(level_ == 0.0f, std::memory_order_relaxed);
}

}  // namespace twinrack::live
