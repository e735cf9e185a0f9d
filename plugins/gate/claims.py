"""Claims of a gate: open above its threshold, closed below, and as far as its curve says."""

import numpy as np
import torch

from twinrack.rack.effect import Effect
from twinrack.rack.effect_files import effect_file
from twinrack.validation.claims import Claim, static_levels

TOLERANCE_DB = 0.05
ABOVE_DB = 6.0
VALUES = ("threshold_db", "ratio", "range_db", "knee_db", "smoothness_percent")


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    threshold, ratio, most, knee, smoothness = (float(effect.get(n)) for n in VALUES)
    own = effect.copy()
    own.set("sidechain_low_cut_hz", own.card.addresses["sidechain_low_cut_hz"].min)
    own.set("sidechain_high_cut_hz", own.card.addresses["sidechain_high_cut_hz"].max)
    window = (
        15e-3 * float(own.get("rms_window_ms")) + 1e-3 * (float(own.get("lookahead_ms")) + float(own.get("hold_ms"))) + 0.25
    )
    opens_s = window + 15e-3 * float(own.get("attack_ms"))
    closes_s = opens_s + 15e-3 * float(own.get("release_ms"))
    opens = threshold + 0.5 * knee
    loud = np.minimum(opens + ABOVE_DB, 0.0)
    first = []
    if loud > opens:  # full scale opens it
        opened = float(static_levels(own, np.array([loud]), sample_rate, opens_s)[0] - loud)
        words = f"a constant {loud - threshold:.3g} dB above the threshold passes as it is"
        first.append(Claim("open", words, opened, -TOLERANCE_DB, TOLERANCE_DB))
    quiet = threshold - np.array([3.0, 6.0, 12.0, 24.0])
    quiet = quiet[quiet > -110.0]
    closed = static_levels(own, quiet, sample_rate, closes_s) - quiet
    numbers = (torch.as_tensor(n, dtype=torch.float64) for n in (ratio - 1.0, most, knee, smoothness / 100.0))
    below = torch.from_numpy(np.maximum(opens - quiet, 0.0))
    stated = -effect_file(effect.card, "twin").closing_db(below, *numbers).numpy()
    measurable = quiet + stated > -140.0
    worst = float(np.abs(closed - stated)[measurable].max(initial=0.0))
    return [*first, Claim("closed", "below the threshold it takes away what its curve says", worst, high=TOLERANCE_DB)]
