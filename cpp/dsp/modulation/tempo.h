// Lengths of notes in beats, in the order in which the cards' `sync` lists them; the first is free of any tempo.
#pragma once

#include <array>
#include <cstddef>

#include "rt/realtime.h"

namespace twinrack {

inline constexpr std::array note_beats = {0.0, 16.0, 8.0, 4.0, 2.0, 1.5, 1.0, 2.0 / 3.0, 0.75, 0.5, 1.0 / 3.0, 0.25};

// Seconds of a note, or those that are set where it is free.
inline double synced_s(std::size_t sync, double tempo_bpm, double free_s) noexcept TR_RT {
  return sync == 0 ? free_s : note_beats[sync] * 60.0 / tempo_bpm;
}

inline double synced_hz(std::size_t sync, double tempo_bpm, double free_hz) noexcept TR_RT {
  return sync == 0 ? free_hz : tempo_bpm / (60.0 * note_beats[sync]);
}

// The rate of an effect with the values `sync`, `tempo_bpm` and `rate_hz`.
template <class Values>
inline double rate_of(const Values& v) noexcept TR_RT {
  return synced_hz(static_cast<std::size_t>(v.sync), static_cast<double>(v.tempo_bpm), static_cast<double>(v.rate_hz));
}

}  // namespace twinrack
