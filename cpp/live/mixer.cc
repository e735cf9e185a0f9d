#include "live/mixer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "rt/float_guard.h"

namespace twinrack::live {

namespace {
constexpr float loudest = std::numeric_limits<float>::max();

void check(int channel, int count) {
  if (channel < -1 || channel >= count) throw std::invalid_argument("a line names a channel that the device lacks");
}
}  // namespace

Mixer::Mixer(std::vector<Line> lines, int inputs, int outputs, double sample_rate, std::int64_t first_frame)
    : inputs_(inputs),
      outputs_(outputs),
      sample_rate_(sample_rate),
      frame_(first_frame),
      fade_step_(static_cast<float>(1.0 / (fade_s * sample_rate))),
      duck_down_(static_cast<float>(1.0 / (duck_s * sample_rate))),
      duck_up_(static_cast<float>(1.0 / (duck_release_s * sample_rate))),
      silence_(max_segment) {
  if (inputs < 0 || outputs < 0 || inputs > most_channels || outputs > most_channels || lines.empty()) {
    throw std::invalid_argument("a mixer has lines, and at most 64 inputs and outputs");
  }
  if (!(sample_rate >= min_sample_rate && sample_rate <= max_sample_rate)) {
    throw std::invalid_argument("8 to 384 kHz are possible");
  }
  for (Line& line : lines) {
    if (line.keys.size() < static_cast<std::size_t>(line.rack->key_count())) {
      throw std::invalid_argument("a line gives every sidechain of its rack a source");
    }
    const auto channels = static_cast<std::size_t>(line.rack->format().channels);
    if (line.from.size() != channels || line.to.size() != channels) {
      throw std::invalid_argument("a line maps every channel of its rack");
    }
    for (const int c : line.from) check(c, inputs);
    for (const int c : line.to) check(c, outputs);
    Strip strip;
    strip.line = std::move(line);
    strip.sound.assign(channels, std::vector<float>(max_segment));
    for (auto& channel : strip.sound) strip.pointers.push_back(channel.data());
    for (const auto& key : strip.line.keys) {
      for (const int c : key) check(c, inputs);
      if (key.empty() || key.size() > max_channels) throw std::invalid_argument("a sidechain has 1 to 16 channels");
      strip.key_pointers.emplace_back(key.size());
    }
    for (const auto& pointers : strip.key_pointers) {
      strip.keys.push_back({pointers.data(), static_cast<int>(pointers.size())});
    }
    lines_.push_back(std::move(strip));
  }
  limiter_.prepare(sample_rate);
  howl_.prepare(sample_rate, static_cast<int>(first_frame % max_segment));
}

Mixer::~Mixer() = default;

std::uint64_t Mixer::ask(Ask what, int index, float value) noexcept {
  if (!inbox_.push({what, index, value, sent_ + 1})) return 0;
  return ++sent_;
}

void Mixer::record_into(int seconds) {
  if (record_ != nullptr) return;  // the audio thread may still write into it
  if (seconds < 1 || seconds > 3600) throw std::invalid_argument("a recorder keeps 1 to 3600 seconds");
  record_ = std::make_unique<FrameRing>(inputs_ + outputs_, static_cast<int>(seconds * sample_rate_));
}

void Mixer::play(Player::Recording dry, Player::Recording target) {
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
  const OutputState found{shown_limiter_.load(relaxed), shown_duck_.load(relaxed), howl_hz_.load(relaxed),
                          howls_.load(relaxed), fault_mutes_.load(relaxed)};
  reads_.fetch_add(1, relaxed);
  return found;
}

std::vector<float> Mixer::output_peaks() noexcept {
  std::vector<float> found;
  for (int c = 0; c < outputs_; ++c) {
    found.push_back(shown_peaks_[static_cast<std::size_t>(c)].load(std::memory_order_relaxed));
  }
  return found;
}

void Mixer::take_mail() noexcept TR_RT {
  while (has_waiting_ || inbox_.pop(waiting_)) {
    has_waiting_ = false;
    if (keeps_history_.load(std::memory_order_relaxed)) history_.push({waiting_.id, frame_});
    apply(waiting_);
  }
}

void Mixer::apply(const Request& request) noexcept TR_RT {
  const bool on = request.value > 0.5f;
  switch (request.what) {
    case Ask::level:
      if (request.index >= 0 && request.index < static_cast<int>(lines_.size()) && std::isfinite(request.value)) {
        lines_[static_cast<std::size_t>(request.index)].level.goal = std::clamp(request.value, 0.0f, 16.0f);
      }
      break;
    case Ask::fade:
      fade_.goal = on ? 1.0f : 0.0f;
      break;
    case Ask::mute:
      mute_.goal = on ? 0.0f : 1.0f;
      break;
    case Ask::limiter:
      limiter_.enable(on);
      break;
    case Ask::ceiling:
      limiter_.ceiling(request.value);
      break;
    case Ask::mute_on_fault:
      mutes_on_fault_ = on;
      break;
    case Ask::howl_duck:
      ducks_ = on;
      break;
    case Ask::listen:
      player_.listen(request.index);
      break;
    case Ask::record:
      recording_ = on && record_ != nullptr;
      if (on) howl_.reset();  // so that a replay hears what was heard from here on
      break;
  }
}

void Mixer::process(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  const FloatGuard guard;
  const std::uint32_t reads = reads_.load(std::memory_order_relaxed);
  if (reads != resets_) {
    deepest_ = 1.0f;
    peaks_.fill(0.0f);
  }
  resets_ = reads;
  const float* from[most_channels];
  float* to[most_channels];
  // Whatever was asked before this call takes effect at its first tick, so a block with mail ends there.
  if (!has_waiting_) has_waiting_ = inbox_.pop(waiting_);
  for (int start = 0; start < frames;) {
    const int in_tick = static_cast<int>(frame_ % tick_frames);
    if (in_tick == 0) take_mail();
    int length = std::min(frames - start, max_segment - static_cast<int>(frame_ % max_segment));
    if (has_waiting_) length = std::min(length, tick_frames - in_tick);
    for (int c = 0; c < inputs_; ++c) from[c] = in == nullptr ? silence_.data() : in[c] + start;
    for (int c = 0; c < outputs_; ++c) to[c] = out[c] + start;
    segment(from, to, length);
    start += length;
    frame_ += length;
  }
  shown_frame_.store(frame_, std::memory_order_relaxed);
}

void Mixer::segment(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  for (int c = 0; c < outputs_; ++c) std::fill_n(out[c], frames, 0.0f);
  const bool alone = lines_.size() == 1;
  for (Strip& strip : lines_) {
    run(strip, in, frames);
    const int channels = strip.line.rack->format().channels;
    if (!strip.level.still() || strip.level.value != 1.0f) {
      for (int n = 0; n < frames; ++n) {
        const float level = strip.level.next(fade_step_);
        for (int c = 0; c < channels; ++c) strip.pointers[static_cast<std::size_t>(c)][n] *= level;
      }
    }
    for (int c = 0; c < channels; ++c) {
      const int to = strip.line.to[static_cast<std::size_t>(c)];
      if (to < 0) continue;
      const float* y = strip.pointers[static_cast<std::size_t>(c)];
      if (alone && channels == 1) {
        std::copy_n(y, frames, out[to]);
      } else {
        for (int n = 0; n < frames; ++n) out[to][n] = std::clamp(out[to][n] + y[n], -loudest, loudest);
      }
    }
  }
  protect(out, frames);
  if (recording_) record(in, out, frames);
  show(out, frames);
}

void Mixer::run(Strip& strip, const float* const* in, int frames) noexcept TR_RT {
  const Line& line = strip.line;
  const int channels = line.rack->format().channels;
  for (int c = 0; c < channels; ++c) {
    const int from = line.from[static_cast<std::size_t>(c)];
    std::copy_n(from < 0 ? silence_.data() : in[from], frames, strip.pointers[static_cast<std::size_t>(c)]);
  }
  for (std::size_t k = 0; k < strip.keys.size(); ++k) {
    for (std::size_t c = 0; c < line.keys[k].size(); ++c) {
      strip.key_pointers[k][c] = line.keys[k][c] < 0 ? silence_.data() : in[line.keys[k][c]];
    }
  }
  const bool plays = player_.plays() && &strip == lines_.data();
  if (plays) player_.input(strip.pointers.data(), channels, frames);
  strip.before->write(strip.pointers.data(), channels, frames);
  line.rack->process(strip.pointers.data(), strip.keys.empty() ? nullptr : strip.keys.data(), frames);
  if (plays) {
    player_.output(strip.pointers.data(), channels, frames, line.rack->sounding_latency(), fade_step_);
  }
  strip.after->write(strip.pointers.data(), channels, frames);
  const std::uint32_t faults = line.rack->faults();
  if (faults > strip.faults && mutes_on_fault_) {
    fault_.goal = 0.0f;
    fault_left_ = static_cast<int>(fault_hold_s * sample_rate_);
    fault_mutes_.fetch_add(1, std::memory_order_relaxed);
  }
  strip.faults = faults;  // a new program counts from 0
}

void Mixer::protect(float* const* out, int frames) noexcept TR_RT {
  const bool steady = fade_.still() && mute_.still() && fault_.still() && duck_.still() && fault_left_ == 0 &&
                      duck_left_ == 0 && fade_.value * mute_.value * fault_.value * duck_.value == 1.0f;
  if (frame_ % max_segment == 0) {  // the window before, whole, however this one is cut
    limited_before_ = limited_;
    limited_ = 1.0f;
  }
  const bool howls = howl_.hear(out, outputs_, frames, limited_before_ < limits_much) && ducks_;
  if (!steady) {
    for (int n = 0; n < frames; ++n) {
      if (fault_left_ > 0 && --fault_left_ == 0) fault_.goal = 1.0f;
      if (duck_left_ > 0 && --duck_left_ == 0) duck_.goal = 1.0f;
      const float gain = fade_.next(fade_step_) * mute_.next(fade_step_) *
                         fault_.next(fault_.goal < fault_.value ? 10.0f * fade_step_ : fade_step_) *
                         duck_.next(duck_.goal < duck_.value ? duck_down_ : duck_up_);
      for (int c = 0; c < outputs_; ++c) out[c][n] *= gain;
    }
  }
  if (howls) {
    duck_.goal = 0.05f;
    duck_left_ = static_cast<int>(duck_hold_s * sample_rate_);
    howls_.fetch_add(1, std::memory_order_relaxed);
    howl_hz_.store(howl_.frequency_hz(), std::memory_order_relaxed);
  }
  limiter_.process(out, outputs_, frames);
  const float deepest = limiter_.deepest();
  deepest_ = std::min(deepest_, deepest);
  limited_ = std::min(limited_, deepest);
  silent_.store(fade_.value == 0.0f && fade_.goal == 0.0f, std::memory_order_relaxed);
}

void Mixer::record(const float* const* in, float* const* out, int frames) noexcept TR_RT {
  const int inputs = inputs_;
  const auto at = [&](int c) noexcept -> const float* { return c < inputs ? in[c] : out[c - inputs]; };
  if (record_->write(at, frames)) return;
  lost_.fetch_add(static_cast<std::uint64_t>(frames), std::memory_order_relaxed);
  recording_ = false;  // what came after a gap would be of no use
}

void Mixer::show(float* const* out, int frames) noexcept TR_RT {
  for (int c = 0; c < outputs_; ++c) {
    float& peak = peaks_[static_cast<std::size_t>(c)];
    for (int n = 0; n < frames; ++n) peak = std::max(peak, std::abs(out[c][n]));
    shown_peaks_[static_cast<std::size_t>(c)].store(peak, std::memory_order_relaxed);
  }
  shown_limiter_.store(deepest_, std::memory_order_relaxed);
  shown_duck_.store(duck_.value, std::memory_order_relaxed);
}

}  // namespace twinrack::live
