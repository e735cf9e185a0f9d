"""Claims of a de-esser: low tones pass, and a high one gets the gain of the curve."""

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db, over_knee_db
from twinrack.validation.signals import passed_through, tones

KNEE_DB, TOLERANCE_DB = 6.0, 0.5
LOW_HZ, LEVEL_DBFS, SECONDS = 200.0, -12.0, 1.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("listen", "output")
    listed = []
    if float(own.get("threshold_db")) > -25.0 and own.get("relative"):
        words = "a low tone passes unchanged"
        listed.append(Claim("low", words, _tone_gain_db(own, LOW_HZ, sample_rate), -TOLERANCE_DB, TOLERANCE_DB))
    hz = float(own.get("frequency_hz"))
    if own.get("mode") == "bell" and hz < 0.2 * sample_rate and float(own.get("release_ms")) * 1e-3 * hz > 20.0:
        # The highs alone: they are the whole voice.
        over = (0.0 if own.get("relative") else LEVEL_DBFS) - float(own.get("threshold_db"))
        stated = -min((1.0 - 1.0 / float(own.get("ratio"))) * over_knee_db(over, KNEE_DB), float(own.get("range_db")))
        words = "a tone in the middle of the bell gets the gain of the curve"
        gain = _tone_gain_db(own, hz, sample_rate)
        listed.append(Claim("high", words, gain, stated - TOLERANCE_DB, stated + TOLERANCE_DB))
    own.set("range_db", 0.0)
    words = "a range of 0 leaves the sound as it is"
    listed.append(Claim("range", words, _tone_gain_db(own, hz, sample_rate), -1e-3, 1e-3))
    return listed


def _tone_gain_db(effect: Effect, hz: float, sample_rate: float) -> float:
    """Of a steady tone, after it has begun."""
    x = tones([hz], LEVEL_DBFS, SECONDS, sample_rate)
    y = passed_through(Rack([effect.copy()]), x, sample_rate)
    half = x.shape[1] // 2
    return gain_db(x[:, half:], y[:, half:])
