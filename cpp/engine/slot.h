// One effect in a running program, with what belongs to it: values, the fade to and from bypass, sleep, meters.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dsp/delay/delay.h"
#include "engine/effect.h"
#include "engine/kernels.h"
#include "engine/meter.h"
#include "rt/block.h"
#include "rt/realtime.h"
#include "rt/state.h"

namespace twinrack {

// The input of a new or restarted effect fades in over so many ticks: it would answer a sound that begins at once
// with a click, for as long as it rings.
inline constexpr int input_fade_ticks = 8;

// The wet mix of an effect, in steps of one a tick.
struct BypassFade {
  static constexpr int ticks = 8;

  int wet_steps = ticks, wet_steps_before = ticks;  // 0 is bypassed, `ticks` is fully wet; now, and a tick ago
  bool bypass = false;

  int target() const noexcept TR_RT { return bypass ? 0 : ticks; }
  bool is_wet() const noexcept TR_RT { return wet_steps == ticks && wet_steps_before == ticks; }
  bool is_heard() const noexcept TR_RT { return wet_steps > 0 || wet_steps_before > 0; }
  void state(StateArchive& archive) { archive(wet_steps, wet_steps_before, bypass); }
};

inline constexpr int max_rows = max_channels * max_branches;

// How an effect starts anew from a clean state, after a bypass or a fault.
struct Restart {
  bool failed = false;                // put out NaN or infinity since the last multiple of max_segment
  int input_fade = input_fade_ticks;  // ticks of the input's fade that are done
  bool fades_input = false;           // in this tick
  int warm_up = 0;                    // ticks left in which it runs unheard, until its latency has passed

  void state(StateArchive& archive) { archive(failed, input_fade, fades_input, warm_up); }
};

// An effect sleeps while silence goes in and would come out.
struct Sleep {
  bool input_heard = false;  // sound came in since the last multiple of max_segment
  bool asleep = false;
  int silent_frames = 0;  // of the input, counted at multiples of max_segment

  void state(StateArchive& archive) { archive(input_heard, asleep, silent_frames); }
};

// Format, kernels and scratch memory that the slots of one program share, and what they count together.
struct RunContext {
  // `rows`: the most channels that an effect has, those of all branches that it splits the sound for.
  RunContext(const Format& stream_format, int rows)
      : format(stream_format),
        dry_copy(static_cast<std::size_t>(rows), std::vector<float>(max_segment)),
        silence(max_segment) {}

  const Kernels& kernel = kernels();
  Format format;
  std::vector<std::vector<float>> dry_copy;  // scratch memory
  std::array<const float*, max_rows> dry{};  // the sound beside the effect that runs: there, or in a delay line
  std::vector<float> silence;
  int frame_in_tick = 0;
  bool moving = true;  // a value or a fade
  std::uint64_t slept = 0;
  std::uint32_t faults = 0;
};

struct Slot {
  EffectInstance effect;
  int channels = 0;  // of all branches that it splits the sound for
  std::size_t first_parameter = 0;
  std::vector<float> values{};
  int key = -1;  // number of its sidechain
  std::vector<int> drives{};
  int latency = 0, input_latency = 0;        // frames; of the effect, and of the sound that reaches it
  std::vector<DelayLine> dry_lines{};        // delay the dry sound by the effect's latency
  std::vector<DelayLine> key_lines{};        // delay the sidechain by `input_latency`
  std::vector<const float*> key_channels{};  // after that delay
  bool changed = false;                      // a value, in this tick
  bool ramps_ended = false;                  // tuned once more after the last change
  BypassFade fade{};
  Restart restart{};
  Sleep sleep{};
  Meter meter{};
  std::uint64_t build_hash = 0;  // of all that it is built from
  std::unique_ptr<PublishedMeter> published = std::make_unique<PublishedMeter>();

  // The effect processes what comes and nothing else happens: no fade, sleep or new start.
  bool is_plain() const noexcept TR_RT {
    return !sleep.asleep && !restart.failed && restart.warm_up == 0 && !restart.fades_input && fade.is_wet();
  }
  // The sound is left as it is.
  bool is_bypassed() const noexcept TR_RT {
    return !restart.failed && restart.warm_up == 0 && !fade.is_heard() && latency == 0;
  }

  // Before the first frame of a stream.
  void start() noexcept TR_RT;
  // Forgets the past; `start` follows.
  void clear() noexcept TR_RT;
  // One tick of the fade between bypassed and wet. `grid`: the frame is a multiple of max_segment.
  void advance_bypass(bool grid, RunContext& run) noexcept TR_RT;
  // At multiples of max_segment only, so that it sounds the same in any blocks.
  void try_sleep(bool may_sleep) noexcept TR_RT;
  // `level` is that of `io`, before and after.
  void process(float* const* io, const SideBlock* keys, int frames, BlockLevel& level, RunContext& run) noexcept TR_RT;

  void state(StateArchive& archive);

 private:
  SideBlock sidechain(const SideBlock* keys, int frames, const RunContext& run) noexcept TR_RT;
  void keep_dry(float* const* io, int frames, RunContext& run) noexcept TR_RT;
  void wake(float* const* io, SideBlock key, int frames) noexcept TR_RT;
  void fade_in_input(float* const* io, int frames, const RunContext& run) const noexcept TR_RT;
  void crossfade_dry(float* const* io, int frames, const RunContext& run) const noexcept TR_RT;
};

}  // namespace twinrack
