"""Claims of a delay: repeats come at their time, each with the feedback's share of the one before."""

import math

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import bursts, impulse, passed_through

LONGEST_MS = 400.0
TOLERANCE_DB = 0.2


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    plain = {"sync": "free", "mode": "stereo", "freeze": False, "input": True, "mix": 1.0, "depth_ms": 0.0, "ducking_db": 0.0}
    for name, value in {**plain, "saturation": 0.0, "low_cut_hz": 10.0, "high_cut_hz": 20000.0, "cross": 0.0}.items():
        own.set(name, value)
    own.set("time_ms", min(max(float(own.get("time_ms")), 20.0), LONGEST_MS))
    time_s = float(own.get("time_ms")) * 1e-3
    rack = Rack([own])
    y = passed_through(rack, impulse(time_s + 0.05, sample_rate), sample_rate)[0]
    late = int(np.argmax(np.abs(y))) - time_s * sample_rate
    listed = [Claim("time", "the first repeat comes after the time", late, -1.0, 1.5, "frames")]
    feedback = float(own.get("feedback"))
    if feedback > 0.01:
        burst = bursts(997.0, [-6.0], 0.6 * time_s, sample_rate)
        x = np.zeros((1, round(3.0 * time_s * sample_rate)), np.float32)
        x[:, : burst.shape[1]] = burst
        y = passed_through(rack, x, sample_rate)[0].astype(np.float64)
        first, second = (
            math.sqrt(float(np.mean(y[round(k * time_s * sample_rate) : round((k + 1) * time_s * sample_rate) - 8] ** 2)))
            for k in (1, 2)
        )
        off = 20.0 * math.log10(second / first) - 20.0 * math.log10(feedback)
        listed.append(
            Claim("feedback", "each repeat has the feedback's share of the one before", off, -TOLERANCE_DB, TOLERANCE_DB)
        )
    return listed
