"""The graph of a session's channels: who goes to whom, in which order they are computed, and what solo leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..checks import brief
from ..rack.effect import unknown
from .channel import MASTER, Channel

Edge = tuple[str, str]  # from a channel to another, by name


def edges_of(channel: Channel) -> Iterator[Edge]:
    """The edges from a channel: to its output, and by its sends."""
    if channel.output is not None:
        yield channel.name, channel.output
    for send in channel.sends:
        yield channel.name, send.to


def dependency_order(channels: Mapping[str, Channel]) -> list[Channel]:
    """The channels so that each comes after all that it depends on.

    Raises:
        ValueError: a channel that is named does not exist, or the sound would go in a circle; names the whole path.
    """
    sources: dict[str, list[str]] = {name: [] for name in channels}

    def known(name: str, what: str) -> str:
        if name not in channels:
            raise ValueError(unknown(name, list(channels), what, "channel"))
        return name

    for channel in channels.values():
        if channel.output is not None:
            if channel.name == MASTER:
                raise ValueError("the master goes to no other channel; leave its output out (None, null in a file)")
            sources[known(channel.output, f"output of {channel.name}")].append(channel.name)
        for send in channel.sends:
            sources[known(send.to, f"a send of {channel.name}")].append(channel.name)
        for key, (source, _) in channel.sidechain_sources().items():
            sources[channel.name].append(known(source, f"sidechain {brief(key)} of {channel.name}"))
    return [channels[name] for name in _sorted(sources)]


def soloed_edges(channels: Mapping[str, Channel]) -> set[Edge]:
    """The edges that are open when something is soloed; empty when nothing is.

    Open is what leaves a soloed channel or a member of a soloed group, and all after these; and what goes into a soloed
    channel.
    """
    soloed = {c.name for c in channels.values() if c.solo}
    if not soloed:
        return set()
    edges = {edge for c in channels.values() for edge in edges_of(c)}
    outputs = {c.name: c.output for c in channels.values()}
    members = set()
    for name in channels:
        at: str | None = name
        while at is not None and at not in soloed:
            at = outputs.get(at)
        if at is not None:
            members.add(name)
    back = {(b, a) for a, b in edges}
    after, before = reachable(members, edges), reachable(soloed, back)
    listening = [c for c in channels.values() if c.name in after or c.name in before]
    keys = reachable({source for c in listening for source, _ in c.sidechain_sources().values()}, back) - after
    # a sidechain's source stays open up to the sidechain
    return {(a, b) for a, b in edges if a in after or b in before or b in keys}


def reachable(names: set[str], edges: set[Edge]) -> set[str]:
    """These and all that can be reached from them."""
    targets: dict[str, list[str]] = {}
    for a, b in edges:
        targets.setdefault(a, []).append(b)
    reached, stack = set(names), list(names)
    while stack:
        for b in targets.get(stack.pop(), ()):
            if b not in reached:
                reached.add(b)
                stack.append(b)
    return reached


def _sorted(sources: Mapping[str, list[str]]) -> list[str]:
    """Names so that each comes after its sources.

    Raises:
        ValueError: there is a circle; names its path.
    """
    done: dict[str, None] = {}
    for name in sources:
        path: dict[str, Iterator[str]] = {} if name in done else {name: iter(sources[name])}
        while path:
            at = next(reversed(path))
            source = next(path[at], None)
            if source is None:
                done[at] = None
                del path[at]
            elif source in path:
                names = list(path)
                circle = [source, *reversed(names[names.index(source) :])]
                raise ValueError(f"the sound would go in a circle: {' → '.join(circle)}; remove one of these connections")
            elif source not in done:
                path[source] = iter(sources[source])
    return list(done)
