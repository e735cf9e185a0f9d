"""Automation: breakpoints of one value over time, and the curve that engine and twin follow tick by tick."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..checks import brief
from ..rack.card import Parameter, Value
from .timeline import Time, Timeline

TICK_FRAMES: int = _engine.TICK_FRAMES
Curve = Literal["hold", "linear", "smooth", "exponential"]
CURVES: tuple[str, ...] = get_args(Curve)


@dataclass(frozen=True)
class Point:
    """A breakpoint, and how the value goes on from here to the next one.

    "hold" stays; "linear" is a straight line in the parameter's unit; "smooth" is a smooth step in the parameter's own scale,
    which is how a value glides live; "exponential" changes by the same factor in the same time, for values above 0.
    """

    time: Time
    value: Value
    curve: Curve = "linear"


def as_points(points: Iterable[Point | Sequence[Any]], curve: Curve = "linear") -> tuple[Point, ...]:
    """Points as they are, or as (time, value), with a usual curve, or (time, value, curve)."""
    converted = []
    for point in points:
        if not isinstance(point, Point) and not 2 <= len(point) <= 3:
            raise ValueError(f"{brief(point)} is not a breakpoint; give (time, value) or (time, value, curve)")
        converted.append(point if isinstance(point, Point) else Point(*(*point, curve)[:3]))
    return tuple(converted)


def check_points(address: str, p: Parameter, points: Sequence[Point]) -> list[float]:
    """The points' values as the engine knows them.

    Raises:
        ValueError: no points, values out of range, an unknown curve, or one that the value cannot follow.
    """
    if not points:
        raise ValueError(f"the automation of {address} has no points; give some, or remove it")
    place = address.rpartition(".")[0]
    values = [p.to_engine(p.check(point.value, place)) for point in points]
    for i, point in enumerate(points):
        if point.curve not in CURVES:
            raise ValueError(f"the automation of {address}: curve {brief(point.curve)} is none of {', '.join(CURVES)}")
        last = i + 1 == len(points)
        if p.kind != "continuous" and point.curve != "hold" and not last:
            raise ValueError(f'{address} is a {p.kind}, so its automation can only hold; say "hold" at {brief(point.time)}')
        if point.curve == "exponential" and not last and min(values[i], values[i + 1]) <= 0:
            raise ValueError(
                f"the automation of {address} is exponential from {values[i]:g} to {values[i + 1]:g}, which needs values "
                "above 0; use linear, which is exponential in amplitude where the unit is dB"
            )
    return values


class Lane:
    """The points of one parameter, checked and placed in time.

    Raises:
        ValueError: no points, values out of range, an unknown curve, points that do not come one after the other.
    """

    def __init__(self, address: str, p: Parameter, points: Sequence[Point], timeline: Timeline) -> None:
        self.address, self.parameter = address, p
        values = check_points(address, p, points)
        self._seconds = [timeline.seconds(point.time, f"a time of {address}") for point in points]
        # an integer number of frames stays on its tick
        ticks = [round(seconds * timeline.rate / TICK_FRAMES, 6) for seconds in self._seconds]
        for point, a, b in zip(points, ticks, ticks[1:], strict=False):
            if b < a:
                raise ValueError(f"the automation of {address} goes back in time after {brief(point.time)}; sort its points")
        self._ticks = np.array(ticks)
        self._values = np.array(values, np.float64)
        self._curves = [point.curve for point in points]

    def curve(self, first_tick: float, ticks: int) -> npt.NDArray[np.float32]:
        """The value at so many ticks from one on; before the first and after the last point it holds."""
        at = np.round(first_tick + np.arange(ticks, dtype=np.float64), 6)
        which = np.searchsorted(self._ticks, at, side="right") - 1
        values = self._values[np.maximum(which, 0)].copy()
        for i in np.unique(which[(which >= 0) & (which < len(self._ticks) - 1)]):
            if self._curves[i] == "hold" or self._values[i] == self._values[i + 1]:
                continue
            inside = which == i
            begin, end = self._ticks[i], self._ticks[i + 1]
            t = (at[inside] - begin) / (end - begin)
            values[inside] = self.between(i, t)
        return values.astype(np.float32)

    def pieces(self) -> list[tuple[float, float, str]]:
        """The points in time, each with how it goes on: (seconds, the engine's value, curve)."""
        return list(zip(self._seconds, map(float, self._values), self._curves, strict=True))

    def between(self, i: int, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values after point i, at positions 0 to 1 of the way to the next one, unless it holds."""
        a, b, curve = float(self._values[i]), float(self._values[i + 1]), self._curves[i]
        if curve == "linear":
            return a + (b - a) * t
        if curve == "exponential":
            return np.asarray(a * (b / a) ** t)
        s = t * t * (3.0 - 2.0 * t)
        if self.parameter.scale == "linear":
            return a + (b - a) * s
        return np.asarray(np.exp(math.log(a) + (math.log(b) - math.log(a)) * s))
