"""Rendering a session to arrays, and the range of frames that a rendering keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..audio import Audio
from ..rack.renderer import LONGEST_TAIL_S, SILENCE, TAIL_LIMIT_S, check_tail
from .clip import ClipReader
from .media import Media
from .mix import Mix
from .scheduler import Sink
from .session import Session
from .timeline import Time

QUIET_S = 0.5  # so long below silence, and the tail has ended


class RenderRange:
    """The frames of a mix that are kept: from one frame to another, or until what still sounds has died away.

    Args:
        first, last: frames; `last` is None where the tail is followed.
        sounds_until: frames in which silence does not end it.
        rate: Hz.
    """

    def __init__(self, first: int, last: int | None, sounds_until: int, rate: float) -> None:
        self.first, self.last = first, last
        self.sounds_until, self.rate = sounds_until, rate
        self.seen = 0  # frames that were taken
        self.loud_until = sounds_until  # the last frame that is known to be above silence
        self.limit = sounds_until + int(TAIL_LIMIT_S * rate)
        self._held: list[list[Audio]] = []

    @property
    def needed(self) -> int:
        """The last frame of the mix on which the result depends."""
        return self.last if self.last is not None else min(self.loud_until + int(QUIET_S * self.rate), self.seen)

    def take(self, blocks: list[Audio]) -> tuple[list[Audio] | None, bool]:
        """The blocks, the first of them the mix, cut to what is known to belong; and whether more can come."""
        a, b = self.seen, self.seen + blocks[0].shape[1]
        self.seen = b
        if self.last is not None:
            begin, end = max(a, self.first), min(b, self.last)
            cut = [y[:, begin - a : end - a] for y in blocks] if end > begin else None
            return cut, b < self.last
        self._held.append(blocks)
        over = False
        if b > self.sounds_until:
            loud = np.flatnonzero(np.max(np.abs(blocks[0]), axis=0) > SILENCE) + a
            marks = np.concatenate([[self.loud_until - 1], loud[loud >= self.sounds_until], [b]])
            pauses = np.flatnonzero(np.diff(marks) > QUIET_S * self.rate)
            over = pauses.size > 0
            self.loud_until = int(marks[pauses[0] if over else len(marks) - 2]) + 1
            if self.loud_until >= self.limit:
                self.loud_until, over = self.limit, True
        keep = self.loud_until if over or b > self.sounds_until else b
        return self._release(keep), not over

    def into(self, write: Callable[[list[Audio]], object]) -> Sink:
        """A sink that writes the frames of the range."""

        def sink(blocks: list[Audio]) -> bool:
            ready, more = self.take(blocks)
            if ready is not None:
                write(ready)
            return more

        return sink

    def state(self, arrays: dict[str, Any]) -> dict[str, int]:
        """The position in the mix; the blocks that it holds are added to `arrays`."""
        for i, parts in enumerate(zip(*self._held, strict=True)):
            arrays[f"held {i}"] = np.concatenate(parts, axis=1)
        return {"seen": self.seen, "loud_until": self.loud_until}

    def restore(self, meta: Mapping[str, int], arrays: Mapping[str, Any]) -> None:
        self.seen, self.loud_until = int(meta["seen"]), int(meta["loud_until"])
        held = [arrays[name] for name in sorted((n for n in arrays if n.startswith("held ")), key=lambda n: int(n[5:]))]
        self._held = [held] if held else []

    def _release(self, until: int) -> list[Audio] | None:
        joined = [np.concatenate([blocks[i] for blocks in self._held], axis=1) for i in range(len(self._held[0]))]
        a = self.seen - joined[0].shape[1]
        ready = [y[:, max(self.first - a, 0) : max(until - a, 0)] for y in joined]
        self._held = [[y[:, max(until - a, 0) :] for y in joined]]
        return ready if ready[0].shape[1] else None


def render_range(
    session: Session, mix: Mix, start: Time | None, end: Time | None, tail: str | float | None
) -> RenderRange:  # fmt: skip
    """The frames that `start`, `end` and `tail` ask for, as in `render`.

    Raises:
        ValueError: it begins after it ends, or an unknown tail.
    """
    timeline = session.timeline
    first = 0 if start is None else timeline.frames(start, "start")
    check_tail(tail)
    last: int | None
    if end is not None:
        last = timeline.frames(end, "end")
    elif tail is None:
        last = mix.end
    elif isinstance(tail, str):
        last = None
    else:
        if not 0 <= float(tail) <= LONGEST_TAIL_S:
            raise ValueError(f"tail = {tail:g} s is outside 0 to {LONGEST_TAIL_S:g}")
        last = mix.end + round(float(tail) * session.sample_rate)
    rate = session.sample_rate
    if not 0 <= first < mix.end:
        raise ValueError(f"nothing is left from {first / rate:.3f} s on; the session lasts from 0 to {mix.end / rate:.3f} s")
    if last is not None and last <= first:
        raise ValueError(f"the stretch ends at {last / rate:.3f} s, before it begins at {first / rate:.3f} s")
    return RenderRange(first, last, mix.end, session.sample_rate)


@contextmanager
def opened(session: Session, outputs: list[str] | None = None, **settings: Any) -> Iterator[Mix]:
    """A mix of the session, whose recordings are open meanwhile."""
    with Media(session.sample_rate) as media:
        yield Mix(session, media, outputs, **settings)


def _collect(session: Session, mix: Mix, wanted: RenderRange, threads: int | None, step: int | None) -> list[Audio]:
    parts: list[list[Audio]] = []
    mix.run(wanted.into(parts.append), threads=threads, step=step)
    for sentence in mix.faults():
        warnings.warn(sentence, RuntimeWarning, stacklevel=4)
    empty = np.zeros((session.width, 0), np.float32)
    return [np.concatenate([empty, *(p[i] for p in parts)], axis=1) for i in range(len(mix.outputs))]


def render(
    session: Session,
    *,
    start: Time | None = None,
    end: Time | None = None,
    tail: str | float | None = None,
    channel: str = "master",
    threads: int | None = None,
    step: int | None = None,
) -> Audio:
    """The mix, from silence.

    Args:
        start, end: of the stretch that is wanted; it is cut out of the whole mix, with what sounds on from before.
        tail: None ends with the last clip (or the session's end); "auto" when what still sounds has fallen below -140 dBFS, at
            most 120 s later; a number so many seconds later. `end` comes before it.
        channel: whose sound, after the fader.
        threads: how many; the result does not depend on it.
        step: frames at once; nor on this.

    Returns:
        (width, frames) float32.

    Raises:
        FileNotFoundError, ValueError: one sentence: a missing recording, a circle, an effect that does not fit.
    """
    with opened(session, [session.channel(channel).name]) as mix:
        return _collect(session, mix, render_range(session, mix, start, end, tail), threads, step)[0]


def stems(
    session: Session,
    *,
    start: Time | None = None,
    end: Time | None = None,
    tail: str | float | None = None,
    through_master: bool = True,
    threads: int | None = None,
    step: int | None = None,
) -> dict[str, Audio]:
    """The part of the mix that comes from each channel that goes to the master, by the channel's name.

    Args:
        start, end, tail, threads, step: as in `render`.
        through_master: each goes through a copy of the master's rack and fader, so that their sum is the mix where the master
            is linear (gain, equaliser, reverb; not a compressor or limiter).

    Returns:
        (width, frames) float32 each, all of the mix's length.
    """
    with opened(session, stems=True, dry_stems=not through_master) as mix:
        sounds = _collect(session, mix, render_range(session, mix, start, end, tail), threads, step)
        return dict(zip(mix.stem_names, sounds[1:], strict=True))


def sources(session: Session, frames: int | None = None) -> dict[str, Audio]:
    """The sound of each channel's clips alone, before polarity, delay and rack, (width, frames) by channel.

    Args:
        frames: how many; to the session's end without.

    Raises:
        FileNotFoundError, ValueError: as `render`.
    """
    with opened(session) as mix:
        count = mix.end if frames is None else frames
        sounds = {}
        for node in mix.routing:
            if node.channel.clips:
                x = np.zeros((session.width, count), np.float32)
                for clip in node.clips:
                    ClipReader(clip, mix.timeline, session.width, mix.media).add_to(x, 0)
                sounds[node.name] = x
        return {channel.name: sounds[channel.name] for channel in session if channel.name in sounds}
