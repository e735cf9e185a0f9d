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
QUIET_DB = -90.0  # re the loudest tile: tiles that are not looked at
NOISE_SHARE, NOISE_LEVELS = 0.05, 0.35  # below both a residual counts as noise
LEAST_TILES = 24


@dataclass(frozen=True)
class Residual:
    """The nature of a residual.

    Attributes:
        error_db: its energy relative to the target.
        gain_share: the part of its energy that is a gain of the result which changes over time and frequency, 0 to 1.
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
    windows, bins = (y.shape[1] // FRAMES) * FRAMES, (y.shape[2] // BINS) * BINS
    if windows == 0:
        return Residual(float(error_db), 0.0, 0.0, 0.0, 0.0)
    tiles = (y.shape[0], windows // FRAMES, FRAMES, bins // BINS, BINS)
    e_, y_ = (s[:, :windows, :bins].reshape(tiles) for s in (e, y))
    # channels, tiles, FRAMES, tiles, BINS
    own, cross = y_.abs().square().sum((2, 4)), (e_ * y_.conj()).sum((2, 4))
    left = e_.abs().square().sum((2, 4))
    chance = 1.0 / (FRAMES * BINS) * 1.5  # neighbours overlap
    gain_share = _share(cross, own, left, chance)
    by_bin = (e * y.conj()).sum((0, 1)), y.abs().square().sum((0, 1)), e.abs().square().sum((0, 1))
    filter_share = _share(*by_bin, chance=1.5 / max(e.shape[0] * e.shape[1], 1))
    in_time = (cross.real.sum((0, 2)), own.sum((0, 2)), left.sum((0, 2)))
    level_share = _share(*in_time, chance=1.5 / (FRAMES * BINS * max(e_.shape[3], 1)))
    levels = own.sum(0)
    return Residual(float(error_db), gain_share, filter_share, level_share, _rank_correlation(left.sum(0), levels))


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
