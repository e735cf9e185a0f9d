"""Saliency of the input: which parts of a sound, over time and frequency, cause a figure of what a rack does with it.

The sound is written as its short-time spectrum X, from which it is made again exactly, so a figure f has a derivative by every
cell of X. The attribution of a cell is in the figure's unit, and negative where the cell works against it:

- "gradient": Re(conj(X) ∂f/∂X), the first-order effect of the cell (A. Shrikumar et al., arXiv 1605.01713, 2016);
- "integrated": the same with the gradient averaged from silence to the sound, so that all cells together are the figure less
  that of silence (M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for deep networks, ICML 2017);
- "smooth": the gradient averaged over sounds with a little noise (D. Smilkov et al., SmoothGrad, arXiv 1706.03825, 2017).

Figures are computed by the rack's twin, whose detectors and networks are inside the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Audio, as_planar, check_rate
from ..checks import check_integer
from ..perceptual import bark
from ..rack.rack import Rack, as_rack
from ..system.interrupt import check
from .intermediate import up_to_effect

Numbers = npt.NDArray[np.float64]
Method = Literal["gradient", "integrated", "smooth"]

SIZE, HOP = 1024, 256  # of the short-time spectrum, in frames
WINDOW_S = 0.05  # about a moment
NOISE = 0.1  # of the sound's level, in "smooth"
FLOOR = 1e-12
AT_ONCE = 4  # sounds


class CausedFigure:
    """A figure of what a rack does with a sound, with a gradient.

    Attributes:
        name, unit: of it.
    """

    name: str
    unit: str = "dB"

    def __call__(self, x: Tensor) -> Tensor:
        """The figure of each sound of (batch, channels, time): (batch,)."""
        raise NotImplementedError


def _level_db(x: Tensor) -> Tensor:
    return 10.0 * torch.log10(x.square().mean((1, 2)) + FLOOR)


class ReductionAt(CausedFigure):
    """By how much an effect lowers the level at a moment (50 ms to both sides), in dB; its makeup counts too.

    Args:
        rack, address: of the effect.
        at_s: the moment in seconds.
        sample_rate: Hz.
    """

    def __init__(self, rack: Rack, address: str, at_s: float, sample_rate: float) -> None:
        rack = as_rack(rack)
        rack[address]  # says what there is, where that is not
        self.name = f"gain reduction of {address} at {at_s:g} s"
        self._twins = [up_to_effect(rack, address, inclusive).twin(sample_rate) for inclusive in (False, True)]
        self._window = _window(at_s, sample_rate)

    def __call__(self, x: Tensor) -> Tensor:
        before, after = (twin(x)[..., self._window] for twin in self._twins)
        _not_empty(before)
        return _level_db(before) - _level_db(after)


class DecisionAt(CausedFigure):
    """The amount that a controller adds to the position of a value at a moment (50 ms to both sides).

    Args:
        rack: it has the controller in its outer chain.
        address: of the controller.
        drives: the value that is driven, such as "compressor.threshold_db".
        at_s: the moment in seconds.
        sample_rate: Hz.
    """

    unit = "of position"

    def __init__(self, rack: Rack, address: str, drives: str, at_s: float, sample_rate: float) -> None:
        self.name, self._drives = f"what {address} does to {drives} at {at_s:g} s", drives
        twin = up_to_effect(as_rack(rack), address, True).twin(sample_rate)
        self._before = up_to_effect(as_rack(rack), address, False).twin(sample_rate)
        self._controller = twin[address]
        window = _window(at_s, sample_rate)
        self._ticks = slice(window.start // 32, max(window.stop // 32, window.start // 32 + 1))

    def __call__(self, x: Tensor) -> Tensor:
        moves = self._controller.controls(self._before(x), None, None)
        if self._drives not in moves:
            known = f"it drives {', '.join(moves)}" if moves else "it drives nothing"
            raise ValueError(f"the controller does not drive {self._drives!r}; {known}")
        decided: Tensor = moves[self._drives][:, self._ticks]
        return decided.mean(-1)


class ErrorOf(CausedFigure):
    """The energy of the difference from a target, relative to the target's.

    Args:
        rack: that plays.
        target: (channels, frames).
        sample_rate: Hz.
    """

    name, unit = "error", "of the target's energy"

    def __init__(self, rack: Rack, target: Audio, sample_rate: float) -> None:
        self._twin = as_rack(rack).twin(sample_rate)
        self._target = torch.from_numpy(np.ascontiguousarray(target, np.float32))
        self._size = float(self._target.square().sum().clamp(min=FLOOR))

    def __call__(self, x: Tensor) -> Tensor:
        difference: Tensor = self._twin(x) - self._target
        return difference.square().sum((1, 2)) / self._size


class LevelAt(CausedFigure):
    """The level of the output at a moment (50 ms to both sides), in dBFS (mean square)."""

    def __init__(self, rack: Rack, at_s: float, sample_rate: float) -> None:
        self.name = f"level at {at_s:g} s"
        self._twin, self._window = as_rack(rack).twin(sample_rate), _window(at_s, sample_rate)

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = self._twin(x)[..., self._window]
        _not_empty(y)
        return _level_db(y)


def _window(at_s: float, rate: float) -> slice:
    return slice(max(round((at_s - WINDOW_S) * rate), 0), round((at_s + WINDOW_S) * rate))


def _not_empty(x: Tensor) -> None:
    if x.shape[-1] == 0:
        raise ValueError("the moment is outside the sound")


@dataclass(frozen=True)
class Saliency:
    """The attribution of a figure to the input.

    Attributes:
        figure: its name; `unit` of it.
        value, baseline: the figure with the sound, and with silence.
        cells: (bands, frames) attributions, in the unit, channels added.
        edges_hz: of the bands, one more than there are.
        times_s: of the middles of the frames.
        method: that was used.
    """

    figure: str
    unit: str
    value: float
    baseline: float
    cells: Numbers
    edges_hz: Numbers
    times_s: Numbers
    method: str

    @property
    def missing(self) -> float:
        """By how much the cells together miss the figure less its baseline; near 0 for "integrated" only."""
        return float(self.cells.sum()) - (self.value - self.baseline)

    def strongest(self) -> tuple[float, float]:
        """Time in seconds and frequency in Hz of the cell with the largest attribution, of either sign."""
        band, frame = np.unravel_index(int(np.argmax(np.abs(self.cells))), self.cells.shape)
        return float(self.times_s[frame]), float(0.5 * (self.edges_hz[band] + self.edges_hz[band + 1]))

    def share_within(self, start_s: float, end_s: float) -> float:
        """The share of the attributions, whatever their signs, between two times: 0 to 1."""
        size = np.abs(self.cells)
        inside = (self.times_s >= start_s) & (self.times_s < end_s)
        return float(size[:, inside].sum() / max(float(size.sum()), 1e-30))

    def __str__(self) -> str:
        time, hertz = self.strongest()
        return (
            f"{self.figure} is {self.value:.3g} {self.unit} ({self.baseline:.3g} in silence); most of it is caused at "
            f"{time:.2f} s about {hertz:.0f} Hz"
        )


def saliency(
    x: npt.ArrayLike,
    sample_rate: float,
    of: Callable[[Tensor], Tensor] | CausedFigure,
    *,
    method: Method = "integrated",
    steps: int = 24,
    seed: int = 0,
) -> Saliency:
    """Which parts of a sound cause a figure, in bands of one Bark and frames of 256 samples.

    Args:
        x: (channels, frames) or (frames,).
        sample_rate: Hz.
        of: the figure, such as `ReductionAt(rack, "compressor", 1.2, sample_rate)`, or a function of (batch, channels, time)
            that gives (batch,).
        method: "gradient", "integrated" or "smooth".
        steps: sounds that "integrated" and "smooth" average over.
        seed: of the noise of "smooth".
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    if method not in ("gradient", "integrated", "smooth"):
        raise ValueError(f"method is {method!r}; it must be 'gradient', 'integrated' or 'smooth'")
    steps = 1 if method == "gradient" else check_integer(steps, "steps", 1)
    spectrum = Spectrum(sound.shape[1], rate)
    cells = spectrum.of(torch.from_numpy(sound))
    scales = [(k + 0.5) / steps for k in range(steps)] if method == "integrated" else [1.0] * steps
    generator = torch.Generator().manual_seed(seed)
    level = NOISE * float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
    gradient = torch.zeros_like(cells)
    for first in range(0, steps, AT_ONCE):
        check()
        some = scales[first : first + AT_ONCE]
        batch = torch.stack([cells * scale for scale in some])
        if method == "smooth":
            noise = level * torch.randn((len(some), *sound.shape), generator=generator)
            batch = batch + spectrum.of(noise)
        batch.requires_grad_(True)
        figure = of(spectrum.sound(batch))
        (slopes,) = torch.autograd.grad(figure.sum(), batch)
        gradient += torch.nan_to_num(slopes).sum(0) / steps
    attribution = (cells.real * gradient.real + cells.imag * gradient.imag).sum(0).double()
    with torch.no_grad():
        both = torch.stack([torch.from_numpy(sound), torch.zeros_like(torch.from_numpy(sound))])
        value, baseline = (float(v) for v in of(both))
    name, unit = (of.name, of.unit) if isinstance(of, CausedFigure) else (getattr(of, "__name__", "figure"), "")
    return Saliency(
        name, unit, value, baseline, spectrum.in_bands(attribution).numpy(), spectrum.edges_hz, spectrum.times_s, method
    )


class Spectrum:
    """The short-time spectrum of sounds of one length, and the way back.

    Attributes:
        edges_hz: of its bands, one Bark wide each.
        times_s: of its frames.
    """

    def __init__(self, frames: int, sample_rate: float) -> None:
        self.frames = frames
        self._window = torch.hann_window(SIZE)
        hertz = torch.fft.rfftfreq(SIZE, 1.0 / sample_rate, dtype=torch.float64)
        band = torch.floor(bark(hertz).clamp(min=0.0)).long()
        used = torch.unique(band)
        self._band = torch.searchsorted(used, band)
        first = torch.stack([hertz[self._band == i][0] for i in range(len(used))])
        self.edges_hz = np.append(first.numpy(), 0.5 * sample_rate)
        self.times_s = np.arange(frames // HOP + 1) * HOP / sample_rate

    def of(self, x: Tensor) -> Tensor:
        """(…, time) -> (…, bins, frames), complex."""
        flat = torch.nn.functional.pad(x.reshape(-1, self.frames), (0, SIZE))
        spectrum = torch.stft(flat, SIZE, HOP, window=self._window, center=True, pad_mode="constant", return_complex=True)
        return spectrum.reshape(*x.shape[:-1], *spectrum.shape[-2:])

    def sound(self, cells: Tensor) -> Tensor:
        """The inverse, exact."""
        flat = cells.reshape(-1, *cells.shape[-2:])
        x = torch.istft(flat, SIZE, HOP, window=self._window, center=True, length=self.frames + SIZE)[..., : self.frames]
        return x.reshape(*cells.shape[:-2], self.frames)

    def in_bands(self, cells: Tensor) -> Tensor:
        """(bins, frames) added up to (bands, frames of the sound)."""
        bands = torch.zeros(len(self.edges_hz) - 1, cells.shape[-1], dtype=cells.dtype).index_add_(0, self._band, cells)
        count = len(self.times_s)
        bands[:, count - 1] += bands[:, count:].sum(1)  # what the last windows reach beyond the end
        return bands[:, :count]

    def without(self, x: Tensor, removed: Tensor) -> Tensor:
        """A sound (channels, time) without some cells, (bands, frames) bool."""
        cells = self.of(x)
        mask = torch.zeros(cells.shape[-2:], dtype=torch.bool)
        mask[:, : removed.shape[1]] = removed[self._band]
        mask[:, removed.shape[1] :] = removed[self._band][:, -1:]
        return self.sound(torch.where(mask, torch.zeros_like(cells), cells))


@dataclass(frozen=True)
class Faithfulness:
    """How far an attribution can be trusted, each figure from 0 to 1 unless it says otherwise.

    Attributes:
        deletion: the mean change of the figure, as a share of its largest, while the cells are removed in the order of their
            attribution, the most important first; higher is better.
        deletion_random: the same in random order; an attribution that says something is clearly above it.
        insertion: how much of the figure is back, on average, while the cells are put into silence in that order.
        insertion_random: the same in random order.
        other_sound: the share of its strongest twentieth of cells that are also the strongest of the sound moved by half its
            length, which must not be the same: near 0.05, as by chance.
        stable: the same share between two seeds of "smooth", which must be near 1; 1 for the other methods.
        missing: by how much the sum of all cells misses the figure, relative to it.
    """

    deletion: float
    deletion_random: float
    insertion: float
    insertion_random: float
    other_sound: float
    stable: float
    missing: float

    @property
    def holds(self) -> bool:
        """Whether removing what is called important changes the figure more than removing anything."""
        return self.deletion > self.deletion_random and self.insertion > self.insertion_random

    def __str__(self) -> str:
        return (
            f"deletion {self.deletion:.2f} (random order {self.deletion_random:.2f}), insertion {self.insertion:.2f} "
            f"({self.insertion_random:.2f}), {100 * self.other_sound:.0f} % of its strongest cells are those of "
            f"another sound, {100 * self.stable:.0f} % those of another seed, the sum misses the figure by "
            f"{100 * self.missing:.1f} %"
        )


SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # of the cells that are removed or put in


def faithfulness(
    s: Saliency, x: npt.ArrayLike, sample_rate: float, of: Callable[[Tensor], Tensor] | CausedFigure, *, seed: int = 0
) -> Faithfulness:
    """Check an attribution against the figure itself (V. Petsiuk, A. Das, K. Saenko, RISE, BMVC 2018, for the curves;
    J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, for another input).

    Args:
        s: of the same sound and figure.
        x, sample_rate, of: as in `saliency`.
        seed: of the random orders.
    """
    sound, rate = as_planar(x, "the sound")[0], check_rate(sample_rate)
    spectrum = Spectrum(sound.shape[1], rate)
    random = np.random.default_rng(seed)
    by_importance = np.argsort(-np.abs(s.cells).ravel())
    at_random = random.permutation(s.cells.size)
    curves = {}
    with torch.no_grad():
        for name, order in (("important", by_importance), ("random", at_random)):
            for put_in in (False, True):
                curves[name, put_in] = _curve(torch.from_numpy(sound), spectrum, of, order, s.cells.shape, put_in)
    span = max(abs(s.value - s.baseline), 1e-12)
    removed = {
        name: float(np.clip(np.abs(curves[name, False] - s.value) / span, 0.0, 1.0).mean()) for name in ("important", "random")
    }
    back = {
        name: float(np.clip(1.0 - np.abs(curves[name, True] - s.value) / span, 0.0, 1.0).mean())
        for name in ("important", "random")
    }
    method: Method = s.method  # type: ignore[assignment]
    moved = np.roll(sound, sound.shape[1] // 2, 1)
    other = saliency(moved, rate, of, method=method, steps=8)
    stable = 1.0
    if method == "smooth":
        stable = _same_cells(*(saliency(sound, rate, of, method=method, steps=8, seed=n).cells for n in (1, 2)))
    return Faithfulness(
        removed["important"],
        removed["random"],
        back["important"],
        back["random"],
        _same_cells(s.cells, other.cells),
        stable,
        abs(s.missing) / span,
    )


def _curve(
    sound: Tensor,
    spectrum: Spectrum,
    of: Callable[[Tensor], Tensor],
    order: npt.NDArray[np.int64],
    shape: tuple[int, ...],
    put_in: bool,
) -> Numbers:
    """The figure while more and more cells are removed, or put into silence."""
    figures = []
    for share in SHARES:
        chosen = torch.zeros(order.size, dtype=torch.bool)
        chosen[torch.from_numpy(order[: round(share * order.size)])] = True
        removed = ~chosen if put_in else chosen
        figures.append(float(of(spectrum.without(sound, removed.reshape(shape))[None])[0]))
    return np.array(figures)


def _same_cells(a: Numbers, b: Numbers) -> float:
    """The share of the strongest twentieth of cells that two attributions have in common."""
    count = max(a.size // 20, 1)
    one, other = (set(np.argsort(-np.abs(v).ravel())[:count].tolist()) for v in (a, b))
    return len(one & other) / count
