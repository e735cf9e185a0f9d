"""The desk: the one object through which the console, MIDI, OSC and Python change what sounds, with undo and snapshots.

A change back, to a snapshot, a preset, the other side or a patch file that was edited sets the values that differ, which glide;
where the structure differs, the sound crossfades.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..checks import brief
from ..rack import patch
from ..rack.card import CARDS, Value
from ..rack.effect import CLASSES, place_of, unknown
from ..rack.presets import effect_presets, preset
from ..rack.rack import Rack
from ..rack.tree import effects_of
from ..system import forking
from .background import every, weakly
from .line import Line
from .patch_watcher import PatchWatcher
from .places import Place, Places
from .snapshot import History, LineSnapshot, Snapshot, blend_rack, restore_rack, same_build, take_snapshot

if TYPE_CHECKING:
    from .stream import LiveStream

log = logging.getLogger("twinrack.live")
MOST_SNAPSHOTS, LONGEST_NAME = 200, 100
MORPH_STEP_S = 0.02
LONGEST_MORPH_S = 600.0
Listener = Callable[[dict[str, Any]], None]


class Desk:
    """Changes a live stream; from any thread.

    Args:
        stream: what sounds.
        folder: of the presets that may be loaded and saved by name; None has none.

    Addresses are those of the rack ("compressor.ratio"), with "compressor.bypass", and "level_db" and "mute" of a line;
    with several lines after the line's name ("voice/compressor.ratio"). Without a line, the first one is meant.

    Attributes:
        snapshots: by name.
        side: "A" or "B".
        history: undo and redo.
        listeners: called with every change; see `subscribe`.
    """

    def __init__(self, stream: LiveStream, folder: Path | None = None, read: Callable[[Path], Rack] = patch.load) -> None:
        self.stream = stream
        self.folder = folder
        self._read = read
        self.snapshots: dict[str, Snapshot] = {}
        self.side = "A"
        self.history = History(weakly(self._now))
        self.listeners: list[Listener] = []
        self._sides: dict[str, Snapshot] = {}
        self._places = Places(stream.lines)
        self._source = threading.local()  # who makes the changes of a thread
        self._changed_by: dict[str, set[str]] = {}  # by line, since it was last saved or loaded
        self._lock = forking.lock()
        self._morph: threading.Event | None = None
        self._watcher = PatchWatcher(weakly(self._load_rack), weakly(self._tell_stream), read)
        self._ends: list[Callable[[], None]] = []  # of what the racks tell
        for name, line in stream.lines.items():
            listeners, listener = line.rack.running.listeners, partial(weakly(self._rack_changed), name)
            listeners.append(listener)  # the list moves on with the stream when another rack takes over
            self._ends.append(partial(_remove, listeners, listener))
        weakref.finalize(self, _end, self._ends, self._watcher).atexit = False

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change, whoever made it: {"set": address, "to": value, "source": …}, {"structure": line},
        {"snapshots": names} or {"side": "A"}. Returns what ends it."""
        self.listeners.append(listener)

        def end() -> None:
            with suppress(ValueError):
                self.listeners.remove(listener)

        return end

    def tell(self, change: dict[str, Any]) -> None:
        """Call the listeners with a change."""
        for listener in tuple(self.listeners):
            try:
                listener({**change, "source": getattr(self._source, "name", "")})
            except Exception:
                log.exception("a listener failed")

    def _tell_stream(self, kind: str, words: str) -> None:
        self.stream.tell(kind, words)

    def _rack_changed(self, line: str, number: int, change: dict[str, Any]) -> None:
        self._changed_by.setdefault(line, set()).add(_kind_of(getattr(self._source, "name", "")))
        if "set" in change:
            self.tell({"set": self.address(line, change["set"]), "to": change["to"]})
        elif "bypass" in change:
            self.tell({"set": self.address(line, f"{change['bypass']}.bypass"), "to": change["to"]})
        else:
            self.tell({"structure": line})

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Nothing else changes through the desk in this block."""
        with self._lock:
            yield

    @contextmanager
    def by(self, source: str) -> Iterator[None]:
        """Changes in this block are marked as made by `source`, so that it can leave out its own when it is told."""
        with self._lock:
            before, self._source.name = getattr(self._source, "name", ""), source
            try:
                yield
            finally:
                self._source.name = before

    def address(self, line: str, below: str) -> str:
        """The full address of something in a line."""
        return self._places.address(line, below)

    def addresses(self) -> dict[str, Place]:
        """Everything that can be set."""
        return self._places.addresses()

    def find(self, address: str) -> Place:
        """The target of an address.

        Raises:
            ValueError: unknown address; names the nearest one.
        """
        return self._places.find(address)

    def line(self, name: str | None) -> Line:
        """The line of a name; None is the first.

        Raises:
            ValueError: there is no such line; the nearest is named.
        """
        return self._places.line(name)[1]

    def get(self, address: str) -> Value:
        """The value at an address."""
        return self._places.get(self.find(address))

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
            self.history.push_gesture(f"set {address}")
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
            self.tell({"set": self.address(place.line, place.name), "to": value})

    def position(self, address: str) -> float:
        """Where the value is in its range, 0 to 1, in the parameter's own scale."""
        return self.find(address).parameter.place(self.get(address))

    def set_position(self, address: str, position: float) -> None:
        """Set the value by its place in the range, 0 to 1, as a controller does."""
        self.set(address, self.find(address).parameter.at(position))

    def add(self, effect: str, index: int | None = None, line: str | None = None) -> str:
        """Insert an effect by its card's id before position `index` of the outer chain (at its end without); its address.

        "multiband_compressor/mastering" inserts what that preset is, and gives the address of its first effect.
        """
        kind, slash, name_of_preset = effect.partition("/")
        if not slash and effect not in CLASSES:
            raise ValueError(unknown(effect, list(CLASSES), "twinrack", "effect"))
        with self._lock:
            name, target = self._places.line(line)
            added = preset(kind, name_of_preset) if slash else CLASSES[effect]()
            at = len(target.rack.effects) if index is None else index
            self._restructure(f"add {effect}", lambda: target.rack.insert(at, added))
            return self.address(name, place_of(next(effects_of(added))))

    def remove(self, address: str) -> None:
        """Take an effect out of the outer chain."""
        with self._lock:
            _, line, effect = self._places.effect(address)
            self._restructure(f"remove {effect}", lambda: line.rack.remove(effect))

    def move(self, address: str, index: int) -> None:
        """Put an effect of the outer chain at another position of it."""
        with self._lock:
            _, line, effect = self._places.effect(address)
            items = list(line.rack.effects)
            item = line.rack[effect]
            if item not in items:
                raise ValueError(f"{effect!r} is inside a Chain or Parallel; only the outer chain can be reordered")
            items.remove(item)
            items.insert(max(0, min(index, len(items))), item)
            self._restructure(f"move {effect}", lambda: setattr(line.rack, "effects", tuple(items)))

    def _restructure(self, label: str, change: Callable[[], object]) -> None:
        before = self._now()
        change()
        self.history.push(label, before)

    def _now(self) -> Snapshot:
        return take_snapshot(self.stream.lines)

    def _set_line(self, name: str, level_db: float, mute: bool) -> None:
        line = self.stream.lines[name]
        settings: tuple[tuple[str, Value], ...] = (("level_db", level_db), ("mute", mute))
        for below, value in settings:
            if getattr(line, below) != value:
                self._set(self.find(self.address(name, below)), value)

    def _restore(self, snapshot: Snapshot) -> None:
        """Make it as it was. A morph that goes on would undo this, so it ends."""
        self._end_morph()
        for name, then in snapshot.items():
            restore_rack(self.stream.lines[name].rack, then.rack)
            self._set_line(name, then.level_db, then.mute)

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
            label, before = self.history.undo()
            self._restore(before)
            return label

    def redo(self) -> None:
        """Take the last undo back.

        Raises:
            ValueError: there is none.
        """
        with self._lock:
            self._restore(self.history.redo())

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
            self.snapshots[name] = self._now()
            self.tell({"snapshots": list(self.snapshots)})

    def forget(self, name: str) -> None:
        """Delete a snapshot.

        Raises:
            ValueError: there is none of that name.
        """
        with self._lock:
            self._snapshot(name)
            del self.snapshots[name]
            self.tell({"snapshots": list(self.snapshots)})

    def _snapshot(self, name: str) -> Snapshot:
        if name not in self.snapshots:
            first = ", ".join(list(self.snapshots)[:10]) or "none"
            more = f" and {len(self.snapshots) - 10} more" if len(self.snapshots) > 10 else ""
            raise ValueError(f"there is no snapshot {name[:LONGEST_NAME]!r}; there are: {first}{more}")
        return self.snapshots[name]

    def recall(self, name: str, seconds: float = 0.0) -> None:
        """Restore a snapshot, at once or by a morph over some seconds (structure by a crossfade).

        Raises:
            ValueError: there is none of that name, or `seconds` is outside 0 to 600.
        """
        if not 0.0 <= seconds <= LONGEST_MORPH_S:
            raise ValueError(f"seconds = {seconds:g} is outside 0 to {LONGEST_MORPH_S:g}")
        with self._lock:
            goal = self._snapshot(name)
            self.history.push(f"recall {name}", self._now())
            if seconds and all(same_build(self.stream.lines[n].rack, line.rack) for n, line in goal.items()):
                self._begin_morph(self._now(), goal, seconds)
            else:
                self._restore(goal)

    def morph(self, a: str, b: str, share: float) -> None:
        """Between two snapshots of one structure: 0 is `a`, 1 is `b`; numbers in their own scale, the rest changes at 0.5.

        Raises:
            ValueError: a name is unknown, the structure is another one, or `share` is outside 0 to 1.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share = {share:g} is outside 0 to 1")
        with self._lock:
            begin, end = self._snapshot(a), self._snapshot(b)
            for name, line in self.stream.lines.items():
                if not (same_build(line.rack, begin[name].rack) and same_build(line.rack, end[name].rack)):
                    raise ValueError(f"{a!r} and {b!r} differ from the present structure; recall one of them instead")
            self.history.push_gesture(f"morph {a} {b}")
            self._end_morph()
            self._blend(begin, end, share)

    def _blend(self, begin: Snapshot, end: Snapshot, position: float) -> None:
        for name, line in self.stream.lines.items():
            a, b = begin[name], end[name]
            level_db = (1.0 - position) * a.level_db + position * b.level_db
            self._set_line(name, level_db, a.mute if position < 0.5 else b.mute)
            blend_rack(line.rack, a.rack, b.rack, position)

    def _begin_morph(self, begin: Snapshot, goal: Snapshot, seconds: float) -> None:
        """A morph on a thread of its own, until something else is restored."""
        self._end_morph()
        self._morph = end = threading.Event()
        every(MORPH_STEP_S, end, self._step_morph, "twinrack-morph", begin, goal, time.monotonic(), seconds, end)

    def _step_morph(self, begin: Snapshot, goal: Snapshot, began: float, seconds: float, end: threading.Event) -> bool:
        """One step of it; whether more follow."""
        position = min(1.0, (time.monotonic() - began) / seconds)
        with self._lock:
            if end.is_set():
                return False
            try:
                self._blend(begin, goal, position)
            except (ValueError, KeyError, RuntimeError):
                return False  # the structure is another one by now
        return position < 1.0

    def toggle_ab(self, side: str | None = None) -> str:
        """Hear the other of two racks, A and B, or the one that is named; which it is.

        Each keeps what was changed while it was heard. B begins as A.

        Raises:
            ValueError: `side` is neither "A" nor "B".
        """
        side = side or ("B" if self.side == "A" else "A")
        if side not in ("A", "B"):
            raise ValueError(f"side = {side!r} is neither A nor B")
        with self._lock:
            if side != self.side:
                self._sides[self.side] = self._now()
                self.history.push(f"hear {side}", self._now())
                self.side = side
                self._restore(self._sides.get(side, self._sides["A" if side == "B" else "B"]))
                self.tell({"side": side})
            return self.side

    def switch(self, side: str | None = None) -> str:
        """The former name of `toggle_ab`."""
        return self.toggle_ab(side)

    def presets(self) -> list[str]:
        """Names of the patches in the folder, in order; a program change chooses by number."""
        if self.folder is None:
            return []
        return sorted(p.name.removesuffix(".rack.json") for p in self.folder.glob("*.rack.json"))

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise ValueError("no folder of racks was given; start with --racks FOLDER")
        if not name or name.startswith(".") or any(c in name for c in "/\\:\0"):
            raise ValueError(f"{name!r} cannot be the name of a preset")
        return self.folder / f"{name}.rack.json"

    def load(self, name: str, line: str | None = None) -> None:
        """Hear a preset of the folder.

        Raises:
            FileNotFoundError, ValueError: it is missing or broken; the sound goes on as it is.
        """
        self._load_rack(self._read(self._path(name)), f"load {name}", line)

    def apply_preset(self, address: str, name: str) -> None:
        """Give an effect the values of one of its presets (see `rack.presets`), in one step of undo.

        Raises:
            KeyError, ValueError: there is no such effect, or it has no such preset.
        """
        head, slash, below = address.rpartition("/")
        with self._lock:
            line, target = self._places.line(head if slash else None)
            rack = target.rack.copy()
            effect = rack[below]
            known = effect_presets(effect.card.id) if effect.card.id in CARDS else {}
            if name not in known:
                raise ValueError(f"{below} has no preset {brief(name)}; it has {', '.join(known) or 'none'}")
            known[name].apply(effect)
            self._load_rack(rack, f"preset {name}", line)

    def _load_rack(self, rack: Rack, label: str, line: str | None) -> None:
        with self._lock:
            name, target = self._places.line(line)
            before = self._now()
            self._restore({name: LineSnapshot(rack, target.level_db, target.mute)})
            self.history.push(label, before)
            self._changed_by.pop(name, None)

    def save(self, name: str, line: str | None = None, *, replace: bool = False) -> None:
        """Write what is heard into the folder.

        Raises:
            FileExistsError: there is a preset of that name, and `replace` is False.
        """
        with self._lock:
            line_name, target = self._places.line(line)
            path = self._path(name)
            if path.exists() and not replace:
                raise FileExistsError(f"there is a preset {name!r} already; take another name, or replace it")
            sources = sorted(self._changed_by.pop(line_name, set()))
            target.rack.save(path, by=f"console: {', '.join(sources)}" if sources else "console")
            self._watcher.skip(path)
            self.tell({"presets": self.presets()})

    def program(self, number: int) -> str:
        """Hear the preset with a number, counted from 0 in the order of names; its name.

        Raises:
            ValueError: there are fewer.
        """
        names = self.presets()
        if not 0 <= number < len(names):
            raise ValueError(f"there is no preset {number}; there are {len(names)}")
        self.load(names[number])
        return names[number]

    def watch_patch(self, path: Path, line: str | None = None) -> None:
        """Load a patch file whenever it changes; what is broken is refused with a sentence, and the sound goes on.

        Raises:
            FileNotFoundError: there is no such file.
        """
        self._watcher.watch(path, self._places.line(line)[0])

    def follow(self, path: Path, line: str | None = None) -> None:
        """The former name of `watch_patch`."""
        self.watch_patch(path, line)

    def close(self) -> None:
        """End morphs and watched files, and be told of nothing more. The sound goes on."""
        _end(self._ends, self._watcher)
        self._end_morph()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a desk cannot be copied or pickled: it moves a live stream; make another one on the stream")


def _kind_of(source: str) -> str:
    """A source of changes as a patch's trail names it."""
    if source in ("", "midi"):
        return "MIDI" if source else "Python"
    return "OSC" if source.startswith("osc ") else "page"


def _remove(listeners: list[Any], listener: Any) -> None:
    with suppress(ValueError):
        listeners.remove(listener)


def _end(ends: list[Callable[[], None]], watcher: PatchWatcher) -> None:
    for end in ends:
        end()
    watcher.close()
