#include "live/callback.h"

#include <algorithm>

namespace twinrack::live {

namespace {
// Values of PaStreamCallbackFlags and PaStreamCallbackResult
constexpr unsigned long input_overflow = 2, output_underflow = 4;
constexpr int proceed = 0;
}  // namespace

PortAudioCallback::PortAudioCallback(std::shared_ptr<Mixer> mixer, std::shared_ptr<Bridge> bridge)
    : mixer_(std::move(mixer)), bridge_(std::move(bridge)), load_(mixer_->sample_rate()) {
  planar_.assign(static_cast<std::size_t>(mixer_->inputs() + mixer_->outputs()), std::vector<float>(max_segment));
  for (auto& channel : planar_) {
    (static_cast<int>(in_.size()) < mixer_->inputs() ? in_ : out_).push_back(channel.data());
  }
}

int PortAudioCallback::entry(const void* input, void* output, unsigned long frames, const void*, unsigned long flags,
                             void* user) noexcept TR_RT {
  PortAudioCallback& self = *static_cast<PortAudioCallback*>(user);
  const std::uint64_t begin = self.load_.begin();
  if ((flags & (input_overflow | output_underflow)) != 0) self.xruns_.fetch_add(1, std::memory_order_relaxed);
  const auto* in = static_cast<const float*>(input);
  auto* out = static_cast<float*>(output);
  const auto inputs = static_cast<unsigned long>(self.mixer_->inputs());
  const auto outputs = static_cast<unsigned long>(self.mixer_->outputs());
  for (unsigned long start = 0; start < frames; start += max_segment) {
    const int length = static_cast<int>(std::min<unsigned long>(frames - start, max_segment));
    self.run(in == nullptr ? nullptr : in + start * inputs, out + start * outputs, length);
  }
  self.load_.end(begin, static_cast<int>(frames));
  return proceed;
}

int PortAudioCallback::bridge_entry(const void* input, void*, unsigned long frames, const void*, unsigned long,
                                    void* user) noexcept TR_RT {
  if (input != nullptr) static_cast<Bridge*>(user)->write(static_cast<const float*>(input), static_cast<int>(frames));
  return proceed;
}

void PortAudioCallback::run(const float* input, float* output, int frames) noexcept TR_RT {
  const int inputs = mixer_->inputs(), outputs = mixer_->outputs();
  if (bridge_ != nullptr) {
    bridge_->read(in_.data(), frames);
  } else {
    for (int c = 0; c < inputs; ++c) {
      float* x = in_[static_cast<std::size_t>(c)];
      for (int n = 0; n < frames; ++n) x[n] = input == nullptr ? 0.0f : input[n * inputs + c];
    }
  }
  mixer_->process(in_.data(), out_.data(), frames);
  for (int c = 0; c < outputs; ++c) {
    const float* y = out_[static_cast<std::size_t>(c)];
    for (int n = 0; n < frames; ++n) output[n * outputs + c] = y[n];
  }
}

JackCallback::JackCallback(std::shared_ptr<Mixer> mixer, std::uintptr_t get_buffer,
                           std::vector<std::uintptr_t> input_ports, std::vector<std::uintptr_t> output_ports)
    : mixer_(std::move(mixer)),
      get_buffer_(reinterpret_cast<GetBuffer>(get_buffer)),
      in_(input_ports.size()),
      out_(output_ports.size()),
      load_(mixer_->sample_rate()) {
  for (const std::uintptr_t port : input_ports) input_ports_.push_back(reinterpret_cast<void*>(port));
  for (const std::uintptr_t port : output_ports) output_ports_.push_back(reinterpret_cast<void*>(port));
}

int JackCallback::entry(std::uint32_t frames, void* user) noexcept TR_RT {
  JackCallback& self = *static_cast<JackCallback*>(user);
  const std::uint64_t begin = self.load_.begin();
  for (std::size_t c = 0; c < self.in_.size(); ++c) {
    self.in_[c] = static_cast<const float*>(self.get_buffer_(self.input_ports_[c], frames));
  }
  for (std::size_t c = 0; c < self.out_.size(); ++c) {
    self.out_[c] = static_cast<float*>(self.get_buffer_(self.output_ports_[c], frames));
  }
  self.mixer_->process(self.in_.data(), self.out_.data(), static_cast<int>(frames));
  self.load_.end(begin, static_cast<int>(frames));
  return proceed;
}

int JackCallback::xrun(void* user) noexcept {
  static_cast<JackCallback*>(user)->xruns_.fetch_add(1, std::memory_order_relaxed);
  return proceed;
}

void JackCallback::server_gone(unsigned, const char*, void* user) noexcept {
  static_cast<JackCallback*>(user)->gone_.store(true, std::memory_order_relaxed);
}

}  // namespace twinrack::live
