"""Small neural networks for the `adapter` and the `controller`: an architecture with its weights.

`twins/networks.py` is the arithmetic in torch, `cpp/dsp/neural/network-inl.h` that in the engine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..audio import check_rate
from ..checks import check_integer, check_numbers, count_nan, is_integer, nan_in
from .architectures import (
    KINDS,
    Activation,
    Architecture,
    Convolution,
    ConvStack,
    Layer,
    LayerArray,
    Recurrent,
    Shape,
    WaveNet,
    Weights,
    drawn,
    rows_kept,
)
from .resource import Resource

MOST_WEIGHTS = 4_000_000
LONGEST = 1 << 20  # frames that it may hear
MOST_NUMBERS = 1 << 24  # that it keeps of its past
MOST_WORK = 2 * 10**10  # products that it takes to start it as after silence


class Network(Resource):
    """A neural network with its weights, at the sample rate that it was trained at.

    Args:
        architecture: what it consists of.
        weights: flat, in the order of `shapes`; without, drawn at random.
        sample_rate: Hz; None where it means the same at every rate (no memory) or is not known.
        source: where it came from, for people.
        seed: of random weights; the last layer's are 0 where `quiet`, so that it begins by giving nothing.

    Raises:
        ValueError: too few or too many weights, NaN or infinity in them; layers that do not fit each other.
    """

    type = "network"

    def __init__(
        self,
        architecture: Architecture,
        weights: npt.ArrayLike | None = None,
        sample_rate: float | None = None,
        source: str = "",
        *,
        seed: int = 0,
        quiet: bool = False,
    ) -> None:
        architecture.check()
        self.architecture = architecture
        self.sample_rate = None if sample_rate is None else check_rate(sample_rate)
        self.source = source
        count = self.parameters
        if (architecture.receptive_field or 0) > LONGEST:
            raise ValueError(f"the network hears {architecture.receptive_field} frames; up to {LONGEST} are possible")
        frames = rows_kept(architecture)
        if frames > MOST_NUMBERS or frames // 8 * count > MOST_WORK:
            raise ValueError(
                f"the network keeps {frames} numbers of its past and has {count} weights, which is too much to keep; "
                "use one with fewer channels, hidden units or layers"
            )
        if count > MOST_WEIGHTS:
            raise ValueError(f"the network has {count} weights; up to {MOST_WEIGHTS} are possible")
        array = (
            drawn(architecture, check_integer(seed, "seed", 0), quiet) if weights is None else check_numbers(weights, "weights")
        )
        if array.shape != (count,):
            raise ValueError(f"the network has {count} weights, {array.size if array.ndim == 1 else array.shape} were given")
        if not np.isfinite(array).all():
            raise ValueError(f"the network has {nan_in(count_nan(array), 'weight')}; train or export it again")
        self._weights: Weights = array
        self._weights.flags.writeable = False

    # --- making one --------------------------------------------------------------------------------------------------

    @classmethod
    def wavenet(
        cls,
        channels: Sequence[int] = (16, 8),
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        kernel: int = 3,
        activation: str = "tanh",
        gated: bool = False,
        sample_rate: float | None = None,
        seed: int = 0,
        quiet: bool = False,
    ) -> Network:
        """A WaveNet: one array of layers for each of `channels`, with these dilations; the default is NAM's "standard".

        Args:
            channels: width of each array.
            dilations: frames between what a layer hears, in each array.
            kernel: how many frames a layer hears.
            activation: see `ACTIVATIONS`.
            gated: multiplies by a sigmoid of as many outputs again.
            sample_rate: Hz, of the recordings that it is for.
            seed, quiet: as for a Network.
        """
        gating: Literal["none", "multiply"] = "multiply" if gated else "none"
        layers = tuple(Layer(kernel, d, Activation(activation), gating, Activation("sigmoid")) for d in dilations)
        channels = tuple(channels)
        following = [*channels[1:], 1]
        arrays = [LayerArray(c, c, n, layers, head_bias=n == 1) for c, n in zip(channels, following, strict=True)]
        return cls(WaveNet(tuple(arrays)), None, sample_rate, seed=seed, quiet=quiet)

    @classmethod
    def lstm(
        cls, hidden: int = 16, layers: int = 1, sample_rate: float | None = None, seed: int = 0, quiet: bool = False
    ) -> Network:
        """Long short-term memory with a state of `hidden` numbers (Hochreiter and Schmidhuber, 1997)."""
        return cls(Recurrent("lstm", hidden, layers), None, sample_rate, seed=seed, quiet=quiet)

    @classmethod
    def gru(
        cls, hidden: int = 16, layers: int = 1, sample_rate: float | None = None, seed: int = 0, quiet: bool = False
    ) -> Network:
        """A gated recurrent unit with a state of `hidden` numbers (Cho et al., 2014; the reset acts after the product)."""
        return cls(Recurrent("gru", hidden, layers), None, sample_rate, seed=seed, quiet=quiet)

    @classmethod
    def mlp(
        cls,
        hidden: Sequence[int] = (16, 16),
        taps: int = 1,
        activation: str = "tanh",
        sample_rate: float | None = None,
        seed: int = 0,
        quiet: bool = False,
    ) -> Network:
        """Dense layers on the last `taps` frames; with 1 it is a curve without memory, the same at every rate."""
        widths = [*hidden, 1]
        befores = [Activation(), *(Activation(activation) for _ in hidden)]
        kernels = [taps, *(1 for _ in hidden)]
        convs = [Convolution(w, k, 1, True, a) for w, k, a in zip(widths, kernels, befores, strict=True)]
        return cls(ConvStack(tuple(convs)), None, sample_rate, seed=seed, quiet=quiet)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, size: float | None = None) -> Network:
        """From a .nam file.

        Args:
            size: which of the capture's sizes, where the file holds several (SlimmableContainer): 0 the smallest and quickest,
                1 or None the largest and best; as in NAM's player the first whose `max_value` is above it.

        Raises:
            FileNotFoundError, ValueError: it is not there, not a .nam file, or uses what this engine does not have.
        """
        from .nam import read

        return read(path, size)

    @classmethod
    def of(cls, given: object) -> Network:
        """From what a user may give: a Network, or the path of a .nam file."""
        if isinstance(given, Network):
            return given
        if isinstance(given, (str, os.PathLike)):
            return cls.read(given)
        raise TypeError("a network is the path of a .nam file or a tr.Network")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a .nam file (WaveNet and LSTM), for other programs that play them; it appears complete or not at all.

        Raises:
            ValueError: a kind that the format does not have.
            OSError: names the path.
        """
        from .nam import write

        write(self, path)

    # --- what it is ----------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """chain, wavenet, lstm or gru."""
        return self.architecture.kind

    @property
    def weights(self) -> Weights:
        """Flat, in the order of `shapes`; not to be written to."""
        return self._weights

    def shapes(self) -> list[tuple[str, Shape]]:
        """Name and shape of each part of `weights`, in order."""
        return list(self.architecture.shapes())

    @property
    def parameters(self) -> int:
        """How many weights."""
        return sum(math.prod(shape) for _, shape in self.architecture.shapes())

    @property
    def receptive_field(self) -> int | None:
        """How many frames of the input an output depends on; None for a recurrent one: there is no limit."""
        return self.architecture.receptive_field

    def describe(self) -> str:
        """Size, memory and latency in one line."""
        frames = self.receptive_field
        if frames is None:
            memory = "remembers without limit"
        elif self.sample_rate is None:
            memory = f"hears {frames} frame{'s' if frames > 1 else ''}"
        else:
            memory = f"hears {frames} frames ({1000 * frames / self.sample_rate:.3g} ms)"
        rate = "any sample rate" if self.sample_rate is None else f"{self.sample_rate:g} Hz"
        return f"{self.kind}, {self.parameters} weights, {memory}, latency 0, {rate}"

    # --- as a resource ---------------------------------------------------------------------------------------------------

    def check(self, address: str, sample_rate: float, channels: int | None) -> None:
        """As `Resource.check`: a network belongs to the rate that it was trained at."""
        if self.sample_rate is not None and self.sample_rate != sample_rate:
            raise ValueError(
                f"the network of {address} was trained at {self.sample_rate:g} Hz and the rack runs at {sample_rate:g} Hz; "
                f"run it at {self.sample_rate:g} Hz"
            )

    def at(self, sample_rate: float) -> Weights:
        """The weights; they are for one rate."""
        return self._weights

    def learned(self, numbers: npt.NDArray[np.float32], sample_rate: float) -> Network:
        """The same with other weights; one that had no rate and remembers something then belongs to this one."""
        if np.array_equal(numbers, self._weights):
            return self
        rate = self.sample_rate if self.receptive_field == 1 else sample_rate
        return Network(self.architecture, numbers, rate, self.source)

    def to_patch(self) -> tuple[dict[str, Any], Weights]:
        """As `Resource.to_patch`."""
        entry = {"sample_rate": self.sample_rate, "source": self.source, "architecture": asdict(self.architecture)}
        return entry, self._weights

    @classmethod
    def from_patch(cls, entry: dict[str, Any], numbers: npt.NDArray[Any]) -> Network:
        """As `Resource.from_patch`."""
        from pydantic import TypeAdapter, ValidationError

        try:
            architecture: Architecture = TypeAdapter(Architecture).validate_json(_json(entry.get("architecture")))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"architecture.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return cls(architecture, numbers, entry.get("sample_rate"), entry.get("source", ""))

    def numbers(self) -> npt.NDArray[np.float32]:
        """Description and weights as the engine reads them: (1, numbers). See cpp/dsp/neural/neural_plan.h."""
        return _numbers(self.architecture, self._weights)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        same = self.architecture == other.architecture and self.sample_rate == other.sample_rate
        return same and np.array_equal(self._weights, other._weights)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Network {self.describe()}>"

    def __reduce__(self) -> Any:
        return Network, (self.architecture, np.array(self._weights), self.sample_rate, self.source)


class Decisions(Resource):
    """The base of networks that hear levels and give numbers: convolutions, for any sample rate."""

    sample_rate = None
    architecture: ConvStack
    _weights: Weights

    def set_up(self, what: str, architecture: ConvStack, weights: npt.ArrayLike | None, seed: int) -> None:
        """Take an architecture and its weights; without, drawn at random, the last layer 0.

        Raises:
            ValueError: a wrong number of weights, or NaN or infinity in them.
        """
        self.architecture = architecture
        count = sum(math.prod(shape) for _, shape in architecture.shapes())
        array = (
            drawn(architecture, check_integer(seed, "seed", 0), True) if weights is None else check_numbers(weights, "weights")
        )
        if array.shape != (count,):
            raise ValueError(f"the {what} has {count} weights, {array.size} were given")
        if not np.isfinite(array).all():
            raise ValueError(f"the {what} has {nan_in(count_nan(array), 'weight')}; train or export it again")
        self._weights = array
        self._weights.flags.writeable = False

    @property
    def weights(self) -> Weights:
        """Flat, in the order of `shapes`; not to be written to."""
        return self._weights

    def shapes(self) -> list[tuple[str, Shape]]:
        """Name and shape of each part of `weights`, in order."""
        return list(self.architecture.shapes())

    def check(self, address: str, sample_rate: float, channels: int | None) -> None:
        """As `Resource.check`: it is for any rate."""

    def at(self, sample_rate: float) -> Weights:
        """The weights."""
        return self._weights

    def numbers(self) -> npt.NDArray[np.float32]:
        """Description and weights as the engine reads them: (1, numbers)."""
        return _numbers(self.architecture, self._weights)


class ControlNetwork(Decisions):
    """The network of a controller: an MLP from levels of the sound to values of other effects.

    Args:
        targets: addresses in the rack of the values that it drives ("compressor.threshold_db").
        hidden: width of each hidden layer (tanh).
        weights: flat, in the order of `shapes`; without, drawn at random, the last layer 0: nothing is moved at first.
        seed: of random weights.

    Raises:
        ValueError: no target, one that is named twice, weights of a wrong number, or NaN or infinity in them.
    """

    type = "control"
    inputs = 6  # levels within 10 and 300 ms, and of four bands

    def __init__(
        self,
        targets: Sequence[str],
        hidden: Sequence[int] = (8,),
        weights: npt.ArrayLike | None = None,
        *,
        seed: int = 0,
        source: str = "",
    ) -> None:
        self.targets = (targets,) if isinstance(targets, str) else tuple(targets)
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError("a controller drives at least one value, and each once; name their addresses in targets")
        widths = [*hidden, len(self.targets)]
        befores = [Activation(), *(Activation("tanh") for _ in hidden)]
        convs = tuple(Convolution(w, 1, 1, True, a) for w, a in zip(widths, befores, strict=True))
        self.source = source
        self.set_up("control network", ConvStack(convs, self.inputs), weights, seed)

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(c.outputs for c in self.architecture.convolutions[:-1])

    @classmethod
    def of(cls, given: object) -> ControlNetwork:
        """A ControlNetwork."""
        if isinstance(given, ControlNetwork):
            return given
        raise TypeError("a controller's network is a tr.ControlNetwork")

    def learned(self, numbers: npt.NDArray[np.float32], sample_rate: float) -> ControlNetwork:
        """The same with other weights."""
        if np.array_equal(numbers, self._weights):
            return self
        return ControlNetwork(self.targets, self.hidden, numbers, source=self.source)

    def to_patch(self) -> tuple[dict[str, Any], Weights]:
        """As `Resource.to_patch`."""
        architecture = {"targets": list(self.targets), "hidden": list(self.hidden)}
        return {"sample_rate": None, "source": self.source, "architecture": architecture}, self._weights

    @classmethod
    def from_patch(cls, entry: dict[str, Any], numbers: npt.NDArray[Any]) -> ControlNetwork:
        """As `Resource.from_patch`."""
        a = entry.get("architecture") or {}
        targets, hidden = a.get("targets"), a.get("hidden")
        if (
            not (isinstance(targets, list) and isinstance(hidden, list))
            or not all(isinstance(t, str) for t in targets)
            or not all(is_integer(h) and h > 0 for h in hidden)
        ):
            raise ValueError("architecture names no targets and hidden widths")
        return cls(targets, hidden, numbers, source=entry.get("source", ""))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ControlNetwork):
            return NotImplemented
        same = (self.targets, self.hidden) == (other.targets, other.hidden)
        return same and np.array_equal(self._weights, other._weights)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<ControlNetwork of {self._weights.size} weights: {', '.join(self.targets)}>"

    def __reduce__(self) -> Any:
        return _control_network, (self.targets, self.hidden, np.array(self._weights), self.source)


def _control_network(targets: Sequence[str], hidden: Sequence[int], weights: Weights, source: str) -> ControlNetwork:
    return ControlNetwork(targets, hidden, weights, source=source)


def _numbers(a: Architecture, weights: Weights) -> npt.NDArray[np.float32]:
    described = [float(KINDS.index(a.kind)), *a.described()]
    head = [float(len(described) + 1), *described]
    return np.concatenate([np.array(head, np.float32), weights])[None]


def _json(data: object) -> str:
    import json

    return json.dumps(data)
