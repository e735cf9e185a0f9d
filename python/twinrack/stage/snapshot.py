"""Snapshots of what sounds: taken, restored and blended, with the history of undo and redo that keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..rack.effect import Effect
from ..rack.external_effect import ExternalEffect
from ..rack.rack import Rack
from ..rack.tree import Chain, Parallel
from .line import Line

GESTURE_S = 1.0  # changes of one address that follow each other so closely are one step of undo
MOST_UNDO = 200


@dataclass
class LineSnapshot:
    """A line as it was."""

    rack: Rack
    level_db: float
    mute: bool


Snapshot = dict[str, LineSnapshot]


def take_snapshot(lines: Mapping[str, Line]) -> Snapshot:
    """The lines as they are, by name."""
    return {name: LineSnapshot(line.rack.copy(), line.level_db, line.mute) for name, line in lines.items()}


def _build_of(item: Effect | Chain | Parallel) -> object:
    """The parts of a rack that no glide can change: the tree, and values that rebuild an effect or set its latency."""
    if isinstance(item, Effect):
        values = item.values()
        fixed = [(name, values[name]) for name, p in item.card.addresses.items() if p.rebuilds or name == item.card.latency]
        outside = item.build() if isinstance(item, ExternalEffect) else None
        return item.card.id, item.name, item.key, tuple(fixed), outside
    return type(item).__name__, tuple(_build_of(child) for child in item.children())


def same_build(a: Rack, b: Rack) -> bool:
    """True when one becomes the other by values that glide."""
    if _build_of(a.root) != _build_of(b.root):
        return False
    return all(e.resources == f.resources for e, f in zip(a.addresses().values(), b.addresses().values(), strict=True))


def restore_rack(rack: Rack, goal: Rack) -> None:
    """Make a rack as another one was: values glide; where the structure differs, the sound crossfades."""
    if same_build(rack, goal):
        for address, effect in goal.addresses().items():
            own = rack[address]
            for below, value in effect.values().items():
                if own.get(below) != value:
                    own.set(below, value)
            if own.bypass != effect.bypass:
                own.bypass = effect.bypass
    else:
        rack.effects = tuple(item.copy() for item in goal.effects)
    rack.name = goal.name
    rack.provenance, rack.arrays, rack.saved_state = dict(goal.provenance), dict(goal.arrays), goal.saved_state


def blend_rack(rack: Rack, a: Rack, b: Rack, position: float) -> None:
    """Set a rack between two of its structure: 0 is `a`, 1 is `b`; numbers in their own scale, the rest changes at 0.5."""
    for address, effect in rack.addresses().items():
        x, y = a[address], b[address]
        for below, p in effect.card.addresses.items():
            from_a, from_b = x.get(below), y.get(below)
            if p.kind == "continuous" and from_a != from_b and 0.0 < position < 1.0:
                value = p.at((1.0 - position) * p.position(float(from_a)) + position * p.position(float(from_b)))
            else:
                value = from_a if position < 0.5 else from_b
            if effect.get(below) != value:
                effect.set(below, value)
        bypass = x.bypass if position < 0.5 else y.bypass
        if effect.bypass != bypass:
            effect.bypass = bypass


class History:
    """The snapshots before each change, for undo and redo; changes of one gesture are one step.

    Args:
        take: gives the snapshot of what sounds now.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._undo: list[tuple[str, float, Snapshot]] = []
        self._redo: list[Snapshot] = []

    @property
    def undo_steps(self) -> int:
        """How many changes can be taken back."""
        return len(self._undo)

    @property
    def redo_steps(self) -> int:
        """How many undone changes can be made again."""
        return len(self._redo)

    def push(self, label: str, before: Snapshot) -> None:
        """Keep what was before a change."""
        self._undo.append((label, time.monotonic(), before))
        del self._undo[:-MOST_UNDO]
        self._redo.clear()

    def push_gesture(self, label: str) -> None:
        """Keep what is now, before a change that may be one of many in a gesture."""
        if self._undo and self._undo[-1][0] == label and time.monotonic() - self._undo[-1][1] < GESTURE_S:
            self._undo[-1] = (label, time.monotonic(), self._undo[-1][2])
            return
        self.push(label, self._take())

    def undo(self) -> tuple[str, Snapshot]:
        """The last change, and what was before it.

        Raises:
            ValueError: there is none.
        """
        if not self._undo:
            raise ValueError("there is nothing to undo")
        label, _, before = self._undo.pop()
        self._redo.append(self._take())
        return label, before

    def redo(self) -> Snapshot:
        """The state before the last undo.

        Raises:
            ValueError: there is none.
        """
        if not self._redo:
            raise ValueError("there is nothing to redo")
        after = self._redo.pop()
        self._undo.append(("redo", time.monotonic(), self._take()))
        del self._undo[:-MOST_UNDO]
        return after
