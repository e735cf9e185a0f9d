#include "export/player.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace twinrack {

namespace {
const FlatRack& checked(const FlatRack& rack, double rate) {
  if (!(rate >= min_sample_rate && rate <= max_sample_rate)) {
    throw std::invalid_argument(rack.name + " plays at 8 to 384 kHz, not at " + std::to_string(rate) + " Hz");
  }
  return rack;
}
}  // namespace

Player::Player(const FlatRack& rack, double rate)
    : channels_(rack.channels),
      key_count_(static_cast<int>(rack.keys.size())),
      rack_(checked(rack, rate).tree(rate), {rate, rack.channels}),
      latency_(rack_.latency()),
      dry_(static_cast<std::size_t>(channels_)),
      silence_(max_segment),
      key_sound_(rack.keys.size()) {
  for (DelayLine& line : dry_) line.prepare(latency_, max_segment);
  for (auto& channel : sound_) channel.resize(max_segment);
  for (auto& key : key_sound_) {
    for (auto& channel : key) channel.resize(max_segment);
  }
}

void Player::reset() noexcept TR_RT {
  rack_.reset();
  for (DelayLine& line : dry_) line.reset();
  wet_frames_ = bypassed_.load(std::memory_order_relaxed) ? 0 : fade_frames;
}

void Player::process(const float* const* in, float* const* out, const float* const* const* keys,
                     int frames) noexcept TR_RT {
  for (int start = 0; start < frames; start += max_segment) {
    piece(in, out, keys, start, std::min(frames - start, max_segment));
  }
}

// All that comes in is copied before anything goes out, as a host may give one buffer for both.
void Player::piece(const float* const* in, float* const* out, const float* const* const* keys, int start,
                   int frames) noexcept TR_RT {
  float* io[max_channels];
  for (int c = 0; c < channels_; ++c) {
    const auto at = static_cast<std::size_t>(c);
    io[c] = sound_[at].data();
    std::copy_n(in == nullptr || in[c] == nullptr ? silence_.data() : in[c] + start, frames, io[c]);
    dry_[at].write(io[c], frames);
  }
  SideBlock blocks[max_channels];
  const float* listened[max_channels][max_channels];
  for (int k = 0; k < key_count_; ++k) {
    const float* const* key = keys == nullptr ? nullptr : keys[k];
    const bool connected = key != nullptr && key[0] != nullptr;
    for (int c = 0; connected && c < channels_; ++c) {
      float* copy = key_sound_[static_cast<std::size_t>(k)][static_cast<std::size_t>(c)].data();
      std::copy_n((key[c] == nullptr ? key[0] : key[c]) + start, frames, copy);
      listened[k][c] = copy;
    }
    blocks[k] = {connected ? listened[k] : nullptr, connected ? channels_ : 0};
  }
  rack_.process(io, key_count_ > 0 ? blocks : nullptr, frames);
  mix_dry(frames);
  for (int c = 0; c < channels_; ++c) {
    if (out[c] != nullptr) std::copy_n(io[c], frames, out[c] + start);
  }
}

// Crossfades between the rack and its input, delayed as much.
void Player::mix_dry(int frames) noexcept TR_RT {
  const bool bypassed = bypassed_.load(std::memory_order_relaxed);
  const int goal = bypassed ? 0 : fade_frames, way = bypassed ? -1 : 1;
  if (wet_frames_ == fade_frames && goal == fade_frames) return;
  const int fading = std::min(frames, (goal - wet_frames_) * way);
  constexpr float step = 1.0f / fade_frames;
  for (int c = 0; c < channels_; ++c) {
    float* y = sound_[static_cast<std::size_t>(c)].data();
    const float* dry = dry_[static_cast<std::size_t>(c)].written(frames, latency_);
    kernels_.crossfade(y, dry, step * static_cast<float>(wet_frames_ + way), step * static_cast<float>(way), fading);
    if (bypassed) std::copy_n(dry + fading, frames - fading, y + fading);
  }
  wet_frames_ += way * fading;
}

}  // namespace twinrack
