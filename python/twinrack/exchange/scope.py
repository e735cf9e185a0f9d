"""Time within nested timelines of DAWproject: each counts in beats or seconds from an origin of its own."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from ..session.timeline import LONGEST_S, Timeline

UNITS = ("beats", "seconds")


def label(e: ET.Element) -> str:
    """An element as people find it again."""
    name = e.get("name") or e.get("id") or ""
    return f"{e.tag} {name[:60]!r}" if name else f"a {e.tag}"


def number(e: ET.Element, name: str, default: float | None = None, least: float | None = None) -> float:
    """A number in an attribute.

    Raises:
        ValueError: missing without a default, not a number, NaN, infinity, beyond a week, or below `least`.
    """
    text = e.get(name)
    if text is None:
        if default is None:
            raise ValueError(f"{label(e)} has no {name}; it needs a number there")
        return default
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}={text[:40]!r} of {label(e)} is not a number") from None
    if not math.isfinite(value) or abs(value) > LONGEST_S * 1000:
        raise ValueError(f"{name}={text[:40]!r} of {label(e)} is NaN, infinity or beyond a week")
    if least is not None and value < least:
        raise ValueError(f"{name}={text[:40]!r} of {label(e)} is below {least:g}")
    return value


def optional(e: ET.Element, name: str, least: float | None = None) -> float | None:
    """The same; None where the attribute is missing."""
    return None if e.get(name) is None else number(e, name, least=least)


def unit(e: ET.Element, name: str, default: str) -> str:
    """A time unit in an attribute."""
    value = e.get(name, default)
    if value not in UNITS:
        raise ValueError(f"{name}={value[:40]!r} of {label(e)} is none of {', '.join(UNITS)}")
    return value


def switch(e: ET.Element, name: str, default: bool) -> bool:
    """True or false in an attribute."""
    text = e.get(name)
    if text is None:
        return default
    if text.strip() not in ("true", "false", "1", "0"):
        raise ValueError(f"{name}={text[:40]!r} of {label(e)} is neither true nor false")
    return text.strip() in ("true", "1")


@dataclass(frozen=True)
class Scope:
    """A timeline: `unit`, and where its 0 is on the session's timeline, in that unit."""

    timeline: Timeline
    unit: str
    origin: float = 0.0

    def at(self, time: float) -> float:
        """Seconds of the session's timeline."""
        return self.timeline.seconds_of(time + self.origin) if self.unit == "beats" else time + self.origin

    def of(self, seconds: float) -> float:
        """The other way."""
        return (self.timeline.beat_of(seconds) if self.unit == "beats" else seconds) - self.origin

    def inside(self, unit: str, seconds: float, content: float) -> Scope:
        """A timeline within this one, whose time `content` comes at so many seconds of the session's timeline."""
        start = self.timeline.beat_of(seconds) if unit == "beats" else seconds
        return Scope(self.timeline, unit, start - content)

    def as_unit(self, unit: str) -> Scope:
        """The same place, counted in another unit."""
        return self if unit == self.unit else self.inside(unit, self.at(0.0), 0.0)
