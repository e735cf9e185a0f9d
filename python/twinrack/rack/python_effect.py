"""A Python function of numpy blocks as an effect, for prototypes.

It runs on a thread of its own, for which the audio thread never waits. Its latency is stated; a block that comes too late is
heard dry and counted.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
import types
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from .. import _engine
from ..audio import Audio
from ..checks import check_integer
from .card import Card
from .effect import GroupItem, place_of
from .external_effect import ExternalEffect

log = logging.getLogger("twinrack.live")
Function = Callable[[Audio, float], Any]
WAIT_S = 0.0002

CARD = Card(
    id="python",
    class_name="PythonEffect",
    name="Python function",
    version="0.0.0",
    purpose="Runs a function of your own on blocks of samples, to try an idea.",
    rationale="Python cannot promise to be in time, so the audio thread never waits for it: blocks go to another thread, and "
    "their results are heard a stated time later. It has no twin and no patch; what proves itself becomes an effect.",
    assumptions=("The function is on average faster than the sound.",),
    references=(),
    channels="any",
    latency="none",
    sidechain=False,
    parameters=(),
    groups=(),
)


class PythonEffect(ExternalEffect):
    """A function of blocks as an effect.

    Args:
        function: called as function(x, sample_rate) with (channels, block_frames) float32, one block after the other; what it
            returns has the same shape. An object that is callable and holds state is copied for every stream.
        block_frames: 32 to 65536; what the function is given at once.
        blocks: 2 to 64; a result is due `blocks - 1` blocks after its block's last frame. `latency_frames` follows.
        name, bypass: as for every effect.

    A result that is late, of another shape, or with NaN or infinity, or an exception: the block is heard dry, with a fade of
    32 frames, and counted in `late`. Rendering offline waits for the function, so nothing is late there.
    """

    card: ClassVar[Card] = CARD
    _parameters: ClassVar[dict[str, Any]] = {}
    _group_classes: ClassVar[dict[str, type[GroupItem]]] = {}
    outside = "a Python function"

    def __init__(
        self, function: Function, *, block_frames: int = 256, blocks: int = 2, name: str | None = None, bypass: bool = False
    ) -> None:
        if not callable(function):
            raise TypeError(f"function is a {type(function).__name__}; give one that is called with (x, sample_rate)")
        block_frames = check_integer(block_frames, "block_frames", 32, 65536)
        blocks = check_integer(blocks, "blocks", 2, 64)
        super().__init__(name=name, bypass=bypass)
        self._function, self._block_frames, self._blocks = function, block_frames, blocks
        self._complaint = ""
        self._streams: list[_engine.WorkerEffect] = []

    @property
    def complaint(self) -> str:
        """The last error; empty where there was none."""
        return self._complaint

    @property
    def latency_frames(self) -> int:
        """The latency in frames."""
        return self._block_frames * self._blocks + 32

    @property
    def late(self) -> int:
        """Blocks of the present streams that were heard dry because the function was not in time, or failed."""
        self._streams = [s for s in self._streams if not s.detached]
        return sum(s.missed for s in self._streams)

    def copy(self) -> Self:
        return type(self)(
            self._function, block_frames=self._block_frames, blocks=self._blocks, name=self._name, bypass=self._bypass
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PythonEffect):
            return NotImplemented
        mine = (self._function, self._block_frames, self._blocks, self._name, self._bypass)
        return mine == (other._function, other._block_frames, other._blocks, other.name, other.bypass)

    __hash__ = object.__hash__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PythonEffect cannot be pickled: its function lives in this process only")

    def __repr__(self) -> str:
        called = getattr(self._function, "__name__", type(self._function).__name__)
        return f"PythonEffect({called}, block_frames={self._block_frames}, blocks={self._blocks})"

    def latency_at(self, sample_rate: float, offline: bool) -> int:
        return self.latency_frames

    def work(self, channels: int, sample_rate: float, offline: bool) -> FunctionWork:
        worker = _engine.WorkerEffect(channels, self._block_frames, self._blocks)
        self._streams.append(worker)
        stateless = isinstance(self._function, types.FunctionType | types.BuiltinFunctionType | types.MethodType)
        return FunctionWork(worker, self._function if stateless else copy.deepcopy(self._function), sample_rate, self)


class FunctionWork:
    """The function of one stream: `pump` calls it on a waiting block, `run` does so on a thread until the stream has ended."""

    def __init__(self, worker: _engine.WorkerEffect, function: Function, sample_rate: float, effect: PythonEffect) -> None:
        self.worker, self.block_frames = worker, effect._block_frames
        self._function, self._rate, self._effect = function, sample_rate, effect
        self._thread: threading.Thread | None = None

    def pump(self) -> bool:
        """Work on the block that waits; False where none does."""
        x = self.worker.fetch()
        if x is None:
            return False
        try:
            y = np.ascontiguousarray(self._function(x.copy(), self._rate), dtype=np.float32)
            if y.shape != x.shape:
                raise ValueError(f"it returned {y.shape}, not {x.shape}")
            if not np.isfinite(y).all():
                raise ValueError("it returned NaN or infinity")
        except Exception as error:
            self.worker.discard()
            if not self._effect._complaint:
                log.warning("the Python effect %s: %s", place_of(self._effect), error)
            self._effect._complaint = f"{type(error).__name__}: {error}"
            return True
        self.worker.deliver(y)
        return True

    def run(self) -> None:
        def work() -> None:
            while not self.worker.detached:
                if not self.pump():
                    time.sleep(WAIT_S)

        self._thread = threading.Thread(target=work, name=f"twinrack-{place_of(self._effect)}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the block that it works on."""
        self.worker.detach()
        if self._thread is not None:
            self._thread.join(1.0)
