"""One effect as a torch module: the card's parameters, each kept inside its range, and the arithmetic of its `twin.py`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, get_args

import torch
from torch import Tensor, nn

from ..audio import check_rate
from ..rack.card import Card, Value, find_card
from ..rack.effect import Effect, unknown
from ..resources.resource import Resource
from .constrain import from_value, moved, value_at
from .precision import full, full_precision
from .recursions import RecursionPath
from .values import Context, Given, ParameterTable, check_ranges, check_sound, pack


def arithmetic(card: Card) -> Any:
    """The module `plugins/<id>/twin.py` of an effect: `process(x, values, context, key)` and, where it has one, `latency`."""
    return import_module(f"twinrack.plugins.{card.id}.twin")


def _run(
    card: Card,
    x: Tensor,
    given: Mapping[str, Given],
    sample_rate: float,
    key: Tensor | None,
    path: RecursionPath,
    resources: Mapping[str, Tensor],
    known: Mapping[str, Resource],
    first_tick: float | Tensor = 0.0,
    branches: int = 0,
) -> Any:
    """The sound, or, before branches, a list with the part of each."""
    check_sound(x, "x")
    if x.shape[-1] == 0:
        return [x] * branches if branches else x
    values = pack(card, given, x)
    context = Context(sample_rate, x.shape[1], x.shape[-1], path, resources, known, first_tick)
    if branches:
        return arithmetic(card).split(x, values, context, branches)
    return arithmetic(card).process(x, values, context, key)


@full_precision()
def apply(
    effect: str,
    x: Tensor,
    sample_rate: float,
    values: Mapping[str, Given] | None = None,
    *,
    key: Tensor | None = None,
    path: RecursionPath = "auto",
    resources: Mapping[str, Tensor | Resource] | None = None,
    **more: Given,
) -> Tensor:
    """An effect as a function, differentiable in the sound and in every continuous parameter.

    Args:
        effect: the card's id, such as "compressor".
        x: (batch, channels, time), float32 or float64. Half precision is taken as float32 and given back as it came, also under
            `torch.autocast`.
        sample_rate: Hz.
        values: by address below the effect ("ratio", "band2.gain_db"), in user units: a number, a (batch,) tensor, or a
            (batch, ticks) curve with one value for each 32 frames. What is missing has the card's default.
        key: the detector's input of an effect with a sidechain, (batch, channels, time).
        path: "fast", "parallel", "reference" or "auto" (fast where possible, else parallel).
        resources: by the card's id: a Response or Network, or the impulse response itself, (channels, frames)
            at the sample rate.
        more: further values, for addresses without a dot.

    Returns:
        As x; an effect with lookahead delays the sound by its latency, as in a stream of the engine.

    Raises:
        ValueError: unknown effect or parameter, wrong shape, value out of range.
    """
    card = find_card(effect)
    given: dict[str, Given] = {a: p.default for a, p in card.addresses.items()}
    for address, value in {**(values or {}), **more}.items():
        if address not in given:
            raise ValueError(unknown(address, list(given), effect))
        given[address] = value
    check_ranges(card, given)
    rate = check_rate(sample_rate)
    known = {name: r for name, r in (resources or {}).items() if isinstance(r, Resource)}
    numbers = {name: torch.tensor(r.at(rate)) if isinstance(r, Resource) else r for name, r in (resources or {}).items()}
    y: Tensor = _run(card, x, given, rate, key, path, numbers, known)
    return y


class Delay(NamedTuple):
    """A delay in frames; `dispersion` of them are phase dispersion (see `Program::Delay` in the engine)."""

    frames: int = 0
    dispersion: int = 0


class ParameterTwin(Protocol):
    """A module whose values are reached by address: the twin of an effect, or of a whole channel."""

    bypass: bool

    @property
    def card(self) -> ParameterTable: ...

    def learnable(self) -> list[str]: ...

    def raw_of(self, address: str) -> nn.Parameter: ...

    def values(self) -> dict[str, Value]: ...

    def tensors(self) -> dict[str, Given]: ...


class EffectTwin(nn.Module):
    """The twin of one effect, with the effect's present values as its parameters.

    Every learnable continuous value is an `nn.Parameter` (float64, unconstrained; see `constrain`), by its address with
    "__" for "."; choices, switches, values that are not learnable and unused group items (a band that is off) are constants.
    What the effect is given besides, an impulse response or a network's weights, is in `resources` at the sample rate. A
    network learns as the parameters do, a response only when told to: `twin.resources["impulse_response"].requires_grad_()`.

    Args:
        effect: where the values come from; the twin does not follow it later.
        sample_rate: Hz.
        path: form of the recursions.
    """

    def __init__(self, effect: Effect, sample_rate: float, path: RecursionPath = "auto") -> None:
        super().__init__()
        self.card = effect.card
        self.sample_rate = check_rate(sample_rate)
        if path not in get_args(RecursionPath):
            raise ValueError(unknown(str(path), get_args(RecursionPath), "the twin", "path"))
        self.path: RecursionPath = path
        self.bypass = effect.bypass
        self.key = effect.key
        self.constants: dict[str, Value] = effect.values()
        unused = effect.switched_off()
        self.raw = nn.ParameterDict()
        for address, p in self.card.addresses.items():
            if p.kind == "continuous" and p.learnable and address not in unused:
                u = torch.tensor(from_value(p, float(self.constants[address])), dtype=torch.float64)
                self.raw[address.replace(".", "__")] = nn.Parameter(u)
        self.known = effect.resources
        self.resources = nn.ParameterDict()
        learns = {r["id"]: bool(r["learnable"]) for r in self.card.resources}
        for name, resource in self.known.items():
            resource.check(self.card.id, self.sample_rate, None)
            numbers = torch.from_numpy(resource.at(self.sample_rate).copy())
            self.resources[name] = nn.Parameter(numbers, requires_grad=learns[name])
        self._began = {name: float(u.detach()) for name, u in self.raw.items()}

    def learnable(self) -> list[str]:
        """Addresses below the effect of the values that are parameters of this module."""
        return [name.replace("__", ".") for name in self.raw]

    def raw_of(self, address: str) -> nn.Parameter:
        """The unconstrained parameter of an address below the effect."""
        raw: nn.Parameter = self.raw[address.replace(".", "__")]
        return raw

    def tensors(self) -> dict[str, Given]:
        """All values by address: tensors (differentiable) for the parameters of this module, the rest as they are."""
        given: dict[str, Given] = dict(self.constants)
        for name, u in self.raw.items():
            address = name.replace("__", ".")
            given[address] = value_at(self.card.addresses[address], full(u))
        return given

    def values(self) -> dict[str, Value]:
        """All present values in user units; those that training has not touched exactly as the effect had them."""
        values = dict(self.constants)
        for name, u in self.raw.items():
            address = name.replace("__", ".")
            if float(u.detach()) != self._began[name]:
                p = self.card.addresses[address]
                values[address] = min(max(float(value_at(p, u.detach())), p.min), p.max)
        return values

    def map(self, address: str, u: Tensor) -> Tensor:
        """The value at an address below the effect, moved by any real `u`; see `RackTwin.map`."""
        p = self.card.addresses.get(address)
        if p is None:
            raise ValueError(unknown(address, list(self.card.addresses), self.card.id))
        if p.kind != "continuous":
            raise ValueError(
                f"{self.card.id}.{address} is a {p.kind}, which nothing can move gradually; choose one of its options"
            )
        if address == self.card.latency:
            raise ValueError(f"{self.card.id}.{address} sets the latency; set it in the rack and make another twin")
        own = self.tensors()[address]
        return moved(p, own if isinstance(own, Tensor) else float(own), torch.as_tensor(u))

    @property
    def latency(self) -> int:
        """Frames by which `forward` delays the sound."""
        return self.delay.frames - self.delay.dispersion

    @property
    def delay(self) -> Delay:
        """The delay of the sound in frames, and how many of these are phase dispersion, in which sound arrives already."""
        module = arithmetic(self.card)
        latency, dispersion = (
            int(find(self.constants, self.sample_rate)) if (find := getattr(module, name, None)) is not None else 0
            for name in ("latency", "dispersion")
        )
        return Delay(latency, dispersion)

    @full_precision()
    def forward(
        self,
        x: Tensor,
        key: Tensor | None = None,
        values: Mapping[str, Given] | None = None,
        *,
        first_tick: float | Tensor = 0.0,
        check: bool = True,
    ) -> Tensor:
        """Process x (batch, channels, time).

        Args:
            values: replaces some of the values, as in `apply`; without `check` they may leave the card's ranges.
            first_tick: where on the timeline x begins, in ticks of 32 frames, for what moves by itself.
        """
        given, resources = self._with(values, check), full(dict(self.resources))
        y: Tensor = _run(self.card, x, given, self.sample_rate, key, self.path, resources, self.known, first_tick)
        return y

    @full_precision()
    def split(
        self,
        x: Tensor,
        branches: int,
        values: Mapping[str, Given] | None = None,
        *,
        first_tick: float | Tensor = 0.0,
    ) -> list[Tensor]:
        """The part of x (batch, channels, time) that each branch behind an effect that splits gets; see `forward`.

        Bypassed, it gives all to the first one.
        """
        if self.bypass:
            return [x, *[torch.zeros_like(x)] * (branches - 1)]
        given = self._with(values, True)
        parts: list[Tensor] = _run(
            self.card, x, given, self.sample_rate, None, self.path, {}, self.known, first_tick, branches=branches
        )
        return parts

    def _with(self, values: Mapping[str, Given] | None, check: bool) -> dict[str, Given]:
        """All values, some replaced."""
        given = self.tensors()
        for address, value in (values or {}).items():
            if address not in given:
                raise ValueError(unknown(address, list(given), self.card.id))
            if address == self.card.latency and value != self.constants[address]:
                raise ValueError(f"{self.card.id}.{address} sets the latency; set it in the rack and make another twin")
            given[address] = value
        if values and check:
            check_ranges(self.card, values)
        return given

    def controls(self, x: Tensor, key: Tensor | None, values: Mapping[str, Given] | None) -> dict[str, Tensor]:
        """Amounts to add to the positions of other effects' values, by address in the rack: (batch, ticks); empty for most."""
        find = getattr(arithmetic(self.card), "controls", None)
        if find is None or not self.resources:
            return {}
        context = Context(self.sample_rate, x.shape[1], x.shape[-1], self.path, full(dict(self.resources)), self.known)
        moves: dict[str, Tensor] = find(x, pack(self.card, self.tensors() | dict(values or {}), x), context, key)
        return moves

    def extra_repr(self) -> str:
        return f"{self.card.id}, {self.sample_rate:g} Hz"
