"""The automation of a channel: its own, and the session's tempo for effects that are set in notes."""

from __future__ import annotations

from ..rack.effect import Effect
from .automation import Point
from .channel import Channel
from .timeline import Timeline

TEMPO, SYNC, FREE = "tempo_bpm", "sync", "free"


def automation_of(channel: Channel, timeline: Timeline) -> dict[str, tuple[Point, ...]]:
    """Points by address below the channel.

    An effect in notes whose tempo is the card's follows the session's; one whose tempo is set or automated keeps its own.
    """
    followed = {
        f"{address}.{TEMPO}": tempo_points(effect, timeline)
        for address, effect in channel.rack.addresses().items()
        if follows_tempo(effect)
    }
    return followed | channel.automation


def follows_tempo(effect: Effect) -> bool:
    """Whether an effect is set in notes, and its tempo is the card's."""
    p = effect.card.addresses.get(TEMPO)
    return p is not None and effect.get(TEMPO) == p.default and effect.get(SYNC) != FREE


def tempo_points(effect: Effect, timeline: Timeline) -> tuple[Point, ...]:
    """The tempo map inside the range of the effect's tempo; a line over beats grows by the same factor in the same time."""
    p = effect.card.addresses[TEMPO]
    last = len(timeline.tempo) - 1
    return tuple(
        Point(f"{t.beat!r} beats", min(max(float(t.bpm), p.min), p.max), "exponential" if t.ramp and i < last else "hold")
        for i, t in enumerate(timeline.tempo)
    )
