"""Loops of a graphic equaliser: its bells, at the gains that they have."""

from twinrack.explain.certify import Loop, filter_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    import torch

    from twinrack.twins.values import Context

    from .twin import Q, section_gains_db, used_hz

    hz = used_hz(sample_rate)
    wanted = torch.tensor([[[float(effect.get(f"band{b}.gain_db")) for b in range(1, len(hz) + 1)]]], dtype=torch.float64)
    gains = section_gains_db(wanted, Context(sample_rate, 1, 1))[0, 0].tolist()
    pairs = zip(hz, gains, strict=True)
    return [filter_loop(f"band {b}", "bell", f, db, Q, sample_rate, True) for b, (f, db) in enumerate(pairs, 1)]
