"""The block that must change so that a rack does again what is wanted: each is fitted alone, all others staying as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.describe import value_text
from ..rack.rack import Rack
from ..train.refine import refined

CLEARLY_DB = 3.0  # by which the error must fall
MOVES_SHOWN = 3
HEARD_JNDS = 1.0


@dataclass(frozen=True)
class Refit:
    """One block fitted alone.

    Attributes:
        address: of the block.
        before_db, after_db: error against what is wanted, energy of the difference relative to it.
        moves: the values that moved by 1 JND and more, the largest first: "threshold_db -40 dB -> -22 dB".
    """

    address: str
    before_db: float
    after_db: float
    moves: tuple[str, ...]

    @property
    def gain_db(self) -> float:
        return self.before_db - self.after_db

    def __str__(self) -> str:
        moves = f" ({', '.join(self.moves[:MOVES_SHOWN])})" if self.moves else ""
        return f"{self.address} fitted alone brings the error from {self.before_db:.1f} to {self.after_db:.1f} dB{moves}"


def refits(rack: Rack, dry: Sequence[Audio], wet: Sequence[Audio], sample_rate: float) -> list[Refit]:
    """Every block fitted alone to pairs of recordings; the one that helps most first.

    Args:
        rack: it is not changed.
        dry, wet: (channels, frames) each, in step.
        sample_rate: Hz.
    """

    def error_of(player: Rack) -> float:
        played = [player.copy()(d, sample_rate) for d in dry]
        return difference_db(np.concatenate(played, 1), np.concatenate(wet, 1))

    if not any(np.any(w) for w in wet):
        return []  # nothing that is played comes near silence
    results, before_db = [], error_of(rack)
    for address, effect in rack.addresses().items():
        if effect.bypass or not any(p.learnable and p.kind == "continuous" for p in effect.card.addresses.values()):
            continue
        fitted = refined(rack, dry, wet, sample_rate, [f"{address}.*"])
        moved = []
        for name, p in effect.card.addresses.items():
            if p.kind != "continuous":
                continue
            before, after = float(effect.get(name)), float(fitted.get(f"{address}.{name}"))
            jnds = p.jnds(before, after) if before != after else 0.0
            if jnds is not None and abs(jnds) >= HEARD_JNDS:
                moved.append((abs(jnds), f"{name} {value_text(p, before)} -> {value_text(p, after)}"))
        moves = tuple(text for _, text in sorted(moved, reverse=True))
        results.append(Refit(address, before_db, error_of(fitted), moves))
    return sorted(results, key=lambda r: r.after_db)


def blamed(rack: Rack, dry: Sequence[Audio], wet: Sequence[Audio], sample_rate: float) -> Refit | None:
    """The block that must change; None where no block alone brings the error clearly down."""
    every = refits(rack, dry, wet, sample_rate)
    return every[0] if every and every[0].gain_db >= CLEARLY_DB else None
