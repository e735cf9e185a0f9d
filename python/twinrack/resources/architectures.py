"""Architectures of small networks: layers, the order of their weights, and their description for the engine.

The weights of an architecture are one flat array, in the order in which a .nam file keeps them; `shapes` says what stands
where, `described` is what cpp/dsp/neural/neural_plan.h reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..checks import brief, is_integer, must_be

Weights = npt.NDArray[np.float32]
Shape = tuple[int, ...]

# Names and default numbers, in the order of cpp/dsp/neural/neural_plan.h.
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
    "fast_tanh": (),  # a quotient of polynomials near tanh
    "prelu": (),  # slopes below 0, one for each channel
}
GATINGS = ("none", "multiply", "blend")
KINDS = ("chain", "wavenet", "lstm", "gru")
_CONFIG = {"extra": "forbid", "strict": True}  # pydantic's, where a patch is read


@dataclass(frozen=True)
class Activation:
    """A function of one number; `numbers` are its slopes and limits."""

    __pydantic_config__: ClassVar = _CONFIG
    name: str = "identity"
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _plain(self)
        if self.name not in ACTIVATIONS:
            raise ValueError(f"there is no activation {brief(self.name)}; there are {', '.join(ACTIVATIONS)}")
        if not self.numbers:
            object.__setattr__(self, "numbers", ACTIVATIONS[self.name])
        if not all(map(math.isfinite, self.numbers)):
            raise ValueError(f"a number of {self.name} is NaN or infinity")
        if self.name == "prelu":
            if not 1 <= len(self.numbers) <= 4096:
                raise ValueError(f"prelu takes a slope for each channel, 1 to 4096, got {len(self.numbers)}")
        elif len(self.numbers) != len(ACTIVATIONS[self.name]):
            raise ValueError(f"{self.name} takes {len(ACTIVATIONS[self.name])} numbers, got {len(self.numbers)}")

    def expect(self, channels: int) -> None:
        """Refuse slopes by channel where there are not so many channels."""
        if self.name == "prelu" and len(self.numbers) != channels:
            raise ValueError(f"a PReLU has {len(self.numbers)} slopes for {channels} channels; it needs one for each")

    def described(self) -> list[float]:
        if self.name == "prelu":
            return [float(list(ACTIVATIONS).index(self.name)), float(len(self.numbers)), 0.0, 0.0, 0.0, *self.numbers]
        padded = [*self.numbers, 0.0, 0.0, 0.0, 0.0][:4]
        return [float(list(ACTIVATIONS).index(self.name)), *padded]


def _plain(part: Any) -> None:
    """NumPy's integers, which overflow, as Python's."""
    for name, value in vars(part).items():
        if isinstance(value, np.integer):
            object.__setattr__(part, name, int(value))


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        most = 1 << 20 if name in ("kernel", "dilation") else 4096
        if not is_integer(number) or not 1 <= number <= most:
            raise must_be(name, f"an integer from 1 to {most}", number)


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
        _plain(self)
        _positive(outputs=self.outputs, kernel=self.kernel, dilation=self.dilation)


@dataclass(frozen=True)
class ConvStack:
    """Convolutions in series; with kernels of 1 frame after the first it is an MLP."""

    __pydantic_config__: ClassVar = _CONFIG
    convolutions: tuple[Convolution, ...]
    inputs: int = 1
    kind: Literal["chain"] = "chain"

    def __post_init__(self) -> None:
        _plain(self)
        _positive(inputs=self.inputs)
        if not 1 <= len(self.convolutions) <= 1024:
            raise ValueError(f"a chain has 1 to 1024 convolutions, not {len(self.convolutions)}")
        for inputs, c in zip([self.inputs, *(c.outputs for c in self.convolutions)], self.convolutions, strict=False):
            c.before.expect(inputs)

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
        numbers: list[float] = [len(self.convolutions), self.inputs]
        for c in self.convolutions:
            numbers += [*c.before.described(), c.outputs, c.kernel, c.dilation, float(c.bias)]
        return [*numbers, *Activation().described()]

    def check(self) -> None:
        if self.inputs != 1 or self.convolutions[-1].outputs != 1:
            raise ValueError("a network hears one channel and gives one")


Chain = ConvStack  # its former name, which pickles hold


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
        _plain(self)
        _positive(kernel=self.kernel, dilation=self.dilation)


@dataclass(frozen=True)
class LayerArray:
    """Layers of a WaveNet of one width: in + layer1x1(activation(conv(in) + input_mixin(sound))). Their bottlenecks, which
    are what the activations give, are summed for the head. The fields have the names that patches store.

    Attributes:
        channels: width between the layers.
        middle: width of the bottleneck.
        head_outputs: width of the head.
        head_inputs: each bottleneck goes through a 1x1 (head1x1) of so many outputs before it is summed; 0: without one.
        head_kernel: frames of the head's convolution.
        head_dilation: distance of these frames.
        one_by_one: False adds the bottleneck itself to the layer's input (then `middle` is `channels`).
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
    head_dilation: int = 1

    def __post_init__(self) -> None:
        _plain(self)
        _positive(channels=self.channels, middle=self.middle, head_outputs=self.head_outputs, kernel=self.head_kernel)
        _positive(dilation=self.head_dilation)
        for layer in self.layers:
            layer.activation.expect(self.middle)
            layer.second.expect(self.middle)
        if not 1 <= len(self.layers) <= 1024:
            raise ValueError(f"an array has 1 to 1024 layers, not {len(self.layers)}")
        if not is_integer(self.head_inputs) or not 0 <= self.head_inputs <= 4096:
            raise ValueError(f"head_inputs = {brief(self.head_inputs)} is out of range")
        if not self.one_by_one and self.middle != self.channels:
            raise ValueError("without a 1x1 the middle is as wide as the layer")

    @property
    def summed(self) -> int:
        return self.head_inputs or self.middle

    def shapes(self, inputs: int) -> Iterator[tuple[str, Shape]]:
        yield "rechannel", (self.channels, inputs, 1)
        for i, layer in enumerate(self.layers):
            wide = self.middle * (1 if layer.gating == "none" else 2)
            yield f"{i}.weight", (wide, self.channels, layer.kernel)
            yield f"{i}.bias", (wide,)
            yield f"{i}.input_mixin", (wide, 1, 1)
            if self.one_by_one:
                yield f"{i}.layer1x1.weight", (self.channels, self.middle, 1)
                yield f"{i}.layer1x1.bias", (self.channels,)
            if self.head_inputs:
                yield f"{i}.head1x1.weight", (self.head_inputs, self.middle, 1)
                yield f"{i}.head1x1.bias", (self.head_inputs,)
        yield "head.weight", (self.head_outputs, self.summed, self.head_kernel)
        if self.head_bias:
            yield "head.bias", (self.head_outputs,)

    def described(self) -> list[float]:
        numbers: list[float] = [self.channels, self.middle, self.head_inputs, self.head_outputs, float(self.one_by_one)]
        numbers.append(len(self.layers))
        for layer in self.layers:
            numbers += [GATINGS.index(layer.gating), layer.kernel, layer.dilation]
            numbers += [*layer.activation.described(), *layer.second.described()]
        return [*numbers, self.head_kernel, self.head_dilation, float(self.head_bias)]


@dataclass(frozen=True)
class WaveNet:
    """Arrays of layers one after the other; the head's sums go from array to array, and at last through `head`."""

    __pydantic_config__: ClassVar = _CONFIG
    arrays: tuple[LayerArray, ...]
    head: ConvStack | None = None
    kind: Literal["wavenet"] = "wavenet"

    @property
    def receptive_field(self) -> int:
        frames = 1 + sum(
            (a.head_kernel - 1) * a.head_dilation + sum((x.kernel - 1) * x.dilation for x in a.layers) for a in self.arrays
        )
        return frames + (0 if self.head is None else self.head.receptive_field - 1)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        inputs = 1
        for i, array in enumerate(self.arrays):
            yield from ((f"{i}.{name}", shape) for name, shape in array.shapes(inputs))
            inputs = array.channels
        if self.head is not None:
            yield from ((f"head.{name}", shape) for name, shape in self.head.shapes())
        yield "head_scale", (1,)

    def described(self) -> list[float]:
        numbers: list[float] = [len(self.arrays)]
        for array in self.arrays:
            numbers += array.described()
        return [*numbers, *([0] if self.head is None else self.head.described())]

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
        _plain(self)
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


Architecture = ConvStack | WaveNet | Recurrent


def rows_kept(a: Architecture) -> int:
    """Numbers that the engine keeps of the past of all layers, about."""
    if isinstance(a, ConvStack):
        widths = [a.inputs, *(c.outputs for c in a.convolutions)]
        return sum((64 + (c.kernel - 1) * c.dilation) * (w + 7) for c, w in zip(a.convolutions, widths, strict=False))
    if isinstance(a, WaveNet):
        own = sum((64 + (x.kernel - 1) * x.dilation) * (array.channels + 7) for array in a.arrays for x in array.layers)
        heads = sum((64 + array.head_kernel * array.head_dilation) * (array.summed + 7) for array in a.arrays)
        return own + heads + (0 if a.head is None else rows_kept(a.head))
    return 64 * a.hidden * a.layers


def drawn(architecture: Architecture, seed: int, quiet: bool) -> Weights:
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
