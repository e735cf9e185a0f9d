"""Chain, Parallel, Bands and MidSide: the tree that a rack is, with effects as its leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..checks import brief, check_number
from .card import CARDS, hint_for
from .effect import Effect, place_of

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
        self.branches: list[Chain] = [
            b if isinstance(b, Chain) else Chain(b if isinstance(b, list | tuple) else [b])
            for b in _listed_branches(branches, "a Parallel takes a list of branches")
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

    def with_children(self, children: Sequence[Any]) -> Parallel:
        """Another one of the same kind, with these children in place of its own."""
        return Parallel(children)

    def copy(self) -> Parallel:
        return self.with_children([child.copy() for child in self.children()])

    __copy__ = copy


class Split(Parallel):
    """Branches that each process a part of the input and are added, each delayed to the slowest: Bands or MidSide.

    Attributes:
        splitter: the effect that gives each branch its part; it has an address and values as any other. Bypassed, it gives the
            whole sound to the first branch. The level behind it on a meter is that of all branches side by side.
    """

    def __init__(self, splitter: Effect, branches: Iterable[Effect | Chain | Parallel | Sequence[Any]]) -> None:
        self.splitter = splitter
        super().__init__(branches)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Split) and self.splitter == other.splitter and super().__eq__(other)

    __hash__ = None

    def children(self) -> Sequence[Effect | Chain | Parallel]:
        return [self.splitter, *self.branches]

    def only(self, number: int) -> Parallel:
        """A copy without the effects in its branches, of which only that of this number sounds."""
        from .effects import Fader

        name = f"silent_branch_of_{place_of(self.splitter)}"
        count = len(self.branches)
        branches = [[] if i == number else [Fader(mute=True, name=f"{name}_{i}")] for i in range(count)]
        return self.with_children([self.splitter.copy(), *branches])

    def check(self) -> None:
        """Refuse another number of branches than the splitter has.

        Raises:
            ValueError: says what to set.
        """


class Bands(Split):
    """Branches that each process a band of the input and are added, each delayed to the slowest; without effects in them
    the sum is flat (see the card of `Crossover`).

        tr.Bands([[tr.Compressor()], [], [tr.Saturation()]], splits_hz=[150, 2500])

    Args:
        bands: 2 to 6, the lowest first, each an effect, a chain or a list of effects; an empty list leaves its band as it is.
        splits_hz: where one band ends and the next begins, rising, one fewer than bands; the card's where it is left out.
        slope_db_per_octave: 12, 24, 36 or 48; the card's 24 where it is left out.
        crossover: a Crossover that splits, in place of the two above.

    Raises:
        ValueError: another number of bands or splits, or splits that do not rise.
    """

    def __init__(
        self,
        bands: Iterable[Effect | Chain | Parallel | Sequence[Any]],
        splits_hz: Sequence[float] | None = None,
        slope_db_per_octave: int | str | None = None,
        *,
        crossover: Effect | None = None,
    ) -> None:
        from .effects import Crossover

        bands = _listed_branches(bands, "a Bands takes a list of bands")
        least, most = (int(Crossover.card.addresses["number_of_bands"].options[i]) for i in (0, -1))
        if not least <= len(bands) <= most:
            raise ValueError(f"a Bands has {least} to {most} bands, not {len(bands)}")
        if crossover is None:
            crossover = Crossover()
            crossover.set("number_of_bands", str(len(bands)))
            if slope_db_per_octave is not None:
                slope = slope_db_per_octave
                crossover.set("slope_db_per_octave", slope if isinstance(slope, str) else f"{slope:g}")
            for number, hz in enumerate(_checked_splits(splits_hz, len(bands) - 1), start=1):
                crossover.set(f"split{number}_hz", hz)
        elif splits_hz is not None or slope_db_per_octave is not None:
            raise ValueError("give either splits_hz and slope_db_per_octave or a crossover, which has its own")
        if not isinstance(crossover, Crossover):
            raise TypeError(f"the crossover of a Bands is a Crossover, not a {type(crossover).__name__}")
        if crossover.number_of_bands != str(len(bands)):
            raise ValueError(f"the crossover has {crossover.number_of_bands} bands, and {len(bands)} are given")
        super().__init__(crossover, bands)

    @property
    def crossover(self) -> Effect:
        """The effect that splits."""
        return self.splitter

    def __repr__(self) -> str:
        return f"Bands([{', '.join(map(repr, self.branches))}], crossover={self.crossover!r})"

    def check(self) -> None:
        count = str(len(self.branches))
        if self.crossover.get("number_of_bands") != count:
            raise ValueError(
                f"a Bands of {count} bands has a crossover of {self.crossover.get('number_of_bands')}; set number_of_bands of "
                f"{place_of(self.crossover)} to {count}"
            )

    def with_children(self, children: Sequence[Any]) -> Bands:
        self.check()
        return Bands(children[1:], crossover=children[0])


class MidSide(Split):
    """Mid and side, each through effects of its own, and back to left and right.

        tr.MidSide(mid=[tr.Compressor()], side=[tr.ParametricEQ()])

    The mid is half of the sum, the side half of the difference (see the card of `MidSideLevels`).

    Args:
        mid, side: an effect, a chain or a list of effects; an empty list leaves that part as it is.
        levels: the effect that splits; both levels at 0 dB where it is left out.
    """

    def __init__(
        self,
        mid: Effect | Chain | Parallel | Sequence[Any] = (),
        side: Effect | Chain | Parallel | Sequence[Any] = (),
        *,
        levels: Effect | None = None,
    ) -> None:
        from .effects import MidSideLevels

        levels = MidSideLevels() if levels is None else levels
        if not isinstance(levels, MidSideLevels):
            raise TypeError(f"the levels of a MidSide are a MidSideLevels, not a {type(levels).__name__}")
        super().__init__(levels, [mid, side])

    @property
    def levels(self) -> Effect:
        """The effect that splits."""
        return self.splitter

    def check(self) -> None:
        if len(self.branches) != 2:
            raise ValueError(f"a MidSide has a branch for the mid and one for the side, not {len(self.branches)} branches")

    @property
    def mid(self) -> Chain:
        return self.branches[0]

    @property
    def side(self) -> Chain:
        return self.branches[1]

    def __repr__(self) -> str:
        return f"MidSide({self.mid!r}, {self.side!r}, levels={self.levels!r})"

    def with_children(self, children: Sequence[Any]) -> MidSide:
        self.check()
        return MidSide(children[1], children[2], levels=children[0])


def _listed_branches(branches: object, wanted: str) -> list[Any]:
    if isinstance(branches, str) or not isinstance(branches, Iterable):
        raise TypeError(f"{wanted}, not {type(branches).__name__}")
    return list(branches)


def _checked_splits(splits_hz: Any, wanted: int) -> list[float]:
    """Frequencies of so many splits; none where the card's are wanted.

    Raises:
        ValueError: another number of them, or they do not rise.
    """
    if splits_hz is None:
        return []
    if not isinstance(splits_hz, Iterable) or isinstance(splits_hz, str):
        raise TypeError(f"splits_hz is a list of frequencies in Hz, such as [200, 3000], not {type(splits_hz).__name__}")
    splits = [check_number(hz, "a frequency of splits_hz", 0.0, math.inf) for hz in splits_hz]
    if len(splits) != wanted:
        raise ValueError(f"{wanted + 1} bands meet at {wanted} frequencies; splits_hz has {len(splits)}")
    if any(later <= earlier for earlier, later in pairwise(splits)):
        raise ValueError(f"the splits of a Bands rise; splits_hz is {splits}")
    return splits


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
