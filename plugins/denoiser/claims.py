"""Claims of a denoiser: steady noise goes down by the reduction, what is far above it stays, and the limit is kept."""

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim, gain_db
from twinrack.validation.signals import noise, passed_through, tones

SECONDS, NOISE_DBFS, TONE_DBFS = 3.0, -60.0, -20.0
HUM_HZ = 1000.0
SLACK_DB, TONE_SLACK_DB = 3.0, 1.0


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    own = effect.copy()
    own.set("listen", "output")
    reduction = float(own.get("reduction_db"))
    steady = noise(SECONDS, sample_rate, NOISE_DBFS)
    end = slice(round((SECONDS - 1.0) * sample_rate), None)
    listed = []
    if "network" not in own.resources and own.get("noise") == "track" and float(own.get("adaptation_s")) < 1.0:
        after = passed_through(Rack([own.copy()]), steady, sample_rate)
        gain = gain_db(steady[:, end], after[:, end])
        if float(own.get("sensitivity_db")) >= -1.0:
            words = "steady noise goes down, at most by the reduction"
            listed.append(Claim("noise", words, gain, -reduction - 0.5, -min(reduction, 8.0) + SLACK_DB))
        tone = tones([HUM_HZ], TONE_DBFS, 0.3, sample_rate)
        x = steady.copy()
        start = round((SECONDS - 0.3) * sample_rate)
        x[:, start : start + tone.shape[1]] += tone
        y = passed_through(Rack([own.copy()]), x, sample_rate)
        late = slice(start + round(0.05 * sample_rate), start + round(0.25 * sample_rate))
        listed.append(
            Claim("tone", "a tone far above the noise passes", gain_db(x[:, late], y[:, late]), -TONE_SLACK_DB, TONE_SLACK_DB)
        )
    own.set("reduction_db", 0.0)
    y = passed_through(Rack([own.copy()]), steady, sample_rate)
    listed.append(Claim("limit", "a reduction of 0 leaves the sound as it is", gain_db(steady[:, end], y[:, end]), -1e-3, 1e-3))
    return listed
