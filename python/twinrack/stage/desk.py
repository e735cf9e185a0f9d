"""The desk: one place through which pages, controllers, OSC and Python change what sounds, and can take it back.

A state is a rack as it was; to come back to it sets the values that differ, which glide, or, where the structure differs,
crossfades. Undo, snapshots, A and B, presets and a patch file that was edited all come back to states.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..rack import patch
from ..rack.card import Parameter, Value
from ..rack.effect import CLASSES, Effect, place_of, unknown
from ..rack.rack import Rack
from ..rack.tree import Chain, Parallel
from ..system import forking
from .beside import every, weakly
from .line import HIGHEST_DB, LOWEST_DB, Line

if TYPE_CHECKING:
    from .stream import LiveStream

log = logging.getLogger("twinrack.live")
GESTURE_S = 1.0  # changes of one address that follow each other so closely are one step of undo
MOST_UNDO = 200
MOST_SNAPSHOTS, LONGEST_NAME = 200, 100
MORPH_STEP_S = 0.02
RELOAD_S = 0.2
Listener = Callable[[dict[str, Any]], None]
Source = str

LEVEL = Parameter(
    "level_db", "continuous", 0.0, "Level of the line.", "About 10 dB more is heard as twice as loud.", "dB",
    LOWEST_DB, HIGHEST_DB, (-40.0, 6.0), smoothing_ms=10.0,
)  # fmt: skip
MUTE = Parameter("mute", "switch", False, "Silence of the line.", "Nothing of it is heard.")
BYPASS = Parameter("bypass", "switch", False, "Leaves the sound as it is.", "The effect is not heard.")


@dataclass(frozen=True)
class Place:
    """Where an address leads: a parameter of an effect, its bypass, or a line's level or mute (then `effect` is empty)."""

    line: str
    effect: str
    name: str
    parameter: Parameter


@dataclass
class Kept:
    """A line as it was."""

    rack: Rack
    level_db: float
    mute: bool


State = dict[str, Kept]


def _build_of(item: Effect | Chain | Parallel) -> object:
    """What makes a difference that no glide bridges: the tree, what effects are built from, and what delays."""
    if isinstance(item, Effect):
        values, fixed = item.values(), []
        for name, p in item.card.addresses.items():
            if p.rebuilds or name == item.card.latency:
                fixed.append((name, values[name]))
        return item.card.id, item.name, item.key, tuple(fixed)
    return type(item).__name__, tuple(_build_of(child) for child in item.children())


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None while it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def same_build(a: Rack, b: Rack) -> bool:
    """True when one becomes the other by values that glide."""
    if _build_of(a.root) != _build_of(b.root):
        return False
    return all(e.resources == f.resources for e, f in zip(a.addresses().values(), b.addresses().values(), strict=True))


class Desk:
    """Changes a live stream; from any thread.

    Args:
        stream: what sounds.
        folder: of the presets that may be loaded and saved by name; None has none.

    Addresses are those of the rack ("compressor.ratio"), with "compressor.bypass", and "level_db" and "mute" of a line;
    with several lines after the line's name ("voice/compressor.ratio"). Without a line, the first one is meant.
    """

    def __init__(self, stream: LiveStream, folder: Path | None = None) -> None:
        self.stream = stream
        self.folder = folder
        self.snapshots: dict[str, State] = {}
        self.side = "A"
        self._sides: dict[str, State] = {}
        self._undo: list[tuple[str, float, State]] = []
        self._redo: list[State] = []
        self._listeners: list[Listener] = []
        self._source = threading.local()  # who makes the changes of a thread
        self._lock = forking.lock()
        self._morph: threading.Event | None = None
        self._watching: dict[Path, threading.Event] = {}
        self._stamps: dict[Path, tuple[int, int] | None] = {}  # of watched files, when they were heard last
        self._ends: list[Callable[[], None]] = []  # of what the racks tell
        for name, line in stream.lines.items():
            listeners, listener = line.rack.running.listeners, partial(weakly(self._hear_of), name)
            listeners.append(listener)  # the list moves on with the stream when another rack takes over
            self._ends.append(partial(_remove, listeners, listener))
        weakref.finalize(self, _end, self._ends, self._watching).atexit = False

    # --- who is told -------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change, whoever made it: {"set": address, "to": value, "source": …}, {"structure": line},
        {"snapshots": names} or {"side": "A"}. Returns what ends it."""
        self._listeners.append(listener)

        def end() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def _tell(self, change: dict[str, Any]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener({**change, "source": getattr(self._source, "name", "")})
            except Exception:
                log.exception("a listener failed")

    def _hear_of(self, line: str, number: int, change: dict[str, Any]) -> None:
        """What the rack of a line tells."""
        if "set" in change:
            self._tell({"set": self.address(line, change["set"]), "to": change["to"]})
        elif "bypass" in change:
            self._tell({"set": self.address(line, f"{change['bypass']}.bypass"), "to": change["to"]})
        else:
            self._tell({"structure": line})

    @contextmanager
    def by(self, source: Source) -> Iterator[None]:
        """Changes in this block are marked as made by `source`, so that it can leave out its own when it is told."""
        with self._lock:
            before, self._source.name = getattr(self._source, "name", ""), source
            try:
                yield
            finally:
                self._source.name = before

    # --- addresses ---------------------------------------------------------------------------------------------------

    def address(self, line: str, below: str) -> str:
        """The full address of something in a line."""
        return below if len(self.stream.lines) == 1 else f"{line}/{below}"

    def addresses(self) -> dict[str, Place]:
        """Everything that can be set."""
        found = {}
        for name, line in self.stream.lines.items():
            for effect, e in line.rack.addresses().items():
                for below, p in {**e.card.addresses, "bypass": BYPASS}.items():
                    found[self.address(name, f"{effect}.{below}")] = Place(name, effect, below, p)
            for p in (LEVEL, MUTE):
                found[self.address(name, p.id)] = Place(name, "", p.id, p)
        return found

    def find(self, address: str) -> Place:
        """What an address means.

        Raises:
            ValueError: there is nothing; the nearest is named.
        """
        head, slash, below = address.rpartition("/")
        line = head if slash else next(iter(self.stream.lines))
        if line not in self.stream.lines:
            raise ValueError(unknown(line, list(self.stream.lines), "the stream", "line"))
        if below in ("level_db", "mute"):
            return Place(line, "", below, LEVEL if below == "level_db" else MUTE)
        rack = self.stream.lines[line].rack
        effect, name = rack.running.split(below)
        where = below.partition(".")[0]
        if name == "bypass":
            return Place(line, where, name, BYPASS)
        if name not in effect.card.addresses:
            raise ValueError(unknown(name, [*effect.card.addresses, "bypass"], where))
        return Place(line, where, name, effect.card.addresses[name])

    def _line(self, line: str | None) -> tuple[str, Line]:
        name = next(iter(self.stream.lines)) if line is None else line
        if name not in self.stream.lines:
            raise ValueError(unknown(name, list(self.stream.lines), "the stream", "line"))
        return name, self.stream.lines[name]

    # --- values ------------------------------------------------------------------------------------------------------

    def get(self, address: str) -> Value:
        """The value at an address."""
        place = self.find(address)
        line = self.stream.lines[place.line]
        if not place.effect:
            return line.level_db if place.name == "level_db" else line.mute
        effect: Effect = line.rack[place.effect]
        return effect.bypass if place.name == "bypass" else effect.get(place.name)

    def set(self, address: str, value: object) -> None:
        """Set the value at an address; it glides there.

        Raises:
            ValueError: there is no such address, or the value is out of range.
        """
        with self._lock:
            place = self.find(address)
            checked = place.parameter.check(value, address.rpartition("/")[2].rpartition(".")[0] or place.line)
            if checked == self.get(address):
                return
            self._remember(f"set {address}")
            self._set(place, checked)

    def _set(self, place: Place, value: Value) -> None:
        line = self.stream.lines[place.line]
        if place.effect and place.name == "bypass":
            line.rack[place.effect].bypass = bool(value)
        elif place.effect:
            line.rack[place.effect].set(place.name, value)
        else:
            if place.name == "mute":
                self.stream.level(place.line, mute=bool(value))
            else:
                self.stream.level(place.line, float(value))
            self._tell({"set": self.address(place.line, place.name), "to": value})

    def position(self, address: str) -> float:
        """Where the value is in its range, 0 to 1, in the parameter's own scale."""
        return self.find(address).parameter.place(self.get(address))

    def set_position(self, address: str, position: float) -> None:
        """Set the value by its place in the range, 0 to 1, as a controller does."""
        self.set(address, self.find(address).parameter.at(position))

    # --- structure ---------------------------------------------------------------------------------------------------

    def add(self, effect: str, index: int | None = None, line: str | None = None) -> str:
        """Insert an effect by its card's id before position `index` of the outer chain (at its end without); its address."""
        if effect not in CLASSES:
            raise ValueError(unknown(effect, list(CLASSES), "twinrack", "effect"))
        with self._lock:
            name, found = self._line(line)
            made = CLASSES[effect]()
            at = len(found.rack.effects) if index is None else index
            self._structure(f"add {effect}", lambda: found.rack.insert(at, made))
            return self.address(name, place_of(made))

    def remove(self, address: str) -> None:
        """Take an effect out of the outer chain."""
        with self._lock:
            _, found, effect = self._effect(address)
            self._structure(f"remove {effect}", lambda: found.rack.remove(effect))

    def move(self, address: str, index: int) -> None:
        """Put an effect of the outer chain at another position of it."""
        with self._lock:
            _, found, effect = self._effect(address)
            items = list(found.rack.effects)
            item = found.rack[effect]
            if item not in items:
                raise ValueError(f"{effect!r} is inside a Chain or Parallel; only the outer chain can be reordered")
            items.remove(item)
            items.insert(max(0, min(index, len(items))), item)
            self._structure(f"move {effect}", lambda: setattr(found.rack, "effects", tuple(items)))

    def _effect(self, address: str) -> tuple[str, Line, str]:
        head, slash, effect = address.rpartition("/")
        name, found = self._line(head if slash else None)
        if effect not in found.rack.addresses():
            where = f"rack {found.rack.name!r}"
            raise ValueError(unknown(effect, list(found.rack.addresses()), where, "effect"))
        return name, found, effect

    def _structure(self, label: str, change: Callable[[], object]) -> None:
        before = self._state()
        change()
        self._push(label, before)

    # --- states ------------------------------------------------------------------------------------------------------

    def _state(self) -> State:
        return {name: Kept(line.rack.copy(), line.level_db, line.mute) for name, line in self.stream.lines.items()}

    def _push(self, label: str, state: State) -> None:
        self._undo.append((label, time.monotonic(), state))
        del self._undo[:-MOST_UNDO]
        self._redo.clear()

    def _remember(self, label: str) -> None:
        """Before a change; one gesture is one step."""
        if self._undo and self._undo[-1][0] == label and time.monotonic() - self._undo[-1][1] < GESTURE_S:
            self._undo[-1] = (label, time.monotonic(), self._undo[-1][2])
            return
        self._push(label, self._state())

    def _come_to(self, state: State) -> None:
        """Make it so. A morph that goes on would undo it, so it ends."""
        self._end_morph()
        for name, kept in state.items():
            line, then = self.stream.lines[name], kept.rack
            now = line.rack
            if same_build(now, then):
                for address, effect in then.addresses().items():
                    mine = now[address]
                    for below, value in effect.values().items():
                        if mine.get(below) != value:
                            mine.set(below, value)
                    if mine.bypass != effect.bypass:
                        mine.bypass = effect.bypass
            else:
                now.effects = tuple(item.copy() for item in then.effects)
            now.name = then.name
            now.provenance, now.arrays = dict(then.provenance), dict(then.arrays)
            for below, value in (("level_db", kept.level_db), ("mute", kept.mute)):
                if getattr(line, below) != value:
                    self._set(self.find(self.address(name, below)), value)

    def _end_morph(self) -> None:
        if self._morph is not None:
            self._morph.set()
            self._morph = None

    def undo(self) -> str:
        """Take the last change back; what it was.

        Raises:
            ValueError: there is nothing to take back.
        """
        with self._lock:
            if not self._undo:
                raise ValueError("there is nothing to undo")
            label, _, state = self._undo.pop()
            self._redo.append(self._state())
            self._come_to(state)
            return label

    def redo(self) -> None:
        """Take the last undo back."""
        with self._lock:
            if not self._redo:
                raise ValueError("there is nothing to redo")
            state = self._redo.pop()
            self._undo.append(("redo", time.monotonic(), self._state()))
            del self._undo[:-MOST_UNDO]
            self._come_to(state)

    def snapshot(self, name: str) -> None:
        """Keep everything as it is now under a name, in place of what had that name.

        Raises:
            ValueError: the name is empty or longer than 100 characters, or there are 200 snapshots already.
        """
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueError(f"a snapshot needs a name of 1 to {LONGEST_NAME} printable characters")
        with self._lock:
            if name not in self.snapshots and len(self.snapshots) >= MOST_SNAPSHOTS:
                raise ValueError(
                    f"there are {MOST_SNAPSHOTS} snapshots already; forget one (Desk.forget, /twinrack/forget), or use its name"
                )
            self.snapshots[name] = self._state()
            self._tell({"snapshots": list(self.snapshots)})

    def forget(self, name: str) -> None:
        """Let go of a snapshot.

        Raises:
            ValueError: there is none of that name.
        """
        with self._lock:
            self._snapshot(name)
            del self.snapshots[name]
            self._tell({"snapshots": list(self.snapshots)})

    def _snapshot(self, name: str) -> State:
        if name not in self.snapshots:
            there = ", ".join(list(self.snapshots)[:10]) or "none"
            more = f" and {len(self.snapshots) - 10} more" if len(self.snapshots) > 10 else ""
            raise ValueError(f"there is no snapshot {name[:LONGEST_NAME]!r}; there are: {there}{more}")
        return self.snapshots[name]

    def recall(self, name: str, seconds: float = 0.0) -> None:
        """Come back to a snapshot, at once or by a morph over some seconds (structure by a crossfade)."""
        if not 0.0 <= seconds <= 600.0:
            raise ValueError(f"seconds = {seconds:g} is outside 0 to 600")
        with self._lock:
            goal = self._snapshot(name)
            self._push(f"recall {name}", self._state())
            if seconds and all(same_build(self.stream.lines[n].rack, kept.rack) for n, kept in goal.items()):
                self._glide(self._state(), goal, seconds)
            else:
                self._come_to(goal)

    def morph(self, a: str, b: str, share: float) -> None:
        """Between two snapshots of one structure: 0 is `a`, 1 is `b`; in each parameter's own scale, choices in the middle."""
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share = {share:g} is outside 0 to 1")
        with self._lock:
            one, other = self._snapshot(a), self._snapshot(b)
            for name, line in self.stream.lines.items():
                if not (same_build(line.rack, one[name].rack) and same_build(line.rack, other[name].rack)):
                    raise ValueError(f"{a!r} and {b!r} differ from the present structure; recall one of them instead")
            self._remember(f"morph {a} {b}")
            self._end_morph()
            self._between(one, other, share)

    def _between(self, one: State, other: State, share: float) -> None:
        for name, line in self.stream.lines.items():
            level: Value = (1.0 - share) * one[name].level_db + share * other[name].level_db
            mute: Value = one[name].mute if share < 0.5 else other[name].mute
            for own, wanted in (("level_db", level), ("mute", mute)):
                if getattr(line, own) != wanted:
                    self._set(self.find(self.address(name, own)), wanted)
            for address, effect in line.rack.addresses().items():
                x, y = one[name].rack[address], other[name].rack[address]
                for below, p in effect.card.addresses.items():
                    a, b = x.get(below), y.get(below)
                    if p.kind == "continuous" and a != b and 0.0 < share < 1.0:
                        value = p.at((1.0 - share) * p.position(float(a)) + share * p.position(float(b)))
                    else:
                        value = a if share < 0.5 else b
                    if effect.get(below) != value:
                        effect.set(below, value)
                bypass = x.bypass if share < 0.5 else y.bypass
                if effect.bypass != bypass:
                    effect.bypass = bypass

    def _glide(self, one: State, other: State, seconds: float) -> None:
        """A morph that goes on beside, until another state is asked for."""
        self._end_morph()
        self._morph = end = threading.Event()
        every(MORPH_STEP_S, end, self._morph_on, "twinrack-morph", one, other, time.monotonic(), seconds, end)

    def _morph_on(self, one: State, other: State, began: float, seconds: float, end: threading.Event) -> bool:
        """One step of it; whether more follow."""
        share = min(1.0, (time.monotonic() - began) / seconds)
        with self._lock:
            if end.is_set():
                return False
            try:
                self._between(one, other, share)
            except (ValueError, KeyError, RuntimeError):
                return False  # the structure is another one by now
        return share < 1.0

    def switch(self, side: str | None = None) -> str:
        """Hear the other of two racks, A and B; each keeps what was changed while it was heard. B begins as A. Which it is."""
        side = side or ("B" if self.side == "A" else "A")
        if side not in ("A", "B"):
            raise ValueError(f"side = {side!r} is neither A nor B")
        with self._lock:
            if side != self.side:
                self._sides[self.side] = self._state()
                self._push(f"hear {side}", self._state())
                self.side = side
                self._come_to(self._sides.get(side, self._sides["A" if side == "B" else "B"]))
                self._tell({"side": side})
            return self.side

    # --- presets -----------------------------------------------------------------------------------------------------

    def presets(self) -> list[str]:
        """Names of the patches in the folder, in order; a program change chooses by number."""
        if self.folder is None:
            return []
        return sorted(p.name.removesuffix(".rack.json") for p in self.folder.glob("*.rack.json"))

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise ValueError("no folder of racks was given; start with --racks FOLDER")
        if not name or name.startswith(".") or any(c in name for c in "/\\:\0"):
            raise ValueError(f"{name!r} is no name of a preset")
        return self.folder / f"{name}.rack.json"

    def load(self, name: str, line: str | None = None) -> None:
        """Hear a preset of the folder.

        Raises:
            FileNotFoundError, ValueError: it is not there or broken; the sound goes on as it is.
        """
        self._hear(patch.load(self._path(name)), f"load {name}", line)

    def _hear(self, loaded: Rack, label: str, line: str | None = None) -> None:
        with self._lock:
            name, found = self._line(line)
            before = self._state()
            self._come_to({name: Kept(loaded, found.level_db, found.mute)})
            self._push(label, before)

    def save(self, name: str, line: str | None = None, *, replace: bool = False) -> None:
        """Write what is heard into the folder.

        Raises:
            FileExistsError: there is a preset of that name, and `replace` is False.
        """
        with self._lock:
            _, found = self._line(line)
            path = self._path(name)
            if path.exists() and not replace:
                raise FileExistsError(f"there is a preset {name!r} already; take another name, or replace it")
            found.rack.save(path)
            if path.resolve() in self._watching:
                self._stamps[path.resolve()] = _stamp(path)  # what is heard already need not be heard anew
            self._tell({"presets": self.presets()})

    def program(self, number: int) -> str:
        """Hear the preset with a number, counted from 0 in the order of names; its name."""
        there = self.presets()
        if not 0 <= number < len(there):
            raise ValueError(f"there is no preset {number}; there are {len(there)}")
        self.load(there[number])
        return there[number]

    def follow(self, path: Path, line: str | None = None) -> None:
        """Hear a patch file anew whenever it changes; what is broken is refused with a sentence, and the sound goes on.

        Raises:
            FileNotFoundError: there is no such file.
        """
        name, _ = self._line(line)
        if not path.exists():
            raise FileNotFoundError(f"there is no patch {path} to follow")
        path = path.resolve()
        end = threading.Event()
        if path in self._watching:
            self._watching[path].set()
        self._watching[path] = end
        self._stamps[path] = _stamp(path)

        every(RELOAD_S, end, self._reread, "twinrack-reload", path, name)

    def _reread(self, path: Path, line: str) -> None:
        """Hear a watched file anew where it changed."""
        now = _stamp(path)
        if now == self._stamps[path] or now is None:
            return
        time.sleep(0.05)  # an editor may still be writing
        if _stamp(path) != now:
            return
        self._stamps[path] = now
        try:
            self._hear(patch.load(path), f"reload {path.name}", line)
        except Exception as error:
            self.stream.tell("reload", f"{path.name} is refused, the sound goes on: {error}")
        else:
            self.stream.tell("reload", f"{path.name} was changed and is heard")

    def close(self) -> None:
        """End what runs beside, morphs and watched files, and hear of nothing more. The sound goes on."""
        _end(self._ends, self._watching)
        self._end_morph()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a desk cannot be copied or pickled: it moves a live stream; make another one on the stream")


def _remove(listeners: list[Any], listener: Any) -> None:
    with suppress(ValueError):
        listeners.remove(listener)


def _end(ends: list[Callable[[], None]], watching: dict[Path, threading.Event]) -> None:
    for end in ends:
        end()
    for watch in watching.values():
        watch.set()
