"""A JACK server, or PipeWire behind its face: a client of our own whose callback is C++ (libjack through JACK-Client).

JACK tells when the server goes away, so a lost server is known at once and the client can be closed without hanging; that
is why it is not reached through PortAudio.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import _engine
from . import libjack
from .device import JACK, Device
from .portaudio import PATIENCE_S, within

GONE = "the JACK server is gone; start it again (jackd, or PipeWire)"
SETTLING_S = 0.3
ATTEMPTS = 10
LATENCY_S = 0.3  # so long until the server has worked out the latencies of new connections
SILENT_CALLBACKS_S = 1.0
_quiet: list[Any] = []  # the functions that libjack was given; they must stay


def library() -> Any:
    """The module `jack`, or None where libjack is not installed."""
    try:
        import jack
    except (ImportError, OSError):
        return None
    if not _quiet:
        silent = jack._ffi.cast("void(*)(const char*)", _engine.JackCallback.ignore_words())
        jack._lib.jack_set_error_function(silent)  # in C: libjack may say something from its audio thread
        jack._lib.jack_set_info_function(silent)
        _quiet.append(silent)
    return jack


class _Range(ctypes.Structure):
    _fields_ = [("least", ctypes.c_uint32), ("most", ctypes.c_uint32)]


def _latency(port: Any, *, capture: bool) -> int:
    """Frames between a port and the hardware at the other end; JACK-Client does not ask for it."""
    jack = library()
    found = _Range()
    pointer = ctypes.c_void_p(int(jack._ffi.cast("uintptr_t", port._ptr)))
    mode = 0 if capture else 1  # JackCaptureLatency, JackPlaybackLatency
    ctypes.CDLL(jack._libname).jack_port_get_latency_range(pointer, ctypes.c_int(mode), ctypes.byref(found))
    return int(found.most)


def open_client(name: str) -> Any:
    """A client of the server; None where none runs.

    Raises:
        OSError: it does not answer.
    """
    jack = library()
    if jack is None:
        return None
    found: list[Any] = []

    def enter() -> None:
        for _ in range(ATTEMPTS):
            try:
                with libjack.opening():
                    found.append(jack.Client(name, no_start_server=True))
                return
            except jack.JackOpenError as error:
                if error.status.server_failed:
                    return  # there is none
            time.sleep(0.1)  # while another client is just leaving, the server may refuse one

    if not within(libjack.ANSWER_S, enter):
        raise OSError("the JACK server does not answer; restart it, and then this program")
    return found[0] if found else None


def is_pipewire() -> bool:
    """Whether what answers as JACK is PipeWire: there every program has a block size of its own."""
    maps = Path("/proc/self/maps")
    return library() is not None and maps.exists() and "pipewire" in maps.read_text()


@contextmanager
def _wish(block_size: int | None) -> Iterator[None]:
    """PipeWire reads a client's wish for a block size from the environment, when the client is opened."""
    before = os.environ.get("PIPEWIRE_LATENCY")
    if block_size is not None and is_pipewire():
        os.environ["PIPEWIRE_LATENCY"] = f"{block_size}/48000"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PIPEWIRE_LATENCY", None)
        else:
            os.environ["PIPEWIRE_LATENCY"] = before


def await_start() -> None:
    """Return when the server is there and has settled.

    jackd 1.9 answers before its driver runs; a client that stays from that moment on leaves the server without sound in a
    third of all starts. So the first answer is only taken as a sign.

    Raises:
        OSError: it is not there.
    """
    client = open_client("twinrack-look")
    if client is None:
        raise OSError(GONE)

    def leave() -> None:
        with libjack.one_at_a_time:
            client.close()

    within(PATIENCE_S, leave)
    time.sleep(SETTLING_S)


def find() -> list[Device]:
    """Every client of the server that has audio ports, as a device; what is hardware first. Empty without a server."""
    client = open_client("twinrack-look")
    if client is None:
        return []
    try:
        found: dict[str, list[int]] = {}
        physical: set[str] = set()
        for port in client.get_ports(is_audio=True):
            owner = port.name.rpartition(":")[0]
            if owner == client.name:
                continue
            counts = found.setdefault(owner, [0, 0])
            counts[0 if port.is_output else 1] += 1
            if port.is_physical:
                physical.add(owner)
        rate, block = float(client.samplerate), client.blocksize
    finally:
        client.close()
    names = sorted(found, key=lambda name: name not in physical)
    return [
        Device(i, name, JACK, found[name][0], found[name][1], rate, 1000.0 * block / rate, name in physical)
        for i, name in enumerate(names)
    ]


class JackHost:
    """Our client of the server."""

    def __init__(self, input: Device, output: Device, block_size: int | None, sample_rate: float | None, name: str) -> None:
        self.input, self.output = input, output
        with _wish(block_size):
            client = open_client(name)
        if client is None:
            raise OSError(GONE)
        self._client = client
        self._callback: Any = None
        self._own_block = int(client.blocksize)  # what the server ran before us, and will again
        self._seen, self._seen_at = -1, time.monotonic()
        self.sample_rate = float(client.samplerate)
        try:
            if sample_rate is not None and sample_rate != self.sample_rate:
                raise OSError(
                    f"{input.name} → {output.name} cannot run at {sample_rate:g} Hz; use --rate {self.sample_rate:g}, "
                    "which the JACK server runs at"
                )
            if block_size is not None and block_size != client.blocksize:
                self._ask_block(block_size)
        except OSError:
            client.close()
            raise
        self._closed = self._left = False
        libjack.clients.add(self)

    def _ask_block(self, frames: int) -> None:
        others = self.others
        if others:
            raise OSError(
                f"the JACK server runs blocks of {self.block_size} frames for all its clients ({', '.join(others)}); "
                f"leave --block out, or end them"
            )
        with suppress(library().JackError):
            self._client.blocksize = frames
        if self._client.blocksize != frames:
            raise OSError(f"the JACK server cannot run blocks of {frames} frames; leave --block out for its own")

    @property
    def others(self) -> list[str]:
        """Clients beside us and the hardware, which our block size would concern."""
        if is_pipewire():
            return []
        names = {port.name.rpartition(":")[0] for port in self._client.get_ports() if not port.is_physical}
        return sorted(names - {self._client.name})

    @property
    def block_size(self) -> int:
        return int(self._client.blocksize)

    @property
    def realtime(self) -> bool | None:
        """Whether the server's clients run with real-time priority."""
        return bool(self._client.realtime)

    @property
    def name(self) -> str:
        """How the server calls us."""
        return str(self._client.name)

    def attach(self, mixer: _engine.Mixer, inputs: int, outputs: int) -> None:
        """Register so many ports, and the callback."""
        jack = library()
        lib, ffi = jack._lib, jack._ffi
        self._inputs = [self._client.inports.register(f"in_{c + 1}") for c in range(inputs)]
        self._outputs = [self._client.outports.register(f"out_{c + 1}") for c in range(outputs)]

        def number(pointer: Any) -> int:
            return int(ffi.cast("uintptr_t", pointer))

        ours = _engine.JackCallback(
            mixer,
            number(ffi.addressof(lib, "jack_port_get_buffer")),
            [number(p._ptr) for p in self._inputs],
            [number(p._ptr) for p in self._outputs],
        )
        user = ffi.cast("void *", ours.user)
        lib.jack_set_process_callback(self._client._ptr, ffi.cast("JackProcessCallback", ours.entry()), user)
        lib.jack_set_xrun_callback(self._client._ptr, ffi.cast("JackXRunCallback", ours.xrun_entry()), user)
        # Not in Python: libjack ends the thread that calls this, wherever that is.
        lib.jack_on_info_shutdown(self._client._ptr, ffi.cast("JackInfoShutdownCallback", ours.gone_entry()), user)
        self._callback = ours

    def start(self) -> None:
        jack = library()
        try:
            self._client.activate()
            self._connect(self._ports(self.input, True), self._inputs, True)
            self._connect(self._ports(self.output, False), self._outputs, False)
        except jack.JackError as error:
            raise OSError(f"the JACK server refuses: {error}; it may just be going away") from None
        end = time.monotonic() + LATENCY_S
        while min(self.latency_frames) == 0.0 and time.monotonic() < end:
            time.sleep(0.01)

    def _ports(self, device: Device, sources: bool) -> list[Any]:
        """The ports of a device: where sound comes from, or where it goes."""
        found = self._client.get_ports(is_audio=True, is_output=sources, is_input=not sources)
        return [p for p in found if p.name.rpartition(":")[0] == device.name]

    def _connect(self, theirs: Sequence[Any], ours: Sequence[Any], hear: bool) -> None:
        for a, b in zip(theirs, ours, strict=False):
            self._client.connect(*((a, b) if hear else (b, a)))

    @property
    def server_is_gone(self) -> bool:
        """Whether libjack has said so."""
        return self._callback is not None and bool(self._callback.gone)

    @property
    def lost(self) -> str | None:
        if self.server_is_gone:
            return "the JACK server is gone"
        count, now = self._callback.load["callbacks"], time.monotonic()
        if count != self._seen:
            self._seen, self._seen_at = count, now
        waits = max(SILENT_CALLBACKS_S, 10 * self.block_size / self.sample_rate)
        return "the JACK server calls no more" if now - self._seen_at > waits else None

    @property
    def load(self) -> dict[str, Any]:
        return dict(self._callback.load)

    drift_ppm = None  # one server, one clock

    @property
    def latency_frames(self) -> tuple[float, float]:
        """From the hardware to our inputs, and from our outputs to the hardware, as the server reports them."""
        if self.server_is_gone:
            return 0.0, 0.0
        there = [_latency(p, capture=True) for p in self._inputs]
        back = [_latency(p, capture=False) for p in self._outputs]
        return float(max(there, default=0)), float(max(back, default=0))

    def close(self) -> bool:
        """Leave the server; never hangs, also when it is gone. False where it may still call."""
        if self._closed:
            return True
        self._closed = True
        done = within(PATIENCE_S, self.leave)
        if not done:
            _left_behind.append(self)
        return done

    def leave(self) -> None:
        """The same, for as long as libjack needs."""
        client = self._client
        with libjack.one_at_a_time:
            if self._left:
                return
            self._left = True
            if not self.server_is_gone:
                client.deactivate()
                if client.blocksize != self._own_block and not self.others:
                    client.blocksize = self._own_block
            client.close()


_left_behind: list[JackHost] = []
