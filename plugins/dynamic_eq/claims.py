"""Claims of a dynamic equaliser: a steady tone in the middle of a bell gets the gain of its curve; at rest it is static."""

import math

from twinrack.measure.difference import difference_db
from twinrack.rack.effect import Effect
from twinrack.rack.effects import ParametricEQ
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db, over_knee_db
from twinrack.validation.signals import noise, passed_through, tones

KNEE_DB, TOLERANCE_DB = 6.0, 0.4
LEVEL_DBFS, SECONDS = -12.0, 1.0
BANDS = 8
SAME_DB = -100.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    listed = [_at_rest(effect, sample_rate)]
    for number in range(1, BANDS + 1):
        band = f"band{number}"
        hz = float(effect.get(f"{band}.frequency_hz"))
        # A slow follower takes longer than the tone; a quick one moves within its period.
        slow = max(float(effect.get(f"{band}.attack_ms")), 1.0) > 100.0
        ripples = float(effect.get(f"{band}.release_ms")) * 1e-3 * hz < 20.0
        if effect.get(f"{band}.type") != "bell" or slow or ripples or not 40.0 < hz < 0.2 * sample_rate:
            continue
        own = effect.copy()
        for other in range(1, BANDS + 1):
            if other != number:
                own.set(f"band{other}.type", "off")
        x = tones([hz], LEVEL_DBFS, SECONDS, sample_rate)
        y = passed_through(Rack([own]), x, sample_rate)
        half = x.shape[1] // 2
        measured, stated = gain_db(x[:, half:], y[:, half:]), _stated_db(effect, band)
        words = f"a tone of {LEVEL_DBFS:g} dBFS in the middle of {band} gets the gain of its curve"
        listed.append(Claim(f"{band} gain", words, measured, stated - TOLERANCE_DB, stated + TOLERANCE_DB))
    return listed


def _at_rest(effect: Effect, sample_rate: float) -> Claim:
    """Bands whose range is 0 are those of the parametric equaliser."""
    still, equaliser = effect.copy(), ParametricEQ()
    for band in (f"band{number}" for number in range(1, BANDS + 1)):
        still.set(f"{band}.range_db", 0.0)
        for name in ("type", "frequency_hz", "q", "gain_db"):
            equaliser.set(f"{band}.{name}", effect.get(f"{band}.{name}"))
    x = noise(0.5, sample_rate, -20.0)
    error = difference_db(*(passed_through(Rack([e]), x, sample_rate) for e in (still, equaliser)))
    return Claim("at rest", "bands that do not move are those of the parametric equaliser", error, high=SAME_DB)


def _stated_db(effect: Effect, band: str) -> float:
    """By the card: the gain, and what the level adds."""
    gain, reach, threshold, ratio = (
        float(effect.get(f"{band}.{name}")) for name in ("gain_db", "range_db", "threshold_db", "ratio")
    )
    over = LEVEL_DBFS - threshold if effect.get(f"{band}.when") == "above" else threshold - LEVEL_DBFS
    moved = min((1.0 - 1.0 / ratio) * over_knee_db(over, KNEE_DB), abs(reach))
    return gain + math.copysign(moved, reach)
