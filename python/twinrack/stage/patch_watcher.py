"""Patch files that are watched: each is loaded again whenever it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..rack import patch
from ..rack.rack import Rack
from .background import every

CHECK_S = 0.2
WRITTEN_S = 0.05  # an editor may still be writing


def _stamp(path: Path) -> tuple[int, int] | None:
    """The time and size of a file, which change when it does; None while it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class PatchWatcher:
    """Watches patch files, each with a thread of its own.

    Args:
        load: called with the rack of a file that has changed, a label, and the line it is for.
        tell: called with an event's kind, "reload", and a sentence.
    """

    def __init__(
        self,
        load: Callable[[Rack, str, str], object],
        tell: Callable[[str, str], object],
        read: Callable[[Path], Rack] = patch.load,
    ) -> None:
        self._load, self._tell, self._read = load, tell, read
        self._ends: dict[Path, threading.Event] = {}
        self._stamps: dict[Path, tuple[int, int] | None] = {}  # of the state that was loaded last

    def watch(self, path: Path, line: str) -> None:
        """Load a file into a line whenever it changes; what is broken is refused with a sentence.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if not path.exists():
            raise FileNotFoundError(f"there is no patch {path} to watch")
        path = path.resolve()
        end = threading.Event()
        if path in self._ends:
            self._ends[path].set()
        self._ends[path] = end
        self._stamps[path] = _stamp(path)
        every(CHECK_S, end, self._check, "twinrack-reload", path, line)

    def skip(self, path: Path) -> None:
        """Count a file as loaded as it is now."""
        path = path.resolve()
        if path in self._ends:
            self._stamps[path] = _stamp(path)

    def _check(self, path: Path, line: str) -> None:
        now = _stamp(path)
        if now == self._stamps[path] or now is None:
            return
        time.sleep(WRITTEN_S)
        if _stamp(path) != now:
            return
        self._stamps[path] = now
        try:
            self._load(self._read(path), f"reload {path.name}", line)
        except Exception as error:
            self._tell("reload", f"{path.name} is refused, the sound goes on: {error}")
        else:
            self._tell("reload", f"{path.name} was changed and is heard")

    def close(self) -> None:
        """Watch no more."""
        for end in self._ends.values():
            end.set()
