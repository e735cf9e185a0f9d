"""The scheduler of a mix: threads advance its strips as soon as their inputs are ready, and the sink takes the outputs."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence

from ..audio import Audio
from .strip import RouteReader, Strip

AHEAD = 2  # steps by which a strip may be ahead of those that read from it

Sink = Callable[[list[Audio]], bool]  # takes the next frames of every output; False when it wants no more


class Scheduler:
    """Advances strips on several threads, in whatever order they are ready.

    Args:
        strips: each after those that it reads from.
        outputs: those whose sound goes to the sink.
        step: frames at once.
        given: frames that the sink has had before; a multiple of `step`.
        sink: is called by one thread at a time.
    """

    def __init__(self, strips: Sequence[Strip], outputs: Sequence[Strip], step: int, given: int, sink: Sink) -> None:
        self.strips, self.outputs, self.step, self.given, self.sink = strips, outputs, step, given, sink
        self.number = {id(s): i for i, s in enumerate(strips)}
        self.steps = [max(s.done - s.lead, 0) // step for s in strips]  # that each has made
        self.sources = [sorted({self.number[id(route.source)] for route, _ in s.sources()}) for s in strips]
        self.readers: list[list[int]] = [[] for _ in strips]
        for i, sources in enumerate(self.sources):
            for source in sources:
                self.readers[source].append(i)
        # the buffers of each, and who takes from them
        self.routes = [[(s.after, list[RouteReader]()), (s.before, list[RouteReader]())] for s in strips]
        for s in strips:
            for route, _ in s.sources():
                self.routes[self.number[id(route.source)]][route.before_fader][1].append(route)
        self.wanted = {self.number[id(s)] for s in outputs}
        self.ready: list[tuple[int, int]] = []
        self.queued = [False] * len(strips)
        self.error: BaseException | None = None
        self.over = self.giving = False
        self.changed = threading.Condition()

    def work(self, threads: int) -> None:
        """Run until the sink has had enough; `given` then says how much it had."""
        with self.changed:
            for i in range(len(self.strips)):
                self._look(i)
        others = [threading.Thread(target=self._run, name=f"mix {i}", daemon=True) for i in range(1, threads)]
        for thread in others:
            thread.start()
        try:
            self._run()
        except BaseException as error:
            with self.changed:
                self.error = self.error or error
                self.over = True
                self.changed.notify_all()
        for thread in others:
            thread.join()
        if self.error is not None:
            raise self.error

    def _look(self, i: int) -> None:
        """Queue a strip if it can advance. With the lock held."""
        if self.queued[i]:
            return
        k = self.steps[i]
        if any(self.steps[s] <= k for s in self.sources[i]):
            return
        if any(self.steps[c] + AHEAD <= k for c in self.readers[i]):
            return
        if i in self.wanted and self.given // self.step + AHEAD <= k:
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
        k = self.given // self.step
        return all(self.steps[i] > k for i in self.wanted)

    def _give(self) -> None:
        a, b = self.given, self.given + self.step
        more = self.sink([s.after.get(a, b) for s in self.outputs])
        with self.changed:
            self.given, self.giving = b, False
            self.over = self.over or not more
            for i in self.wanted:
                self._forget(i)
                self._look(i)
            self.changed.notify_all()

    def _advance(self, k: int, i: int) -> None:
        self.strips[i].advance((k + 1) * self.step)
        with self.changed:
            self.steps[i] = k + 1
            self.queued[i] = False
            self._look(i)
            for source in self.sources[i]:
                self._forget(source)
                self._look(source)
            for c in self.readers[i]:
                self._look(c)
            if i in self.wanted and self._may_give():
                self.changed.notify()

    def _forget(self, i: int) -> None:
        """Let go of what all readers of a strip have taken."""
        strip = self.strips[i]
        for buffer, routes in self.routes[i]:
            taken = min((route.at for route in routes), default=buffer.end)
            if i in self.wanted and buffer is strip.after:
                taken = min(taken, self.given)
            buffer.forget(taken)
