"""Loops of a denoiser: the filters that listen, and its averages; the filter of the gains feeds nothing back."""

from twinrack.explain.certify import Loop, filter_loop, follower_loop
from twinrack.rack.effect import Effect


def loops(effect: Effect, sample_rate: float) -> list[Loop]:
    from twinrack.twins.auditory_bands import band_sections
    from twinrack.twins.curves import TICK_FRAMES

    from .twin import GAIN_S, SLOW_S

    every = [
        filter_loop(f"band {b}", shape, hz, 0.0, q, sample_rate)
        for b, (shape, hz, q) in enumerate(band_sections(sample_rate), 1)
    ]
    times = {
        "smoothing": 1e-3 * float(effect.get("smoothing_ms")),
        "level of a band": SLOW_S,
        "gains": GAIN_S,
        "noise": float(effect.get("adaptation_s")),
    }
    return every + [follower_loop(name, 1e3 * time / TICK_FRAMES, sample_rate) for name, time in times.items()]
