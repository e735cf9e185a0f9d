"""What a mix and its channels are like, measured while it is rendered: loudness, peaks, spectrum, stereo field, and which track
hides which in which critical band.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio
from ..measure.loudness import Loudness, LoudnessMeter, fault_sentence
from ..perceptual.masking import Masking
from .render import bounds, opened
from .timeline import Time

if TYPE_CHECKING:
    from .session import Session

Numbers = npt.NDArray[np.float64]
FLOOR = 1e-12
HEARD_BELOW_DB = 50.0  # below its own loudest moment in a band, and a track counts as not there
MOST_TRACKS = 64  # whose masking is compared
FULL_SCALE = 1.0 - 1e-6


@dataclass
class ChannelReport:
    """One channel after its fader.

    Attributes:
        loudness: EBU R128.
        rms_db: over the whole, in dBFS.
        clipped: samples at or beyond full scale.
        correlation: of left and right, -1 to 1; NaN of silence or one channel.
        side_db: level of the difference of left and right over that of their sum; NaN as well.
        centres_hz, band_db: critical bands and the power in each, in dBFS.
        gain_reduction_db: the largest of each effect that has one, by address.
    """

    name: str
    kind: str
    loudness: Loudness
    rms_db: float
    clipped: int
    correlation: float
    side_db: float
    centres_hz: Numbers
    band_db: Numbers
    gain_reduction_db: dict[str, float] = field(default_factory=dict)

    @property
    def headroom_db(self) -> float:
        """From the true peak to full scale."""
        return -self.loudness.true_peak_db

    @property
    def crest_db(self) -> float:
        """From the level to the peak."""
        return self.loudness.peak_db - self.rms_db


@dataclass
class MixReport:
    """What a mix is like.

    Attributes:
        channels: by name; the last is the master.
        tracks: whose masking is compared, in order.
        hidden: (tracks, tracks, bands): the share of the time in which the second is there and the first alone hides it.
        centres_hz: of the bands.
        notes: what else was noticed, a sentence each.
    """

    session: str
    seconds: float
    sample_rate: float
    channels: dict[str, ChannelReport]
    tracks: list[str]
    hidden: Numbers
    centres_hz: Numbers
    notes: list[str] = field(default_factory=list)

    @property
    def mix(self) -> ChannelReport:
        """Of the master."""
        return self.channels["master"]

    def masking(self, least: float = 0.25) -> list[tuple[str, str, float, list[float]]]:
        """Who hides whom, the worst first, where the share of the time is at least `least` in some band.

        Returns:
            (hiding, hidden, mean share over those bands, their frequencies in Hz, the worst first).
        """
        found = []
        for i, a in enumerate(self.tracks):
            for j, b in enumerate(self.tracks):
                shares = self.hidden[i, j]
                bands = np.flatnonzero(shares >= least)
                bands = bands[np.argsort(-shares[bands], kind="stable")]  # the worst first
                if i != j and bands.size:
                    found.append((a, b, float(shares[bands].mean()), [float(f) for f in self.centres_hz[bands]]))
        return sorted(found, key=lambda row: -row[2] * len(row[3]))

    def __str__(self) -> str:
        lines = [f"{self.session}: {self.seconds:.1f} s; {self.mix.loudness}"]
        lines.append(f"  {'channel':<18}{'LUFS':>7}{'range':>7}{'true peak':>11}{'crest':>7}{'corr.':>7}{'side':>7}")
        for c in self.channels.values():
            row = (c.loudness.integrated, c.loudness.range, c.loudness.true_peak_db, c.crest_db, c.correlation, c.side_db)
            numbers = "".join(
                f"{'–' if not math.isfinite(v) else format(v, spec):>{width}}"
                for v, spec, width in zip(row, (".1f", ".1f", ".1f", ".1f", ".2f", ".1f"), (7, 7, 11, 7, 7, 7), strict=True)
            )
            lines.append(f"  {c.name[:18]:<18}{numbers}{f'  {c.clipped} clipped' if c.clipped else ''}")
        for a, b, share, bands in self.masking()[:8]:
            lines.append(
                f"  {a} hides {b} {share:.0%} of the time most around {', '.join(f'{f:.0f}' for f in sorted(bands[:4]))} Hz"
            )
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page, and return its path."""
        from .report_page import write_page

        return write_page(self, Path(path))


class _Listener:
    """Gathers the figures of one channel."""

    def __init__(self, rate: float, width: int) -> None:
        self.meter, self.width = LoudnessMeter(rate, width), width
        self.frames = self.clipped = 0
        self.power = np.zeros((min(width, 2), min(width, 2)))

    def hear(self, x: Audio) -> None:
        x = np.ascontiguousarray(x)
        self.meter.process(x)
        self.frames += x.shape[1]
        self.clipped += int(np.count_nonzero(np.abs(x) >= FULL_SCALE))
        pair = x[:2].astype(np.float64)
        self.power += pair @ pair.T

    def figures(self) -> tuple[float, float, float]:
        """Level in dBFS, correlation, side over middle in dB."""
        mean = float(np.trace(self.power)) / max(self.frames, 1) / len(self.power)
        rms = 10.0 * math.log10(mean) if mean > 0 else -math.inf
        if self.width != 2 or not self.power.diagonal().min() > 0:
            return rms, math.nan, math.nan
        (a, c), (_, b) = self.power
        middle, side = a + b + 2 * c, a + b - 2 * c
        ratio = 10.0 * math.log10((side + FLOOR) / (middle + FLOOR))
        return rms, float(c / math.sqrt(a * b)), ratio


class _Bands:
    """Power in critical bands of several channels at once, and who hides whom."""

    def __init__(self, rate: float, count: int, tracks: list[int]) -> None:
        self.masking = Masking(rate)
        self.size = self.masking.bands.size
        self.hop = self.size // 2
        bands = len(self.masking.bands.centres_hz)
        self.sum, self.frames = np.zeros((count, bands)), 0
        self.tracks = tracks
        self.loudest = np.zeros((len(tracks), bands))
        self.hidden = np.zeros((len(tracks), len(tracks), bands))
        self.there = np.zeros((len(tracks), bands))
        self._rest: Audio | None = None

    @torch.no_grad()
    def hear(self, x: Audio) -> None:
        """(channels of the session, width, frames)."""
        x = x if self._rest is None else np.concatenate([self._rest, x], axis=2)
        frames = (x.shape[2] - self.size) // self.hop + 1
        if frames < 1:
            self._rest = x
            return
        self._rest = x[:, :, frames * self.hop :].copy()
        sound = torch.from_numpy(np.ascontiguousarray(x[:, :, : (frames - 1) * self.hop + self.size])).double()
        power = self.masking.bands(sound).sum(1).numpy()  # channels, bands, frames
        self.sum += power.sum(2)
        self.frames += frames
        if len(self.tracks) < 2:
            return
        mine = power[self.tracks]
        threshold = self.masking.threshold(sound[self.tracks]).sum(1).numpy()
        quiet = self.masking.quiet.numpy()[None, :, None]
        self.loudest = np.maximum(self.loudest, mine.max(2))
        there = (mine > quiet) & (mine > self.loudest[:, :, None] * 10.0 ** (-HEARD_BELOW_DB / 10.0))
        self.there += there.sum(2)
        for i in range(len(self.tracks)):
            self.hidden[i] += (there & (threshold[i][None] >= mine)).sum(2)

    def shares(self) -> Numbers:
        found: Numbers = self.hidden / np.maximum(self.there, 1.0)[None]
        # where a track is hardly ever there, nothing can be said
        found[:, self.there < 0.02 * max(self.frames, 1)] = 0.0
        for i in range(len(self.tracks)):
            found[i, i] = 0.0
        return found


def measure(
    session: Session,
    *,
    start: Time | None = None,
    end: Time | None = None,
    tail: float | None = None,
    threads: int | None = None,
) -> MixReport:
    """Measure a mix and each of its channels, after their faders.

    Args:
        start, end, threads: as in `render.render`.
        tail: seconds after the end; None for none.

    Raises:
        FileNotFoundError, ValueError: as `render.render`.
    """
    names = [c.name for c in session]
    with opened(session, names) as mix:
        kept = bounds(session, mix, start, end, tail)
        listeners = [_Listener(session.sample_rate, session.width) for _ in names]
        tracks = [i for i, c in enumerate(session) if c.clips][:MOST_TRACKS]
        bands = _Bands(session.sample_rate, len(names), tracks)

        def give(blocks: list[Audio]) -> bool:
            ready, more = kept.take(blocks)
            if ready is not None:
                for listener, x in zip(listeners, ready, strict=True):
                    listener.hear(x)
                bands.hear(np.stack(ready))
            return more

        mix.run(give, threads=threads)
        notes = mix.faults()
        reductions = _reductions(mix)
    centres = bands.masking.bands.centres_hz.numpy()
    found = {}
    for i, (name, listener) in enumerate(zip(names, listeners, strict=True)):
        rms, correlation, side = listener.figures()
        mean = bands.sum[i] / max(bands.frames, 1)
        found[name] = ChannelReport(
            name, session[name].kind, listener.meter.finish(), rms, listener.clipped, correlation, side, centres,
            10.0 * np.log10(mean + FLOOR), reductions.get(name, {}),
        )  # fmt: skip
    seconds = listeners[0].frames / session.sample_rate
    report = MixReport(
        session.name, seconds, session.sample_rate, found, [names[i] for i in tracks], bands.shares(), centres, notes
    )  # fmt: skip
    report.notes += _remarks(report)
    return report


def _reductions(mix: Any) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for strip in mix.all:
        if strip.rack is not None:
            for (address, _), meter in zip(strip.rack.slots, strip.rack.engine.meters(), strict=True):
                if meter.gain_reduction_db > 0.05:
                    found.setdefault(strip.name, {})[address] = float(meter.gain_reduction_db)
    return found


def _remarks(report: MixReport) -> list[str]:
    """What a listener would want to know."""
    mix, found = report.mix, []
    if mix.clipped:
        found.append(f"the mix is at full scale in {mix.clipped} samples; lower it, or put a limiter on the master")
    elif mix.loudness.true_peak_db > -1.0:
        found.append(f"the true peak is {mix.loudness.true_peak_db:.1f} dBTP; lossy formats may clip it: stay below -1")
    if mix.correlation < 0:
        found.append("left and right are more opposed than alike; on one loudspeaker the mix loses level")
    for c in report.channels.values():
        if not math.isfinite(c.loudness.integrated) and c.rms_db == -math.inf:
            found.append(f"{c.name} is silent")
        if c.loudness.faults:
            found.append(f"{c.name}: {fault_sentence(c.loudness.faults)}")
    return found
