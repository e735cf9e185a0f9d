"""Base classes of effects and of their repeated parts: values in user units, checked against the card, comparable.

The classes themselves (`Compressor`, `Band`, …) are made from the cards in `effects`. An effect reports its
changes to its rack: `attach` sets the listeners, `detach` removes them; `running` calls both.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..checks import SHOWN, brief, must_be
from ..resources.resource import Resource
from ..resources.types import TYPES
from .card import Card, Group, Parameter, Value

Listener = Callable[[str, Value], None]

CLASSES: dict[str, type[Effect]] = {}  # by the id of the card
ITEM_CLASSES: dict[str, type[GroupItem]] = {}  # by name
MOST_LISTED = 16  # names, in a sentence


def _text(value: Value) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else "…"


def unknown(name: str, names: Sequence[str], place: str, what: str = "parameter") -> str:
    """One sentence about an unknown name, with the nearest known one."""
    near = get_close_matches(name[:SHOWN], names, 1) if isinstance(name, str) else []
    few = 0 < len(names) <= MOST_LISTED
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}" if few else ""
    return f"{place} has no {what} {brief(name)}{hint}"


def unknown_address(address: str, names: Mapping[str, Sequence[str]], place: str) -> str:
    """One sentence about an address of an unknown effect, or of a value without its effect.

    Args:
        names: by address of an effect, the names of its values.
    """
    effect, dot, _ = str(address).partition(".")
    if dot:
        return unknown(effect, list(names), place, "effect")
    alike = [f"{a}.{address}" for a, values in names.items() if address in values]
    if alike:
        return f"{place} has no value {address!r}; did you mean {' or '.join(map(repr, alike[:3]))}?"
    return unknown(effect, list(names), place, "effect")


class _Values:
    """Named values that follow a tuple of parameters; attribute access reads and writes them."""

    _parameters: ClassVar[dict[str, Parameter]]
    _place: str
    _values: dict[str, Value]
    _explicit: set[str]  # given or set by the user; the others keep following what the card says they follow
    _listener: Listener | None  # set by `attach` when the effect comes into a rack

    def _begin(self, place: str, given: dict[str, Any]) -> None:
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_listener", None)
        for name in given:
            if name not in self._parameters:
                raise TypeError(unknown(name, list(self._parameters), place))
        values: dict[str, Value] = {}
        for name, p in self._parameters.items():
            if given.get(name) is not None:
                values[name] = p.check(given[name], place)
            else:
                values[name] = p.default
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_explicit", {name for name, value in given.items() if value is not None})
        for name, p in self._parameters.items():
            if given.get(name) is None:
                values[name] = self._default(p)

    def _default(self, p: Parameter) -> Value:
        """The default, or what follows from the parameter that this one is in proportion to."""
        if p.follows is None:
            return p.default
        leader, factor = p.follows
        return min(max(float(self._values[leader]) * factor, p.min), p.max)

    def _set(self, name: str, value: object) -> None:
        checked = self._parameters[name].check(value, self._place)
        self._explicit.add(name)
        self._store(name, checked)
        for follower, p in self._parameters.items():
            if p.follows is not None and p.follows[0] == name and follower not in self._explicit:
                self._store(follower, self._default(p))

    def _store(self, name: str, value: Value) -> None:
        """Keep the value and tell whoever listens; where they cannot take it, nothing has changed."""
        before = self._values[name]
        if value == before:
            return
        self._values[name] = value
        if self._listener is not None:
            try:
                self._listener(name, value)
            except BaseException:
                self._values[name] = before
                raise

    if not TYPE_CHECKING:  # a type checker would let any attribute be set

        def __setattr__(self, name: str, value: object) -> None:
            if name in self._parameters:
                self._set(name, value)
            elif name.startswith("_") or isinstance(getattr(type(self), name, None), property):
                object.__setattr__(self, name, value)
            else:
                raise AttributeError(unknown(name, self._settable(), self._place))

        def __getattr__(self, name: str) -> Any:  # reached only where nothing is called so
            place = self.__dict__.get("_place", type(self).__name__)
            raise AttributeError(unknown(name, self._settable(), place) if not name.startswith("_") else name)

    def _settable(self) -> list[str]:
        """Names that a person may mean by an attribute."""
        return [n for n in dir(type(self)) if not n.startswith("_")]

    def _differences(self) -> Iterator[str]:
        for name, p in self._parameters.items():
            if self._values[name] != self._default(p):
                yield f"{name}={_text(self._values[name])}"


class GroupItem(_Values):
    """One of the repeated parts of an effect, such as a band."""

    group: ClassVar[Group]

    def __init__(self, *args: Any, **given: Any) -> None:
        first = next(iter(self._parameters))
        if len(args) > 1:
            raise TypeError(f"{type(self).__name__} takes {first} by position and the rest by name")
        if args:
            given = {first: args[0], **given}
        self._begin(type(self).__name__, given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupItem) and type(self) is type(other) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._differences())})"

    def __reduce__(self) -> Any:
        return _rebuild_item, (type(self).__name__, dict(self._values))

    def _is_default(self) -> bool:
        return not any(True for _ in self._differences())


class Effect(_Values):
    """One effect with its present values.

    Args (of every effect, by name):
        name: how it is addressed in a rack; the card's id when not given ("compressor", then "compressor_2").
        bypass: True leaves the sound as it is.
        key: name of the rack's sidechain input that the detector listens to (effects with a sidechain only).
    """

    card: ClassVar[Card]
    _group_classes: ClassVar[dict[str, type[GroupItem]]]

    def __init__(
        self, *positional: Any, name: str | None = None, bypass: bool = False, key: str | None = None, **given: Any
    ) -> None:
        card = self.card
        if positional:
            first = self._meant(positional[0])
            raise TypeError(f"{card.class_name} takes its values by name: {card.class_name}({first}={_short(positional[0])})")
        lists = {g.id: given.pop(f"{g.id}s", ()) for g in card.groups}
        resources = {r["id"]: given.pop(r["id"], None) for r in card.resources}
        if name is not None and not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"name {brief(name)} cannot be addressed; use a text of letters, digits and underscores")
        self._begin(name or card.id, given)
        if key is not None and not isinstance(key, str):
            raise must_be(f"key of {card.id}", "the name of a sidechain input, as text", key)
        if key is not None and not card.sidechain:
            raise ValueError(f"{card.id} has no sidechain, so it takes no key")
        self._name = name
        self._bypass = bool(bypass)
        self._key = key
        self._groups: dict[str, tuple[GroupItem, ...]] = {}
        self._bypass_listener: Callable[[bool], None] | None = None
        self._owner: weakref.ref[Any] | None = None  # the rack that it is in
        self._resources: dict[str, Resource] = {id: self._resource(id, r) for id, r in resources.items() if r is not None}
        self._rebuild_listener: Callable[[], None] | None = None
        for group in card.groups:
            self._groups[group.id] = self._items(group, lists[group.id])

    def _meant(self, given: object) -> str:
        """The name of the argument that a value without a name was probably meant for."""
        if isinstance(given, list | tuple | GroupItem) and self.card.groups:
            return f"{self.card.groups[0].id}s"
        if not isinstance(given, bool | int | float) and self.card.resources:
            return str(self.card.resources[0]["id"])
        return next(iter(self._parameters), "name")

    def _items(self, group: Group, given: Sequence[GroupItem]) -> tuple[GroupItem, ...]:
        cls = self._group_classes[group.id]
        if isinstance(given, cls) or not isinstance(given, Iterable):
            raise TypeError(f"{self.card.id} takes {group.id}s as a list: [{cls.__name__}(…), …]")
        given = list(given)
        if len(given) > group.count:
            raise ValueError(f"{self.card.id} has {group.count} {group.id}s, got {len(given)}")
        items = []
        for index in range(group.count):
            item = cls()
            item._place = f"{self._place}.{group.id}{index + 1}"
            if index < len(given):
                if not isinstance(given[index], cls):
                    raise TypeError(f"{item._place} is a {type(given[index]).__name__}, not a {cls.__name__}")
                item._values.update(given[index]._values)
                item._explicit.update(given[index]._explicit)
            items.append(item)
        return tuple(items)

    @property
    def bypass(self) -> bool:
        """True leaves the sound as it is; the change fades over 8 ticks."""
        return self._bypass

    @bypass.setter
    def bypass(self, on: bool) -> None:
        before, self._bypass = self._bypass, bool(on)
        if self._bypass_listener is not None:
            try:
                self._bypass_listener(self._bypass)
            except BaseException:
                self._bypass = before
                raise

    @property
    def name(self) -> str | None:
        """The name given to it, or None when it goes by the card's id."""
        return self._name

    @property
    def key(self) -> str | None:
        """The sidechain input that the detector listens to; None is the sound itself."""
        return self._key

    @property
    def resources(self) -> dict[str, Resource]:
        """The effect's resources, by the card's id: impulse responses, networks. Set by attribute."""
        return dict(self._resources)

    def _resource(self, id: str, given: object) -> Resource:
        return TYPES[next(r["type"] for r in self.card.resources if r["id"] == id)].of(given)

    def _set_resource(self, id: str, given: object) -> None:
        before = dict(self._resources)
        if given is None:
            self._resources.pop(id, None)
        else:
            self._resources[id] = self._resource(id, given)
        if self._rebuild_listener is not None:
            try:
                self._rebuild_listener()
            except BaseException:
                self._resources = before
                raise

    def values(self) -> dict[str, Value]:
        """All values by address below the effect ("ratio", "band2.gain_db"), in the engine's order."""
        values = dict(self._values)
        for group, index, prefix in self.card.groups_of():
            item = self._groups[group.id][index - 1]
            values.update({f"{prefix}.{name}": value for name, value in item._values.items()})
        return values

    def unused(self) -> set[str]:
        """Addresses below the effect of group items that are as the card has them, such as bands that are off."""
        addresses: set[str] = set()
        for group, index, prefix in self.card.groups_of():
            if self._groups[group.id][index - 1]._is_default():
                addresses.update(f"{prefix}.{p.id}" for p in group.parameters)
        return addresses

    def switched_off(self) -> set[str]:
        """Addresses below the effect of group items that are off: as the card has them, in groups whose items can be off."""
        can_be = {g.id for g in self.card.groups if any(p.kind == "choice" and "off" in p.options for p in g.parameters)}
        groups = {prefix: group.id for group, _, prefix in self.card.groups_of()}
        return {address for address in self.unused() if groups[address.partition(".")[0]] in can_be}

    def _target(self, address: str) -> tuple[_Values, str]:
        head, dot, tail = address.partition(".")
        if dot:
            for group, index, prefix in self.card.groups_of():
                if prefix == head and tail in self._group_classes[group.id]._parameters:
                    return self._groups[group.id][index - 1], tail
        elif head in self._parameters:
            return self, head
        raise ValueError(unknown(address, list(self.card.addresses), self._place))

    def default(self, address: str) -> Value:
        """The card's default for an address below the effect, in proportion to other values where it follows them."""
        owner, name = self._target(address)
        return owner._default(owner._parameters[name])

    def get(self, address: str) -> Value:
        """A value by its address below the effect."""
        owner, name = self._target(address)
        return owner._values[name]

    def set(self, address: str, value: object) -> None:
        """Set a value by its address below the effect."""
        owner, name = self._target(address)
        owner._set(name, value)

    def copy(self) -> Self:
        """The same effect with the same values, belonging to no rack."""
        items = {f"{group.id}s": self._groups[group.id] for group in self.card.groups}
        given = {**self._values, **items, **self._resources}
        copied = type(self)(name=self._name, bypass=self._bypass, key=self._key, **given)
        copied._explicit.intersection_update(self._explicit)
        return copied

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> Any:
        return _rebuild_effect, (self.card.id, self._name, self._bypass, self._key, self.values(), self._resources)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Effect) or type(self) is not type(other):
            return NotImplemented
        mine = (self._name, self._bypass, self._key, self.values(), self._resources)
        return mine == (other._name, other._bypass, other._key, other.values(), other._resources)

    __hash__ = object.__hash__

    def _repr_html_(self) -> str:
        """For notebooks: its curve, what was set, and all values."""
        from ..pages.drawing import effect_html

        return effect_html(self)

    def __repr__(self) -> str:
        parts = list(self._differences())
        for group in self.card.groups:
            items = self._groups[group.id]
            used = max((i + 1 for i, item in enumerate(items) if not item._is_default()), default=0)
            if used:
                parts.append(f"{group.id}s=[{', '.join(map(repr, items[:used]))}]")
        parts += [f"{id}={resource!r}" for id, resource in self._resources.items()]
        if self._name is not None:
            parts.append(f"name={self._name!r}")
        if self._key is not None:
            parts.append(f"key={self._key!r}")
        if self._bypass:
            parts.append("bypass=True")
        return f"{type(self).__name__}({', '.join(parts)})"


def without_key(effect: Effect) -> Effect:
    """A copy whose detector listens to the sound itself."""
    return relabelled(effect, effect.name, None)


def relabelled(effect: Effect, name: str | None, key: str | None) -> Effect:
    """A copy under a name (None: that of its card), whose detector listens to a sidechain input (None: the sound itself)."""
    copied = effect.copy()
    copied._name, copied._key = name, key
    return copied


def owner_of(effect: Effect) -> Any:
    """The rack that an effect is in; None where it is in none."""
    return None if effect._owner is None else effect._owner()


def place_of(values: Effect | GroupItem) -> str:
    """The name of an effect or a group item in messages: its address in its rack, its name or card outside."""
    return values._place


def move(effect: Effect, address: str) -> None:
    """Let an effect be addressed so from now on."""
    effect._place = address
    for group, index, prefix in effect.card.groups_of():
        effect._groups[group.id][index - 1]._place = f"{address}.{prefix}"


def attach(
    effect: Effect, owner: object, changed: Listener, bypassed: Callable[[bool], None], rebuild: Callable[[], None]
) -> None:
    """Put an effect into a rack: it calls `changed`, `bypassed` and `rebuild` with every change from now on."""
    effect._owner = weakref.ref(owner)
    effect._rebuild_listener = rebuild
    effect._listener = changed
    effect._bypass_listener = bypassed
    for group, index, prefix in effect.card.groups_of():
        effect._groups[group.id][index - 1]._listener = _prefixed(prefix, changed)


def detach(effect: Effect) -> None:
    """Take an effect out of its rack: it calls nobody any more."""
    effect._listener = effect._bypass_listener = effect._rebuild_listener = effect._owner = None
    for items in effect._groups.values():
        for item in items:
            item._listener = None


def _rebuild_item(class_name: str, values: dict[str, Value]) -> GroupItem:
    return ITEM_CLASSES[class_name](**values)


def _rebuild_effect(
    card: str, name: str | None, bypass: bool, key: str | None, values: dict[str, Value], resources: dict[str, Resource]
) -> Effect:
    effect = CLASSES[card](name=name, bypass=bypass, key=key, **resources)
    for address, value in values.items():
        effect.set(address, value)
    return effect


def _prefixed(prefix: str, listener: Listener) -> Listener:
    return lambda name, value: listener(f"{prefix}.{name}", value)


def _property(p: Parameter) -> property:
    lines = [p.doc, "", f"Range: {p.range_text()}. {p.perceptual}"]
    return property(lambda self: self._values[p.id], doc="\n".join(lines))  # `_Values.__setattr__` sets it


def _resource_property(id: str, doc: str) -> property:
    return property(lambda self: self._resources.get(id), lambda self, value: self._set_resource(id, value), doc=doc)


def _group_property(group: Group) -> property:
    return property(lambda self: self._groups[group.id], doc=group.doc)


def _signature(parameters: Sequence[Parameter], first_by_position: bool, more: Sequence[tuple[str, Any]]) -> inspect.Signature:
    arguments = []
    for index, p in enumerate(parameters):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if first_by_position and index == 0 else inspect.Parameter.KEYWORD_ONLY
        annotation = {"choice": "str", "switch": "bool"}.get(p.kind, "float")
        arguments.append(inspect.Parameter(p.id, kind, default=None if p.follows else p.default, annotation=annotation))
    arguments += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default) for name, default in more]
    return inspect.Signature(arguments)


def _doc(intro: Sequence[str], parameters: Sequence[Parameter]) -> str:
    lines = [*intro, "", "Args:"]
    for p in parameters:
        default = f"{p.follows[1]:g} × {p.follows[0]}" if p.follows else p.default
        lines.append(f"    {p.id}: {p.doc} Range: {p.range_text()}; default {default}.")
    return "\n".join(lines)


def make_group_class(group: Group) -> type[GroupItem]:
    """The Python class of a repeated part, from its card."""
    members: dict[str, Any] = {p.id: _property(p) for p in group.parameters}
    members["_parameters"] = {p.id: p for p in group.parameters}
    members["group"] = group
    members["__doc__"] = _doc([group.doc], group.parameters)
    members["__signature__"] = _signature(group.parameters, True, ())
    ITEM_CLASSES[group.class_name] = created = type(group.class_name, (GroupItem,), members)
    return created


def make_effect_class(card: Card, group_classes: dict[str, type[GroupItem]]) -> type[Effect]:
    """The Python class of an effect, from its card: signature, docstring and attributes."""
    members: dict[str, Any] = {p.id: _property(p) for p in card.parameters}
    for group in card.groups:
        members[f"{group.id}s"] = _group_property(group)
    for resource in card.resources:
        members[resource["id"]] = _resource_property(resource["id"], resource["doc"])
    members["_parameters"] = {p.id: p for p in card.parameters}
    members["_group_classes"] = group_classes
    members["card"] = card
    lists = [f"    {g.id}s: up to {g.count} × {g.class_name}. {g.doc}" for g in card.groups]
    lists += [f"    {r['id']}: {r['doc']}" for r in card.resources]
    members["__doc__"] = "\n".join([_doc([card.purpose, "", card.rationale], card.parameters), *lists])
    more: list[tuple[str, Any]] = [(f"{g.id}s", ()) for g in card.groups]
    more += [(r["id"], None) for r in card.resources]
    more += [("name", None), ("bypass", False), ("key", None)]
    members["__signature__"] = _signature(card.parameters, False, more)
    CLASSES[card.id] = created = type(card.class_name, (Effect,), members)
    return created
