"""Relevance of the input: how much of the output's energy at a moment comes from each sample that went in.

The energy is divided backwards through the rack, block by block, so that nothing of it is lost:

- linear blocks (gain, equaliser, reverbs) exactly, by their transpose;
- where a block's gain follows the sound, and where a curve bends it, that gain counts as constant in each frame: relevance goes
  to the sound that it was applied to. What the detector does is shown apart (`detector`), by the derivative that is left out;
- networks by the rules of `twins.propagation`; the part of their biases is shown apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..audio import Audio, as_planar, check_rate
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..resources.network import Network
from ..twins.curves import delay
from ..twins.effect_twin import EffectTwin
from ..twins.propagation import Rules as Rules
from ..twins.propagation import propagating
from ..twins.rack_twin import RackTwin

EXACT = ("linear", "reverb", "modulation")
SILENT = 1e-9  # of the loudest sample: there no gain is known
BIASES = ("bias", "hidden", "cell")  # names of a network's pieces that add something of their own


@dataclass(frozen=True)
class Relevance:
    """A division of the energy that the output has between two times.

    Attributes:
        energy: of the output there, the sum of squares over channels and frames.
        input: (channels, frames), the part of each input sample; a part may be negative.
        biases: the part of networks' biases and first states.
        rest: the part that no input sample explains, such as what a curve makes of silence.
        detector: (channels, frames), by how much the energy would follow each sample by way of gains: no part of the sum.
        rules: of networks.
    """

    energy: float
    input: npt.NDArray[np.float64]
    biases: float
    rest: float
    detector: npt.NDArray[np.float64]
    rules: Rules

    @property
    def lost(self) -> float:
        """The share of the energy that the parts together miss; with `epsilon` 0 it is rounding."""
        return 1.0 - (float(self.input.sum()) + self.biases + self.rest) / max(self.energy, 1e-30)

    def __str__(self) -> str:
        whole = max(self.energy, 1e-30)
        parts = f"input {100 * float(self.input.sum()) / whole:.1f} %, biases {100 * self.biases / whole:.1f} %"
        return (
            f"of the output's energy: {parts}, unexplained {100 * self.rest / whole:.1f} %; the sum is conserved within "
            f"{100 * abs(self.lost):.2g} %"
        )


def relevance(
    rack: Rack,
    x: npt.ArrayLike,
    sample_rate: float,
    between_s: tuple[float, float],
    *,
    rules: Rules | None = None,
    sidechain: Sidechain = None,
) -> Relevance:
    """Divide the energy of the output between two times among the samples of the input.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,); what comes after the second time is left out.
        sample_rate: Hz.
        between_s: the two times in seconds.
        rules: of networks; without, parts are divided as they are.
        sidechain: as in a call of the rack; its samples get nothing.

    Raises:
        ValueError: the times are outside the sound, or the rack has a Python function.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    rules = rules or Rules()
    first, last = (round(t * rate) for t in between_s)
    if not 0 <= first < last <= sound.shape[1]:
        raise ValueError(f"{between_s[0]:g} to {between_s[1]:g} s is not inside the sound of {sound.shape[1] / rate:.2f} s")
    given = torch.from_numpy(np.ascontiguousarray(sound[:, :last]))[None].double().requires_grad_(True)
    keys = _keys(sidechain, last)
    twin = as_rack(rack).twin(rate).double()
    with torch.no_grad():
        weights: Tensor = twin(given, sidechain=keys)[..., first:]
    with propagating(rules), _Parts(twin, but="dynamics"):
        moving = (twin(given, sidechain=keys)[..., first:] * weights).sum()
    (with_detectors,) = torch.autograd.grad(moving, given)
    parts = _Parts(twin)
    with propagating(rules), parts:
        y = twin(given, sidechain=keys)[..., first:]
    numbers = [p for p in twin.parameters() if p.requires_grad]
    figure = (y * weights).sum()
    slope, *slopes = torch.autograd.grad(figure, [given, *parts.rests, *numbers], allow_unused=True)
    rests, of_numbers = slopes[: len(parts.rests)], slopes[len(parts.rests) :]
    by_number = {id(p): g for p, g in zip(numbers, of_numbers, strict=True) if g is not None}
    rest = sum(float((r.detach() * g).sum()) for r, g in zip(parts.rests, rests, strict=True) if g is not None)
    direct = (given * slope).detach()[0]
    detector = (given * with_detectors).detach()[0] - direct
    return Relevance(
        float(weights.square().sum()),
        direct.numpy(),
        _of_biases(twin, by_number),
        rest,
        detector.numpy(),
        rules,
    )


def _keys(sidechain: Any, frames: int) -> Tensor | dict[str, Tensor] | None:
    def tensor(key: Any) -> Tensor:
        audio: Audio = as_planar(key, "the sidechain")[0]
        return torch.from_numpy(np.ascontiguousarray(audio[:, :frames]))[None].double()

    if sidechain is None:
        return None
    if isinstance(sidechain, Mapping):
        return {name: tensor(key) for name, key in sidechain.items()}
    return tensor(sidechain)


class _Parts:
    """While it lasts, blocks of a twin that are not linear apply their gain as a constant.

    Args:
        but: a category of effects whose gains go on following the sound.

    Attributes:
        rests: sounds that such a gain does not explain, as inputs of their own.
    """

    def __init__(self, twin: RackTwin, but: str = "") -> None:
        self._twin, self._but = twin, but
        self.rests: list[Tensor] = []
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for address in self._twin.addresses():
            effect = self._twin[address]
            if effect.card.category == self._but:
                continue
            if effect.card.id == "controller":
                effect.controls = _Constant(effect.controls)  # type: ignore[method-assign, assignment]
                self._handles.append(None)
            elif effect.card.category not in EXACT and effect.card.id != "adapter":
                self._handles.append(effect.register_forward_hook(self._as_gain))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            if handle is not None:
                handle.remove()
        for address in self._twin.addresses():
            self._twin[address].__dict__.pop("controls", None)

    def _as_gain(self, effect: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor:
        assert isinstance(effect, EffectTwin)
        late = delay(inputs[0], effect.delay.frames - effect.delay.dispersion)
        silent = late.abs() <= SILENT * late.detach().abs().amax().clamp(min=1e-30)
        gain = torch.where(silent, torch.zeros_like(y), y / torch.where(silent, torch.ones_like(late), late)).detach()
        passed = gain * late
        rest = (y - passed).detach().requires_grad_(True)
        self.rests.append(rest)
        return passed + rest


class _Constant:
    """The controls of a controller, which count as constant."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __call__(self, *given: Any) -> dict[str, Tensor]:
        return {address: move.detach() for address, move in self._of(*given).items()}


def _of_biases(twin: RackTwin, slopes: Mapping[int, Tensor]) -> float:
    """The part that the biases of all networks have."""
    part = 0.0
    for address in twin.addresses():
        for name, numbers in twin[address].resources.items():
            slope, resource = slopes.get(id(numbers)), twin[address].known.get(name)
            if slope is None or not isinstance(resource, Network):
                continue
            at = 0
            for piece, shape in resource.shapes():
                size = int(np.prod(shape))
                if piece.rpartition(".")[2] in BIASES or piece.endswith("bias"):
                    part += float((numbers[at : at + size].detach() * slope[at : at + size]).sum())
                at += size
    return part
