"""The timeline of a session: seconds, frames, minutes, or beats of a tempo map with steps and ramps."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ..audio import MAX_RATE
from ..checks import brief, is_number, to_float

Time = float | str  # seconds, or "4 beats", "48000 frames", "1:02.5", "1.5 s", "250 ms"

LONGEST_S = 7 * 24 * 3600.0
MIN_BPM, MAX_BPM = 1.0, 2000.0

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*(s|ms|beats?|frames?|)", re.IGNORECASE)


@dataclass(frozen=True)
class Tempo:
    """A point of the tempo map: from this beat on so many beats a minute, held, or on a line to the next point's tempo."""

    beat: float
    bpm: float
    ramp: bool = False


def parse(time: Time, what: str = "the time") -> tuple[float, str]:
    """A time as a number and its unit: "s", "beats" or "frames".

    Raises:
        ValueError: not a time, NaN, infinity, or beyond a week.
    """
    if isinstance(time, str):
        clock = _CLOCK.fullmatch(time.strip())
        number = _NUMBER.fullmatch(time.strip())
        if clock:
            hours, minutes, seconds = clock.groups()
            value, unit = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds), "s"
        elif number:
            value, unit = float(number[1]), number[2].lower() or "s"
            value, unit = (value / 1000.0, "s") if unit == "ms" else (value, unit)
            unit = {"beat": "beats", "frame": "frames"}.get(unit, unit)
        else:
            raise ValueError(f'{what} is {brief(time)}; give seconds, "1:02.5", "4 beats", "250 ms" or "48000 frames"')
    else:
        plain = to_float(time)
        if plain is None or isinstance(time, bool):
            raise ValueError(f'{what} is {brief(time)}; give seconds, "1:02.5", "4 beats", "250 ms" or "48000 frames"')
        value, unit = plain, "s"
    limit = LONGEST_S * (MAX_RATE if unit == "frames" else 1)
    if not math.isfinite(value) or abs(value) > limit:
        raise ValueError(f"{what} is {brief(time)}, which is beyond a week")
    return value, unit


class Timeline:
    """Converts times to frames.

    Args:
        sample_rate: Hz.
        tempo: points of the tempo map, rising in beats, the first at beat 0.
    """

    def __init__(self, sample_rate: float, tempo: Iterable[Tempo] = (Tempo(0.0, 120.0),)) -> None:
        self.rate = float(sample_rate)
        self.tempo = tuple(tempo)
        for point in self.tempo:
            if not all(is_number(v) and to_float(v) is not None for v in (point.beat, point.bpm)):
                raise ValueError(f"the tempo map holds {brief(point)}; give numbers: (beat, beats a minute)")
        if not self.tempo or self.tempo[0].beat != 0.0:
            raise ValueError("the tempo map has no point at beat 0; give one, such as Tempo(0, 120)")
        for a, b in zip(self.tempo, self.tempo[1:], strict=False):
            if not b.beat > a.beat:
                raise ValueError(f"the tempo map goes from beat {a.beat:g} to {b.beat:g}; give its points in rising order")
        for point in self.tempo:
            if not MIN_BPM <= point.bpm <= MAX_BPM:
                raise ValueError(f"{point.bpm:g} beats a minute are outside {MIN_BPM:g} to {MAX_BPM:g}")
        self._beats = [point.beat for point in self.tempo]
        self._seconds = [0.0]  # at which each point stands
        for i in range(len(self.tempo) - 1):
            self._seconds.append(self._seconds[i] + self._within(i, self.tempo[i + 1].beat - self.tempo[i].beat))

    def _slope(self, i: int) -> float:
        """By how much the tempo grows each beat after point i."""
        if not self.tempo[i].ramp or i + 1 == len(self.tempo):
            return 0.0
        a, b = self.tempo[i], self.tempo[i + 1]
        return (b.bpm - a.bpm) / (b.beat - a.beat)

    def _within(self, i: int, beats: float) -> float:
        """Seconds that pass in so many beats after point i: the integral of 60 / bpm."""
        bpm, slope = self.tempo[i].bpm, self._slope(i)
        if abs(slope * beats) < 1e-9 * bpm:
            return 60.0 * beats / bpm
        return 60.0 / slope * math.log1p(slope * beats / bpm)

    def seconds_of(self, beat: float) -> float:
        """When a beat comes; before beat 0 the first tempo holds."""
        if beat < 0:
            return 60.0 * beat / self.tempo[0].bpm
        i = bisect_right(self._beats, beat) - 1
        return self._seconds[i] + self._within(i, beat - self.tempo[i].beat)

    def beat_of(self, seconds: float) -> float:
        """The other way."""
        if seconds < 0:
            return seconds * self.tempo[0].bpm / 60.0
        i = bisect_right(self._seconds, seconds) - 1
        bpm, slope, rest = self.tempo[i].bpm, self._slope(i), seconds - self._seconds[i]
        if abs(slope) < 1e-12:
            return self.tempo[i].beat + rest * bpm / 60.0
        return self.tempo[i].beat + bpm / slope * math.expm1(slope * rest / 60.0)

    def knots(self) -> list[tuple[float, float]]:
        """Frames and the beats that come at them; between two the tempo is constant, or so nearly as 32 steps of a ramp are."""
        beats = [self.tempo[0].beat]
        for i, point in enumerate(self.tempo[1:]):
            before, steps = self.tempo[i].beat, 32 if self._slope(i) else 1
            beats += [before + (point.beat - before) * (n + 1) / steps for n in range(steps)]
        beats.append(beats[-1] + 1.0)
        return [(self.seconds_of(beat) * self.rate, beat) for beat in beats]

    def steady(self, a: float, b: float) -> bool:
        """Whether the tempo stays the same from beat a to beat b."""
        i = max(bisect_right(self._beats, a) - 1, 0)
        return self._slope(i) == 0.0 and bisect_left(self._beats, b) <= i + 1

    def seconds(self, time: Time, what: str = "the time") -> float:
        """A place on the timeline in seconds."""
        value, unit = parse(time, what)
        return {"s": lambda: value, "frames": lambda: value / self.rate, "beats": lambda: self.seconds_of(value)}[unit]()

    def frames(self, time: Time, what: str = "the time") -> int:
        """A place on the timeline in whole frames."""
        value, unit = parse(time, what)
        return round(value) if unit == "frames" else round(self.seconds(time, what) * self.rate)

    def span(self, at: int, time: Time, what: str = "the time") -> int:
        """How many frames a stretch of time lasts that begins at frame `at`: beats are longer where the tempo is slower."""
        value, unit = parse(time, what)
        if unit == "beats":
            begin = at / self.rate
            return round((self.seconds_of(self.beat_of(begin) + value) - begin) * self.rate)
        return self.frames(time, what)
