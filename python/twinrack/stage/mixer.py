"""The mixer of a live stream: the lines that sound, the protection of ears, and the requests to the audio thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .. import _engine
from ..rack.running import Meter
from .line import Line, Safety
from .playback import Play, read_recordings

LISTEN: tuple[str, ...] = _engine.LISTEN
RequestListener = Callable[[int, _engine.MixerControl, int, float], None]


def make_mixer(lines: Iterable[Line], inputs: int, outputs: int, sample_rate: float, first_frame: int = 0) -> _engine.Mixer:
    """The engine's mixer of lines whose racks have been prepared, with the device's numbers of channels."""
    routed = []
    for line in lines:
        keys = [[k - 1 for k in key] for key in line.keys]
        inputs_from_0, outputs_from_0 = [n - 1 for n in line.inputs or ()], [n - 1 for n in line.outputs or ()]
        routed.append((line.rack.running.engine, inputs_from_0, keys, outputs_from_0))
    return _engine.Mixer(routed, inputs, outputs, sample_rate, first_frame)


def first_requests(lines: Iterable[Line], safety: Safety) -> Iterator[tuple[_engine.MixerControl, int, float]]:
    """The controls that a new mixer is sent first: its safety, and the level of each line."""
    for control, value in safety.requests():
        yield control, 0, value
    for index, line in enumerate(lines):
        yield _engine.MixerControl.level, index, line.gain


class LiveMixer:
    """The mixer of a live stream; its engine is built anew when a device returns with another sample rate.

    Args:
        lines: racks with inputs and outputs that are filled in.
        safety: what protects ears.
        play: recordings in place of the input.

    Attributes:
        lines: by name.
        inputs, outputs: channels of the device that the lines use.
        engine: the engine's mixer; set by `build`.
        request_listeners: called with each request: its number, the control, the index of the line, the value.
        replaced_listeners: called when `engine` is another one.
    """

    def __init__(self, lines: Mapping[str, Line], safety: Safety, play: Play | None) -> None:
        self.lines = dict(lines)
        used = [n for line in self.lines.values() for n in [*(line.inputs or ()), *(k for key in line.keys for k in key)]]
        self.inputs = max(used, default=0)
        self.outputs = max((n for line in self.lines.values() for n in line.outputs or ()), default=0)
        self.safety = safety
        self.engine: _engine.Mixer
        self.request_listeners: list[RequestListener] = []
        self.replaced_listeners: list[Callable[[], None]] = []
        self._play, self._listen, self._has_target = play, "rack", False
        self._paused = False

    def build(self, sample_rate: float) -> None:
        """Engines and mixer at a rate in Hz. What the racks hold, they keep; where one refuses, all stay as they are.

        Raises:
            ValueError: a rack, or a recording that is played, is for another rate.
        """
        recordings = None if self._play is None else read_recordings(self._play, sample_rate)
        for line in self.lines.values():
            line.rack.running.check_format(sample_rate, len(line.inputs or ()))
        for line in self.lines.values():
            line.rack.running.begin(sample_rate, len(line.inputs or ()))
        self.engine = make_mixer(self.lines.values(), self.inputs, self.outputs, sample_rate)
        if recordings is not None:
            self._has_target = recordings[1].shape[0] > 0
            self.engine.play(*recordings)
        self._send_controls()
        for listener in tuple(self.replaced_listeners):
            listener()

    def _send_controls(self) -> None:
        """Send every control to a mixer that is new, or whose device was lost."""
        for control, index, value in first_requests(self.lines.values(), self.safety):
            self.engine.set_control(control, index, value)
        self.engine.set_control(_engine.MixerControl.listen, LISTEN.index(self._listen), 1.0)

    def set_control(self, control: _engine.MixerControl, index: int, value: float) -> int:
        """Send a control to the audio thread; the number of the request, 0 while the device is lost.

        Raises:
            RuntimeError: 1024 requests wait already.
        """
        if self._paused:
            return 0  # every control is sent again when the device returns
        number = self.engine.set_control(control, index, value)
        if not number:
            raise RuntimeError("1024 requests wait because the device does not call; is it lost?")
        for listener in tuple(self.request_listeners):
            listener(number, control, index, value)
        return int(number)

    def pause(self, on: bool) -> None:
        """While the device is lost, send nothing where nobody reads; afterwards send everything."""
        self._paused = on
        for line in self.lines.values():
            line.rack.running.pause(on)
        if not on:
            self._send_controls()

    def set_level(self, line: str, level_db: float | None, mute: bool | None) -> None:
        """See `LiveStream.level`."""
        if line not in self.lines:
            raise ValueError(f"there is no line {line!r}; there are: {', '.join(self.lines)}")
        changed = self.lines[line]
        if level_db is not None:
            changed.check_level(level_db)
            changed.level_db = float(level_db)
        if mute is not None:
            changed.mute = bool(mute)
        self.set_control(_engine.MixerControl.level, list(self.lines).index(line), changed.gain)

    def protect(self, changes: Mapping[str, Any]) -> None:
        """See `LiveStream.protect`."""
        self.safety = Safety(**{**vars(self.safety), **changes})
        for control, value in self.safety.requests():
            self.set_control(control, 0, value)

    @property
    def plays(self) -> bool:
        """Whether recordings take the place of the input."""
        return self._play is not None

    @property
    def listens(self) -> tuple[str, ...]:
        """The names that `listen` may have; nothing where no recording plays."""
        return () if not self.plays else tuple(LISTEN) if self._has_target else tuple(LISTEN[:2])

    @property
    def listen(self) -> str:
        """See `LiveStream.listen`."""
        return self._listen

    @listen.setter
    def listen(self, to: str) -> None:
        if not self.plays:
            raise ValueError("the stream plays no recordings; open it with play=(dry, target)")
        if to not in self.listens:
            raise ValueError(f"listen = {to!r} is none of {', '.join(self.listens)}")
        self.set_control(_engine.MixerControl.listen, LISTEN.index(to), 1.0)
        self._listen = to

    def meters(self) -> dict[str, Meter]:
        """Levels of every effect since the last call, by address; with several lines after "line/"."""
        if len(self.lines) == 1:
            return next(iter(self.lines.values())).rack.running.meters()
        return {f"{name}/{a}": m for name, line in self.lines.items() for a, m in line.rack.running.meters().items()}

    def latencies_ms(self, sample_rate: float) -> dict[str, float]:
        """Milliseconds that each effect of the slowest line holds the sound back; what stands in parallel counts as its
        slowest branch."""
        ms = 1000.0 / sample_rate
        slowest = max(self.lines.values(), key=lambda line: line.rack.latency_frames)
        total = slowest.rack.latency_frames * ms
        effects = {address: frames * ms for address, frames in slowest.rack.running.latencies.items() if frames}
        return {f"rack {slowest.name}": total} if sum(effects.values()) > total + 1e-9 else effects
