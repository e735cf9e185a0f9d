"""Levels for several readers. The engine's meters begin anew whenever they are read, so one object reads them for all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..rack.running import Meter
from .mixer import LiveMixer


@dataclass
class Output:
    """Levels of the outputs since a reader's last look: peaks (linear), and the smallest gain of the limiter and of the
    ducking of howls (linear, 1 where they do nothing). Since the start: the K-weighted energy of the first two (ITU-R BS.1770),
    and the frames in which it came."""

    peaks: list[float] = field(default_factory=list)
    limiter_gain: float = 1.0
    duck_gain: float = 1.0
    weighted_energy: float = 0.0
    weighted_frames: int = 0


@dataclass
class _Sum:
    """An effect's meters over several looks."""

    meter: Meter
    seconds: float


def _db_mean(a: float, a_s: float, b: float, b_s: float) -> float:
    """The level of two stretches of time together, in dB."""
    power = (10.0 ** (a / 10.0) * a_s + 10.0 ** (b / 10.0) * b_s) / max(a_s + b_s, 1e-9)
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf


def _together(a: _Sum, meter: Meter, seconds: float) -> _Sum:
    m = a.meter
    return _Sum(
        Meter(
            max(m.peak_in_db, meter.peak_in_db),
            max(m.peak_out_db, meter.peak_out_db),
            _db_mean(m.rms_in_db, a.seconds, meter.rms_in_db, seconds),
            _db_mean(m.rms_out_db, a.seconds, meter.rms_out_db, seconds),
            max(m.gain_reduction_db, meter.gain_reduction_db),
            meter.faults,
        ),
        a.seconds + seconds,
    )


class Levels:
    """Reads the racks' meters and the mixer's, and keeps for every reader what it has not seen.

    Args:
        racks: gives the meters of all effects by address, since it was last asked.
        mixer: whose outputs are read.
    """

    def __init__(self, racks: Callable[[], dict[str, Meter]], mixer: LiveMixer) -> None:
        self._racks, self._mixer = racks, mixer
        self._effects: dict[str, dict[str, _Sum]] = {}
        self._outputs: dict[str, Output] = {}
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self.state: Any = None  # the mixer's counts of howls and mutes

    def _look(self) -> None:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        meters, mixer = self._racks(), self._mixer.engine
        peaks = mixer.output_peaks()
        self.state = state = mixer.output_state()
        for seen in self._effects.values():
            for address in [a for a in seen if a not in meters]:
                del seen[address]
            for address, meter in meters.items():
                seen[address] = _together(seen[address], meter, seconds) if address in seen else _Sum(meter, seconds)
        for output in self._outputs.values():
            same = len(output.peaks) == len(peaks)
            output.peaks = [max(p) for p in zip(output.peaks, peaks, strict=True)] if same else peaks
            output.limiter_gain = min(output.limiter_gain, state.limiter_gain)
            output.duck_gain = min(output.duck_gain, state.duck_gain)
            output.weighted_energy, output.weighted_frames = state.weighted_energy, state.weighted_frames

    def read(self, reader: str) -> tuple[dict[str, Meter], Output]:
        """The meters by address and the output levels since this reader's last look."""
        with self._lock:
            if reader not in self._effects:
                self._effects[reader], self._outputs[reader] = {}, Output()
            self._look()
            effects, output = self._effects[reader], self._outputs[reader]
            self._effects[reader], self._outputs[reader] = {}, Output()
            return {address: s.meter for address, s in effects.items()}, output

    def forget(self, reader: str) -> None:
        """This reader will not read any more."""
        with self._lock:
            self._effects.pop(reader, None)
            self._outputs.pop(reader, None)
