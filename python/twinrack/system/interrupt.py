"""Ctrl-C and SIGTERM: the command ends at once, and what it has begun and not completed is taken away.

A signal raises KeyboardInterrupt in the main thread, once. Where that is busy in compiled code, or tidies up for too long, a
thread that waits for the signal ends the process instead, so that it is over after GRACE_S whatever runs.

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

from ..checks import visible
from .disk import discard_unfinished

GRACE_S = 0.35  # for the main thread to end by itself
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

_local = threading.local()
_ending = threading.Lock()


class _State:
    asked = 0  # the signal that came
    patient = False  # the command ends by itself, in its own time
    words = "interrupted"
    deferring = False  # Ctrl-C raises at the next `check`
    pressed = False  # and it was pressed


class StoppedError(Exception):
    """The work of this thread is not wanted any more."""


@contextmanager
def stopping_at(event: threading.Event) -> Iterator[None]:
    """Let `check` end what this thread does once an event is set."""
    before = getattr(_local, "event", None)
    _local.event = event
    try:
        yield
    finally:
        _local.event = before


def check() -> None:
    """End the work of this thread if nobody wants it any more.

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
    """Let Ctrl-C raise KeyboardInterrupt at the next `check`, or at once when it is pressed twice.

    torch calls Python from C++, which ends the process when an exception comes out there. Nothing changes where the program
    answers Ctrl-C in a way of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    if _State.deferring or before not in (signal.default_int_handler, _asked):
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
    """Answer signals as the command does. In the main thread, once."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    ours = set()
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:  # as nohup and shells ask for
            continue
        signal.signal(number, _asked)
        ours.add(int(number))
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiver, sender, ours), name="twinrack-signals", daemon=True).start()


def asked() -> int:
    """The number of the signal that asked the command to end, or 0."""
    return _State.asked


def be_patient() -> None:
    """The command that runs ends by itself when it is asked to, however long that takes; asked three times, it ends at once."""
    _State.patient = True


def answered() -> None:
    """The command has done what the signal asked for, so it ends as if none had come."""
    _State.asked, _State.patient = 0, False


def add(words: str) -> None:
    """Say something behind "interrupted"."""
    _State.words = visible(f"interrupted; {words}", lines=False)


def _asked(number: int, frame: FrameType | None) -> None:
    if _State.asked:  # it ends already
        return
    _State.asked = number
    if _State.deferring:
        _State.pressed = True
        return
    raise KeyboardInterrupt


def _watch(receiver: socket.socket, sender: socket.socket, ours: set[int]) -> None:
    """Wait for a signal, whatever the main thread does. (The sender is only kept open.)"""
    times = 0
    while True:
        number = next((n for n in receiver.recv(64) if n in ours), 0)
        if not number:
            continue
        times += 1
        if not _State.patient or times > 2:
            time.sleep(GRACE_S)
            leave(number)


def leave(number: int) -> None:
    """End the process now, as one that a signal ended."""
    if not _ending.acquire(blocking=False):
        time.sleep(10.0)  # another thread is about to end everything
    discard_unfinished()
    if sys.stderr is not None:
        with suppress(Exception):
            shown = "\x1b[?25h\r\x1b[K" if os.isatty(2) else ""  # a progress bar hides the cursor
            os.write(2, f"{shown}twinrack: {_State.words}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)
