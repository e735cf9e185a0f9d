"""The network of a denoiser: from the levels of bands, and how far they are above the noise, to a gain for each band."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import brief, check_integer, is_integer
from .architectures import Activation, Convolution, ConvStack, Weights
from .network import Decisions

BANDS = 24
SPEECH = "speech"
WIDEST, LONGEST = 512, 1024  # channels; hops that it may hear
KERNEL = 3


class NoiseNetwork(Decisions):
    """The network of a denoiser: convolutions over time, which decide every 2.7 ms (at 48 kHz) how far each band goes down.

    Args:
        hidden: width of the hidden layers.
        dilations: how many decisions lie between the three that each hidden layer hears; there is a layer for each.
        weights: flat, in the order of `shapes`; without, drawn at random, the last layer 0: all bands go half the way.
        seed: of random weights.
        source: where it came from, for people.

    Raises:
        ValueError: widths or dilations out of range, weights of a wrong number, or NaN or infinity in them.
    """

    type = "noise"

    def __init__(
        self,
        hidden: int = 48,
        dilations: Sequence[int] = (1, 3, 9, 27),
        weights: npt.ArrayLike | None = None,
        *,
        seed: int = 0,
        source: str = "",
    ) -> None:
        self.hidden = check_integer(hidden, "hidden", 1)
        self.dilations = tuple(check_integer(d, "a dilation", 1) for d in np.atleast_1d(np.asarray(dilations)).tolist())
        if self.hidden > WIDEST:
            raise ValueError(f"hidden is {self.hidden}; a noise network has 1 to {WIDEST} channels")
        if not self.dilations or (KERNEL - 1) * sum(self.dilations) >= LONGEST:
            raise ValueError(f"the dilations are {brief(self.dilations)}; give at least one, {LONGEST // 2 - 1} at most in all")
        self.source = source
        self.set_up("noise network", _architecture(self.hidden, self.dilations), weights, seed)

    @classmethod
    def speech(cls) -> NoiseNetwork:
        """The one that comes with twinrack, trained on synthetic speech in synthetic noise."""
        return _speech()

    @classmethod
    def of(cls, given: object) -> NoiseNetwork:
        """A NoiseNetwork, or the name of one: "speech"."""
        if isinstance(given, NoiseNetwork):
            return given
        if given == SPEECH:
            return cls.speech()
        if isinstance(given, str):
            raise ValueError(f'there is no noise network {brief(given)}; there is "{SPEECH}", or give a tr.NoiseNetwork')
        raise TypeError(f'a denoiser\'s network is "{SPEECH}" or a tr.NoiseNetwork')

    def learned(self, numbers: npt.NDArray[np.float32], sample_rate: float) -> NoiseNetwork:
        """The same with other weights."""
        if np.array_equal(numbers, self.weights):
            return self
        return NoiseNetwork(self.hidden, self.dilations, numbers, source=self.source)

    def to_patch(self) -> tuple[dict[str, Any], Weights]:
        """As `Resource.to_patch`."""
        architecture = {"hidden": self.hidden, "dilations": list(self.dilations)}
        return {"sample_rate": None, "source": self.source, "architecture": architecture}, self.weights

    @classmethod
    def from_patch(cls, entry: dict[str, Any], numbers: npt.NDArray[Any]) -> NoiseNetwork:
        """As `Resource.from_patch`."""
        a = entry.get("architecture") or {}
        hidden, dilations = a.get("hidden"), a.get("dilations")
        if not (is_integer(hidden) and isinstance(dilations, list) and all(is_integer(d) for d in dilations)):
            raise ValueError("architecture names no hidden width and dilations")
        return cls(hidden, dilations, numbers, source=entry.get("source", ""))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NoiseNetwork):
            return NotImplemented
        same = (self.hidden, self.dilations) == (other.hidden, other.dilations)
        return same and np.array_equal(self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<NoiseNetwork of {self.weights.size} weights{f': {self.source}' if self.source else ''}>"

    def __reduce__(self) -> Any:
        return _noise_network, (self.hidden, self.dilations, np.array(self.weights), self.source)


def _noise_network(hidden: int, dilations: Sequence[int], weights: Weights, source: str) -> NoiseNetwork:
    return NoiseNetwork(hidden, dilations, weights, source=source)


def _architecture(hidden: int, dilations: Sequence[int]) -> ConvStack:
    befores = [Activation(), *(Activation("silu") for _ in dilations)]
    convs = [Convolution(hidden, KERNEL, d, True, a) for d, a in zip(dilations, befores, strict=False)]
    return ConvStack((*convs, Convolution(BANDS, 1, 1, True, befores[-1])), 2 * BANDS)


@lru_cache(maxsize=1)
def _speech() -> NoiseNetwork:
    weights = np.frombuffer(files("twinrack.plugins.denoiser").joinpath("speech.weights").read_bytes(), "<f2")
    return NoiseNetwork(weights=weights.astype(np.float32), source="trained on synthetic speech in synthetic noise")
