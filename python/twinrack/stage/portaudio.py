"""Devices through PortAudio (python-sounddevice): ALSA, CoreAudio, WASAPI; not JACK (see `libjack`). The callback is C++.

PortAudio gives no notice of a device that is gone, and its calls may then never return. So whatever could hang runs beside
the caller, with an end to its patience; a library that hangs is left as it is, and a fresh copy of it loaded instead.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _engine
from .device import Device
from .libjack import finding_no_server

PRIORITY = 70
PATIENCE_S = 1.0
SILENT_CALLBACKS_S = 0.3  # so long without a callback, and the device counts as lost


class _Quiet:
    """Standard error goes nowhere while anybody wants that, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted, self._saved = 0, -1

    def __enter__(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted > 1:
                return
            sys.stderr.flush()
            self._saved, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 2)
            os.close(nothing)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                os.dup2(self._saved, 2)
                os.close(self._saved)


_quiet = _Quiet()


def quiet() -> _Quiet:
    """Keep the audio libraries from writing to the terminal while they look around; errors are raised, not printed."""
    return _quiet


def within(seconds: float, work: Callable[[], object]) -> bool:
    """Run `work` beside; False when it has not come back by then (it goes on, and is forgotten). Its errors are raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="twinrack-patience", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends, and starts no threads any more
        work()
        return True
    thread.join(seconds)
    if failed:
        raise failed[0]
    return not thread.is_alive()


class _Library:
    """sounddevice, started when it is needed and ended when it is not."""

    def __init__(self) -> None:
        self._module: Any = None
        self._users = 0
        self._stuck = False
        self._path: str | None = None
        self._past: list[Any] = []
        self._lock = threading.RLock()

    def module(self) -> Any:
        if self._module is None:
            try:
                with quiet(), finding_no_server():  # it starts PortAudio
                    import sounddevice
            except OSError as error:
                raise OSError(
                    f"PortAudio is missing ({error}); install libportaudio2 (Debian, Ubuntu) or portaudio (Homebrew)"
                ) from None
            atexit.unregister(sounddevice._exit_handler)  # it may hang; `_at_exit` does not
            atexit.register(self._at_exit)
            self._module = sounddevice
            maps = Path("/proc/self/maps")  # Linux; elsewhere a library that hangs stays
            lines = maps.read_text().splitlines() if maps.exists() else []
            self._path = next((line.split()[-1] for line in lines if "libportaudio" in line), None)
            if not self._users:
                self._end()
        return self._module

    def _at_exit(self) -> None:
        if self._module is not None and not self._stuck:
            self._end()

    def _end(self) -> None:
        sd = self._module
        while sd._initialized:
            with quiet():
                if not within(PATIENCE_S, sd._terminate):
                    self.give_up()
                    return

    def give_up(self) -> None:
        """Leave the library as it is; what uses it next gets a copy of its own."""
        self._stuck = True

    def acquire(self) -> Any:
        with self._lock:
            sd = self.module()
            if self._stuck:
                self._fresh(sd)
            if not self._users:
                with quiet(), finding_no_server():
                    if not within(PATIENCE_S + 3.0, sd._initialize):
                        self.give_up()
                        raise OSError("PortAudio does not answer; an audio server hangs: restart it")
            self._users += 1
            return sd

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and not self._stuck:
                self._end()

    def _fresh(self, sd: Any) -> None:
        if self._path is None:
            raise OSError("PortAudio hangs since its device was lost; start the program anew")
        with tempfile.TemporaryDirectory(prefix="twinrack-") as folder:
            copy = shutil.copy(self._path, Path(folder) / f"portaudio-{time.monotonic_ns()}.so")
            self._past.append(sd._lib)  # never unloaded: what it gave to others, such as libjack's error function, is called on
            sd._lib = sd._ffi.dlopen(str(copy))
        sd._initialized = 0
        self._stuck, self._users = False, 0


LIBRARY = _Library()


def find() -> list[Device]:
    """All devices that PortAudio knows now."""
    sd = LIBRARY.acquire()
    try:
        apis, found = sd.query_hostapis(), sd.query_devices()
        default = tuple(sd.default.device)
    finally:
        LIBRARY.release()
    return [
        Device(
            index=i,
            name=d["name"],
            host_api=apis[d["hostapi"]]["name"],
            inputs=d["max_input_channels"],
            outputs=d["max_output_channels"],
            sample_rate=d["default_samplerate"],
            latency_ms=1000 * d["default_low_output_latency"],
            default=i in default,
            native=i,
        )
        for i, d in enumerate(found)
    ]


class PortAudioHost:
    """A stream of PortAudio between an input and an output device, of one clock or of two."""

    def __init__(self, input: Device, output: Device, block_size: int, sample_rate: float | None) -> None:
        self.input, self.output = input, output
        self.block_size = block_size
        self.sample_rate = float(sample_rate or output.sample_rate)
        self.realtime: bool | None = None  # PortAudio does not tell
        self._streams: list[Any] = []
        self.bridge: Any = None
        self._callback: Any = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._started = time.monotonic()
        self._sd = LIBRARY.acquire()
        self._held = True

    def attach(self, mixer: _engine.Mixer, inputs: int, outputs: int) -> None:
        """Open the device with so many channels.

        Raises:
            OSError: it cannot do this; one sentence says what it could.
        """
        one_clock = inputs == 0 or (self.input.host_api == self.output.host_api and self.same_card())
        if not one_clock:
            rate = self.input.sample_rate
            delay = 3 * self.block_size + round(0.004 * rate)
            self.bridge = _engine.Bridge(inputs, rate, self.sample_rate, delay)
        self._callback = _engine.PortAudioCallback(mixer, self.bridge)
        ours = self._callback
        if one_clock:
            pair, counts, kind = (self.input.native, self.output.native), (inputs, outputs), "duplex"
            self._open(kind, pair, counts, self.sample_rate, ours.entry(), ours.user)
        else:
            self._open("output", self.output.native, outputs, self.sample_rate, ours.entry(), ours.user)
            entry = ours.bridge_entry()
            self._open("input", self.input.native, inputs, self.input.sample_rate, entry, self.bridge.user)

    def same_card(self) -> bool:
        """Whether both belong together as far as one can see: servers and pairs of one card do."""
        a, b = self.input, self.output
        return a.native == b.native or a.name == b.name or (a.inputs > 0 and a.name.split(":")[0] == b.name.split(":")[0])

    def _open(self, kind: str, device: Any, channels: Any, rate: float, entry: int, user: int) -> None:
        sd, ffi = self._sd, self._sd._ffi
        try:
            with quiet():
                stream = sd._StreamBase(
                    kind=kind,
                    samplerate=rate,
                    blocksize=self.block_size,
                    device=device,
                    channels=channels,
                    dtype="float32",
                    latency="low",
                    callback=ffi.cast("PaStreamCallback *", entry),
                    userdata=ffi.cast("void *", user),
                    wrap_callback=None,
                )
        except sd.PortAudioError as error:
            raise OSError(self._why(str(error))) from None
        self._streams.append(stream)

    def _why(self, words: str) -> str:
        where = f"{self.input.name} → {self.output.name}"
        words = words.split(" [")[0].removeprefix("Error opening Stream: ").removeprefix("Error opening _StreamBase: ")
        if "sample rate" in words.lower():
            rates = {self.input.sample_rate, self.output.sample_rate}
            return f"{where} cannot run at {self.sample_rate:g} Hz; use --rate {' or '.join(f'{r:g}' for r in sorted(rates))}"
        return f"{where} cannot be opened: {words}; see `twinrack devices`"

    def start(self) -> None:
        self._started, self._seen = time.monotonic(), {}
        before = _threads()
        try:
            for stream in self._streams:
                stream.start()
        except self._sd.PortAudioError as error:
            raise OSError(self._why(str(error))) from None
        self.realtime = _hurry(_threads() - before)

    @property
    def lost(self) -> str | None:
        """Why the device counts as lost; None while it calls."""
        calls = [(self.output, self._callback.load["callbacks"])]
        if self.bridge is not None:
            calls.append((self.input, self.bridge.written))
        now = time.monotonic()
        limit = max(SILENT_CALLBACKS_S, 10 * self.block_size / self.sample_rate)
        for device, count in calls:
            before, at = self._seen.get(device.name, (-1, self._started))
            if count != before:
                self._seen[device.name] = (count, now)
            elif now - at > limit:
                return f"{device.name} calls no more"
        return None

    @property
    def load(self) -> dict[str, Any]:
        found = dict(self._callback.load)
        if self.bridge is not None:
            found["flagged"] += self.bridge.underruns + self.bridge.overruns
        return found

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the input's clock runs than the output's; None where both have one clock."""
        return None if self.bridge is None else float(self.bridge.drift_ppm)

    @property
    def latency_frames(self) -> tuple[float, float]:
        """Of the input and of the output, as PortAudio reports them; a bridge counts to the input."""
        first = self._streams[0].latency
        if self.bridge is None:
            return first[0] * self.sample_rate, first[1] * self.sample_rate
        waits = self.bridge.waiting / self.input.sample_rate + self._streams[1].latency
        return waits * self.sample_rate, first * self.sample_rate

    def close(self) -> bool:
        """End the stream and free the device; never hangs. False where the device may still call into it."""
        if not self._held:
            return True
        self._held = False

        def end() -> None:
            for stream in self._streams:
                stream.stop()
                stream.close()

        try:
            with quiet():
                done = within(PATIENCE_S, end)
        except self._sd.PortAudioError:
            done = False
        if not done:
            LIBRARY.give_up()
            _left_behind.append(self)  # the device may call into it for ever
        LIBRARY.release()
        return done


def _threads() -> set[int]:
    """Numbers of this process's threads that are not Python's, where the system tells."""
    folder = Path("/proc/self/task")
    ours = {thread.native_id for thread in threading.enumerate()}
    return {int(entry.name) for entry in folder.iterdir()} - ours if folder.exists() else set()


def _hurry(threads: set[int]) -> bool | None:
    """Ask for real-time priority for the threads that a stream has started; None where it is not known which they are."""
    if not threads or not hasattr(os, "sched_setscheduler"):
        return None
    allowed = True
    for thread in threads:
        try:
            if os.sched_getscheduler(thread) in (os.SCHED_OTHER, os.SCHED_BATCH):
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except PermissionError:
            allowed = False
        except ProcessLookupError:
            continue
    return allowed


_left_behind: list[PortAudioHost] = []
