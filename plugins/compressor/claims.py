"""Claims of a compressor: its static curve, and attack and release by their definition."""

import math

import numpy as np
import numpy.typing as npt

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, static_levels, time_to_cover_s
from twinrack.validation.signals import passed_through, steps

Numbers = npt.NDArray[np.float64]
TOLERANCE_DB = 0.05
TIME = 0.1  # of a time constant
SHARE = 1.0 - math.exp(-1.0)
NOTABLE_DB = 3.0  # of reduction: less shows no time


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    """Static curve: D. Giannoulis, M. Massberg, J. D. Reiss, JAES 60(6), 2012, equation 4, on constants."""
    if effect.get("topology") == "feedback":
        return []  # its curve is implicit
    levels = np.arange(-60.0, 0.1, 3.0)
    lasts = 15e-3 * (float(effect.get("attack_ms")) + float(effect.get("rms_window_ms"))) + 0.05
    lasts += 1e-3 * float(effect.get("lookahead_ms")) + 0.25  # a low cut would take a constant away
    own = effect.copy()
    own.set("sidechain_low_cut_hz", own.card.addresses["sidechain_low_cut_hz"].min)
    measured = static_levels(own, levels, sample_rate, lasts)
    worst = float(np.abs(measured - static_curve(own, levels)).max())
    curve = [
        Claim("static curve", "level out over level in is that of threshold, ratio, knee and range", worst, high=TOLERANCE_DB)
    ]
    return [*curve, *_times(own, sample_rate)]


def static_curve(effect: Effect, levels_dbfs: Numbers) -> Numbers:
    """Level out in dBFS of constants."""
    threshold, ratio, knee, most, makeup, mix = (
        float(effect.get(n)) for n in ("threshold_db", "ratio", "knee_db", "range_db", "makeup_db", "mix")
    )

    def reduction(level: Numbers) -> Numbers:
        over = level - threshold
        bent = (1.0 - 1.0 / ratio) * (over + knee / 2.0) ** 2 / (2.0 * max(knee, 1e-9))
        above = (1.0 - 1.0 / ratio) * over
        return np.minimum(np.where(2.0 * over < -knee, 0.0, np.where(2.0 * np.abs(over) <= knee, bent, above)), most)

    if effect.get("auto_makeup"):
        makeup += 0.5 * float(reduction(np.zeros(1))[0])
    gain = 10.0 ** ((makeup - reduction(levels_dbfs)) / 20.0)
    return np.asarray(levels_dbfs + 20.0 * np.log10(1.0 - mix + mix * gain))


def _times(effect: Effect, rate: float) -> list[Claim]:
    """63 % of the way of the reduction in dB; only where nothing but attack and release shapes it."""
    plain = {"detector": "peak", "ballistics": "gain", "envelope": "branching"}
    if any(effect.get(name) != value for name, value in plain.items()) or effect.get("mix") != 1.0:
        return []
    low, high = np.array([-100.0]), np.array([0.0])
    if float((static_curve(effect, low) - low)[0] - (static_curve(effect, high) - high)[0]) < NOTABLE_DB:
        return []
    if float(effect.get("threshold_db")) - float(effect.get("knee_db")) < -100.0:
        return []
    attack, release = (1e-3 * float(effect.get(f"{name}_ms")) for name in ("attack", "release"))
    loud_s, quiet_s = 12.0 * attack + 0.05, 6.0 * release + 0.05
    x = np.concatenate([steps([-100.0], 0.05, rate), steps([0.0], loud_s, rate), steps([-100.0], quiet_s, rate)], axis=1)
    gain = 20.0 * np.log10(np.abs(passed_through(Rack([effect.copy()]), x, rate)[0]).astype(np.float64) / x[0] + 1e-12)
    early = round(1e-3 * float(effect.get("lookahead_ms")) * rate)
    up = round(0.05 * rate) - early
    down = up + round(loud_s * rate)
    frame = 1.0 / rate
    claims_made = []
    for name, begin, end, stated in (("attack", up, down, attack), ("release", down, gain.size - early, release)):
        level = gain[begin - 1 : end]
        if name == "release":  # towards no reduction, which it comes near but does not reach
            level = np.append(level, gain[0])
        seconds = time_to_cover_s(level, SHARE, rate)
        claims_made.append(
            Claim(
                name,
                f"63 % of a step takes one {name} time constant, {1e3 * stated:.4g} ms",
                1e3 * seconds,
                1e3 * ((1.0 - TIME) * stated - 2.0 * frame),
                1e3 * ((1.0 + TIME) * stated + 2.0 * frame),
                "ms",
            )
        )
    return claims_made
