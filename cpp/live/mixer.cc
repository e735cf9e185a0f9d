#include "live/mixer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "rt/float_guard.h"

namespace twinrack::live {

namespace {
constexpr float largest_float = std::numeric_limits<float>::max();

void check_channel(int channel, int count) {
  if (channel < -1 || channel >= count) throw std::invalid_argument("a line names a channel that the device lacks");
}
}  // namespace

Mixer::Mixer(std::vector<LineRouting> lines, int inputs, int outputs, double sample_rate, std::int64_t first_frame)
    : inputs_(inputs),
      outputs_(outputs),
      sample_rate_(sample_rate),
      frame_(first_frame),
      fade_step_(static_cast<float>(1.0 / (fade_s * sample_rate))),
      duck_down_(static_cast<float>(1.0 / (duck_s * sample_rate))),
      duck_up_(static_cast<float>(1.0 / (duck_release_s * sample_rate))),
      silence_(max_segment),
      weighting_(sample_rate) {
  inbox_.reserve();
  history_.reserve();
  if (inputs < 0 || outputs < 0 || inputs > max_device_channels || outputs > max_device_channels || lines.empty()) {
    throw std::invalid_argument("a mixer has lines, and at most 64 inputs and outputs");
  }
  if (!(sample_rate >= min_sample_rate && sample_rate <= max_sample_rate)) {
    throw std::invalid_argument("8 to 384 kHz are possible");
  }
  for (LineRouting& routing : lines) {
    if (routing.keys.size() < static_cast<std::size_t>(routing.rack->key_count())) {
      throw std::invalid_argument("a line gives every sidechain of its rack a source");
    }
    const auto channels = static_cast<std::size_t>(routing.rack->format().channels);
    if (routing.inputs.size() != channels || routing.outputs.size() != channels) {
      throw std::invalid_argument("a line maps every channel of its rack");
    }
    for (const int c : routing.inputs) check_channel(c, inputs);
    for (const int c : routing.outputs) check_channel(c, outputs);
    Line line;
    line.routing = std::move(routing);
    line.samples.assign(channels, std::vector<float>(max_segment));
    for (auto& channel : line.samples) line.channels.push_back(channel.data());
    for (const auto& key : line.routing.keys) {
      for (const int c : key) check_channel(c, inputs);
      if (key.empty() || key.size() > max_channels) throw std::invalid_argument("a sidechain has 1 to 16 channels");
      line.key_channels.emplace_back(key.size());
    }
    for (const auto& channel : line.key_channels) {
      line.keys.push_back({channel.data(), static_cast<int>(channel.size())});
    }
    lines_.push_back(std::move(line));
  }
  limiter_.prepare(sample_rate);
  howl_.prepare(sample_rate, static_cast<int>(first_frame % max_segment));
}

Mixer::~Mixer() = default;

std::uint64_t Mixer::set_control(MixerControl control, int index, float value) noexcept {
  if (!inbox_.push({control, index, value, last_id_ + 1})) return 0;
  return ++last_id_;
}

void Mixer::record_into(int seconds) {
  if (record_ring_ != nullptr) return;  // the audio thread may still write into it
  if (seconds < 1 || seconds > 3600) throw std::invalid_argument("a recorder keeps 1 to 3600 seconds");
  record_ring_ = std::make_unique<FrameRing>(inputs_ + outputs_, static_cast<int>(seconds * sample_rate_));
}

void Mixer::play(LoopPlayer::Channels dry, LoopPlayer::Channels target) {
  const auto longest = static_cast<std::size_t>(std::numeric_limits<int>::max() / 2);
  const std::size_t frames = dry.empty() ? 0 : dry.front().size();
  if ((!dry.empty() && frames == 0) || frames > longest)
    throw std::invalid_argument("a recording has 1 to 2^30 frames");
  for (const auto* recording : {&dry, &target}) {
    for (const auto& channel : *recording) {
      if (channel.size() != frames) throw std::invalid_argument("both recordings have channels of the same length");
    }
  }
  player_.load(std::move(dry), std::move(target));
}

OutputState Mixer::output_state() noexcept {
  const auto relaxed = std::memory_order_relaxed;
  const OutputState state{published_limiter_gain_.load(relaxed),
                          published_duck_gain_.load(relaxed),
                          howl_hz_.load(relaxed),
                          howls_.load(relaxed),
                          fault_mutes_.load(relaxed),
                          published_energy_.load(relaxed),
                          published_weighted_frames_.load(relaxed)};
  state_reads_.fetch_add(1, relaxed);
  return state;
}

std::vector<float> Mixer::output_peaks() noexcept {
  std::vector<float> peaks;
  for (int c = 0; c < outputs_; ++c) {
    peaks.push_back(published_peaks_[static_cast<std::size_t>(c)].load(std::memory_order_relaxed));
  }
  return peaks;
}

void Mixer::apply_changes() noexcept TR_RT {
  while (has_pending_ || inbox_.pop(pending_)) {
    has_pending_ = false;
    if (keeps_history_.load(std::memory_order_relaxed)) history_.push({pending_.id, frame_});
    apply(pending_);
  }
}

void Mixer::apply(const MixerChange& change) noexcept TR_RT {
  const bool on = change.value > 0.5f;
  switch (change.control) {
    case MixerControl::level:
      if (change.index >= 0 && change.index < static_cast<int>(lines_.size()) && std::isfinite(change.value)) {
        lines_[static_cast<std::size_t>(change.index)].level.target = std::clamp(change.value, 0.0f, 16.0f);
      }
      break;
    case MixerControl::fade:
      fade_.target = on ? 1.0f : 0.0f;
      break;
    case MixerControl::mute:
      mute_.target = on ? 0.0f : 1.0f;
      break;
    case MixerControl::limiter:
      limiter_.enable(on);
      break;
    case MixerControl::ceiling:
      limiter_.ceiling(change.value);
      break;
    case MixerControl::mute_on_fault:
      mutes_on_fault_ = on;
      break;
    case MixerControl::howl_duck:
      ducks_ = on;
      break;
    case MixerControl::listen:
      player_.listen(static_cast<Listen>(change.index));
      break;
    case MixerControl::record:
      recording_ = on && record_ring_ != nullptr;
      if (on) howl_.reset();  // so that a replay detects the same howls from here on
      break;
  }
}

void Mixer::process(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  const FloatGuard guard;
  const std::uint32_t reads = state_reads_.load(std::memory_order_relaxed);
  if (reads != state_resets_) {
    min_gain_ = 1.0f;
    peaks_.fill(0.0f);
  }
  state_resets_ = reads;
  const float* from[max_device_channels];
  float* to[max_device_channels];
  // Changes sent before this call take effect at its first tick, so a block ends there while one is pending.
  if (!has_pending_) has_pending_ = inbox_.pop(pending_);
  for (int start = 0; start < frames;) {
    const int in_tick = static_cast<int>(frame_ % tick_frames);
    if (in_tick == 0) apply_changes();
    int length = std::min(frames - start, max_segment - static_cast<int>(frame_ % max_segment));
    if (has_pending_) length = std::min(length, tick_frames - in_tick);
    for (int c = 0; c < inputs_; ++c) from[c] = in == nullptr ? silence_.data() : in[c] + start;
    for (int c = 0; c < outputs_; ++c) to[c] = out[c] + start;
    process_segment(from, to, length);
    start += length;
    frame_ += length;
  }
  published_frame_.store(frame_, std::memory_order_relaxed);
}

void Mixer::process_segment(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  for (int c = 0; c < outputs_; ++c) std::fill_n(out[c], frames, 0.0f);
  const bool alone = lines_.size() == 1;
  for (Line& line : lines_) {
    process_line(line, in, frames);
    const int channels = line.routing.rack->format().channels;
    if (!line.level.steady() || line.level.value != 1.0f) {
      for (int n = 0; n < frames; ++n) {
        const float level = line.level.next(fade_step_);
        for (int c = 0; c < channels; ++c) line.channels[static_cast<std::size_t>(c)][n] *= level;
      }
    }
    for (int c = 0; c < channels; ++c) {
      const int to = line.routing.outputs[static_cast<std::size_t>(c)];
      if (to < 0) continue;
      const float* y = line.channels[static_cast<std::size_t>(c)];
      if (alone && channels == 1) {
        std::copy_n(y, frames, out[to]);
      } else {
        for (int n = 0; n < frames; ++n) out[to][n] = std::clamp(out[to][n] + y[n], -largest_float, largest_float);
      }
    }
  }
  protect(out, frames);
  if (recording_) record(in, out, frames);
  publish(out, frames);
}

void Mixer::process_line(Line& line, const float* const* in, int frames) noexcept TR_RT {
  const LineRouting& routing = line.routing;
  const int channels = routing.rack->format().channels;
  for (int c = 0; c < channels; ++c) {
    const int from = routing.inputs[static_cast<std::size_t>(c)];
    std::copy_n(from < 0 ? silence_.data() : in[from], frames, line.channels[static_cast<std::size_t>(c)]);
  }
  for (std::size_t k = 0; k < line.keys.size(); ++k) {
    for (std::size_t c = 0; c < routing.keys[k].size(); ++c) {
      const int from = routing.keys[k][c];
      line.key_channels[k][c] = from < 0 ? silence_.data() : in[from];
    }
  }
  const bool plays = player_.is_loaded() && &line == lines_.data();
  if (plays) player_.read_input(line.channels.data(), channels, frames);
  line.before->write(line.channels.data(), channels, frames);
  routing.rack->process(line.channels.data(), line.keys.empty() ? nullptr : line.keys.data(), frames);
  if (plays) {
    player_.crossfade_output(line.channels.data(), channels, frames, routing.rack->sounding_latency(), fade_step_);
  }
  line.after->write(line.channels.data(), channels, frames);
  const std::uint32_t faults = routing.rack->faults();
  if (faults > line.faults && mutes_on_fault_) {
    fault_.target = 0.0f;
    fault_frames_left_ = static_cast<int>(fault_hold_s * sample_rate_);
    fault_mutes_.fetch_add(1, std::memory_order_relaxed);
  }
  line.faults = faults;  // a new program counts from 0
}

void Mixer::protect(float* const* out, int frames) noexcept TR_RT {
  const bool steady = fade_.steady() && mute_.steady() && fault_.steady() && duck_.steady() &&
                      fault_frames_left_ == 0 && duck_frames_left_ == 0 &&
                      fade_.value * mute_.value * fault_.value * duck_.value == 1.0f;
  if (frame_ % max_segment == 0) {  // a new window of the howl detector begins
    window_min_gain_before_ = window_min_gain_;
    window_min_gain_ = 1.0f;
  }
  const bool howls = howl_.process(out, outputs_, frames, window_min_gain_before_ < heavy_limiting) && ducks_;
  if (!steady) {
    for (int n = 0; n < frames; ++n) {
      if (fault_frames_left_ > 0 && --fault_frames_left_ == 0) fault_.target = 1.0f;
      if (duck_frames_left_ > 0 && --duck_frames_left_ == 0) duck_.target = 1.0f;
      const float gain = fade_.next(fade_step_) * mute_.next(fade_step_) *
                         fault_.next(fault_.target < fault_.value ? 10.0f * fade_step_ : fade_step_) *
                         duck_.next(duck_.target < duck_.value ? duck_down_ : duck_up_);
      for (int c = 0; c < outputs_; ++c) out[c][n] *= gain;
    }
  }
  if (howls) {
    duck_.target = 0.05f;
    duck_frames_left_ = static_cast<int>(duck_hold_s * sample_rate_);
    howls_.fetch_add(1, std::memory_order_relaxed);
    howl_hz_.store(howl_.frequency_hz(), std::memory_order_relaxed);
  }
  limiter_.process(out, outputs_, frames);
  const float min_gain = limiter_.read_min_gain();
  min_gain_ = std::min(min_gain_, min_gain);
  window_min_gain_ = std::min(window_min_gain_, min_gain);
  silent_.store(fade_.value == 0.0f && fade_.target == 0.0f, std::memory_order_relaxed);
}

void Mixer::record(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  const int inputs = inputs_;
  const auto at = [&](int c) noexcept -> const float* { return c < inputs ? in[c] : out[c - inputs]; };
  if (record_ring_->write(at, frames)) return;
  lost_frames_.fetch_add(static_cast<std::uint64_t>(frames), std::memory_order_relaxed);
  recording_ = false;  // a recording with a gap is of no use
}

void Mixer::publish(float* const* out, int frames) noexcept TR_RT {
  for (int c = 0; c < outputs_; ++c) {
    float& peak = peaks_[static_cast<std::size_t>(c)];
    for (int n = 0; n < frames; ++n) peak = std::max(peak, std::abs(out[c][n]));
    published_peaks_[static_cast<std::size_t>(c)].store(peak, std::memory_order_relaxed);
    if (c >= weighted_outputs) continue;
    const double energy = weighting_.energy(out[c], frames, weighted_[static_cast<std::size_t>(c)]);
    if (std::isfinite(energy)) {
      weighted_energy_ += energy;
    } else {
      weighted_[static_cast<std::size_t>(c)] = {};
    }
  }
  weighted_frames_ += frames;
  published_energy_.store(weighted_energy_, std::memory_order_relaxed);
  published_weighted_frames_.store(weighted_frames_, std::memory_order_relaxed);
  published_limiter_gain_.store(min_gain_, std::memory_order_relaxed);
  published_duck_gain_.store(duck_.value, std::memory_order_relaxed);
}

}  // namespace twinrack::live
