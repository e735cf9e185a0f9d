"""Loudness of a programme as broadcasters measure it: integrated, momentary, short-term, range, true peak.

ITU-R BS.1770-4 for the weighting, the gates and the true peak; EBU Tech 3341 for the windows (0.4 s and 3 s, here a hundred
times a second), EBU Tech 3342 for the range. The module itself can be called: `tr.loudness(x, sample_rate)` is `loudness`.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio, as_planar, check_rate

Numbers = npt.NDArray[np.float64]
ABSOLUTE_LUFS = -70.0
UPDATES = 100  # a second
MOMENTARY, SHORT_TERM = 40, 300  # hundredths of a second
GATED_EVERY = 10  # hundredths: BS.1770 lets the windows of 0.4 s that it gates overlap by three quarters
RANGED_EVERY = 100


def _lufs(power: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        lufs: Numbers = -0.691 + 10.0 * np.log10(power)
    return lufs


def _mean_lufs(power: Numbers) -> float:
    return float(_lufs(np.mean(power, keepdims=True))[0])


def _db(linear: float) -> float:
    return 20.0 * math.log10(linear) if linear > 0 else -math.inf


@dataclass(frozen=True, eq=False)
class Loudness:
    """Loudness and peaks of a programme.

    Attributes:
        powers: weighted power of every full hundredth of a second.
        peak_db, true_peak_db: largest sample, and largest value between samples too, in dBFS (dBTP).
        faults: samples that were NaN or infinite, and count as silence.
    """

    powers: Numbers = field(repr=False)
    peak_db: float
    true_peak_db: float
    faults: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loudness):
            return NotImplemented
        same = (self.peak_db, self.true_peak_db, self.faults) == (other.peak_db, other.true_peak_db, other.faults)
        return same and np.array_equal(self.powers, other.powers)

    def __hash__(self) -> int:
        return hash((self.powers.tobytes(), self.peak_db, self.true_peak_db, self.faults))

    def _windows(self, hundredths: int, step: int = 1) -> Numbers:
        if self.powers.size < hundredths:
            return np.zeros(0)
        windows = np.lib.stride_tricks.sliding_window_view(self.powers, hundredths)[::step]
        means: Numbers = windows.mean(axis=-1)
        return means

    @cached_property
    def momentary(self) -> Numbers:
        """LUFS over 0.4 s, a hundred times a second; the first after 0.4 s."""
        return _lufs(self._windows(MOMENTARY))

    @cached_property
    def short_term(self) -> Numbers:
        """LUFS over 3 s, a hundred times a second; the first after 3 s."""
        return _lufs(self._windows(SHORT_TERM))

    @cached_property
    def integrated(self) -> float:
        """LUFS of the whole, without what is below -70 LUFS or 10 LU below the mean of the rest; -inf of silence and of less
        than 0.4 s."""
        power = self._windows(MOMENTARY, GATED_EVERY)
        power = power[_lufs(power) > ABSOLUTE_LUFS]
        if not power.size:
            return -math.inf
        gate = _mean_lufs(power) - 10.0
        return _mean_lufs(power[_lufs(power) > gate])

    @cached_property
    def range(self) -> float:
        """Loudness range (LRA) in LU: from the tenth to the 95th percentile of short-term loudness, without what is below
        -70 LUFS or 20 LU below the mean; 0 of less than 3 s. Taken once a second, as libebur128 does; meters that take it ten
        times a second (Tech 3342 of 2016) differ on programmes of less than a minute, which no range describes well."""
        power = self._windows(SHORT_TERM, RANGED_EVERY)
        power = power[_lufs(power) > ABSOLUTE_LUFS]
        if not power.size:
            return 0.0
        gate = _mean_lufs(power) - 20.0
        levels = np.sort(_lufs(power[_lufs(power) >= gate]))
        low, high = (levels[int((levels.size - 1) * share + 0.5)] for share in (0.1, 0.95))
        return float(high - low)

    @property
    def loudest_short_term(self) -> float:
        """The largest short-term loudness in LUFS; -inf of less than 3 s."""
        return float(np.max(self.short_term, initial=-math.inf))

    @property
    def loudest_momentary(self) -> float:
        """The largest momentary loudness in LUFS; -inf of less than 0.4 s."""
        return float(np.max(self.momentary, initial=-math.inf))

    def louder(self, gain_db: float) -> Loudness:
        """The same programme with a gain in dB."""
        power = 10.0 ** (gain_db / 10.0)
        return Loudness(self.powers * power, self.peak_db + gain_db, self.true_peak_db + gain_db, self.faults)

    def __str__(self) -> str:
        return (
            f"{self.integrated:.1f} LUFS, LRA {self.range:.1f} LU, max short-term {self.loudest_short_term:.1f}, max momentary "
            f"{self.loudest_momentary:.1f} LUFS, true peak {self.true_peak_db:.1f} dBTP"
            f"{f'; {fault_sentence(self.faults)}' if self.faults else ''}"
        )


def fault_sentence(faults: int) -> str:
    """A sentence about samples that no meter can measure."""
    what = "sample was NaN or infinity and counts" if faults == 1 else "samples were NaN or infinity and count"
    return f"{faults} {what} as silence"


class LoudnessMeter:
    """Measures a programme block by block.

    Args:
        sample_rate: Hz.
        channels: 1 to 16; of five (L R C Ls Rs) and six (with a low-frequency channel before the last two) the last two count
            1.41 times and the low-frequency channel not at all.
    """

    def __init__(self, sample_rate: float, channels: int) -> None:
        self.channels = channels
        self._meter = _engine.LoudnessMeter(check_rate(sample_rate), channels)

    def process(self, x: Audio) -> None:
        """The next block, (channels, frames) float32. NaN and infinity count as silence, and are counted."""
        self._meter.process(x, self.channels)

    def finish(self) -> Loudness:
        """The result at the end of the programme; the true peak takes the last frames into account too."""
        self.process(np.zeros((self.channels, 12), np.float32))
        return self.result()

    def result(self) -> Loudness:
        """The result so far."""
        return Loudness(self._meter.powers, _db(self._meter.peak), _db(self._meter.true_peak), self._meter.faults)


def loudness(x: npt.ArrayLike, sample_rate: float) -> Loudness:
    """Measure a whole sound.

    Args:
        x: (channels, frames) or (frames,); floats, or integers whose full scale is 1.
        sample_rate: Hz.

    Returns:
        The loudness in LUFS (`integrated`, `loudest_short_term`, `loudest_momentary`), its range in LU, peaks in dBFS and dBTP.
        NaN and infinity count as silence: `faults` says how many there were, and a RuntimeWarning.

    Raises:
        ValueError: a wrong shape, too many channels, or a rate outside what the engine takes.
    """
    audio, _ = as_planar(x)
    meter = LoudnessMeter(sample_rate, audio.shape[0])
    meter.process(audio)
    result = meter.finish()
    if result.faults:
        warnings.warn(fault_sentence(result.faults), RuntimeWarning, stacklevel=2)
    return result


class _Callable(ModuleType):
    """`twinrack.loudness` is this module and, as `tr.loudness(x, sample_rate)`, its function; both can be pickled."""

    def __call__(self, x: npt.ArrayLike, sample_rate: float) -> Loudness:
        return loudness(x, sample_rate)

    def __reduce__(self) -> Any:
        return import_module, (__name__,)


_Callable.__call__.__doc__ = loudness.__doc__
sys.modules[__name__].__class__ = _Callable
