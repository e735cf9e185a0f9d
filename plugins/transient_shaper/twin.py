"""The twin of `transient_shaper.h`: gains of onsets and decays, by followers of the level that part there."""

from __future__ import annotations

import torch
from torch import Tensor

from twinrack.twins.curves import ramp, together
from twinrack.twins.dynamics import one_pole_coefficient
from twinrack.twins.gain_curve import amplitude, decibels
from twinrack.twins.recursions import follower
from twinrack.twins.values import Context, Values

FLOOR = 1e-4  # -80 dBFS
FALL_MS, QUICK_MS, SHORT_MS = 15.0, 0.5, 20.0  # of the level; the quicker rise; the quicker fall
HALF_DB = 6.0  # of difference give half of the gain


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    def frames(t: Tensor) -> Tensor:  # rows, 1, frames
        return ramp(t.to(x.dtype), at.frames).unsqueeze(1)

    def coefficient(time_ms: Tensor) -> Tensor:
        return one_pole_coefficient(time_ms, at.sample_rate)

    def followed(s: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
        return follower(s, torch.stack(together(rise, fall), -1), False, at.path)

    fixed, quick, short = (coefficient(torch.full_like(v.attack_ms[:1, :1], t)) for t in (FALL_MS, QUICK_MS, SHORT_MS))
    peak = followed(x.abs().amax(1, keepdim=True), torch.ones_like(fixed), fixed)
    level = decibels(peak.clamp(min=FLOOR))
    start = decibels(torch.full_like(level[..., :1], FLOOR))
    above = (level - start).double()  # long times move by less than a float's last bit
    sustain = coefficient(v.sustain_ms)
    onset = followed(above, quick, short) - followed(above, coefficient(v.attack_ms), short)
    decay = followed(above, quick, sustain) - followed(above, quick, short)
    gain_db = sum(
        (frames(db) * share(part).to(x.dtype) for db, part in ((v.attack_db, onset), (v.sustain_db, decay))),
        frames(v.output_db),
    )
    return x * amplitude(gain_db)


def share(difference_db: Tensor) -> Tensor:
    """0 to 1, a half at 6 dB."""
    difference = difference_db.clamp(min=0.0)
    return difference / (difference + HALF_DB)
