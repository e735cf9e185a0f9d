"""A real JACK server with its dummy driver, for tests, and a client beside twinrack's that plays into it and hears it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

RATE, BLOCK = 48000, 64

needs_jack = pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed (Debian: jackd2)")


def may_be_real_time() -> bool:
    return subprocess.run(["chrt", "-f", "50", "true"], capture_output=True).returncode == 0


class JackServer:
    """A server of our own, under a name nobody else uses."""

    def __init__(self) -> None:
        self.name = f"twinrack-{uuid.uuid4().hex[:8]}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, rate: int = RATE, block: int = BLOCK) -> None:
        """Start it and wait until it answers."""
        priority = ["-R", "-P", "60"] if may_be_real_time() else ["-r"]
        command = ["jackd", "-n", self.name, *priority, "-d", "dummy", "-r", str(rate), "-p", str(block)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            # From another process: libjack keeps one server's memory for a process, and streams here may still hold the last.
            if subprocess.run(["jack_lsp", "-s", self.name], capture_output=True).returncode == 0:
                return
            time.sleep(0.02)
        self.process.kill()
        pytest.fail("jackd did not start")

    def kill(self) -> None:
        """As when it crashes."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it in order. One that was killed is started once more for that: JACK knows only 8 servers, dead ones too."""
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.start()
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def jack_server(rate: int = RATE, block: int = BLOCK) -> Iterator[JackServer]:
    """A running server that clients find without being told its name."""
    server = JackServer()
    before = {name: os.environ.get(name) for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")}
    os.environ["JACK_DEFAULT_SERVER"], os.environ["JACK_NO_START_SERVER"] = server.name, "1"
    try:
        server.start(rate, block)
        yield server
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class Take:
    """One signal that is played and what is heard meanwhile, (channels, frames) each."""

    signal: np.ndarray
    heard: np.ndarray
    played: int = 0
    recorded: int = 0
    done: threading.Event = field(default_factory=threading.Event)


class Probe:
    """A JACK client beside twinrack's: plays a signal into its inputs and records its outputs, frame by frame."""

    def __init__(self, server: str, channels: int, frames: int) -> None:
        import jack

        self.client = jack.Client("probe", no_start_server=True, servername=server)
        self.sends = [self.client.outports.register(f"send_{c}") for c in range(channels)]
        self.hears = [self.client.inports.register(f"hear_{c}") for c in range(channels)]
        self.frames = frames
        self.take = Take(np.zeros((channels, 0), np.float32), np.zeros((channels, frames), np.float32))
        self.client.set_process_callback(self._process)
        self.client.activate()
        streams = [p for p in self.client.get_ports(is_audio=True) if p.name.startswith("twinrack")]
        for port, ours in zip([p for p in streams if p.is_input], self.sends, strict=True):
            self.client.connect(ours, port)
        for port, ours in zip([p for p in streams if p.is_output], self.hears, strict=True):
            self.client.connect(port, ours)

    def _process(self, frames: int) -> None:
        take = self.take  # once: `begin` may put another in its place meanwhile
        for c, port in enumerate(self.sends):
            part = take.signal[c, take.played : take.played + frames]
            out = port.get_array()
            out[:] = 0
            out[: len(part)] = part
        room = min(frames, take.heard.shape[1] - take.recorded)
        for c, port in enumerate(self.hears):
            take.heard[c, take.recorded : take.recorded + room] = port.get_array()[:room]
        take.played += frames
        take.recorded += room
        if room < frames:
            take.done.set()

    def begin(self, signal: np.ndarray) -> Take:
        """Play `signal` from the server's next call on, and record."""
        self.take = Take(signal, np.zeros((len(self.hears), self.frames), np.float32))
        return self.take

    def play(self, signal: np.ndarray) -> np.ndarray:
        """What was heard while `signal` was played. Freewheeling: the server waits for every client, so nothing is late."""
        self.client.set_freewheel(True)
        take = self.begin(signal)
        assert take.done.wait(60), "the server stopped calling"
        self.client.set_freewheel(False)
        return take.heard

    def close(self) -> None:
        self.client.deactivate()
        self.client.close()
