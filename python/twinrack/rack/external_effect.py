"""Effects whose sound is made outside the engine: Python functions, and other makers' plugins.

The engine hands their blocks out and plays the results a stated time later. Rendering offline waits for them; a live stream
never does, and hears what is late dry.
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from .. import _engine
from ..audio import Audio
from .effect import Effect

WAITED_FRAMES = 4096  # of a block, where offline rendering may choose


class Work(Protocol):
    """The work of one effect in one stream.

    Attributes:
        worker: the engine's side.
        block_frames: that are worked on at once.
    """

    worker: _engine.WorkerEffect
    block_frames: int

    def pump(self) -> bool:
        """Work on what waits; False where nothing does."""
        ...

    def run(self) -> None:
        """Work by itself from now on, until the stream has ended or `stop` is called."""
        ...

    def stop(self) -> None:
        """End it, after the block that is worked on."""
        ...


class ExternalEffect(Effect):
    """An effect whose sound is made outside the engine. It has no twin.

    Attributes:
        outside: what it is, for messages: "a Python function".
    """

    outside: str
    _timeline: Sequence[tuple[float, float]] = ()
    _device_frames: int = 0
    _frames_before: int = 0
    _waiting_beside: int = 1

    @property
    def device_frames(self) -> int:
        """Frames of a callback of the audio device that plays it; 0 where there is none."""
        return self._device_frames

    @device_frames.setter
    def device_frames(self, frames: int) -> None:
        self._device_frames = frames

    @property
    def frames_before(self) -> int:
        """Frames of latency that lie before it in the rack that its next work is for."""
        return self._frames_before

    @frames_before.setter
    def frames_before(self, frames: int) -> None:
        self._frames_before = frames

    @property
    def waiting_beside(self) -> int:
        """How many effects of the rack that its next work is for, itself among them, the audio thread waits for."""
        return self._waiting_beside

    @waiting_beside.setter
    def waiting_beside(self, count: int) -> None:
        self._waiting_beside = count

    @property
    def is_waited_for(self) -> bool:
        """Whether the audio thread of a live stream waits for it."""
        return False

    @property
    def timeline(self) -> Sequence[tuple[float, float]]:
        """Frames and the beats that come at them, of the session that its next work is for; empty outside of one."""
        return self._timeline

    @timeline.setter
    def timeline(self, knots: Sequence[tuple[float, float]]) -> None:
        self._timeline = knots

    @property
    def hears_midi(self) -> bool:
        """Whether it hears MIDI."""
        return False

    def send_midi(self, message: Any) -> None:
        """Let it hear a MIDI message now, in every stream that plays it; nothing happens where it hears none."""

    def identity(self) -> str:
        """All that makes its sound besides its values, as text; another text every time where nobody can know."""
        return uuid.uuid4().hex

    def build(self) -> object:
        """All besides its values that its sound depends on, and that no glide can change; compared between racks."""
        return None

    def rebuild(self) -> None:
        """Let a running stream crossfade to the effect as it is now."""
        if self._rebuild_listener is not None:
            self._rebuild_listener()

    @abstractmethod
    def latency_at(self, sample_rate: float, offline: bool) -> int:
        """The latency in frames, in a live stream or offline."""

    @abstractmethod
    def work(self, channels: int, sample_rate: float, offline: bool) -> Work:
        """The work of a new stream."""


def has_external(effects: Iterable[Effect]) -> bool:
    """Whether the sound of one of them is made outside the engine."""
    return any(isinstance(effect, ExternalEffect) for effect in effects)


def in_step(engine: _engine.Engine, works: Sequence[Work], x: Audio, keys: list[Audio]) -> Audio:
    """The engine's next block, offline: in pieces that end where a block of an external effect is complete and worked on."""
    if not works:
        return engine.process(x, keys)
    y, start = np.empty_like(x), 0
    while start < x.shape[1]:
        end = start + min(work.worker.frames_left for work in works)
        piece = np.ascontiguousarray(x[:, start:end])
        y[:, start:end] = engine.process(piece, [np.ascontiguousarray(k[:, start:end]) for k in keys])
        for work in works:
            while work.pump():
                pass
        start = end
    return y
