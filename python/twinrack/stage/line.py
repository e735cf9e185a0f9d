"""Lines of a live stream, each a rack with inputs and outputs, and the protection of ears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .. import _engine
from ..checks import brief, is_integer, to_float
from ..rack.rack import Rack

LOWEST_DB, HIGHEST_DB = -100.0, 24.0


@dataclass
class Line:
    """One of several racks of a live stream.

    Args:
        rack: what its inputs go through; it has as many channels as `inputs` and `outputs`.
        name: how it is addressed; letters, digits and underscores. Without, the rack's name where that can be one.
        inputs: numbers of the device's inputs, from 1, one for each channel, 0 for silence; [1, 1] brings a microphone to
            both sides. Without, as many as the stream has channels, the last one for those that the device lacks.
        outputs: numbers of the device's outputs, from 1, one for each channel; 0 for a channel that is not heard.
        level_db: -100 to 24 dB; -100 is silence.
        mute: True is silence; the change fades over 10 ms.
        sidechain: for every sidechain that the rack listens to, the inputs it hears.
    """

    rack: Rack
    name: str = ""
    inputs: Sequence[int] | None = None
    outputs: Sequence[int] | None = None
    level_db: float = 0.0
    mute: bool = False
    sidechain: Mapping[str, int | Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            self.name = self.rack.name if self.rack.name.isidentifier() else "rack"
        if not self.name.isidentifier():
            raise ValueError(f"line name {brief(self.name)} cannot be addressed; use letters, digits and underscores")
        self.check_level(self.level_db)
        for name in self.sidechain:
            if name not in self.rack.sidechains:
                names = ", ".join(self.rack.sidechains) or "none"
                raise ValueError(
                    f"line {brief(self.name)}: the rack listens to no sidechain {brief(name)}; it listens to: {names}"
                )
        for name in self.rack.sidechains:
            if name not in self.sidechain:
                raise ValueError(
                    f"line {brief(self.name)}: the rack listens to sidechain {brief(name)}; say which input that is: "
                    f"sidechain={{{brief(name)}: 2}}"
                )

    def check_level(self, level_db: float) -> None:
        if not LOWEST_DB <= level_db <= HIGHEST_DB:
            raise ValueError(f"level_db = {level_db:g} of line {brief(self.name)} is outside {LOWEST_DB:g} to {HIGHEST_DB:g}")

    @property
    def gain(self) -> float:
        """Of level and mute, linear."""
        return 0.0 if self.mute or self.level_db <= LOWEST_DB else float(10.0 ** (self.level_db / 20.0))

    @property
    def keys(self) -> list[list[int]]:
        """Inputs of the sidechains in the rack's order, from 1."""
        routed = [self.sidechain[name] for name in self.rack.sidechains]
        return [[k] if is_integer(k) else list(k) for k in routed]

    def fill_in(self, channels: int, device_inputs: int, device_outputs: int) -> None:
        """Channels that were not given, and a refusal of those that the devices lack."""
        if self.inputs is None:
            count = channels if self.outputs is None else len(self.outputs)
            self.inputs = [min(c + 1, device_inputs) for c in range(count)]
        if self.outputs is None:
            self.outputs = [c + 1 if c < device_outputs else 0 for c in range(len(self.inputs))]
        if not 1 <= len(self.inputs) <= _engine.MAX_CHANNELS or len(self.inputs) != len(self.outputs):
            raise ValueError(
                f"line {brief(self.name)} has {len(self.inputs)} inputs and {len(self.outputs)} outputs; give equally many, "
                f"1 to {_engine.MAX_CHANNELS}"
            )
        for n in [*self.inputs, *(k for key in self.keys for k in key)]:
            if not is_integer(n) or not 0 <= n <= device_inputs:
                raise ValueError(f"line {brief(self.name)} hears input {brief(n)}; the device has inputs 1 to {device_inputs}")
        for n in self.outputs:
            if not is_integer(n) or not 0 <= n <= device_outputs:
                raise ValueError(
                    f"line {brief(self.name)} goes to output {brief(n)}; the device has outputs 1 to {device_outputs}"
                )


@dataclass
class Safety:
    """The protection of ears and loudspeakers; all of it is on unless switched off by name.

    Args:
        limiter: no output sample above `ceiling_db`. It holds nothing back and leaves what is below exactly as it is.
        ceiling_db: -40 to 0 dBFS.
        mute_on_fault: silence for 0.1 s when an effect puts out NaN or infinity (it is then reset and fades in).
        howl_duck: turns the sound down by 26 dB for 0.3 s when a microphone and a loudspeaker begin to howl.
    """

    limiter: bool = True
    ceiling_db: float = -0.3
    mute_on_fault: bool = True
    howl_duck: bool = True

    def __post_init__(self) -> None:
        ceiling = to_float(self.ceiling_db)
        if ceiling is None or not -40.0 <= ceiling <= 0.0:
            raise ValueError(f"ceiling_db = {brief(self.ceiling_db)} is outside -40 to 0 dBFS")

    def requests(self) -> Iterable[tuple[_engine.MixerControl, float]]:
        control = _engine.MixerControl
        yield control.limiter, float(self.limiter)
        yield control.ceiling, 10.0 ** (self.ceiling_db / 20.0)
        yield control.mute_on_fault, float(self.mute_on_fault)
        yield control.howl_duck, float(self.howl_duck)
