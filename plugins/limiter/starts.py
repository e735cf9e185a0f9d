"""Start values of a limiter: from its quiet parts and its peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.train.data import Pair
from twinrack.train.starts import Values, levels_and_gains

FEWEST = 20  # windows with sound


def starts(effect: Effect, pairs: Sequence[Pair], rate: float, learned: set[str]) -> list[Values]:
    """The input gain is that of the quiet parts, the ceiling the largest sample."""
    dry, gain = levels_and_gains(pairs, rate, False)
    if dry.size < FEWEST:
        return []
    ceiling = 20 * np.log10(max(float(np.max(np.abs(p.wet))) for p in pairs))
    quiet = gain[dry <= np.percentile(dry, 30)]
    return [{"input_gain_db": float(np.median(quiet)), "ceiling_db": float(ceiling)}]
