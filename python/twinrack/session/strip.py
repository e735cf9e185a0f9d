"""One channel while it is rendered: what comes in, through the rack and the fader, step by step.

Nothing is ever late: a rack that holds the sound back is fed ahead of time and what it gives at first is dropped. So a channel
must be computed further ahead than the mix, by what the racks after it hold back (`lead`), and all channels are in time with
each other, to the sample, whatever stands in them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio
from ..rack.compiling import own_latency
from ..rack.effect import Effect
from ..rack.python_effect import in_step
from ..rack.rack import Rack
from ..rack.tree import Chain as Serial
from ..rack.tree import Parallel
from .automation import Lane
from .channel import Channel, Send
from .clip import Placed

TICK_FRAMES: int = _engine.TICK_FRAMES
ONE = (1.0, 0.0, 0.0, 1.0)


class Buffer:
    """What a channel has given and others have not yet taken."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.parts: deque[tuple[int, Audio]] = deque()
        self.end = 0
        self._lock = threading.Lock()

    def put(self, x: Audio) -> None:
        with self._lock:
            if x.shape[1]:
                self.parts.append((self.end, x))
                self.end += x.shape[1]

    def get(self, a: int, b: int) -> Audio:
        """Frames a to b; before 0 there is silence. Not to be written to."""
        with self._lock:
            parts = [(first, x) for first, x in self.parts if first < b and first + x.shape[1] > a]
        if len(parts) == 1 and a >= 0:
            first, x = parts[0]
            return x[:, a - first : b - first]
        y = np.zeros((self.channels, b - a), np.float32)
        for first, x in parts:
            begin, end = max(a, first), min(b, first + x.shape[1])
            y[:, begin - a : end - a] = x[:, begin - first : end - first]
        return y

    def forget(self, until: int) -> None:
        with self._lock:
            while self.parts and self.parts[0][0] + self.parts[0][1].shape[1] <= until:
                self.parts.popleft()


Moving = tuple[int, Lane, int]  # the engine's number of a value, its points, and by how many frames the sound is late there


def late_at(rack: Rack, rate: float) -> dict[str, int]:
    """By how many frames the sound is late where each effect of a rack stands, by address."""
    names = {id(effect): address for address, effect in rack.addresses().items()}
    found: dict[str, int] = {}

    def walk(item: Effect | Serial | Parallel, late: int) -> int:
        if isinstance(item, Effect):
            found[names[id(item)]] = late
            return own_latency(item, rate)
        if isinstance(item, Parallel):
            return max(walk(branch, late) for branch in item.branches)
        total = 0
        for child in item.items:
            total += walk(child, late + total)
        return total

    walk(rack.root, 0)
    return found


class Chain:
    """A rack, or a fader, that runs along the timeline: in time, with its automation."""

    def __init__(self, rack: Rack, rate: float, channels: int, lanes: Sequence[Moving]) -> None:
        self.engine, self._works = rack.running.compile(rate, channels)
        self.latency: int = self.engine.latency
        self.fed = 0  # frames that went in
        self._skip = self.latency
        self._lanes = list(lanes)
        self._last: dict[int, float] = {}
        self.slots = [(address, len(effect.card.addresses)) for address, effect in rack.addresses().items()]

    def run(self, x: Audio, keys: list[Audio]) -> Audio:
        """The next frames; at first fewer come out, by the latency."""
        if self._lanes:
            self._automate(x.shape[1])
        y = in_step(self.engine, self._works, x, keys)
        self.fed += x.shape[1]
        if self._skip:
            dropped = min(self._skip, y.shape[1])
            self._skip -= dropped
            y = y[:, dropped:]
        return y

    def state(self) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
        """All that it needs to go on: in words, and the engine's own."""
        meta = {"fed": self.fed, "skip": self._skip, "last": [[i, v] for i, v in self._last.items()]}
        return meta, np.frombuffer(self.engine.save_state(), np.uint8)

    def restore(self, meta: dict[str, Any], state: npt.NDArray[np.uint8]) -> None:
        self.fed, self._skip = int(meta["fed"]), int(meta["skip"])
        self._last = {int(i): float(v) for i, v in meta["last"]}
        self.engine.load_state(state.tobytes())

    def _automate(self, frames: int) -> None:
        """Give the engine the curves of the ticks that begin in this step, where they move."""
        first = -(-self.fed // TICK_FRAMES)
        ticks = -(-(self.fed + frames) // TICK_FRAMES) - first
        rows, curves = [], []
        if ticks > 0:
            for index, lane, late in self._lanes:
                curve = lane.curve(first - late / TICK_FRAMES, ticks)
                steady = bool((curve == curve[0]).all())
                if not steady or self._last.get(index) != float(curve[0]):
                    rows.append(index)
                    curves.append(curve)
                self._last[index] = float(curve[-1])
        stacked = np.stack(curves) if curves else np.zeros((0, 0), np.float32)
        self.engine.automate(rows, stacked, first)


@dataclass
class Way:
    """How one channel's sound comes to another: straight, or through the fader of a send."""

    source: Strip
    before_fader: bool = False
    send: Chain | None = None
    matrix: tuple[float, ...] = ONE  # of a send that stands still
    at: int = 0  # frames of the source that were taken

    @property
    def buffer(self) -> Buffer:
        return self.source.before if self.before_fader else self.source.after

    def take(self, until: int) -> Audio:
        """The next frames of the source, up to frame `until`."""
        x = self.buffer.get(self.at, until)
        self.at = until
        return x if self.send is None else self.send.run(np.ascontiguousarray(x), [])


@dataclass(eq=False)
class Strip:
    """A channel at work. `goal` frames are wanted from it at each step; see the top of the file."""

    name: str
    channels: int
    clips: list[Placed] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    keys: list[Way] = field(default_factory=list)
    signs: npt.NDArray[np.float32] | None = None
    delay: int = 0
    rack: Chain | None = None  # where somebody listens before the fader; else the fader is in it too
    fader: Chain | None = None
    splits: bool = False  # somebody listens before the fader
    lead: int = 0
    replay: Callable[[int, int], Audio] | None = None  # what stands for all before the fader
    record: Callable[[Audio], None] | None = None  # is given what comes out before the fader
    notes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before, self.after = Buffer(self.channels), Buffer(self.channels)
        self.done = 0  # frames that came out
        # clips in order of their beginning, and those that sound now, in the channel's own order
        self._coming = deque(sorted(enumerate(self.clips), key=lambda c: c[1].start))
        self._sounding: list[tuple[int, Placed]] = []
        self._heard = 0  # frames of the input that were made

    @property
    def latency(self) -> int:
        return 0 if self.rack is None else self.rack.latency

    def sources(self) -> list[tuple[Way, int]]:
        """What it hears, and by how much further than itself."""
        ahead = self.lead + self.latency
        return [(way, ahead - self.delay) for way in self.ways] + [(way, ahead) for way in self.keys]

    def advance(self, until: int) -> None:
        """Bring the output to frame `until` (of the mix) and the lead."""
        until += self.lead
        if until <= self.done:
            return
        if self.replay is not None:
            x = self.replay(self.done, until)
        else:
            x = self._input(self._heard, until + self.latency)
            if self.rack is not None:
                first = until + self.latency
                keys = [np.ascontiguousarray(way.take(first)) for way in self.keys]
                x = self.rack.run(np.ascontiguousarray(x), keys)
        if self.record is not None:
            self.record(x)
        if self.splits:
            self.before.put(x)
        if self.fader is not None:
            x = self.fader.run(np.ascontiguousarray(x), [])
        self.after.put(x)
        self.done = until

    def _input(self, a: int, b: int) -> Audio:
        """What comes in at frames a to b."""
        self._heard = b
        one = self.ways[0] if len(self.ways) == 1 else None
        if one is not None and one.matrix == ONE and not self.clips and self.signs is None and self.delay == 0:
            return one.take(b)
        first, last = a - self.delay, b - self.delay
        clips = self._clips_at(first, last)
        if len(self.clips) == 1 and not self.ways and clips and clips[0].start <= first and last <= clips[0].end:
            x = clips[0].piece(first, last)
        else:
            x = np.zeros((self.channels, b - a), np.float32)
            for clip in clips:
                clip.add_to(x, first)
        if clips:
            self._only_finite(x, clips)
        if self.ways:
            sounds: list[Audio] = [x]
            matrices: list[tuple[float, ...]] = [ONE]
            for way in self.ways:
                y = way.take(max(b - self.delay, way.at))
                # fewer at first where it is delayed, more where it is to come earlier
                sounds.append(y[:, max(y.shape[1] - (b - a), 0) :])
                matrices.append(way.matrix)
            x = _engine.mix(
                sounds if self.clips else sounds[1:], matrices if self.clips else matrices[1:], self.channels, b - a
            )
        if self.signs is not None:
            x *= self.signs
        return x

    def _chains(self) -> dict[str, Chain]:
        sends = {f"way {i}": way.send for i, way in enumerate(self.ways)}
        return {name: c for name, c in {"rack": self.rack, "fader": self.fader, **sends}.items() if c is not None}

    def state(self, arrays: dict[str, Any], name: str) -> dict[str, Any]:
        """All that it needs to go on, in words; what is larger is added to `arrays`."""
        meta: dict[str, Any] = {"done": self.done, "heard": self._heard, "at": [way.at for way in (*self.ways, *self.keys)]}
        for which, chain in self._chains().items():
            meta[which], arrays[f"{name} {which}"] = chain.state()
        for which, buffer in (("before", self.before), ("after", self.after)):
            first = buffer.parts[0][0] if buffer.parts else buffer.end
            meta[which] = [first, buffer.end]
            arrays[f"{name} {which}"] = buffer.get(first, buffer.end)
        return meta

    def restore(self, meta: dict[str, Any], arrays: Mapping[str, Any], name: str) -> None:
        self.done, self._heard = int(meta["done"]), int(meta["heard"])
        for way, at in zip((*self.ways, *self.keys), meta["at"], strict=True):
            way.at = int(at)
        for which, chain in self._chains().items():
            chain.restore(meta[which], arrays[f"{name} {which}"])
        for which, buffer in (("before", self.before), ("after", self.after)):
            buffer.end = int(meta[which][0])
            buffer.parts.clear()
            buffer.put(np.ascontiguousarray(arrays[f"{name} {which}"], np.float32))

    def _clips_at(self, first: int, last: int) -> list[Placed]:
        """The clips that sound from one frame of the timeline to another; asked for in order."""
        while self._coming and self._coming[0][1].start < last:
            self._sounding.append(self._coming.popleft())
        self._sounding = sorted((c for c in self._sounding if c[1].end > first), key=lambda c: c[0])
        return [clip for _, clip in self._sounding]

    def _only_finite(self, x: Audio, clips: Sequence[Placed]) -> None:
        """Other numbers in recordings count as silence, and are noted."""
        if np.isfinite(np.add.reduce(x, axis=None)):
            return
        bad = ~np.isfinite(x)
        if bad.any():
            label = clips[0].clip.label
            self.notes[label] = self.notes.get(label, 0) + int(bad.sum())
        x[bad] = 0.0


def fader_rack(channel: Channel | Send) -> Rack:
    """A rack that holds a copy of a fader alone."""
    return Rack([channel.fader.copy()])


def signs_of(channel: Channel, channels: int) -> npt.NDArray[np.float32] | None:
    """Factors by audio channel, (channels, 1), for the polarity."""
    if channel.polarity == "normal":
        return None
    left, right = channel.polarity != "invert_right", channel.polarity != "invert_left"
    signs: Any = [-1.0 if (left if c % 2 == 0 else right) else 1.0 for c in range(channels)]
    return np.array(signs, np.float32)[:, None]
