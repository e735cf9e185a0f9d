"""Intermediate signals: the sound before and after every block of a rack, in step with the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..rack.describe import order_text
from ..rack.effect import Effect
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..rack.tree import Chain, Parallel, Split, effects_of


@dataclass(frozen=True, eq=False)
class Stage:
    """One block of a rack, and the sound on both sides of it, (channels, frames), delays compensated.

    Attributes:
        address: of the effect; of a Parallel the addresses in it, such as "(gain | compressor)".
        inside: the address of the Parallel, Bands or MidSide that it is in; empty in the outer chain.
        effect: None for a Parallel, Bands or MidSide.
    """

    address: str
    before: Audio
    after: Audio
    inside: str = ""
    effect: Effect | None = None

    @property
    def difference(self) -> Audio:
        """The signal that the block added, or took away where it is the input's inverse."""
        return self.after - self.before


def stages(rack: Rack, x: npt.ArrayLike, sample_rate: float, *, sidechain: Sidechain = None) -> list[Stage]:
    """Every block of a rack with its sound, in the order of the chain; those inside a Parallel stand before it.

    In the outer chain all that comes later is bypassed, so the last `after` is the rack's own output to the last bit. A branch
    of a Parallel is rendered by itself from the sound before it, one of Bands or MidSide from its part of that sound.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,).
        sample_rate: Hz.
        sidechain: as in a call of the rack.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rack = as_rack(rack)
    return _walk(rack, {id(effect): address for address, effect in rack.addresses().items()}, sound, rate, sidechain, "")


def _walk(rack: Rack, names: dict[int, str], sound: Audio, rate: float, sidechain: Sidechain, inside: str) -> list[Stage]:
    """The stages of a rack whose effects are known by these addresses."""
    before = _up_to(rack, 0)(sound, rate, sidechain=sidechain)
    passed: list[Stage] = []
    for number, item in enumerate(rack.effects, start=1):
        after = _up_to(rack, number)(sound, rate, sidechain=sidechain)
        address = order_text(item, names)
        for branch, heard in _branches(item, before, rate):
            parts = list(branch.children()) if not isinstance(branch, Effect) else [branch]
            alone = Rack([part.copy() for part in parts])
            copies = zip(alone.addresses().values(), effects_of(branch), strict=True)
            known = {id(copy): names[id(effect)] for copy, effect in copies}
            passed += _walk(alone, known, heard, rate, _keys_of(alone, sidechain), address)
        passed.append(Stage(address, before, after, inside, item if isinstance(item, Effect) else None))
        before = after
    return passed


def _branches(item: Effect | Chain | Parallel, before: Audio, rate: float) -> Iterator[tuple[Effect | Chain | Parallel, Audio]]:
    """The parts of an item, each with the sound that it gets."""
    if isinstance(item, Split):
        yield item.splitter, before
        for number, branch in enumerate(item.branches):
            yield branch, np.asarray(Rack([item.only(number)])(before, rate))
    elif not isinstance(item, Effect):
        yield from ((child, before) for child in item.children())


def _up_to(rack: Rack, count: int) -> Rack:
    """A copy in which all but the first items of the outer chain are bypassed."""
    items: list[Effect | Chain | Parallel] = [item.copy() for item in rack.effects[:count]]
    return Rack(items + [off for item in rack.effects[count:] for off in _bypassed(item)])


def _bypassed(item: Effect | Chain | Parallel) -> list[Effect]:
    """Copies of all effects in it, bypassed, one after the other: they keep their addresses, and do nothing."""
    copies = [effect.copy() for effect in effects_of(item)]
    for effect in copies:
        effect.bypass = True
    return copies


def up_to_effect(rack: Rack, address: str, inclusive: bool) -> Rack:
    """A copy whose output is the sound before an effect, or after it; all other effects keep their addresses, bypassed.

    Args:
        address: of the effect; it may be inside a Parallel, whose other branches are left out.
        inclusive: with the effect.
    """
    target = rack.addresses()[address]

    def cut(items: Iterable[Effect | Chain | Parallel]) -> list[Effect | Chain | Parallel]:
        passed = False
        result: list[Effect | Chain | Parallel] = []
        for item in items:
            inside = not passed and any(e is target for e in effects_of(item))
            if passed or (item is target and not inclusive):
                result += _bypassed(item)
            elif not inside or item is target:
                result.append(item.copy())
            elif isinstance(item, Split) and item.splitter is target and not inclusive:
                result += _bypassed(item)
            elif isinstance(item, Split) and item.splitter is target:
                result.append(item.with_children([target.copy(), *(Chain(_bypassed(branch)) for branch in item.branches)]))
            elif isinstance(item, Parallel):
                ways = [any(e is target for e in effects_of(branch)) for branch in item.branches]
                if isinstance(item, Split):
                    result.append(item.only(ways.index(True)))
                for branch, on_the_way in zip(item.branches, ways, strict=True):
                    result += cut(branch.items) if on_the_way else _bypassed(branch)
            elif isinstance(item, Chain):
                result += cut(item.items)
            passed = passed or inside
        return result

    return Rack(cut(rack.effects))


def _keys_of(rack: Rack, sidechain: Sidechain) -> Sidechain:
    """The sidechain inputs that a part of a rack listens to."""
    if not isinstance(sidechain, Mapping):
        return sidechain if rack.sidechains else None
    return {name: key for name, key in sidechain.items() if name in rack.sidechains}
