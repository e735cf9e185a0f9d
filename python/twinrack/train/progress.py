"""The progress bar of a fit: the loss, and the parameters that moved most, in user units."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

SHOWN = 3


class FitProgress:
    """Does nothing where it is not wanted; otherwise a bar by rich on the terminal."""

    def __init__(self, steps: int, wanted: bool | None) -> None:
        self._steps = steps
        self._wanted = sys.stderr.isatty() if wanted is None else wanted
        self._first: dict[str, float] = {}

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

    def step(self, step: int, loss: float, values: dict[str, float]) -> None:
        if self._wanted:
            self._bar.update(self._task, completed=step, words=f"loss {loss:.4f}  {self._words(values)}")

    def trying(self, number: int, of: int) -> None:
        if self._wanted:
            self._bar.update(self._task, words=f"trying combination {number} of {of}")

    def searching(self, names: list[str]) -> None:
        if self._wanted:
            self._bar.update(self._task, words=f"searching where {', '.join(names)} begins")

    def polishing(self, step: int, steps: int, residual: float, values: dict[str, float]) -> None:
        if self._wanted:
            words = f"residual {residual:.2e}  {self._words(values)}"
            self._bar.update(self._task, description="polishing", completed=step, total=steps, words=words)
