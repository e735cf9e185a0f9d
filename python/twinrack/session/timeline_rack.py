"""Racks that run along the timeline of a session, with automation and compensated latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio
from ..rack import compiling
from ..rack.external_effect import ExternalEffect, Work, in_step
from ..rack.rack import Rack
from .automation import TICK_FRAMES, Lane


@dataclass(frozen=True)
class AutomatedParameter:
    """A value that moves while a rack runs.

    Attributes:
        effect: the effect's address in the rack.
        parameter: the value's address below the effect.
        lane: its points.
        latency: frames by which the sound is late where the effect stands.
    """

    effect: str
    parameter: str
    lane: Lane
    latency: int


def latency_before(rack: Rack, rate: float) -> dict[str, int]:
    """How many frames of latency lie before each effect of a rack, by address."""
    return compiling.latency_before(rack.running.structure, rate)


def _compiled(
    rack: Rack, rate: float, channels: int, knots: Sequence[tuple[float, float]]
) -> tuple[_engine.Engine, list[Work]]:
    """The engine of a rack whose external effects know the tempo, each from where the sound reaches it."""
    late = latency_before(rack, rate)
    external = {a: e for a, e in rack.addresses().items() if isinstance(e, ExternalEffect)}
    try:
        for address, effect in external.items():
            effect.timeline = [(frame + late[address], beat) for frame, beat in knots]
        return rack.running.compile(rate, channels)
    finally:
        for effect in external.values():
            effect.timeline = ()


class TimelineRack:
    """A rack, or a fader alone, from frame 0 of the timeline on.

    What comes out is in time with what goes in: it is fed ahead by its latency, and the frames that come out before frame 0 are
    dropped.

    Args:
        rack: is not changed, and not needed afterwards.
        automated: the values that move.
        knots: frames and the beats that come at them, for effects that follow the tempo.

    Raises:
        ValueError: an effect does not fit the format.
    """

    def __init__(
        self,
        rack: Rack,
        rate: float,
        channels: int,
        automated: Sequence[AutomatedParameter],
        knots: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.engine, self._works = _compiled(rack, rate, channels, knots)
        first = rack.running.structure.first
        self.latency: int = self.engine.latency
        self.fed = 0  # frames that went in
        self._skip = self.latency
        effects = rack.addresses()
        self._lanes = [
            (first[a.effect] + list(effects[a.effect].card.addresses).index(a.parameter), a.lane, a.latency) for a in automated
        ]
        self._last: dict[int, float] = {}
        self.addresses = list(effects)  # of the effects, in the order of the engine's meters

    def run(self, x: Audio, keys: list[Audio]) -> Audio:
        """The next frames; at first fewer come out, by the latency."""
        if self._lanes:
            self._automate(x.shape[1])
        y = in_step(self.engine, self._works, x, keys)
        self.fed += x.shape[1]
        if self._skip:
            dropped = min(self._skip, y.shape[1])
            self._skip -= dropped
            y = y[:, dropped:]
        return y

    def state(self) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
        """All that it needs to go on: as JSON, and the engine's own."""
        meta = {"fed": self.fed, "skip": self._skip, "last": [[i, v] for i, v in self._last.items()]}
        return meta, np.frombuffer(self.engine.save_state(), np.uint8)

    def restore(self, meta: dict[str, Any], state: npt.NDArray[np.uint8]) -> None:
        """Go on from a state of the same rack."""
        self.fed, self._skip = int(meta["fed"]), int(meta["skip"])
        self._last = {int(i): float(v) for i, v in meta["last"]}
        self.engine.load_state(state.tobytes())

    def _automate(self, frames: int) -> None:
        """Give the engine the curves of the ticks that begin in this step, where they move."""
        first = -(-self.fed // TICK_FRAMES)
        ticks = -(-(self.fed + frames) // TICK_FRAMES) - first
        rows, curves = [], []
        if ticks > 0:
            for index, lane, latency in self._lanes:
                curve = lane.curve(first - latency / TICK_FRAMES, ticks)
                steady = bool((curve == curve[0]).all())
                if not steady or self._last.get(index) != float(curve[0]):
                    rows.append(index)
                    curves.append(curve)
                self._last[index] = float(curve[-1])
        stacked = np.stack(curves) if curves else np.zeros((0, 0), np.float32)
        self.engine.automate(rows, stacked, first)
