"""A live stream: the lines of racks that sound, the devices they sound on, and what happens when a device is lost."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio, as_planar
from ..checks import check_integer, count_nan, nan_in
from ..files.audio_file import read_audio
from ..rack.rack import Rack, as_rack
from ..rack.running import Meter
from ..rack.signatures import spelled_out
from ..system import forking
from ..system.locked_memory import lock_memory, unlock_memory
from . import jack_server, portaudio
from .beside import every, weakly
from .device import JACK, Device, choose
from .levels import Levels, Output
from .line import Line, Safety, make_mixer, set_up
from .recorder import Recorder

FADE_LIMIT_S = 1.0
WATCH_S = 0.05
LISTEN = ("rack", "dry", "target")
BLOCKS = (32, 64, 128, 256, 512, 1024)  # what `block_size=None` tries
TRIAL_S, TRIAL_LOAD = 0.4, 0.7
Recording = npt.ArrayLike | str | os.PathLike[str]
Play = Recording | tuple[Recording] | tuple[Recording, Recording | None]
Host = jack_server.JackHost | portaudio.PortAudioHost
log = logging.getLogger("twinrack.live")
# Streams that hold a device. One that nobody else holds any more stops.
_open: WeakSet[LiveStream] = WeakSet()


@dataclass(frozen=True)
class Event:
    """Something that happened to a stream: when (seconds since it began), what, and a sentence about it.

    `kind` is "lost", "returned", "howl", "fault", "record", "reload" or "midi".
    """

    at_s: float
    kind: str
    words: str


@dataclass
class _Loss:
    """A device that is waited for: the rate it had, whether it is JACK's, and whether it calls no more for certain."""

    rate: float
    jack: bool
    left: bool
    said: str = ""


def devices() -> list[Device]:
    """All audio devices there are now; `index` is the number by which one is chosen.

    Raises:
        OSError: neither PortAudio nor JACK is installed.
    """
    found: list[Device] = []
    refused: list[OSError] = []
    for host in (jack_server, portaudio):
        try:
            found += host.find()
        except OSError as error:
            refused.append(error)
    if refused and not found:
        raise refused[-1]
    return [Device(**{**vars(d), "index": i}) for i, d in enumerate(found)]


def _at_host(device: Device) -> Device:
    """With the number that PortAudio knows it by."""
    alike = [d for d in portaudio.find() if (d.name, d.host_api) == (device.name, device.host_api)]
    for d in sorted(alike, key=lambda d: d.native != device.native):
        return d
    raise OSError(f"{device.name} is gone; see `twinrack devices`")


def _recordings(play: Play, rate: float) -> tuple[Audio, Audio]:
    """Dry and target, (channels, frames); a target that is None, or left out, has no channels."""
    two: Sequence[Any] = play if isinstance(play, tuple | list) else (play, None)
    if not 1 <= len(two) <= 2 or two[0] is None or any(isinstance(given, bool | int | float) for given in two):
        raise ValueError("play takes a recording, or (dry, target): files, or arrays (channels, frames) at the stream's rate")
    found = []
    for given, what in zip(two, ("dry", "target"), strict=False):
        if given is None:
            continue
        if isinstance(given, str | os.PathLike):
            x, own = read_audio(given)
            if own != rate:
                raise ValueError(
                    f"{given} has {own:g} Hz, the stream {rate:g} Hz; resample it, or open the stream with that rate"
                )
        else:
            x = as_planar(given, what)[0]
        if x.shape[1] == 0:
            raise ValueError(f"the {what} recording is empty")
        if not np.isfinite(x).all():
            raise ValueError(f"the {what} recording has {nan_in(count_nan(x))}")
        found.append(np.ascontiguousarray(x, np.float32))
    if len(found) == 2 and found[0].shape[1] != found[1].shape[1]:
        raise ValueError(f"dry has {found[0].shape[1]} frames, target {found[1].shape[1]}; make them equal")
    return found[0], found[1] if len(found) == 2 else np.zeros((0, found[0].shape[1]), np.float32)


class LiveStream:
    """Racks that sound. Use it in a `with` block, or call `start` and `stop`. One that nobody holds any more stops.

    Attributes:
        lines: the racks with their inputs and outputs, by name.
        input, output: the devices.
        sample_rate, block_size: what the stream runs at.
        events: what happened to it, oldest first; `on_event` is called with each.
        notes: sentences about what could be better here (priority, locked memory).
    """

    _held = False  # the device, and with it the racks

    def __init__(
        self,
        rack: Rack | Sequence[Line],
        *,
        input: int | str | None = None,
        output: int | str | None = None,
        block_size: int | None = None,
        sample_rate: float | None = None,
        channels: int | None = None,
        sidechain: Mapping[str, int | Sequence[int]] | None = None,
        play: Play | None = None,
        safety: Safety | None = None,
        name: str = "twinrack",
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if not isinstance(rack, Rack) and not (isinstance(rack, Sequence) and all(isinstance(item, Line) for item in rack)):
            rack = as_rack(rack)
        if block_size is not None:
            block_size = check_integer(block_size, "block_size", 1, 8192)
        there = devices()
        self.input = choose(there, input, "input")
        self.output = choose(there, output, "output")
        if channels is None:
            channels = max(1, min(self.output.outputs, 2))
        channels = check_integer(channels, "channels", 1, _engine.MAX_CHANNELS)
        lines = [Line(rack, sidechain=sidechain or {})] if isinstance(rack, Rack) else list(rack)
        if not lines:
            raise ValueError("a live stream needs a rack, or at least one line")
        self.lines: dict[str, Line] = {line.name: line for line in lines}
        if len(self.lines) < len(lines):
            raise ValueError("two lines have the same name; give each a name of its own")
        if len({id(line.rack) for line in lines}) < len(lines):
            raise ValueError("one rack is in two lines; use rack.copy() for the second")
        for line in lines:
            line.fill_in(channels, self.input.inputs, self.output.outputs)
            line.rack.running.refuse_live("a second live stream")
        self._inputs = max(
            (n for line in lines for n in [*(line.inputs or ()), *(k for key in line.keys for k in key)]), default=0
        )
        self._outputs = max((n for line in lines for n in line.outputs or ()), default=0)
        self.safety = safety or Safety()
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.on_event = on_event
        self._name, self._wanted_rate, self._wanted_block = name, sample_rate, block_size
        self._lock = forking.lock()
        self._changed: list[Callable[[], None]] = []  # told when the mixer is another one
        self._asked: list[Callable[[int, _engine.Ask, int, float], None]] = []  # told what the mixer is asked
        self._recorder: Recorder | None = None
        self._levels = Levels(weakly(self._read_meters), weakly(self._sounding))
        self._began = time.monotonic()
        self._running = self._lost = False
        self._loss: _Loss | None = None
        self._kept = False  # the present host's counts are in `_past`
        self._end = threading.Event()
        self._listen, self._plays, self._play = "rack", play is not None, play
        self._targets = False
        self._take_host()
        self._held = True
        self._past = {"callbacks": 0, "frames": 0, "late": 0, "flagged": 0}
        for line in lines:
            line.rack.running.go_live()
        _open.add(self)

    # --- the device ------------------------------------------------------------------------------------------------

    def _open_host(self) -> Host:
        if (self.input.host_api == JACK) != (self.output.host_api == JACK):
            raise OSError(
                f"{self.input.name} ({self.input.host_api}) and {self.output.name} ({self.output.host_api}) cannot be joined; "
                "take both from JACK, or none"
            )
        if self.output.host_api == JACK:
            return jack_server.JackHost(self.input, self.output, self._wanted_block, self._wanted_rate, self._name)
        block = self._wanted_block or 64
        return portaudio.PortAudioHost(_at_host(self.input), _at_host(self.output), block, self._wanted_rate)

    def _take_host(self) -> None:
        """Open the device, with a new mixer behind it."""
        self._host = self._open_host()
        try:
            self._make_mixer(self._host.sample_rate)
            self._host.attach(self._mixer, self._inputs, self._outputs)
        except BaseException:
            self._host.close()
            raise

    def _make_mixer(self, rate: float) -> None:
        """Engines and mixer at a rate. What the racks hold, they keep; where one refuses, all stay as they are.

        Raises:
            ValueError: a rack, or a recording that is played, is for another rate.
        """
        recordings = None if self._play is None else _recordings(self._play, rate)
        for line in self.lines.values():
            line.rack.running.check_format(rate, len(line.inputs or ()))
        for line in self.lines.values():
            line.rack.running.begin(rate, len(line.inputs or ()))
        self._mixer = make_mixer(self.lines.values(), self._inputs, self._outputs, rate)
        if recordings is not None:
            self._targets = recordings[1].shape[0] > 0
            self._mixer.play(*recordings)
        self._ask_everything()
        self._seen_state = (0, 0)
        for changed in tuple(self._changed):
            changed()

    def _ask_everything(self) -> None:
        """What a mixer is to know that was just made, or was away."""
        for what, index, value in set_up(self.lines.values(), self.safety):
            self._mixer.ask(what, index, value)
        self._mixer.ask(_engine.Ask.listen, LISTEN.index(self._listen), 1.0)

    def ask(self, what: _engine.Ask, index: int, value: float) -> int:
        """Ask the mixer for something; the number of the request."""
        if self._lost:
            return 0  # it is asked for everything when the device returns
        number = self._mixer.ask(what, index, value)
        if not number:
            raise RuntimeError("1024 requests wait because the device does not call; is it lost?")
        for listener in tuple(self._asked):
            listener(number, what, index, value)
        return int(number)

    def start(self, record: str | os.PathLike[str] | None = None) -> None:
        """Begin; the sound fades in over 10 ms. A lost device is waited for, and taken again when it returns.

        Args:
            record: folder of a take that begins with the first frame, so that all of it can be rendered again.

        Raises:
            OSError: the device refuses.
        """
        if self._running:
            return
        if not self._held:
            raise RuntimeError("the stream was stopped; open a new one with tr.live")
        refused = lock_memory()
        self.notes = [refused] if refused else []
        if self._wanted_block is None:
            self._settle()
        if record is not None:
            self.record(record)
        self._host.start()
        self.ask(_engine.Ask.fade, 0, 1.0)
        if self._host.realtime is False:
            how = "start it with -R as a user who may" if self.output.host_api == JACK else "allow it"
            self.notes.append(
                f"the audio thread runs without real-time priority, so small blocks may be late: {how} (`@audio - rtprio 95` "
                "in /etc/security/limits.d/audio.conf and a new login, or rtkit)"
            )
        self._running = True
        self._watcher = every(WATCH_S, self._end, self._watch, "twinrack-watch")

    def _settle(self) -> None:
        """The smallest block that runs without a late callback, tried in silence. A server that others use keeps its own."""
        host = self._host
        if isinstance(host, jack_server.JackHost) and host.others:
            self._wanted_block = host.block_size
            return
        for block in BLOCKS:
            self._host.close()
            self._wanted_block = block
            try:
                self._take_host()
                self._host.start()
            except OSError:
                if block == BLOCKS[-1]:
                    raise
                continue
            time.sleep(0.1)
            before = self._host.load
            time.sleep(TRIAL_S)
            load = self._host.load
            calls = load["callbacks"] - before["callbacks"]
            late = load["flagged"] - before["flagged"] + load["late"] - before["late"]
            share = (load["sum"] - before["sum"]) / max(calls, 1)
            if calls and not late and share < TRIAL_LOAD:
                break
        self._host.close()
        self._take_host()

    def stop(self) -> None:
        """Fade out, end the stream and free the device. Never hangs, also when the device is gone."""
        if not self._is_open():
            return
        self._end.set()
        if self._running and threading.current_thread() is not self._watcher:
            self._watcher.join(FADE_LIMIT_S)
        with self._lock:
            if not self._is_open():
                return  # another thread was quicker
            self._held = False
            if self._running and self._host.lost is None:
                self.ask(_engine.Ask.fade, 0, 0.0)
                before, end = self._mixer.frame, time.monotonic() + FADE_LIMIT_S
                while not self._mixer.silent and time.monotonic() < end:
                    time.sleep(0.002)
                    if self._mixer.frame == before and time.monotonic() > end - 0.5:
                        break  # the server calls no more
            self._running = False
            self._keep_count()
            if self._recorder is not None:
                self._recorder.stop()
            self._host.close()
            for line in self.lines.values():
                line.rack.running.close()
            _open.discard(self)
            if not _open:
                unlock_memory()

    def _is_open(self) -> bool:
        return self._held

    def __del__(self) -> None:
        try:
            self.stop()
        except Exception:
            log.exception("a stream that nobody holds could not be stopped")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a live stream cannot be copied or pickled: it holds a device; copy its racks")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # --- what happens ----------------------------------------------------------------------------------------------

    def tell(self, kind: str, words: str) -> None:
        """Note an event."""
        event = Event(time.monotonic() - self._began, kind, words)
        self.events.append(event)
        del self.events[:-1000]
        log.info("%s: %s", kind, words)
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:
                log.exception("what is called with events failed")

    def _watch(self) -> None:
        try:
            if self._loss is not None:
                self._retake(self._loss)
                return
            lost = self._host.lost
            if lost is not None:
                self._lose(lost)
            else:
                self._notice()
        except Exception:  # whatever it is, a lost device must still be noticed
            log.exception("watching the stream failed")

    def _notice(self) -> None:
        """Howls and faults, which the audio thread has counted."""
        self._levels.read("watch")
        state = self._levels.state
        howls, faults = self._seen_state
        self._seen_state = (state.howls, state.fault_mutes)
        if state.howls > howls:
            self.tell("howl", f"feedback at {state.howl_hz:.0f} Hz; the sound was turned down for a moment")
        if state.fault_mutes > faults:
            bad = [a for a, m in self.meters("watch").items() if m.faults]
            self.tell("fault", f"{', '.join(bad) or 'an effect'} put out NaN or infinity; it was reset")

    def _keep_count(self) -> None:
        if self._kept:
            return
        load = self._host.load
        for key in self._past:
            self._past[key] += load[key]
        self._kept = True

    def _lose(self, lost: str) -> None:
        """From now on its return is waited for; what the racks hold is kept, and where the rate is the same also what they
        do."""
        self.tell("lost", f"{lost}; waiting for its return")
        jack = isinstance(self._host, jack_server.JackHost)
        with self._lock:
            rate = self._host.sample_rate
            self._keep_count()
            left = self._host.close()  # else its thread may still be in the mixer, which then is its own
            self._pause(True)
        if jack:
            self._wanted_rate = None
            if not jack_server.is_pipewire():
                self._wanted_block = None  # whatever it returns with
        self._loss = _Loss(rate, jack, left)

    def _retake(self, loss: _Loss) -> None:
        """One attempt to take the device again."""
        try:
            if loss.jack:
                jack_server.await_start()
            with self._lock:
                if self._end.is_set():
                    return
                host = self._open_host()
                try:
                    if host.sample_rate != loss.rate or not loss.left:
                        self._make_mixer(host.sample_rate)
                        loss.rate, loss.left = host.sample_rate, True
                    host.attach(self._mixer, self._inputs, self._outputs)
                    host.start()
                except BaseException:
                    host.close()
                    raise
                self._host, self._kept, self._loss = host, False, None
                self._pause(False)
                self.ask(_engine.Ask.fade, 0, 1.0)
        except Exception as error:  # whatever it is, the next attempt may do better
            if not isinstance(error, OSError):
                if str(error) != loss.said:
                    loss.said = str(error)
                    self.tell("lost", f"the device is back, but cannot be taken: {error}; waiting")
                self._end.wait(0.5)
            return
        self.tell("returned", f"{self.output.name} is back: {self.sample_rate:g} Hz, blocks of {self.block_size} frames")

    def _pause(self, on: bool) -> None:
        """While the device is lost, nothing is sent where nobody reads; afterwards everything is."""
        self._lost = on
        for line in self.lines.values():
            line.rack.running.pause(on)
        if not on:
            self._ask_everything()
            if self._recorder is None or not self._recorder.running:
                self.ask(_engine.Ask.record, 0, 0.0)

    # --- what is heard ---------------------------------------------------------------------------------------------

    @property
    def rack(self) -> Rack:
        """The rack of the first line; assign another one, and the sound crossfades to it."""
        return next(iter(self.lines.values())).rack

    @rack.setter
    def rack(self, other: Rack) -> None:
        self.replace(next(iter(self.lines)), other)

    def replace(self, line: str, other: Rack) -> None:
        """Let another rack sound in a line: a crossfade over 21 ms.

        Raises:
            ValueError: it listens to other sidechains, or cannot run at this rate or number of channels.
        """
        with self._lock:
            self.lines[line].rack.running.hand_over(other.running)
            self.lines[line].rack = other

    def level(self, line: str, level_db: float | None = None, mute: bool | None = None) -> None:
        """Set the level of a line in dB, or mute it; the change takes at most 10 ms."""
        if line not in self.lines:
            raise ValueError(f"there is no line {line!r}; there are: {', '.join(self.lines)}")
        found = self.lines[line]
        if level_db is not None:
            found.check_level(level_db)
            found.level_db = float(level_db)
        if mute is not None:
            found.mute = bool(mute)
        self.ask(_engine.Ask.level, list(self.lines).index(line), found.gain)

    def protect(self, **changes: Any) -> None:
        """Switch a part of `safety` on or off by name, or move its ceiling: `stream.protect(limiter=False)`."""
        self.safety = Safety(**{**vars(self.safety), **changes})
        for what, value in self.safety.requests():
            self.ask(what, 0, value)

    @property
    def listen(self) -> str:
        """What is heard of the recordings that it plays: "rack", "dry" or "target"; a change fades over 10 ms."""
        return self._listen

    @listen.setter
    def listen(self, to: str) -> None:
        if not self._plays:
            raise ValueError("the stream plays no recordings; open it with play=(dry, target)")
        there = LISTEN if self._targets else LISTEN[:2]
        if to not in there:
            raise ValueError(f"listen = {to!r} is none of {', '.join(there)}")
        self.ask(_engine.Ask.listen, LISTEN.index(to), 1.0)
        self._listen = to

    def record(self, folder: str | os.PathLike[str]) -> Recorder:
        """Begin a take: what comes in, what is heard, and all that is changed meanwhile, into a new folder.

        `twinrack replay` renders it again, to the same samples. A take that begins while the sound runs lets every rack
        begin anew, by a crossfade: a reverb's tail ends within 21 ms. Call `stop` on what is returned.

        Raises:
            FileExistsError: the folder is there already.
            RuntimeError: a take is running, or the stream plays recordings.
        """
        if self._recorder is not None and self._recorder.running:
            raise RuntimeError(f"a take runs already, into {self._recorder.folder}; stop it first")
        if self._plays:
            raise RuntimeError("the stream plays recordings; a take needs an input")
        self._recorder = Recorder(self, folder)
        return self._recorder

    # --- what it reports -------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """True while the server calls."""
        return self._running and self._host.lost is None

    @property
    def sample_rate(self) -> float:
        """Frames a second."""
        return self._host.sample_rate

    @property
    def block_size(self) -> int:
        """Frames that the server hands over at once."""
        return self._host.block_size

    @property
    def latency_ms(self) -> float:
        """From input to output: what the server reports, and the longest lookahead of a line."""
        return sum(self.latencies_ms().values())

    def latencies_ms(self) -> dict[str, float]:
        """Where the latency comes from: input, output, and each effect of the slowest line that holds the sound back.

        What stands in parallel is counted as its slowest branch.
        """
        there, back = self._host.latency_frames
        ms = 1000.0 / self.sample_rate
        slowest = max(self.lines.values(), key=lambda line: line.rack.latency_frames)
        found = {"input": there * ms, "output": back * ms}
        effects = {a: n * ms for a, n in slowest.rack.running.latencies.items() if n}
        if sum(effects.values()) > slowest.rack.latency_frames * ms + 1e-9:
            effects = {f"rack {slowest.name}": slowest.rack.latency_frames * ms}
        return {**found, **effects}

    def _count(self, key: str) -> int:
        now = 0 if self._kept else int(self._host.load[key])
        return self._past[key] + now

    @property
    def xruns(self) -> int:
        """How often the server said that sound was lost or came too late, since the start; with two devices also how often
        there was too little or too much between them."""
        return self._count("flagged")

    @property
    def late_callbacks(self) -> int:
        """Callbacks of ours that took longer than their block lasts, since the start."""
        return self._count("late")

    @property
    def frames(self) -> int:
        """Frames processed since the start."""
        return self._count("frames")

    @property
    def load(self) -> dict[str, Any]:
        """Of the present device: callbacks, and as shares of the deadline the `worst`, the `sum` of all, the widest gap
        between two, and how many took each twentieth (`counts`)."""
        return self._host.load

    @property
    def cpu_load(self) -> float:
        """Share of the time that the callback uses, on average since the device was opened."""
        load = self._host.load
        return float(load["sum"] / load["callbacks"]) if load["callbacks"] else 0.0

    def _read_meters(self) -> dict[str, Meter]:
        with self._lock:
            if len(self.lines) == 1:
                return self.rack.meters()
            return {f"{name}/{a}": m for name, line in self.lines.items() for a, m in line.rack.meters().items()}

    def _sounding(self) -> _engine.Mixer:
        return self._mixer

    def meters(self, reader: str = "") -> dict[str, Meter]:
        """Levels of every effect since this reader's last call, by address; with several lines after "line/"."""
        return self._levels.read(reader)[0]

    def levels(self, reader: str = "") -> tuple[dict[str, Meter], Output]:
        """The same, and the levels of the outputs."""
        return self._levels.read(reader)


@atexit.register
def _stop_all() -> None:
    for stream in tuple(_open):
        stream.stop()


@forking.in_child
def _leave_to_parent() -> None:
    """The streams are the parent's: this process neither hears them nor may tell the server that they end."""
    for stream in tuple(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream._host))  # its end would end the parent's
        stream._held = stream._running = False
        stream._end.set()
        for line in stream.lines.values():
            line.rack.running.close()
    _open.clear()


@spelled_out()
def live(
    rack: Rack | Sequence[Line],
    *,
    input: int | str | None = None,
    output: int | str | None = None,
    block_size: int | None = None,
    sample_rate: float | None = None,
    channels: int | None = None,
    sidechain: Mapping[str, int | Sequence[int]] | None = None,
    play: Play | None = None,
    safety: Safety | None = None,
    name: str = "twinrack",
    on_event: Callable[[Event], None] | None = None,
) -> LiveStream:
    """A live stream of a rack: `with tr.live(rack, block_size=64) as stream: …`

    Args:
        rack: what sounds; it gets a new stream. Or several lines, each a rack with inputs and outputs of its own.
        input, output: device by number or part of its name; without, JACK's where it runs, else the system's.
        block_size: frames that the server hands over at once, 1 to 8192. Without, the smallest that runs without a late
            callback; a JACK server that others use too keeps its own.
        sample_rate: Hz; without, the output device's.
        channels: 1 to 16; without, 2 or what the output has.
        sidechain: for every sidechain that the rack listens to, the number of the input that it hears, from 1.
        play: a dry recording that goes through the rack in a loop in place of the input: a file, or a (channels, frames)
            array at the stream's rate; or two, (dry, target), the second being what it should sound like. `stream.listen`
            switches between them.
        safety: what protects ears; all of it is on.
        name: how a JACK server calls it.
        on_event: called with every event (a lost device, a howl), from a thread of its own.

    Raises:
        OSError: PortAudio, the device or the server is not there, or the device cannot do this; one sentence says which.
    """
    return LiveStream(
        rack,
        input=input,
        output=output,
        block_size=block_size,
        sample_rate=sample_rate,
        channels=channels,
        sidechain=sidechain,
        play=play,
        safety=safety,
        name=name,
        on_event=on_event,
    )
