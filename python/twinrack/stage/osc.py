"""OSC: every address of the desk is one of OSC, in and out, and all of them can be asked for (python-osc, UDP).

/compressor/ratio 4.0               sets it, in the parameter's unit; choices are texts
/compressor/ratio                   answers with the value
/parametric_eq/band2/gain_db -3.0
/voice/compressor/bypass 1          with several lines, after the line's name
/twinrack/addresses                 answers, for each address, with its value, lowest, highest, unit and what it does
/twinrack/subscribe                 from now on every change and the meters go to who asked; /twinrack/unsubscribe
/twinrack/undo   redo   switch   snapshot NAME   recall NAME [SECONDS]   program NUMBER
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from .desk import Desk

log = logging.getLogger("twinrack.live")
MISSING = "OSC needs python-osc: pip install 'twinrack[live]'"
METERS_S = 0.05
FLOOR_DB = -140.0
MOST_SUBSCRIBERS = 32


def path_of(address: str) -> str:
    """The OSC address of one of the desk."""
    return "/" + address.replace(".", "/")


class Osc:
    """A UDP port that moves a desk and tells of it.

    Args:
        desk: what it moves.
        port: number of the port; 0 takes any that is free.
        host: where it listens; "0.0.0.0" lets the whole network in.
        to: (host, port) that is told of every change from the start.
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
        self._subscribers: set[tuple[str, int]] = set() if to is None else {to}
        dispatcher = Dispatcher(strict_timing=False)  # a time tag makes nobody wait
        dispatcher.set_default_handler(self._receive, needs_reply_address=True)
        try:
            self._server = Server((host, port), dispatcher)
        except OverflowError:
            raise ValueError(f"OSC port {port} is no number from 0 to 65535") from None
        except OSError as error:
            why = error.strerror or error
            raise OSError(f"OSC port {port} on {host} cannot be opened: {why}; take another with --osc") from None
        self._paths: dict[str, str] = {}
        self.port = int(self._server.server_address[1])
        self._end = desk.subscribe(self._changed)
        self._stop = threading.Event()
        for work in (self._server.serve_forever, self._send_meters):
            threading.Thread(target=work, name="twinrack-osc", daemon=True).start()

    # --- in ----------------------------------------------------------------------------------------------------------

    def _receive(self, client: tuple[str, int], path: str, *arguments: Any) -> None:
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
        except (ValueError, OSError, RuntimeError, TypeError, IndexError) as error:
            self._send(client, "/twinrack/error", f"{path}: {error}")

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
            if len(self._subscribers) >= MOST_SUBSCRIBERS:
                raise ValueError(f"{MOST_SUBSCRIBERS} are told already")
            self._subscribers.add(client)
            self._send(client, "/twinrack/subscribed", len(self._subscribers))
        elif command == "unsubscribe":
            self._subscribers.discard(client)
        elif command == "undo":
            desk.undo()
        elif command == "redo":
            desk.redo()
        elif command == "switch":
            desk.switch(str(arguments[0]) if arguments else None)
        elif command == "snapshot":
            desk.snapshot(str(arguments[0]))
        elif command == "recall":
            desk.recall(str(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 0.0)
        elif command == "program":
            desk.program(int(arguments[0]))
        else:
            raise ValueError("there is no such command")

    # --- out ---------------------------------------------------------------------------------------------------------

    def _send(self, client: tuple[str, int], path: str, *arguments: Any) -> None:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(path)
        for argument in arguments:
            builder.add_arg(int(argument) if isinstance(argument, bool) else argument)
        try:
            self._server.socket.sendto(builder.build().dgram, client)
        except OSError:
            self._subscribers.discard(client)

    def _changed(self, change: dict[str, Any]) -> None:
        for client in tuple(self._subscribers):
            if "set" in change and change.get("source") != f"osc {client}":
                self._send(client, path_of(change["set"]), change["to"])
            elif "structure" in change:
                self._send(client, "/twinrack/structure", change["structure"])

    def _send_meters(self) -> None:
        while not self._stop.wait(METERS_S):
            clients = tuple(self._subscribers)
            if not clients:
                continue
            try:
                meters = self.desk.stream.meters("osc")
            except Exception:
                log.exception("the levels for OSC failed")
                continue
            for address, m in meters.items():
                row = (max(m.peak_in_db, FLOOR_DB), max(m.peak_out_db, FLOOR_DB), float(m.gain_reduction_db))
                for client in clients:
                    self._send(client, f"/meter/{address}", *row)

    def close(self) -> None:
        """Close the port."""
        self._end()
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
