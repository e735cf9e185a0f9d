"""How far explanations can be trusted: each is checked against the rack itself, by taking away what it calls important.

- Ablation: blocks left out one after the other, the most important first, must change the sound sooner than the least
  important first (deletion); and the changes of single blocks, added up, either are the change of all or are not
  (additivity), which says whether blocks can be judged one by one.
- Evidence: with the second silenced that a map calls the strongest, moving the value must change less than with any other
  second silenced (deletion); and the map of the same sound backwards must be another one (randomisation; J. Adebayo et al.,
  Sanity checks for saliency maps, NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..audio import Audio
from ..perceptual import Noticeable
from ..rack.rack import Rack
from ..rack.running import Sidechain
from .ablation import Ablation
from .evidence_map import Evidence, evidence

CHECKED = 3  # values with the most evidence
OTHERS = 4  # seconds that are silenced instead
ADDITIVE_DB = -20.0


@dataclass(frozen=True)
class Trust:
    """Figures on the explanations of one rack on one sound; NaN where there is nothing to compare.

    Attributes:
        deletion: mean change in JND on the way, the most important blocks left out first, over that of the least important
            first; above 1 the order is right.
        additivity_db: energy of what all blocks change less the sum of what each changes, relative to the former.
        evidence_deletion: of the values with the most evidence, the share of the change by 1 JND that goes away with the
            strongest second, over the mean share that goes away with another one.
        evidence_sanity: correlation over time of their maps with those of the sound backwards.
    """

    deletion: float
    additivity_db: float
    evidence_deletion: float
    evidence_sanity: float

    def ablation_text(self) -> str:
        """A sentence for the blocks."""
        if not np.isfinite(self.deletion):
            return "With fewer than two blocks there is no order to check."
        order = (
            f"Left out the most important first, the sound changes {self.deletion:.2g} times as much on the way as the least "
            f"important first{'' if self.deletion > 1.0 else ': do not rely on the order'}."
        )
        if not np.isfinite(self.additivity_db):
            return order
        add = (
            "so they can be judged one by one" if self.additivity_db < ADDITIVE_DB else "so what one does depends on the others"
        )
        return f"{order} What each changes adds up to what all change but for {self.additivity_db:.0f} dB, {add}."

    def evidence_text(self) -> str:
        """A sentence for the maps."""
        if not np.isfinite(self.evidence_deletion):
            return "No map could be checked: the sound is too short, or shows no value."
        alike = "" if self.evidence_sanity < 0.5 else ": do not rely on the maps"
        return (
            f"Silencing the strongest second takes {self.evidence_deletion:.2g} times as much of a value's change as another "
            f"second does; with the sound backwards the maps correlate by {self.evidence_sanity:.2f}{alike}."
        )


def trust(
    rack: Rack,
    sound: Audio,
    rate: float,
    left_out: Sequence[Ablation],
    maps: Sequence[Evidence],
    sidechain: Sidechain = None,
) -> Trust:
    """Check ablations and evidence of a rack on a sound.

    Args:
        rack: it is not changed.
        sound: (channels, frames), at `rate` in Hz.
        left_out: ablations of whole blocks.
        maps: evidence of its values.
        sidechain: as in a call of the rack.
    """
    deletion, additivity = _blocks(rack, sound, rate, [a.address for a in sorted(left_out, key=lambda a: -a.jnds)], sidechain)
    evidence_deletion, sanity = (float("nan"),) * 2
    chosen = sorted((m for m in maps if not m.is_empty), key=lambda m: -m.heard_jnds)[:CHECKED]
    if chosen and sidechain is None and sound.shape[1] >= 3.0 * rate:
        evidence_deletion, sanity = _maps(rack, sound, rate, chosen)
    return Trust(deletion, additivity, evidence_deletion, sanity)


def _blocks(rack: Rack, sound: Audio, rate: float, ranked: list[str], sidechain: Sidechain) -> tuple[float, float]:
    if len(ranked) < 2:
        return float("nan"), float("nan")

    def without(addresses: Sequence[str]) -> Audio:
        own = rack.copy()
        for address in addresses:
            own[address].bypass = True
        return np.asarray(own(sound, rate, sidechain=sidechain))

    hearing, whole = Noticeable(rate), without([])
    nothing = without(ranked)

    def heard(y: Audio) -> float:
        with torch.no_grad():
            return float(hearing.most(torch.from_numpy(y)[None], torch.from_numpy(whole)[None]))

    areas = [np.mean([heard(without(order[:n])) for n in range(1, len(order))]) for order in (ranked, ranked[::-1])]
    change = (whole - nothing).astype(np.float64)
    apart = sum((whole - without([a])).astype(np.float64) for a in ranked)
    size = float(np.sum(change**2))
    additivity = 10.0 * np.log10((float(np.sum((apart - change) ** 2)) + 1e-20) / size) if size > 1e-20 else float("nan")
    return float(areas[0] / max(float(areas[1]), 1e-9)), float(additivity)


def _maps(rack: Rack, sound: Audio, rate: float, chosen: Sequence[Evidence]) -> tuple[float, float]:
    """Deletion and randomisation of some maps."""
    addresses = [m.address for m in chosen]

    def power(x: Audio) -> dict[str, Evidence]:
        return {m.address: m for m in evidence(rack, x, rate, addresses)}

    def silenced(start: float, end: float) -> Audio:
        quiet = sound.copy()
        quiet[:, round(start * rate) : round(end * rate)] = 0.0
        return quiet

    backwards = power(np.ascontiguousarray(sound[:, ::-1]))
    ratios, correlations = [], []
    for m in chosen:
        start, end = m.strongest()
        total = float(m.power.sum())
        lost = 1.0 - float(power(silenced(start, end))[m.address].power.sum()) / total
        length = sound.shape[1] / rate
        places = [p for p in np.linspace(0.0, length - (end - start), OTHERS + 2) if abs(p - start) >= end - start][:OTHERS]
        others = [1.0 - float(power(silenced(p, p + end - start))[m.address].power.sum()) / total for p in places]
        if others:
            ratios.append(lost / max(float(np.mean(np.maximum(others, 0.0))), 0.01))
        a, b = m.over_time, backwards[m.address].over_time
        frames = min(a.size, b.size)
        if a[:frames].std() > 0.0 and b[:frames].std() > 0.0:
            correlations.append(float(np.corrcoef(a[:frames], b[:frames])[0, 1]))
    return (
        float(np.median(ratios)) if ratios else float("nan"),
        float(np.median(correlations)) if correlations else float("nan"),
    )
