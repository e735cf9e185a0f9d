"""Rendering of a rack from silence, block by block: the common part of calls, files and traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..checks import brief, check_numbers, to_float
from ..system.interrupt import check
from ..system.memory import array_in_kept_memory
from .external_effect import in_step
from .running import RunningRack

SILENCE = 1e-7  # -140 dBFS: below this a tail has ended
TAIL_LIMIT_S = 120.0
LONGEST_TAIL_S = 3600.0


def check_tail(tail: object) -> None:
    """Refuse a tail that is not "auto", a number of seconds, or None.

    Raises:
        ValueError: True and False are refused too: they would be a second and none.
    """
    text = isinstance(tail, str)
    number = not text and not isinstance(tail, bool) and to_float(tail) is not None
    if tail is not None and not (text and tail == "auto") and not number:
        raise ValueError(f'tail = {brief(tail)}; give "auto", a number of seconds, or None')


class Renderer:
    """One rendering from silence: feeds blocks, drops the latency at the start, follows the tail at the end."""

    quiet_s = 0.5  # after this time below silence the tail has ended

    def __init__(self, running: RunningRack, sample_rate: float, channels: int) -> None:
        self.name = running.rack.name
        self.rate = sample_rate
        self.channels = channels
        self.addresses = running.structure  # another thread may give the rack another structure meanwhile
        self.engine, self._works = running.compile(sample_rate, channels, structure=self.addresses)
        self.latency = self.engine.latency
        self._skip = self.latency

    def automate(self, automation: Mapping[str, npt.ArrayLike]) -> None:
        """Curves by address, one value a tick; shorter ones hold their last value."""
        indices, rows = [], []
        for address, curve in automation.items():
            p, index = self.addresses.index(address, self.name)
            if p.kind != "continuous":
                raise ValueError(f"{address} is a {p.kind}, which has no curve; set it before")
            row = check_numbers(curve, f"the automation of {address}").reshape(-1)
            if row.size == 0:
                raise ValueError(f"the automation of {address} is empty")
            for value in (row.min(), row.max()):
                p.check(float(value), address.rpartition(".")[0])
            indices.append(index)
            rows.append(row)
        length = max(row.size for row in rows)
        padded = [np.pad(row, (0, length - row.size), mode="edge") for row in rows]
        self.engine.automate(indices, np.ascontiguousarray(padded, dtype=np.float32))

    def block(self, x: Audio, keys: list[Audio]) -> Audio:
        """The next block; at the start it is shorter by the latency."""
        check()
        y = in_step(self.engine, self._works, x, keys)
        if self._skip:
            dropped = min(self._skip, y.shape[1])
            self._skip -= dropped
            y = y[:, dropped:]
        return y

    def flush(self) -> Audio:
        """The frames that the latency still delays after the last block."""
        return self.block(*self._silence(self.latency))

    def _silence(self, frames: int) -> tuple[Audio, list[Audio]]:
        zeros = np.zeros((self.channels, frames), np.float32)
        return zeros, [zeros] * len(self.addresses.keys)

    def tail(self, tail: str | float | None) -> Iterator[Audio]:
        """Blocks of what still sounds after the input has ended."""
        check_tail(tail)
        if tail is None:
            return
        if isinstance(tail, str):
            yield from self._follow()
            return
        seconds = to_float(tail)
        if seconds is None:
            raise ValueError(f'tail = {brief(tail)}; give "auto", a number of seconds, or None')
        if not 0 <= seconds <= LONGEST_TAIL_S:
            raise ValueError(f"tail = {seconds:g} s is outside 0 to {LONGEST_TAIL_S:g}")
        frames = round(seconds * self.rate)
        while frames > 0:
            step = min(frames, 4096)
            yield self.block(*self._silence(step))
            frames -= step

    def _follow(self) -> Iterator[Audio]:
        quiet = 0
        held: list[Audio] = []
        for _ in range(int(TAIL_LIMIT_S * self.rate) // 4096 + 1):
            y = self.block(*self._silence(4096))
            loud = np.flatnonzero(np.max(np.abs(y), axis=0) > SILENCE)
            if loud.size:
                yield from held
                end = int(loud[-1]) + 1
                yield y[:, :end]
                held, quiet = [y[:, end:]], y.shape[1] - end
            else:
                held.append(y)
                quiet += y.shape[1]
                if quiet > self.quiet_s * self.rate:
                    return

    def whole(
        self,
        x: Audio,
        keys: list[Audio],
        tail: str | float | None,
        changes: Sequence[tuple[int, str, float]] = (),
    ) -> Audio:
        """All of it at once; `changes` are (frame, address, value)."""
        check_tail(tail)
        if not changes and not self._works:
            check()
            y = array_in_kept_memory(x.shape)
            self.engine.render(x, y, keys)
            self._skip = 0
            parts = [y, *self.tail(tail)]
            return y if len(parts) == 1 else np.concatenate(parts, axis=1)
        parts, start = [], 0
        for frame, address, value in [*sorted(changes), (x.shape[1], "", 0.0)]:
            end = min(max(frame, start), x.shape[1])
            if end > start or not changes:
                parts.append(
                    self.block(np.ascontiguousarray(x[:, start:end]), [np.ascontiguousarray(k[:, start:end]) for k in keys])
                )
            start = end
            if address:
                p, index = self.addresses.index(address, self.name)
                self.engine.set_parameter(index, p.to_engine(p.check(value, address.rpartition(".")[0])))
        parts.append(self.flush())
        parts += self.tail(tail)
        return parts[0] if len(parts) == 2 and not parts[1].size else np.concatenate(parts, axis=1)
