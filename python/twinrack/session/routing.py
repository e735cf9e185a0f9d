"""A session's routing, worked out once: what comes into each channel, by which routes, and with which delay and polarity.

The engine's mix, the twin, the hashes, freezing and the export walk this one list, so none of them can overlook a feature that
another one knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .channel import MASTER, Channel, Send, Tap
from .clip import Clip
from .graph import dependency_order, edges_of, reachable, soloed_edges
from .session import Session


@dataclass(frozen=True)
class Route:
    """A connection from one channel to another: its output, or the fader of a send.

    Attributes:
        source: the channel whose sound it is.
        tap: after ("post") or before ("pre") the source's fader.
        send: whose fader it goes through; None for an output.
    """

    source: Channel
    tap: Tap = "post"
    send: Send | None = None


@dataclass(frozen=True)
class Node:
    """A channel with all that comes into it.

    Attributes:
        channel: whose rack and fader it then goes through.
        clips: those that are not muted.
        inputs: open routes, in the session's order, which is the order in which they are added.
        keys: what each sidechain input of the rack listens to.
        signs: factor of each audio channel by the polarity, +1 or -1.
        delay: frames; below 0 it comes earlier.
        tapped: whether anything listens before the fader.
    """

    channel: Channel
    clips: tuple[Clip, ...]
    inputs: tuple[Route, ...]
    keys: dict[str, Route]
    signs: tuple[float, ...]
    delay: int
    tapped: bool

    @property
    def name(self) -> str:
        return self.channel.name

    @property
    def inverts(self) -> bool:
        """Whether any audio channel changes its sign."""
        return -1.0 in self.signs


class Routing:
    """The nodes of a session by name, each after all that it depends on; the session may not change meanwhile.

    Args:
        solo: what is soloed closes other routes; without, as if nothing were soloed.

    Raises:
        ValueError: a channel that is named does not exist, a circle, or a delay that is not a time.
    """

    def __init__(self, session: Session, *, solo: bool = True) -> None:
        channels = session.channels
        order = dependency_order(channels)
        open_edges = soloed_edges(channels) if solo else set()
        self._edges = {edge for c in order for edge in edges_of(c)}
        inputs: dict[str, list[Route]] = {c.name: [] for c in order}
        keys = {c.name: {k: Route(channels[s], tap) for k, (s, tap) in c.sidechain_sources().items()} for c in order}
        tapped = {route.source.name for routes in keys.values() for route in routes.values() if route.tap == "pre"}
        for channel in session:
            for route, to in _routes_from(channel):
                if not open_edges or (channel.name, to) in open_edges:
                    inputs[to].append(route)
                if route.tap == "pre":
                    tapped.add(channel.name)
        self.nodes = {
            c.name: Node(
                c, tuple(clip for clip in c.clips if not clip.mute), tuple(inputs[c.name]), keys[c.name],
                signs_of(c, session.width), session.timeline.span(0, c.delay, f"delay of {c.name}"), c.name in tapped,
            )
            for c in order
        }  # fmt: skip

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    @property
    def master(self) -> Node:
        return self.nodes[MASTER]

    def into(self, name: str) -> set[str]:
        """A channel and all whose outputs or sends lead to it, whether they are open or not."""
        return reachable({name}, {(b, a) for a, b in self._edges})

    def receives(self, name: str) -> bool:
        """Whether any channel's output or send goes to this one, open or not."""
        return any(to == name for _, to in self._edges)


def _routes_from(channel: Channel) -> Iterator[tuple[Route, str]]:
    if channel.output is not None:
        yield Route(channel), channel.output
    for send in channel.sends:
        yield Route(channel, send.tap, send), send.to


def signs_of(channel: Channel, width: int) -> tuple[float, ...]:
    """Factors of so many audio channels by a channel's polarity; left and right alternate."""
    inverted = {"normal": (), "invert": (0, 1), "invert_left": (0,), "invert_right": (1,)}[channel.polarity]
    return tuple(-1.0 if c % 2 in inverted else 1.0 for c in range(width))
