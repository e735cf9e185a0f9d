"""Chain and Parallel: the tree that a rack is, with effects as its leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..checks import brief, check_number
from .card import CARDS, hint_for
from .effect import Effect

DEEPEST = 64  # Chains inside each other, a Parallel's branches among them


class Chain:
    """Effects one after the other. An empty chain leaves the sound as it is."""

    serial = True

    def __init__(self, items: Effect | Chain | Parallel | Iterable[Effect | Chain | Parallel] = ()) -> None:
        self.items: list[Effect | Chain | Parallel] = checked(items)
        check_depth(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Chain([{', '.join(map(repr, self.items))}])"

    def children(self) -> Sequence[Effect | Chain | Parallel]:
        return self.items

    def copy(self) -> Chain:
        return Chain(item.copy() for item in self.items)

    __copy__ = copy  # an effect is in one rack only, so a copy has effects of its own


class Parallel:
    """Branches that process the same input and are added, each delayed to the slowest.

    Args:
        branches: effects, chains or lists of effects; an empty list is the dry signal.
    """

    serial = False

    def __init__(self, branches: Effect | Chain | Parallel | Iterable[Effect | Chain | Parallel | Sequence[Any]]) -> None:
        if isinstance(branches, Effect | Chain | Parallel):
            branches = [branches]
        if isinstance(branches, str) or not isinstance(branches, Iterable):
            raise TypeError(f"a Parallel takes a list of branches, not {type(branches).__name__}")
        self.branches: list[Chain] = [
            b if isinstance(b, Chain) else Chain(b if isinstance(b, list | tuple) else [b])  # type: ignore[list-item]
            for b in branches
        ]
        if not self.branches:
            raise ValueError("a Parallel needs at least one branch; an empty list is the dry signal")
        check_depth(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parallel) and self.branches == other.branches

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Parallel([{', '.join(map(repr, self.branches))}])"

    def children(self) -> Sequence[Effect | Chain | Parallel]:
        return self.branches

    def copy(self) -> Parallel:
        return Parallel(branch.copy() for branch in self.branches)

    __copy__ = copy


def dry_wet(wet: Effect | Chain | Parallel | Sequence[Any], mix: float) -> Parallel:
    """A Parallel of the dry signal and `wet`, with the latency of `wet` compensated.

    Args:
        wet: what the wet branch goes through.
        mix: part of the wet signal, 0 to 1; both parts are Gain effects and can be moved later.
    """
    from .effects import Gain

    mix = check_number(mix, "mix", 0.0, 1.0)
    least = Gain.card.addresses["gain_db"].min

    def level(part: float) -> float:
        return max(20.0 * math.log10(part), least) if part > 0 else least

    branch: list[Any] = list(wet) if isinstance(wet, list | tuple) else [wet]
    return Parallel([Chain([Gain(gain_db=level(1.0 - mix))]), Chain([*branch, Gain(gain_db=level(mix))])])


def checked(items: Effect | Chain | Parallel | Iterable[Any]) -> list[Effect | Chain | Parallel]:
    """Items as a list; one alone is a list of one.

    Raises:
        TypeError: an item that is not an effect, Chain or Parallel.
    """
    if isinstance(items, Effect | Chain | Parallel):
        return [items]
    listed: list[Any] = [items] if isinstance(items, str | bytes | type) or not isinstance(items, Iterable) else list(items)
    for item in listed:
        if isinstance(item, Effect | Chain | Parallel):
            continue
        if isinstance(item, type) and issubclass(item, Effect):
            raise TypeError(f"{item.__name__} is a class; make an effect of it: {item.__name__}()")
        if isinstance(item, str):
            card = CARDS.get(item)
            hint = f"{card.class_name}() is that effect" if card else f"a patch is loaded by twinrack.load{hint_for(item, [])}"
            raise TypeError(f"a rack holds effects, Chain and Parallel, not text ({brief(item)}); {hint}")
        if isinstance(item, list | tuple):
            raise TypeError("a rack holds effects, Chain and Parallel, not lists; write Chain([…]) or Parallel([…])")
        raise TypeError(f"a rack holds effects, Chain and Parallel, not {type(item).__name__} ({brief(item)})")
    return listed


def check_depth(item: Effect | Chain | Parallel) -> None:
    """Refuse a tree that is nested so deeply that it could be neither saved nor played.

    Raises:
        ValueError: a Chain or Parallel inside more than DEEPEST others, or inside itself.
    """
    level: list[Any] = [item]
    for _ in range(DEEPEST):
        below = [child for node in level for child in node.children() if not isinstance(child, Effect)]
        level = list({id(child): child for child in below}.values())
        if not level:
            return
    raise ValueError(f"Chains and Parallels are nested more than {DEEPEST} deep; put effects in a row into one Chain")


def effects_of(item: Effect | Chain | Parallel) -> Iterator[Effect]:
    """All effects in the engine's order."""
    if isinstance(item, Effect):
        yield item
        return
    for child in item.children():
        yield from effects_of(child)


def shape_of(item: Effect | Chain | Parallel) -> object:
    if isinstance(item, Effect):
        return (item.card.id, item.bypass, item.key)
    return (type(item).__name__, tuple(shape_of(child) for child in item.children()))
