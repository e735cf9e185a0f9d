"""The last steps of a fit, by Levenberg and Marquardt on the waveform: few parameters, many samples, quadratic convergence.

An effect has a handful of parameters, so the Jacobian of the sound is affordable by differences of renders. It also gives what
the recording determines: the standard error of each parameter, given the residual. (C.-Y. Yu and G. Fazekas, Sound Matching an
Analogue Levelling Amplifier Using the Newton-Raphson Method, arXiv 2509.10706, 2025, match a compressor in the same way.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

ALIKE = 0.98  # correlation of the errors of two values that can stand for each other
NOTABLE = 0.01  # of the range: below it a value is known well enough, whatever it goes together with
AT_ONCE = 8  # columns of the Jacobian
STEP = 5e-4  # in the constrained domain, where a whole range is 1
ROUNDING = 3e-8  # of a sound in float32, relative to its size
INDEPENDENT = 32  # neighbouring samples of noise that count as one
LAGS = (1, 2, 4, 8, 16, 32, 64)  # frames
TINY = 1e-18  # of the best known direction
Sound = Callable[[], Tensor]
Sounds = Callable[[Tensor], Tensor]  # at (k, parameters) constrained values: (k, numbers)


@dataclass
class Polished:
    """Result of the second-order steps: the norm of the residual relative to the target before and after, and standard errors
    in the constrained domain."""

    before: float
    after: float
    iterations: int = 0
    standard_errors: list[float] = field(default_factory=list)
    alike: list[tuple[int, int]] = field(default_factory=list)  # pairs of parameters that can stand for each other


@torch.no_grad()
def _jacobian(parameters: Sequence[nn.Parameter], sound: Sound, sounds: Sounds | None) -> Tensor:
    at = torch.tensor([u.item() for u in parameters], dtype=torch.float64)
    if sounds is not None:
        slopes = []
        for first in range(0, len(parameters), AT_ONCE):
            some = torch.eye(len(parameters), dtype=torch.float64)[first : first + AT_ONCE]
            slopes.append((sounds(at + STEP * some) - sounds(at - STEP * some)) / (2 * STEP))
        return torch.cat(slopes)
    columns = []
    for u in parameters:
        here = u.item()
        u.fill_(here + STEP)
        above = sound()
        u.fill_(here - STEP)
        columns.append((above - sound()) / (2 * STEP))
        u.fill_(here)
    return torch.stack(columns)


@torch.no_grad()
def polish(
    parameters: Sequence[nn.Parameter],
    sound: Sound,
    target: Tensor,
    iterations: int,
    report: Callable[[int, float], None] | None = None,
    errors: bool = True,
    sounds: Sounds | None = None,
) -> Polished:
    """Lower the squared difference between `sound()` and `target`; a step that does not lower it is not taken.

    Args:
        parameters: scalars that `sound` depends on; they are changed in place.
        sound: renders, and returns as many numbers as `target`, flat.
        iterations: at most so many; ends earlier when nothing improves.
        report: called after each iteration with its number and the relative residual.
        errors: work out standard errors, which takes two more renders for each parameter.
        sounds: renders several at once; without it, `sound` is called for one after the other.
    """
    size = max(float(torch.linalg.vector_norm(target.double())), 1e-30)
    residual = (target - sound()).double()
    energy = float(residual @ residual)
    result = Polished(before=energy**0.5 / size, after=energy**0.5 / size)
    damping = 1e-3
    for iteration in range(iterations):
        slopes = _jacobian(parameters, sound, sounds).double()
        normal, gradient = slopes @ slopes.T, slopes @ residual
        if not torch.isfinite(normal).all():
            break
        scale = torch.diagonal(normal).clamp(min=1e-12 * float(torch.diagonal(normal).max()) + 1e-30)
        began, improved = [u.item() for u in parameters], False
        for _ in range(6):
            step = torch.linalg.solve(normal + damping * torch.diag(scale), gradient).clamp(-0.2, 0.2)
            for u, at, move in zip(parameters, began, step.tolist(), strict=True):
                u.fill_(at + move)
            tried = (target - sound()).double()
            now = float(tried @ tried)
            if now < energy:
                improved, gain = True, 1.0 - now / energy
                residual, energy = tried, now
                damping = max(damping / 9.0, 1e-9)
                break
            damping *= 8.0
        if not improved:
            for u, at in zip(parameters, began, strict=True):
                u.fill_(at)
            break
        result.after, result.iterations = energy**0.5 / size, iteration + 1
        if report is not None:
            report(iteration + 1, result.after)
        if gain < 1e-4 or result.after < 1e-6:
            break
    if errors:
        result.standard_errors, result.alike = uncertainty(parameters, sound, residual, sounds)
    return result


@torch.no_grad()
def uncertainty(
    parameters: Sequence[nn.Parameter], sound: Sound, residual: Tensor, sounds: Sounds | None = None
) -> tuple[list[float], list[tuple[int, int]]]:
    """Standard error of each parameter in the constrained domain, from the curvature at the present values; and the pairs whose
    errors go together, so that one can stand for the other, such as makeup and mix.

    Three things add up to the variance: noise in the residual, of which one sample in INDEPENDENT counts, as neighbours are
    not independent; what of the residual is not noise (the share that its autocorrelation shows), which may all be the fault of
    one value, so it is not averaged; and the step that Newton's method would still take. Directions in which the sound moves
    less than the rounding of the slopes are not determined at all. Infinite where the sound does not depend on the parameter.
    `benchmarks/intervals.py` counts how often 1.96 standard errors hold the truth.
    """
    slopes = _jacobian(parameters, sound, sounds).double()
    count, energy = residual.numel(), float(residual @ residual)
    size = float(torch.linalg.vector_norm(sound().double()) ** 2)
    rounding = (ROUNDING / (2.0 * STEP)) ** 2 * 2.0 * size  # energy of the error of a slope
    normal, gradient = slopes @ slopes.T, slopes @ residual
    deviations = [float("inf")] * len(parameters)
    index = torch.nonzero(torch.diagonal(normal) > 9.0 * rounding).flatten()
    if index.numel() == 0:
        return deviations, []
    values, vectors = torch.linalg.eigh(normal[index][:, index])
    known = torch.where(values > 3.0 * rounding, values - rounding, torch.full_like(values, TINY * float(values.max())))
    covariance = (vectors / known) @ vectors.T
    per_sample = INDEPENDENT / count + _share_of_structure(residual)
    left = covariance @ gradient[index]
    variance = torch.diagonal(covariance) * (energy + 2.0 * ROUNDING**2 * size) * per_sample + left**2
    for place, i in enumerate(index.tolist()):
        deviations[i] = float(torch.sqrt(variance[place]))
    spread = torch.sqrt(torch.diagonal(covariance).clamp(min=1e-300))
    together = (covariance / torch.outer(spread, spread)).abs()
    pairs = [(a, b) for a in range(len(index)) for b in range(a + 1, len(index)) if float(together[a, b]) > ALIKE]
    named = [(int(index[a]), int(index[b])) for a, b in pairs]
    return deviations, [(i, j) for i, j in named if min(deviations[i], deviations[j]) > NOTABLE]


def _share_of_structure(residual: Tensor) -> float:
    """The share of a residual that is not white: its largest autocorrelation at LAGS, beyond what white noise has."""
    energy = float(residual @ residual)
    if energy == 0.0:
        return 0.0
    shares = [abs(float(residual[lag:] @ residual[:-lag])) / energy for lag in LAGS if lag < residual.numel()]
    return float(max(max(shares, default=0.0) - 4.0 / residual.numel() ** 0.5, 0.0))
