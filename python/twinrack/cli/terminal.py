"""Terminal output in which no name or path can send control codes, and every character fits the encoding."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..checks import visible


class Terminal(Console):
    """A rich console whose own colours and movements pass, and those that stand in its texts do not."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's, with every text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Plain:
    """A text stream whose text passes through `visible`."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # rich writes there, by this name

    def write(self, text: str) -> int:
        """Write text."""
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Standard output and errors as `Plain` streams."""
    before = sys.stdout, sys.stderr
    for stream in before:
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout, sys.stderr = (s if s is None or isinstance(s, Plain) else Plain(s) for s in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def begin_line() -> None:
    """Go to the begin of the terminal's line, and empty it."""
    stream = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    stream.write("\r\x1b[K")
