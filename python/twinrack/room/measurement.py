"""A room measured live: a sweep out of each loudspeaker, one after the other, into one microphone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _engine
from ..audio import Audio
from ..checks import check_integer, check_number
from ..measure.impulse import rt60
from ..rack.rack import Rack
from ..resources.response import Response
from ..stage.line import Line, Safety
from ..stage.stream import LiveStream
from .sweep import Sweep, begun, deconvolved

BEFORE_S = 1.0  # of silence, in which the noise of the room is measured
WAY_S = 0.5  # that the sound may take through the devices and the air
FULL = 0.999  # sample, from which a microphone is overdriven
LEAST_ABOVE_NOISE_DB = 10.0
POLL_S, LATE_S = 0.1, 10.0


@dataclass(frozen=True)
class MeasuredRoom:
    """The result of `measure`.

    Attributes:
        response: a channel for each loudspeaker, together from 2 ms before the first direct sound on.
        above_noise_db: how far each sweep stood above the noise of the room; 40 is good.
        peak_db: of the microphone, dBFS.
    """

    response: Response
    above_noise_db: tuple[float, ...]
    peak_db: float

    def __str__(self) -> str:
        rate, noise = self.response.sample_rate, ", ".join(f"{db:.0f}" for db in self.above_noise_db)
        decays = ", ".join(f"{rt60(row, rate, -5.0, -25.0):.2f}" for row in self.response.samples).replace("nan", "unknown")
        return (
            f"loudspeakers: {self.response.channels}, {self.response.seconds:.2f} s at {rate:g} Hz; the microphone reached "
            f"{self.peak_db:.1f} dBFS, the sweeps {noise} dB above the noise; reverberation time {decays} s"
        )


def measure(
    speakers: Sequence[int] = (1, 2),
    microphone: int = 1,
    *,
    seconds: float = 1.0,
    sweep_s: float = 6.0,
    level_db: float = -20.0,
    **device: Any,
) -> MeasuredRoom:
    """Measure the impulse responses from loudspeakers to a microphone.

    Plays a sweep out of each, one after the other, after a second of silence. Turn the volume up so far that it is as loud as
    speech, and never look into a tweeter: the sweep goes up to 23 kHz.

    Args:
        speakers: numbers of the device's outputs, from 1.
        microphone: number of the device's input, from 1.
        seconds: length of the responses, 0.01 to 30; longer than the room rings.
        sweep_s: 0.5 to 60.
        level_db: peak of the sweep in dBFS, at most 0.
        device: input, output, block_size, sample_rate and name, as for `tr.live`.

    Raises:
        OSError: no device, nothing or only noise comes in, the microphone is overdriven, or sound was lost on the way.
        ValueError: values outside these ranges.
    """
    outputs = [check_integer(n, "speakers", 1) for n in (speakers if isinstance(speakers, Sequence) else [speakers])]
    if not outputs or len(set(outputs)) < len(outputs):
        raise ValueError("speakers names each output of the device once, such as [1, 2]")
    check_integer(microphone, "microphone", 1)
    check_number(seconds, "seconds", 0.01, 30.0)
    sweep = Sweep(48000.0, sweep_s, level_db)  # refuses now what it would refuse later
    safety = Safety(howl_duck=False)  # which would take the sweep for one

    def line() -> Line:
        return Line(Rack([]), "room", [microphone] * len(outputs), outputs)

    rate = _rate_of(line(), safety, device)
    sweep = Sweep(rate, sweep_s, level_db)
    silence, after = np.zeros(round(BEFORE_S * rate)), np.zeros(round((seconds + WAY_S) * rate))
    sound = np.zeros((len(outputs), len(silence) + len(outputs) * (len(sweep.samples) + len(after))), np.float32)
    for i in range(len(outputs)):
        begin = len(silence) + i * (len(sweep.samples) + len(after))
        sound[i, begin : begin + len(sweep.samples)] = sweep.samples
    with LiveStream([line()], play=sound, safety=safety, **{**device, "sample_rate": rate}) as stream:
        both = _recorded(stream, sound.shape[1])
        first_output = stream.mixer.inputs
    received = both[:, microphone - 1]
    return _read(received, [both[:, first_output + n - 1] for n in outputs], sweep, seconds)


def _rate_of(line: Line, safety: Safety, device: dict[str, Any]) -> float:
    """The rate at which the device runs."""
    if device.get("sample_rate") is not None:
        return float(device["sample_rate"])
    stream = LiveStream([line], safety=safety, **device)
    try:
        return stream.sample_rate
    finally:
        stream.stop()


def _recorded(stream: LiveStream, frames: int) -> Audio:
    """All that comes in and goes out, (frames, channels), from now until the sound has been played."""
    mixer = stream.mixer.engine
    mixer.record_into(round(frames / stream.sample_rate + LATE_S))
    stream.set_control(_engine.MixerControl.record, 0, 1.0)
    wanted = frames + stream.block_size
    pieces: list[Audio] = []
    deadline = time.monotonic() + wanted / stream.sample_rate + LATE_S
    count = 0
    while count < wanted:
        time.sleep(POLL_S)
        pieces.append(mixer.read_record(round(LATE_S * stream.sample_rate)))
        count += len(pieces[-1])
        if time.monotonic() > deadline:
            raise OSError(f"{stream.output.name} does not call often enough; see `twinrack doctor`")
    if mixer.lost_record:
        raise OSError("sound was lost between the device and this program; close other programs and measure again")
    return np.concatenate(pieces)


def _read(received: Audio, sent: Sequence[Audio], sweep: Sweep, seconds: float) -> MeasuredRoom:
    """The responses from what was sent to each loudspeaker, (frames,), and what came in."""
    rate, length = sweep.sample_rate, len(sweep.samples)
    begins = [int(np.argmax(s != 0.0)) for s in sent]
    peak = float(np.abs(received).max())
    if peak == 0.0:
        raise OSError("nothing came in: connect the microphone, choose its input, or raise its gain")
    if peak >= FULL:
        raise OSError("the microphone is overdriven; lower its gain or the volume of the loudspeakers, and measure again")
    # The last half second before the sweep, after the stream has faded in.
    quiet = received[max(min(begins) - round(0.5 * BEFORE_S * rate), 0) : min(begins)]
    noise = float(np.mean(quiet.astype(np.float64) ** 2)) if len(quiet) else 0.0
    rows, above = [], []
    for number, (begin, x) in enumerate(zip(begins, sent, strict=True), start=1):
        y = received[begin : begin + length + round((seconds + WAY_S) * rate)]
        power = float(np.mean(y[:length].astype(np.float64) ** 2))
        above.append(10.0 * np.log10(max(power, 1e-30) / max(noise, 1e-30)) if noise > 0.0 else 99.0)
        if above[-1] < LEAST_ABOVE_NOISE_DB:
            raise OSError(
                f"the sweep of loudspeaker {number} is only {above[-1]:.0f} dB above the noise; turn it up, or check the output"
            )
        rows.append(deconvolved(x[begin : begin + length], y[None], rate)[0])
    frames = min(len(row) for row in rows)
    try:
        h = begun(np.stack([row[:frames] for row in rows]), rate, seconds)
    except ValueError:
        raise OSError("the sweep did not come back clearly; look at cables and the choice of the microphone") from None
    return MeasuredRoom(
        Response(h, rate, "measured with a sweep"), tuple(min(db, 99.0) for db in above), float(20.0 * np.log10(peak))
    )
