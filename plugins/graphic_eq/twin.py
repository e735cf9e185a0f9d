"""The twin of `graphic_eq.h`: bells a third of an octave apart whose gains are solved for from those that are set."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from twinrack.twins.curves import together
from twinrack.twins.filter_design import magnitude_db
from twinrack.twins.recursions import design_filters, svf_cascade
from twinrack.twins.values import Context, Values

BANDS = 31
HIGHEST = 0.47  # of the sample rate, of a band that is used
Q = 1.0 / (2.0**0.25 - 2.0**-0.25)
UNIT_DB = 10.0  # at which it is measured how far a bell reaches


def used_hz(sample_rate: float) -> list[float]:
    """Frequencies of the bands that a rate holds, exact thirds of an octave round 1 kHz."""
    every = [1000.0 * 2.0 ** ((band - 17) / 3.0) for band in range(BANDS)]
    return [hz for hz in every if hz < HIGHEST * sample_rate]


def process(x: Tensor, v: Values, at: Context, key: Tensor | None) -> Tensor:
    used = len(used_hz(at.sample_rate))
    wanted = torch.stack(together(*(band.gain_db for band in v.bands[:used])), -1)
    return svf_cascade(x, _bells(section_gains_db(wanted, at), at), at.path)


def section_gains_db(wanted: Tensor, at: Context) -> Tensor:
    """The gain of each bell with which the bands have those that are wanted, (rows, ticks, bands) as they are."""
    shares = _shares(at.sample_rate).to(wanted.device)
    gain = wanted @ shares
    hz = torch.tensor(used_hz(at.sample_rate), dtype=torch.float64, device=wanted.device)
    missing = wanted - magnitude_db(_bells(gain, at), hz, at.sample_rate).sum(-2)
    return gain + missing @ shares


def _bells(gain_db: Tensor, at: Context) -> Tensor:
    hz = torch.tensor(used_hz(at.sample_rate), dtype=torch.float64, device=gain_db.device).expand_as(gain_db).contiguous()
    q = torch.full_like(gain_db, Q)
    return design_filters(["bell"] * gain_db.shape[-1], True, hz, gain_db.contiguous(), q, at.sample_rate, at.path)


@functools.lru_cache(maxsize=16)
def _shares(sample_rate: float) -> Tensor:
    """How far the gain of each bell follows from what each band wants, (bands, bells)."""
    hz = torch.tensor(used_hz(sample_rate), dtype=torch.float64)
    unit = torch.full_like(hz, UNIT_DB)[None, None]
    bells = _bells(unit, Context(sample_rate, 1, 1))[0, 0]
    return torch.linalg.inv(magnitude_db(bells, hz, sample_rate) / UNIT_DB)
