"""The effect classes, made from the cards. Editors see them through the stub that the build makes from the same cards."""

from __future__ import annotations

from typing import Any

from .card import CARDS
from .effect import CLASSES as CLASSES
from .effect import GroupItem, make_effect_class, make_group_class

__all__: list[str] = []


class Addressed:
    """Base of classes that find effects by address, `rack["compressor"]`, or by position, `rack[0]`.

    The stub gives, from the cards, the class of the effect at a default address.
    """

    def __getitem__(self, address: str | int) -> Any:
        """The effect at an address, or the item at a position of the outer chain."""
        return self._at(address)

    def _at(self, address: str | int) -> Any:
        raise NotImplementedError


def _define() -> None:
    for card in CARDS.values():
        groups: dict[str, type[GroupItem]] = {}
        for group in card.groups:
            groups[group.id] = make_group_class(group)
            _publish(groups[group.id])
        _publish(make_effect_class(card, groups))


def _publish(cls: type) -> None:
    cls.__module__ = "twinrack"
    globals()[cls.__name__] = cls
    __all__.append(cls.__name__)


_define()
