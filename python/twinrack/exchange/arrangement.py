"""Clips of a DAWproject, nested as they may be, as flat clips of a session.

A clip shows a window of a timeline, which may hold clips again, warped or looped. What a loop plays is written out turn by
turn, unless it is a plain recording, which our clips repeat themselves.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from ..files.audio_file import AudioFile
from ..session.channel import Channel
from ..session.clip import GAIN_DB, Clip
from .scope import Scope, label, number, optional, switch, unit
from .text import Notes, decibels, plain

MOST_CLIPS = 100_000
DEEPEST = 16  # clips within clips, references followed
SAME = 1e-6  # seconds
WARP_SAME = 1e-3  # of its length, by which a warped recording may differ from itself
TIMELINES = ("Timeline", "Lanes", "Notes", "Clips", "ClipSlot", "markers", "Warps", "Audio", "Video", "Points")


@dataclass(frozen=True)
class Window:
    """The part of the session in which a clip plays, with its fades; all in seconds."""

    begin: float
    end: float
    fade_in: float = 0.0
    fade_out: float = 0.0


@dataclass(frozen=True)
class Around:
    """All windows around a recording, the outermost first, and what else they say."""

    windows: tuple[Window, ...] = ()
    gain_db: float = 0.0
    mute: bool = False
    name: str = ""
    loop: tuple[float, float] | None = None  # content seconds that are repeated


class Arranger:
    """Reads timelines into the channels of a session.

    Args:
        ids: elements by id, for clips that show a timeline elsewhere.
        take: gives the file of a path in the archive.
        width: audio channels of the session.
        notes: grows by what is not carried.
    """

    def __init__(self, ids: dict[str, ET.Element], take: Callable[[str], Path], width: int, notes: Notes) -> None:
        self.ids, self.take, self.width, self.notes = ids, take, width, notes
        self._count = 0
        self._gains: dict[int, float] = {}

    def _one_more(self, weight: int = 1) -> None:
        self._count += weight
        if self._count > MOST_CLIPS:
            raise ValueError(f"its clips and their repetitions are more than {MOST_CLIPS}, which no arrangement has")

    # Clips

    def clip(self, e: ET.Element, scope: Scope, channel: Channel, around: Around = Around(), depth: int = 0) -> None:
        """Add what a Clip gives to a channel; `around` is what the clips that it lies in say."""
        if depth > DEEPEST:
            raise ValueError(f"{label(e)} lies in more than {DEEPEST} others, or in itself; take the circle out")
        self._one_more()
        content = self._content(e)
        if content is None:
            self.notes.add(f"{label(e)} of {channel.name} holds nothing and is left out")
            return
        begin = scope.at(number(e, "time"))
        duration, stop = optional(e, "duration", 0.0), optional(e, "playStop")
        start = number(e, "playStart", 0.0)
        kind = unit(e, "contentTimeUnit", scope.unit)
        if duration is not None:
            end = scope.at(scope.of(begin) + duration)
        else:
            inside = scope.inside(kind, begin, start)
            end = inside.at(max(stop, start)) if stop is not None else float("inf")
        fades = unit(e, "fadeTimeUnit", scope.unit)
        fade_in, fade_out = (self._span(scope, fades, begin, number(e, n, 0.0)) for n in ("fadeInTime", "fadeOutTime"))
        if fade_in < 0:  # it begins earlier, and the one before is still heard
            earlier = max(begin + fade_in, 0.0)
            inside = scope.inside(kind, begin, start)
            start, begin, fade_in = inside.of(earlier), earlier, begin - earlier
        window = Window(begin, end, fade_in, max(fade_out, 0.0))
        around = replace(
            around, windows=(*around.windows, window), mute=around.mute or not switch(e, "enable", True),
            name=around.name or plain(e.get("name", "")), loop=None,
        )  # fmt: skip
        low = max([w.begin for w in around.windows])
        high = min([w.end for w in around.windows])
        for a, b, at, loop in self._turns(e, scope.inside(kind, begin, start), begin, end, low, high, content):
            if b > a:
                self._show(content, scope.inside(kind, a, at), a, b, channel, replace(around, loop=loop), depth)

    def _span(self, scope: Scope, kind: str, at: float, length: float) -> float:
        if kind == "seconds":
            return length
        beat = scope.timeline.beat_of(at)
        return scope.timeline.seconds_of(beat + length) - at

    def _content(self, e: ET.Element) -> ET.Element | None:
        reference = e.get("reference")
        if reference is not None:
            if reference not in self.ids:
                raise ValueError(f"{label(e)} shows {reference[:60]!r}, which is not in the project")
            return self.ids[reference]
        return next((child for child in e if child.tag in TIMELINES), None)

    def _turns(
        self, e: ET.Element, inside: Scope, begin: float, end: float, low: float, high: float, content: ET.Element
    ) -> Iterator[tuple[float, float, float, tuple[float, float] | None]]:
        """The turns of a clip from `low` to `high` seconds: (from, to, place in the content, what the recording repeats)."""
        first, last = optional(e, "loopStart"), optional(e, "loopEnd")
        if last is None:
            yield low, min(end, high), inside.of(low), None
            return
        first = 0.0 if first is None else first
        if not last > first:
            raise ValueError(f"loopEnd of {label(e)} is {last:g}, which is not after its loopStart {first:g}")
        stop = min(end, high)
        if stop == float("inf"):
            raise ValueError(f"{label(e)} is a loop without a duration; say how long it plays")
        repeats = inside.unit == "seconds" and _plain(content)
        at, place = begin, inside.of(begin)
        while at < stop - SAME:
            self._one_more()
            turn = inside.inside(inside.unit, at, place)
            until = turn.at(last) if place < last - SAME else float("inf")
            if repeats and abs(place - first) < SAME and until < stop - SAME and at >= low:
                yield at, stop, first, (first, last)
                return
            a, b = max(at, low), min(until, stop)
            if b > a:
                yield a, b, turn.of(a), None
            at, place = until, first

    def _show(
        self, e: ET.Element, inside: Scope, begin: float, end: float, channel: Channel, around: Around, depth: int
    ) -> None:
        """Add what a timeline gives between two times."""
        inside = inside.as_unit(unit(e, "timeUnit", inside.unit)) if e.tag not in ("Warps", "Audio") else inside
        if e.tag == "Clips":
            cut = replace(around, windows=(*around.windows, Window(begin, end)))
            for child in e.findall("Clip"):
                self.clip(child, inside, channel, cut, depth + 1)
        elif e.tag == "Lanes":
            gain = around.gain_db + self._gain(e, channel)
            if depth > DEEPEST:
                raise ValueError(f"{label(e)} lies in more than {DEEPEST} others; flatten it")
            for child in e:
                if child.tag in TIMELINES and child.tag != "Points":
                    self._show(child, inside, begin, end, channel, replace(around, gain_db=gain), depth + 1)
        elif e.tag == "Audio":
            self._audio(e, inside, begin, end, channel, around, None)
        elif e.tag == "Warps":
            self._warped(e, inside, begin, end, channel, around)
        else:
            self.other(e, channel)

    def other(self, e: ET.Element, channel: Channel) -> None:
        """Say that a timeline is not carried."""
        what = {"Notes": "notes", "Video": "video", "ClipSlot": "launcher clips", "markers": "markers", "Points": "automation"}
        if e.tag == "Points":
            self.notes.add(
                f"automation within clips of {channel.name} is left out; only that of a clip's gain that stays is read"
            )
        else:
            self.notes.add(f"the {what.get(e.tag, e.tag)} of {channel.name} are left out, for a session plays recordings only")

    def _gain(self, e: ET.Element, channel: Channel) -> float:
        """The gain in dB that points within a clip say; found once, for a loop comes here at each turn."""
        if id(e) not in self._gains:
            self._gains[id(e)] = sum(self._gain_of(points, channel) for points in e.findall("Points"))
        return self._gains[id(e)]

    def _gain_of(self, e: ET.Element, channel: Channel) -> float:
        target = e.find("Target")
        points = e.findall("RealPoint")
        if target is None or target.get("expression") != "gain" or not points:
            self.other(e, channel)
            return 0.0
        values = [number(p, "value") for p in points]
        if any(v != values[0] for v in values):
            self.notes.add(f"the moving gain of a clip of {channel.name} is left out; the clip has the first value throughout")
        kind = e.get("unit")
        db = values[0] if kind == "decibel" else decibels(values[0] / 100 if kind == "percent" else values[0])
        return min(max(db, GAIN_DB[0]), GAIN_DB[1])

    # Recordings

    def _warped(self, e: ET.Element, inside: Scope, begin: float, end: float, channel: Channel, around: Around) -> None:
        """A recording whose time is warped: read at its own speed, from where the warp has it."""
        audio = e.find("Audio")
        if audio is None:
            self.notes.add(f"a warped timeline of {channel.name} holds no recording and is left out")
            return
        inside = inside.as_unit(unit(e, "timeUnit", inside.unit))
        pairs = sorted((number(w, "time"), number(w, "contentTime")) for w in e.findall("Warp"))
        self._one_more(len(pairs) // 100)
        if not pairs:
            raise ValueError(f"{label(e)} of {channel.name} has no Warp; give at least one")
        if unit(e, "contentTimeUnit", "seconds") != "seconds":
            self.notes.add(f"a recording of {channel.name} counts in beats; it is read from its beginning, at its own speed")
            self._audio(audio, inside, begin, end, channel, around, lambda t: inside.at(t) - inside.at(0.0))
            return
        for (a, x), (b, y) in pairwise(pairs):
            seconds = inside.at(b) - inside.at(a)
            if abs(seconds - (y - x)) > WARP_SAME * max(seconds, 1.0):
                self.notes.add(
                    f"clip {around.name or label(e)!r} of {channel.name} is warped; it is read at the recording's own speed"
                )
                break
        self._audio(audio, inside, begin, end, channel, around, partial(_unwarp, pairs, inside))

    def _audio(
        self,
        e: ET.Element,
        inside: Scope,
        begin: float,
        end: float,
        channel: Channel,
        around: Around,
        unwarp: Callable[[float], float] | None,
    ) -> None:
        """Add a clip for a recording between two times; `unwarp` says which second of it a place in the content is."""
        self._one_more()
        number(e, "duration", least=0.0)
        file = e.find("File")
        if file is None:
            raise ValueError(f"{label(e)} of {channel.name} names no File")
        name = file.get("path", "")
        if switch(file, "external", False):
            self.notes.add(f"clips of {channel.name} that play {name[:80]!r} are left out, for it lies outside of the archive")
            return
        path = self.take(name)
        with AudioFile(path) as recording:
            length, width = recording.frames / recording.sample_rate, recording.channels
        frame = 1.0 / inside.timeline.rate
        if unwarp is not None:
            offset = unwarp(inside.of(begin))
        else:
            offset = inside.of(begin) if inside.unit == "seconds" else begin - inside.at(0.0)
        if offset < 0:
            begin, offset = begin - offset, 0.0
        if around.loop is not None:
            self._looped(path, length, frame, begin, end, channel, around, width)
            return
        ends = begin + length - offset
        if length - offset < 0.5 * frame or end - begin < 0.5 * frame:
            return
        whole = end >= ends - 0.5 * frame
        end = min(end, ends)
        fade_in, fade_out = self._fades(begin, end, around, channel, frame)
        self._add(
            channel, around, path, width, start=round(begin, 9), offset=round(offset, 9),
            duration=None if whole else round(end - begin, 9), fade_in=fade_in, fade_out=fade_out,
        )  # fmt: skip

    def _looped(
        self,
        path: Path,
        length: float,
        frame: float,
        begin: float,
        end: float,
        channel: Channel,
        around: Around,
        channels: int,
    ) -> None:
        """Add a clip that repeats a part of a recording; where the part is longer than that, one for each turn."""
        assert around.loop is not None
        first, last = around.loop
        fade_in, fade_out = self._fades(begin, end, around, channel, frame)
        if last <= length + 0.5 * frame and first >= 0:
            whole = last >= length - 0.5 * frame
            self._add(
                channel, around, path, channels, start=round(begin, 9), offset=round(first, 9), duration=round(end - begin, 9),
                loop=True, loop_length=None if whole else round(last - first, 9), fade_in=fade_in, fade_out=fade_out,
            )  # fmt: skip
            return
        at, n = begin, 0
        while at < end - SAME:
            self._one_more()
            a, b = max(first, 0.0), min(last, length, first + end - at)
            if b - a > 0.5 * frame:
                start = at + a - first
                ins, outs = self._fades(start, start + b - a, around, channel, frame)
                self._add(
                    channel, around, path, channels, start=round(start, 9), offset=round(a, 9), duration=round(b - a, 9),
                    fade_in=ins, fade_out=outs,
                )  # fmt: skip
            n += 1
            at = begin + n * (last - first)

    def _fades(self, begin: float, end: float, around: Around, channel: Channel, frame: float) -> tuple[float, float]:
        """The fades of what is heard between two times, within all windows."""
        fade_in = fade_out = 0.0
        for w in around.windows:
            if abs(begin - w.begin) <= max(SAME, frame):
                fade_in = max(fade_in, w.fade_in)
            elif begin < w.begin + w.fade_in:
                self.notes.add(f"a fade in of a clip of {channel.name} is left out where the recording begins within it")
            if abs(end - w.end) <= max(SAME, frame):
                fade_out = max(fade_out, w.fade_out)
            elif end > w.end - w.fade_out:
                self.notes.add(f"a fade out of a clip of {channel.name} is left out where the recording ends within it")
        length = end - begin
        if round(fade_in / frame) + round(fade_out / frame) > round(length / frame):
            self.notes.add(f"the fades of a clip of {channel.name} are longer than it, and shortened")
            share = max(length - 3 * frame, 0.0) / (fade_in + fade_out)
            fade_in, fade_out = fade_in * share, fade_out * share
        return round(fade_in, 9), round(fade_out, 9)

    def _add(self, channel: Channel, around: Around, path: Path, channels: int, **times: object) -> None:
        picked: tuple[int, ...] | None = None
        if channels not in (1, self.width):
            picked = tuple(range(self.width)) if channels > self.width else (0,)
            few = f"the first {len(picked)}" if len(picked) > 1 else "the first"
            self.notes.add(
                f"{path.name} has {channels} audio channels, the session {self.width}; clips of {channel.name} play {few}"
            )
        gain = min(max(around.gain_db, GAIN_DB[0]), GAIN_DB[1])
        name = around.name
        channel.clips.append(Clip(path, gain_db=gain, mute=around.mute, name=name, channels=picked, **times))  # type: ignore[arg-type]


def _plain(e: ET.Element) -> bool:
    """Whether a timeline is one recording as it is, perhaps with a gain."""
    if e.tag == "Lanes":
        shown = [child for child in e if child.tag in TIMELINES and child.tag != "Points"]
        return len(shown) == 1 and shown[0].tag == "Audio"
    return e.tag == "Audio"


def _unwarp(pairs: list[tuple[float, float]], inside: Scope, time: float) -> float:
    """The second of a recording at a place in warped time; outside of the warps it goes on at its own speed."""
    if time <= pairs[0][0]:
        return pairs[0][1] - (inside.at(pairs[0][0]) - inside.at(time))
    for (a, x), (b, y) in pairwise(pairs):
        if a <= time <= b and b > a:
            return x + (y - x) * (time - a) / (b - a)
    return pairs[-1][1] + inside.at(time) - inside.at(pairs[-1][0])
