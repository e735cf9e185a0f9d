"""The twin of a whole session: channels, faders, sends and sidechains as modules, with gradients of the mix for every value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..audio import Audio
from ..rack.card import Parameter, Value
from ..rack.effect import unknown
from ..twins.curves import TICK_FRAMES, tick_count
from ..twins.effect_twin import EffectTwin, ParameterTwin, arithmetic
from ..twins.precision import full_precision
from ..twins.rack_twin import PREFIX, RackTwin
from ..twins.recursions import RecursionPath
from ..twins.values import Given, check_ranges
from .automated import automation_of
from .automation import Lane
from .channel import MASTER, SENDS, Channel
from .render import sources
from .routing import Node, Route, Routing
from .session import Session
from .timeline_rack import latency_before

First = int | Tensor  # a frame of the timeline, or one for each of a batch


def first_frames(first: First) -> list[int]:
    """Frames of the timeline, as numbers."""
    return [int(f) for f in first.reshape(-1).tolist()] if isinstance(first, Tensor) else [first]


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same memory."""
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


class ResultCache:
    """Results by what they were computed from; the last few of each."""

    KEPT = 3

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[Any, list[Tensor], Tensor]]] = {}

    def get(self, name: str, values: Any, inputs: list[Tensor], compute: Callable[[], Tensor]) -> Tensor:
        """The result of `compute`, or an earlier one for the same values and the same tensors."""
        entries = self._known.setdefault(name, [])
        for i, (its_values, its_inputs, result) in enumerate(entries):
            if its_values == values and len(its_inputs) == len(inputs) and all(map(_same, its_inputs, inputs)):
                entries.append(entries.pop(i))
                return result
        result = compute()
        entries.append((values, inputs, result))
        del entries[: -self.KEPT]
        return result


@dataclass(frozen=True)
class ChannelCard:
    """The parameters of all that a channel holds, by address below it."""

    id: str
    addresses: dict[str, Parameter]


class ChannelTwin(nn.Module, ParameterTwin):
    """One channel as a module: its rack, its fader, its sends."""

    def __init__(self, channel: Channel, session: Session, path: RecursionPath) -> None:
        super().__init__()
        self.channel = channel
        rate = session.sample_rate
        self.rack = RackTwin(channel.rack, rate, path)
        self.fader = EffectTwin(channel.fader, rate, path)
        self._latencies = latency_before(channel.rack, rate)
        self.sends = nn.ModuleDict({PREFIX + s.to: EffectTwin(s.fader, rate, path) for s in channel.sends})
        timeline = session.timeline
        automation = automation_of(channel, timeline)
        self._lanes = {a: Lane(f"{channel.name}.{a}", channel.parameter(a), p, timeline) for a, p in automation.items()}
        for address, lane in self._lanes.items():
            kind = lane.parameter.kind
            if kind != "continuous" and lane.parameter.id != "mute":
                raise ValueError(
                    f"{channel.name}.{address} is a {kind} whose automation has no twin; set it, or remove its points"
                )
        self.bypass = False
        self._card = ChannelCard(channel.name, {a: channel.parameter(a) for a in self.addresses()})

    @property
    def card(self) -> ChannelCard:
        """The parameters of its rack, fader and sends."""
        return self._card

    def _parts(self) -> dict[str, EffectTwin]:
        """All effects by what stands before the dot in their addresses below the channel."""
        parts = {"": self.fader}
        for name, twin in self.sends.items():
            assert isinstance(twin, EffectTwin)
            parts[f"{SENDS}.{name.removeprefix(PREFIX)}."] = twin
        return parts | {f"{address}.": self.rack[address] for address in self.rack.addresses()}

    def addresses(self) -> list[str]:
        return [prefix + name for prefix, twin in self._parts().items() for name in twin.card.addresses]

    def learnable(self) -> list[str]:
        """Addresses below the channel of the values that are parameters of this module, but for those that are automated."""
        return [
            prefix + name for prefix, twin in self._parts().items() if not twin.bypass
            for name in twin.learnable() if prefix + name not in self._lanes
        ]  # fmt: skip

    def raw_of(self, address: str) -> nn.Parameter:
        twin, name = self._find(address)
        return twin.raw_of(name)

    def _find(self, address: str) -> tuple[EffectTwin, str]:
        prefix = max((p for p in self._parts() if address.startswith(p)), key=len)
        return self._parts()[prefix], address.removeprefix(prefix)

    def values(self) -> dict[str, Value]:
        return {prefix + name: v for prefix, twin in self._parts().items() for name, v in twin.values().items()}

    def tensors(self) -> dict[str, Given]:
        return {prefix + name: v for prefix, twin in self._parts().items() for name, v in twin.tensors().items()}

    def given(
        self, prefix: str, frames: int, first: First, values: Mapping[str, Given], like: Tensor
    ) -> dict[str, Given]:  # fmt: skip
        """The values of an effect that are automated, from frame `first` on, replaced by those in `values`."""
        given: dict[str, Given] = {}
        for address, lane in self._lanes.items():
            if address.startswith(prefix) and (prefix or "." not in address) and lane.parameter.id != "mute":
                latency = self._latencies.get(prefix.removesuffix("."), 0)
                curves = [lane.curve((at - latency) / TICK_FRAMES, tick_count(frames)) for at in first_frames(first)]
                given[address.removeprefix(prefix)] = torch.from_numpy(np.stack(curves)).to(like.device)
        for address, value in values.items():
            if address.startswith(prefix) and (prefix or "." not in address):
                given[address.removeprefix(prefix)] = value
        mute = self._lanes.get(f"{prefix}mute")
        if mute is not None:
            twin = self._parts()[prefix]
            ticks, fade = tick_count(frames), arithmetic(twin.card).mute_level_db
            level = np.stack([fade(mute.curve(0, at // TICK_FRAMES + ticks))[-ticks:] for at in first_frames(first)])
            own = given.get("gain_db", twin.tensors()["gain_db"])
            gain = own if isinstance(own, Tensor) else torch.tensor(float(own), dtype=torch.float64)
            gain = gain.reshape(-1, 1) if gain.dim() < 2 else gain
            given["gain_db"] = gain + torch.from_numpy(level).to(like.device)
            given["mute"] = False  # the curve says when; the channel's own switch, as in the engine, nothing
        return given

    def through_rack(self, x: Tensor, keys: Mapping[str, Tensor], first: First, mine: Mapping[str, Given]) -> Tensor:
        """The rack's sound."""
        if not self.rack.addresses():
            return x
        frames = x.shape[-1] + self.rack.latency
        values = {
            f"{a}.{n}": v for a in self.rack.addresses() for n, v in self.given(f"{a}.", frames, first, mine, x).items()
        }  # fmt: skip
        y: Tensor = self.rack(x, sidechain=keys or None, values=values, first_frame=first)
        return y


class SessionTwin(nn.Module):
    """A differentiable mix that computes what `session.render()` computes.

    Args:
        session: structure and values; the twin keeps a copy and does not follow it later.
        path: form of the recursions, as of `RackTwin`.

    `twin["vocals"]` is the module of one channel. What is muted, soloed or sent is as in the session; sound that comes in is
    that of each channel's clips (see `sources`).

    Raises:
        ValueError: a circle; automation of a choice, which has no twin.
    """

    def __init__(self, session: Session, path: RecursionPath = "auto") -> None:
        super().__init__()
        self.session = session.copy()
        self.sample_rate = session.sample_rate
        self.routing = Routing(self.session)
        self.channels = nn.ModuleDict({PREFIX + n.name: ChannelTwin(n.channel, self.session, path) for n in self.routing})
        self._results: ResultCache | None = None
        self.heard: dict[str, Tensor] = {}  # what each channel gave last, after its fader
        self.inputs = [c.name for c in self.session if c.clips]

    def __getitem__(self, name: str) -> ChannelTwin:
        if PREFIX + name not in self.channels:
            raise KeyError(unknown(name, list(self.routing.nodes), "the twin", "channel"))
        channel = self.channels[PREFIX + name]
        assert isinstance(channel, ChannelTwin)
        return channel

    def addresses(self) -> list[str]:
        """Names of the channels, in the session's order."""
        return [c.name for c in self.session]

    def learnable(self) -> list[str]:
        """Addresses of all values that are parameters of this module, such as "vocals.compressor.ratio"."""
        return [f"{name}.{address}" for name in self.addresses() for address in self[name].learnable()]

    def resource_addresses(self) -> list[str]:
        """None: what effects are given is not trained through a mix."""
        return []

    def raw_of(self, address: str) -> nn.Parameter:
        """The unconstrained parameter behind an address of `learnable()`."""
        name, _, below = address.partition(".")
        return self[name].raw_of(below)

    def parameter(self, address: str) -> Parameter:
        """The card of a value."""
        return self.session.split(address)[0].parameter(address.partition(".")[2])

    def sources(self, frames: int | None = None) -> dict[str, Audio]:
        """The sound of each channel's clips, (width, frames): what `forward` is given.

        Args:
            frames: how many; to the session's end without.
        """
        return sources(self.session, frames)

    @full_precision()
    def forward(
        self,
        stems: Mapping[str, Tensor] | Tensor,
        *,
        first_frame: First = 0,
        values: Mapping[str, Given] | None = None,
        wanted: str = MASTER,
    ) -> Tensor:
        """The mix, from silence.

        Args:
            stems: what each channel's clips sound like, (batch, width, time) by channel; or all in one tensor, (batch, channels
                with clips x width, time), in the session's order. A channel that is not named is silent.
            first_frame: where on the timeline it begins, a multiple of 32, which the automation follows; a number, or (batch,).
            values: replaces values by address ("vocals.pan"): a number, a (batch,) tensor, or a (batch, ticks) curve.
            wanted: whose sound, after the fader.

        Returns:
            (batch, width, time).

        Raises:
            ValueError: unknown names, wrong shapes.
        """
        for at in first_frames(first_frame):
            if at % TICK_FRAMES:
                raise ValueError(f"first_frame = {at} is not a multiple of {TICK_FRAMES}, on which values move")
        sounds = self._by_channel(stems)
        replaced: dict[str, dict[str, Given]] = {}
        for address, value in (values or {}).items():
            name, _, below = address.partition(".")
            check_ranges(ChannelCard(name, {below: self.parameter(address)}), {below: value})
            replaced.setdefault(name, {})[below] = value
        silence = torch.zeros_like(next(iter(sounds.values())))
        before: dict[str, Tensor] = {}
        after: dict[str, Tensor] = {}

        def tap(route: Route) -> Tensor:
            return (before if route.tap == "pre" else after)[route.source.name]

        for node in self.routing:
            name = node.name
            channel, mine = self[name], replaced.get(name, {})
            clips = [sounds[name]] if name in sounds else []
            parts = clips + [self._route(route, tap(route), name, first_frame, replaced) for route in node.inputs] or [silence]
            keys = {key: tap(route) for key, route in node.keys.items()}

            def through_rack(
                channel: ChannelTwin = channel, node: Node = node, parts: list[Tensor] = parts,
                keys: dict[str, Tensor] = keys, mine: Mapping[str, Given] = mine,
            ) -> Tensor:  # fmt: skip
                return channel.through_rack(_input(node, parts), keys, first_frame, mine)

            def through_fader(
                channel: ChannelTwin = channel, name: str = name, mine: Mapping[str, Given] = mine
            ) -> Tensor:  # fmt: skip
                y = before[name]
                return channel.fader(y, None, channel.given("", y.shape[-1], first_frame, mine, y), check=False)  # type: ignore[no-any-return]

            inputs = [*parts, *keys.values()]
            before[name] = self._known(f"{name} rack", channel.rack, inputs, replaced, through_rack)
            after[name] = self._known(f"{name} fader", channel.fader, [before[name]], replaced, through_fader)
            if name == wanted:
                self.heard = after
                return after[name]
        raise ValueError(unknown(wanted, list(self.routing.nodes), "the twin", "channel"))

    def _by_channel(self, stems: Mapping[str, Tensor] | Tensor) -> dict[str, Tensor]:
        width = self.session.width
        if isinstance(stems, Tensor):
            rows = width * len(self.inputs)
            if stems.dim() != 3 or stems.shape[1] != rows:
                names = ", ".join(self.inputs)
                raise ValueError(
                    f"the stems have shape {tuple(stems.shape)}; give (batch, {rows}, time): {width} for each of {names}"
                )
            return {name: stems[:, width * i : width * (i + 1)] for i, name in enumerate(self.inputs)}
        for name, x in stems.items():
            if name not in self.routing.nodes:
                raise ValueError(unknown(name, list(self.routing.nodes), "the session", "channel"))
            if x.dim() != 3 or x.shape[1] != width:
                raise ValueError(f"the stem of {name} has shape {tuple(x.shape)}; give (batch, {width}, time)")
        if not stems:
            raise ValueError("there is no stem; give the sound of at least one channel")
        return dict(stems)

    def _known(
        self, name: str, module: nn.Module, inputs: list[Tensor], replaced: object, compute: Callable[[], Tensor]
    ) -> Tensor:  # fmt: skip
        """The result of `compute`, or the cached one where the same was computed before."""
        if self._results is None or replaced:
            return compute()
        return self._results.get(name, [u.item() for u in module.parameters() if u.numel() == 1], inputs, compute)

    def _route(
        self, route: Route, source: Tensor, to: str, first: First, replaced: Mapping[str, Mapping[str, Given]]
    ) -> Tensor:  # fmt: skip
        """The sound of a route: the source as it is, or through the fader of a send."""
        if route.send is None:
            return source
        name = route.source.name
        twin, prefix, fader = self[name], f"{SENDS}.{route.send.to}.", self[name].sends[PREFIX + route.send.to]

        def through_fader() -> Tensor:
            given = twin.given(prefix, source.shape[-1], first, replaced.get(name, {}), source)
            return fader(source, None, given, check=False)  # type: ignore[no-any-return]

        return self._known(f"{name} to {to}", fader, [source], replaced, through_fader)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Meanwhile, without gradients, only what has changed is computed again: for many renderings of the same stems."""
        self._results = ResultCache()
        try:
            yield
        finally:
            self._results = None

    def to_session(self) -> Session:
        """A session with the present values; those that training has not touched are exactly as they were."""
        session = self.session.copy()
        for name in self.addresses():
            channel = session[name]
            for address, value in self[name].values().items():
                channel.set(address, value)
        return session


def _input(node: Node, parts: list[Tensor]) -> Tensor:
    """These added, with the channel's polarity and delay."""
    x = parts[0]
    for part in parts[1:]:
        x = x + part
    if node.inverts:
        x = x * torch.tensor(node.signs, dtype=x.dtype, device=x.device)[None, :, None]
    return _shifted(x, node.delay)


def _shifted(x: Tensor, frames: int) -> Tensor:
    """Later by whole frames, or earlier, as long as before."""
    if frames == 0:
        return x
    count = min(abs(frames), x.shape[-1])
    if frames > 0:
        return nn.functional.pad(x[..., : x.shape[-1] - count], (count, 0))
    return nn.functional.pad(x[..., count:], (0, count))
