"""The engine's form of a rack: nodes with their values and resources, and what a rack demands of a format."""

from __future__ import annotations

from importlib import import_module

from .. import _engine
from ..audio import Audio
from ..resources.network import ControlNetwork
from ..resources.resource import Resource
from .addresses import Addresses
from .effect import Effect
from .external_effect import ExternalEffect, Work
from .tree import Chain, Parallel, Split


def own_latency(effect: Effect, rate: float, offline: bool = True) -> int:
    """The latency of an effect in frames, at a rate in Hz; offline, where an external effect may have another one."""
    if isinstance(effect, ExternalEffect):
        return effect.latency_at(rate, offline)
    if effect.card.latency == "none":
        return 0
    values = effect.values()
    return _engine.effect_latency(effect.card.id, [p.to_engine(values[n]) for n, p in effect.card.addresses.items()], rate)


def latency_before(structure: Addresses, rate: float, offline: bool = True) -> dict[str, int]:
    """How many frames of latency lie before each effect, by address."""
    latencies: dict[str, int] = {}

    def walk(item: Effect | Chain | Parallel, before: int) -> int:
        if isinstance(item, Effect):
            latencies[structure.places[id(item)][0]] = before
            return own_latency(item, rate, offline)
        if isinstance(item, Parallel):
            split = walk(item.splitter, before) if isinstance(item, Split) else 0
            return split + max(walk(branch, before + split) for branch in item.branches)
        total = 0
        for child in item.items:
            total += walk(child, before + total)
        return total

    walk(structure.root, 0)
    return latencies


def check_format(structure: Addresses, sample_rate: float, channels: int) -> None:
    """Refuse a format that an effect, or a resource of one, is not for.

    Raises:
        ValueError: names the effect.
    """
    for address, effect in structure.effects.items():
        wanted = {"mono": 1, "stereo": 2}.get(effect.card.channels, channels)
        if channels != wanted:
            raise ValueError(f"{address} is a {effect.card.channels} effect; the sound has {channels} channels")
        for resource in effect.resources.values():
            resource.check(address, sample_rate, channels)


def compile_tree(
    structure: Addresses, rack: str, sample_rate: float, channels: int, offline: bool = True
) -> tuple[_engine.Node, list[Work]]:
    """The engine's tree, and the work of its external effects; `rack` is what messages call the rack.

    Raises:
        ValueError: the format does not fit, or a controller drives what it cannot.
    """
    check_format(structure, sample_rate, channels)
    works: list[Work] = []
    hearing = {a: e for a, e in structure.effects.items() if isinstance(e, ExternalEffect) and e.hears_midi}
    if hearing:
        late = latency_before(structure, sample_rate, offline)
        for address, effect in hearing.items():
            effect.frames_before = late[address]

    external = [e for e in structure.effects.values() if isinstance(e, ExternalEffect)]
    for effect in external:
        effect.waiting_beside = max(sum(e.is_waited_for for e in external), 1)

    def compile_item(item: Effect | Chain | Parallel) -> _engine.Node:
        node = _engine.Node()
        if isinstance(item, ExternalEffect):
            works.append(item.work(channels, sample_rate, offline))
            node.worker = works[-1].worker
        if isinstance(item, Effect):
            node.kind = _engine.NodeKind.effect
            node.effect = item.card.id
            values = item.values()
            node.values = [p.to_engine(values[name]) for name, p in item.card.addresses.items()]
            node.bypass = item.bypass
            node.key = -1 if item.key is None else structure.keys.index(item.key)
            for resource in item.resources.values():
                node.set_resource(built_resource(item, resource, sample_rate, channels))
                node.drives = _driven_by(item, resource, structure, rack)
            return node
        if isinstance(item, Split):
            item.check()
        kinds = _engine.NodeKind
        node.kind = kinds.chain if isinstance(item, Chain) else kinds.split if isinstance(item, Split) else kinds.parallel
        node.children = [compile_item(child) for child in item.children()]
        return node

    try:
        return compile_item(structure.root), works
    except BaseException:
        for work in works:
            work.stop()
        raise


def built_resource(effect: Effect, resource: Resource, sample_rate: float, channels: int) -> Audio:
    """A resource as the engine takes it: rows of numbers, at the rack's rate, shaped by the effect's values."""
    module = import_module(f"twinrack.plugins.{effect.card.id}.resource")
    built: Audio = module.build(effect.values(), resource, sample_rate, channels)
    return built


def _driven_by(effect: Effect, resource: Resource, structure: Addresses, rack: str) -> list[int]:
    """Numbers of the parameters that a controller drives.

    Raises:
        ValueError: a target is unknown, cannot move, or comes before the controller.
    """
    if not isinstance(resource, ControlNetwork):
        return []
    own = structure.places[id(effect)][0]
    order = list(structure.effects)
    numbers = []
    for target in resource.targets:
        try:
            p, index = structure.index(target, rack)
        except ValueError as error:
            raise ValueError(f"{own} drives {target!r}: {error}") from None
        if p.kind != "continuous":
            raise ValueError(f"{own} drives {target!r}, which is a {p.kind}; only numbers can be driven")
        if order.index(target.partition(".")[0]) <= order.index(own):
            raise ValueError(f"{own} drives {target!r}, which stands before it; put {own} before all that it drives")
        numbers.append(index)
    networks = [r for e in structure.effects.values() for r in e.resources.values() if isinstance(r, ControlNetwork)]
    driven = [target for network in networks for target in network.targets]
    for target in resource.targets:
        if driven.count(target) > 1:
            raise ValueError(f"{target!r} is driven by two controllers; let one of them drive it")
    return numbers
