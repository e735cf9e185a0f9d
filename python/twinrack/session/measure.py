"""The measurement of a mix and its channels: loudness, peaks, spectrum, stereo field, and masking between tracks."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio
from ..measure.loudness import UPDATES, Loudness, LoudnessMeter, fault_sentence
from ..perceptual.masking import Masking
from ..rack.rack import Rack
from ..rack.tree import Chain, effects_of
from .mix import Mix
from .render import opened, render_range
from .session import Session
from .timeline import Time

Numbers = npt.NDArray[np.float64]
FLOOR = 1e-12
PRESENT_DB = 50.0  # below its own loudest moment in a band a track counts as absent
MOST_TRACKS = 64  # whose masking is compared
FULL_SCALE = 1.0 - 1e-6
MOST_STEMS = 24  # that a page mixes
PLAYED_S, LEAST_PLAYED_S, MOST_PLAYED_S = 240.0, 10.0, 60.0  # of all stems together that a page plays, and of each


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


@dataclass(frozen=True)
class MixDesk:
    """The sounds with which a page mixes again.

    Attributes:
        stems: of each channel that goes to the master, before the master's rack: (channels, frames).
        master: the master's rack, and its fader.
        begin_s: where on the timeline they begin.
        left_out: a sentence on what of the master they are without; empty where nothing.
    """

    stems: dict[str, Audio]
    master: Rack
    begin_s: float
    left_out: str = ""


@dataclass
class MixReport:
    """The figures of a mix.

    Attributes:
        channels: by name; the last is the master.
        tracks: whose masking is compared, in order.
        hidden: (tracks, tracks, bands): of the time in which the second is present, the part in which the first alone masks it.
        centres_hz: of the bands.
        notes: what else was noticed, a sentence each.
        desk: with which its page plays; None where it does not.
    """

    session: str
    seconds: float
    sample_rate: float
    channels: dict[str, ChannelReport]
    tracks: list[str]
    hidden: Numbers
    centres_hz: Numbers
    notes: list[str] = field(default_factory=list)
    desk: MixDesk | None = field(default=None, repr=False)

    @property
    def mix(self) -> ChannelReport:
        """Of the master."""
        return self.channels["master"]

    def masking(self, least: float = 0.25) -> list[tuple[str, str, float, list[float]]]:
        """Which track masks which, the worst first, where it is at least `least` of the time in some band.

        Returns:
            (masking, masked, mean part of the time over those bands, their frequencies in Hz, the worst first).
        """
        pairs = []
        for i, a in enumerate(self.tracks):
            for j, b in enumerate(self.tracks):
                shares = self.hidden[i, j]
                bands = np.flatnonzero(shares >= least)
                bands = bands[np.argsort(-shares[bands], kind="stable")]  # the worst first
                if i != j and bands.size:
                    pairs.append((a, b, float(shares[bands].mean()), [float(f) for f in self.centres_hz[bands]]))
        return sorted(pairs, key=lambda row: -row[2] * len(row[3]))

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
        from ..explain.mix_page import write_page

        return write_page(self, Path(path))


class _ChannelMeter:
    """Sums up loudness, level and stereo field of one channel."""

    def __init__(self, rate: float, width: int) -> None:
        self.loudness, self.width = LoudnessMeter(rate, width), width
        self.frames = self.clipped = 0
        self.power = np.zeros((min(width, 2), min(width, 2)))

    def process(self, x: Audio) -> None:
        x = np.ascontiguousarray(x)
        self.loudness.process(x)
        self.frames += x.shape[1]
        self.clipped += int(np.count_nonzero(np.abs(x) >= FULL_SCALE))
        pair = x[:2].astype(np.float64)
        self.power += pair @ pair.T

    def figures(self) -> tuple[float, float, float]:
        """Level in dBFS, correlation, side over mid in dB."""
        mean = float(np.trace(self.power)) / max(self.frames, 1) / len(self.power)
        rms = 10.0 * math.log10(mean) if mean > 0 else -math.inf
        if self.width != 2 or not self.power.diagonal().min() > 0:
            return rms, math.nan, math.nan
        (a, c), (_, b) = self.power
        middle, side = a + b + 2 * c, a + b - 2 * c
        ratio = 10.0 * math.log10((side + FLOOR) / (middle + FLOOR))
        return rms, float(c / math.sqrt(a * b)), ratio


class _Bands:
    """Power in critical bands of several channels at once, and which track masks which."""

    def __init__(self, rate: float, count: int, tracks: list[int]) -> None:
        self.masking = Masking(rate)
        self.size = self.masking.bands.size
        self.hop = self.size // 2
        bands = len(self.masking.bands.centres_hz)
        self.sum, self.frames = np.zeros((count, bands)), 0
        self.tracks = tracks
        self.loudest = np.zeros((len(tracks), bands))
        self.hidden = np.zeros((len(tracks), len(tracks), bands))
        self.present = np.zeros((len(tracks), bands))
        self._rest: Audio | None = None

    @torch.no_grad()
    def process(self, x: Audio) -> None:
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
        present = (mine > quiet) & (mine > self.loudest[:, :, None] * 10.0 ** (-PRESENT_DB / 10.0))
        self.present += present.sum(2)
        for i in range(len(self.tracks)):
            self.hidden[i] += (present & (threshold[i][None] >= mine)).sum(2)

    def masked(self) -> Numbers:
        """(tracks, tracks, bands), as `MixReport.hidden`."""
        parts: Numbers = self.hidden / np.maximum(self.present, 1.0)[None]
        # a track that is hardly ever present has too few frames to judge
        parts[:, self.present < 0.02 * max(self.frames, 1)] = 0.0
        for i in range(len(self.tracks)):
            parts[i, i] = 0.0
        return parts


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
        wanted = render_range(session, mix, start, end, tail)
        meters = [_ChannelMeter(session.sample_rate, session.width) for _ in names]
        tracks = [i for i, c in enumerate(session) if c.clips][:MOST_TRACKS]
        bands = _Bands(session.sample_rate, len(names), tracks)

        def measure_blocks(blocks: list[Audio]) -> None:
            for meter, x in zip(meters, blocks, strict=True):
                meter.process(x)
            bands.process(np.stack(blocks))

        mix.run(wanted.into(measure_blocks), threads=threads)
        notes = mix.faults()
        reductions = _reductions(mix)
    centres = bands.masking.bands.centres_hz.numpy()
    channels = {}
    for i, (name, meter) in enumerate(zip(names, meters, strict=True)):
        rms, correlation, side = meter.figures()
        mean = bands.sum[i] / max(bands.frames, 1)
        channels[name] = ChannelReport(
            name, session[name].kind, meter.loudness.finish(), rms, meter.clipped, correlation, side, centres,
            10.0 * np.log10(mean + FLOOR), reductions.get(name, {}),
        )  # fmt: skip
    seconds = meters[0].frames / session.sample_rate
    report = MixReport(
        session.name, seconds, session.sample_rate, channels, [names[i] for i in tracks], bands.masked(), centres, notes
    )  # fmt: skip
    report.notes += _remarks(report)
    return report


def mix_desk(session: Session, report: MixReport, *, start: Time | None = None, threads: int | None = None) -> MixDesk | None:
    """The sounds for a page in which a mix is mixed again: all of it, or its loudest part; None without channels, or with more
    than 24.

    Args:
        session: that was measured.
        report: what came of it.
        start, threads: as it was measured.
    """
    channels = [c for c in session if c is not session.master and c.output in (None, "master")]
    if not 1 <= len(channels) <= MOST_STEMS or session.width > 2:
        return None
    seconds = min(report.seconds, max(PLAYED_S / len(channels), LEAST_PLAYED_S), MOST_PLAYED_S)
    levels = report.mix.loudness.short_term
    late = 0.0
    if seconds < report.seconds and len(levels):
        late = max(min(float(np.argmax(levels)) / UPDATES + 1.5 - seconds / 2, report.seconds - seconds), 0.0)
    begin = late + (0.0 if start is None else session.timeline.seconds(start))
    stems = session.stems(start=begin, end=begin + seconds, tail=None, through_master=False, threads=threads)
    master, left_out = session.master, ""
    root = master.rack.root.copy()
    parts = root.items if isinstance(root, Chain) else [root]
    keyed = [item for item in parts if any(effect.key for effect in effects_of(item))]
    missing = ["automation"] if master.automation else []
    missing += ["polarity"] if master.polarity != "normal" else []
    missing += ["delay"] if session.timeline.seconds(master.delay) != 0.0 else []
    missing += [
        f"{effect.card.name}, which listens to a sidechain" for item in keyed for effect in effects_of(item) if effect.key
    ]
    if missing:
        left_out = f"Of the master these do not play in this page: {'; '.join(missing)}."
    parts = [item for item in parts if item not in keyed]
    return MixDesk(stems, Rack([*parts, master.fader.copy()], name="Mix"), begin, left_out)


def _reductions(mix: Mix) -> dict[str, dict[str, float]]:
    """The largest gain reduction in dB, by channel and address."""
    reductions: dict[str, dict[str, float]] = {}
    for strip in mix.all:
        for address, meter in strip.meters():
            if meter.gain_reduction_db > 0.05:
                reductions.setdefault(strip.name, {})[address] = float(meter.gain_reduction_db)
    return reductions


def _remarks(report: MixReport) -> list[str]:
    """Faults of the mix, a sentence each."""
    mix, remarks = report.mix, []
    if mix.clipped:
        remarks.append(f"the mix is at full scale in {mix.clipped} samples; lower it, or put a limiter on the master")
    elif mix.loudness.true_peak_db > -1.0:
        remarks.append(f"the true peak is {mix.loudness.true_peak_db:.1f} dBTP; lossy formats may clip it: stay below -1")
    if mix.correlation < 0:
        remarks.append("left and right are more opposed than alike; on one loudspeaker the mix loses level")
    for c in report.channels.values():
        if not math.isfinite(c.loudness.integrated) and c.rms_db == -math.inf:
            remarks.append(f"{c.name} is silent")
        if c.loudness.faults:
            remarks.append(f"{c.name}: {fault_sentence(c.loudness.faults)}")
    return remarks
