"""The running side of a rack: its structure, the engine that plays it, and the changes that keep the two in step.

`Rack` is the tree and its values, as a user sees them; this object owns the stream. Live streams, recorders and renderings
use it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from .. import _engine
from ..audio import Audio, as_planar
from ..checks import brief
from ..system.forking import is_mine, lock
from .addresses import Addresses
from .card import Parameter, Value
from .compiling import check_format, compile_tree, own_latency
from .effect import Effect, attach, detach, move, owner_of, unknown
from .external_effect import ExternalEffect, Work, in_step
from .tree import Chain

Change = dict[str, Any]
Listener = Callable[[int, Change], None]
Sidechain = npt.ArrayLike | Mapping[str, npt.ArrayLike] | None
log = logging.getLogger("twinrack")


@dataclass(frozen=True)
class Meter:
    """Levels of one effect since the meters were last read, over all channels, in dBFS.

    `gain_reduction_db` is the largest reduction (0 where there is none); `faults` counts blocks in which the effect gave
    NaN or infinity, and was reset and faded.
    """

    peak_in_db: float
    peak_out_db: float
    rms_in_db: float
    rms_out_db: float
    gain_reduction_db: float
    faults: int


class Named(Protocol):
    """The owner of a running rack: its name appears in messages."""

    name: str


class RunningRack:
    """The structure of a rack and the engine that plays it. Any thread may use it.

    Attributes:
        rack: whose running side this is.
        structure: the effects by address; replaced as a whole, so a reader sees one structure or the other.
        engine: plays the stream; None before `begin`.
        format: sample rate in Hz and channels of the stream; None before `begin`.
        latencies: by address, the latency in frames of each effect of the stream.
        live: a live stream runs the engine, so nothing else may.
        witnesses, listeners: both are called with the number under which the engine knows a change (0 while the stream is
            paused) and the change: {"set": address, "to": value}, {"bypass": address, "to": on} or {"rack": rack}. Witnesses
            are called before anything else can be sent; listeners once no lock is held, so that they may change the rack.
            Both lists move on with the stream when another rack takes over.
    """

    def __init__(self, rack: Named) -> None:
        self.rack = rack
        self.structure = Addresses(Chain())
        self.engine: _engine.Engine | None = None
        self.format: tuple[float, int] | None = None
        self.latencies: dict[str, int] = {}
        self.live = False
        self.device_frames = 0  # of a callback of the audio device, which external effects choose their blocks by
        self.witnesses: list[Listener] = []
        self.listeners: list[Listener] = []
        self._paused = self._stale = False  # changes are kept back for now; the engine lacks some
        self._untold: list[tuple[int, Change]] = []  # changes that the listeners have not been told
        self._works: list[Work] = []  # of the external effects in the stream
        self._lock = lock()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time, from whatever thread: the structure and what the engine is sent stay in step."""
        untold: list[tuple[int, Change]] = []
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
                for listener in tuple(self.listeners):
                    self._tell(listener, number, change)

    def _tell(self, listener: Listener, number: int, change: Change) -> None:
        try:
            listener(number, change)
        except Exception:  # the engine has the change already, so nothing may undo it here alone
            log.exception("a listener of rack %r failed", self.rack.name)

    def index(self, address: str) -> tuple[Parameter, int]:
        """See `Addresses.index`."""
        return self.structure.index(address, self.rack.name)

    def split(self, address: str) -> tuple[Effect, str]:
        """See `Addresses.split`."""
        return self.structure.split(address, self.rack.name)

    def restructure(self, root: Chain) -> None:
        """Put another tree in place; a running stream crossfades to it.

        Raises:
            ValueError: an effect is in another rack or twice in this one, or the sidechain inputs of a stream would change.
        """
        with self.changing():
            new, before = Addresses(root), self.structure
            if self.engine is not None and new.keys != before.keys:
                raise ValueError("sidechain inputs cannot change while a stream runs; call prepare again")
            added = [e for e in new.effects.values() if id(e) not in before.places]
            self._attach(added)
            try:
                if self.engine is not None:
                    self.swap(new)
                else:
                    self._put_in_place(new)
            except BaseException:
                for effect in added if self.structure is before else ():
                    detach(effect)
                raise

    def _attach(self, effects: Iterable[Effect]) -> None:
        """Listen to effects, from before the engine is given their values."""
        for effect in effects:
            owner = owner_of(effect)
            if owner is not None and owner is not self.rack:
                raise ValueError(
                    f"the {effect.card.id} is already in rack {brief(owner.name)}; use effect.copy() for a second one"
                )
        for effect in effects:
            attach(effect, self.rack, self._send_value_of(effect), self._send_bypass_of(effect), self._rebuild)

    def _put_in_place(self, structure: Addresses) -> None:
        before, self.structure = self.structure, structure
        for address, effect in structure.effects.items():
            if before.places.get(id(effect), ("",))[0] != address:
                move(effect, address)
        for effect in before.effects.values():
            if id(effect) not in structure.places:
                detach(effect)

    def _send_value_of(self, effect: Effect) -> Callable[[str, Value], None]:
        order = {name: i for i, name in enumerate(effect.card.addresses)}

        def changed(name: str, value: Value) -> None:
            if self.engine is None:
                return  # listeners are called for changes that are sent
            with self.changing():
                address, _ = self.structure.places.get(id(effect), ("", 0))
                if self.engine is None or not address:
                    return
                p = effect.card.addresses[name]
                delays = effect.card.may_change_latency(name) and self._latency_of(effect) != self.latencies.get(address, 0)
                if p.rebuilds or delays:
                    self.swap()  # the delays of the other branches change with the latency
                else:
                    index = self.structure.first[address] + order[name]
                    self._send(lambda e: e.set_parameter(index, p.to_engine(value)), {"set": f"{address}.{name}", "to": value})

        return changed

    def _send_bypass_of(self, effect: Effect) -> Callable[[bool], None]:
        def bypassed(on: bool) -> None:
            with self.changing():
                address, index = self.structure.places.get(id(effect), ("", 0))
                if self.engine is not None and address:
                    self._send(lambda e: e.set_bypass(index, on), {"bypass": address, "to": on})

        return bypassed

    def _rebuild(self) -> None:
        with self.changing():
            if self.engine is not None:
                self.swap()

    def _send(self, message: Callable[[_engine.Engine], int], change: Change, structure: Addresses | None = None) -> int:
        """Hand a message to the audio thread, and put `structure` in place with it; its number, 0 while paused."""
        engine = self.engine
        if engine is None:
            return 0
        number = 0 if self._paused else message(engine)
        self._stale = self._stale or self._paused
        if not number and not self._paused:
            raise RuntimeError(
                "16384 changes wait because the stream has not run since; process blocks, or change less between them"
            )
        if structure is not None and structure is not self.structure:
            self._put_in_place(structure)
        for witness in tuple(self.witnesses):
            self._tell(witness, number, change)
        self._untold.append((number, change))
        return number

    def _latency_of(self, effect: Effect) -> int:
        """The latency of an effect in frames, at the stream's rate."""
        return 0 if self.format is None else own_latency(effect, self.format[0], offline=False)

    def swap(self, structure: Addresses | None = None) -> int:
        """Let the engine crossfade to a structure, or to the present one built anew; the number of the message."""
        with self.changing():
            structure = structure or self.structure
            assert self.format is not None
            rate, channels = self.format
            self._tell_device(structure)
            node, works = compile_tree(structure, self.rack.name, rate, channels, offline=False)
            before = self._works
            try:
                if self.live:
                    for work in works:
                        work.run()
                self._works = [*(w for w in before if not w.worker.detached), *works]
                number = self._send(lambda e: e.swap(node), {"rack": self.rack}, structure)
            except BaseException:
                self._works = before
                for work in works:
                    work.stop()
                raise
            self.latencies = {address: self._latency_of(effect) for address, effect in structure.effects.items()}
            return number

    def compile(
        self,
        sample_rate: float,
        channels: int,
        first_frame: int = 0,
        structure: Addresses | None = None,
        offline: bool = True,
    ) -> tuple[_engine.Engine, list[Work]]:
        """An engine of its own, from silence, and the work of its external effects; the stream is not touched.

        Args:
            sample_rate: Hz.
            channels: 1 to 16.
            first_frame: the number of its first frame, a multiple of 32.
            structure: what it plays; without, the present structure.
            offline: the latency of external effects need not be short.
        """
        node, works = compile_tree(structure or self.structure, self.rack.name, sample_rate, channels, offline)
        return _engine.Engine(node, sample_rate, channels, first_frame), works

    def check_format(self, sample_rate: float, channels: int) -> None:
        """Refuse a format that an effect, or a resource of one, is not for.

        Raises:
            ValueError: names the effect.
        """
        check_format(self.structure, sample_rate, channels)

    def refuse_live(self, what: str) -> None:
        """Refuse what is not possible while a live stream runs the engine.

        Raises:
            RuntimeError: one does.
        """
        if self.live:
            raise RuntimeError(
                f"rack {brief(self.rack.name)} plays live, so {what} is not possible; stop the live stream, or use a copy"
            )

    def begin(self, sample_rate: float, channels: int, first_frame: int = 0) -> None:
        """Begin a new stream from silence, with an engine of its own; see `compile`."""
        with self.changing():
            self._tell_device(self.structure)
            self.engine, self._works = self.compile(sample_rate, channels, first_frame, offline=False)
            self.format = (sample_rate, channels)
            self._stale = False
            self.latencies = {address: self._latency_of(effect) for address, effect in self.structure.effects.items()}
            if self.live:
                self._run_works()

    def _tell_device(self, structure: Addresses) -> None:
        for effect in structure.effects.values():
            if isinstance(effect, ExternalEffect):
                effect.device_frames = self.device_frames

    def go_live(self) -> None:
        """From now on a live stream runs the engine; external effects work by themselves."""
        self.live = True
        self._run_works()

    def _run_works(self) -> None:
        for work in self._works:
            work.run()

    def process(self, block: npt.ArrayLike, sidechain: Sidechain = None) -> Audio:
        """See `Rack.process`."""
        engine, stream_format = self.engine, self.format
        if engine is None or stream_format is None:
            raise RuntimeError("call rack.prepare(sample_rate, channels) before rack.process(block)")
        if self.live:
            self.refuse_live("process")
        if sidechain is None and not self._works:
            y = engine.process_plain(block)  # the usual case costs nothing more
            if y is not None:
                return y
        audio, flat = as_planar(block, "block")
        if audio.shape[0] != stream_format[1]:
            raise ValueError(
                f"block has {audio.shape[0]} channels, the stream {stream_format[1]}; call prepare for another format"
            )
        y = in_step(engine, self._works, audio, self.key_arrays(sidechain, audio.shape[1]))
        return y[0] if flat else y

    def key_arrays(self, sidechain: Sidechain, frames: int) -> list[Audio]:
        """The sidechain inputs in the engine's order, each (channels, frames) float32.

        Raises:
            ValueError: one is missing, unknown, or of another length.
        """
        keys = self.structure.keys
        if sidechain is None:
            if keys:
                raise ValueError(f"the rack listens to sidechain {keys[0]!r}; pass sidechain={{{keys[0]!r}: array}}")
            return []
        if not isinstance(sidechain, Mapping):
            if not keys:
                raise ValueError(f"rack {brief(self.rack.name)} has no sidechain; give an effect a key, such as key='voice'")
            if len(keys) > 1:
                names = ", ".join(f"{key!r}: array" for key in keys)
                raise ValueError(f"the rack has {len(keys)} sidechain inputs; pass sidechain={{{names}}}")
            sidechain = {keys[0]: sidechain}
        for name in sidechain:
            if name not in keys:
                raise ValueError(unknown(name, keys, f"rack {brief(self.rack.name)}", "sidechain"))
        arrays = []
        for name in keys:
            if name not in sidechain:
                raise ValueError(f"sidechain {brief(name)} is missing")
            key, _ = as_planar(sidechain[name], f"sidechain {brief(name)}")
            if key.shape[1] != frames:
                raise ValueError(f"sidechain {brief(name)} has {key.shape[1]} frames, the audio {frames}; make them equal")
            arrays.append(key)
        return arrays

    def hand_over(self, other: RunningRack) -> None:
        """Let another rack sound in this one's stream: a crossfade, and the stream with its listeners is the other's.

        Raises:
            ValueError: the other one listens to other sidechains, or cannot run in this format.
            RuntimeError: it plays in a live stream itself.
        """
        if other is self or self.engine is None or self.format is None:
            return
        with self.changing(), other.changing():
            other.refuse_live("taking over a live stream")
            mine, theirs = self.structure.keys, other.structure.keys
            if theirs != mine:
                raise ValueError(
                    f"rack {other.rack.name!r} listens to other sidechains ({', '.join(theirs) or 'none'}) than the one "
                    f"that sounds ({', '.join(mine) or 'none'}); open the stream with it"
                )
            before = other.engine, other.format, other.listeners, other.witnesses
            other.engine, other.format, other.live = self.engine, self.format, self.live
            other.listeners, other.witnesses = self.listeners, self.witnesses
            other.device_frames = self.device_frames
            try:
                other.swap()
            except BaseException:
                other.engine, other.format, other.listeners, other.witnesses = before
                other.live = False
                raise
            self.live = False
            other._paused, self._paused = self._paused, False
            other._works = [*(w for w in self._works if not w.worker.detached), *other._works]
            self.engine, self.listeners, self.witnesses, self._works = None, [], [], []

    def pause(self, on: bool) -> None:
        """While the device of a live stream is lost, keep changes back; afterwards give the engine all of them at once."""
        with self.changing():
            self._paused = on
            if not on and self._stale:
                self._stale = False
                self.swap()

    def close(self) -> None:
        """End the live stream: the engine goes, and with it the work of external effects."""
        with self.changing():
            works, self._works = self._works, []
            self.engine = self.format = None
            self.live = self._paused = self._stale = False
        for work in works:
            work.stop()

    def meters(self) -> dict[str, Meter]:
        """See `Rack.meters`."""
        with self._lock:  # so that structure and levels belong together
            if self.engine is None:
                return {}
            self.engine.collect()
            levels = zip(self.structure.effects, self.engine.meters(), strict=True)
        return {
            address: Meter(_db(m.peak_in), _db(m.peak_out), _db(m.rms_in), _db(m.rms_out), m.gain_reduction_db, m.faults)
            for address, m in levels
        }


def _db(linear: float) -> float:
    return 20.0 * math.log10(linear) if linear > 0 else -math.inf
