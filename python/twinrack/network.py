"""Small neural networks for the `adapter`: what they consist of, their weights, and the numbers that the engine reads.

A network is an architecture and one flat array of weights, in the order in which a .nam file keeps them; `shapes` says what
stands where. `twins/networks.py` is the arithmetic in torch, `cpp/dsp/neural-inl.h` that in the engine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from .audio import check_rate
from .resource import Resource

Weights = npt.NDArray[np.float32]
Shape = tuple[int, ...]

# Names and default numbers, in the order of cpp/dsp/neural_plan.h.
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "identity": (),
    "tanh": (),
    "sigmoid": (),
    "relu": (),
    "leaky_relu": (0.01,),  # slope below 0
    "hard_tanh": (-1.0, 1.0),  # limits
    "leaky_hard_tanh": (-1.0, 1.0, 0.01, 0.01),  # limits, slopes beyond them
    "silu": (),
    "softsign": (),
    "soft_sigmoid": (),
    "hard_swish": (),
}
GATINGS = ("none", "multiply", "blend")
KINDS = ("chain", "wavenet", "lstm", "gru")
MOST_WEIGHTS = 4_000_000
LONGEST = 1 << 20  # frames that it may hear
MOST_NUMBERS = 1 << 24  # that it keeps of its past
MOST_WORK = 2 * 10**10  # products that it takes to start it as after silence
_CONFIG = {"extra": "forbid", "strict": True}  # pydantic's, where a patch is read


@dataclass(frozen=True)
class Activation:
    """A function of one number; `numbers` are its slopes and limits."""

    __pydantic_config__: ClassVar = _CONFIG
    name: str = "identity"
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in ACTIVATIONS:
            raise ValueError(f"there is no activation {self.name!r}; there are {', '.join(ACTIVATIONS)}")
        if not self.numbers:
            object.__setattr__(self, "numbers", ACTIVATIONS[self.name])
        if len(self.numbers) != len(ACTIVATIONS[self.name]) or not all(map(math.isfinite, self.numbers)):
            raise ValueError(f"{self.name} takes {len(ACTIVATIONS[self.name])} numbers, got {list(self.numbers)}")

    def described(self) -> list[float]:
        padded = [*self.numbers, 0.0, 0.0, 0.0, 0.0][:4]
        return [float(list(ACTIVATIONS).index(self.name)), *padded]


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{name} = {number!r} is no whole number")
        if not 1 <= number <= (1 << 20 if name in ("kernel", "dilation") else 4096):
            raise ValueError(f"{name} = {number} is out of range")


@dataclass(frozen=True)
class Convolution:
    """A causal convolution over `kernel` frames that lie `dilation` apart, and what comes before it."""

    __pydantic_config__: ClassVar = _CONFIG
    outputs: int
    kernel: int = 1
    dilation: int = 1
    bias: bool = True
    before: Activation = field(default_factory=Activation)

    def __post_init__(self) -> None:
        _positive(outputs=self.outputs, kernel=self.kernel, dilation=self.dilation)


@dataclass(frozen=True)
class Chain:
    """Convolutions one after the other; with kernels of 1 frame after the first it is an MLP."""

    __pydantic_config__: ClassVar = _CONFIG
    convolutions: tuple[Convolution, ...]
    inputs: int = 1
    kind: Literal["chain"] = "chain"

    def __post_init__(self) -> None:
        _positive(inputs=self.inputs)
        if not 1 <= len(self.convolutions) <= 1024:
            raise ValueError(f"a chain has 1 to 1024 convolutions, not {len(self.convolutions)}")

    @property
    def receptive_field(self) -> int:
        return 1 + sum((c.kernel - 1) * c.dilation for c in self.convolutions)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        inputs = self.inputs
        for i, c in enumerate(self.convolutions):
            yield f"{i}.weight", (c.outputs, inputs, c.kernel)
            if c.bias:
                yield f"{i}.bias", (c.outputs,)
            inputs = c.outputs

    def described(self) -> list[float]:
        found: list[float] = [len(self.convolutions), self.inputs]
        for c in self.convolutions:
            found += [*c.before.described(), c.outputs, c.kernel, c.dilation, float(c.bias)]
        return [*found, *Activation().described()]

    def check(self) -> None:
        if self.inputs != 1 or self.convolutions[-1].outputs != 1:
            raise ValueError("a network hears one channel and gives one")


@dataclass(frozen=True)
class Layer:
    """A layer of a WaveNet. With a gating, half of the convolution's outputs go through `second` and gate the others."""

    __pydantic_config__: ClassVar = _CONFIG
    kernel: int
    dilation: int
    activation: Activation = field(default_factory=lambda: Activation("tanh"))
    gating: Literal["none", "multiply", "blend"] = "none"
    second: Activation = field(default_factory=Activation)

    def __post_init__(self) -> None:
        _positive(kernel=self.kernel, dilation=self.dilation)


@dataclass(frozen=True)
class LayerArray:
    """Layers of a WaveNet that are equally wide: in + 1x1(activation(conv(in) + 1x1(sound))), their middles added up.

    Attributes:
        channels: between the layers.
        middle: after the activation.
        head_outputs: what the sum of the middles becomes.
        head_inputs: each middle goes through a 1x1 of so many outputs before it is added; 0 adds it as it is.
        one_by_one: False adds the middle itself to the layer's input (then `middle` is `channels`).
    """

    __pydantic_config__: ClassVar = _CONFIG
    channels: int
    middle: int
    head_outputs: int
    layers: tuple[Layer, ...]
    head_inputs: int = 0
    head_kernel: int = 1
    head_bias: bool = True
    one_by_one: bool = True

    def __post_init__(self) -> None:
        _positive(channels=self.channels, middle=self.middle, head_outputs=self.head_outputs, kernel=self.head_kernel)
        if not 1 <= len(self.layers) <= 1024:
            raise ValueError(f"an array has 1 to 1024 layers, not {len(self.layers)}")
        if isinstance(self.head_inputs, bool) or not isinstance(self.head_inputs, int) or not 0 <= self.head_inputs <= 4096:
            raise ValueError(f"head_inputs = {self.head_inputs!r} is out of range")
        if not self.one_by_one and self.middle != self.channels:
            raise ValueError("without a 1x1 the middle is as wide as the layer")

    @property
    def summed(self) -> int:
        return self.head_inputs or self.middle

    def shapes(self, inputs: int) -> Iterator[tuple[str, Shape]]:
        yield "widen", (self.channels, inputs, 1)
        for i, layer in enumerate(self.layers):
            wide = self.middle * (1 if layer.gating == "none" else 2)
            yield f"{i}.weight", (wide, self.channels, layer.kernel)
            yield f"{i}.bias", (wide,)
            yield f"{i}.mixer", (wide, 1, 1)
            if self.one_by_one:
                yield f"{i}.out.weight", (self.channels, self.middle, 1)
                yield f"{i}.out.bias", (self.channels,)
            if self.head_inputs:
                yield f"{i}.head.weight", (self.head_inputs, self.middle, 1)
                yield f"{i}.head.bias", (self.head_inputs,)
        yield "head.weight", (self.head_outputs, self.summed, self.head_kernel)
        if self.head_bias:
            yield "head.bias", (self.head_outputs,)

    def described(self) -> list[float]:
        found: list[float] = [self.channels, self.middle, self.head_inputs, self.head_outputs, float(self.one_by_one)]
        found.append(len(self.layers))
        for layer in self.layers:
            found += [GATINGS.index(layer.gating), layer.kernel, layer.dilation]
            found += [*layer.activation.described(), *layer.second.described()]
        return [*found, self.head_kernel, 1, float(self.head_bias)]


@dataclass(frozen=True)
class WaveNet:
    """Arrays of layers one after the other; the head's sums go from array to array, and at last through `head`."""

    __pydantic_config__: ClassVar = _CONFIG
    arrays: tuple[LayerArray, ...]
    head: Chain | None = None
    kind: Literal["wavenet"] = "wavenet"

    @property
    def receptive_field(self) -> int:
        found = 1 + sum(a.head_kernel - 1 + sum((x.kernel - 1) * x.dilation for x in a.layers) for a in self.arrays)
        return found + (0 if self.head is None else self.head.receptive_field - 1)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        inputs = 1
        for i, array in enumerate(self.arrays):
            yield from ((f"{i}.{name}", shape) for name, shape in array.shapes(inputs))
            inputs = array.channels
        if self.head is not None:
            yield from ((f"head.{name}", shape) for name, shape in self.head.shapes())
        yield "head_scale", (1,)

    def described(self) -> list[float]:
        found: list[float] = [len(self.arrays)]
        for array in self.arrays:
            found += array.described()
        return [*found, *([0] if self.head is None else self.head.described())]

    def check(self) -> None:
        if not self.arrays:
            raise ValueError("a WaveNet has at least one array of layers")
        for before, after in zip(self.arrays, self.arrays[1:], strict=False):
            if before.head_outputs != after.summed:
                raise ValueError(
                    f"an array gives {before.head_outputs} numbers to the head of the next one, which has {after.summed}"
                )
        last = self.arrays[-1].head_outputs
        if self.head is not None and self.head.inputs != last:
            raise ValueError(f"the head takes {self.head.inputs} numbers, the last array gives {last}")
        if (last if self.head is None else self.head.convolutions[-1].outputs) != 1:
            raise ValueError("a network gives one channel")


@dataclass(frozen=True)
class Recurrent:
    """LSTM or GRU, one layer on the other, and a weighted sum of the last state."""

    __pydantic_config__: ClassVar = _CONFIG
    kind: Literal["lstm", "gru"]
    hidden: int
    layers: int = 1

    def __post_init__(self) -> None:
        _positive(hidden=self.hidden, layers=self.layers)

    @property
    def receptive_field(self) -> int | None:
        return None

    @property
    def gates(self) -> int:
        return 4 if self.kind == "lstm" else 3

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        h = self.hidden
        for i in range(self.layers):
            yield f"{i}.weight", (self.gates * h, (1 if i == 0 else h) + h)  # gates over input and state
            yield f"{i}.bias", (self.gates * h,)
            if self.kind == "gru":
                yield f"{i}.inner_bias", (h,)
            yield f"{i}.hidden", (h,)
            if self.kind == "lstm":
                yield f"{i}.cell", (h,)
        yield "head.weight", (1, h)
        yield "head.bias", (1,)

    def described(self) -> list[float]:
        return [self.hidden, self.layers]

    def check(self) -> None:
        pass


Architecture = Chain | WaveNet | Recurrent


class Network(Resource):
    """A neural network with its weights, at the sample rate that it was trained at.

    Args:
        architecture: what it consists of.
        weights: flat, in the order of `shapes`; without, drawn at random.
        sample_rate: Hz; None where it means the same at every rate (no memory) or is not known.
        source: where it came from, for people.
        seed: of random weights; the last layer's are 0 where `quiet`, so that it begins by giving nothing.

    Raises:
        ValueError: weights that are too few, too many or not finite; layers that do not fit each other.
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
        frames = _rows(architecture)
        if frames > MOST_NUMBERS or frames // 8 * count > MOST_WORK:
            raise ValueError(
                f"the network hears {architecture.receptive_field} frames in wide layers, which is too much to keep"
            )
        if count > MOST_WEIGHTS:
            raise ValueError(f"the network has {count} weights; up to {MOST_WEIGHTS} are possible")
        array = _drawn(architecture, seed, quiet) if weights is None else np.array(weights, np.float32)
        if array.shape != (count,):
            raise ValueError(f"the network has {count} weights, {array.size if array.ndim == 1 else array.shape} were given")
        if not np.isfinite(array).all():
            raise ValueError("the network has weights that are not finite; train or export it anew")
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
        return cls(Chain(tuple(convs)), None, sample_rate, seed=seed, quiet=quiet)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Network:
        """From a .nam file.

        Raises:
            FileNotFoundError, ValueError: it is not there, not a .nam file, or uses what this engine does not have.
        """
        from .nam import read

        return read(path)

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
        """What stands in `weights`, by name, in order."""
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
            made: Architecture = TypeAdapter(Architecture).validate_json(_json(entry.get("architecture")))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"architecture.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return cls(made, numbers, entry.get("sample_rate"), entry.get("source", ""))

    def numbers(self) -> npt.NDArray[np.float32]:
        """Description and weights as the engine reads them: (1, numbers). See cpp/dsp/neural_plan.h."""
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


class ControlNetwork(Resource):
    """What a controller does: an MLP from what it hears to numbers that move values of other effects.

    Args:
        targets: addresses in the rack of the values that it drives ("compressor.threshold_db").
        hidden: width of each hidden layer (tanh).
        weights: flat, in the order of `shapes`; without, drawn at random, the last layer 0: nothing is moved at first.
        seed: of random weights.

    Raises:
        ValueError: no target, one that is named twice, or weights that do not fit or are not finite.
    """

    type = "control"
    sample_rate = None
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
        self.architecture = Chain(convs, self.inputs)
        self.source = source
        count = sum(math.prod(shape) for _, shape in self.architecture.shapes())
        array = _drawn(self.architecture, seed, True) if weights is None else np.array(weights, np.float32)
        if array.shape != (count,) or not np.isfinite(array).all():
            raise ValueError(f"the control network has {count} finite weights; {array.size} were given, or some are not finite")
        self._weights: Weights = array
        self._weights.flags.writeable = False

    @property
    def hidden(self) -> tuple[int, ...]:
        return tuple(c.outputs for c in self.architecture.convolutions[:-1])

    @property
    def weights(self) -> Weights:
        """Flat, in the order of `shapes`; not to be written to."""
        return self._weights

    def shapes(self) -> list[tuple[str, Shape]]:
        """What stands in `weights`, by name, in order."""
        return list(self.architecture.shapes())

    @classmethod
    def of(cls, given: object) -> ControlNetwork:
        """A ControlNetwork."""
        if isinstance(given, ControlNetwork):
            return given
        raise TypeError("a controller's network is a tr.ControlNetwork")

    def check(self, address: str, sample_rate: float, channels: int | None) -> None:
        """As `Resource.check`: it is for any rate."""

    def at(self, sample_rate: float) -> Weights:
        """The weights."""
        return self._weights

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
            or not all(isinstance(h, int) and h > 0 for h in hidden)
        ):
            raise ValueError("architecture names no targets and hidden widths")
        return cls(targets, hidden, numbers, source=entry.get("source", ""))

    def numbers(self) -> npt.NDArray[np.float32]:
        """Description and weights as the engine reads them: (1, numbers)."""
        return _numbers(self.architecture, self._weights)

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


def _rows(a: Architecture) -> int:
    """Numbers that the engine keeps of the past of all layers, about."""
    if isinstance(a, Chain):
        widths = [a.inputs, *(c.outputs for c in a.convolutions)]
        return sum((64 + (c.kernel - 1) * c.dilation) * (w + 7) for c, w in zip(a.convolutions, widths, strict=False))
    if isinstance(a, WaveNet):
        own = sum((64 + (x.kernel - 1) * x.dilation) * (array.channels + 7) for array in a.arrays for x in array.layers)
        heads = sum((64 + array.head_kernel) * (array.summed + 7) for array in a.arrays)
        return own + heads + (0 if a.head is None else _rows(a.head))
    return 64 * a.hidden * a.layers


def _json(data: object) -> str:
    import json

    return json.dumps(data)


def _drawn(architecture: Architecture, seed: int, quiet: bool) -> Weights:
    """Weights uniform within 1/√inputs, as torch's layers begin; biases and states 0, so silence stays silent; an LSTM's forget
    gate begins open by 1 (Jozefowicz et al., 2015)."""
    rng = np.random.default_rng(seed)
    shapes = list(architecture.shapes())
    last = [name for name, _ in shapes if name != "head_scale"][-2:]
    pieces = []
    for name, shape in shapes:
        weights = np.zeros(math.prod(shape))
        if name == "head_scale":
            weights[:] = 1.0
        elif len(shape) > 1 and not (quiet and name in last):
            inputs = architecture.hidden if isinstance(architecture, Recurrent) else math.prod(shape[1:])
            weights = rng.uniform(-1.0, 1.0, weights.size) / math.sqrt(inputs)
        elif isinstance(architecture, Recurrent) and architecture.kind == "lstm" and name.endswith("bias") and name[0] != "h":
            weights[architecture.hidden : 2 * architecture.hidden] = 1.0
        pieces.append(weights)
    return np.concatenate(pieces).astype(np.float32)
