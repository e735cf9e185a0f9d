"""Addresses that a fit trains: those that `learn` names, without those of `freeze` and values that do nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from ..rack.effect import unknown
from ..rack.idle import idle
from ..session.session import Session
from ..session.twin import SessionTwin
from ..twins.rack_twin import RackTwin

Patterns = str | Iterable[str]


@dataclass(frozen=True)
class Learned:
    """Addresses that are trained: of values, and of resources (weights of networks, responses)."""

    values: list[str]
    resources: list[str]


def patterns_of(patterns: Patterns) -> list[str]:
    """A list of patterns, also from a single one."""
    return [patterns] if isinstance(patterns, str) else list(patterns)


def learned_in_rack(twin: RackTwin, learn: Patterns | None, freeze: Patterns, channels: int) -> Learned:
    """Addresses that are trained in a rack.

    Args:
        learn: addresses, * for any; None is everything learnable that does something; an empty list is nothing.
        freeze: addresses that are not.
        channels: of the sound.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left.
    """
    values, resources = twin.learnable(), twin.resource_addresses()
    every = [*values, *resources]
    without_effect = {f"{a}.{n}" for a in twin.addresses() for n in idle(twin[a].card, twin[a].constants, channels)}
    usual = {a for a in values if a not in without_effect} | {a for a in resources if twin.resource_at(a).requires_grad}

    def matching(patterns: Patterns, freezes: bool = False) -> set[str]:
        matches: set[str] = set()
        for pattern in patterns_of(patterns):
            named = [a for a in every if fnmatch(a, pattern)]
            hits = [a for a in named if a in usual or a == pattern]
            idle_hits = [a for a in named if a in without_effect]
            if not hits and idle_hits:
                if freezes:
                    continue
                raise ValueError(f"{idle_hits[0]} does nothing in this rack and with this sound, so there is nothing to learn")
            if not hits:
                raise ValueError(unknown(pattern, every, "the rack", "learnable parameter"))
            matches.update(hits)
        return matches

    if learn is not None:
        learn = patterns_of(learn)
        if not learn:
            return Learned([], [])
    wanted = (usual if learn is None else matching(learn)) - matching(freeze, freezes=True)
    chosen = [a for a in every if a in wanted and not twin[a.partition(".")[0]].bypass]
    if not chosen:
        raise ValueError("no parameter is left to train; add effects, or name more in learn")
    return Learned([a for a in chosen if a in values], [a for a in chosen if a in resources])


def learned_in_mix(twin: SessionTwin, learn: Patterns | None, freeze: Patterns) -> list[str]:
    """Addresses of the values that are trained in a session; None for `learn` is `usual_in_mix`.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left.
    """
    every = twin.learnable()

    def matching(patterns: Patterns) -> set[str]:
        matches: set[str] = set()
        for pattern in patterns_of(patterns):
            hits = [a for a in every if fnmatch(a, pattern)]
            if not hits:
                raise ValueError(unknown(pattern, every, "the session", "learnable value"))
            matches.update(hits)
        return matches

    without_effect = {
        ".".join(part for part in (channel.name, place, name) if part)
        for channel in twin.session
        for place, effect in channel.effects()
        for name in idle(effect.card, effect.values(), twin.session.width)
    }
    named = [] if learn is None else patterns_of(learn)
    wanted = set(usual_in_mix(twin.session, every)) if learn is None else matching(named)
    wanted -= without_effect - set(named)
    chosen = [a for a in every if a in wanted - matching(freeze)]
    if not chosen:
        raise ValueError("no value is left to train; name more in learn")
    return chosen


def usual_in_mix(session: Session, addresses: Sequence[str]) -> list[str]:
    """Those of a session's addresses that are trained where `learn` is not given: the main parameters of effects that are not
    costly, by their cards; of sends all but the pan; of groups, returns and the master no fader."""
    usual = []
    for address in addresses:
        channel, below = session.split(address)
        name = below.rpartition(".")[2]
        _, effect, local = channel.find(below)
        if effect.card.costly or effect.card.addresses[local].role != "main":
            continue
        if (below.startswith("sends.") and name == "pan") or ("." not in below and channel.kind != "track"):
            continue
        usual.append(address)
    return usual
