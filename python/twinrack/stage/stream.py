"""Live streams: racks that sound on audio devices, also after a device was lost and has returned."""

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

from .. import _engine
from ..checks import check_integer
from ..rack.rack import Rack, as_rack
from ..rack.running import Meter
from ..rack.signatures import with_arguments_of
from ..system import forking
from ..system.memory import lock_memory, unlock_memory
from . import jack_server
from .background import every, weakly
from .device import JACK, choose
from .events import Event
from .hosts import BLOCKS, CallCounts, Host, devices, open_host, runs_in_time
from .levels import Levels, Output
from .line import Line, Safety
from .mixer import LiveMixer
from .playback import Play
from .recorder import Recorder

FADE_LIMIT_S = 1.0
WATCH_S = 0.05
log = logging.getLogger("twinrack.live")
# Streams that hold a device. One that nobody else holds any more stops.
_open: WeakSet[LiveStream] = WeakSet()


def open_streams() -> list[LiveStream]:
    """The streams of this process that hold a device."""
    return list(_open)


@dataclass
class _Loss:
    """A device whose return is awaited.

    Attributes:
        rate: its sample rate in Hz.
        jack: whether it was JACK's.
        closed: it calls no more for certain; else its thread may still be in the mixer, which cannot be used again.
        refusal: why the device that is back could not be taken at the last attempt.
    """

    rate: float
    jack: bool
    closed: bool
    refusal: str = ""


class LiveStream:
    """Racks that sound. Use it in a `with` block, or call `start` and `stop`. One that nobody holds any more stops.

    The arguments are those of `live`.

    Attributes:
        lines: the racks with their inputs and outputs, by name.
        input, output: the devices.
        host: the client of the JACK server, or the stream of PortAudio.
        mixer: runs the lines.
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
        available = devices()
        self.input = choose(available, input, "input")
        self.output = choose(available, output, "output")
        if channels is None:
            channels = max(1, min(self.output.outputs, 2))
        channels = check_integer(channels, "channels", 1, _engine.MAX_CHANNELS)
        lines = [Line(rack, sidechain=sidechain or {})] if isinstance(rack, Rack) else list(rack)
        if not lines:
            raise ValueError("a live stream needs a rack, or at least one line")
        if len({line.name for line in lines}) < len(lines):
            raise ValueError("two lines have the same name; give each a name of its own")
        if len({id(line.rack) for line in lines}) < len(lines):
            raise ValueError("one rack is in two lines; use rack.copy() for the second")
        for line in lines:
            line.fill_in(channels, self.input.inputs, self.output.outputs)
            line.rack.running.refuse_live("a second live stream")
        self.mixer = LiveMixer({line.name: line for line in lines}, safety or Safety(), play)
        self.lines = self.mixer.lines
        self.events: list[Event] = []
        self.notes: list[str] = []
        self.on_event = on_event
        self._name, self._wanted_rate, self._wanted_block = name, sample_rate, block_size
        self._lock = forking.lock()
        self._recorder: Recorder | None = None
        self._levels = Levels(weakly(self._read_meters), self.mixer)
        self._began = time.monotonic()
        self._running = False
        self._loss: _Loss | None = None
        self._counts = CallCounts()
        self._seen_state = (0, 0)  # howls and mutes that were told
        self._end = threading.Event()
        self._take_host()
        self._held = True
        for line in lines:
            line.rack.running.go_live()
        _open.add(self)

    def _open_host(self) -> Host:
        return open_host(self.input, self.output, self._wanted_block, self._wanted_rate, self._name)

    def _take_host(self) -> None:
        """Open the device, with a new mixer behind it."""
        self.host = self._open_host()
        try:
            self._build_mixer(self.host)
            self.host.attach(self.mixer.engine, self.mixer.inputs, self.mixer.outputs)
        except BaseException:
            self.host.close()
            raise
        self._counts.follow(self.host)

    def _build_mixer(self, host: Host) -> None:
        for line in self.mixer.lines.values():
            line.rack.running.device_frames = host.block_size
        self.mixer.build(host.sample_rate)
        self._seen_state = (0, 0)

    def set_control(self, control: _engine.MixerControl, index: int, value: float) -> int:
        """Send a control to the mixer; the number of the request."""
        return self.mixer.set_control(control, index, value)

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
            self._choose_block_size()
        if record is not None:
            self.record(record)
        self.host.start()
        self.set_control(_engine.MixerControl.fade, 0, 1.0)
        if self.host.realtime is False:
            how = "start it with -R as a user who may" if self.output.host_api == JACK else "allow it"
            self.notes.append(
                f"the audio thread runs without real-time priority, so small blocks may drop out: {how} (`@audio - rtprio 95` "
                "in /etc/security/limits.d/audio.conf and a new login, or rtkit)"
            )
        self._running = True
        self._watcher = every(WATCH_S, self._end, self._watch, "twinrack-watch")

    def _choose_block_size(self) -> None:
        """Take the smallest block that runs without an overrun, tried in silence. A server that others use keeps its own."""
        if isinstance(self.host, jack_server.JackHost) and self.host.others:
            self._wanted_block = self.host.block_size
            return
        for block in BLOCKS:
            self.host.close()
            self._wanted_block = block
            try:
                self._take_host()
                self.host.start()
            except OSError:
                if block == BLOCKS[-1]:
                    raise
                continue
            if runs_in_time(self.host):
                break
        self.host.close()
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
            if self._running and self.host.lost is None:
                self.set_control(_engine.MixerControl.fade, 0, 0.0)
                before, end = self.mixer.engine.frame, time.monotonic() + FADE_LIMIT_S
                while not self.mixer.engine.silent and time.monotonic() < end:
                    time.sleep(0.002)
                    if self.mixer.engine.frame == before and time.monotonic() > end - 0.5:
                        break  # the server calls no more
            self._running = False
            self._counts.end()
            if self._recorder is not None:
                self._recorder.stop()
            self.host.close()
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
                log.exception("the on_event callback failed")

    def _watch(self) -> None:
        try:
            if self._loss is not None:
                self._retake(self._loss)
                return
            lost = self.host.lost
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

    def _lose(self, lost: str) -> None:
        """Close the device and await its return. Racks keep their values; at the same rate effects keep their state too."""
        self.tell("lost", f"{lost}; waiting for its return")
        jack = isinstance(self.host, jack_server.JackHost)
        with self._lock:
            rate = self.host.sample_rate
            self._counts.end()
            closed = self.host.close()
            self.mixer.pause(True)
        if jack:
            self._wanted_rate = None
            if not jack_server.is_pipewire():
                self._wanted_block = None  # whatever it returns with
        self._loss = _Loss(rate, jack, closed)

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
                    if host.sample_rate != loss.rate or not loss.closed:
                        self._build_mixer(host)
                        loss.rate, loss.closed = host.sample_rate, True
                    host.attach(self.mixer.engine, self.mixer.inputs, self.mixer.outputs)
                    host.start()
                except BaseException:
                    host.close()
                    raise
                self.host, self._loss = host, None
                self._counts.follow(host)
                self.mixer.pause(False)
                if self.recording is None:
                    self.set_control(_engine.MixerControl.record, 0, 0.0)
                self.set_control(_engine.MixerControl.fade, 0, 1.0)
        except Exception as error:  # whatever it is, the next attempt may do better
            if not isinstance(error, OSError):
                if str(error) != loss.refusal:
                    loss.refusal = str(error)
                    self.tell("lost", f"the device is back, but cannot be taken: {error}; waiting")
                self._end.wait(0.5)
            return
        self.tell("returned", f"{self.output.name} is back: {self.sample_rate:g} Hz, blocks of {self.block_size} frames")

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
        self.mixer.set_level(line, level_db, mute)

    def protect(self, **changes: Any) -> None:
        """Switch a part of `safety` on or off by name, or move its ceiling: `stream.protect(limiter=False)`."""
        self.mixer.protect(changes)

    @property
    def safety(self) -> Safety:
        """The protection of ears and loudspeakers; `protect` changes it."""
        return self.mixer.safety

    @property
    def listen(self) -> str:
        """The sound that is heard while it plays recordings: "rack", "dry" or "target"; a change fades over 10 ms."""
        return self.mixer.listen

    @listen.setter
    def listen(self, to: str) -> None:
        self.mixer.listen = to

    def record(self, folder: str | os.PathLike[str]) -> Recorder:
        """Begin a take: what comes in, what is heard, and all that is changed meanwhile, into a new folder.

        `twinrack replay` renders it again, to the same samples. A take that begins while the sound runs lets every rack
        begin anew, by a crossfade: a reverb's tail ends within 21 ms. Call `stop` on what is returned.

        Raises:
            FileExistsError: the folder exists already.
            RuntimeError: a take is running, or the stream plays recordings.
        """
        if self.recording is not None:
            raise RuntimeError(f"a take runs already, into {self.recording.folder}; stop it first")
        if self.mixer.plays:
            raise RuntimeError("the stream plays recordings; a take needs an input")
        self._recorder = Recorder(
            self.mixer, folder, self.sample_rate, self.block_size, sounding=self._running, tell=weakly(self.tell)
        )
        return self._recorder

    @property
    def recording(self) -> Recorder | None:
        """The take that is being recorded; None while none is."""
        return self._recorder if self._recorder is not None and self._recorder.running else None

    @property
    def active(self) -> bool:
        """True while the server calls."""
        return self._running and self.host.lost is None

    @property
    def sample_rate(self) -> float:
        """Frames a second."""
        return self.host.sample_rate

    @property
    def block_size(self) -> int:
        """Frames that the server hands over at once."""
        return self.host.block_size

    @property
    def latency_ms(self) -> float:
        """From input to output: what the server reports, and the longest lookahead of a line."""
        return sum(self.latencies_ms().values())

    def latencies_ms(self) -> dict[str, float]:
        """Where the latency comes from: input, output, and each effect of the slowest line that holds the sound back.

        What stands in parallel is counted as its slowest branch.
        """
        capture, playback = self.host.latency_frames
        ms = 1000.0 / self.sample_rate
        return {"input": capture * ms, "output": playback * ms, **self.mixer.latencies_ms(self.sample_rate)}

    @property
    def xruns(self) -> int:
        """Dropouts since the start: how often the server reported one, and with two devices how often the buffer between them
        ran empty or over."""
        return self._counts["flagged"]

    @property
    def late_callbacks(self) -> int:
        """Overruns since the start: callbacks of ours that took longer than their block lasts."""
        return self._counts["late"]

    @property
    def frames(self) -> int:
        """Frames processed since the start."""
        return self._counts["frames"]

    @property
    def load(self) -> dict[str, Any]:
        """Of the present device: the number of callbacks; in parts of a block's time the `worst` callback, the `sum` of all and
        the widest gap between two; and how many took each twentieth of it (`counts`)."""
        return self.host.load

    @property
    def cpu_load(self) -> float:
        """Part of the time that the callback uses, on average since the device was opened; above 1 it overruns."""
        load = self.host.load
        return float(load["sum"] / load["callbacks"]) if load["callbacks"] else 0.0

    def _read_meters(self) -> dict[str, Meter]:
        with self._lock:
            return self.mixer.meters()

    def meters(self, reader: str = "") -> dict[str, Meter]:
        """Levels of every effect since this reader's last call, by address; with several lines after "line/"."""
        return self._levels.read(reader)[0]

    def levels(self, reader: str = "") -> tuple[dict[str, Meter], Output]:
        """The same, and the levels of the outputs."""
        return self._levels.read(reader)

    def forget_reader(self, reader: str) -> None:
        """This reader of levels will not read any more."""
        self._levels.forget(reader)

    def _leave_to_parent(self) -> None:
        """In a forked process: forget the device, which is the parent's, without telling the server that the stream ends."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.host))  # its end would end the parent's
        self._held = self._running = False
        self._end.set()
        for line in self.lines.values():
            line.rack.running.close()


@atexit.register
def _stop_all() -> None:
    for stream in tuple(_open):
        stream.stop()


@forking.in_child
def _leave_streams_to_parent() -> None:
    for stream in tuple(_open):
        stream._leave_to_parent()
    _open.clear()


@with_arguments_of(LiveStream)
def live(*args: Any, **named: Any) -> LiveStream:
    """A live stream of a rack: `with tr.live(rack, block_size=64) as stream: …`

    Args:
        rack: what sounds; it gets a new stream. Or several lines, each a rack with inputs and outputs of its own.
        input, output: device by number or part of its name; without, JACK's where it runs, else the system's.
        block_size: frames that the server hands over at once, 1 to 8192. Without, the smallest that runs without an
            overrun; a JACK server that others use too keeps its own.
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
        OSError: PortAudio, the device or the server is missing, or the device cannot do this; one sentence says which.
    """
    return LiveStream(*args, **named)
