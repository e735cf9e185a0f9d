"""Correction of loudspeakers in a room, from responses measured where people listen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from ..checks import check_number, must_be
from ..measure.curves import Curve
from ..pages.drawing import curve_figure
from ..rack.rack import Rack
from ..resources.response import Response
from .curves import grid, in_db, level_db, power_over_frequency, smoothed, target_curve
from .filters import LONGEST_S, CurvePoints, Phase, filter_of, played

Numbers = npt.NDArray[np.float64]

FINE_OCTAVES, WIDE_OCTAVES, JUDGED_OCTAVES = 1 / 6, 1 / 2, 1 / 3
FADE_OCTAVES = 0.5  # beyond the range, over which the correction ends
FALLEN_DB = 10.0  # below the middle: there a loudspeaker's range ends
MOST_BALANCE_DB = 6.0
MIDDLE_HZ = 500.0
FEWEST_PLACES = 3  # from which a correction can be tried where it was not measured
POINTS = 1 << 16  # of the filter's gain


@dataclass(frozen=True)
class Correction:
    """The result of `correct`.

    Attributes:
        response: the filter, a channel for each loudspeaker.
        lead_s: where its direct sound stands, in seconds; 0 for minimum phase.
        headroom_db: by how much the rack lowers all, so that no boost clips.
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
        lines.append(f"all is {self.headroom_db:.1f} dB lower, so that no boost clips; latency {1e3 * self.lead_s:.0f} ms")
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
    responses: Response | Sequence[Response],
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
        max_boost_db: 0 to 20. Boosts cost headroom and excursion.
        max_cut_db: 0 to 40.
        phase: "minimum" for no latency; "linear" delays by half the filter.
        seconds: length of the filter, 0.01 to 0.4.

    Raises:
        ValueError: values outside these ranges; responses of different channels; a range in which nothing lies.
        TypeError: anything else than responses.
    """
    places = [responses] if isinstance(responses, Response) else list(responses)
    for place in places:
        if not isinstance(place, Response):
            raise TypeError("responses are tr.Response, such as tr.room.measure gives, one for each place of the microphone")
    if not places:
        raise ValueError("responses is empty; give one for each place of the microphone")
    if len({place.channels for place in places}) > 1:
        raise ValueError("the responses have different numbers of channels; measure the same loudspeakers at each place")
    check_number(max_boost_db, "max_boost_db", 0.0, 20.0)
    check_number(max_cut_db, "max_cut_db", 0.0, 40.0)
    check_number(seconds, "seconds", 0.01, LONGEST_S)
    if phase not in ("linear", "minimum"):
        raise must_be("phase", '"linear" or "minimum"', phase)
    rate = max(place.sample_rate for place in places)
    hertz = grid([place.sample_rate for place in places])
    aim = target_curve(target, hertz)
    bounds = tuple(None if hz is None else check_number(hz, name, 1.0, 0.5 * rate) for hz, name in
                   ((lowest_hz, "lowest_hz"), (highest_hz, "highest_hz")))  # fmt: skip
    measured = np.stack([[power_over_frequency(row, p.sample_rate, hertz) for row in p.samples] for p in places])
    design = _Design(hertz, aim, bounds, max_boost_db, max_cut_db)
    ranges, gains = design.of(measured)
    frames = 2 * round(0.5 * seconds * rate) + 1
    h = _filter(gains, hertz, rate, frames, phase)
    done = _gain_of(h, rate, hertz)
    lead = frames // 2 if phase == "linear" else 0
    unseen = None
    if len(places) >= FEWEST_PLACES:
        pairs = []
        for left_out in range(len(places)):
            _, others = design.of(np.delete(measured, left_out, 0))
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
        ranges = tuple(self._range(row) for row in together)
        levels = [self._offset(row, *bounds) for row, bounds in zip(shape, ranges, strict=True)]
        own = self._levels(measured)
        balance = np.clip(own.mean() - own, -MOST_BALANCE_DB, MOST_BALANCE_DB)
        gains = []
        for row, level, (low, high), more in zip(shape, levels, ranges, balance, strict=True):
            wanted = np.clip(self.aim + level - row, -self.max_cut_db, self.max_boost_db)
            inside = smoothed(np.clip(wanted, -self.max_cut_db, self.max_boost_db), FINE_OCTAVES)
            gains.append(inside * self._fade(low, high) + more)
        return ranges, np.stack(gains)

    def _levels(self, measured: Numbers) -> Numbers:
        """How loud each loudspeaker is, in dB, over all places."""
        return np.asarray([level_db(in_db(row), self.hertz) for row in measured.mean(0)])

    def _together(self, measured: Numbers) -> Numbers:
        """The mean power over places, each at the level of the first: (loudspeakers, points)."""
        levels = np.asarray([[level_db(in_db(row), self.hertz) for row in place] for place in measured])
        scale = 10.0 ** ((levels[:1] - levels) / 10.0)
        return np.asarray((measured * scale[..., None]).mean(0))

    def _range(self, power: Numbers) -> tuple[float, float]:
        """Where a loudspeaker plays, within what was asked for."""
        wide = in_db(smoothed(power, WIDE_OCTAVES))
        plays = wide >= level_db(wide, self.hertz) - FALLEN_DB
        middle = int(np.argmin(np.abs(self.hertz - MIDDLE_HZ)))
        below, above = np.flatnonzero(~plays[:middle]), np.flatnonzero(~plays[middle:])
        low = float(self.hertz[below[-1] + 1]) if below.size else float(self.hertz[0])
        high = float(self.hertz[middle + above[0] - 1]) if above.size else float(self.hertz[-1])
        low = low if self.bounds[0] is None else self.bounds[0]
        high = high if self.bounds[1] is None else self.bounds[1]
        if not np.any((self.hertz >= low) & (self.hertz <= high)):
            raise ValueError(f"nothing lies from {low:.0f} to {high:.0f} Hz; give a lower lowest_hz or a higher highest_hz")
        return low, high

    def _offset(self, curve_db: Numbers, low: float, high: float) -> float:
        """The level at which a curve lies about the target."""
        gap = curve_db - self.aim
        inside = (self.hertz >= low) & (self.hertz <= high)
        in_middle = inside & (self.hertz >= 200.0) & (self.hertz <= 4000.0)
        return float(np.median(gap[in_middle if in_middle.any() else inside]))

    def _fade(self, low: float, high: float) -> Numbers:
        beyond = np.maximum(np.log2(low / self.hertz), np.log2(self.hertz / high)) / FADE_OCTAVES
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.clip(beyond, 0.0, 1.0)))

    def aligned(self, measured: Numbers) -> Numbers:
        """The mean over places in dB, smoothed as it is judged, each loudspeaker about 0 in the middle."""
        curves = [in_db(smoothed(row, JUDGED_OCTAVES)) for row in self._together(measured)]
        return np.stack([curve - level_db(curve, self.hertz) for curve in curves])

    def spread(self, measured: Numbers, ranges: Sequence[tuple[float, float]]) -> float:
        """Standard deviation from the target, in dB, over all places and loudspeakers."""
        squares = []
        for place in measured:
            for row, (low, high) in zip(place, ranges, strict=True):
                inside = (self.hertz >= low) & (self.hertz <= high)
                gap = (in_db(smoothed(row, JUDGED_OCTAVES)) - self.aim)[inside]
                squares.append(np.mean((gap - gap.mean()) ** 2))
        return float(np.sqrt(np.mean(squares)))


def _filter(gains: Numbers, hertz: Numbers, rate: float, frames: int, phase: Phase) -> npt.NDArray[np.float32]:
    size = max(POINTS, 1 << (8 * frames - 1).bit_length())
    bins = np.log(np.maximum(np.fft.rfftfreq(size, 1.0 / rate), 1e-3))
    return filter_of(np.stack([np.interp(bins, np.log(hertz), row) for row in gains]), frames, phase)


def _gain_of(h: npt.NDArray[np.float32], rate: float, hertz: Numbers) -> Numbers:
    size = max(POINTS, 1 << (4 * h.shape[1] - 1).bit_length())
    bins = np.fft.rfftfreq(size, 1.0 / rate)
    levels = 20.0 * np.log10(np.maximum(np.abs(np.fft.rfft(h.astype(np.float64), size)), 1e-9))
    return np.stack([np.interp(hertz, bins, row) for row in levels])
