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
LEAST_TILES = 24


@dataclass(frozen=True)
class Residual:
    """The nature of a residual.

    Attributes:
        error_db: its energy relative to the target.
        gain_share: the part of its energy that is a gain of the result which changes over time and frequency, 0 to 1; as shown
            by windows of 21 or of 171 ms, whichever is more.
        filter_share: the part that is a constant filter.
        level_share: the part that is a gain over time, the same at all frequencies.
        follows_level: rank correlation of its level with that of the result, -1 to 1: noise of a recorder has none.
    """

    error_db: float
    gain_share: float
    filter_share: float
    level_share: float
    follows_level: float

    @property
    def is_noise(self) -> bool:
        """Whether nothing of the sound is in it."""
        return self.gain_share < NOISE_SHARE and self.follows_level < NOISE_LEVELS


def residual_of(pieces: Sequence[tuple[Audio, Audio]], rate: float) -> Residual:
    """The residual over pieces of (result, target), each (channels, frames), at a rate in Hz."""
    size = window_frames(rate)
    ys, ts = (
        [spectrum_over_time(p[i].astype(np.float64), size, size // 2) for p in pieces if p[i].shape[1] >= size] for i in (0, 1)
    )
    if not ys:
        return Residual(0.0, 0.0, 0.0, 0.0, 0.0)
    y, t = torch.cat(ys, 1), torch.cat(ts, 1)  # channels, windows, bins
    e = t - y
    energy = float(e.abs().square().sum())
    size_of_target = float(t.abs().square().sum())
    if energy <= 1e-30 * max(size_of_target, 1e-30):
        return Residual(-300.0, 0.0, 0.0, 0.0, 0.0)
    error_db = 10.0 * np.log10(energy / max(size_of_target, 1e-30))
    if y.shape[1] < FRAMES:
        return Residual(float(error_db), 0.0, 0.0, 0.0, 0.0)
    tiles = _Tiles.of(y, e, BINS, FRAMES)
    gain_share = max(tiles.gain_share(), _gain_share_in_bass(pieces, LONGER * size))
    by_bin = (e * y.conj()).sum((0, 1)), y.abs().square().sum((0, 1)), e.abs().square().sum((0, 1))
    filter_share = _share(*by_bin, chance=1.5 / max(e.shape[0] * e.shape[1], 1))
    own, left = tiles.own.sum(0), tiles.left.sum(0)
    in_time = (tiles.cross.real.sum((0, 2)), own.sum(1), left.sum(1))
    level_share = _share(*in_time, chance=1.5 / (FRAMES * BINS * max(own.shape[1], 1)))
    return Residual(float(error_db), gain_share, filter_share, level_share, _rank_correlation(left, own))


@dataclass(frozen=True)
class _Tiles:
    """Sums over tiles of some bins and windows, each (channels, tiles in time, tiles in frequency).

    Attributes:
        own: energy of the result.
        cross: product of the residual with it.
        left: energy of the residual.
        numbers: that each tile sums.
    """

    own: Tensor
    cross: Tensor
    left: Tensor
    numbers: int

    @staticmethod
    def of(y: Tensor, e: Tensor, bins: int, frames: int) -> _Tiles:
        """From the spectra over time of a result and of its residual, (channels, windows, bins)."""
        in_time, in_frequency = y.shape[1] // frames, y.shape[2] // bins
        shape = (y.shape[0], in_time, frames, in_frequency, bins)
        e, y = (s[:, : in_time * frames, : in_frequency * bins].reshape(shape) for s in (e, y))
        own, left = (s.abs().square().sum((2, 4)) for s in (y, e))
        return _Tiles(own, (e * y.conj()).sum((2, 4)), left, frames * bins)

    def gain_share(self) -> float:
        return _share(self.cross, self.own, self.left, 1.5 / self.numbers)  # neighbours overlap


def _gain_share_in_bass(pieces: Sequence[tuple[Audio, Audio]], size: int) -> float:
    """The part of a residual that is a gain of the result, in windows that are long enough to tell the lowest bands apart."""
    long = [p for p in pieces if p[0].shape[1] >= size * (MANY_FRAMES + 1) // 2]
    if not long:
        return 0.0
    y, t = (torch.cat([spectrum_over_time(p[i].astype(np.float64), size, size // 2) for p in long], 1) for i in (0, 1))
    return _Tiles.of(y, t - y, FEW_BINS, MANY_FRAMES).gain_share()


def _share(cross: Tensor, own: Tensor, left: Tensor, chance: float) -> float:
    """The part of `left` that a gain of the result explains, without what it explains of noise by chance."""
    explained = float((cross.abs().square() / own.clamp(min=1e-30)).sum())
    share = explained / max(float(left.sum()), 1e-30)
    return float(np.clip((share - chance) / max(1.0 - chance, 1e-9), 0.0, 1.0))


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
