"""The rules of libjack for a process that opens clients, its own or those of other libraries.

libjack keeps one server's memory for the whole process. A client that is opened after the server died frees every client that
is left, and whoever closes one of these afterwards works in freed memory. So clients are opened and closed one at a time, and
those of a dead server are closed first.

PortAudio must not become a client at all. It asserts that the server takes its leave, which the server refuses when it is gone
or does not run another block in time (27 ms with blocks of 64 frames at 48 kHz); the assertion ends the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from ..system import forking

ANSWER_S = 3.0
one_at_a_time = forking.lock()
NO_SERVER = {"JACK_DEFAULT_SERVER": "twinrack-none", "PIPEWIRE_NOJACK": "1"}  # names no server; PipeWire's libjack opens none


class _Client(Protocol):
    @property
    def server_is_gone(self) -> bool: ...

    def leave(self) -> None: ...


clients: WeakSet[_Client] = WeakSet()
forking.in_child(clients.clear)  # they are the parent's


@contextmanager
def opening() -> Iterator[None]:
    """Hold this while libjack opens a client.

    Raises:
        OSError: libjack still waits for a server that does not answer.
    """
    if not one_at_a_time.acquire(timeout=ANSWER_S):
        raise OSError("the JACK server does not answer; restart it, and then this program")
    try:
        open_clients = tuple(clients)
        if any(client.server_is_gone for client in open_clients):  # one may know it before the others
            for client in open_clients:
                client.leave()
        yield
    finally:
        one_at_a_time.release()


@contextmanager
def finding_no_server() -> Iterator[None]:
    """Hold this while another library looks for a JACK server, so that it finds none."""
    with opening():
        before = {name: os.environ.get(name) for name in NO_SERVER}
        os.environ.update(NO_SERVER)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
