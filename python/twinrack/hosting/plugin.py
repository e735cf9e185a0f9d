"""A plugin that is loaded, in a process of its own, and plays sound that it is given."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..audio import Audio, as_planar, check_rate
from ..checks import check_integer
from .catalogue import Listed, find
from .child import HostProcess, PluginError
from .description import Description, Port, description
from .midi import Message, message_text

LARGEST_BLOCK = 65536
LOAD_S = 30.0
Scales = tuple[tuple[int, tuple[str, ...]], ...]


class HostedPlugin:
    """One instance of a plugin of another maker.

    Args:
        plugin: its address, a part of its name that only one has, or the path of its file; or an entry of the list.
        sample_rate: Hz, 8000 to 384000.
        block_frames: 1 to 65536; what it is given at once, at most.
        values: of its controls by symbol: numbers in their units, names of options, True or False.

    Attributes:
        description: what it declares.

    Raises:
        PluginError: it is unknown, cannot be loaded here, or a value is none that it has; one sentence.
        PluginDiedError: it crashed on the way; here nothing else has happened.
    """

    def __init__(
        self, plugin: str | Listed, sample_rate: float, *, block_frames: int = 1024, **values: float | bool | str
    ) -> None:
        listed = find(plugin) if isinstance(plugin, str) else plugin
        if listed.problem:
            raise PluginError(f"{listed.name} cannot be used: {listed.problem}")
        self._rate = check_rate(sample_rate)
        self._block = check_integer(block_frames, "block_frames", 1, LARGEST_BLOCK)
        self._host = HostProcess(listed.name)
        try:
            self.description: Description = description(self._host.json("describe", *listed.place), self._rate)
            self._inputs, self._outputs = (self.description.audio(way) for way in (True, False))
            self._rows = self._host.rows(len(self._inputs) + len(self._outputs), self._block)
            load(self._host, listed, self.description.scales(), self._rate, self._block)
            for symbol, value in values.items():
                self.set(symbol, value)
        except BaseException:
            self.close()
            raise

    @property
    def host(self) -> HostProcess:
        """Its process."""
        return self._host

    def set(self, symbol: str, value: float | bool | str) -> None:
        """Set a control.

        Raises:
            PluginError, ValueError: there is no such control, or the value is outside its range.
        """
        self.put(symbol, self._control(symbol).checked(value, self.description.name))

    def put(self, symbol: str, number: float) -> None:
        """Set a control to a number, also one outside its range: some plugins begin there."""
        self._host.request("set", self._control(symbol).index, f"{number:.9g}")

    def _control(self, symbol: str) -> Port:
        control = self.description.controls.get(symbol)
        if control is None:
            names = ", ".join(self.description.controls)
            raise PluginError(f"{self.description.name} has no control {symbol!r}; there are {names or 'none'}")
        return control

    def values(self) -> dict[str, float]:
        """The present values of all controls, and of those that it gives out, by symbol."""
        every = self._host.json("values")
        return {p.symbol: _number(p, float(every[p.index] or 0.0)) for p in self.description.ports if p.kind == "control"}

    @property
    def latency_frames(self) -> int:
        """The latency that it reports; it may know only once something was played."""
        return int(self._host.request("latency"))

    @property
    def allocations(self) -> int:
        """Calls of malloc and free inside the plugin's `run` so far; one that is fit for live sound has none."""
        return int(self._host.request("allocations"))

    def process(self, x: Audio, sidechain: Audio | None = None) -> Audio:
        """Play a stretch of sound; the next call goes on from there.

        Args:
            x: (channels, frames) or (frames,). Mono goes to every input, more channels one by one; what is left over of
                either is left out.
            sidechain: the same for inputs that are sidechains; silence when not given.

        Returns:
            (outputs, frames), as late as `latency_frames`.
        """
        sound, _ = as_planar(x, "the sound")
        key = as_planar(sidechain, "the sidechain")[0] if sidechain is not None else np.zeros((1, sound.shape[1]), np.float32)
        if key.shape[1] != sound.shape[1]:
            raise ValueError(f"the sidechain has {key.shape[1]} frames, the sound {sound.shape[1]}; make them equal")
        y = np.empty((len(self._outputs), sound.shape[1]), np.float32)
        sources = _sources([p.is_sidechain for p in self._inputs], sound, key)
        for start in range(0, sound.shape[1], self._block):
            frames = min(self._block, sound.shape[1] - start)
            for row, source in enumerate(sources):
                self._rows[row, :frames] = 0.0 if source is None else source[start : start + frames]
            self._host.request("run", frames)
            y[:, start : start + frames] = self._rows[len(self._inputs) :, :frames]
        return y

    def send_midi(self, message: Message) -> None:
        """Let it hear a message with the first frame of what is played next.

        Args:
            message: bytes of a channel message, such as (0x90, 60, 100), or one of mido.
        """
        self._host.request("send", message_text(message))

    def reset(self) -> None:
        """As before the first frame, with the present values."""
        self._host.request("reset")

    def save(self) -> str:
        """The whole state, as text."""
        return self._host.request("save").decode(errors="replace")

    def restore(self, state: str) -> None:
        """Take a state that `save` gave.

        Raises:
            PluginError: it is none of this plugin.
        """
        data = state.encode()
        self._host.request("restore", len(data), payload=data)

    def preset(self, name: str) -> None:
        """Take one of its presets by name.

        Raises:
            PluginError: it has none of this name.
        """
        address = self.description.presets.get(name)
        if address is None:
            known = ", ".join(self.description.presets)
            raise PluginError(f"{self.description.name} has no preset {name!r}; there are {known or 'none'}")
        self._host.request("preset", address)

    def close(self) -> None:
        """End its process."""
        self._host.close()

    def __enter__(self) -> HostedPlugin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(
    host: HostProcess,
    listed: Listed,
    scales: Scales,
    sample_rate: float,
    block_frames: int,
    state: str = "",
    numbers: Iterable[tuple[int, float]] = (),
) -> None:
    """Load a plugin into a process. From then on the numbers of its controls are in their units, there and back.

    Args:
        scales: of its description.
        state: text that it takes first, if any.
        numbers: of its controls, by port, that it takes then.
    """
    host.request("load", *listed.place, f"{sample_rate:.17g}", block_frames, seconds=LOAD_S)
    for port, words in scales:
        host.request("scale", port, *words)
    if data := state.encode():
        host.request("restore", len(data), payload=data, seconds=LOAD_S)
    for port, number in numbers:
        host.request("set", port, f"{number:.9g}")


def _number(control: Port, number: float) -> float:
    return number if control.positions is None else control.positions.rounded(number)


def _sources(are_sidechains: list[bool], sound: Audio, key: Audio) -> list[np.ndarray[tuple[int], np.dtype[np.float32]] | None]:
    """For each input the channel that it hears; None for silence."""
    rows: list[np.ndarray[tuple[int], np.dtype[np.float32]] | None] = []
    counts = {False: 0, True: 0}
    for is_side in are_sidechains:
        given = key if is_side else sound
        at = counts[is_side]
        counts[is_side] += 1
        rows.append(given[0] if given.shape[0] == 1 else given[at] if at < given.shape[0] else None)
    return rows
