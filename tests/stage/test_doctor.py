"""What the doctor says, and the round trip measured over a loop of known length."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from jack_support import BLOCK, RATE, jack_server, needs_jack
from twinrack.stage.doctor import examine
from twinrack.stage.probe import round_trip

pytestmark = needs_jack


class Loop:
    """A JACK client that sends back what it hears, so many frames later, as a cable between two converters does."""

    def __init__(self, server: str, delay: int) -> None:
        import jack

        self.client = jack.Client("cable", no_start_server=True, servername=server)
        self.source, self.back = self.client.inports.register("from"), self.client.outports.register("to")
        self.line = np.zeros(delay, np.float32)
        self.client.set_process_callback(self._process)
        self.client.activate()

    def _process(self, frames: int) -> None:
        both = np.concatenate([self.line, self.source.get_array()])
        self.back.get_array()[:] = 0.5 * both[:frames]
        self.line = both[frames:]

    def connect(self, name: str) -> None:
        self.client.connect(f"{name}:out_1", self.source)
        self.client.connect(self.back, f"{name}:in_1")

    def close(self) -> None:
        self.client.deactivate()
        self.client.close()


def test_a_round_trip_of_known_length_is_measured(monkeypatch):
    """JACK gives back what a client sends in a loop one block later; the cable adds its own frames."""
    from twinrack.stage.stream import LiveStream

    delay = 500
    with jack_server() as server:
        loop = Loop(server.name, delay)
        start = LiveStream.start

        def start_and_connect(self, record=None):
            start(self, record)
            loop.connect(self.host.name)

        monkeypatch.setattr(LiveStream, "start", start_and_connect)
        try:
            for _ in range(5):  # the cable is Python, which may miss a block on a busy machine
                found = round_trip(block_size=BLOCK)
                if abs(found.frames - delay - BLOCK) < 0.1:
                    break
        finally:
            loop.close()
        print(found)
        assert found.frames == pytest.approx(delay + BLOCK, abs=0.1)
        assert found.sample_rate == RATE
        monkeypatch.undo()
        with pytest.raises(OSError, match="connect output 1 of system to input 1 of system"):
            round_trip(block_size=BLOCK)


def test_the_doctor_says_what_it_finds():
    environment = {**os.environ, "JACK_DEFAULT_SERVER": "nobody-is-here", "JACK_NO_START_SERVER": "1"}
    command = [sys.executable, "-m", "twinrack", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert "Traceback" not in done.stderr
    assert "no server runs" in done.stdout
    assert "vectors" in done.stdout
    with jack_server(48000, 512):
        found = {f.what: f for f in examine()}
    assert "runs at 48000 Hz with blocks of 512 frames" in found["JACK"].words
    assert "10.7 ms" in found["JACK's block"].words
    assert found["devices"].how == "good"
    assert {"kernel", "locked memory", "real-time priority", "console, MIDI, OSC"} <= set(found)
    assert all(f.fix for f in found.values() if f.how != "good")
