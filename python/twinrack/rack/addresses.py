"""Addresses of the effects in a rack, built once for each structure and never changed, so that any thread may read them."""

from __future__ import annotations

from collections import Counter

from ..checks import brief
from .card import Parameter
from .effect import Effect, unknown, unknown_address
from .tree import Chain, check_depth, effects_of


class Addresses:
    """The effects of a tree by address, in the engine's order.

    Args:
        root: the tree.

    Attributes:
        effects: the effects by address.
        first: by address, the number of the effect's first parameter in the engine.
        keys: names of the sidechain inputs that effects listen to.
        places: address and number of an effect, by its `id`.

    Raises:
        ValueError: an effect is in the tree twice, or two have the same name.
    """

    def __init__(self, root: Chain) -> None:
        self.root = root
        check_depth(root)
        effects = list(effects_of(root))
        if len({id(e) for e in effects}) < len(effects):
            raise ValueError("the same effect object is in the rack twice; use effect.copy() for the second")
        named = Counter(e.name for e in effects if e.name is not None)
        for name, uses in named.items():
            if uses > 1:
                raise ValueError(f"two effects are called {brief(name)}; names in a rack differ")
        self.effects: dict[str, Effect] = {}
        self.first: dict[str, int] = {}
        self.places: dict[int, tuple[str, int]] = {}
        counts: Counter[str] = Counter()
        first = 0
        for index, effect in enumerate(effects):
            address = effect.name
            while address is None or (effect.name is None and (address in named or address in self.effects)):
                counts[effect.card.id] += 1
                count = counts[effect.card.id]
                address = effect.card.id if count == 1 else f"{effect.card.id}_{count}"
            self.effects[address] = effect
            self.first[address] = first
            self.places[id(effect)] = (address, index)
            first += len(effect.card.addresses)
        self.keys = sorted({e.key for e in effects if e.key is not None})

    def split(self, address: str, rack: str) -> tuple[Effect, str]:
        """The effect, and what follows its address; `rack` is what messages call the rack.

        Raises:
            ValueError: there is no such effect; the nearest is named.
        """
        effect, _, parameter = address.partition(".")
        if effect not in self.effects:
            names = {a: list(e.card.addresses) for a, e in self.effects.items()}
            raise ValueError(unknown_address(address, names, f"rack {brief(rack)}"))
        return self.effects[effect], parameter

    def parameter(self, address: str, rack: str) -> tuple[Parameter, int]:
        """The parameter at an address and its number in the engine.

        Raises:
            ValueError: no such effect or parameter.
        """
        effect, name = self.split(address, rack)
        where = address.partition(".")[0]
        if name not in effect.card.addresses:
            raise ValueError(unknown(name, list(effect.card.addresses), where))
        return effect.card.addresses[name], self.first[where] + list(effect.card.addresses).index(name)

    def index(self, address: str, rack: str) -> tuple[Parameter, int]:
        """As `parameter`, of a parameter that can move while the sound runs.

        Raises:
            ValueError: no such effect or parameter; or it sets the latency, or what the effect is built from.
        """
        p, number = self.parameter(address, rack)
        effect, name = self.split(address, rack)
        if p.rebuilds:
            raise ValueError(f"{address} changes what the effect is built from, so it has no curve; set it before")
        if name == effect.card.latency:
            raise ValueError(f"{address} sets the latency, so it cannot move while the sound runs; set it before")
        return p, number
