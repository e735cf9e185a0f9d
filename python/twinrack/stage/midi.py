"""MIDI controllers: a control, key or pad that was learned moves an address of the desk; program changes load presets;
plugins that hear MIDI hear all else.

After a preset was loaded, a control and its value differ. So that nothing jumps, a control moves its value only once it has
passed the value's position ("pickup"). Ports are those of ALSA, or of JACK where a server runs (mido and
python-rtmidi).
"""

from __future__ import annotations

import json
import logging
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ..rack.external_effect import ExternalEffect
from ..system import forking
from ..system.disk import atomic, read_json
from .background import weakly
from .desk import Desk
from .midi_control import (
    ABSOLUTE,
    AUTO,
    CONTROL,
    FINE,
    MOMENTARY,
    NOTE,
    NRPN,
    ON,
    PAIR_S,
    RELATIVE,
    TOGGLE,
    TRIGGER,
    VELOCITY,
    Control,
)
from .places import Place
from .portaudio import quiet

log = logging.getLogger("twinrack.live")
FORMAT, VERSION = "twinrack.midi", 2
Key = tuple[str, int, int]  # kind, channel, number
NRPN_HIGH, NRPN_LOW, DATA = 99, 98, 6
SELECTS = (98, 99, 100, 101)
TAKEOVERS = ("pickup", "jump")
NEAR = 1.5 / 127.0  # a control this close has reached its value
APIS = ("LINUX_ALSA", "UNIX_JACK", "MACOSX_CORE", "WINDOWS_MM")
MISSING = "MIDI needs mido and python-rtmidi: pip install 'twinrack[live]'"


def _mido() -> Any:
    try:
        import mido
        import rtmidi  # noqa: F401
    except ImportError:
        raise RuntimeError(MISSING) from None
    return mido


def backends() -> Iterator[tuple[str, Any]]:
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
    """Names of the MIDI inputs."""
    names: list[str] = []
    for _, backend in backends():
        with quiet():
            names += [name for name in backend.get_input_names() if name not in names]
    return names


class Midi:
    """Controllers that move a desk.

    Args:
        desk: what they move.
        file: keeps what was learned; read where it exists, written whenever something is learned.
        takeover: "pickup": a control moves its value only once it has passed the value's position; "jump": at once.

    Attributes:
        controls: what was learned, by (kind, channel 0 to 15, number); see `midi_control.Control`.
    """

    def __init__(self, desk: Desk, file: Path | None = None, takeover: str = "pickup") -> None:
        if takeover not in TAKEOVERS:
            raise ValueError(f"takeover = {takeover!r} is none of {', '.join(TAKEOVERS)}")
        self.desk = desk
        self.file = file
        self.takeover = takeover
        self.controls: dict[Key, Control] = {}
        self._ports: list[Any] = []
        self._learning: tuple[str, str] | None = None
        self._halves: dict[tuple[int, int], int] = {}  # by channel and controller: the last values
        self._msb: dict[int, tuple[int, float]] = {}  # by channel: the last controller below 32, and when
        self._lock = forking.lock()
        self._end = desk.subscribe(weakly(self._changed))
        weakref.finalize(self, _close, self._end, self._ports).atexit = False
        if file is not None and file.exists():
            self._read(file)

    @property
    def map(self) -> dict[tuple[int, int], str]:
        """Addresses by (channel 0 to 15, controller 0 to 127)."""
        return {(c.channel, c.number): c.address for c in tuple(self.controls.values()) if c.kind == CONTROL}

    def open(self, name: str | None = None, *, virtual: bool = False) -> str:
        """Listen to the first input whose name contains `name`, or to a new one of that name that others connect to.

        Returns:
            The port's name.

        Raises:
            OSError: no input is called so, or there is no MIDI system.
        """
        all_names: list[str] = []
        for api, backend in backends():
            with quiet():
                names = backend.get_input_names()
                if virtual:
                    port = backend.open_input(name or "twinrack", virtual=True, callback=weakly(self.receive))
                    self._ports.append(port)
                    return f"{name or 'twinrack'} ({api})"
            all_names += names
            for candidate in names:
                if name is None or name.lower() in candidate.lower():
                    with quiet():
                        self._ports.append(backend.open_input(candidate, callback=weakly(self.receive)))
                    return str(candidate)
        if not all_names:
            raise OSError("there is no MIDI input; plug a controller in, or load the module snd-seq")
        raise OSError(f"no MIDI input is called {name!r}; there are: {', '.join(all_names)}")

    def learn(self, address: str, mode: str = AUTO) -> None:
        """The next control that is moved, or key or pad that is hit, moves this address from then on.

        Args:
            mode: how its values are read. "auto": a control that has ends, an encoder without ends (turn it to the right
                first) or a button, as it turns out; a key or pad toggles a switch, goes on to the next choice, and sets a
                number by its velocity. Or one of `midi_control.MODES`.
        """
        place = self.desk.find(address)
        if mode != AUTO:
            _check_mode(mode, place, address)
        with self._lock:
            self._learning = (address, mode)

    @property
    def learning(self) -> str | None:
        """The address that waits for a control."""
        return None if self._learning is None else self._learning[0]

    def forget(self, address: str) -> None:
        """No control moves this address any more."""
        with self._lock:
            for key in [k for k, c in self.controls.items() if c.address == address]:
                del self.controls[key]
            if self.learning == address:
                self._learning = None
            self._write()

    def bind(self, channel: int, control: int, address: str, mode: str = ABSOLUTE, kind: str = CONTROL) -> None:
        """A control moves an address.

        Args:
            channel: 0 to 15.
            control: number of the controller or note, 0 to 127; of an NRPN, 0 to 16383.
            address: what it moves.
            mode: "absolute" (a control with ends), "absolute_14" (controllers 0 to 31 whose fine half comes 32 above),
                "relative_twos", "relative_offset", "relative_sign" (encoders without ends), "toggle" and "momentary" (buttons
                and notes), "trigger" and "velocity" (notes), or "auto" (controllers).
            kind: "control", "note" or "nrpn".

        Raises:
            ValueError: there is no such address, control or mode, or the mode is not for this parameter.
        """
        bound = Control(kind, channel, control, address, mode)
        _check_mode(mode, self.desk.find(address), address)
        with self._lock:
            self.controls[kind, channel, control] = bound
            self._write()

    def receive(self, message: Any) -> None:
        """Carry out a message of a port; never raises."""
        try:
            is_used = not hasattr(message, "channel")  # of no channel: clocks and the like
            if message.type == "program_change":
                name = self.desk.program(message.program)
                self.desk.stream.tell("midi", f"program {message.program}: {name}")
                is_used = True
            elif message.type == "control_change":
                is_used = self._control_change(message.channel, message.control, message.value)
            elif message.type in ("note_on", "note_off"):
                pressed = message.type == "note_on" and message.velocity > 0
                is_used = self.moved(NOTE, message.channel, message.note, message.velocity if pressed else 0, 127)
            if not is_used:
                self._pass_on(message)
        except (ValueError, OSError, RuntimeError) as error:
            self.desk.stream.tell("midi", str(error))
        except Exception:
            log.exception("a MIDI message failed")

    def _pass_on(self, message: Any) -> None:
        """Let the plugins hear a message that moves nothing else."""
        for line in self.desk.stream.lines.values():
            for effect in tuple(line.rack.addresses().values()):
                if isinstance(effect, ExternalEffect) and effect.hears_midi:
                    effect.send_midi(message)

    def _control_change(self, channel: int, control: int, value: int) -> bool:
        """One controller's value, as what it is a part of; whether it moves or selects something."""
        with self._lock:
            self._halves[channel, control] = value
            if (CONTROL, channel, control) in self.controls:
                is_used = self.moved(CONTROL, channel, control, value, 127)
            elif control in SELECTS:  # the number of an NRPN; its value follows
                return any(kind == NRPN and at == channel for kind, at, _ in self.controls)
            elif control in (DATA, DATA + 32) and (number := self._nrpn(channel)) is not None:
                coarse, fine = (self._halves.get((channel, c), 0) for c in (DATA, DATA + 32))
                is_used = self.moved(NRPN, channel, number, 128 * coarse + (fine if control != DATA else 0), 16383)
            elif 32 <= control < 64 and self._is_fine(channel, control - 32):
                coarse = self._halves.get((channel, control - 32), 0)
                is_used = self.moved(CONTROL, channel, control - 32, 128 * coarse + value, 16383)
            else:
                is_used = self.moved(CONTROL, channel, control, value, 127)
            if control < 32:
                self._msb[channel] = (control, time.monotonic())
            return is_used

    def _nrpn(self, channel: int) -> int | None:
        """The NRPN that was selected; None where none was."""
        high, low = (self._halves.get((channel, c)) for c in (NRPN_HIGH, NRPN_LOW))
        return None if high is None or low is None or high == low == 127 else 128 * high + low

    def _is_fine(self, channel: int, coarse: int) -> bool:
        """Whether a controller's other half was learned; while it is not known, halves that follow at once tell."""
        bound = self.controls.get((CONTROL, channel, coarse))
        if bound is not None and bound.mode in (AUTO, ABSOLUTE) and not bound.mode_known:
            last, at = self._msb.get(channel, (-1, 0.0))
            if last == coarse and time.monotonic() - at < PAIR_S:
                bound.mode, bound.mode_known = FINE, True
                self._write()
        return bound is not None and bound.mode == FINE

    def moved(self, kind: str, channel: int, number: int, value: int, top: int) -> bool:
        """A control gave a value from 0 to `top`; whether it moves something."""
        with self._lock:
            if self._learning is not None and not (kind == NOTE and value == 0):
                self._learn_from(kind, channel, number)
            bound = self.controls.get((kind, channel, number))
            if bound is None:
                return False
            place, position = self.desk.find(bound.address), value / top
            is_button = place.parameter.kind != "continuous"
            if bound.mode == AUTO:
                self._look(bound, value, is_button)
            last, bound.last = bound.last, value
            if bound.mode == FINE and top == 127:
                return True  # the other half follows
            with self.desk.by("midi"):
                if bound.mode in RELATIVE:
                    self._step(place, bound.address, bound.steps(value))
                elif bound.mode in (TOGGLE, TRIGGER):
                    pressed = value >= ON or (kind == NOTE and value > 0)
                    if pressed and (kind == NOTE or last is None or last < ON or last == value):
                        self._press(place, bound.address, bound.mode)
                elif bound.mode == MOMENTARY:
                    self.desk.set(bound.address, value >= ON or (kind == NOTE and value > 0))
                elif bound.mode == VELOCITY:
                    if value > 0:
                        self.desk.set(bound.address, place.parameter.at(position))
                elif is_button or self._has_hold(bound, last, self.desk.position(bound.address), position, top):
                    self.desk.set(bound.address, place.parameter.at(position))
            return True

    def _learn_from(self, kind: str, channel: int, number: int) -> None:
        """Bind the address that waits for a control to this one."""
        assert self._learning is not None
        (address, mode), self._learning = self._learning, None
        if mode == AUTO and kind != CONTROL:
            continuous = self.desk.find(address).parameter.kind == "continuous"
            mode = ABSOLUTE if kind == NRPN else VELOCITY if continuous else TOGGLE
        self.bind(channel, number, address, mode, kind)
        bound = self.controls[kind, channel, number]
        bound.mode_known = mode != AUTO
        self.desk.stream.tell("midi", f"{bound} moves {address} ({mode})")

    def _look(self, bound: Control, value: int, is_button: bool) -> None:
        bound.look(value, is_button)
        if bound.mode != AUTO:
            self.desk.stream.tell("midi", f"{bound} is {bound.mode}")
            self._write()

    def _step(self, place: Place, address: str, steps: int) -> None:
        """Go some steps on: a fader's 127th for each, one choice for each, right is on."""
        if not steps:
            return
        p = place.parameter
        if p.kind == "continuous":
            value: object = p.at(min(max(self.desk.position(address) + steps / 127.0, 0.0), 1.0))
        elif p.kind == "choice":
            at = p.options.index(str(self.desk.get(address))) + steps
            value = p.options[min(max(at, 0), len(p.options) - 1)]
        else:
            value = steps > 0
        self.desk.set(address, value)

    def _press(self, place: Place, address: str, mode: str) -> None:
        p, now = place.parameter, self.desk.get(address)
        if p.kind == "choice":
            self.desk.set(address, p.options[(p.options.index(str(now)) + 1) % len(p.options)])
        else:
            self.desk.set(address, mode == TRIGGER or not now)

    def _has_hold(self, bound: Control, last: int | None, value: float, position: float, top: int) -> bool:
        """Whether a control moves its value: it does once it has passed the value's position."""
        if self.takeover == "jump" or bound.holds:
            return True
        passed = last is not None and (last / top - value) * (position - value) <= 0.0
        bound.holds = passed or abs(position - value) <= NEAR
        return bound.holds

    def _changed(self, change: dict[str, Any]) -> None:
        """A value that was changed otherwise has to be picked up again."""
        for bound in tuple(self.controls.values()):
            if "structure" in change or (change.get("source") != "midi" and change.get("set") == bound.address):
                bound.holds = False

    def _write(self) -> None:
        self.desk.tell({"midi": len(self.controls)})
        if self.file is None:
            return
        rows = [
            {"kind": c.kind, "channel": c.channel, "number": c.number, "address": c.address, "mode": c.mode}
            for _, c in sorted(self.controls.items())
        ]
        with atomic(self.file) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT, "version": VERSION, "controls": rows}, indent=1) + "\n")

    def _read(self, file: Path) -> None:
        try:
            data = read_json(file, "list of MIDI controls")
            if data["format"] != FORMAT or data["version"] not in (1, VERSION):
                raise ValueError("its format is another one")
            rows = data["controls"]
            if data["version"] == 1:  # controllers only, and all of them absolute
                rows = [{**r, "kind": CONTROL, "number": r["control"], "mode": ABSOLUTE} for r in rows]
            controls = [Control(r["kind"], r["channel"], r["number"], str(r["address"]), r["mode"]) for r in rows]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{file} holds no learned MIDI controls: {error}; remove it, or give another file") from None
        for control in controls:  # those of another rack wait until there is such an address
            control.mode_known = control.mode != AUTO
            self.controls[control.kind, control.channel, control.number] = control

    def close(self) -> None:
        """Close the ports."""
        _close(self._end, self._ports)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Midi cannot be copied or pickled: it holds ports; make another one on the desk")


def _close(end: Callable[[], None], ports: list[Any]) -> None:
    end()
    while ports:
        ports.pop().close()


def _check_mode(mode: str, place: Place, address: str) -> None:
    kind = place.parameter.kind
    if mode in (TOGGLE, TRIGGER) and kind == "continuous":
        raise ValueError(f"{address} is a number, which a {mode} cannot move; use absolute, a relative mode, or velocity")
    if mode == MOMENTARY and kind != "switch":
        raise ValueError(f"{address} is not a switch, which alone can be momentary; use toggle for a choice")


@contextmanager
def virtual_output(name: str) -> Iterator[Any]:
    """A MIDI output that others can connect to, as a controller has; for tests and scripts."""
    for _, backend in backends():
        with quiet():
            port = backend.open_output(name, virtual=True)
        try:
            yield port
        finally:
            port.close()
        return
    raise OSError("there is no MIDI system")
