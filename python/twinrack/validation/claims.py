"""Claims: what an effect promises with its present values, measured on controlled signals, and within which bounds.

General claims hold for every effect, also a new one; an effect states its own in `plugins/<id>/claims.py`, as a function
`claims(effect, sample_rate)` that returns a list. Each is measured on the engine with the values that the effect has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.effect import Effect, without_key
from ..rack.effect_files import effect_file
from ..rack.python_effect import PythonEffect
from ..rack.rack import TICK_FRAMES, Rack
from .signals import between_samples, constant, impulse, noise, passed_through, steps, tones, whole_cycles_hz

Numbers = npt.NDArray[np.float64]

SILENCE_DB = -120.0  # above it something is heard of silence
EQUAL_DB = -90.0  # below it two sounds are the same, but for rounding
ALIASED_DB = -50.0
DIRECT_DB = -60.0
CANCELLED_DB = -6.0
HIGHEST_HEARD_HZ = 20000.0
OF_PHASE = 4  # frames that a filter of minimum phase may delay beside the stated latency
ALIASING_TONES = (0.041, 0.105, 0.21)  # of the sample rate
PROBE = 1 << 15  # frames of a spectrum
SKIRT = 6  # bins to both sides that belong to a tone
DELAY_TICKS = 48  # whole decisions of a denoiser's network, too
LOOKAHEAD_S = 0.05  # more than any effect looks ahead


@dataclass(frozen=True)
class Claim:
    """One promise of an effect, and what was measured.

    Attributes:
        name: of it, such as "static curve".
        text: what is promised, in one sentence.
        measured: the figure, in `unit`.
        low, high: bounds within which the promise is kept; infinite where it is open.
        unit: of the figure.
        address: of the effect in its rack.
    """

    name: str
    text: str
    measured: float
    low: float = -math.inf
    high: float = math.inf
    unit: str = "dB"
    address: str = ""

    @property
    def holds(self) -> bool:
        return bool(self.low <= self.measured <= self.high)

    @property
    def bounds(self) -> str:
        """The bounds in words: "at most -90 dB"."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        if math.isinf(self.low):
            return f"at most {self.high:.4g}{unit}"
        if math.isinf(self.high):
            return f"at least {self.low:.4g}{unit}"
        return f"{self.low:.4g} to {self.high:.4g}{unit}"

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        state = "holds" if self.holds else "FAILS"
        return f"{self.address or 'effect'}: {self.name} {state}: {self.measured:.4g}{unit} ({self.bounds}); {self.text}"


def claims_of(effect: Effect, sample_rate: float, address: str = "") -> list[Claim]:
    """All claims of one effect with its present values, measured as if it were not bypassed and had no key.

    Args:
        effect: it is not changed.
        sample_rate: Hz.
        address: by which the claims name it.
    """
    active = without_key(effect)
    active.bypass = False
    for resource in effect.card.resources:
        if resource["type"] == "control":  # what it drives is not there when the effect is alone
            setattr(active, resource["id"], None)
    own = effect_file(effect.card, "claims")
    listed = [*general_claims(active, sample_rate), *(own.claims(active, sample_rate) if own is not None else ())]
    return [replace(c, address=address or effect.card.id) for c in listed]


def general_claims(effect: Effect, sample_rate: float) -> list[Claim]:
    """The claims that hold for every effect."""
    return list(_general(effect, Rack([effect.copy()]), sample_rate))


def _general(effect: Effect, rack: Rack, rate: float) -> Iterator[Claim]:
    hard = [noise(0.5, rate, 0.0, channels=2), constant(0.5, rate, 0.0, 2), impulse(0.5, rate, 0.0, 2)]
    hard.append(between_samples(0.5, rate, 0.0, 2))
    faults = sum(int(np.count_nonzero(~np.isfinite(passed_through(rack, x, rate)))) for x in hard)
    yield Claim(
        "finite",
        "noise, direct current, an impulse and peaks between samples at full scale give numbers",
        faults,
        0,
        0,
        "samples",
    )
    silent = np.zeros((2, round(0.5 * rate)), np.float32)
    yield Claim(
        "noise floor", "silence stays silence", peak_db(passed_through(rack, silent, rate)), high=SILENCE_DB, unit="dBFS"
    )
    if isinstance(effect, PythonEffect):
        own = effect.copy()
        Rack([own])(noise(0.5, rate, -12.0, channels=2), rate)
        text = own.complaint or "the function answers every block with as much finite sound"
        yield Claim("answers", text, own.late, 0, 0, "blocks")
        return
    if effect.card.latency != "none":
        yield _latency(rack, rate)
    x = noise(0.5, rate, -12.0, pink=True, channels=2)
    if not _moves_by_itself(effect):
        later = np.pad(x, ((0, 0), (DELAY_TICKS * TICK_FRAMES, 0)))
        y, delayed = passed_through(rack, x, rate), passed_through(rack, later, rate)
        yield Claim(
            "time invariance",
            f"the same sound {DELAY_TICKS * TICK_FRAMES} frames later gives the same result as much later",
            difference_db(delayed[:, DELAY_TICKS * TICK_FRAMES :], y),
            high=EQUAL_DB,
        )
    if is_linear(effect):
        other = noise(0.5, rate, -12.0, channels=2, seed=7)
        together = passed_through(rack, x + other, rate)
        apart = passed_through(rack, x, rate) + passed_through(rack, other, rate)
        yield Claim(
            "linearity", "two sounds together give the sum of what each gives", difference_db(apart, together), high=EQUAL_DB
        )
    else:
        if not _moves_by_itself(effect):
            yield _aliasing(rack, rate)
        hertz = whole_cycles_hz(997.0, PROBE, rate)
        y = passed_through(rack, tones([hertz], -6.0, 4 * PROBE / rate, rate), rate)[:, -PROBE:].astype(np.float64)
        direct = 10.0 * math.log10((float(np.mean(y.mean(1) ** 2)) + 1e-24) / (float(np.mean(y**2)) + 1e-24))
        if float(np.mean(y**2)) > 1e-12:
            yield Claim("direct current", "a tone gets no direct current", direct, high=DIRECT_DB)
    y = passed_through(rack, x, rate).astype(np.float64)
    if float(np.mean(y**2)) > 1e-12:
        left = 10.0 * math.log10((float(np.mean(y.mean(0) ** 2)) + 1e-24) / float(np.mean(y**2)))
        yield Claim("mono", "what is the same in both channels does not cancel in their mean", left, low=CANCELLED_DB)


def is_linear(effect: Effect) -> bool:
    """Whether an effect promises to be linear: filters, levels, reverbs and what an oscillator moves."""
    return effect.card.category in ("linear", "reverb", "modulation")


def _moves_by_itself(effect: Effect) -> bool:
    """Whether something in it turns in the course of time, so that the same sound later is another sound."""
    values = effect.values()
    if effect.card.category == "modulation" or float(values.get("depth_ms", 0.0)) > 0.0:
        return True
    return float(values.get("modulation_depth", 0.0)) > 0.0 and float(values.get("modulation_rate_hz", 0.0)) > 0.0


def _latency(rack: Rack, rate: float) -> Claim:
    """The delay of noise, read from the cross-correlation with what comes out."""
    own = rack.copy()
    x = noise(0.5, rate, -30.0)
    own.prepare(rate, 1)
    y = np.concatenate([own.process(x[:, i : i + 512]) for i in range(0, x.shape[1] // 512 * 512, 512)], 1)
    size = 2 * x.shape[1]
    cross = np.fft.irfft(np.fft.rfft(y[0].astype(np.float64), size) * np.conj(np.fft.rfft(x[0].astype(np.float64), size)), size)
    delay = int(np.argmax(np.abs(cross[: size // 2])))
    stated = own.latency_frames
    return Claim(
        "latency", f"the delay is that which is stated, {stated} frames", delay, stated - OF_PHASE, stated + OF_PHASE, "frames"
    )


def _aliasing(rack: Rack, rate: float) -> Claim:
    """Components that high tones get beside their harmonics: that were folded back at half the sample rate."""
    hertz = [whole_cycles_hz(share * rate, PROBE, rate) for share in ALIASING_TONES]
    return Claim(
        "aliasing",
        f"tones of {', '.join(f'{f:.0f}' for f in hertz)} Hz at -6 dBFS get nothing beside their harmonics",
        max(folded_db(rack, f, -6.0, rate) for f in hertz),
        high=ALIASED_DB,
    )


def folded_db(rack: Rack, frequency_hz: float, level_dbfs: float, sample_rate: float) -> float:
    """The largest audible component beside the harmonics of a tone, in dB of the tone as it comes out.

    Args:
        rack: it is not changed.
        frequency_hz: of which whole cycles fill PROBE frames.
        level_dbfs: of the tone.
        sample_rate: Hz.
    """
    x = tones([frequency_hz], level_dbfs, 4 * PROBE / sample_rate, sample_rate)
    y = passed_through(rack, x, sample_rate)[0, -PROBE:].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(y * np.hanning(PROBE)))
    cycles = round(frequency_hz * PROBE / sample_rate)
    beside = np.fft.rfftfreq(PROBE, 1.0 / sample_rate) < HIGHEST_HEARD_HZ
    for harmonic in range(spectrum.size // cycles + 1):
        beside[max(harmonic * cycles - SKIRT, 0) : harmonic * cycles + SKIRT + 1] = False
    tone = float(spectrum[cycles - SKIRT : cycles + SKIRT + 1].max())
    return 20.0 * math.log10((float(spectrum[beside].max(initial=0.0)) + 1e-12) / (tone + 1e-9))


def peak_db(y: Audio) -> float:
    """The largest sample in dBFS, at least -200."""
    return 20.0 * math.log10(float(np.abs(y).max(initial=0.0)) + 1e-10)


def gain_db(x: Audio, y: Audio) -> float:
    """The power of y relative to that of x, at least -300 dB."""
    before, after = (float(np.sum(s.astype(np.float64) ** 2)) for s in (x, y))
    return 10.0 * math.log10(after / before + 1e-30)


def over_knee_db(over_db: float, knee_db: float) -> float:
    """How far a level lies beyond a threshold, rounded within a quadratic knee (see `dsp/dynamics/gain_curve-inl.h`)."""
    half = 0.5 * knee_db
    return 0.0 if over_db < -half else over_db if over_db > half else (over_db + half) ** 2 / (2.0 * knee_db)


def static_levels(effect: Effect, levels_dbfs: Numbers, sample_rate: float, seconds: float) -> Numbers:
    """Level out in dBFS for constants at some levels, each from silence, when `seconds` have passed; a lookahead hears only
    the constant until then."""
    rack, out = Rack([effect.copy()]), []
    for level in levels_dbfs:
        y = passed_through(rack, steps([float(level)], seconds + LOOKAHEAD_S, sample_rate), sample_rate)
        out.append(20.0 * math.log10(abs(float(y[0, -1 - round(LOOKAHEAD_S * sample_rate)])) + 1e-10))
    return np.array(out)


def time_to_cover_s(values: Numbers, share: float, sample_rate: float) -> float:
    """Seconds until a curve has covered a share of its way from the first value to the last."""
    way = (values - values[0]) / (values[-1] - values[0] if values[-1] != values[0] else 1.0)
    place = int(np.argmax(way >= share))
    if place == 0:
        return 0.0 if way[0] >= share else math.inf
    part = (share - way[place - 1]) / max(float(way[place] - way[place - 1]), 1e-12)
    return float(place - 1 + part) / sample_rate
