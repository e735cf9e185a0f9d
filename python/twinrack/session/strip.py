"""One channel while it is rendered: its inputs, through rack and fader, step by step.

Delay compensation: a rack with latency is fed ahead of time. So a channel is computed ahead of the mix by the latency of the
racks after it, its `lead`, and all channels are in time with each other, to the sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio
from .buffer import Buffer
from .cache import StoredSound
from .clip import ClipReader
from .timeline_rack import TimelineRack

IDENTITY = (1.0, 0.0, 0.0, 1.0)


@dataclass
class RouteReader:
    """Reads the sound of a route: of a channel, as it is or through the fader of a send.

    Attributes:
        before_fader: where the source is tapped.
        send: the fader that it goes through; None where `matrix` says all.
        matrix: gains from left and right to left and right, of a send that does not move.
        at: frames of the source that were taken.
    """

    source: Strip
    before_fader: bool = False
    send: TimelineRack | None = None
    matrix: tuple[float, ...] = IDENTITY
    at: int = 0

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
    """A channel at work.

    Attributes:
        name, channels: of the session's channel, and how many audio channels it has.
        clips, inputs: what is added up; signs and delay: what that goes through.
        keys: what the rack's sidechain inputs listen to.
        rack: holds the fader too, unless `fader` is apart.
        tapped: something listens before the fader.
        lead: frames by which it is ahead of the mix.
        stored: the sound before the fader, where it need not be computed.
        record: is given the sound before the fader.
        faults: by recording, how many samples were NaN or infinity.
    """

    name: str
    channels: int
    clips: list[ClipReader] = field(default_factory=list)
    inputs: list[RouteReader] = field(default_factory=list)
    keys: list[RouteReader] = field(default_factory=list)
    signs: npt.NDArray[np.float32] | None = None
    delay: int = 0
    rack: TimelineRack | None = None
    fader: TimelineRack | None = None
    tapped: bool = False
    lead: int = 0
    stored: StoredSound | None = None
    record: Callable[[Audio], None] | None = None
    faults: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before, self.after = Buffer(self.channels), Buffer(self.channels)
        self.done = 0  # frames that came out
        # clips in order of their beginning, and those that sound now, in the channel's own order
        self._coming = deque(sorted(enumerate(self.clips), key=lambda c: c[1].start))
        self._sounding: list[tuple[int, ClipReader]] = []
        self._summed = 0  # frames of the input that were added up

    @property
    def latency(self) -> int:
        return 0 if self.rack is None else self.rack.latency

    def meters(self) -> list[tuple[str, Any]]:
        """The engine's meter of each effect of the rack, with its address."""
        return [] if self.rack is None else list(zip(self.rack.addresses, self.rack.engine.meters(), strict=True))

    def sources(self) -> list[tuple[RouteReader, int]]:
        """The routes that it reads from other strips, and by how many frames further than the mix."""
        ahead = self.lead + self.latency
        return [(route, ahead - self.delay) for route in self.inputs] + [(route, ahead) for route in self.keys]

    def advance(self, until: int) -> None:
        """Bring the output to frame `until` (of the mix) and the lead."""
        until += self.lead
        if until <= self.done:
            return
        if self.stored is not None:
            x = self.stored(self.done, until)
        else:
            x = self._input(self._summed, until + self.latency)
            if self.rack is not None:
                first = until + self.latency
                keys = [np.ascontiguousarray(route.take(first)) for route in self.keys]
                x = self.rack.run(np.ascontiguousarray(x), keys)
        if self.record is not None:
            self.record(x)
        if self.tapped:
            self.before.put(x)
        if self.fader is not None:
            x = self.fader.run(np.ascontiguousarray(x), [])
        self.after.put(x)
        self.done = until

    def _input(self, a: int, b: int) -> Audio:
        """The sum of clips and inputs at frames a to b."""
        self._summed = b
        only = self.inputs[0] if len(self.inputs) == 1 else None
        if only is not None and only.matrix == IDENTITY and not self.clips and self.signs is None and self.delay == 0:
            return only.take(b)
        first, last = a - self.delay, b - self.delay
        clips = self._clips_at(first, last)
        if len(self.clips) == 1 and not self.inputs and clips and clips[0].start <= first and last <= clips[0].end:
            x = clips[0].piece(first, last)
        else:
            x = np.zeros((self.channels, b - a), np.float32)
            for clip in clips:
                clip.add_to(x, first)
        if clips:
            self._silence_faults(x, clips)
        if self.inputs:
            sounds: list[Audio] = [x]
            matrices: list[tuple[float, ...]] = [IDENTITY]
            for route in self.inputs:
                y = route.take(max(b - self.delay, route.at))
                # fewer at first where it is delayed, more where it is to come earlier
                sounds.append(y[:, max(y.shape[1] - (b - a), 0) :])
                matrices.append(route.matrix)
            x = _engine.mix(
                sounds if self.clips else sounds[1:], matrices if self.clips else matrices[1:], self.channels, b - a
            )
        if self.signs is not None:
            x *= self.signs
        return x

    def _racks(self) -> dict[str, TimelineRack]:
        sends = {f"send {i}": route.send for i, route in enumerate(self.inputs)}
        return {name: r for name, r in {"rack": self.rack, "fader": self.fader, **sends}.items() if r is not None}

    def state(self, arrays: dict[str, Any], name: str) -> dict[str, Any]:
        """All that it needs to go on, as JSON; what is larger is added to `arrays`."""
        taken = [route.at for route in (*self.inputs, *self.keys)]
        meta: dict[str, Any] = {"done": self.done, "summed": self._summed, "taken": taken}
        for which, rack in self._racks().items():
            meta[which], arrays[f"{name} {which}"] = rack.state()
        for which, buffer in (("before", self.before), ("after", self.after)):
            first = buffer.parts[0][0] if buffer.parts else buffer.end
            meta[which] = [first, buffer.end]
            arrays[f"{name} {which}"] = buffer.get(first, buffer.end)
        return meta

    def restore(self, meta: dict[str, Any], arrays: Mapping[str, Any], name: str) -> None:
        """Go on from a state of the same channel."""
        self.done, self._summed = int(meta["done"]), int(meta["summed"])
        for route, at in zip((*self.inputs, *self.keys), meta["taken"], strict=True):
            route.at = int(at)
        for which, rack in self._racks().items():
            rack.restore(meta[which], arrays[f"{name} {which}"])
        for which, buffer in (("before", self.before), ("after", self.after)):
            buffer.end = int(meta[which][0])
            buffer.parts.clear()
            buffer.put(np.ascontiguousarray(arrays[f"{name} {which}"], np.float32))

    def _clips_at(self, first: int, last: int) -> list[ClipReader]:
        """The clips that sound from one frame of the timeline to another; asked for in order."""
        while self._coming and self._coming[0][1].start < last:
            self._sounding.append(self._coming.popleft())
        self._sounding = sorted((c for c in self._sounding if c[1].end > first), key=lambda c: c[0])
        return [clip for _, clip in self._sounding]

    def _silence_faults(self, x: Audio, clips: Sequence[ClipReader]) -> None:
        """NaN and infinity in recordings count as silence, and are noted."""
        if np.isfinite(np.add.reduce(x, axis=None)):
            return
        bad = ~np.isfinite(x)
        if bad.any():
            label = clips[0].clip.label
            self.faults[label] = self.faults.get(label, 0) + int(bad.sum())
        x[bad] = 0.0
