"""Ablation of a rack: each effect left out, and each value put back to its card's default, on a sound of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..audio import as_planar, check_rate
from ..measure.distances import Distances, distances
from ..perceptual import jnds_between
from ..rack.card import Parameter, Value
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..train.losses import loudness_contour, masking

SHORTEST_FRAMES = 1024


@dataclass(frozen=True)
class Ablation:
    """One thing taken away: how far that is from the whole rack's sound, by how much that stands above what the sound masks
    (mean over bands and time, see `perceptual.Masking`; 0 is inaudible), how much louder or quieter it is, in LU, and how many
    just-noticeable differences it is where it is heard most (see `perceptual.Noticeable`)."""

    address: str
    before: Value | None  # of a parameter; None for an effect
    after: Value | None
    distances: Distances
    loudness_lu: float
    audible_db: float = 0.0
    jnds: float = 0.0

    def __str__(self) -> str:
        what = "left out" if self.before is None else f"{_short(self.before)} -> {_short(self.after)}"
        figures = f"{self.audible_db:5.1f} dB audible  {self.jnds:5.2g} JND  {self.loudness_lu:+.1f} LU"
        return f"{self.address:<36} {what:<22} {self.distances}  {figures}"


def _nearly(p: Parameter, value: Value) -> bool:
    """Whether a number is its default but for rounding."""
    return p.kind == "continuous" and abs(p.position(float(value)) - p.position(float(p.default))) < 1e-6


def _short(value: Value | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ablate(
    rack: Rack, x: npt.ArrayLike, sample_rate: float, parameters: bool = True, *, sidechain: Sidechain = None
) -> list[Ablation]:
    """Take away each effect, then put each value back to its card's default, and listen; what matters most comes first.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): a sound that the rack is for.
        sample_rate: Hz.
        parameters: also single values, of those that differ from the default.
        sidechain: as in a call of the rack.

    Returns:
        Effects first, then parameters, each sorted by the energy of the difference.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rack = as_rack(rack)
    if sound.shape[1] < SHORTEST_FRAMES:
        raise ValueError(f"the sound has {sound.shape[1]} frames; give at least {SHORTEST_FRAMES}")
    whole = rack.copy()(sound, rate, sidechain=sidechain)

    def loudness(y: npt.NDArray[np.float32]) -> float:
        contour = loudness_contour(torch.from_numpy(y)[None], rate)
        return float(10.0 * torch.log10((10.0 ** (contour / 10.0)).mean()))

    def compared(changed: Rack, address: str, before: Value | None, after: Value | None) -> Ablation:
        y = changed(sound, rate, sidechain=sidechain)
        with torch.no_grad():
            audible = float(masking(rate)(torch.from_numpy(y)[None], torch.from_numpy(whole)[None]))
        louder, jnds = loudness(y) - loudness(whole), jnds_between(y, whole, rate)
        return Ablation(address, before, after, distances([(y, whole)], rate), louder, audible, jnds)

    effects, values = [], []
    for address, effect in rack.addresses().items():
        if effect.bypass:
            continue
        changed = rack.copy()
        changed[address].bypass = True
        effects.append(compared(changed, address, None, None))
        for name, p in effect.card.addresses.items() if parameters else ():
            before = effect.get(name)
            if name in effect.unused() or before == p.default or _nearly(p, before):
                continue
            changed = rack.copy()
            changed[address].set(name, p.default)
            values.append(compared(changed, f"{address}.{name}", before, p.default))

    def sort(ablations: list[Ablation]) -> list[Ablation]:
        return sorted(ablations, key=lambda a: -a.distances.error_db)

    return sort(effects) + sort(values)
