"""Idle values of a rotary speaker: all where it is mixed out, and the angle of the microphones where there are no two."""

from collections.abc import Mapping

from twinrack.rack.card import Value

ALL = {"rate_hz", "drum_ratio", "doppler_ms", "horn_tremolo", "drum_tremolo", "crossover_hz", "stereo_deg", "start_deg"}


def idle(values: Mapping[str, Value], channels: int | None) -> set[str]:
    if values["mix"] == 0.0:
        return set(ALL)
    still = values["doppler_ms"] == 0.0 and values["horn_tremolo"] == 0.0 and values["drum_tremolo"] == 0.0
    names = {"rate_hz", "drum_ratio", "stereo_deg", "start_deg"} if still else set()
    return names | ({"stereo_deg"} if channels == 1 else set())
