"""Audio devices, and the choice of one by number or name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..checks import brief, is_integer

JACK = "JACK"
NO_DEVICE = "there is no audio device; plug one in, or start a server such as JACK (jackd -d dummy needs no hardware)"


@dataclass(frozen=True)
class Device:
    """An audio device, or the part of an audio server that stands for one.

    `index` is the number by which it is chosen. A JACK client with audio ports is a device of the host API "JACK".
    """

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    sample_rate: float
    latency_ms: float
    default: bool = False
    native: int = -1  # the number by which PortAudio knows it

    def __str__(self) -> str:
        return f"{self.index:>3}  {self.name} ({self.host_api}): {self.inputs} in, {self.outputs} out, {self.sample_rate:g} Hz"


def without_repeats(available: Sequence[Device]) -> list[Device]:
    """The devices with a JACK server listed once, and not through PortAudio once more."""
    ours = any(device.host_api == JACK for device in available)
    return [device for device in available if not (ours and device.host_api.startswith("JACK Audio"))]


def choose(available: Sequence[Device], wanted: int | str | None, direction: str) -> Device:
    """The device that is meant: by number, by (part of the) name, or the system's; JACK before others where it runs.

    Raises:
        OSError: there is no such device; names those that there are.
    """
    if not available:
        raise OSError(NO_DEVICE)
    count = "inputs" if direction == "input" else "outputs"
    fitting = [d for d in available if getattr(d, count) > 0]
    if is_integer(wanted) or (isinstance(wanted, str) and wanted.isdigit()):
        for device in available:
            if device.index == int(wanted):
                if device not in fitting:
                    raise OSError(f"device {device.index} ({device.name}) has no {count}; see `twinrack devices`")
                return device
        raise OSError(f"there is no device {brief(wanted)}; there are {', '.join(str(d.index) for d in available)}")
    if wanted is not None and not isinstance(wanted, str):
        raise ValueError(f"{direction} = {brief(wanted)} is neither a device's number nor a part of its name")
    if wanted is not None:
        matches = [d for d in fitting if wanted.lower() in f"{d.name} ({d.host_api})".lower()]
        if matches:
            return matches[0]
        near = get_close_matches(wanted, [d.name for d in fitting], 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "; see `twinrack devices`"
        raise OSError(f"no {direction} device is called {brief(wanted)}{hint}")
    for fits in (lambda d: d.host_api == JACK, lambda d: d.default, lambda d: True):
        for device in fitting:
            if fits(device):
                return device
    raise OSError(f"no device has {count}; see `twinrack devices`")
