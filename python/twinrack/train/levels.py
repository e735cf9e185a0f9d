"""Where faders begin: the levels and pans with which the stems, as they come out of their racks, add up to the mix as nearly as
possible.

Linear least squares, side by side: mix_c = sum of g_ic stem_ic. What groups and the master do besides, and what reverbs add,
stands in the residual. From both sides' gains a fader's level and pan follow by its law.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..audio import Audio
from ..effects import Fader
from ..session.session import Session
from .mix_run import with_stems

SOFTEST = 10.0 ** (-60.0 / 20.0)


def fader_of(left: float, right: float, law: str) -> tuple[float, float]:
    """Level in dB and pan with which a fader gives these gains to the two sides."""
    left, right = max(left, SOFTEST), max(right, SOFTEST)
    if law == "constant_power_3db":
        level, pan = math.hypot(left, right), 4.0 / math.pi * math.atan2(right, left) - 1.0
    elif law == "linear_6db":
        level, pan = left + right, (right - left) / (left + right)
    elif law == "compromise_4_5db":
        low, high = -1.0, 1.0
        for _ in range(60):
            pan = 0.5 * (low + high)
            a, b = (math.sqrt((1 + s * pan) / 2 * math.sin(math.pi / 4 * (1 + s * pan))) for s in (-1, 1))
            low, high = (pan, high) if b * left < a * right else (low, pan)
        level = math.hypot(left, right) / math.hypot(a, b)
    else:
        level = max(left, right)
        pan = right / left - 1.0 if left > right else 1.0 - left / right
    return 20.0 * math.log10(level), pan


def levelled(session: Session, stems: Audio, mix: Audio, addresses: Iterable[str]) -> Session:
    """The session with such levels and pans, of those channels with clips whose fader may move.

    Args:
        stems: (channels with clips x 2, frames). mix: (2, frames).
        addresses: which values may be changed.
    """
    made, allowed = session.copy(), set(addresses)
    if session.width != 2:
        return made
    plain = with_stems(session, stems)
    inputs = [c.name for c in session if c.clips]
    sounds = []
    for name in inputs:
        alone = plain.copy()
        alone[name].fader = Fader()
        alone[name].automation = {a: p for a, p in alone[name].automation.items() if alone[name].find(a)[0] != ""}
        sounds.append(alone.render(channel=name))
    sides = []
    for c in range(2):
        rows = np.stack([x[c] for x in sounds]).astype(np.float64)
        power = rows @ rows.T
        power += np.eye(len(rows)) * 1e-9 * max(float(np.trace(power)), 1e-12)
        sides.append(np.linalg.solve(power, rows @ mix[c].astype(np.float64)))
    gain, pan = (Fader.card.addresses[name] for name in ("gain_db", "pan"))
    for i, name in enumerate(inputs):
        if not {f"{name}.gain_db", f"{name}.pan"} <= allowed or made[name].automation.keys() & {"gain_db", "pan"}:
            continue
        level, place = fader_of(float(sides[0][i]), float(sides[1][i]), str(made[name].law))
        made[name].gain_db = min(max(level, gain.min), gain.max)
        made[name].pan = min(max(place, pan.min), pan.max)
    return made
