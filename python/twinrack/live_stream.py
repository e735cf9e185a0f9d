"""Live: a rack between an audio interface's inputs and outputs. The callback is C++; no Python runs on the audio thread.

PortAudio comes through python-sounddevice; the address of the callback is handed to its stream, as python-rtmixer does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import _engine
from .audio import Audio, as_planar
from .files import read_audio
from .rack import Meter, Rack

FADE_LIMIT_S = 1.0
LISTEN = ("rack", "dry", "target")
Recording = npt.ArrayLike | str | os.PathLike[str]
# Streams that hold a device: PortAudio calls into them until they are stopped, whoever else forgets them.
_open: set[LiveStream] = set()


@dataclass(frozen=True)
class Device:
    """An audio device as PortAudio lists it."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    sample_rate: float
    latency_ms: float

    def __str__(self) -> str:
        return f"{self.index:>3}  {self.name} ({self.host_api}): {self.inputs} in, {self.outputs} out, {self.sample_rate:g} Hz"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the audio libraries from writing to the terminal while they look around; errors are raised, not printed."""
    sys.stderr.flush()
    saved, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)


def _sounddevice() -> Any:
    try:
        with _quiet():
            import sounddevice
    except OSError as error:
        raise OSError(
            f"PortAudio is missing ({error}); install libportaudio2 (Debian, Ubuntu) or portaudio (Homebrew)"
        ) from None
    return sounddevice


def devices() -> list[Device]:
    """All audio devices there are now.

    Raises:
        OSError: PortAudio is not installed.
    """
    sd = _sounddevice()
    with _quiet():  # look again: a server may have started since
        if not _open:  # PortAudio looks anew only when it starts, which would end a stream that runs
            if sd._initialized:
                sd._terminate()
            sd._initialize()
        apis, found = sd.query_hostapis(), sd.query_devices()
    return [
        Device(
            index=i,
            name=d["name"],
            host_api=apis[d["hostapi"]]["name"],
            inputs=d["max_input_channels"],
            outputs=d["max_output_channels"],
            sample_rate=d["default_samplerate"],
            latency_ms=1000 * d["default_low_output_latency"],
        )
        for i, d in enumerate(found)
    ]


def _choose(all_devices: list[Device], wanted: int | str | None, direction: str, sd: Any) -> Device:
    """The device that is meant: by number, by (part of the) name, or the system's; JACK before others where it runs."""
    if not all_devices:
        raise OSError(
            "there is no audio device; plug one in, or start a server such as JACK (jackd -d dummy needs no hardware)"
        )
    count = "inputs" if direction == "input" else "outputs"
    fitting = [d for d in all_devices if getattr(d, count) > 0]
    if isinstance(wanted, int) or (isinstance(wanted, str) and wanted.isdigit()):
        for device in all_devices:
            if device.index == int(wanted):
                if device not in fitting:
                    raise OSError(f"device {device.index} ({device.name}) has no {count}; see `twinrack devices`")
                return device
        raise OSError(f"there is no device {wanted}; there are {', '.join(str(d.index) for d in all_devices)}")
    if wanted is not None and not isinstance(wanted, str):
        raise ValueError(f"{direction} = {wanted!r} is neither a device's number nor a part of its name")
    if wanted is not None:
        matches = [d for d in fitting if wanted.lower() in f"{d.name} {d.host_api}".lower()]
        if matches:
            return matches[0]
        near = get_close_matches(wanted, [d.name for d in fitting], 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "; see `twinrack devices`"
        raise OSError(f"no {direction} device is called {wanted!r}{hint}")
    for device in fitting:
        if device.host_api.startswith("JACK"):
            return device
    default = sd.default.device[0 if direction == "input" else 1]
    for device in fitting:
        if device.index == default:
            return device
    if fitting:
        return fitting[0]
    raise OSError(f"no device has {count}; see `twinrack devices`")


def _recordings(play: tuple[Recording, Recording | None], rate: float) -> tuple[Audio, Audio]:
    """Dry and target, (channels, frames); a target that is None has no channels."""
    if play[0] is None:
        raise ValueError("play has no dry recording; give (dry, target), the target may be None")
    found = []
    for given, what in zip(play, ("dry", "target"), strict=True):
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
        if x.shape[1] == 0 or not np.isfinite(x).all():
            raise ValueError(f"the {what} recording is empty or holds samples that are not finite")
        found.append(np.ascontiguousarray(x, np.float32))
    if len(found) == 2 and found[0].shape[1] != found[1].shape[1]:
        raise ValueError(f"dry has {found[0].shape[1]} frames, target {found[1].shape[1]}; make them equal")
    return found[0], found[1] if len(found) == 2 else np.zeros((0, found[0].shape[1]), np.float32)


class LiveStream:
    """A rack that sounds. Use it in a `with` block, or call `start` and `stop`.

    Attributes:
        rack: change its parameters, bypass and structure while it sounds.
        sample_rate, block_size: what the stream runs at.
        input, output: the devices.
    """

    def __init__(
        self,
        rack: Rack,
        *,
        input: int | str | None = None,
        output: int | str | None = None,
        block_size: int = 64,
        sample_rate: float | None = None,
        channels: int | None = None,
        play: tuple[Recording, Recording | None] | None = None,
    ) -> None:
        if not isinstance(block_size, int) or not 1 <= block_size <= 8192:
            raise ValueError(f"block_size = {block_size!r} is no whole number from 1 to 8192 frames")
        if rack.sidechains:
            raise ValueError(
                f"the rack listens to sidechain {rack.sidechains[0]!r}; live streams have one input: remove the key"
            )
        sd = _sounddevice()
        there = devices()
        self.input = _choose(there, input, "input", sd)
        self.output = _choose(there, output, "output", sd)
        if channels is None:
            channels = max(1, min(self.output.outputs, 2))
        if not isinstance(channels, int) or not 1 <= channels <= _engine.MAX_CHANNELS:
            raise ValueError(f"{channels!r} channels; a whole number from 1 to {_engine.MAX_CHANNELS} is possible")
        self.channels = channels
        self.block_size = block_size
        self.sample_rate = float(sample_rate or self.output.sample_rate)
        self.rack = rack
        rack._not_live("a second live stream")
        inputs, outputs = min(channels, self.input.inputs), min(channels, self.output.outputs)
        rack.prepare(self.sample_rate, channels)
        assert rack._engine is not None
        self._callback = _engine.LiveCallback(rack._engine, inputs, outputs)
        self._listen, self._targets = "rack", False
        if play is not None:
            dry, target = _recordings(play, self.sample_rate)
            self._targets = target.shape[0] > 0
            self._callback.play(dry, target)
        self._plays = play is not None
        ffi = sd._ffi
        try:
            with _quiet():
                self._stream = sd._StreamBase(
                    kind="duplex",
                    samplerate=self.sample_rate,
                    blocksize=block_size,
                    device=(self.input.index, self.output.index),
                    channels=(inputs, outputs),
                    dtype="float32",
                    latency="low",
                    callback=ffi.cast("PaStreamCallback *", _engine.LiveCallback.entry()),
                    userdata=ffi.cast("void *", self._callback.user),
                    wrap_callback=None,
                )
        except sd.PortAudioError as error:
            raise OSError(self._why(str(error))) from None
        rack._live = True
        _open.add(self)

    def _why(self, words: str) -> str:
        where = f"{self.input.name} → {self.output.name}"
        words = words.split(" [")[0].removeprefix("Error opening Stream: ").removeprefix("Error opening _StreamBase: ")
        if "sample rate" in words.lower():
            rates = {self.input.sample_rate, self.output.sample_rate}
            return f"{where} cannot run at {self.sample_rate:g} Hz; use --rate {' or '.join(f'{r:g}' for r in sorted(rates))}"
        return f"{where} cannot be opened: {words}; see `twinrack devices`"

    def start(self) -> None:
        """Begin; the sound fades in over 10 ms."""
        self._callback.fade(True)
        sd = _sounddevice()
        try:
            self._stream.start()
        except sd.PortAudioError as error:
            raise OSError(self._why(str(error))) from None

    def stop(self) -> None:
        """Fade out, then end the stream and free the device."""
        if self not in _open:
            return
        if self._stream.active:
            self._callback.fade(False)
            before, end = self._callback.counters["callbacks"], time.monotonic() + FADE_LIMIT_S
            while not self._callback.silent and time.monotonic() < end:
                time.sleep(0.002)
                if self._callback.counters["callbacks"] == before and time.monotonic() > end - 0.5:
                    break  # the server calls no more
            with _quiet():
                self._stream.stop()
        with _quiet():
            self._stream.close()
        self.rack._live = False
        _open.discard(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

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
        self._callback.listen(LISTEN.index(to))
        self._listen = to

    @property
    def active(self) -> bool:
        """True while the server calls."""
        return bool(self._stream.active)

    @property
    def latency_ms(self) -> float:
        """From input to output: what the server reports, and the rack's own lookahead."""
        there, back = self._stream.latency
        return 1000.0 * (float(there) + float(back) + self.rack.latency_frames / self.sample_rate)

    @property
    def xruns(self) -> int:
        """How often the server said that input was lost or output came too late, since the start."""
        counters = self._callback.counters
        return int(counters["input_overflows"] + counters["output_underflows"])

    @property
    def frames(self) -> int:
        """Frames processed since the start."""
        return int(self._callback.counters["frames"])

    @property
    def cpu_load(self) -> float:
        """Share of the time that the callback uses, 0 to 1, as PortAudio measures it."""
        return float(self._stream.cpu_load)

    def meters(self) -> dict[str, Meter]:
        """Levels of every effect since the last call, by address."""
        return self.rack.meters()


def live(
    rack: Rack,
    *,
    input: int | str | None = None,
    output: int | str | None = None,
    block_size: int = 64,
    sample_rate: float | None = None,
    channels: int | None = None,
    play: tuple[Recording, Recording | None] | None = None,
) -> LiveStream:
    """A live stream of a rack: `with tr.live(rack, block_size=64) as stream: …`

    Args:
        rack: what sounds; it gets a new stream.
        input, output: device by number or part of its name; without, JACK's where it runs, else the system's.
        block_size: frames that the server hands over at once, 1 to 8192.
        sample_rate: Hz; without, the output device's.
        channels: 1 to 16; without, 2 or what the output has.
        play: a dry recording that goes through the rack in a loop in place of the input, and the target that it should sound
            like (or None): files, or (channels, frames) arrays at the stream's rate. `stream.listen` switches between them.

    Raises:
        OSError: PortAudio, the device or the server is not there, or the device cannot do this; one sentence says which.
    """
    return LiveStream(
        rack, input=input, output=output, block_size=block_size, sample_rate=sample_rate, channels=channels, play=play
    )
