"""Rack, Chain and Parallel: what a user builds, hears, changes while it sounds, and compares."""

from __future__ import annotations

import logging
import math
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio, Layout, as_planar, check_rate, in_layout
from ..checks import brief, is_integer, whole_number
from ..resources.network import ControlNetwork
from ..resources.resource import Resource
from ..system.forking import is_mine, lock
from .addresses import Addresses
from .card import Parameter, Value
from .effect import Effect, unknown
from .effects import Addressed
from .python_effect import PythonEffect, Work
from .renderer import Renderer, in_step
from .tree import Chain, Parallel, shape_of

if TYPE_CHECKING:
    from ..twins.rack_twin import RackTwin
    from ..twins.recursions import RecursionPath

E = TypeVar("E", bound=Effect)
log = logging.getLogger("twinrack")
TICK_FRAMES: int = _engine.TICK_FRAMES

Listener = Callable[[int, dict[str, Any]], None]
Sidechain = npt.ArrayLike | Mapping[str, npt.ArrayLike] | None


@dataclass(frozen=True)
class Meter:
    """Levels of one effect since the meters were last read, over all channels, in dBFS.

    `gain_reduction_db` is the largest reduction (0 where there is none); `faults` counts blocks in which the effect gave
    numbers that are not finite, and was reset and faded.
    """

    peak_in_db: float
    peak_out_db: float
    rms_in_db: float
    rms_out_db: float
    gain_reduction_db: float
    faults: int


def _db(linear: float) -> float:
    return 20.0 * math.log10(linear) if linear > 0 else -math.inf


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def own_latency(effect: Effect, rate: float) -> int:
    """Frames that an effect holds back at a rate in Hz."""
    if isinstance(effect, PythonEffect):
        return effect.latency_frames
    if effect.card.latency == "none":
        return 0
    values = effect.values()
    return _engine.effect_latency(effect.card.id, [p.to_engine(values[n]) for n, p in effect.card.addresses.items()], rate)


class Rack(Addressed):
    """A chain of effects that renders arrays, streams blocks, and has a trainable twin.

    Args:
        effects: effects, Chain and Parallel, first to last; one alone needs no list.
        name: appears in the patch and in messages.

    Call it to render a whole signal from silence; `prepare` and `process` for a stream. One rack has one stream; several
    racks may run in several threads at once, and any thread may change or read a rack while another one does.
    """

    def __init__(
        self, effects: Effect | Chain | Parallel | Iterable[Effect | Chain | Parallel] = (), name: str = "rack"
    ) -> None:
        if isinstance(effects, Rack):
            raise TypeError("that is a rack already; rack.copy() is another one like it")
        if not isinstance(name, str):
            raise TypeError(f"the name of a rack is {brief(name)}; give a text")
        self.name = name
        self.provenance: dict[str, Any] = {}  # where the values came from: written into the patch, no part of equality
        self.arrays: dict[str, npt.NDArray[Any]] = {}  # belong to the provenance; stand beside the patch
        self._engine: _engine.Engine | None = None
        self._format: tuple[float, int] | None = None
        self._latencies: dict[str, int] = {}
        self._live = False  # a live stream runs this rack's engine
        self._paused = self._stale = False  # nothing runs the engine for now; it lacks what was changed meanwhile
        # Both are told what the engine is sent, by its number: witnesses before anything else can be sent, and listeners
        # once nothing is held, so that they may do what they like.
        self._witnesses: list[Listener] = []
        self._listeners: list[Listener] = []
        self._untold: list[tuple[int, dict[str, Any]]] = []
        self._works: list[Work] = []  # of the Python effects in the stream
        self._lock = lock()
        self._now = Addresses(Chain())  # put in place as a whole, so who reads sees one structure or the other
        self.effects = effects

    # --- structure -------------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time, from whatever thread: the structure and what the engine is sent stay in step."""
        untold: list[tuple[int, dict[str, Any]]] = []
        try:
            outermost = not is_mine(self._lock)
            with self._lock:
                try:
                    yield
                finally:
                    if outermost:
                        untold, self._untold = self._untold, []
        finally:
            for number, change in untold:
                for listener in tuple(self._listeners):
                    self._tell(listener, number, change)

    def _tell(self, listener: Listener, number: int, change: dict[str, Any]) -> None:
        try:
            listener(number, change)
        except Exception:  # the engine has the change already, so nothing may undo it here alone
            log.exception("a listener of rack %r failed", self.name)

    def _take_in(self, effects: Iterable[Effect]) -> None:
        """Listen to effects, from before the engine is given their values."""
        for effect in effects:
            owner = None if effect._owner is None else effect._owner()
            if owner is not None and owner is not self:
                raise ValueError(
                    f"the {effect.card.id} is already in rack {brief(owner.name)}; use effect.copy() for a second one"
                )
        for effect in effects:
            effect._owner = weakref.ref(self)
            effect._attach(self._on_change(effect), self._on_bypass(effect), self._on_rebuild)

    def _put(self, now: Addresses) -> None:
        """From here on this is the structure."""
        before, self._now = self._now, now
        for address, effect in now.effects.items():
            if before.places.get(id(effect), ("",))[0] != address:
                effect._move(address)
        for effect in before.effects.values():
            if id(effect) not in now.places:
                effect._detach()

    def _on_change(self, effect: Effect) -> Any:
        order = {name: i for i, name in enumerate(effect.card.addresses)}

        def changed(name: str, value: Value) -> None:
            if self._engine is None:
                return  # what sounds is told of by what is sent
            with self._changing():
                address, _ = self._now.places.get(id(effect), ("", 0))
                if self._engine is None or not address:
                    return
                p = effect.card.addresses[name]
                if p.rebuilds or self._latency_of(effect) != self._latencies.get(address, 0):
                    self._swap()  # with the latency the delays beside change
                else:
                    index = self._now.first[address] + order[name]
                    change = {"set": f"{address}.{name}", "to": value}
                    self._send(lambda e: e.set_parameter(index, p.to_engine(value)), change)

        return changed

    def _on_rebuild(self) -> None:
        with self._changing():
            if self._engine is not None:
                self._swap()

    def _on_bypass(self, effect: Effect) -> Any:
        def bypassed(on: bool) -> None:
            with self._changing():
                address, index = self._now.places.get(id(effect), ("", 0))
                if self._engine is not None and address:
                    self._send(lambda e: e.set_bypass(index, on), {"bypass": address, "to": on})

        return bypassed

    def _send(self, message: Any, change: dict[str, Any], now: Addresses | None = None) -> None:
        """Hand a message to the audio thread; with it comes the structure `now`."""
        engine = self._engine
        if engine is None:
            return
        number = 0 if self._paused else message(engine)
        self._stale = self._stale or self._paused
        if not number and not self._paused:
            raise RuntimeError(
                "16384 changes wait because the stream has not run since; process blocks, or change less between them"
            )
        if now is not None and now is not self._now:
            self._put(now)
        for witness in tuple(self._witnesses):
            self._tell(witness, number, change)
        self._untold.append((number, change))

    def _latency_of(self, effect: Effect) -> int:
        """Frames that an effect holds back at the stream's rate."""
        if self._format is None and not isinstance(effect, PythonEffect):
            return 0
        return own_latency(effect, self._format[0] if self._format is not None else 0.0)

    def _swap(self, now: Addresses | None = None) -> None:
        """Let the engine crossfade to the structure `now`, or to the present one made anew."""
        now = now or self._now
        assert self._format is not None
        rate, channels = self._format
        self._check(rate, channels, now)
        works: list[Work] = []
        node = self._node(now.root, rate, channels, works, now)
        if self._live:
            for work in works:
                work.run()
        self._works = [*(w for w in self._works if not w.outside.closed), *works]
        self._send(lambda e: e.swap(node), {"rack": self}, now)
        self._latencies = {address: self._latency_of(effect) for address, effect in now.effects.items()}

    def _node(
        self, item: Effect | Chain | Parallel, sample_rate: float, channels: int, works: list[Work], now: Addresses
    ) -> _engine.Node:
        """What the engine is given; the works of Python effects are added to `works`."""
        node = _engine.Node()
        if isinstance(item, PythonEffect):
            works.append(item.work(channels, sample_rate))
            node.outside = works[-1].outside
        if isinstance(item, Effect):
            node.kind = _engine.NodeKind.effect
            node.effect = item.card.id
            values = item.values()
            node.values = [p.to_engine(values[name]) for name, p in item.card.addresses.items()]
            node.bypass = item.bypass
            node.key = -1 if item.key is None else now.keys.index(item.key)
            for resource in item.resources.values():
                node.set_resource(built_resource(item, resource, sample_rate, channels))
                node.drives = _driven_by(item, resource, now, self.name)
            return node
        node.kind = _engine.NodeKind.chain if isinstance(item, Chain) else _engine.NodeKind.parallel
        node.children = [self._node(child, sample_rate, channels, works, now) for child in item.children()]
        return node

    @property
    def root(self) -> Chain:
        """The outer chain."""
        return self._now.root

    @property
    def sidechains(self) -> tuple[str, ...]:
        """Names of the sidechain inputs that effects listen to."""
        return tuple(self._now.keys)

    @property
    def effects(self) -> tuple[Effect | Chain | Parallel, ...]:
        """What is in the rack, first to last. Assign to change the structure: a running stream crossfades."""
        return tuple(self._now.root.items)

    @effects.setter
    def effects(self, items: Effect | Chain | Parallel | Iterable[Effect | Chain | Parallel]) -> None:
        with self._changing():
            now, before = Addresses(Chain(items)), self._now
            if self._engine is not None and now.keys != before.keys:
                raise ValueError("sidechain inputs cannot change while a stream runs; call prepare again")
            new = [e for e in now.effects.values() if id(e) not in before.places]
            self._take_in(new)
            try:
                if self._engine is not None:
                    self._swap(now)
                else:
                    self._put(now)
            except BaseException:
                for effect in new if self._now is before else ():
                    effect._detach()
                raise

    def insert(self, index: int, item: Effect | Chain | Parallel) -> None:
        """Insert before position `index` of the outer chain; a running stream crossfades."""
        if not is_integer(index):
            raise TypeError(f"index is {brief(index)}; give a position in the outer chain, such as 0")
        with self._changing():
            items = list(self.effects)
            items.insert(max(-len(items), min(int(index), len(items))), item)
            self.effects = tuple(items)

    def append(self, item: Effect | Chain | Parallel) -> None:
        """Add at the end; a running stream crossfades."""
        with self._changing():
            self.effects = (*self.effects, item)

    def remove(self, address: str) -> Effect:
        """Take an effect out of the outer chain by its address, and return it; a running stream crossfades."""
        with self._changing():
            effect: Effect = self[address]
            if not any(item is effect for item in self.effects):
                raise ValueError(f"{address!r} is inside a Chain or Parallel; assign rack.effects instead")
            self.effects = tuple(item for item in self.effects if item is not effect)
            return effect

    def copy(self) -> Rack:
        """The same effects with the same values and provenance, and no stream."""
        made = Rack((item.copy() for item in self.effects), name=self.name)
        made.provenance, made.arrays = dict(self.provenance), dict(self.arrays)
        return made

    def __copy__(self) -> Rack:
        return self.copy()  # an effect is in one rack only

    def __deepcopy__(self, memo: object) -> Rack:
        return self.copy()

    def __reduce__(self) -> Any:
        return _rebuild_rack, (list(self.effects), self.name, self.provenance, self.arrays)

    # --- parameters ------------------------------------------------------------------------------------------------

    def addresses(self) -> dict[str, Effect]:
        """All effects by address."""
        return dict(self._now.effects)

    def _at(self, address: str | int) -> Any:
        if isinstance(address, str):
            effects = self._now.effects
            if address not in effects:
                raise KeyError(unknown(address, list(effects), f"rack {brief(self.name)}", "effect"))
            return effects[address]
        if not is_integer(address):
            raise TypeError(
                f"rack {brief(self.name)} is asked by an effect's address or its position, not by {type(address).__name__}"
            )
        place = int(address)
        items = self._now.root.items
        if not -len(items) <= place < len(items):
            raise IndexError(
                f"rack {brief(self.name)} has {len(items)} items in its outer chain, so there is no item {brief(place)}"
            )
        return items[place]

    def effect(self, address: str | int, kind: type[E]) -> E:
        """The effect at an address or position, known to type checkers and editors by its class.

        `rack["compressor"]` is known to be a Compressor already; this is for effects with names of their own:
        `rack.effect("voice", tr.Compressor).ratio = 4`.

        Raises:
            KeyError, IndexError: there is none.
            TypeError: it is of another class.
        """
        found = self._at(address)
        if not isinstance(found, kind):
            raise TypeError(f"{address!r} of rack {brief(self.name)} is a {type(found).__name__}, not a {kind.__name__}")
        return found

    def __iter__(self) -> Iterator[Effect | Chain | Parallel]:
        """What is in the rack, first to last."""
        return iter(self.effects)

    def __len__(self) -> int:
        return len(self._now.root.items)

    def __bool__(self) -> bool:
        return True  # an empty rack is one too: it leaves the sound as it is

    def __contains__(self, item: object) -> bool:
        """Whether it has an effect at this address, or this very effect anywhere."""
        effects = self._now.effects
        return item in effects if isinstance(item, str) else any(item is e for e in effects.values())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._now.effects)

    def _index(self, address: str) -> tuple[Parameter, int]:
        """See `Addresses.index`."""
        return self._now.index(address, self.name)

    def _split(self, address: str) -> tuple[Effect, str]:
        """See `Addresses.split`."""
        return self._now.split(address, self.name)

    def get(self, address: str) -> Value:
        """The value at an address such as "compressor.ratio" or "parametric_eq.band2.gain_db"."""
        effect, parameter = self._split(address)
        return effect.get(parameter)

    def set(self, address: str, value: object) -> None:
        """Set the value at an address; a running stream glides there from its next tick on."""
        effect, parameter = self._split(address)
        effect.set(parameter, value)

    def values(self) -> dict[str, Value]:
        """All values of all effects by address, in the engine's order."""
        return {f"{a}.{name}": value for a, effect in self._now.effects.items() for name, value in effect.values().items()}

    # --- sound -----------------------------------------------------------------------------------------------------

    def __call__(
        self,
        x: npt.ArrayLike,
        sample_rate: float,
        *,
        tail: str | float | None = None,
        channels: Layout | None = None,
        sidechain: Sidechain = None,
        automation: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Audio:
        """Render a whole signal from silence. Does not touch a running stream.

        Args:
            x: (channels, frames) or (frames,).
            sample_rate: Hz, 8000 to 384000.
            tail: None: as long as the input. "auto": with what still sounds, until below -140 dBFS (at most 120 s).
                A number: so many seconds longer.
            channels: "stereo" gives mono to both sides, so that a mono voice comes out of a reverb in stereo; "mono" takes the
                mean of both sides. None: as many as `x` has.
            sidechain: what keyed effects listen to: (channels, frames), or one for each name.
            automation: curves by address, one value for each tick of 32 frames; the last value holds.

        Returns:
            float32, as many dimensions as `x`, or two where `channels` makes it stereo; latency is compensated.
        """
        audio, flat = as_planar(x)
        audio = in_layout(audio, channels)
        flat = flat and audio.shape[0] == 1
        rate = check_rate(sample_rate)
        renderer = Renderer(self, rate, audio.shape[0])
        if automation:
            renderer.automate(automation)
        keys = self._key_arrays(sidechain, audio.shape[1])
        y = renderer.whole(audio, keys, tail)
        return y[0] if flat else y

    def trace(
        self,
        x: npt.ArrayLike,
        sample_rate: float,
        *,
        sidechain: Sidechain = None,
        automation: Mapping[str, npt.ArrayLike] | None = None,
        changes: Sequence[tuple[int, str, float]] = (),
    ) -> tuple[Audio, dict[str, npt.NDArray[np.float32]]]:
        """Render like a call and record the values in effect at every tick.

        Args:
            x, sample_rate, sidechain, automation: as in a call.
            changes: (frame, address, value): set while it renders, gliding as in a live stream.

        Returns:
            The audio, and for each continuous parameter that may move its value at every tick.
        """
        audio, flat = as_planar(x)
        renderer = Renderer(self, check_rate(sample_rate), audio.shape[0])
        if automation:
            renderer.automate(automation)
        ticks = -(-(audio.shape[1] + renderer.latency) // TICK_FRAMES)
        renderer.engine.enable_trace(ticks)
        y = renderer.whole(audio, self._key_arrays(sidechain, audio.shape[1]), None, changes)
        rows = renderer.engine.trace()
        effects = renderer.addresses.effects
        names = [f"{a}.{n}" for a, effect in effects.items() for n in effect.card.addresses]
        parameters = [p for effect in effects.values() for p in effect.card.addresses.values()]
        moving = [p.kind == "continuous" and not p.rebuilds for p in parameters]
        curves = {n: rows[:, i].copy() for i, (n, moves) in enumerate(zip(names, moving, strict=True)) if moves}
        return (y[0] if flat else y), curves

    def _key_arrays(self, sidechain: Sidechain, frames: int) -> list[Audio]:
        wanted = self._now.keys
        if sidechain is None:
            if wanted:
                raise ValueError(f"the rack listens to sidechain {wanted[0]!r}; pass sidechain={{{wanted[0]!r}: array}}")
            return []
        if not isinstance(sidechain, Mapping):
            if len(wanted) != 1:
                raise ValueError(f"the rack has {len(wanted)} sidechain inputs ({', '.join(wanted)}); pass a dict by name")
            sidechain = {wanted[0]: sidechain}
        for name in sidechain:
            if name not in wanted:
                raise ValueError(unknown(name, wanted, f"rack {brief(self.name)}", "sidechain"))
        found = []
        for name in wanted:
            if name not in sidechain:
                raise ValueError(f"sidechain {brief(name)} is missing")
            key, _ = as_planar(sidechain[name], f"sidechain {brief(name)}")
            if key.shape[1] != frames:
                raise ValueError(f"sidechain {brief(name)} has {key.shape[1]} frames, the audio {frames}; make them equal")
            found.append(key)
        return found

    def prepare(self, sample_rate: float, channels: int, *, first_frame: int = 0) -> None:
        """Begin a new stream from silence.

        Args:
            sample_rate: Hz, 8000 to 384000.
            channels: 1 to 16.
            first_frame: the number of its first frame, a multiple of 32, where it goes on for another one.
        """
        rate = check_rate(sample_rate)
        channels = whole_number(channels, "channels", 1, _engine.MAX_CHANNELS)
        first_frame = whole_number(first_frame, "first_frame", -(1 << 63), (1 << 63) - 1)  # the engine says which it takes
        with self._changing():
            self._not_live("prepare")
            self._engine, self._works = self._new_engine(rate, channels, first_frame)
            self._format = (rate, channels)
            self._stale = False
            self._latencies = {address: self._latency_of(effect) for address, effect in self._now.effects.items()}

    def _not_live(self, what: str) -> None:
        if self._live:
            raise RuntimeError(
                f"rack {brief(self.name)} plays live, so {what} is not possible; stop the live stream, or use a copy"
            )

    def _check(self, sample_rate: float, channels: int, now: Addresses | None = None) -> None:
        """Refuse a format that an effect, or what it was given, is not for."""
        for address, effect in (now or self._now).effects.items():
            wanted = {"mono": 1, "stereo": 2}.get(effect.card.channels, channels)
            if channels != wanted:
                raise ValueError(f"{address} is a {effect.card.channels} effect; the sound has {channels} channels")
            for resource in effect.resources.values():
                resource.check(address, sample_rate, channels)

    def _new_engine(
        self, sample_rate: float, channels: int, first_frame: int = 0, now: Addresses | None = None
    ) -> tuple[_engine.Engine, list[Work]]:
        now = now or self._now
        self._check(sample_rate, channels, now)
        works: list[Work] = []
        node = self._node(now.root, sample_rate, channels, works, now)
        return _engine.Engine(node, sample_rate, channels, first_frame), works

    def _end_stream(self) -> None:
        """The live stream is over: the engine goes, and with it the threads of Python effects."""
        with self._changing():
            works, self._works = self._works, []
            self._engine = self._format = None
            self._live = self._paused = self._stale = False
        for work in works:
            work.stop()

    def _run_works(self) -> None:
        """Let the functions of Python effects work on threads of their own, as a live stream needs."""
        for work in self._works:
            work.run()

    def process(self, block: npt.ArrayLike, *, sidechain: Sidechain = None) -> Audio:
        """The next block of the stream, of any length; effects with lookahead delay it by `latency_frames`.

        Args:
            block: (channels, frames), or (frames,) for a mono stream.
            sidechain: as in a call, as long as the block.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        engine, form = self._engine, self._format
        if engine is None or form is None:
            raise RuntimeError("call rack.prepare(sample_rate, channels) before rack.process(block)")
        if self._live:
            self._not_live("process")
        if isinstance(block, np.ndarray) and self._as_it_is(block, form[1]) and sidechain is None:
            return engine.process(block)  # the usual case, without ceremony
        audio, flat = as_planar(block, "block")
        if audio.shape[0] != form[1]:
            raise ValueError(f"block has {audio.shape[0]} channels, the stream {form[1]}; call prepare for another format")
        y = in_step(engine, self._works, audio, self._key_arrays(sidechain, audio.shape[1]))
        return y[0] if flat else y

    def _as_it_is(self, block: npt.NDArray[Any], channels: int) -> bool:
        right = block.dtype == np.float32 and block.ndim == 2 and block.flags.c_contiguous
        return bool(right and block.shape[0] == channels and not self._now.keys and not self._works)

    def _hand_over(self, other: Rack) -> None:
        """Let another rack sound in this one's stream: a crossfade, and the stream is the other's."""
        if other is self or self._engine is None or self._format is None:
            return
        with self._changing(), other._changing():
            other._not_live("taking over a live stream")
            if other._now.keys != self._now.keys:
                raise ValueError(
                    f"rack {other.name!r} listens to other sidechains ({', '.join(other._now.keys) or 'none'}) than the one "
                    f"that sounds ({', '.join(self._now.keys) or 'none'}); open the stream with it"
                )
            before = other._engine, other._format, other._listeners, other._witnesses
            other._engine, other._format, other._live = self._engine, self._format, self._live
            other._listeners, other._witnesses = self._listeners, self._witnesses
            try:
                other._swap()
            except BaseException:
                other._engine, other._format, other._listeners, other._witnesses = before
                other._live = False
                raise
            self._live = False
            other._paused, self._paused = self._paused, False
            other._works = [*(w for w in self._works if not w.outside.closed), *other._works]
            self._engine, self._listeners, self._witnesses, self._works = None, [], [], []

    def _pause(self, on: bool) -> None:
        """While the device of a live stream is lost, changes are kept here; afterwards the engine is given all at once."""
        with self._changing():
            self._paused = on
            if not on and self._stale:
                self._stale = False
                self._swap()

    @property
    def latency_frames(self) -> int:
        """Delay of the stream in frames; 0 before `prepare`."""
        engine = self._engine
        return 0 if engine is None else engine.latency

    def meters(self) -> dict[str, Meter]:
        """Levels of every effect since the last call, by address; empty before `prepare`."""
        with self._lock:  # so that structure and levels belong together
            if self._engine is None:
                return {}
            self._engine.collect()
            levels = zip(self._now.effects, self._engine.meters(), strict=True)
        return {
            address: Meter(_db(m.peak_in), _db(m.peak_out), _db(m.rms_in), _db(m.rms_out), m.gain_reduction_db, m.faults)
            for address, m in levels
        }

    @property
    def input_faults(self) -> int:
        """Samples of the stream's input that were not finite and counted as silence."""
        engine = self._engine
        return 0 if engine is None else engine.input_faults

    # --- patch and twin ----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the patch: readable JSON, validated when loaded. The file appears complete or not at all."""
        from .patch import save

        save(self, path)

    def twin(self, sample_rate: float, path: RecursionPath = "auto") -> RackTwin:
        """The differentiable twin with the present values: a torch.nn.Module on (batch, channels, time).

        Args:
            sample_rate: Hz.
            path: form of the recursions: "fast", "parallel", "reference", or "auto" (fast where possible, else parallel).
        """
        from ..twins.rack_twin import RackTwin

        for address, effect in self._now.effects.items():
            if isinstance(effect, PythonEffect):
                raise ValueError(f"{address} is a Python function, which has no twin; remove it, or make an effect of it")
        return RackTwin(self, sample_rate, path)

    @staticmethod
    def from_twin(twin: RackTwin) -> Rack:
        """The rack with the twin's present values."""
        return twin.to_rack()

    def isclose(self, other: Rack, tolerance: float = 1e-6) -> bool:
        """True when both have the same structure and every value agrees within `tolerance` of its range.

        `differences` says what differs.
        """
        if not isinstance(other, Rack):
            raise TypeError(f"a rack is compared with another rack, not with {type(other).__name__}; twinrack.load reads one")
        here, there = self._now, other._now
        if shape_of(here.root) != shape_of(there.root) or list(here.effects) != list(there.effects):
            return False
        for address, effect in here.effects.items():
            mine, theirs = effect.values(), there.effects[address].values()
            for name, p in effect.card.addresses.items():
                if p.kind != "continuous":
                    if mine[name] != theirs[name]:
                        return False
                elif abs(p.position(float(mine[name])) - p.position(float(theirs[name]))) > tolerance:
                    return False
        return True

    def differences(self, other: Rack) -> list[str]:
        """What differs in another rack, a sentence each: "compressor.ratio: 3 here, 4 there"; empty where they are equal.

        Effects are compared by address, values as they are.
        """
        if not isinstance(other, Rack):
            raise TypeError(f"a rack is compared with another rack, not with {type(other).__name__}; twinrack.load reads one")
        now, then = self._now, other._now
        mine, theirs = now.effects, then.effects
        found = [f"{a}: only here" for a in mine if a not in theirs] + [f"{a}: only there" for a in theirs if a not in mine]
        both = [a for a in mine if a in theirs]
        for address in both:
            a, b = mine[address], theirs[address]
            if type(a) is not type(b):
                found.append(f"{address}: {type(a).__name__} here, {type(b).__name__} there")
                continue
            for name in ("bypass", "key", "resources"):
                if getattr(a, name) != getattr(b, name):
                    found.append(f"{address}: {name} {getattr(a, name)!r} here, {getattr(b, name)!r} there")
            for name, value in a.values().items():
                there = b.get(name)
                if value != there:
                    found.append(f"{address}.{name}: {_shown(value)} here, {_shown(there)} there")
        if not found and (shape_of(now.root) != shape_of(then.root) or list(mine) != list(theirs)):
            found.append("the same effects in another order or tree")
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rack) and self._now.root == other._now.root

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        items = self.effects
        lines = [f"Rack([{'' if items else '])'}"] + [f"    {item!r}," for item in items]
        return "\n".join([*lines, "])"] if items else lines)


def _driven_by(effect: Effect, resource: Resource, now: Addresses, rack: str) -> list[int]:
    """Numbers of the parameters that a controller drives.

    Raises:
        ValueError: a target that is not there, cannot move, or stands before the controller.
    """
    if not isinstance(resource, ControlNetwork):
        return []
    own = now.places[id(effect)][0]
    order = list(now.effects)
    found = []
    for target in resource.targets:
        try:
            p, index = now.index(target, rack)
        except ValueError as error:
            raise ValueError(f"{own} drives {target!r}: {error}") from None
        if p.kind != "continuous":
            raise ValueError(f"{own} drives {target!r}, which is a {p.kind}; only numbers can be driven")
        if order.index(target.partition(".")[0]) <= order.index(own):
            raise ValueError(f"{own} drives {target!r}, which stands before it; put {own} before all that it drives")
        found.append(index)
    networks = [r for e in now.effects.values() for r in e.resources.values() if isinstance(r, ControlNetwork)]
    driven = [target for network in networks for target in network.targets]
    for target in resource.targets:
        if driven.count(target) > 1:
            raise ValueError(f"{target!r} is driven by two controllers; let one of them drive it")
    return found


def as_rack(given: object) -> Rack:
    """What a function about racks was given, as a rack: a rack as it is, effects in one of their own.

    Raises:
        TypeError: something else; says how to get a rack.
    """
    if isinstance(given, Rack):
        return given
    if isinstance(given, Effect | Chain | Parallel):
        return Rack([given.copy()])
    if isinstance(given, list | tuple):
        return Rack([item.copy() if isinstance(item, Effect | Chain | Parallel) else item for item in given])
    hint = "load the patch: twinrack.load(…)" if isinstance(given, str | os.PathLike) else "give Rack([…])"
    raise TypeError(f"rack is a {type(given).__name__}; {hint}")


def built_resource(effect: Effect, resource: Resource, sample_rate: float, channels: int) -> Audio:
    """What the engine of an effect is given: rows of numbers, at the rack's rate, as the effect's values shape them."""
    module = import_module(f"twinrack.plugins.{effect.card.id}.resource")
    built: Audio = module.build(effect.values(), resource, sample_rate, channels)
    return built


def _rebuild_rack(items: list[Any], name: str, provenance: dict[str, Any], arrays: dict[str, Any]) -> Rack:
    made = Rack(items, name)
    made.provenance, made.arrays = provenance, arrays
    return made
