"""Threads that bring the strips of a mix forward, each as soon as what it hears is there, and give what comes of it."""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..audio import Audio
from .strip import Way

if TYPE_CHECKING:
    from .mix import Mix

AHEAD = 2  # steps by which a strip may be ahead of who hears it

Give = Callable[[list[Audio]], bool]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Threads that bring strips forward as soon as what they hear is there."""

    def __init__(self, mix: Mix, give: Give) -> None:
        self.mix, self.give, self.step = mix, give, mix.step
        self.strips = mix.all
        self.number = {id(s): i for i, s in enumerate(self.strips)}
        self.steps = [max(s.done - s.lead, 0) // self.step for s in self.strips]  # that each has made
        self.hears = [sorted({self.number[id(way.source)] for way, _ in s.sources()}) for s in self.strips]
        self.heard_by: list[list[int]] = [[] for _ in self.strips]
        for i, sources in enumerate(self.hears):
            for source in sources:
                self.heard_by[source].append(i)
        # what each gives, and who takes it
        self.listeners = [[(s.after, list[Way]()), (s.before, list[Way]())] for s in self.strips]
        for s in self.strips:
            for way, _ in s.sources():
                self.listeners[self.number[id(way.source)]][way.before_fader][1].append(way)
        self.sinks = {self.number[id(s)] for s in mix.outputs}
        self.ready: list[tuple[int, int]] = []
        self.queued = [False] * len(self.strips)
        self.error: BaseException | None = None
        self.over = self.giving = False
        self.changed = threading.Condition()

    def work(self, threads: int) -> None:
        with self.changed:
            for i in range(len(self.strips)):
                self._look(i)
        crew = [threading.Thread(target=self._run, name=f"mix {i}", daemon=True) for i in range(1, threads)]
        for thread in crew:
            thread.start()
        try:
            self._run()
        except BaseException as error:
            with self.changed:
                self.error = self.error or error
                self.over = True
                self.changed.notify_all()
        for thread in crew:
            thread.join()
        if self.error is not None:
            raise self.error

    def _look(self, i: int) -> None:
        """Queue a strip if it can be brought forward. With the lock held."""
        if self.queued[i]:
            return
        k = self.steps[i]
        if any(self.steps[s] <= k for s in self.hears[i]):
            return
        if any(self.steps[c] + AHEAD <= k for c in self.heard_by[i]):
            return
        if i in self.sinks and self.mix.given // self.step + AHEAD <= k:
            return
        self.queued[i] = True
        heapq.heappush(self.ready, (k, i))
        self.changed.notify()

    def _run(self) -> None:
        while True:
            with self.changed:
                while not self.over and not self.ready and not self._may_give():
                    self.changed.wait()
                if self.over:
                    return
                if self._may_give():
                    self.giving = True
                    task = None
                else:
                    task = heapq.heappop(self.ready)
            try:
                if task is None:
                    self._give()
                else:
                    self._advance(*task)
            except BaseException as error:
                with self.changed:
                    self.error = self.error or error
                    self.over = True
                    self.changed.notify_all()
                return

    def _may_give(self) -> bool:
        if self.giving:
            return False
        k = self.mix.given // self.step
        return all(self.steps[i] > k for i in self.sinks)

    def _give(self) -> None:
        a, b = self.mix.given, self.mix.given + self.step
        more = self.give([s.after.get(a, b) for s in self.mix.outputs])
        with self.changed:
            self.mix.given, self.giving = b, False
            self.over = self.over or not more
            for i in self.sinks:
                self._forget(i)
                self._look(i)
            self.changed.notify_all()

    def _advance(self, k: int, i: int) -> None:
        self.strips[i].advance((k + 1) * self.step)
        with self.changed:
            self.steps[i] = k + 1
            self.queued[i] = False
            self._look(i)
            for source in self.hears[i]:
                self._forget(source)
                self._look(source)
            for c in self.heard_by[i]:
                self._look(c)
            if i in self.sinks and self._may_give():
                self.changed.notify()

    def _forget(self, i: int) -> None:
        """Let go of what everyone who hears a strip has taken."""
        strip = self.strips[i]
        for buffer, ways in self.listeners[i]:
            taken = min((way.at for way in ways), default=buffer.end)
            if i in self.sinks and buffer is strip.after:
                taken = min(taken, self.mix.given)
            buffer.forget(taken)
