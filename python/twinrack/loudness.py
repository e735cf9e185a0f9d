"""Loudness of a programme as broadcasters measure it: integrated, momentary, short-term, range, true peak.

ITU-R BS.1770-4 for the weighting, the gates and the true peak; EBU Tech 3341 for the windows (0.4 s and 3 s, ten times a
second), EBU Tech 3342 for the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from . import _engine
from .audio import Audio, as_planar, check_rate

Numbers = npt.NDArray[np.float64]
ABSOLUTE_LUFS = -70.0


def _lufs(power: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        found: Numbers = -0.691 + 10.0 * np.log10(power)
    return found


def _mean_lufs(power: Numbers) -> float:
    return float(_lufs(np.mean(power, keepdims=True))[0])


def _db(linear: float) -> float:
    return 20.0 * math.log10(linear) if linear > 0 else -math.inf


@dataclass(frozen=True)
class Loudness:
    """What a meter has heard.

    Attributes:
        powers: weighted power of every full tenth of a second.
        peak_db, true_peak_db: largest sample, and largest value between samples too, in dBFS (dBTP).
    """

    powers: Numbers
    peak_db: float
    true_peak_db: float

    def _windows(self, tenths: int) -> Numbers:
        if self.powers.size < tenths:
            return np.zeros(0)
        sums = np.concatenate([[0.0], np.cumsum(self.powers)])
        found: Numbers = np.maximum(sums[tenths:] - sums[:-tenths], 0.0) / tenths
        return found

    @cached_property
    def momentary(self) -> Numbers:
        """LUFS over 0.4 s, ten times a second; the first after 0.4 s."""
        return _lufs(self._windows(4))

    @cached_property
    def short_term(self) -> Numbers:
        """LUFS over 3 s, ten times a second; the first after 3 s."""
        return _lufs(self._windows(30))

    @cached_property
    def integrated(self) -> float:
        """LUFS of the whole, without what is below -70 LUFS or 10 LU below the mean of the rest; -inf of silence."""
        power = self._windows(4)
        power = power[_lufs(power) > ABSOLUTE_LUFS]
        if not power.size:
            return -math.inf
        gate = _mean_lufs(power) - 10.0
        return _mean_lufs(power[_lufs(power) > gate])

    @cached_property
    def range(self) -> float:
        """LU between the tenth and the 95th percentile of short-term loudness each second, without what is below -70 LUFS or
        20 LU below the mean."""
        power = self._windows(30)[::10]
        power = power[_lufs(power) > ABSOLUTE_LUFS]
        if not power.size:
            return 0.0
        gate = _mean_lufs(power) - 20.0
        levels = np.sort(_lufs(power[_lufs(power) >= gate]))
        low, high = (levels[int((levels.size - 1) * share + 0.5)] for share in (0.1, 0.95))
        return float(high - low)

    @property
    def loudest_short_term(self) -> float:
        """The largest short-term loudness in LUFS."""
        return float(np.max(self.short_term, initial=-math.inf))

    @property
    def loudest_momentary(self) -> float:
        """The largest momentary loudness in LUFS."""
        return float(np.max(self.momentary, initial=-math.inf))

    def louder(self, gain_db: float) -> Loudness:
        """The same programme, louder by so many dB."""
        return Loudness(self.powers * 10.0 ** (gain_db / 10.0), self.peak_db + gain_db, self.true_peak_db + gain_db)

    def __str__(self) -> str:
        return (
            f"{self.integrated:.1f} LUFS, range {self.range:.1f} LU, short-term to {self.loudest_short_term:.1f}, momentary to "
            f"{self.loudest_momentary:.1f} LUFS, true peak {self.true_peak_db:.1f} dBTP"
        )


class LoudnessMeter:
    """Hears a programme block by block.

    Args:
        sample_rate: Hz.
        channels: 1 to 16; of five (L R C Ls Rs) and six (with a low-frequency channel before the last two) the last two count
            1.41 times and the low-frequency channel not at all.
    """

    def __init__(self, sample_rate: float, channels: int) -> None:
        self.channels = channels
        self._meter = _engine.LoudnessMeter(check_rate(sample_rate), channels)

    def process(self, x: Audio) -> None:
        """The next block, (channels, frames) float32."""
        self._meter.process(x, self.channels)

    def finish(self) -> Loudness:
        """Of all, when no more comes: the true peak sees the last frames too."""
        self.process(np.zeros((self.channels, 12), np.float32))
        return self.result()

    def result(self) -> Loudness:
        """Of all so far."""
        return Loudness(self._meter.powers, _db(self._meter.peak), _db(self._meter.true_peak))


def loudness(x: npt.ArrayLike, sample_rate: float) -> Loudness:
    """The loudness of a whole sound, (channels, frames) or (frames,)."""
    audio, _ = as_planar(x)
    meter = LoudnessMeter(sample_rate, audio.shape[0])
    meter.process(audio)
    return meter.finish()
