"""The twin of a whole rack: the same tree, the same delays, every effect a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import check_rate
from ..rack.effect import Effect, unknown, unknown_address
from ..rack.tree import Split
from .constrain import at_position, driven
from .curves import TICK_FRAMES, delay, numbers_in, tick_count
from .effect_twin import Delay, EffectTwin
from .precision import full_precision
from .recursions import RecursionPath
from .values import Given, check_sound

if TYPE_CHECKING:
    from ..rack.rack import Rack
    from ..rack.tree import Chain, Parallel


PREFIX = "at_"  # so that an effect may be called what a torch module has already, such as "values"


@dataclass(frozen=True)
class Branches:
    """The tree of the rack, with addresses for effects; one that splits gives each of its branches a part of the sound."""

    serial: bool
    children: tuple[Plan, ...]
    splitter: str | None = None


Plan = str | Branches


def _plan(item: Effect | Chain | Parallel, addresses: Iterator[str]) -> Plan:
    if isinstance(item, Effect):
        return next(addresses)
    splitter = next(addresses) if isinstance(item, Split) else None
    if isinstance(item, Split):
        item.check()
    children = item.branches if isinstance(item, Split) else item.children()
    return Branches(item.serial, tuple(_plan(child, addresses) for child in children), splitter)


class RackTwin(nn.Module):
    """A differentiable rack on (batch, channels, time) that computes what `rack(x, sample_rate)` computes.

    Args:
        rack: structure and values; the twin keeps a copy and does not follow it later.
        sample_rate: Hz.
        path: form of the recursions: "fast", "parallel", "reference", or "auto" (fast where possible, else parallel).

    `twin["compressor"]` is the module of one effect; in `state_dict` and `effects` its name is prefixed with "at_".
    """

    def __init__(self, rack: Rack, sample_rate: float, path: RecursionPath = "auto") -> None:
        super().__init__()
        self._rack = rack.copy()
        self.sample_rate = sample_rate = check_rate(sample_rate)
        twins = {address: EffectTwin(e, sample_rate, path) for address, e in self._rack.addresses().items()}
        self.effects = nn.ModuleDict({PREFIX + address: twin for address, twin in twins.items()})
        self._tree = _plan(self._rack.root, iter(twins))

    def __getitem__(self, address: str) -> EffectTwin:
        if PREFIX + address not in self.effects:
            raise KeyError(unknown(address, self.addresses(), "the twin", "effect"))
        twin = self.effects[PREFIX + address]
        assert isinstance(twin, EffectTwin)
        return twin

    def addresses(self) -> list[str]:
        """Addresses of all effects."""
        return [name.removeprefix(PREFIX) for name in self.effects]

    def learnable(self) -> list[str]:
        """Addresses of all values that are parameters of this module, such as "compressor.ratio"."""
        return [f"{address}.{name}" for address in self.addresses() for name in self[address].learnable()]

    @property
    def num_params(self) -> int:
        """How many numbers `process_normalized` takes: one for each of `learnable()`, in that order."""
        return len(self.learnable())

    def denormalize(self, params: Tensor) -> dict[str, Tensor]:
        """The values at places 0 to 1 of their cards' ranges, in their units, by address.

        Args:
            params: (…, num_params), each in its parameter's own scale (dB, or octaves and the like).

        Raises:
            ValueError: another number of them, or one outside 0 to 1.
        """
        addresses = self.learnable()
        if params.dim() == 0 or params.shape[-1] != len(addresses):
            shape = tuple(params.shape)
            raise ValueError(f"params have the shape {shape}; {len(addresses)} numbers were expected, one for each learnable()")
        numbers = numbers_in(params)
        if numbers.numel() and not bool(((numbers >= 0.0) & (numbers <= 1.0)).all()):
            raise ValueError("params lie between 0 and 1, the ends of each range; put a sigmoid before them")
        values = {}
        for address, position in zip(addresses, params.unbind(-1), strict=True):
            effect, _, name = address.partition(".")
            values[address] = at_position(self[effect].card.addresses[name], position.double())
        return values

    def process_normalized(
        self, x: Tensor, params: Tensor, *, sidechain: Tensor | Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Process with values from one vector, such as a network's output behind a sigmoid; see `denormalize`.

        Args:
            x: (batch, channels, time).
            params: (batch, num_params) or (num_params,), 0 to 1.
            sidechain: as in a call.
        """
        y: Tensor = self(x, sidechain=sidechain, values=self.denormalize(params))
        return y

    def resource_addresses(self) -> list[str]:
        """Addresses of the effects' resources, such as "adapter.network"."""
        return [f"{address}.{name}" for address in self.addresses() for name in self[address].resources]

    def resource_at(self, address: str) -> nn.Parameter:
        """The numbers behind an address of `resource_addresses()`."""
        effect, _, name = address.partition(".")
        numbers: nn.Parameter = self[effect].resources[name]
        return numbers

    def raw_of(self, address: str) -> nn.Parameter:
        """The unconstrained parameter behind an address of `learnable()`."""
        effect, _, name = address.partition(".")
        return self[effect].raw_of(name)

    @overload
    def map(self, address: str, u: Tensor) -> Tensor: ...

    @overload
    def map(self, address: Mapping[str, Tensor]) -> dict[str, Tensor]: ...

    def map(self, address: str | Mapping[str, Tensor], u: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Values for `forward(values=…)` from what a network gives: any real number becomes a value inside the card's range.

            y = twin(x, values=twin.map({"compressor.threshold_db": head(x), "compressor.ratio": other(x)}))

        u = 0 gives the twin's present value, so a last layer that begins at zero begins with the sound as it is set. The map
        is monotone, bends like a sigmoid towards both ends of the range, in the parameter's own scale, and has a slope of a
        quarter of the range at 0 whatever the value (see `constrain.moved`). A value set to the very end of its range can
        move away only; set it further inside where that is not wanted.

        Args:
            address: such as "compressor.threshold_db"; or a mapping of addresses to what moves each.
            u: any shape that `forward` takes: a number, (batch,) or (batch, ticks).

        Returns:
            The value in its unit, of the shape of `u`; of a mapping, one for each address.

        Raises:
            ValueError: nothing is there, or it is a choice, a switch, or what sets the latency.
        """
        if isinstance(address, Mapping):
            if u is not None:
                raise TypeError("give either an address and u, or one mapping of addresses to u")
            return {name: self.map(name, each) for name, each in address.items()}
        if u is None:
            raise TypeError(f"give what moves {address}: twin.map({address!r}, u)")
        effect, _, name = address.partition(".")
        if effect not in self.addresses():
            raise ValueError(self._unknown(address))
        return self[effect].map(name, u)

    def _unknown(self, address: str) -> str:
        return unknown_address(address, {a: list(self[a].card.addresses) for a in self.addresses()}, "the twin")

    @property
    def latency(self) -> int:
        """Frames that `forward` compensates."""
        return self._delay(self._tree, False).frames

    def _delay(self, item: Plan, beside: bool) -> Delay:
        """As `Program::compile`: `beside` other branches a turned phase counts as delay, elsewhere it does not."""
        if isinstance(item, str):
            own = self[item].delay
            return own if beside else Delay(own.frames - own.dispersion)
        children = [self._delay(child, beside or not item.serial) for child in item.children]
        if item.serial:
            return Delay(sum(c.frames for c in children), sum(c.dispersion for c in children))
        longest, dispersion = (max((c[i] for c in children), default=0) for i in (0, 1))
        own = Delay(longest, dispersion) if beside else Delay(longest - dispersion)
        before = Delay() if item.splitter is None else self._delay(item.splitter, beside)
        return Delay(before.frames + own.frames, before.dispersion + own.dispersion)

    @full_precision()
    def forward(
        self,
        x: Tensor,
        *,
        sidechain: Tensor | Mapping[str, Tensor] | None = None,
        values: Mapping[str, Given] | None = None,
        first_frame: int | Tensor = 0,
    ) -> Tensor:
        """Process from silence; latency is compensated, the length stays.

        Args:
            x: (batch, channels, time), float32 or float64. Half precision is taken as float32 and given back as it came, also
                under `torch.autocast`.
            sidechain: the input of keyed effects' detectors: (batch, channels, time), or one for each name.
            values: replaces values by address ("compressor.ratio"): a number, a (batch,) tensor, or a (batch, ticks) curve;
                this is how a network drives the rack.
            first_frame: where on the timeline x begins, one number or (batch,), for what moves by itself, such as a reverb's
                modulation.
        """
        check_sound(x, "x")
        latency = self.latency
        tick = (
            first_frame.double().reshape(-1, 1) / TICK_FRAMES if isinstance(first_frame, Tensor) else first_frame / TICK_FRAMES
        )
        keys = self._keys(sidechain)
        given: dict[str, dict[str, Given]] = {}
        for address, value in (values or {}).items():
            effect, _, name = address.partition(".")
            if effect not in self.addresses():
                raise ValueError(self._unknown(address))
            given.setdefault(effect, {})[name] = _lengthened(value, x.shape[-1], latency)
        if latency:
            x = nn.functional.pad(x, (0, latency))
            keys = {name: nn.functional.pad(key, (0, latency)) for name, key in keys.items()}
        return self._process(self._tree, x, keys, given, 0, tick, False)[..., latency:]

    def _keys(self, sidechain: Tensor | Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        names = self._rack.sidechains
        if isinstance(sidechain, Tensor):
            sidechain = {name: sidechain for name in names[:1]}
        keys = dict(sidechain or {})
        for name in names:
            if name not in keys:
                raise ValueError(f"the rack listens to sidechain {name!r}; pass sidechain={{{name!r}: tensor}}")
        return keys

    def _process(
        self,
        item: Plan,
        x: Tensor,
        keys: Mapping[str, Tensor],
        given: dict[str, dict[str, Given]],
        late: int,
        tick: float | Tensor,
        beside: bool,
    ) -> Tensor:
        """`late`: frames by which x is late here, and by which keys are delayed; `beside`: other branches."""
        if isinstance(item, str):
            twin = self[item]
            if twin.bypass:
                return delay(x, self._delay(item, beside).frames)
            key = None if twin.key is None else delay(keys[twin.key], late)
            for address, move in twin.controls(x, key, given.get(item)).items():
                self._drive(address, move, given)
            y: Tensor = twin(x, key, given.get(item), first_tick=tick)
            return y
        if item.serial:
            for child in item.children:
                x = self._process(child, x, keys, given, late, tick, beside)
                late += self._delay(child, beside).frames
            return x
        delays = [self._delay(child, True).frames for child in item.children]
        longest = max(delays, default=0)
        parts = [x] * len(item.children)
        if item.splitter is not None:
            parts = self[item.splitter].split(x, len(parts), given.get(item.splitter), first_tick=tick)
            late += self._delay(item.splitter, beside).frames
        branches = [
            (self._process(child, part, keys, given, late, tick, True), own)
            for child, part, own in zip(item.children, parts, delays, strict=True)
        ]
        return sum((delay(y, longest - own) for y, own in branches), torch.zeros_like(x))

    def _drive(self, address: str, move: Tensor, given: dict[str, dict[str, Given]]) -> None:
        """Move a value by the output of a controller: as `Program::drive`."""
        effect, _, name = address.partition(".")
        twin = self[effect]
        p = twin.card.addresses[name]
        own = given.get(effect, {}).get(name, twin.tensors()[name])
        base = own if isinstance(own, Tensor) else torch.tensor(float(own), dtype=torch.float64)
        base = base.to(move.device, torch.float64)
        if move.dtype == torch.float32:
            base = base.float().double()
        base = base.reshape(-1, 1) if base.dim() < 2 else base
        given.setdefault(effect, {})[name] = driven(p, base, move.double())

    def to_rack(self) -> Rack:
        """A rack with the present values; those that training has not touched are exactly as they were."""
        rack = self._rack.copy()
        for address, effect in rack.addresses().items():
            for name, value in self[address].values().items():
                effect.set(name, value)
            for name, numbers in self[address].resources.items():
                before = effect.resources[name]
                learned = before.learned(numbers.detach().cpu().numpy().astype(np.float32), self.sample_rate)
                if learned is not before:
                    setattr(effect, name, learned)
        return rack


def _lengthened(value: Given, frames: int, latency: int) -> Given:
    """A curve for `frames`, its last value held for what the latency adds."""
    if not isinstance(value, Tensor) or value.dim() < 2 or value.shape[-1] != tick_count(frames):
        return value
    more = tick_count(frames + latency) - value.shape[-1]
    return torch.cat([value, value[:, -1:].expand(-1, more)], dim=1) if more else value
