"""The reader of a DAWproject's Points: as breakpoints of a session, straight lines in dB and seconds."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from ..hosting.plugin_card import PluginParameter
from ..rack.card import Parameter, Value
from .parameter_reader import Target
from .scope import Scope, label, number, switch, unit
from .text import Notes, plain
from .units import Array, near, straighten

MOST_POINTS = 1_000_000  # of all automation, once it is straight
Moves = list[tuple[float, Value, str]]


class AutomationReader:
    """Automates values of channels by Points.

    Args:
        ids: elements by id.
        targets: by id, what automation may move; values that are not carried over are missing.
        notes: grows by what is not carried over.
    """

    def __init__(self, ids: dict[str, ET.Element], targets: dict[str, Target], notes: Notes) -> None:
        self.ids, self.targets, self.notes = ids, targets, notes
        self._count = 0

    def points(self, e: ET.Element, scope: Scope, where: str) -> None:
        """Let a value follow the points of an element; `where` names the track for messages."""
        target = e.find("Target")
        if target is None:
            raise ValueError(f"{label(e)} of {where} has no Target; say which parameter it moves")
        id = target.get("parameter")
        if id is None:
            what = target.get("expression", "something")[:40]
            self.notes.add(f"the automation of {what!r} of {where} is left out, for it moves no parameter")
            return
        if id not in self.ids:
            raise ValueError(f"{label(e)} of {where} moves {id[:60]!r}, which is not in the project")
        moved_value = self.targets.get(id)
        if moved_value is None:
            moved = plain(self.ids[id].get("name") or self.ids[id].tag)
            self.notes.add(f"the automation of {moved[:60]} of {where} is left out, for a session has no such value")
            return
        scope = scope.as_unit(unit(e, "timeUnit", scope.unit))
        if moved_value.scale.unit is None:
            moves: Moves = [
                (scope.at(number(p, "time")), switch(p, "value", False) != (moved_value.scale.factor < 0), "hold")
                for p in e.findall("BoolPoint")
            ]
        else:
            moves = self._moves(e, scope, moved_value)
        if not moves:
            return
        self._count += len(moves)
        if self._count > MOST_POINTS:
            raise ValueError(f"its automation has more than {MOST_POINTS} points, which no project needs")
        moves.sort(key=lambda m: m[0])
        if moved_value.address in moved_value.channel.automation:
            self.notes.add(f"{moved_value.channel.name}.{moved_value.address} has automation twice; the later one is read")
        try:
            moved_value.channel.automate(moved_value.address, moves)
        except ValueError as error:
            self.notes.add(f"the automation of {moved_value.channel.name}.{moved_value.address} is left out: {error}")

    def _moves(self, e: ET.Element, scope: Scope, target: Target) -> Moves:
        p = target.channel.parameter(target.address)
        kind = e.get("unit", target.unit)
        raw = sorted(
            ((number(q, "time"), self._finite(q, p, target), q.get("interpolation", "hold")) for q in e.findall("RealPoint")),
            key=lambda r: r[0],
        )
        if isinstance(p, PluginParameter) and p.kind == "choice":
            numbers = [target.scale.read(value, kind, target.low, target.high) or 0.0 for _, value, _ in raw]
            return [(scope.at(time), p.from_plugin(n), "hold") for (time, _, _), n in zip(raw, numbers, strict=True)]
        ours = [self._ours(value, kind, target, p) for _, value, _ in raw]
        if any(v is None for v in ours):
            self.notes.add(
                f"the automation of {target.channel.name}.{target.address} is left out, "
                f"for {kind[:20]!r} cannot be read as {p.unit}"
            )
            return []
        moves: Moves = []
        for i, (time, value, way) in enumerate(raw):
            here = float(ours[i] or 0.0)
            last = i + 1 == len(raw)
            if last or way != "linear" or raw[i + 1][0] == time:
                moves.append((scope.at(time), here, "hold"))
                continue
            after, later = raw[i + 1][:2]
            if value == later or (not target.scale.bends(kind) and _steady(scope, time, after)):
                moves.append((scope.at(time), here, "linear"))
                continue
            if len(moves) > MOST_POINTS:
                break  # `points` reports it
            moves += self._bent(scope, time, after, value, later, kind, target, p)
        return moves

    def _finite(self, e: ET.Element, p: Parameter, target: Target) -> float:
        text = e.get("value", "")
        if text.strip().lower() in ("-inf", "-infinity") and target.scale.unit == "decibel":
            return target.scale.write(p.min)
        return number(e, "value")

    def _ours(self, value: float, kind: str, target: Target, p: Parameter) -> float | None:
        own = target.scale.read(value, kind, target.low, target.high)
        if own is not None and not p.min <= own <= p.max:
            if own > p.max or own > float("-inf"):
                self.notes.add(f"{target.channel.name}.{target.address} goes to {own:g}, and is kept within {p.range_text()}")
            own = min(max(own, p.min), p.max)
        return own

    def _bent(
        self, scope: Scope, time: float, after: float, value: float, later: float, kind: str, target: Target, p: Parameter
    ) -> Moves:
        """A line that is none in our unit, or not in seconds, as lines that are."""
        begin, end = scope.at(time), scope.at(after)
        if not end > begin:
            return [(begin, float(self._ours(value, kind, target, p) or 0.0), "hold")]

        def curve(share: Array) -> Array:
            places = np.array([scope.of(begin + s * (end - begin)) for s in share])
            line = value + (later - value) * np.clip((places - time) / (after - time), 0.0, 1.0)
            return np.array([float(self._ours(v, kind, target, p) or 0.0) for v in line])

        close = _close_in_amplitude if target.scale.bends(kind) else near(p)
        shares = straighten(curve, 0.0, 1.0, close)[:-1]
        return [(begin + float(s) * (end - begin), float(v), "linear") for s, v in zip(shares, curve(shares), strict=True)]


def _close_in_amplitude(a: Array, b: Array) -> bool:
    """Within 0.001 dB, or where nearly nothing is heard."""
    return bool(np.all((np.abs(a - b) < 1e-3) | (np.abs(10.0 ** (a / 20) - 10.0 ** (b / 20)) < 1e-5)))


def _steady(scope: Scope, a: float, b: float) -> bool:
    """Whether a line between two times is one in seconds too."""
    return scope.unit == "seconds" or scope.timeline.steady(a + scope.origin, b + scope.origin)
