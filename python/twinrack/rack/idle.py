"""Values of an effect that do nothing as the others stand: the gain of a low cut, the RMS window of a peak detector."""

from __future__ import annotations

from collections.abc import Mapping

from .card import Card, Value
from .effect_files import effect_file


def idle(card: Card, values: Mapping[str, Value], channels: int | None = None) -> set[str]:
    """Addresses below the effect of values that nothing depends on.

    An effect says so in `plugins/<id>/idle.py`, by a function of the same arguments but for the card; one without that file
    has none. Such values are neither trained nor reported.

    Args:
        values: all values of the effect by address.
        channels: of the sound; None where it is not known.
    """
    module = effect_file(card, "idle")
    if module is None:
        return set()
    names: set[str] = module.idle(values, channels)
    return names


def of_oscillator(values: Mapping[str, Value], channels: int | None) -> set[str]:
    """Idle values of an effect with an oscillator: the tempo free of it, the rate in time, the sides of one channel."""
    sides = {"stereo_deg"} if channels == 1 and "stereo_deg" in values else set()
    return sides | ({"tempo_bpm"} if values["sync"] == "free" else {"rate_hz"})
