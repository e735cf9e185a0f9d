"""Levels in bands over time: what a wide search compares, as equalisers, gains and dynamics move them almost by addition, so
that even values that are far off show which way to go."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...audio import Audio
from ...measure.transfer import window_frames
from .candidates import Candidates
from .in_chunks import on_cores
from .levenberg import Residuals

NARROW = 9  # bands of a single bin, below the others
WIDE = 23  # bands up to the highest frequency
HIGHEST_HZ = 20000.0
FLOOR_DB = -60.0  # of each band's own peak
FLOOR_OF_ALL_DB = -80.0
ENOUGH_S, LONG_S = 3.5, 12.0
QUIETER_PART, ABOVE = 0.5, 2.0  # of the windows, whose residual counts as noise; and how far above it levels are compared


class BandLevels:
    """Compares the levels of sounds with those of a target, in bands and windows of 21 ms that overlap by half.

    Args:
        target: (channels, frames).
        rate: Hz.
    """

    def __init__(self, target: Audio, rate: float) -> None:
        self._size = window_frames(rate)
        if target.shape[1] < self._size:
            target = np.pad(target, ((0, 0), (0, self._size - target.shape[1])))
        self.target = target
        self._window = torch.hann_window(self._size)
        self._bank = _bank(self._size, rate)
        power = self._power(target)
        self._floor = power.amax((0, 1)) * 10 ** (FLOOR_DB / 10) + power.max() * 10 ** (FLOOR_OF_ALL_DB / 10) + 1e-20
        self.target_db = self._decibels(target)

    def _power(self, sound: Audio) -> Tensor:
        """(channels, windows, bands)."""
        frames = torch.from_numpy(np.ascontiguousarray(sound)).unfold(-1, self._size, self._size // 2) * self._window
        spectrum = torch.view_as_real(torch.fft.rfft(frames)).flatten(-2)
        return spectrum.square_() @ self._bank

    def _decibels(self, sound: Audio) -> Tensor:
        return 10.0 * torch.log10(self._power(sound) + self._floor)

    def raise_floor(self, sound: Audio) -> None:
        """Take what the target has beside a sound that is near it for noise: levels below it are not told apart.

        Args:
            sound: (channels, frames) of a good result.
        """
        rest = self._power(self.target - sound).flatten(0, 1)
        self._floor = torch.maximum(self._floor, ABOVE * rest.quantile(QUIETER_PART, 0))
        self.target_db = self._decibels(self.target)

    def differences(self, sound: Audio) -> Tensor:
        """How far a sound's levels are from the target's in dB, (channels, windows, bands)."""
        return self._decibels(sound) - self.target_db

    def residuals(self, sounds: Audio) -> Residuals:
        """Of many sounds, (k, channels, frames) to (k, numbers), in dB."""
        if sounds.shape[2] < self._size:
            sounds = np.pad(sounds, ((0, 0), (0, 0), (0, self._size - sounds.shape[2])))
        rows = np.empty((len(sounds), self.target_db.numel()), np.float32)

        def one(i: int) -> None:
            rows[i] = self.differences(sounds[i]).reshape(-1).numpy()

        on_cores(one, range(len(sounds)))
        return rows


def _bank(size: int, rate: float) -> Tensor:
    """(2 x bins, bands): which squares of real and imaginary parts each band sums."""
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    low = NARROW * rate / size
    edges = np.concatenate([np.arange(NARROW) * rate / size, np.geomspace(low, min(HIGHEST_HZ, 0.48 * rate), WIDE + 1)])
    rows = [(hertz >= a) & (hertz < b) for a, b in itertools.pairwise(edges)]
    bank = np.array([row for row in rows if row.any()], np.float32)
    return torch.from_numpy(np.repeat(bank, 2, axis=1).T.copy())


class LevelResiduals:
    """The differences in band levels as residuals of positions, in dB. Of short recordings a part is enough."""

    def __init__(self, candidates: Candidates) -> None:
        seconds = candidates.wet.shape[1] / candidates.rate
        self.candidates = candidates.shortened(ENOUGH_S) if ENOUGH_S < seconds < LONG_S else candidates
        self.levels = BandLevels(self.candidates.wet, candidates.rate)

    def __call__(self, many: npt.NDArray[np.float64]) -> Residuals:
        return np.concatenate([self.levels.residuals(sounds) for sounds in self.candidates.batches(many)])
