"""Commands of a page: what a message of the console may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...checks import check_text
from ..desk import Desk
from ..midi import Midi

LONGEST_TEXT = 200
Message = dict[str, Any]


class Commands:
    """Carries out what pages ask for.

    Args:
        desk: what they change.
        midi: whose controls they learn.
        takes: folder that recordings go to.
        changed: called when something changed of which the desk does not tell.
        reset: counts overruns and the longest callback anew.
    """

    def __init__(
        self, desk: Desk, midi: Midi | None, takes: Path | None, changed: Callable[[], None], reset: Callable[[], None]
    ) -> None:
        self.desk, self.midi, self.takes, self._changed, self._reset = desk, midi, takes, changed, reset
        self._commands: dict[str, Callable[[Message], Message | None]] = {
            "add": self._add,
            "remove": self._remove,
            "move": self._move,
            "undo": self._undo,
            "redo": self._redo,
            "switch": self._toggle_ab,
            "snapshot": self._snapshot,
            "recall": self._recall,
            "morph": self._morph,
            "load": self._load,
            "save": self._save,
            "learn": self._learn,
            "forget": self._forget,
            "mode": self._mode,
            "protect": self._protect,
            "record": self._record,
            "listen": self._listen,
            "preset": self._preset,
            "reset": lambda m: self._reset(),
        }

    def do(self, message: Message) -> Message | None:
        """Carry out a message but "set"; what to answer.

        Raises:
            ValueError, KeyError, TypeError, OSError, RuntimeError: it is wrong or refused.
        """
        command = message.get("do")
        if not isinstance(command, str) or command not in self._commands:
            raise ValueError(f"there is nothing to do that is called {command!r}")
        return self._commands[command](message)

    def _add(self, m: Message) -> None:
        self.desk.add(text_of(m, "effect"), m.get("index"), m.get("line"))

    def _remove(self, m: Message) -> None:
        self.desk.remove(text_of(m, "address"))

    def _move(self, m: Message) -> None:
        self.desk.move(text_of(m, "address"), int(m["index"]))

    def _undo(self, m: Message) -> None:
        self.desk.undo()

    def _redo(self, m: Message) -> None:
        self.desk.redo()

    def _toggle_ab(self, m: Message) -> None:
        self.desk.toggle_ab()

    def _snapshot(self, m: Message) -> None:
        self.desk.snapshot(text_of(m, "name"))

    def _recall(self, m: Message) -> None:
        self.desk.recall(text_of(m, "name"), float(m.get("seconds", 0.0)))

    def _morph(self, m: Message) -> None:
        self.desk.morph(text_of(m, "a"), text_of(m, "b"), float(m["share"]))

    def _load(self, m: Message) -> None:
        self.desk.load(text_of(m, "name"), m.get("line"))

    def _save(self, m: Message) -> None:
        self.desk.save(text_of(m, "name"), m.get("line"), replace=m.get("replace") is True)

    def _open_midi(self) -> Midi:
        if self.midi is None:
            raise ValueError("no MIDI input is open; start with --midi")
        return self.midi

    def _learn(self, m: Message) -> Message:
        self._open_midi().learn(text_of(m, "address"))
        words = "move a control of the controller (an encoder without ends: to the right), or hit a key or pad"
        return {"type": "event", "at": 0, "kind": "midi", "words": words}

    def _forget(self, m: Message) -> None:
        self._open_midi().forget(text_of(m, "address"))

    def _mode(self, m: Message) -> None:
        midi, address = self._open_midi(), text_of(m, "address")
        midi.bind(int(m["channel"]), int(m["number"]), address, text_of(m, "mode"), text_of(m, "kind"))

    def _protect(self, m: Message) -> None:
        self.desk.stream.protect(**{text_of(m, "part"): bool(m["on"])})
        self._changed()

    def _preset(self, m: Message) -> None:
        self.desk.apply_preset(text_of(m, "address"), text_of(m, "name"))

    def _listen(self, m: Message) -> None:
        self.desk.stream.listen = text_of(m, "to")
        self._changed()

    def _record(self, m: Message) -> None:
        stream = self.desk.stream
        if m["on"]:
            if self.takes is None:
                raise ValueError("no folder for takes was given; start with --takes FOLDER")
            stream.record(self.takes / time.strftime("take-%Y%m%d-%H%M%S"))
        elif stream.recording is not None:
            stream.recording.stop()
        self._changed()


def text_of(message: Message, name: str) -> str:
    """A text of a message.

    Raises:
        ValueError: it is missing, too long, or not a text.
    """
    value = check_text(message.get(name), name)
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} has {len(value)} characters; up to {LONGEST_TEXT} are possible")
    return value
