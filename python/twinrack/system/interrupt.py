"""Ctrl-C and SIGTERM: the command ends at once, and its unfinished files are removed.

A signal raises KeyboardInterrupt in the main thread, once; within an import, at the next `check`. If that thread is busy in
compiled code, or cleans up for too long, a second thread ends the process GRACE_S after the signal.

Threads of a pool are told to stop by an event: whatever renders calls `check` for every block.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, ClassVar

from ..checks import visible
from .disk import discard_unfinished

GRACE_S = 0.35  # for the main thread to end by itself
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

_local = threading.local()
_ending = threading.Lock()


class _State:
    signal = 0  # the one received, or 0
    allows_time = False  # the command ends by itself
    words = "interrupted"
    deferring = False  # Ctrl-C raises at the next `check`
    pressed = False  # and it was pressed
    before: ClassVar[dict[int, Any]] = {}  # the handlers that ours replaced, by signal
    sender: socket.socket | None = None  # which signals are written to


class StoppedError(Exception):
    """The work of this thread was cancelled."""


@contextmanager
def stopping_at(event: threading.Event) -> Iterator[None]:
    """Within the block, `check` ends the work of this thread once the event is set."""
    before = getattr(_local, "event", None)
    _local.event = event
    try:
        yield
    finally:
        _local.event = before


def check() -> None:
    """End the work of this thread if it was cancelled.

    Raises:
        StoppedError: the event of `stopping_at` is set.
        KeyboardInterrupt: Ctrl-C was pressed within `deferred`.
    """
    if _State.pressed and threading.current_thread() is threading.main_thread():
        _State.pressed = False
        raise KeyboardInterrupt
    event = getattr(_local, "event", None)
    if event is not None and event.is_set():
        raise StoppedError


@contextmanager
def deferred() -> Iterator[None]:
    """Within the block, Ctrl-C raises KeyboardInterrupt at the next `check`, or at once when pressed twice.

    torch calls Python from C++, which ends the process when an exception comes out there. Nothing changes where the program
    has a signal handler of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    if _State.deferring or before not in (signal.default_int_handler, _handle):
        yield
        return

    def later(number: int, frame: FrameType | None) -> None:
        if _State.pressed:
            _State.pressed = False
            raise KeyboardInterrupt
        _State.pressed = True

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, later)
    _State.deferring = True
    try:
        yield
        check()
    finally:
        _State.deferring = _State.pressed = False
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def install() -> None:
    """Install the command's signal handlers. In the main thread, once."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:  # as nohup and shells ask for
            continue
        _State.before[int(number)] = signal.signal(number, _handle)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    _State.sender = sender
    ours = set(_State.before)
    threading.Thread(target=_watch, args=(receiver, ours), name="twinrack-signals", daemon=True).start()


def uninstall() -> None:
    """Put back the signal handlers that `install` replaced. In the main thread."""
    if _State.sender is None:
        return
    signal.set_wakeup_fd(-1)
    for number, handler in _State.before.items():
        signal.signal(number, handler)
    _State.before.clear()
    _State.sender.close()  # which ends the thread
    _State.sender = None


def _before_fork() -> None:
    if _State.sender is not None:
        _local.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _State.before)


def _after_fork() -> None:
    mask = getattr(_local, "mask", None)
    if mask is not None:
        _local.mask = None
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    """The socket is shared with the parent, which a signal to this process would end."""
    uninstall()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def received() -> int:
    """The number of the signal received, or 0."""
    return _State.signal


def allow_time() -> None:
    """Let the running command end by itself after a signal, however long that takes; the third signal ends it at once."""
    _State.allows_time = True


def handled() -> None:
    """The command has handled the signal, and ends as if none had come."""
    _State.signal, _State.allows_time = 0, False


def add_note(words: str) -> None:
    """Add to the message "interrupted"."""
    _State.words = visible(f"interrupted; {words}", lines=False)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.signal:  # it is ending already
        return
    _State.signal = number
    if _State.deferring or _importing(frame):
        _State.pressed = True
        return
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: torch calls Python from the C++ of its import too."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _watch(receiver: socket.socket, ours: set[int]) -> None:
    """Wait for a signal, whatever the main thread does."""
    times = 0
    while numbers := receiver.recv(64):
        number = next((n for n in numbers if n in ours), 0)
        if not number:
            continue
        times += 1
        if not _State.allows_time or times > 2:
            time.sleep(GRACE_S)
            end_process(number)


def end_process(number: int) -> None:
    """End the process now, with the exit code of a signal."""
    if not _ending.acquire(blocking=False):
        time.sleep(10.0)  # another thread is about to end everything
    discard_unfinished()
    if sys.stderr is not None:
        with suppress(Exception):
            shown = "\x1b[?25h\r\x1b[K" if os.isatty(2) else ""  # a progress bar hides the cursor
            os.write(2, f"{shown}twinrack: {_State.words}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)
