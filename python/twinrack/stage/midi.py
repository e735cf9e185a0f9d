"""MIDI controllers: any control moves any address of the desk, learned by moving it; presets by program change.

A controller that was moved, or a preset that was loaded, leaves both apart; so that nothing jumps, a control takes hold of a
value only when it comes by where the value is ("pickup"). Ports are those of ALSA, or of JACK where a server runs (mido and
python-rtmidi).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..disk import atomic, read_json
from .desk import Desk
from .portaudio import quiet

log = logging.getLogger("twinrack.live")
FORMAT, VERSION = "twinrack.midi", 1
TAKEOVERS = ("pickup", "jump")
NEAR = 1.5 / 127.0  # so close counts as there
APIS = ("LINUX_ALSA", "UNIX_JACK", "MACOSX_CORE", "WINDOWS_MM")
MISSING = "MIDI needs mido and python-rtmidi: pip install 'twinrack[live]'"


def _mido() -> Any:
    try:
        import mido
        import rtmidi  # noqa: F401
    except ImportError:
        raise RuntimeError(MISSING) from None
    return mido


def _backends() -> Iterator[tuple[str, Any]]:
    """The MIDI systems that work here."""
    mido = _mido()
    for api in APIS:
        try:
            with quiet():
                backend = mido.Backend(f"mido.backends.rtmidi/{api}", load=True)
                backend.get_input_names()
        except (OSError, ValueError, RuntimeError, AttributeError, KeyError):
            continue
        except Exception as error:  # rtmidi's own
            if type(error).__module__.startswith(("rtmidi", "_rtmidi")):
                continue
            raise
        yield api, backend


def ports() -> list[str]:
    """Names of the MIDI inputs there are now."""
    found: list[str] = []
    for _, backend in _backends():
        with quiet():
            found += [name for name in backend.get_input_names() if name not in found]
    return found


class Midi:
    """Controllers that move a desk.

    Args:
        desk: what they move.
        file: where what was learned is kept; read when it is there, written whenever something is learned.
        takeover: "pickup" takes hold only where the value is; "jump" at once.

    Attributes:
        map: addresses by (channel 0 to 15, controller 0 to 127).
    """

    def __init__(self, desk: Desk, file: Path | None = None, takeover: str = "pickup") -> None:
        if takeover not in TAKEOVERS:
            raise ValueError(f"takeover = {takeover!r} is none of {', '.join(TAKEOVERS)}")
        self.desk = desk
        self.file = file
        self.takeover = takeover
        self.map: dict[tuple[int, int], str] = {}
        self._ports: list[Any] = []
        self._learning: str | None = None
        self._holds: dict[tuple[int, int], bool] = {}
        self._last: dict[tuple[int, int], float] = {}
        self._lock = threading.RLock()
        self._end = desk.subscribe(self._changed)
        if file is not None and file.exists():
            self._read(file)

    def open(self, name: str | None = None, *, virtual: bool = False) -> str:
        """Listen to the first input whose name contains `name`, or to a new one of that name that others connect to.

        Returns:
            The port's name.

        Raises:
            OSError: there is none like that, or no MIDI system.
        """
        there: list[str] = []
        for api, backend in _backends():
            with quiet():
                names = backend.get_input_names()
                if virtual:
                    port = backend.open_input(name or "twinrack", virtual=True, callback=self.receive)
                    self._ports.append(port)
                    return f"{name or 'twinrack'} ({api})"
            there += names
            for candidate in names:
                if name is None or name.lower() in candidate.lower():
                    with quiet():
                        self._ports.append(backend.open_input(candidate, callback=self.receive))
                    return str(candidate)
        if not there:
            raise OSError("there is no MIDI input; plug a controller in, or load the module snd-seq")
        raise OSError(f"no MIDI input is called {name!r}; there are: {', '.join(there)}")

    def learn(self, address: str) -> None:
        """The next control that is moved moves this address from then on."""
        self.desk.find(address)
        with self._lock:
            self._learning = address

    @property
    def learning(self) -> str | None:
        """The address that waits for a control."""
        return self._learning

    def forget(self, address: str) -> None:
        """No control moves this address any more."""
        with self._lock:
            for key in [k for k, a in self.map.items() if a == address]:
                del self.map[key]
            self._write()

    def bind(self, channel: int, control: int, address: str) -> None:
        """A control moves an address.

        Args:
            channel: 0 to 15.
            control: controller number, 0 to 127.
        """
        if not (0 <= channel <= 15 and 0 <= control <= 127):
            raise ValueError(f"channel {channel}, control {control}: channels are 0 to 15, controls 0 to 127")
        self.desk.find(address)
        with self._lock:
            self.map[channel, control] = address
            self._holds.pop((channel, control), None)
            self._last.pop((channel, control), None)
            self._write()

    def receive(self, message: Any) -> None:
        """What a port gives; never raises."""
        try:
            if message.type == "program_change":
                name = self.desk.program(message.program)
                self.desk.stream.tell("midi", f"program {message.program}: {name}")
            elif message.type == "control_change":
                self._control(message.channel, message.control, message.value / 127.0)
        except (ValueError, OSError, RuntimeError) as error:
            self.desk.stream.tell("midi", str(error))
        except Exception:
            log.exception("a MIDI message failed")

    def _control(self, channel: int, control: int, position: float) -> None:
        key = (channel, control)
        with self._lock:
            if self._learning is not None:
                address, self._learning = self._learning, None
                self.bind(channel, control, address)
                self.desk.stream.tell("midi", f"control {control} of channel {channel + 1} moves {address}")
            bound = self.map.get(key)
            if bound is None:
                return
            place = self.desk.find(bound)
            if place.parameter.kind == "continuous" and not self._has_hold(key, self.desk.position(bound), position):
                return
            with self.desk.by("midi"):
                self.desk.set(bound, place.parameter.at(position))

    def _has_hold(self, key: tuple[int, int], value: float, position: float) -> bool:
        """Whether a control moves its value: it does since it came by."""
        last, self._last[key] = self._last.get(key), position
        if self.takeover == "jump" or self._holds.get(key):
            return True
        passed = last is not None and (last - value) * (position - value) <= 0.0
        self._holds[key] = passed or abs(position - value) <= NEAR
        return self._holds[key]

    def _changed(self, change: dict[str, Any]) -> None:
        """A value that somebody else moved slips out of the control's hold."""
        if "structure" in change:
            self._holds.clear()
        if change.get("source") == "midi" or "set" not in change:
            return
        for key, address in list(self.map.items()):
            if address == change["set"]:
                self._holds[key] = False

    def _write(self) -> None:
        if self.file is None:
            return
        rows = [{"channel": c, "control": n, "address": a} for (c, n), a in sorted(self.map.items())]
        with atomic(self.file) as beside:
            beside.write_text(json.dumps({"format": FORMAT, "version": VERSION, "controls": rows}, indent=1) + "\n")

    def _read(self, file: Path) -> None:
        try:
            data = read_json(file, "list of MIDI controls")
            if data["format"] != FORMAT or data["version"] != VERSION:
                raise ValueError("its format is another one")
            rows = {(int(r["channel"]), int(r["control"])): str(r["address"]) for r in data["controls"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} holds no learned MIDI controls: {error}; remove it, or give another file") from None
        self.map = rows  # of another rack, they wait until there is such an address

    def close(self) -> None:
        """Let go of the ports."""
        self._end()
        for port in self._ports:
            port.close()
        self._ports = []


@contextmanager
def virtual_output(name: str) -> Iterator[Any]:
    """A MIDI output that others can connect to, as a controller has; for tests and scripts."""
    for _, backend in _backends():
        with quiet():
            port = backend.open_output(name, virtual=True)
        try:
            yield port
        finally:
            port.close()
        return
    raise OSError("there is no MIDI system here")
