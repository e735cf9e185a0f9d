"""OSC over UDP (python-osc): every address of the desk can be set and read, and changes are sent back.

/compressor/ratio 4.0               sets it, in the parameter's unit; choices are texts
/compressor/ratio                   answers with the value
/parametric_eq/band2/gain_db -3.0
/voice/compressor/bypass 1          with several lines, after the line's name
/twinrack/addresses                 answers, for each address, with its value, lowest, highest, unit and what it does
/twinrack/subscribe                 from now on every change and the meters are sent back; /twinrack/unsubscribe ends it
/twinrack/undo   redo   switch   snapshot NAME   forget NAME   recall NAME [SECONDS]   program NUMBER

A program on another machine is answered only once it has subscribed, for a minute after its last subscription (ask again, as a
mixing console's remote does), and at no more than 64 kB a second: a UDP packet may name any sender, whom
answers must not flood.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from .background import every, weakly
from .desk import Desk
from .rate_limit import RateLimit

log = logging.getLogger("twinrack.live")
MISSING = "OSC needs python-osc: pip install 'twinrack[live]'"
METERS_S, SERVE_S = 0.05, 0.1
FLOOR_DB = -140.0
MOST_SUBSCRIBERS = 32
LEASE_S = 60.0  # how long a subscription of another machine lasts
MOST_BYTES = 65536  # a second, to each of those
MOST_MESSAGES = 1000  # a second, that are worked on
LONGEST_ERROR = 300


def path_of(address: str) -> str:
    """The OSC address of one of the desk."""
    return "/" + address.replace(".", "/")


class Osc:
    """A UDP port that sets values of a desk and sends its changes.

    Args:
        desk: what it changes.
        port: number of the port; 0 takes any that is free.
        host: where it listens; "0.0.0.0" lets the whole network in.
        to: (host, port) that is sent every change from the start.
    """

    def __init__(self, desk: Desk, port: int = 9000, host: str = "127.0.0.1", to: tuple[str, int] | None = None) -> None:
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import BlockingOSCUDPServer
        except ImportError:
            raise RuntimeError(MISSING) from None

        class Server(BlockingOSCUDPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                log.debug("an OSC packet of %s failed", client_address, exc_info=True)

        self.desk = desk
        self.subscribers: dict[tuple[str, int], _Subscriber] = {}
        if to is not None:
            self.subscribers[to] = _Subscriber(None)
        self._messages = RateLimit(MOST_MESSAGES)
        dispatcher = Dispatcher(strict_timing=False)  # a time tag makes nobody wait
        dispatcher.set_default_handler(weakly(self.receive), needs_reply_address=True)
        try:
            self._server = Server((host, port), dispatcher)
        except OverflowError:
            raise ValueError(f"OSC port must be an integer from 0 to 65535, got {port}") from None
        except OSError as error:
            why = error.strerror or error
            raise OSError(f"OSC port {port} on {host} cannot be opened: {why}; take another with --osc") from None
        self._paths: dict[str, str] = {}
        self.port = int(self._server.server_address[1])
        self._end = desk.subscribe(weakly(self._changed))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=_serve, args=(self._server, self._stop), name="twinrack-osc", daemon=True)
        self._thread.start()
        every(METERS_S, self._stop, self._send_meters, "twinrack-osc-meters")
        weakref.finalize(self, _close, self._end, self._stop).atexit = False

    def receive(self, client: tuple[str, int], path: str, *arguments: Any) -> None:
        if not self._messages.allow(1.0):
            return
        try:
            if path.startswith("/twinrack/"):
                self._command(client, path.removeprefix("/twinrack/"), arguments)
                return
            address = self._address(path)
            if not arguments:
                self._send(client, path, self.desk.get(address))
                return
            with self.desk.by(f"osc {client}"):
                self.desk.set(address, self._value(address, arguments[0]))
        except (ValueError, OSError, RuntimeError, TypeError, IndexError, KeyError, OverflowError) as error:
            self._send(client, "/twinrack/error", f"{path[:LONGEST_ERROR]}: {error}"[:LONGEST_ERROR])

    def _address(self, path: str) -> str:
        if path not in self._paths:
            self._paths = {path_of(a): a for a in self.desk.addresses()}
        if path not in self._paths:
            raise ValueError("there is no such address; /twinrack/addresses lists all")
        return self._paths[path]

    def _value(self, address: str, given: Any) -> Any:
        kind = self.desk.find(address).parameter.kind
        if kind == "switch":
            return bool(given)
        return str(given) if kind == "choice" else float(given)

    def _command(self, client: tuple[str, int], command: str, arguments: tuple[Any, ...]) -> None:
        desk = self.desk
        if command == "addresses":
            for address, place in desk.addresses().items():
                p = place.parameter
                ends = (p.min, p.max) if p.kind == "continuous" else (", ".join(p.options) or "0", "1")
                self._send(client, "/twinrack/address", path_of(address), desk.get(address), *ends, p.unit, p.doc)
            self._send(client, "/twinrack/addresses", len(desk.addresses()))
        elif command == "subscribe":
            self.end_leases()
            if client not in self.subscribers and len(self.subscribers) >= MOST_SUBSCRIBERS:
                raise ValueError(f"there are {MOST_SUBSCRIBERS} subscribers already")
            near = _is_here(client)
            limit = None if near else self.subscribers.get(client, _Subscriber(RateLimit(MOST_BYTES))).limit
            self.subscribers[client] = _Subscriber(limit, None if near else time.monotonic() + LEASE_S)
            self._send(client, "/twinrack/subscribed", len(self.subscribers))
        elif command == "unsubscribe":
            self.subscribers.pop(client, None)
        elif command == "undo":
            desk.undo()
        elif command == "redo":
            desk.redo()
        elif command == "switch":
            desk.toggle_ab(str(arguments[0]) if arguments else None)
        elif command == "snapshot":
            desk.snapshot(str(arguments[0]))
        elif command == "forget":
            desk.forget(str(arguments[0]))
        elif command == "recall":
            desk.recall(str(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 0.0)
        elif command == "program":
            desk.program(int(arguments[0]))
        else:
            raise ValueError("there is no such command")

    def end_leases(self) -> None:
        now = time.monotonic()
        for client, subscriber in list(self.subscribers.items()):
            if subscriber.until is not None and subscriber.until < now:
                self.subscribers.pop(client, None)

    def _send(self, client: tuple[str, int], path: str, *arguments: Any) -> None:
        from pythonosc.osc_message_builder import BuildError, OscMessageBuilder

        subscriber = self.subscribers.get(client)
        if subscriber is None and not _is_here(client):
            return
        builder = OscMessageBuilder(path)
        try:
            for argument in arguments:
                builder.add_arg(int(argument) if isinstance(argument, bool) else argument)
            packet = builder.build().dgram
        except (BuildError, ValueError):  # text or a number that OSC cannot carry
            return
        if subscriber is not None and subscriber.limit is not None and not subscriber.limit.allow(len(packet)):
            return
        try:
            self.transmit(packet, client)
        except OSError:
            self.subscribers.pop(client, None)

    def transmit(self, packet: bytes, client: tuple[str, int]) -> None:
        self._server.socket.sendto(packet, client)

    def _changed(self, change: dict[str, Any]) -> None:
        for client in tuple(self.subscribers):
            if "set" in change and change.get("source") != f"osc {client}":
                self._send(client, path_of(change["set"]), change["to"])
            elif "structure" in change:
                self._send(client, "/twinrack/structure", change["structure"])

    def _send_meters(self) -> None:
        self.end_leases()
        clients = tuple(self.subscribers)
        if not clients:
            return
        try:
            meters = self.desk.stream.meters("osc")
        except Exception:
            log.exception("the levels for OSC failed")
            return
        for address, m in meters.items():
            row = (max(m.peak_in_db, FLOOR_DB), max(m.peak_out_db, FLOOR_DB), float(m.gain_reduction_db))
            for client in clients:
                self._send(client, f"/meter/{address}", *row)

    def close(self) -> None:
        """Close the port."""
        _close(self._end, self._stop)
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Osc cannot be copied or pickled: it holds a port; make another one on the desk")


@dataclass
class _Subscriber:
    """A subscriber: how much it may be sent (None without a limit), and until when (None for always)."""

    limit: RateLimit | None
    until: float | None = None


def _is_here(client: tuple[str, int]) -> bool:
    """Whether a program runs on this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(client[0].partition("%")[0]).is_loopback
    return False


def _serve(server: Any, stop: threading.Event) -> None:
    server.timeout = SERVE_S
    with server:
        while not stop.is_set():
            server.handle_request()


def _close(end: Callable[[], None], stop: threading.Event) -> None:
    end()
    stop.set()
