// Basic types and limits: planar float32 audio (channels x frames), sidechains, resources, formats, the control grid.
#pragma once

namespace twinrack {

inline constexpr int tick_frames = 32;   // a control tick, on the absolute sample grid
inline constexpr int max_segment = 512;  // an effect is never asked for more frames at once
inline constexpr int max_channels = 16;
inline constexpr int max_branches = 6;  // of an effect that splits the sound
inline constexpr double min_sample_rate = 8000.0, max_sample_rate = 384000.0;

struct Block {
  float* const* channel;
  int channels;
  int frames;
};

inline constexpr int max_streams = 16;

// Several streams side by side, of one or two channels: the frame n of stream k is at channel[c][n * lanes + k], where
// the instruction set says how many lanes there are. `frames` is a multiple of 16.
struct StreamBlock {
  float* channel[2];
  int channels;
  int frames;
};

// A sidechain: what a detector hears instead of the block itself; `channel` is null where there is none.
struct SideBlock {
  const float* const* channel;
  int channels;
  bool silent = true;  // all samples are zero
};

// The data that an effect loads besides its parameters, as rows of numbers: an impulse response at the rack's sample
// rate (channels x frames), or a network (one row).
struct Resource {
  const float* const* channel;
  int channels;
  int frames;
};

// An effect before branches that each get a part of the sound (`EffectType::splits`) works on the channels of all of
// them, branch by branch; what comes in is in those of the first one, and the others are silent.
struct Format {
  double sample_rate;
  int channels;  // of one branch
  int branches = 1;
};

}  // namespace twinrack
