"""Presets of a crossfeed for headphones and of stereo width by frequency, set by hand: an equaliser on the side. They stand in
`crossfeed.toml` and `stereo.toml` beside this module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .effect import CLASSES
from .ready_made import ReadyMade, read_settings
from .tree import MidSide

CROSSFEED, STEREO = "crossfeed", "stereo"
CROSSFEED_Q = 0.5  # of the shelf, as wide as that of a circuit with one capacitor


@dataclass(frozen=True)
class SidePreset(ReadyMade):
    """A setting of what an equaliser does to the side; the middle stays as it is.

    Attributes:
        kind: "crossfeed" or "stereo".
        name: such as "mono bass".
        text: what it is for.
        bands: values of the bands of the side's equaliser.
    """

    kind: str
    name: str
    text: str
    bands: tuple[Mapping[str, Any], ...]

    def make(self) -> MidSide:
        """A new MidSide."""
        from .effects import Band

        return MidSide(side=[CLASSES["parametric_eq"](bands=[Band(**band) for band in self.bands])])


def side_presets(kind: str) -> dict[str, SidePreset]:
    """The presets of "crossfeed" or "stereo" by name."""
    bands = _crossfeed if kind == CROSSFEED else lambda fields: fields["bands"]
    return {name: SidePreset(kind, name, f["text"], tuple(bands(f))) for name, f in read_settings(kind).items()}


def _crossfeed(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each side plus g times the lows of the other, at equal level of the middle: the side's lows are (1 - g) / (1 + g)."""
    g = 10.0 ** (fields["level_db"] / 20.0)
    gain_db = round(20.0 * math.log10((1.0 - g) / (1.0 + g)), 1)
    return [{"type": "low_shelf", "frequency_hz": fields["frequency_hz"], "gain_db": gain_db, "q": CROSSFEED_Q}]
