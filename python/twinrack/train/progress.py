"""Progress of a fit: a bar on a terminal, else a line every ten seconds."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Self

SHOWN = 3
EVERY_S = 10.0


class FitProgress:
    """Shows how far a fit is, on standard error.

    Args:
        steps: of the training.
        wanted: None and True: a bar by rich on a terminal; elsewhere (a script with its output in a file, a service) a line
            every ten seconds. False: nothing.
    """

    def __init__(self, steps: int, wanted: bool | None) -> None:
        self._steps = steps
        terminal = sys.stderr.isatty()
        self._wanted = terminal and wanted is not False  # the bar
        self._lines = not terminal and wanted is not False
        self._first: dict[str, float] = {}
        self._last_line = self._began = time.monotonic()
        self._phase = ""
        self._phase_began, self._phase_from = self._began, 0.0

    def __enter__(self) -> Self:
        if self._wanted:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[words]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("training", total=max(self._steps, 1), words="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._wanted:
            self._bar.stop()

    def _words(self, values: dict[str, float]) -> str:
        self._first = self._first or values
        moved = sorted(values, key=lambda a: -abs(values[a] / (self._first[a] or 1.0) - 1.0))[:SHOWN]
        return "  ".join(f"{a.partition('.')[2]} {values[a]:.3g}" for a in moved)

    def _show(self, phase: str, done: float, total: float, words: str, count: str = "") -> None:
        """The bar, or a line where it is time for one.

        Args:
            phase: what is being done; the time left is that of this phase.
            done, total: of its work.
            count: how a line names how far it is; "done/total" without.
        """
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._phase_began, self._phase_from = phase, now, done
        if self._wanted:
            self._bar.update(self._task, description=phase, completed=done, total=max(total, 1e-9), words=words)
        if self._lines and now - self._last_line >= EVERY_S:
            self._last_line = now
            part = (done - self._phase_from) / max(total - self._phase_from, 1e-9)
            left = f", about {_duration((now - self._phase_began) * (1.0 - part) / part)} left" if part > 0.02 else ""
            rest = f"  {words}" if words else ""
            print(f"fit: {phase} {count or f'{done:.0f}/{total:.0f}'}{left}{rest}", file=sys.stderr, flush=True)

    def step(self, step: int, loss: float, values: dict[str, float], error_db: float | None = None) -> None:
        """After a step of the training; `error_db` is the last one measured on held-out audio."""
        error = "" if error_db is None or not math.isfinite(error_db) else f"error {error_db:.1f} dB  "
        self._show("training", step, self._steps, f"{error}loss {loss:.4f}  {self._words(values)}")

    def trying(self, number: int, of: int, done: float) -> None:
        """Before a candidate is trained in the rounds: its number, of how many, and the part of the work that is done."""
        self._show("trying combinations", done, 1.0, f"number {number} of {of}", f"{number} of {of}")

    def finding(self, what: str, error_db: float) -> None:
        """During the search for values: what was just done, and the best error so far in dB (NaN: none yet)."""
        error = f"error {error_db:.1f} dB  " if math.isfinite(error_db) else ""
        self._show("searching", 0.0, 1.0, f"{error}{what}")

    def searching(self, names: list[str]) -> None:
        """Before delays are searched."""
        if self._wanted:
            self._bar.update(self._task, words=f"searching where {', '.join(names)} begins")

    def polishing(self, step: int, steps: int, residual: float, values: dict[str, float]) -> None:
        """After a second-order step; `residual` is relative to the target."""
        error = 20.0 * math.log10(max(residual, 1e-12))
        self._show("polishing", step, steps, f"residual {error:.1f} dB  {self._words(values)}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
