"""Presets of an exciter and of a bass enhancer, set by hand: the sound, and beside it harmonics of its highs or its lows, made
by a saturation between two filters. They stand in `exciter.toml` and `bass_enhancer.toml` beside this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .effect import CLASSES, Effect, GroupItem
from .ready_made import ReadyMade, read_settings
from .tree import Parallel

EXCITER, BASS_ENHANCER = "exciter", "bass_enhancer"
LAST_HARMONIC = 5.0  # of a bass: what is above it is heard as distortion


@dataclass(frozen=True)
class HarmonicsPreset(ReadyMade):
    """A setting of an exciter or of a bass enhancer.

    Attributes:
        kind: "exciter" or "bass_enhancer".
        name: such as "air".
        text: what it is for.
        frequency_hz: an exciter saturates what is above it, a bass enhancer what is below.
        drive_db: into the saturation; more makes more harmonics.
        bias: of the saturation; above 0 there are even harmonics, too.
        amount_db: level of the harmonics beside the sound.
        cut_hz: where the sound itself is cut below, for loudspeakers that cannot play it; 0 leaves it.
    """

    kind: str
    name: str
    text: str
    frequency_hz: float
    drive_db: float
    bias: float
    amount_db: float
    cut_hz: float = 0.0

    def make(self) -> Parallel:
        """A new Parallel of the sound and its harmonics."""
        exciter = self.kind == EXCITER
        before = [_band("low_cut" if exciter else "high_cut", self.frequency_hz)]
        after = [_band("low_cut", self.frequency_hz)]
        if not exciter:
            after.append(_band("high_cut", LAST_HARMONIC * self.frequency_hz))
        harmonics: list[Effect] = [
            CLASSES["parametric_eq"](bands=before),
            CLASSES["saturation"](drive_db=self.drive_db, bias=self.bias, filters="minimum_phase"),
            CLASSES["parametric_eq"](bands=after),
            CLASSES["gain"](gain_db=self.amount_db),
        ]
        sound = [CLASSES["parametric_eq"](bands=[_band("low_cut", self.cut_hz)])] if self.cut_hz else []
        return Parallel([sound, harmonics])


def harmonics_presets(kind: str) -> dict[str, HarmonicsPreset]:
    """The presets of "exciter" or "bass_enhancer" by name."""
    return {name: HarmonicsPreset(kind, name, **fields) for name, fields in read_settings(kind).items()}


def _band(shape: Literal["low_cut", "high_cut"], hz: float) -> GroupItem:
    from .effects import Band

    return Band(shape, frequency_hz=hz, slope_db_per_octave="24")
