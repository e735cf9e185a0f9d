"""Loudness and peak normalisation of rendered files: a gain before the last limiter, and a ceiling that holds in the file.

What counts is the file: resampling, dither, clipping and lossy coding all move peaks and loudness. So every file is measured
as it is read back, and written again with another gain until it is within the limits, a bounded number of times.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np

from ..audio import Audio
from ..checks import brief, must_be, to_float
from ..files.audio_file import LOSSY, format_of
from ..measure.loudness import Loudness
from ..rack.effect import Effect, place_of
from ..rack.rack import Rack
from ..rack.renderer import Renderer
from ..rack.tree import Chain, Parallel
from ..resources.network import ControlNetwork

NEAR_LU = 0.05  # of the target, and no more is tried
NEAR_DB = 0.005  # of a peak
AIM_DB = 0.002  # below a limit, for what dither adds
ROOM_DB = 0.02  # to stay below the limit when coding has gone over it
UNUSED_DB = 0.1  # below the limit, where the target needs it, and it is tried to come nearer
WRITES = 8
TRIES = 14  # of the gain before the limiter, on the samples alone
MOST_GAIN_DB = 80.0
STEP_DB = 6.0  # more before the limiter at once, after the first step
FLAT = 0.05  # LU for each dB of gain: the limiter lets it become no louder
FLAT_LU = 0.3  # given up then, for less gain
FAR_LU = 0.1
ADVICE = "a limiter as the last effect of {where} lets it be louder (--limit, in Python limit=True)"
SILENT = "silent, or shorter than the 0.4 s that a loudness takes, so its level stays as it is"


@dataclass(frozen=True)
class Level:
    """The level wanted for a file.

    Args:
        lufs: integrated loudness, -70 to 0.
        peak_db: instead, the true peak that it is brought to, -60 to 0 dBTP.
        true_peak_db: what the true peak stays below, -60 to 0 dBTP.

    Raises:
        ValueError: not numbers, outside these ranges, or both a loudness and a peak.
    """

    lufs: float | None = None
    peak_db: float | None = None
    true_peak_db: float | None = None

    @staticmethod
    def of(normalize_lufs: object, normalize_peak_db: object, true_peak_db: object) -> Level:
        """From the arguments of `render_file` and `render_to`."""
        given = (
            ("normalize_lufs", normalize_lufs, -70.0), ("normalize_peak_db", normalize_peak_db, -60.0),
            ("true_peak_db", true_peak_db, -60.0),
        )  # fmt: skip
        values: list[float | None] = []
        for name, value, least in given:
            number = None if isinstance(value, str | bool) else to_float(value)
            if value is not None and number is None:
                raise must_be(name, "a number", value)
            if number is not None and not least <= number <= 0.0:
                raise ValueError(f"{name} = {number:g} is outside {least:g} to 0")
            values.append(number)
        if values[0] is not None and values[1] is not None:
            raise ValueError("normalize_lufs and normalize_peak_db are both given; give the one that it is brought to")
        return Level(*values)

    @property
    def wanted(self) -> bool:
        """Whether anything is."""
        return (self.lufs, self.peak_db, self.true_peak_db) != (None, None, None)


class LevelSettings(TypedDict, total=False):
    """Arguments of `render_file` and `render_to`."""

    normalize_lufs: float
    normalize_peak_db: float
    true_peak_db: float


def parse_level(normalize: str | None, true_peak: str | None) -> LevelSettings:
    """The values of `--normalize` and `--true-peak`: "-16", "-16LUFS", "-16 LUFS" or "-1dBTP"; "-1", "-1dBTP" or "-1 dB".

    Returns:
        Arguments of `render_file`.

    Raises:
        ValueError: neither.
    """
    settings: LevelSettings = {}
    if normalize is not None:
        value, unit = parse_number(normalize, "LUFS|LKFS|dBTP|dBFS|dB", "--normalize", "-14LUFS or -1dBTP")
        if unit in ("", "lufs", "lkfs"):
            settings["normalize_lufs"] = value
        else:
            settings["normalize_peak_db"] = value
    if true_peak is not None:
        settings["true_peak_db"] = parse_number(true_peak, "dBTP|dBFS|dB", "--true-peak", "-1 or -1dBTP")[0]
    Level.of(settings.get("normalize_lufs"), settings.get("normalize_peak_db"), settings.get("true_peak_db"))
    return settings


def parse_number(text: str, units: str, option: str, example: str) -> tuple[float, str]:
    """A number and the unit behind it, in lower case, or "".

    Args:
        units: that it may have, as "LUFS|dB".
        option, example: for the sentence.

    Raises:
        ValueError: another text.
    """
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    match = re.fullmatch(rf"([-+]?(?:\d+(?:\.\d*)?|\.\d+))\s*({units})?", plain, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{option} must be a number such as {example}, got {brief(text)}")
    return float(match[1]), (match[2] or "").lower()


@dataclass(frozen=True)
class LastLimiter:
    """A rack whose last effect is a limiter, in two: all before it, and a copy of the limiter."""

    before: Rack
    limiter: Effect

    @property
    def ceiling_db(self) -> float:
        return float(self.limiter.values()["ceiling_db"])

    @property
    def between_samples(self) -> bool:
        """Whether it holds true peaks, not only samples."""
        return self.limiter.values()["detector"] == "true_peak"


def last_limiter(rack: Rack) -> LastLimiter | None:
    """Where the last effect of a rack is a limiter that nothing drives: the rack in two; otherwise None."""
    place: list[int] = []
    last: Effect | Chain | Parallel = rack.root
    while isinstance(last, Chain) and last.items:
        place.append(len(last.items) - 1)
        last = last.items[-1]
    if not isinstance(last, Effect) or last.card.id != "limiter" or last.bypass:
        return None
    for effect in rack.addresses().values():
        for network in effect.resources.values():
            if isinstance(network, ControlNetwork) and any(t.partition(".")[0] == place_of(last) for t in network.targets):
                return None
    copied = rack.copy()
    chain = copied.root
    for i in place[:-1]:
        inner = chain.items[i]
        assert isinstance(inner, Chain)
        chain = inner
    chain.items.pop()
    return LastLimiter(Rack([item.copy() for item in copied.root.items], name=rack.name), last.copy())


def added_limiter(rack: Rack, true_peak_db: float | None) -> LastLimiter:
    """A limiter behind a rack, with a ceiling in dBTP that is -1 when it is not given."""
    from ..rack.effects import Limiter

    ceiling = -1.0 if true_peak_db is None else true_peak_db
    return LastLimiter(rack.copy(), Limiter(ceiling_db=max(ceiling, float(Limiter.card.addresses["ceiling_db"].min))))


def is_lossy(path: Path) -> bool:
    """Whether what is read back from a file with this ending differs from what was written."""
    return format_of(path) in LOSSY


class Finish:
    """The steps between rack and file: gain, resampling, the last limiter, a trim.

    The limiter runs at the rate of the file, because resampling makes peaks anew.

    Args:
        rate, to_rate: Hz.
        limiter: a limiter; without one, both gains are added.
        before_db, after_db: gain before it and after it.
    """

    def __init__(
        self,
        rate: int,
        to_rate: int,
        channels: int,
        limiter: Effect | None = None,
        before_db: float = 0.0,
        after_db: float = 0.0,
    ) -> None:
        self._channels = channels
        self._resample = resampler(rate, to_rate, channels)
        self._limiter = None if limiter is None else Renderer(Rack([limiter.copy()]).running, to_rate, channels)
        before = before_db if limiter is not None else before_db + after_db
        self._before, self._after = (np.float32(10.0 ** (db / 20.0)) for db in (before, after_db))

    def __call__(self, x: Audio, last: bool = False) -> Audio:
        """The next block, (channels, frames); with `last`, also what is held back."""
        y = self._resample(x if self._before == 1.0 else x * self._before, last)
        if self._limiter is None:
            return y
        parts = [self._limiter.block(np.ascontiguousarray(y), [])] if y.shape[1] else [y]
        if last:
            parts.append(self._limiter.flush())
        z = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return z if self._after == 1.0 else z * self._after

    def all(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """All blocks through these steps, without empty ones."""
        for x in blocks:
            y = self(x)
            if y.shape[1]:
                yield y
        y = self(np.zeros((self._channels, 0), np.float32), last=True)
        if y.shape[1]:
            yield y


def resampler(from_rate: int, to_rate: int, channels: int) -> Callable[[Audio, bool], Audio]:
    """Blocks of one rate to blocks of another; the last one is marked, and may be empty."""
    if from_rate == to_rate:
        return lambda y, last: y
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="VHQ")

    def resample(y: Audio, last: bool) -> Audio:
        z: Audio = np.ascontiguousarray(stream.resample_chunk(np.ascontiguousarray(y.T), last=last).T)
        return z

    return resample


@dataclass
class LevelResult:
    """The final gains, and the loudness of the files written with them.

    Attributes:
        gain_db: before the limiter; of the whole where there is none.
        trim_db: after the limiter.
        files: the loudness of each file as it is read back.
        notes: for the user, a sentence each.
    """

    gain_db: float = 0.0
    trim_db: float = 0.0
    files: list[Loudness] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Quick = Callable[[float, float], Loudness]
Keep = Callable[[list[Loudness], int], bool]
Write = Callable[[float, float, Keep], None]


def reach_level(
    level: Level,
    limiter: LastLimiter | None,
    quick: Quick,
    write: Write,
    *,
    fader_db: float = 0.0,
    what: str = "the file",
    where: str = "the rack",
) -> LevelResult:
    """Find the gain and write the files.

    Args:
        level: what is wanted.
        limiter: the last limiter, whose ceiling must hold in the files too.
        quick: measures the samples as they would be written, with a gain before and after the limiter, in dB.
        write: writes the files with these gains, measures them as they are read back, and asks with their loudness and the
            number of clipped samples whether to keep them; otherwise it leaves nothing.
        fader_db: a gain after the limiter that is there already and stays.
        what: what is written, in sentences; where: what a limiter would be the last effect of.
    """
    search = (_PlainGain if limiter is None else _IntoLimiter)(level, limiter, quick, fader_db)
    result = LevelResult()
    best: tuple[float, float, float] | None = None  # with peaks within their limits: what is missing, gain, trim
    for turn in range(WRITES):
        last = turn == WRITES - 1
        if last and best is not None:
            _, search.gain, search.trim = best

        def keep(files: list[Loudness], clipped: int, last: bool = last) -> bool:
            nonlocal best
            result.files, result.gain_db, result.trim_db = files, search.gain, search.trim
            over = search.over(files)
            if over <= 0.0:
                missing = -over if level.lufs is None else abs(level.lufs - files[0].integrated)
                best = min(best or (math.inf, 0.0, 0.0), (missing, search.gain, search.trim))
            search.again = not last and not search.silent and search.correct(files, clipped)
            return not search.again

        write(search.gain - search.trim, search.trim + fader_db, keep)
        if not search.again:
            break
    search.gain, search.trim = result.gain_db, result.trim_db
    result.notes = search.remarks(result.files, what, where)
    return result


class _Search:
    """Finds gain and trim: first on the samples alone, then corrected by what the files are."""

    def __init__(self, level: Level, limiter: LastLimiter | None, quick: Quick, fader_db: float) -> None:
        self.level, self.limiter, self.fader_db, self._quick = level, limiter, fader_db, quick
        self.again, self.overs = False, 0
        self.gain = self.trim = 0.0
        if limiter is not None and level.true_peak_db is not None:
            self.trim = min(0.0, level.true_peak_db - AIM_DB - self.promise_db)
        self.first_trim = self.trim
        self.base = self.measure(0.0)
        self.silent = not math.isfinite(self.base.true_peak_db if level.lufs is None else self.base.integrated)
        if not self.silent:
            self.begin()

    @property
    def promise_db(self) -> float:
        """The peak that the last limiter promises."""
        return math.inf if self.limiter is None else self.limiter.ceiling_db + self.fader_db

    def measure(self, gain: float) -> Loudness:
        return self._quick(gain - self.trim, self.trim + self.fader_db)

    def over(self, files: Sequence[Loudness]) -> float:
        """By how many dB the highest peak is above what it is to stay below."""
        limit = min(math.inf if peak is None else peak for peak in (self.level.true_peak_db, self.level.peak_db))
        between = self.limiter is None or self.limiter.between_samples
        promise = self.promise_db + NEAR_DB
        return max(max(f.true_peak_db - limit, (f.true_peak_db if between else f.peak_db) - promise) for f in files)

    def room(self) -> float:
        """How far below the limit to aim after going over it: further each time, because coding makes other peaks then."""
        self.overs += 1
        return ROOM_DB * 2.0 ** (self.overs - 1)

    def begin(self) -> None:
        """The first gain, from the samples."""
        raise NotImplementedError

    def correct(self, files: Sequence[Loudness], clipped: int) -> bool:
        """Move gain and trim by what the files are; whether to write again."""
        raise NotImplementedError

    def missed(self, now: float, miss: float) -> str:
        """Why it is so many LU below the target."""
        raise NotImplementedError

    def remarks(self, files: Sequence[Loudness], what: str, where: str) -> list[str]:
        if self.silent:
            return [f"{what} is {SILENT}"] if self.level.wanted else []
        remarks = []
        miss = 0.0 if self.level.lufs is None else self.level.lufs - files[0].integrated
        if miss > FAR_LU:
            remarks.append(self.missed(files[0].integrated, miss).format(where=where))
        elif miss < -FAR_LU:
            remarks.append(f"it became {files[0].integrated:.1f} LUFS, {-miss:.1f} LU above the target")
        if self.trim < self.first_trim - ROOM_DB:
            less = self.first_trim - self.trim
            remarks.append(f"coding lifts peaks above the limiter's ceiling, so {less:.2f} dB were taken off after it")
        over = self.over(files)
        if over > NEAR_DB:
            peak = max(f.true_peak_db for f in files)
            remarks.append(f"the true peak of what was written is {peak:.2f} dBTP, {over:.2f} dB too high")
        return remarks


class _PlainGain(_Search):
    """One gain for the whole, as high as the peaks allow."""

    def begin(self) -> None:
        level, base = self.level, self.base
        self.held = False
        if level.lufs is not None:
            self.gain = level.lufs - base.integrated
        elif level.peak_db is not None:
            self.gain = level.peak_db - AIM_DB - base.true_peak_db
        self.would_peak = base.true_peak_db + self.gain
        if level.true_peak_db is not None and self.would_peak > level.true_peak_db:
            self.held, self.gain = True, level.true_peak_db - AIM_DB - base.true_peak_db

    def correct(self, files: Sequence[Loudness], clipped: int) -> bool:
        before, over = self.gain, self.over(files)
        if over > 0.0:
            self.held = True
            self.gain -= over + self.room()
            return True
        room = max(-over - ROOM_DB, 0.0)
        miss, near = -self.gain, UNUSED_DB  # a limit alone turns nothing up
        if self.level.lufs is not None:
            miss, near = self.level.lufs - files[0].integrated, NEAR_LU
        elif self.level.peak_db is not None:
            miss, near = room, UNUSED_DB
        step = min(miss, room)
        if abs(miss) > near and (step < 0.0 or (not clipped and (step > UNUSED_DB or not self.held))):
            self.gain += step
        return abs(self.gain - before) > 1e-3

    def missed(self, now: float, miss: float) -> str:
        what = f"{self.level.lufs:g} LUFS would take the true peak to {self.would_peak:+.1f} dBTP"
        held = f"held to {self.level.true_peak_db:g} dBTP" if self.held else "clipped at full scale"
        return f"{what}; {held} it is {now:.1f} LUFS, {miss:.1f} LU below the target: {ADVICE}"


class _IntoLimiter(_Search):
    """Gain before the last limiter, and a trim after it: 1 dB down there with 1 dB more before it is a ceiling 1 dB lower."""

    def begin(self) -> None:
        self.coding = 0.0  # LU by which the file is louder than the samples
        self.samples = self.base.integrated
        self.solve()

    def solve(self) -> None:
        """The gain with which the samples are as loud as they should be, by secants: more gain is never softer."""
        if self.level.lufs is None:
            return
        target, at, slope = self.level.lufs - self.coding, self.gain, 1.0
        now = self.measure(at).integrated if at or self.trim != self.first_trim else self.base.integrated
        tried = [(at, now)]
        self.flat = False
        for _ in range(TRIES):
            if abs(target - now) <= NEAR_LU / 5:
                break
            to = at + min(max((target - now) / slope, -30.0), STEP_DB if len(tried) > 1 else 30.0)
            to = min(max(to, -MOST_GAIN_DB), MOST_GAIN_DB)
            then = self.measure(to).integrated if to != at else now
            slope = min(max((then - now) / (to - at), 0.05), 1.5) if to != at and math.isfinite(then) else 1.0
            self.flat = target > then and to >= at and then - now <= FLAT * (to - at)
            at, now = to, then
            tried.append((at, now))
            if self.flat:
                break
        near = max(min(abs(target - y) for _, y in tried), NEAR_LU / 5)
        if self.flat:  # a limiter that is driven further only distorts more
            near += FLAT_LU
        self.gain, self.samples = min((x, y) for x, y in tried if abs(target - y) <= near)

    def correct(self, files: Sequence[Loudness], clipped: int) -> bool:
        over, before = self.over(files), (self.gain, self.trim)
        target, integrated = self.level.lufs, files[0].integrated
        if over > 0.0:
            self.trim -= over + self.room()
        elif -over > UNUSED_DB and self.trim < self.first_trim and (target is None or target - integrated > NEAR_LU):
            self.trim = min(self.first_trim, self.trim - over - ROOM_DB)
        if target is not None and (self.trim != before[1] or (abs(target - integrated) > NEAR_LU and not self.flat)):
            self.coding = integrated - self.samples
            self.solve()
        return max(abs(self.gain - before[0]), abs(self.trim - before[1])) > 1e-3

    def missed(self, now: float, miss: float) -> str:
        ceiling = self.promise_db + self.trim
        return (
            f"{self.level.lufs:g} LUFS is out of reach below {ceiling:.1f} dBTP: with {self.gain:+.1f} dB before the last "
            f"limiter it is {now:.1f} LUFS, {miss:.1f} LU below the target"
        )
