"""Round-trip latency: noise is played, comes back over a cable (or a loop in the server), and is located in the input."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _engine
from ..audio import Audio
from ..rack.rack import Rack
from .stream import LiveStream

LEVEL = 0.25
SECONDS = 1.0
CLEAR = 8.0  # how far the peak of the correlation must stand above everything else


@dataclass(frozen=True)
class RoundTrip:
    """Result of a probe.

    Attributes:
        frames: from output to input, to a fraction of a frame.
        sample_rate: Hz.
        block_size: frames that the server hands over at once.
        reported_frames: what server and driver say about both ways.
        clarity: how far the noise stands above everything else in what came back; above 8 counts.
    """

    frames: float
    sample_rate: float
    block_size: int
    reported_frames: float
    clarity: float

    @property
    def ms(self) -> float:
        """Milliseconds from output to input."""
        return 1000.0 * self.frames / self.sample_rate

    def __str__(self) -> str:
        reported_ms = 1000.0 * self.reported_frames / self.sample_rate
        return (
            f"round trip {self.frames:.1f} frames ({self.ms:.2f} ms) at {self.sample_rate:g} Hz, blocks of {self.block_size}; "
            f"server and driver report {reported_ms:.2f} ms"
        )


def round_trip(**options: Any) -> RoundTrip:
    """Measure the way from the first output back to the first input, which a cable (or the server) must connect.

    Plays noise at -12 dBFS for a second.

    Args:
        options: input, output, block_size, sample_rate and name, as for `tr.live`.

    Raises:
        OSError: the noise does not come back, or not clearly; says what to connect.
    """
    noise = np.random.default_rng(20).uniform(-LEVEL, LEVEL, (1, 1 << 17)).astype(np.float32)
    stream = LiveStream(Rack([], name="probe"), channels=1, play=(noise, None), **options)
    with stream:
        mixer = stream.mixer.engine
        time.sleep(0.3)  # the fade in is over
        mixer.record_into(4)
        stream.set_control(_engine.MixerControl.record, 0, 1.0)
        time.sleep(SECONDS + 0.2)
        stream.set_control(_engine.MixerControl.record, 0, 0.0)
        time.sleep(0.1)
        both: Audio = mixer.read_record(round(4 * stream.sample_rate))
        rate, block = stream.sample_rate, stream.block_size
        reported = sum(stream.host.latency_frames)
        names = stream.output.name, stream.input.name
    received, sent = both[:, 0], both[:, stream.mixer.inputs]
    if len(both) < rate / 2:
        raise OSError(f"{names[0]} does not call; see `twinrack doctor`")
    delay, clarity = _delay(received, sent)
    if clarity < CLEAR:
        raise OSError(
            f"the noise did not come back: connect output 1 of {names[0]} to input 1 of {names[1]} with a cable, or in the "
            "server, and try again"
        )
    return RoundTrip(delay, rate, block, reported, clarity)


def _delay(received: np.ndarray, sent: np.ndarray) -> tuple[float, float]:
    """Frames by which one is later than the other, and how clear that is."""
    length = 1 << int(np.ceil(np.log2(2 * len(sent))))
    spectrum = np.fft.rfft(received, length) * np.conj(np.fft.rfft(sent, length))
    correlation = np.abs(np.fft.irfft(spectrum, length))[: len(sent)]
    peak = int(np.argmax(correlation))
    around = correlation.copy()
    around[max(0, peak - 32) : peak + 33] = 0.0
    clarity = float(correlation[peak] / max(float(np.max(around)), 1e-12))
    between = 0.0
    if 0 < peak < len(correlation) - 1:
        a, b, c = correlation[peak - 1 : peak + 2]
        bend = a - 2 * b + c
        between = 0.0 if bend == 0 else float(0.5 * (a - c) / bend)
    return peak + between, clarity
