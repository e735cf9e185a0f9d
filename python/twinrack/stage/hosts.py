"""Audio hosts: the devices of JACK and PortAudio in one list, and the client or stream that is opened on them."""

from __future__ import annotations

import time

from . import jack_server, portaudio
from .device import JACK, Device

BLOCKS = (32, 64, 128, 256, 512, 1024)  # what `block_size=None` tries
TRIAL_S, TRIAL_LOAD = 0.4, 0.7
Host = jack_server.JackHost | portaudio.PortAudioHost


def devices() -> list[Device]:
    """All audio devices there are now; `index` is the number by which one is chosen.

    Raises:
        OSError: neither PortAudio nor JACK is installed.
    """
    all_devices: list[Device] = []
    refusals: list[OSError] = []
    for host in (jack_server, portaudio):
        try:
            all_devices += host.find()
        except OSError as error:
            refusals.append(error)
    if refusals and not all_devices:
        raise refusals[-1]
    return [Device(**{**vars(device), "index": i}) for i, device in enumerate(all_devices)]


def _with_native_number(device: Device) -> Device:
    """The device with the number that PortAudio knows it by now."""
    alike = [d for d in portaudio.find() if (d.name, d.host_api) == (device.name, device.host_api)]
    if not alike:
        raise OSError(f"{device.name} is gone; see `twinrack devices`")
    return min(alike, key=lambda d: d.native != device.native)


def open_host(input: Device, output: Device, block_size: int | None, sample_rate: float | None, name: str) -> Host:
    """Open two devices of one host.

    Args:
        input, output: the devices; both of JACK, or neither.
        block_size: frames; None leaves it to the JACK server, and is 64 elsewhere.
        sample_rate: Hz; None is the output's.
        name: how a JACK server calls the client.

    Raises:
        OSError: a device is gone, busy, or cannot do this.
    """
    if (input.host_api == JACK) != (output.host_api == JACK):
        raise OSError(
            f"{input.name} ({input.host_api}) and {output.name} ({output.host_api}) cannot be joined; "
            "take both from JACK, or none"
        )
    if output.host_api == JACK:
        return jack_server.JackHost(input, output, block_size, sample_rate, name)
    return portaudio.PortAudioHost(_with_native_number(input), _with_native_number(output), block_size or 64, sample_rate)


def runs_in_time(host: Host) -> bool:
    """Whether a host that was just started calls without an overrun or a dropout, with time to spare; takes half a second."""
    time.sleep(0.1)
    before = host.load
    time.sleep(TRIAL_S)
    load = host.load
    callbacks = load["callbacks"] - before["callbacks"]
    missed = load["flagged"] - before["flagged"] + load["late"] - before["late"]
    return bool(callbacks and not missed and (load["sum"] - before["sum"]) / callbacks < TRIAL_LOAD)


class CallCounts:
    """Callbacks, frames, overruns and dropouts of a stream since its start, over all the hosts that it had."""

    def __init__(self) -> None:
        self._past = {"callbacks": 0, "frames": 0, "late": 0, "flagged": 0}
        self._host: Host | None = None

    def follow(self, host: Host) -> None:
        """Count the callbacks of a host from now on."""
        self._host = host

    def end(self) -> None:
        """Keep the counts of the present host, which is about to close."""
        if self._host is not None:
            load, self._host = self._host.load, None
            for key in self._past:
                self._past[key] += load[key]

    def __getitem__(self, key: str) -> int:
        return self._past[key] + (0 if self._host is None else int(self._host.load[key]))
