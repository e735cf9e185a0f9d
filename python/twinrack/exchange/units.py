"""The units of our values in DAWproject: the one that is written, and those that are understood in reading.

All of these are straight lines between our unit and the written one, so a straight line of automation stays one; only a linear
gain read as dB bends (`Scale.bends`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..rack.card import Parameter
from .text import decibels, rounded, short

Array = npt.NDArray[np.float64]
CLOSE_DB = 1e-4  # by how much straight lines may differ from a curve, in dB
CLOSE = 2e-6  # of the value for a logarithmic parameter, of the range for another
_DEEPEST = 14  # halvings


@dataclass(frozen=True)
class Scale:
    """Written is ours times `factor` plus `offset`, in `unit`; None is a switch, whose factor -1 turns it round."""

    unit: str | None
    factor: float = 1.0
    offset: float = 0.0

    def write(self, value: float) -> float:
        written = value * self.factor + self.offset
        return round(written, 12) if self.offset else written

    def text(self, value: float) -> str:
        """The same as it stands in the file: all digits, or twelve where the unit changes."""
        written = self.write(value)
        return repr(written) if self._exact else short(written)

    @property
    def _exact(self) -> bool:
        return abs(self.factor) == 1.0 and self.offset == 0.0

    def bends(self, unit: str) -> bool:
        """Whether a straight line in a unit is none in ours."""
        return self.unit == "decibel" and unit != "decibel"

    def read(self, value: float, unit: str, low: float | None = None, high: float | None = None) -> float | None:
        """Ours, from a value in any unit that means the same; None where it means something else.

        Args:
            low, high: ends of the range that the file states.
        """
        if unit == self.unit:
            normal = value
        elif self.unit == "decibel" and unit in ("linear", "percent"):
            normal = decibels(value / 100.0 if unit == "percent" else value)
        elif self.unit == "normalized" and unit in ("linear", "percent"):
            size = 1.0 if unit == "linear" else 100.0
            low, high = -size if low is None else low, size if high is None else high
            if not high > low:
                return None
            normal = (value - low) / (high - low)
        elif self.unit == "linear" and unit == "percent":
            normal = value / 100.0
        else:
            return None
        ours = (normal - self.offset) / self.factor
        return ours if self._exact or not math.isfinite(ours) else rounded(ours)


GAIN = Scale("decibel")
PAN = Scale("normalized", 0.5, 0.5)
PLAIN = Scale("linear")
HERTZ = Scale("hertz")
MILLISECONDS = Scale("seconds", 1e-3)
DOWNWARDS = Scale("decibel", -1.0)
SWITCH = Scale(None)
TURNED = Scale(None, -1.0)


def straighten(curve: Callable[[Array], Array], a: float, b: float, close: Callable[[Array, Array], bool]) -> Array:
    """Places from a to b between which straight lines follow a curve.

    Args:
        curve: values at places.
        close: whether values of the curve and of the line are near enough.
    """
    places, waiting = [a], [(a, b, 0)]
    while waiting:
        begin, end, depth = waiting.pop()
        inside = begin + (end - begin) * np.array([0.25, 0.5, 0.75])
        first, last = (float(v) for v in curve(np.array([begin, end])))
        line = first + (last - first) * np.array([0.25, 0.5, 0.75])
        if depth < _DEEPEST and not close(curve(inside), line):
            waiting += [(float(inside[1]), end, depth + 1), (begin, float(inside[1]), depth + 1)]
        else:
            places.append(end)
    return np.array(places)


def near(p: Parameter) -> Callable[[Array, Array], bool]:
    """Whether values of a parameter are so close that nobody hears it; see CLOSE_DB and CLOSE."""

    def close(a: Array, b: Array) -> bool:
        if p.unit == "dB":
            limit: float | Array = CLOSE_DB
        elif p.scale == "log":
            limit = CLOSE * np.abs(a)
        else:
            limit = CLOSE * (p.max - p.min)
        return bool(np.all(np.abs(a - b) <= limit))

    return close
