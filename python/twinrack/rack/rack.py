"""Rack: a tree of effects with their values, which renders arrays and streams blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio, Layout, as_planar, check_rate, in_layout
from ..checks import brief, check_integer, is_integer
from .card import Value
from .effect import Effect, unknown
from .effects import Addressed
from .external_effect import ExternalEffect
from .renderer import Renderer
from .running import Listener, RunningRack, Sidechain
from .running import Meter as Meter
from .tree import Chain, Parallel, shape_of

if TYPE_CHECKING:
    from ..twins.rack_twin import RackTwin
    from ..twins.recursions import RecursionPath

E = TypeVar("E", bound=Effect)
TICK_FRAMES: int = _engine.TICK_FRAMES


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        self.arrays: dict[str, npt.NDArray[Any]] = {}  # belong to the provenance; in a file beside the patch
        self.saved_state: dict[str, Any] | None = None  # when it was last saved, loaded or fitted, for its trail
        self.running = RunningRack(self)
        self.effects = effects

    @property
    def _listeners(self) -> list[Listener]:
        """The former name of `running.listeners`, which diagnostic scripts still count."""
        return self.running.listeners

    @property
    def root(self) -> Chain:
        """The outer chain."""
        return self.running.structure.root

    @property
    def sidechains(self) -> tuple[str, ...]:
        """Names of the sidechain inputs that effects listen to."""
        return tuple(self.running.structure.keys)

    @property
    def effects(self) -> tuple[Effect | Chain | Parallel, ...]:
        """The items of the outer chain, first to last. Assign to change the structure: a running stream crossfades."""
        return tuple(self.running.structure.root.items)

    @effects.setter
    def effects(self, items: Effect | Chain | Parallel | Iterable[Effect | Chain | Parallel]) -> None:
        self.running.restructure(Chain(items))

    def insert(self, index: int, item: Effect | Chain | Parallel) -> None:
        """Insert before position `index` of the outer chain; a running stream crossfades."""
        if not is_integer(index):
            raise TypeError(f"index is {brief(index)}; give a position in the outer chain, such as 0")
        with self.running.changing():
            items = list(self.effects)
            items.insert(max(-len(items), min(int(index), len(items))), item)
            self.effects = tuple(items)

    def append(self, item: Effect | Chain | Parallel) -> None:
        """Add at the end; a running stream crossfades."""
        with self.running.changing():
            self.effects = (*self.effects, item)

    def remove(self, address: str) -> Effect:
        """Take an effect out of the outer chain by its address, and return it; a running stream crossfades."""
        with self.running.changing():
            effect: Effect = self[address]
            if not any(item is effect for item in self.effects):
                raise ValueError(f"{address!r} is inside a Chain or Parallel; assign rack.effects instead")
            self.effects = tuple(item for item in self.effects if item is not effect)
            return effect

    def copy(self) -> Rack:
        """The same effects with the same values and provenance, and no stream."""
        copied = Rack((item.copy() for item in self.effects), name=self.name)
        copied.provenance, copied.arrays = dict(self.provenance), dict(self.arrays)
        copied.saved_state = self.saved_state
        return copied

    def __copy__(self) -> Rack:
        return self.copy()  # an effect is in one rack only

    def __deepcopy__(self, memo: object) -> Rack:
        return self.copy()

    def __reduce__(self) -> Any:
        return _rebuild_rack, (list(self.effects), self.name, self.provenance, self.arrays, self.saved_state)

    def addresses(self) -> dict[str, Effect]:
        """All effects by address."""
        return dict(self.running.structure.effects)

    def _at(self, address: str | int) -> Any:
        if isinstance(address, str):
            effects = self.running.structure.effects
            if address not in effects:
                raise KeyError(unknown(address, list(effects), f"rack {brief(self.name)}", "effect"))
            return effects[address]
        if not is_integer(address):
            raise TypeError(
                f"rack {brief(self.name)} is asked by an effect's address or its position, not by {type(address).__name__}"
            )
        place = int(address)
        items = self.running.structure.root.items
        if not -len(items) <= place < len(items):
            raise IndexError(
                f"rack {brief(self.name)} has {len(items)} items in its outer chain, so it has no item {brief(place)}"
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
        effect = self._at(address)
        if not isinstance(effect, kind):
            raise TypeError(f"{address!r} of rack {brief(self.name)} is a {type(effect).__name__}, not a {kind.__name__}")
        return effect

    def __iter__(self) -> Iterator[Effect | Chain | Parallel]:
        """The items of the outer chain, first to last."""
        return iter(self.effects)

    def __len__(self) -> int:
        return len(self.running.structure.root.items)

    def __bool__(self) -> bool:
        return True  # an empty rack is one too: it leaves the sound as it is

    def __contains__(self, item: object) -> bool:
        """Whether it has an effect at this address, or this very effect anywhere."""
        effects = self.running.structure.effects
        return item in effects if isinstance(item, str) else any(item is e for e in effects.values())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.running.structure.effects)

    def get(self, address: str) -> Value:
        """The value at an address such as "compressor.ratio" or "parametric_eq.band2.gain_db"."""
        effect, parameter = self.running.split(address)
        return effect.get(parameter)

    def set(self, address: str, value: object) -> None:
        """Set the value at an address; a running stream glides there from its next tick on."""
        effect, parameter = self.running.split(address)
        effect.set(parameter, value)

    def values(self) -> dict[str, Value]:
        """All values of all effects by address, in the engine's order."""
        return {
            f"{a}.{name}": value
            for a, effect in self.running.structure.effects.items()
            for name, value in effect.values().items()
        }

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
                A number: that many seconds longer.
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
        renderer = Renderer(self.running, rate, audio.shape[0])
        if automation:
            renderer.automate(automation)
        keys = self.running.key_arrays(sidechain, audio.shape[1])
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
        renderer = Renderer(self.running, check_rate(sample_rate), audio.shape[0])
        if automation:
            renderer.automate(automation)
        ticks = -(-(audio.shape[1] + renderer.latency) // TICK_FRAMES)
        renderer.engine.enable_trace(ticks)
        y = renderer.whole(audio, self.running.key_arrays(sidechain, audio.shape[1]), None, changes)
        rows = renderer.engine.trace()
        effects = renderer.addresses.effects
        names = [f"{a}.{n}" for a, effect in effects.items() for n in effect.card.addresses]
        parameters = [p for effect in effects.values() for p in effect.card.addresses.values()]
        moving = [p.kind == "continuous" and not p.rebuilds for p in parameters]
        curves = {n: rows[:, i].copy() for i, (n, moves) in enumerate(zip(names, moving, strict=True)) if moves}
        return (y[0] if flat else y), curves

    def prepare(self, sample_rate: float, channels: int, *, first_frame: int = 0) -> None:
        """Begin a new stream from silence.

        Args:
            sample_rate: Hz, 8000 to 384000.
            channels: 1 to 16.
            first_frame: the number of its first frame, a multiple of 32, where it continues another one.
        """
        rate = check_rate(sample_rate)
        channels = check_integer(channels, "channels", 1, _engine.MAX_CHANNELS)
        first_frame = check_integer(first_frame, "first_frame", -(1 << 63), (1 << 63) - 1)  # the engine says which it takes
        with self.running.changing():
            self.running.refuse_live("prepare")
            self.running.begin(rate, channels, first_frame)

    def process(self, block: npt.ArrayLike, *, sidechain: Sidechain = None) -> Audio:
        """The next block of the stream, of any length; effects with lookahead delay it by `latency_frames`.

        Args:
            block: (channels, frames), or (frames,) for a mono stream.
            sidechain: as in a call, as long as the block.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        return self.running.process(block, sidechain)

    @property
    def latency_frames(self) -> int:
        """Delay of the stream in frames; 0 before `prepare`."""
        engine = self.running.engine
        return 0 if engine is None else engine.latency

    def meters(self) -> dict[str, Meter]:
        """Levels of every effect since the last call, by address; empty before `prepare`."""
        return self.running.meters()

    @property
    def input_faults(self) -> int:
        """Samples of the stream's input that were NaN or infinity and counted as silence."""
        engine = self.running.engine
        return 0 if engine is None else engine.input_faults

    def save(self, path: str | os.PathLike[str], by: str = "Python") -> None:
        """Write the patch: readable JSON, validated when loaded. The file appears complete or not at all.

        Args:
            by: what changed the rack, for the patch's trail (see `rack.trail`).
        """
        from .patch import save

        save(self, path, by)

    def twin(self, sample_rate: float, path: RecursionPath = "auto") -> RackTwin:
        """The differentiable twin with the present values: a torch.nn.Module on (batch, channels, time).

        Args:
            sample_rate: Hz.
            path: form of the recursions: "fast", "parallel", "reference", or "auto" (fast where possible, else parallel).
        """
        from ..twins.rack_twin import RackTwin

        for address, effect in self.running.structure.effects.items():
            if isinstance(effect, ExternalEffect):
                raise ValueError(f"{address} is {effect.outside}, which has no twin; remove it, or put an effect of ours there")
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
        own, others = self.running.structure, other.running.structure
        if shape_of(own.root) != shape_of(others.root) or list(own.effects) != list(others.effects):
            return False
        for address, effect in own.effects.items():
            mine, theirs = effect.values(), others.effects[address].values()
            for name, p in effect.card.addresses.items():
                if p.kind != "continuous":
                    if mine[name] != theirs[name]:
                        return False
                elif abs(p.position(float(mine[name])) - p.position(float(theirs[name]))) > tolerance:
                    return False
        return True

    def differences(self, other: Rack) -> list[str]:
        """The differences from another rack, a line each: "compressor.ratio: 3 here, 4 there"; empty where they are equal.

        Effects are compared by address, values as they are.
        """
        if not isinstance(other, Rack):
            raise TypeError(f"a rack is compared with another rack, not with {type(other).__name__}; twinrack.load reads one")
        now, then = self.running.structure, other.running.structure
        mine, theirs = now.effects, then.effects
        differences = [f"{a}: only here" for a in mine if a not in theirs]
        differences += [f"{a}: only there" for a in theirs if a not in mine]
        both = [a for a in mine if a in theirs]
        for address in both:
            a, b = mine[address], theirs[address]
            if type(a) is not type(b):
                differences.append(f"{address}: {type(a).__name__} here, {type(b).__name__} there")
                continue
            for name in ("bypass", "key", "resources"):
                if getattr(a, name) != getattr(b, name):
                    differences.append(f"{address}: {name} {getattr(a, name)!r} here, {getattr(b, name)!r} there")
            for name, value in a.values().items():
                other_value = b.get(name)
                if value != other_value:
                    differences.append(f"{address}.{name}: {_shown(value)} here, {_shown(other_value)} there")
        if not differences and (shape_of(now.root) != shape_of(then.root) or list(mine) != list(theirs)):
            differences.append("the same effects in another order or tree")
        return differences

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rack) and self.running.structure.root == other.running.structure.root

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        """For notebooks: the flow of the signal, each effect with its curve and what was set."""
        from ..pages.drawing import rack_html

        return rack_html(self)

    def __repr__(self) -> str:
        items = self.effects
        lines = [f"Rack([{'' if items else '])'}"] + [f"    {item!r}," for item in items]
        return "\n".join([*lines, "])"] if items else lines)


def silent_keys(rack: Rack, x: Audio) -> dict[str, Audio] | None:
    """Silence for every sidechain of a rack, as long as a sound; None where it has none."""
    return {name: np.zeros_like(x) for name in rack.sidechains} or None


def as_rack(given: object) -> Rack:
    """The rack argument of a function as a `Rack`: a rack as it is, effects in a new one.

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


def _rebuild_rack(
    items: list[Any],
    name: str,
    provenance: dict[str, Any],
    arrays: dict[str, Any],
    saved_state: dict[str, Any] | None = None,
) -> Rack:
    rack = Rack(items, name)
    rack.provenance, rack.arrays, rack.saved_state = provenance, arrays, saved_state
    return rack
