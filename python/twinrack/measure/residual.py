"""The residual between a result and its target: noise, or the trace of something that the result does not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio
from .transfer import spectrum_over_time, window_frames

Numbers = npt.NDArray[np.float64]

BINS, FRAMES = 8, 4  # of a tile in which a residual is compared with the result
LONGER, FEW_BINS, MANY_FRAMES = 8, 2, 8  # the same with longer windows, for the bass
QUIET_DB = -90.0  # re the loudest tile: tiles that are not looked at
NOISE_SHARE, NOISE_LEVELS = 0.05, 0.35  # below both a residual counts as noise
LEAST_TILES = 12
OVERLAP = 1.5  # of windows: so many neighbours say the same
LONGEST_ECHO, LEAST_WINDOWS = 32, 8  # windows of 21 ms in a longer one, and how many of those at least


@dataclass(frozen=True)
class Residual:
    """The nature of a residual.

    Attributes:
        error_db: its energy relative to the target.
        gain_share: the part of its energy that is a gain of the result which changes over time and frequency, 0 to 1; as shown
            by windows of 21 or of 171 ms, whichever is more.
        filter_share: the part that is a constant filter.
        level_share: the part that is a gain over time, the same at all frequencies.
        echo_share: the part that a filter with a memory of up to 0.7 s makes of the result, such as echoes.
        follows_level: rank correlation of its level with that of the result, -1 to 1: noise of a recorder has none.
    """

    error_db: float
    gain_share: float = 0.0
    filter_share: float = 0.0
    level_share: float = 0.0
    echo_share: float = 0.0
    follows_level: float = 0.0

    @property
    def is_noise(self) -> bool:
        """Whether nothing of the sound is in it."""
        return self.gain_share < NOISE_SHARE and self.follows_level < NOISE_LEVELS


def residual_of(pieces: Sequence[tuple[Audio, Audio]], rate: float) -> Residual:
    """The residual over pieces of (result, target), each (channels, frames), at a rate in Hz."""
    size = window_frames(rate)
    long_enough = [p for p in pieces if p[0].shape[1] >= size]
    if not long_enough:
        return Residual(0.0)
    y, e = _spectra(long_enough, size)  # channels, windows, bins
    energy = float(e.abs().square().sum())
    size_of_target = float((y + e).abs().square().sum())
    if energy <= 1e-30 * max(size_of_target, 1e-30):
        return Residual(-300.0)
    error_db = 10.0 * np.log10(energy / max(size_of_target, 1e-30))
    if y.shape[1] < FRAMES:
        return Residual(float(error_db))
    tiles = _Tiles.of(y, e, BINS, FRAMES)
    gain_share = max(tiles.gain_share(), _gain_share_in_bass(pieces, LONGER * size))
    filter_share = _filter_share(y, e)
    own, left = tiles.own.sum(0), tiles.left.sum(0)
    level_share = _share(tiles.cross.real.sum((0, 2)), own.sum(1), left.sum(1), tiles.power.sum((0, 2)))
    echo_share = max(_echo_share(pieces, size), filter_share)
    return Residual(float(error_db), gain_share, filter_share, level_share, echo_share, _rank_correlation(left, own))


@dataclass(frozen=True)
class _Tiles:
    """Sums over tiles of some bins and windows, each (channels, tiles in time, tiles in frequency).

    Attributes:
        cross: product of the residual with the result.
        own: energy of the result.
        left: energy of the residual.
        power: product of both energies.
    """

    cross: Tensor
    own: Tensor
    left: Tensor
    power: Tensor

    @staticmethod
    def of(y: Tensor, e: Tensor, bins: int, frames: int) -> _Tiles:
        """From the spectra over time of a result and of its residual, (channels, windows, bins)."""
        in_time, in_frequency = y.shape[1] // frames, y.shape[2] // bins
        shape = (y.shape[0], in_time, frames, in_frequency, bins)
        e, y = (s[:, : in_time * frames, : in_frequency * bins].reshape(shape) for s in (e, y))
        return _Tiles(*(s.sum((2, 4)) for s in _products(y, e)))

    def gain_share(self) -> float:
        return _share(self.cross, self.own, self.left, self.power)


def _filter_share(y: Tensor, e: Tensor) -> float:
    """The part of a residual that is one filter of the result, (channels, windows, bins)."""
    return _share(*(s.sum((0, 1)) for s in _products(y, e)))


def _products(y: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Numbers that `_share` takes sums of, each of the shape of the spectra of a result and of its residual."""
    own, left = y.abs().square(), e.abs().square()
    return e * y.conj(), own, left, own * left


def _spectra(pieces: Sequence[tuple[Audio, Audio]], size: int) -> tuple[Tensor, Tensor]:
    """Of results and of their residuals, the windows of all pieces one after the other."""
    y, t = (torch.cat([spectrum_over_time(p[i].astype(np.float64), size, size // 2) for p in pieces], 1) for i in (0, 1))
    return y, t - y


def _echo_share(pieces: Sequence[tuple[Audio, Audio]], size: int) -> float:
    """The part of a residual that is one filter of the result, in windows that are as long as the pieces allow."""
    longest = size * LONGEST_ECHO
    while longest > size and sum(2 * p[0].shape[1] // longest - 1 for p in pieces if p[0].shape[1] >= longest) < LEAST_WINDOWS:
        longest //= 2
    return _filter_share(*_spectra([p for p in pieces if p[0].shape[1] >= longest], longest)) if longest > size else 0.0


def _gain_share_in_bass(pieces: Sequence[tuple[Audio, Audio]], size: int) -> float:
    """The part of a residual that is a gain of the result, in windows that are long enough to tell the lowest bands apart."""
    long = [p for p in pieces if p[0].shape[1] >= size * (MANY_FRAMES + 1) // 2]
    if not long:
        return 0.0
    return _Tiles.of(*_spectra(long, size), FEW_BINS, MANY_FRAMES).gain_share()


def _share(cross: Tensor, own: Tensor, left: Tensor, power: Tensor) -> float:
    """The part of `left` that a gain of the result explains, less what it explains by chance where only levels agree."""
    own = own.clamp(min=1e-30)
    all_left = max(float(left.sum()), 1e-30)
    explained = float((cross.abs().square() / own).sum()) / all_left
    chance = OVERLAP * float((power / own).sum()) / all_left
    return float(np.clip((explained - chance) / max(1.0 - chance, 0.1), 0.0, 1.0))


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's, within each band, averaged; (time, bands)."""
    values = []
    loudest = float(b.max())
    for band in range(a.shape[1]):
        x, y = np.asarray(a[:, band]), np.asarray(b[:, band])
        audible = y > loudest * 10 ** (QUIET_DB / 10)
        if audible.sum() >= LEAST_TILES:
            ranks = [np.argsort(np.argsort(v[audible])).astype(float) for v in (x, y)]
            if all(r.std() > 0 for r in ranks):
                values.append((float(np.corrcoef(ranks[0], ranks[1])[0, 1]), float(x[audible].sum())))
    if not values:
        return 0.0
    correlations, weights = np.array(values).T
    return float(np.average(correlations, weights=np.sqrt(weights) + 1e-30))
