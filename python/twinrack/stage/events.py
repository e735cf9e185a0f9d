"""Events of a live stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that happened to a stream: when (seconds since it began), what, and a sentence about it.

    `kind` is "lost", "returned", "howl", "fault", "record", "reload" or "midi".
    """

    at_s: float
    kind: str
    words: str
