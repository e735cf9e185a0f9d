#include "engine/slot.h"

#include <cstring>

namespace twinrack {

namespace {
constexpr int longest_silence = 1 << 30;
}

void Slot::start() noexcept TR_RT {
  effect.reset();
  fade.wet_steps = fade.wet_steps_before = fade.target();
  sleep.asleep = sleep.input_heard = restart.fades_input = false;
  sleep.silent_frames = 0;
}

void Slot::clear() noexcept TR_RT {
  for (DelayLine& line : dry_lines) line.reset();
  for (DelayLine& line : key_lines) line.reset();
  effect.reset();  // before it drives others
  restart = {};
  ramps_ended = false;  // so that it is tuned, wherever its ramps are
}

// An effect that comes back starts from a clean state and runs unheard until its latency has passed, so that the fade
// never goes through silence.
void Slot::advance_bypass(bool grid, RunContext& run) noexcept TR_RT {
  const int target = fade.target();
  fade.wet_steps_before = fade.wet_steps;
  if (restart.failed && !grid) {
    run.moving = true;
    return;
  }
  if (restart.failed || (fade.wet_steps == 0 && target > 0 && restart.warm_up == 0)) {
    restart.failed = sleep.asleep = false;
    effect.reset();
    restart.warm_up = 1 + input_fade_ticks + (latency + tick_frames - 1) / tick_frames;
    restart.input_fade = 0;
  }
  if (restart.warm_up > 0) --restart.warm_up;
  restart.fades_input = restart.input_fade < input_fade_ticks;
  if (restart.fades_input) ++restart.input_fade;
  if (restart.warm_up == 0) fade.wet_steps += std::clamp(target - fade.wet_steps, -1, 1);
  run.moving = run.moving || restart.warm_up > 0 || fade.wet_steps != target || fade.wet_steps_before != fade.wet_steps;
}

// One that fades or moves stays awake.
void Slot::try_sleep(bool may_sleep) noexcept TR_RT {
  sleep.silent_frames = sleep.input_heard ? 0 : std::min(sleep.silent_frames + max_segment, longest_silence);
  sleep.input_heard = false;
  const bool steady =
      ramps_ended && !restart.failed && restart.warm_up == 0 && fade.wet_steps == BypassFade::ticks && !fade.bypass;
  if (sleep.asleep || !steady || !may_sleep || sleep.silent_frames < std::max(latency, 1)) return;
  sleep.asleep = effect.tail_ended(sleep.silent_frames);
}

void Slot::state(StateArchive& archive) {
  archive(dry_lines, key_lines, fade, ramps_ended, restart, sleep, meter);
  if (archive.is_loading()) effect.tune(values.data());
  effect.state(archive);
}

SideBlock Slot::sidechain(const SideBlock* keys, int frames, const RunContext& run) noexcept TR_RT {
  if (key < 0 || keys == nullptr) return {nullptr, 0};
  const SideBlock& now = keys[key];
  if (input_latency == 0 || now.channel == nullptr) return now;
  for (int c = 0; c < now.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    key_lines[at].write(now.channel[c], frames);
    key_channels[at] = key_lines[at].written(frames, input_latency);
  }
  const BlockLevel level = run.kernel.measure(key_channels.data(), now.channels, frames);
  return {key_channels.data(), now.channels, level.peak == 0.0f};
}

// Keeps the input, delayed by the effect's latency, beside the effect.
void Slot::keep_dry(float* const* io, int frames, RunContext& run) noexcept TR_RT {
  for (int c = 0; c < channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    if (latency > 0) {
      dry_lines[at].write(io[c], frames);
      run.dry[at] = dry_lines[at].written(frames, latency);
    } else {
      std::memcpy(run.dry_copy[at].data(), io[c], sizeof(float) * static_cast<std::size_t>(frames));
      run.dry[at] = run.dry_copy[at].data();
    }
  }
}

void Slot::process(float* const* io, const SideBlock* keys, int frames, BlockLevel& level,
                   RunContext& run) noexcept TR_RT {
  const SideBlock key_block = sidechain(keys, frames, run);
  const BlockLevel in = level;
  meter.in.add(in);
  const bool silent = in.peak == 0.0f && key_block.silent;
  sleep.input_heard = sleep.input_heard || !silent;
  if (sleep.asleep && silent) {
    run.slept += static_cast<std::uint64_t>(frames);
    meter.gain_reduction_db = std::max(meter.gain_reduction_db, effect.gain_reduction_db());
    return effect.skip_silence(frames);
  }
  const bool runs = !restart.failed && (fade.is_heard() || restart.warm_up > 0);
  if (!runs && !restart.failed && latency == 0) return meter.out.add(in);
  keep_dry(io, frames, run);
  int good_frames = 0;  // of the effect's output
  if (runs) {
    if (restart.fades_input) fade_in_input(io, frames, run);
    sleep.asleep ? wake(io, key_block, frames) : effect.process({io, channels, frames}, key_block);
    meter.gain_reduction_db = std::max(meter.gain_reduction_db, effect.gain_reduction_db());
    level = run.kernel.measure(io, channels, frames);
    good_frames = frames;
    if (!level.finite) {  // the dry signal takes over at once, and the effect fades back in from a clean state
      for (int c = 0; c < channels; ++c) good_frames = std::min(good_frames, first_fault(io[c], frames));
      ++meter.faults;
      ++run.faults;
      effect.reset();
      restart.failed = run.moving = true;
    }
  }
  if (!runs || restart.failed || !fade.is_wet()) {
    for (int c = 0; c < channels; ++c) {
      const float* dry = run.dry[static_cast<std::size_t>(c)];
      std::copy(dry + good_frames, dry + frames, io[c] + good_frames);
    }
    crossfade_dry(io, good_frames, run);
    level = run.kernel.measure(io, channels, frames);
  }
  meter.out.add(level);
  if (restart.failed) fade.wet_steps = fade.wet_steps_before = 0;
}

// Skips the silence up to the first frame that sounds, and processes on from there.
void Slot::wake(float* const* io, SideBlock key_block, int frames) noexcept TR_RT {
  int first = frames;
  const auto look = [&](const float* x) {
    int n = 0;
    while (n < first && x[n] == 0.0f) ++n;
    first = n;
  };
  for (int c = 0; c < channels; ++c) look(io[c]);
  for (int c = 0; c < key_block.channels; ++c) look(key_block.channel[c]);
  sleep.asleep = false;
  effect.skip_silence(first);
  float* sound[max_rows];
  const float* key_sound[max_channels];
  for (int c = 0; c < channels; ++c) sound[c] = io[c] + first;
  for (int c = 0; c < key_block.channels; ++c) key_sound[c] = key_block.channel[c] + first;
  const SideBlock rest{key_block.channel == nullptr ? nullptr : key_sound, key_block.channels, key_block.silent};
  effect.process({sound, channels, frames - first}, rest);
}

void Slot::fade_in_input(float* const* io, int frames, const RunContext& run) const noexcept TR_RT {
  constexpr float step = 1.0f / (input_fade_ticks * tick_frames);
  const float begin = step * static_cast<float>((restart.input_fade - 1) * tick_frames + run.frame_in_tick + 1);
  for (int c = 0; c < channels; ++c) {
    run.kernel.crossfade(io[c], run.silence.data(), begin, step, frames);
  }
}

void Slot::crossfade_dry(float* const* io, int frames, const RunContext& run) const noexcept TR_RT {
  const float a = static_cast<float>(fade.wet_steps_before) / BypassFade::ticks;
  const float step = static_cast<float>(fade.wet_steps - fade.wet_steps_before) / (BypassFade::ticks * tick_frames);
  const float begin = a + step * static_cast<float>(run.frame_in_tick + 1);
  for (int c = 0; c < channels; ++c) {
    run.kernel.crossfade(io[c], run.dry[static_cast<std::size_t>(c)], begin, step, frames);
  }
}

}  // namespace twinrack
