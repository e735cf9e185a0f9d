"""Clips: a stretch of a recording at a place on the timeline, with gain, fades, loop and reverse."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import brief, is_integer, to_float
from ..files.audio_file import AudioFile
from ..system.disk import path_of
from .media import Media, Source
from .timeline import Time, Timeline

Fade = Literal["linear", "equal_power", "smooth", "exponential"]
FADES: tuple[str, ...] = get_args(Fade)
GAIN_DB = (-150.0, 60.0)


def _are_channels(channels: object) -> bool:
    return (
        isinstance(channels, tuple | list) and len(channels) > 0 and all(is_integer(n) and 0 <= n < 1 << 16 for n in channels)
    )


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch of a recording on a channel's timeline.

    Args:
        source: an audio file, or an array (channels, frames).
        start: where on the timeline it begins.
        offset: how far into the recording.
        duration: how long; without it, to the recording's end.
        gain_db: dB.
        fade_in, fade_out: how long.
        fade_in_curve, fade_out_curve: "linear"; "equal_power" (a quarter of a sine: two that cross keep the power of unrelated
            sounds), "smooth", or "exponential" (from -60 dB, a straight line in dB).
        loop: repeats until `duration` is over.
        loop_length: of what is repeated; without it, from `offset` to the end.
        reverse: plays the stretch (or the part that is repeated) backwards.
        channels: which channels of the recording, counted from 0; without it, all. One channel goes to all of the session's.
        mute: leaves it out.
        name: for people.
        sample_rate: Hz, of an array; without it, the session's.

    Times are seconds, or "4 beats", "48000 frames", "1:02.5", "250 ms".
    """

    source: str | os.PathLike[str] | npt.ArrayLike
    start: Time = 0.0
    offset: Time = 0.0
    duration: Time | None = None
    gain_db: float = 0.0
    fade_in: Time = 0.0
    fade_out: Time = 0.0
    fade_in_curve: Fade = "linear"
    fade_out_curve: Fade = "linear"
    loop: bool = False
    loop_length: Time | None = None
    reverse: bool = False
    channels: tuple[int, ...] | None = None
    mute: bool = False
    name: str = ""
    sample_rate: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, str | os.PathLike):
            object.__setattr__(self, "source", path_of(self.source))
        else:
            array = as_planar(self.source, f"the source of clip {brief(self.name)}")[0]
            if array.shape[1] == 0:
                raise ValueError(f"the source of clip {brief(self.name)} has no frames")
            object.__setattr__(self, "source", array)
        if self.sample_rate is not None:
            check_rate(self.sample_rate)
        gain = to_float(self.gain_db)
        if gain is None or not GAIN_DB[0] <= gain <= GAIN_DB[1]:
            raise ValueError(
                f"gain_db = {brief(self.gain_db)} of clip {brief(self.label)} is outside {GAIN_DB[0]:g} to {GAIN_DB[1]:g} dB"
            )
        object.__setattr__(self, "gain_db", gain)
        for curve in (self.fade_in_curve, self.fade_out_curve):
            if curve not in FADES:
                raise ValueError(f"fade curve {brief(curve)} of clip {brief(self.label)} is none of {', '.join(FADES)}")
        if self.channels is not None and not _are_channels(self.channels):
            raise ValueError(
                f"channels = {brief(self.channels)} of clip {brief(self.label)}; give numbers from 0 on, or leave them out"
            )

    @property
    def path(self) -> Path | None:
        """The file, or None for an array."""
        return self.source if isinstance(self.source, Path) else None

    @property
    def recording(self) -> Path | Audio:
        """The file, or the array (channels, frames) float32."""
        return self.source  # type: ignore[return-value]  # since __post_init__

    @property
    def label(self) -> str:
        return self.name or (self.path.name if self.path is not None else "array")

    def seconds(self) -> float:
        """How long it lasts, where its times are seconds.

        Raises:
            FileNotFoundError, ValueError: it has no duration, and its recording cannot be read.
        """
        if self.duration is not None:
            return float(self.duration)
        if self.path is not None:
            with AudioFile(self.path) as file:
                return file.frames / file.sample_rate - float(self.offset)
        if self.sample_rate is None:
            raise ValueError(f"clip {brief(self.label)} has no duration, so its end is not known; give it one")
        array: Any = self.source
        return float(array.shape[1] / self.sample_rate - float(self.offset))

    def with_(self, **changes: Any) -> Clip:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clip):
            return NotImplemented
        mine, theirs = dict(vars(self)), dict(vars(other))
        a, b = mine.pop("source"), theirs.pop("source")
        same = a == b if isinstance(a, Path) or isinstance(b, Path) else a is b or np.array_equal(a, b)
        return bool(same) and mine == theirs

    __hash__ = None  # type: ignore[assignment]


def check_times(clip: Clip, timeline: Timeline, channel: str) -> None:
    """Check the times of a clip without opening its recording.

    Raises:
        ValueError: names the channel, the clip and the field.
    """
    name = f"clip {brief(clip.label)} of channel {brief(channel)}"
    start = timeline.frames(clip.start, f"start of {name}")
    for what in ("offset", "duration", "fade_in", "fade_out", "loop_length"):
        time = getattr(clip, what)
        if time is not None and timeline.span(start, time, f"{what} of {name}") < 0:
            raise ValueError(f"{what} of {name} is {brief(time)}; it cannot be below 0")
    if clip.loop and clip.duration is None:
        raise ValueError(f"{name} is a loop without an end; give its duration")


def end_of(clip: Clip, timeline: Timeline, media: Media) -> int:
    """The frame of the timeline at which a clip ends."""
    start = timeline.frames(clip.start, f"start of clip {brief(clip.label)}")
    if clip.duration is not None:
        return start + timeline.span(start, clip.duration, f"duration of clip {brief(clip.label)}")
    return (
        start
        + media.length(clip.recording, clip.sample_rate)
        - timeline.span(start, clip.offset, f"offset of clip {brief(clip.label)}")
    )


class ClipReader:
    """Reads a clip: its sound on any stretch of the timeline, in frames.

    Args:
        until: a frame of the timeline at which it is cut off.

    Raises:
        FileNotFoundError, ValueError: a clip that does not fit its recording or the session; one sentence.
    """

    def __init__(self, clip: Clip, timeline: Timeline, channels: int, media: Media, until: int | None = None) -> None:
        self.clip, self._until = clip, until
        self.source: Source = media.open(clip.recording, clip.sample_rate)
        name = f"clip {brief(clip.label)}"
        self.start = timeline.frames(clip.start, f"start of {name}")

        def span(time: Time, what: str) -> int:
            frames = timeline.span(self.start, time, f"{what} of {name}")
            if frames < 0:
                raise ValueError(f"{what} of {name} is {brief(time)}; it cannot be below 0")
            return frames

        self.offset = span(clip.offset, "offset")
        available = self.source.frames - self.offset
        if available <= 0:
            seconds = self.source.frames / timeline.rate
            raise ValueError(f"offset of {name} is {brief(clip.offset)}, but the recording lasts only {seconds:.3f} s")
        self.region = available if clip.loop_length is None else span(clip.loop_length, "loop_length")
        if not 0 < self.region <= available:
            raise ValueError(f"loop_length of {name} is {brief(clip.loop_length)}, which is not within the recording")
        if clip.duration is None:
            if clip.loop:
                raise ValueError(f"{name} is a loop without an end; give its duration")
            self.frames = available
        else:
            self.frames = span(clip.duration, "duration")
            if not clip.loop and self.frames > available:
                raise ValueError(
                    f"duration of {name} is {brief(clip.duration)}, but from its offset on the recording lasts only "
                    f"{available / timeline.rate:.3f} s; shorten it, or let it loop"
                )
        if not clip.loop:
            self.region = self.frames
        self.fade_in, self.fade_out = span(clip.fade_in, "fade_in"), span(clip.fade_out, "fade_out")
        if self.fade_in + self.fade_out > self.frames:
            raise ValueError(f"the fades of {name} are longer than the clip; shorten them")
        picked = clip.channels if clip.channels is not None else tuple(range(self.source.channels))
        for c in picked:
            if c >= self.source.channels:
                raise ValueError(f"{name} asks for channel {c}, but its recording has {self.source.channels} (from 0 on)")
        if len(picked) not in (1, channels):
            raise ValueError(
                f"{name} has {len(picked)} channels, the session {channels}; choose with channels=, or use another session"
            )
        self.picked = None if picked == tuple(range(self.source.channels)) else list(picked)
        self.gain = np.float32(10.0 ** (clip.gain_db / 20.0))
        self.channels = channels

    @property
    def end(self) -> int:
        """The frame of the timeline at which it ends, or is cut off."""
        end = self.start + self.frames
        return end if self._until is None else max(min(end, self._until), self.start)

    def add_to(self, x: Audio, first: int) -> None:
        """Add its sound from frame `first` of the timeline on."""
        begin, end = max(first, self.start), min(first + x.shape[1], self.end)
        if begin >= end:
            return
        x[:, begin - first : end - first] += self._sound(begin - self.start, end - self.start)

    def piece(self, first: int, last: int) -> Audio:
        """Its sound from one frame of the timeline to another, both within it; (channels, frames), a copy."""
        y = self._sound(first - self.start, last - self.start) + np.float32(0.0)  # never -0, as where clips are added up
        wide = y if y.shape[0] == self.channels else np.repeat(y, self.channels, axis=0)
        return np.ascontiguousarray(wide, np.float32)

    def _sound(self, a: int, b: int) -> Audio:
        y = self._read(a, b)
        if self.gain != 1:
            y = y * self.gain
        fade = self._fade(a, b)
        if fade is not None:
            y = y * fade
        return y

    def _read(self, a: int, b: int) -> Audio:
        """Frames a to b of the clip, before gain and fades."""
        if self.clip.loop and (b - 1) // self.region > a // self.region:
            parts, at = [], a
            while at < b:
                end = min(b, (at // self.region + 1) * self.region)
                parts.append(self._within(at % self.region, at % self.region + end - at))
                at = end
            return np.concatenate(parts, axis=1)
        turns = a // self.region * self.region if self.clip.loop else 0
        return self._within(a - turns, b - turns)

    def _within(self, a: int, b: int) -> Audio:
        if self.clip.reverse:
            a, b = self.region - b, self.region - a
        y = self.source.read(self.offset + a, b - a)
        if self.picked is not None:
            y = y[self.picked]
        return y[:, ::-1] if self.clip.reverse else y

    def _fade(self, a: int, b: int) -> npt.NDArray[np.float32] | None:
        fades: npt.NDArray[np.float64] | None = None
        if a < self.fade_in:
            fades = np.ones(b - a)
            n = min(b, self.fade_in) - a
            fades[:n] = _shape(self.clip.fade_in_curve, (np.arange(a, a + n) + 0.5) / self.fade_in)
        out = self.frames - self.fade_out
        if b > out:
            fades = np.ones(b - a) if fades is None else fades
            at = max(a, out)
            fades[at - a :] *= _shape(self.clip.fade_out_curve, (self.frames - np.arange(at, b) - 0.5) / self.fade_out)
        return None if fades is None else fades.astype(np.float32)


def _shape(curve: str, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if curve == "equal_power":
        return np.sin(0.5 * np.pi * t)
    if curve == "smooth":
        return t * t * (3.0 - 2.0 * t)
    if curve == "exponential":
        return np.asarray(10.0 ** (-3.0 * (1.0 - t)))
    return t
