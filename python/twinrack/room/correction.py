"""Correction of loudspeakers in a room, from responses measured where people listen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from ..checks import check_number
from ..measure.curves import Curve
from ..pages.drawing import curve_figure
from ..rack.rack import Rack
from ..resources.response import Response
from .curves import LEVEL_HZ, grid, in_db, level_db, power_over_frequency, smoothed, target_curve
from .filters import LONGEST_S, CurvePoints, Phase, filter_of, odd_frames, played
from .measurement import MeasuredRoom

Numbers = npt.NDArray[np.float64]

FINE_OCTAVES, WIDE_OCTAVES, JUDGED_OCTAVES = 1 / 6, 1 / 2, 1 / 3
FADE_OCTAVES = 0.5  # beyond the range, over which the correction ends
FALLEN_DB = 10.0  # below the middle: there a loudspeaker's range ends
MOST_BALANCE_DB = 6.0
REGION_OCTAVES, MOST_TILTED_DB = 2.0, 15.0  # below its loudest two octaves a loudspeaker does not play the middle
BEYOND = 1.15  # times the highest frequency, at which the correction has ended
FEWEST_PLACES = 3  # from which a correction can be tried where it was not measured
POINTS = 1 << 16  # of the filter's gain


@dataclass(frozen=True)
class Correction:
    """The result of `correct`.

    Attributes:
        response: the filter, a channel for each loudspeaker.
        lead_s: where its direct sound stands, in seconds; 0 for minimum phase.
        headroom_db: by how much the rack lowers all, so that no tone comes out louder than it went in.
        hertz: the frequencies of the curves, (points,).
        target_db: (points,).
        measured_db, corrected_db: the mean over the places, level aligned with the target, (loudspeakers, points).
        gain_db: of the filter, before the headroom, (loudspeakers, points).
        range_hz: where each loudspeaker was corrected.
        spread_db: how far the places are from the target in that range, as a standard deviation in thirds of an octave: as
            measured, and corrected.
        unseen_spread_db: the same for places that the correction did not know, each left out once; None for fewer than 3.
    """

    response: Response
    lead_s: float
    headroom_db: float
    hertz: Numbers
    target_db: Numbers
    measured_db: Numbers
    corrected_db: Numbers
    gain_db: Numbers
    range_hz: tuple[tuple[float, float], ...]
    spread_db: tuple[float, float]
    unseen_spread_db: tuple[float, float] | None

    @property
    def rack(self) -> Rack:
        """A new rack that plays it."""
        return Rack([played(self.response, self.lead_s, -self.headroom_db)], name="room correction")

    def __str__(self) -> str:
        lines = [f"from the target: {self.spread_db[0]:.1f} dB as measured, {self.spread_db[1]:.1f} dB corrected"]
        if self.unseen_spread_db is not None:
            before, after = self.unseen_spread_db
            lines.append(f"at places that the correction did not know: {before:.1f} dB, corrected {after:.1f} dB")
        for number, (low, high) in enumerate(self.range_hz, start=1):
            most, least = self.gain_db[number - 1].max(), self.gain_db[number - 1].min()
            lines.append(f"loudspeaker {number}: {low:.0f} to {high:.0f} Hz, gains from {least:.1f} to {most:+.1f} dB")
        lines.append(
            f"all is {self.headroom_db:.1f} dB lower, so that no tone is louder than before; latency {1e3 * self.lead_s:.0f} ms"
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        figures = [
            curve_figure(
                Curve(f"Loudspeaker {i + 1}, corrected", "Hz", "dB", self.hertz, corrected, log_x=True),
                beside=[("measured", measured), ("target", self.target_db)],
            )
            for i, (measured, corrected) in enumerate(zip(self.measured_db, self.corrected_db, strict=True))
        ]
        return f"<pre>{escape(str(self))}</pre>{''.join(figures)}"

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page with the figures and curves.

        Raises:
            OSError: the file cannot be written.
        """
        from ..system.disk import atomic

        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            '<meta name="color-scheme" content="light dark"><title>Room correction</title>'
            "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}</style>"
            f"<h1>Room correction</h1>{self._repr_html_()}</html>"
        )
        with atomic(path) as beside:
            beside.write_text(page, encoding="utf-8")


def correct(
    responses: Response | MeasuredRoom | Sequence[Response | MeasuredRoom],
    target: str | CurvePoints = "flat",
    *,
    lowest_hz: float | None = None,
    highest_hz: float | None = None,
    max_boost_db: float = 6.0,
    max_cut_db: float = 15.0,
    phase: Phase = "minimum",
    seconds: float = 0.34,
) -> Correction:
    """A filter that brings loudspeakers in a room to a target.

    What all places share is corrected. Narrow dips are left alone: sound that cancels itself cannot be boosted. The filter ends
    where a loudspeaker does, and echoes that come late are not touched, since no filter can take them back at all places.

    Args:
        responses: what `tr.room.measure` gives, or any `tr.Response`: one for each place of the microphone, with a channel for
            each loudspeaker. Three places or more around where one listens are better than one.
        target: "flat"; "house" (4 dB more bass, 4 dB less treble: what most people set in rooms); or points (Hz, dB).
        lowest_hz, highest_hz: the range; None: where the loudspeaker plays within 10 dB of its middle. Many correct rooms
            up to some 500 Hz only, and leave the loudspeaker's own sound as it is.
        max_boost_db: 0 to 20. Boosts cost headroom and excursion. Louder loudspeakers are lowered to the softest,
            by 6 dB at most.
        max_cut_db: 0 to 40.
        phase: "minimum" for no latency; "linear" delays by half the filter.
        seconds: length of the filter, 0.01 to 0.4.

    Raises:
        ValueError: values outside these ranges; responses of different channels; a range in which nothing lies.
        TypeError: anything else than responses.
    """
    given = list(responses) if isinstance(responses, list | tuple) else [responses]
    places: list[Response] = []
    for place in given:
        response = place.response if isinstance(place, MeasuredRoom) else place
        if not isinstance(response, Response):
            raise TypeError("responses are what tr.room.measure gives, or tr.Response, one for each place of the microphone")
        places.append(response)
    if not places:
        raise ValueError("responses is empty; give one for each place of the microphone")
    if len({place.channels for place in places}) > 1:
        raise ValueError("the responses have different numbers of channels; measure the same loudspeakers at each place")
    for number, place in enumerate(places, start=1):
        silent = [c + 1 for c, row in enumerate(place.samples) if not row.any()]
        if silent:
            raise ValueError(
                f"response {number} is silent in channel {silent[0]}; measure that loudspeaker again, or leave it out"
            )
    check_number(max_boost_db, "max_boost_db", 0.0, 20.0)
    check_number(max_cut_db, "max_cut_db", 0.0, 40.0)
    check_number(seconds, "seconds", 0.01, LONGEST_S)
    rate = max(place.sample_rate for place in places)
    hertz = grid([place.sample_rate for place in places])
    aim = target_curve(target, hertz)
    bounds = tuple(None if hz is None else check_number(hz, name, 1.0, 0.5 * rate) for hz, name in
                   ((lowest_hz, "lowest_hz"), (highest_hz, "highest_hz")))  # fmt: skip
    measured = np.stack([[power_over_frequency(row, p.sample_rate, hertz) for row in p.samples] for p in places])
    design = _Design(hertz, aim, bounds, max_boost_db, max_cut_db)
    ranges, gains = design.of(measured)
    frames = odd_frames(seconds, rate)
    h = _filter(gains, hertz, rate, frames, phase)
    done = _gain_of(h, rate, hertz)
    lead = frames // 2 if phase == "linear" else 0
    unseen = None
    if len(places) >= FEWEST_PLACES:
        pairs = []
        for left_out in range(len(places)):
            _, without = design.of(np.delete(measured, left_out, 0))
            others = _gain_of(_filter(without, hertz, rate, frames, phase), rate, hertz)
            here = measured[left_out : left_out + 1]
            pairs.append((design.spread(here, ranges), design.spread(here * 10.0 ** (others / 10.0), ranges)))
        unseen = (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs])))
    corrected = measured * 10.0 ** (done / 10.0)
    return Correction(
        response=Response(h, rate, "room correction"),
        lead_s=lead / rate,
        headroom_db=float(max(done.max(), 0.0)),
        hertz=hertz,
        target_db=aim,
        measured_db=design.aligned(measured),
        corrected_db=design.aligned(corrected),
        gain_db=done,
        range_hz=ranges,
        spread_db=(design.spread(measured, ranges), design.spread(corrected, ranges)),
        unseen_spread_db=unseen,
    )


@dataclass(frozen=True)
class _Design:
    hertz: Numbers
    aim: Numbers
    bounds: tuple[float | None, ...]
    max_boost_db: float
    max_cut_db: float

    def of(self, measured: Numbers) -> tuple[tuple[tuple[float, float], ...], Numbers]:
        """The range of each loudspeaker and the gains in dB, (loudspeakers, points), for powers (places, loudspeakers,
        points)."""
        together = self._together(measured)
        # Peaks as they are; dips only as far as they are wide.
        shape = np.maximum(*(in_db(np.stack([smoothed(row, o) for row in together])) for o in (FINE_OCTAVES, WIDE_OCTAVES)))
        plays = [self._plays(row) for row in together]
        ranges = tuple(self._bounded(*ends) for ends in plays)
        gains = []
        for row, ends, (low, high), louder in zip(shape, plays, ranges, self._louder(measured, plays), strict=True):
            level = self._level(row - self.aim, ends)
            wanted = np.clip(self.aim + level - row, -self.max_cut_db, self.max_boost_db)
            gains.append(smoothed(wanted, FINE_OCTAVES) * self._fade(low, high) - louder)
        return ranges, np.stack(gains)

    def _louder(self, measured: Numbers, plays: Sequence[tuple[float, float]]) -> Numbers:
        """By how much each loudspeaker is lowered to the softest of those that play the middle, in dB."""
        levels = np.asarray([self._level(in_db(row), ends) for row, ends in zip(measured.mean(0), plays, strict=True)])
        middle = np.asarray([self._has_middle(ends) for ends in plays])
        softest = levels[middle].min() if middle.any() else 0.0
        return np.where(middle, np.clip(levels - softest, 0.0, MOST_BALANCE_DB), 0.0)

    def _has_middle(self, ends: tuple[float, float]) -> bool:
        return ends[0] <= LEVEL_HZ[0] * 2.0 and ends[1] >= 0.5 * min(LEVEL_HZ[1], float(self.hertz[-1]))

    def _level(self, curve_db: Numbers, ends: tuple[float, float]) -> float:
        """The middle of a curve where a loudspeaker plays: from 200 Hz to 4 kHz if it does there."""
        inside = (self.hertz >= ends[0]) & (self.hertz <= ends[1])
        in_middle = inside & (self.hertz >= LEVEL_HZ[0]) & (self.hertz <= LEVEL_HZ[1])
        return float(np.median(curve_db[in_middle if self._has_middle(ends) else inside]))

    def _together(self, measured: Numbers) -> Numbers:
        """The mean power over places, each at the level of the first: (loudspeakers, points)."""
        levels = np.asarray([[level_db(in_db(row), self.hertz) for row in place] for place in measured])
        scale = 10.0 ** ((levels[:1] - levels) / 10.0)
        return np.asarray((measured * scale[..., None]).mean(0))

    def _plays(self, power: Numbers) -> tuple[float, float]:
        """The ends of a loudspeaker's range: the first and the last frequency that is not 10 dB below what it plays."""
        wide, regional = (in_db(smoothed(power, octaves)) for octaves in (WIDE_OCTAVES, REGION_OCTAVES))
        level = level_db(wide, self.hertz)
        if level < float(regional.max()) - MOST_TILTED_DB:  # a subwoofer, or a tweeter
            level = float(regional.max())
        plays = np.flatnonzero(wide >= level - FALLEN_DB)
        return float(self.hertz[plays[0]]), float(self.hertz[plays[-1]])

    def _bounded(self, low: float, high: float) -> tuple[float, float]:
        """The range within what was asked for."""
        low, high = (ends[0] if ends[1] is None else ends[1] for ends in zip((low, high), self.bounds, strict=True))
        if not np.any((self.hertz >= low) & (self.hertz <= high)):
            raise ValueError(f"nothing lies from {low:.0f} to {high:.0f} Hz; give a lower lowest_hz or a higher highest_hz")
        return low, high

    def _fade(self, low: float, high: float) -> Numbers:
        beyond = np.maximum(np.log2(low / self.hertz), np.log2(self.hertz / high)) / FADE_OCTAVES
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip(beyond, 0.0, 1.0)))

    def aligned(self, measured: Numbers) -> Numbers:
        """The mean over places in dB, smoothed as it is judged, each loudspeaker about the target where it plays."""
        together = self._together(measured)
        curves = [in_db(smoothed(row, JUDGED_OCTAVES)) for row in together]
        return np.stack(
            [curve - self._level(curve - self.aim, self._plays(row)) for curve, row in zip(curves, together, strict=True)]
        )

    def spread(self, measured: Numbers, ranges: Sequence[tuple[float, float]]) -> float:
        """Standard deviation from the target, in dB, over all places and loudspeakers, each at its own level."""
        squares = []
        for place in measured:
            for row, (low, high) in zip(place, ranges, strict=True):
                gap = in_db(smoothed(row, JUDGED_OCTAVES)) - self.aim
                gap -= self._level(gap, self._plays(row))
                squares.append(np.mean(gap[(self.hertz >= low) & (self.hertz <= high)] ** 2))
        return float(np.sqrt(np.mean(squares)))


def _filter(gains: Numbers, hertz: Numbers, rate: float, frames: int, phase: Phase) -> npt.NDArray[np.float32]:
    size = max(POINTS, 1 << (8 * frames - 1).bit_length())
    bins = np.log(np.maximum(np.fft.rfftfreq(size, 1.0 / rate), 1e-3))
    knots = np.log([*hertz, BEYOND * hertz[-1]])  # above what was measured nothing is corrected
    return filter_of(np.stack([np.interp(bins, knots, [*row, 0.0]) for row in gains]), frames, phase)


def _gain_of(h: npt.NDArray[np.float32], rate: float, hertz: Numbers) -> Numbers:
    size = max(POINTS, 1 << (4 * h.shape[1] - 1).bit_length())
    bins = np.fft.rfftfreq(size, 1.0 / rate)
    levels = 20.0 * np.log10(np.maximum(np.abs(np.fft.rfft(h.astype(np.float64), size)), 1e-9))
    return np.stack([np.interp(hertz, bins, row) for row in levels])
