"""The nature of a processor, measured on controlled signals, without knowing what it claims to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio import Audio
from ..measure.difference import difference_db
from ..measure.impulse import energy_decay_db
from ..validation.signals import bursts, impulse, noise, whole_cycles_hz

Play = Callable[[Audio], Audio]  # from silence: (channels, frames) to as many
Numbers = np.ndarray[Any, np.dtype[np.float64]]

TONE_HZ, STEP_S, WINDOW_S = 1000.0, 0.6, 0.1
LEVELS_DB = tuple(float(v) for v in range(-66, 1, 6))
QUIET_DB, LOUD_DB = -46.0, -10.0
SAME_DB = -50.0  # a difference below this is none
LONG_S = 0.15  # of a response that is more than an equaliser's
FAST_S = 0.002  # a gain that follows so quickly is a curve
HARMONICS = 9
MOVING_DB = -20.0
AUDIBLE_DB = -60.0  # of harmonics, relative to the tone
LINEAR_DB = 3.0  # over all levels the gain for a tone stays within this
LONGEST_S = 0.9  # of a response, for what moves by itself to be seen
SILENT_DB = -200.0
FLOOR_DB = -100.0  # of a tone that still counts


@dataclass(frozen=True)
class Character:
    """The measured nature of a processor.

    Attributes:
        kind: "nothing", "equaliser", "reverb", "modulation", "compressor", "limiter", "gate" or "saturation": the nearest.
        repeats_db: difference between two runs, relative to the output.
        moves_db: the same between two equal stretches of one run: what moves by itself.
        linear_db: difference between a quiet and a loud run, scaled alike.
        response_s: seconds until its impulse response has fallen by 60 dB.
        colour_db: range of its response to quiet noise over third octaves, in dB.
        crosstalk_db: level in the other channel where one is silent, relative to the sounding one.
        levels_dbfs, gains_db: its static curve for a tone of 1 kHz.
        harmonics_db: of that tone, relative to it, at the same levels.
        attack_s, release_s: until the gain after a step of 34 dB up or down is within 1 dB of where it ends.
    """

    kind: str
    repeats_db: float
    moves_db: float
    linear_db: float
    response_s: float
    colour_db: float
    crosstalk_db: float
    levels_dbfs: tuple[float, ...]
    gains_db: tuple[float, ...]
    harmonics_db: tuple[float, ...]
    attack_s: float
    release_s: float

    @property
    def sentences(self) -> list[str]:
        """The measurements as sentences, the most important first."""
        words = [f"It behaves like {WORDS[self.kind]}."]
        if self.repeats_db > SAME_DB:
            words.append(f"It sounds different every time ({self.repeats_db:.0f} dB), which no rack can learn.")
        if self.moves_db > SAME_DB:
            words.append(f"It changes with time by itself ({self.moves_db:.0f} dB), as with an LFO; the clone does not.")
        if self.response_s or self.kind == "nothing":
            words.append(f"It is linear: loud and quiet sound differ by {self.linear_db:.0f} dB, scaled alike.")
            words.append(f"Its response lasts {1e3 * self.response_s:.3g} ms, until it has fallen by 60 dB.")
        else:
            first, last, most = (f"{g:+.1f} dB" for g in (self.gains_db[0], self.gains_db[-1], max(self.gains_db)))
            words.append(
                f"Its gain depends on the level: {first} at {self.levels_dbfs[0]:g} dBFS, {most} at most, "
                f"{last} at {self.levels_dbfs[-1]:g} dBFS (a tone of 1 kHz)."
            )
            times = [f"{1e3 * t:.3g} ms" for t in (self.attack_s, self.release_s)]
            words.append(f"After a step of 34 dB it has arrived within {times[0]} upwards and {times[1]} downwards (1 dB).")
            loud = max(self.harmonics_db)
            words.append(f"Harmonics reach {loud:.0f} dB of the tone." if loud > -80 else "It adds no harmonics to a tone.")
        if self.colour_db > 1.0:
            words.append(f"Quiet sound is coloured: its response spans {self.colour_db:.1f} dB over third octaves.")
        if self.crosstalk_db > -60.0:
            words.append(f"One channel is heard in the other, at {self.crosstalk_db:.0f} dB.")
        return words


WORDS = {
    "nothing": "a wire: it changes nothing that was measured",
    "equaliser": "an equaliser",
    "reverb": "a reverb or a long filter",
    "modulation": "an effect that moves by itself, such as a chorus or a tremolo",
    "compressor": "a compressor",
    "limiter": "a limiter",
    "gate": "a gate or an expander",
    "saturation": "a saturation",
}


def character(play: Play, sample_rate: float, channels: int = 2) -> Character:
    """Measure a processor.

    Args:
        play: gives its output, from silence, for (channels, frames).
        sample_rate: Hz.
        channels: 1 or 2.

    Raises:
        ValueError: its output holds NaN or infinity.
    """

    def checked(x: Audio) -> Numbers:
        y = np.asarray(play(np.ascontiguousarray(x, np.float32)), np.float64)
        if not np.isfinite(y).all():
            raise ValueError("the plugin gives NaN or infinity, so it cannot be measured")
        return y

    period = round(sample_rate)
    quiet = _periods(noise(1.0, sample_rate, QUIET_DB, pink=True, channels=channels), 4)
    loud = (quiet * 10.0 ** ((LOUD_DB - QUIET_DB) / 20.0)).astype(np.float32)
    first, again, strong = checked(quiet), checked(quiet), checked(loud)
    last = first[:, 3 * period :]
    repeats = difference_db(again, first)
    scaled = strong[:, 3 * period :] * 10.0 ** ((QUIET_DB - LOUD_DB) / 20.0)
    linear = difference_db(scaled, last)
    response = _response_s(checked, sample_rate, channels) if linear < SAME_DB else 0.0
    moves = max(difference_db(y[:, 2 * period : 3 * period], y[:, 3 * period :]) for y in (first, strong))
    if response > LONGEST_S and linear < SAME_DB:  # it has not ended after two periods
        moves = SILENT_DB
    gains, harmonics = _curve(checked, sample_rate, channels)
    attack, release = _times(checked, sample_rate, channels)
    colour = _colour_db(quiet[:, 3 * period :].astype(np.float64), last, sample_rate)
    crosstalk = SILENT_DB
    if channels > 1:
        one_sided = quiet.copy()
        one_sided[1:] = 0.0
        y = checked(one_sided)
        crosstalk = _db(float(np.mean(y[1] ** 2))) - _db(float(np.mean(y[0] ** 2)))
    is_linear = linear < SAME_DB and float(np.ptp(gains)) < LINEAR_DB
    response = response if is_linear else 0.0
    unchanged = (
        is_linear and max(difference_db(last, quiet[:, 3 * period :]), difference_db(scaled, quiet[:, 3 * period :])) < SAME_DB
    )
    kind = "nothing" if unchanged else _kind(moves, is_linear, response, gains, harmonics, attack, release)
    return Character(
        kind,
        repeats,
        moves,
        linear,
        response,
        colour,
        crosstalk,
        LEVELS_DB,
        tuple(gains.tolist()),
        tuple(harmonics.tolist()),
        attack,
        release,
    )


def _kind(
    moves: float, is_linear: bool, response: float, gains: Numbers, harmonics: Numbers, attack: float, release: float
) -> str:
    if moves > MOVING_DB and response < LONG_S:
        return "modulation"
    if is_linear:
        return "reverb" if response > LONG_S else "equaliser"
    falls = float(np.max(gains) - gains[-1])
    rises = float(np.max(gains) - gains[1])
    if rises > max(falls, 3.0):
        return "gate"
    if max(attack, release) < FAST_S and harmonics[-1] > AUDIBLE_DB:
        return "saturation"
    steepest = -float(np.min(np.diff(gains[-4:]))) / (LEVELS_DB[1] - LEVELS_DB[0])
    return "limiter" if steepest > 0.97 else "compressor"


def _periods(x: Audio, count: int) -> Audio:
    return np.ascontiguousarray(np.tile(x, (1, count)))


def _db(power: float) -> float:
    return 10.0 * float(np.log10(power + 1e-20))


def _response_s(play: Callable[[Audio], Numbers], rate: float, channels: int) -> float:
    x, pause = impulse(4.0, rate, -6.0, channels=channels), round(rate)  # it may move to its settings first
    decay = energy_decay_db(play(np.pad(x, ((0, 0), (pause, 0))))[0, pause:])
    below = np.flatnonzero(decay < -60.0)
    return float(below[0] if below.size else decay.size) / rate


def _curve(play: Callable[[Audio], Numbers], rate: float, channels: int) -> tuple[Numbers, Numbers]:
    """Gain and harmonics in dB at each level, at the end of each step."""
    frames, each = round(WINDOW_S * rate), round(STEP_S * rate)
    hertz = whole_cycles_hz(TONE_HZ, frames, rate)
    y = play(bursts(hertz, LEVELS_DB, STEP_S, rate, channels=channels))[0]
    gains, harmonics = [], []
    for n, level in enumerate(LEVELS_DB):
        spectrum = np.abs(np.fft.rfft(y[(n + 1) * each - frames : (n + 1) * each])) / (0.5 * frames)
        tone = round(hertz * frames / rate)
        over = spectrum[2 * tone : HARMONICS * tone + 1 : tone]
        own = _db(float(spectrum[tone] ** 2))
        gains.append(max(own - level, FLOOR_DB))
        harmonics.append(_db(float(np.sum(over**2))) - own if own > FLOOR_DB else SILENT_DB)
    return np.array(gains), np.array(harmonics)


def _times(play: Callable[[Audio], Numbers], rate: float, channels: int) -> tuple[float, float]:
    """Seconds until the gain has arrived, after a step up and after one down."""
    low, high, each = -40.0, -6.0, 0.8
    y = play(bursts(TONE_HZ, (low, high, low), each, rate, channels=channels))[0]
    size = round(rate / TONE_HZ)  # a cycle; of each the tone alone counts, without direct current
    cycles = y[: y.size // size * size].reshape(-1, size)
    tone = np.abs(cycles @ np.exp(-2j * np.pi * np.arange(size) / size))
    levels = 20.0 * np.log10(tone + 1e-12)
    count = round(each * rate / size)

    def arrives(part: Numbers) -> float:
        outside = np.flatnonzero(np.abs(part - np.median(part[-count // 8 :])) > 1.0)
        return float(outside[-1] + 1) * size / rate if outside.size else 0.0

    return arrives(levels[count : 2 * count - 1]), arrives(levels[2 * count : 3 * count - 1])


def _colour_db(x: Numbers, y: Numbers, rate: float) -> float:
    """Range of the gain over third octaves, where there is sound."""
    hertz = np.fft.rfftfreq(x.shape[1], 1.0 / rate)
    before, after = (np.mean(np.abs(np.fft.rfft(s)) ** 2, 0) for s in (x, y))
    gains = []
    for centre in 31.5 * 2.0 ** (np.arange(28) / 3.0):
        band = (hertz >= centre * 2 ** (-1 / 6)) & (hertz < centre * 2 ** (1 / 6))
        if centre < 0.4 * rate and band.any():
            gains.append(_db(float(after[band].sum())) - _db(float(before[band].sum())))
    return float(max(gains) - min(gains))
