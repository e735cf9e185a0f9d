"""Claims of a leveller: a steady sound comes as near to its target as it may; in a pause the gain rests."""

import numpy as np

from twinrack.measure.loudness import loudness
from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db
from twinrack.validation.signals import noise, passed_through

TOLERANCE_DB, REST_DB = 0.3, 0.01
LEVEL_DBFS, SECONDS, PAUSE_S = -26.0, 6.0, 2.0
BELOW_PAUSE_DB = 20.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    steady = noise(SECONDS, sample_rate, LEVEL_DBFS)
    pause_db = float(own.get("pause_lufs")) - BELOW_PAUSE_DB
    x = np.concatenate([steady, noise(PAUSE_S, sample_rate, pause_db)], 1)
    y = passed_through(Rack([own]), x, sample_rate)
    measured = loudness(steady, sample_rate).integrated
    if measured < float(own.get("pause_lufs")):
        return []
    boost, cut, rise, fall, ahead_ms = (
        float(own.get(name)) for name in ("max_boost_db", "max_cut_db", "rise_db_per_s", "fall_db_per_s", "lookahead_ms")
    )
    seconds = SECONDS - 0.1 + 1e-3 * ahead_ms
    goal = min(max(float(own.get("target_lufs")) - measured, -cut), boost)
    stated = min(max(goal, -fall * seconds), rise * seconds)
    end = steady.shape[1]
    size = round(0.2 * sample_rate)

    def gain_from(start: int) -> float:
        return gain_db(x[:, start : start + size], y[:, start : start + size])

    gain = gain_from(end - size)
    slack = TOLERANCE_DB + 0.1 * (rise if stated > 0 else fall)
    words = "a steady sound comes as near to its target as its limits let it"
    listed = [Claim("target", words, gain, stated - slack, stated + slack)]
    late = [gain_from(end + round(t * sample_rate)) for t in (0.7, 1.5)]
    words = "in a pause the gain rests"
    if ahead_ms < 500.0:
        listed.append(Claim("pause", words, late[1] - late[0], -REST_DB, REST_DB))
    return listed
