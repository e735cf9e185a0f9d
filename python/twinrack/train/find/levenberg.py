"""Bounded least squares by Levenberg and Marquardt, for residuals that come from renders of many positions at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ...system.interrupt import check
from .in_chunks import added

Positions = npt.NDArray[np.float64]  # (n,): each value's place in its range, 0 to 1, in the parameter's own scale
Residuals = npt.NDArray[np.float32]

FIRST_STEP, LEAST_STEP = 4e-3, 5e-4  # of a difference between two renders
MOVES = 0.3  # a difference by a step, relative to what is left
LONGEST = 0.25  # of a step
DAMPINGS = (0.1, 1.0, 10.0, 100.0)  # tried beside each other, times the present one
NO_GAIN = 2e-3
STALLS = 4
LEAST_SCALE = 1e-7  # of the largest: what moves the sound less is held by the damping


class ManyResiduals(Protocol):
    """Residuals of many positions, (k, n) to (k, m) float32, on average 1 in power where nothing fits."""

    def __call__(self, many: npt.NDArray[np.float64]) -> Residuals: ...


@dataclass
class Minimum:
    """Where a minimisation ended.

    Attributes:
        positions: all of them, also those that were held.
        energy: mean square of the residuals (of the robust loss, where there is one).
        iterations: that were taken.
    """

    positions: Positions
    energy: float
    iterations: int = 0


def energy_of(residuals: Residuals, bend: float | None) -> npt.NDArray[np.float64]:
    """Mean square of each row; with `bend` growing only linearly for residuals beyond it (pseudo-Huber)."""
    if bend is None:
        return np.asarray([float(np.dot(r, r)) / max(r.size, 1) for r in residuals])
    ratio = residuals / np.float32(bend)
    np.square(ratio, out=ratio)
    ratio += 1.0
    np.sqrt(ratio, out=ratio)
    return np.asarray(2.0 * bend * bend * (ratio.mean(1, dtype=np.float64) - 1.0))


def slopes_of(
    residuals: ManyResiduals, at: Positions, free: Sequence[int], steps: Positions, both_sides: bool, here: Residuals
) -> Residuals:
    """Derivatives of the residuals by each free position, (free, m), by differences of renders.

    Args:
        steps: how far the renders lie from `at` for each free position; inside the range.
        both_sides: more exact, and twice as many renders.
        here: the residuals at `at`.
    """
    many, widths = [], []
    for i, step in zip(free, steps, strict=True):
        high, low = min(at[i] + step, 1.0), max(at[i] - step, 0.0)
        ends = (high, low) if both_sides else ((high,) if high > at[i] + 0.5 * step else (low,))
        for end in ends:
            moved = at.copy()
            moved[i] = end
            many.append(moved)
        widths.append(high - low if both_sides else ends[0] - at[i])
    rows = residuals(np.array(many))
    if both_sides:
        slopes = rows[0::2]
        slopes -= rows[1::2]
    else:
        slopes = rows
        slopes -= here
    slopes /= np.array(widths, np.float32)[:, None]
    return slopes


def minimise(
    residuals: ManyResiduals,
    start: Positions,
    iterations: int,
    *,
    free: Sequence[int] | None = None,
    bend: float | None = None,
    reached: float = 0.0,
    step: float = FIRST_STEP,
    least_step: float = LEAST_STEP,
    halves_in: int | None = None,
    report: Callable[[int, float, Positions], None] | None = None,
) -> Minimum:
    """Lower the energy of the residuals from `start`; a step that does not lower it is not taken.

    Args:
        start: (n,); stays inside 0 to 1.
        iterations: at most so many; ends earlier when nothing improves.
        free: positions that move; all of them when not given.
        bend: see `energy_of`.
        reached: energy that is low enough.
        step, least_step: of the differences, at first and at least: they become smaller with what is left.
        halves_in: give up when so many iterations have not lowered the energy by half.
        report: called after each iteration with its number, the energy and the positions.
    """
    moving = list(range(start.size)) if free is None else list(free)
    at = np.clip(start, 0.0, 1.0)
    here = residuals(at[None])[0]
    energy = float(energy_of(here[None], bend)[0])
    result = Minimum(at, energy)
    if not moving:
        return result
    damping, both_sides, stalls = 1e-3, False, 0
    history, steps = [energy], np.full(len(moving), step)
    for iteration in range(1, iterations + 1):
        if energy <= reached:
            break
        check()
        slopes = slopes_of(residuals, at, moving, steps, both_sides, here)
        lengths = np.sqrt([float(np.dot(r, r)) / max(r.size, 1) for r in slopes]) + 1e-30
        normal, gradient = normal_equations(slopes, here, bend)
        if not (np.isfinite(normal).all() and np.isfinite(gradient).all()):
            break
        stuck = ((at[moving] <= 0.0) & (gradient > 0.0)) | ((at[moving] >= 1.0) & (gradient < 0.0))
        index = np.flatnonzero(~stuck)
        if not index.size:
            break
        normal, gradient = normal[np.ix_(index, index)], gradient[index]
        scale = np.diagonal(normal)
        scale = np.maximum(scale, LEAST_SCALE * scale.max() + 1e-30)
        places = np.array(moving)[index]
        gain, tries = 0.0, 0
        while tries < 2 and gain <= 0.0:
            trials = np.repeat(at[None], len(DAMPINGS), 0)
            for trial, factor in zip(trials, DAMPINGS, strict=True):
                move = -np.linalg.solve(normal + np.diag(damping * factor * scale), gradient)
                trial[places] += np.clip(move, -LONGEST, LONGEST)  # each by itself: some may be undetermined
            np.clip(trials, 0.0, 1.0, out=trials)
            rows = residuals(trials)
            energies = np.nan_to_num(energy_of(rows, bend), nan=np.inf)
            best = int(np.argmin(energies))
            if energies[best] < energy:
                gain = 1.0 - energies[best] / energy
                at, here, energy = trials[best].copy(), rows[best].copy(), float(energies[best])
                damping = float(np.clip(damping * DAMPINGS[best], 1e-10, 1e3))
            else:
                damping *= 1e3
                tries += 1
        result = Minimum(at, energy, iteration)
        history.append(energy)
        if report is not None:
            report(iteration, energy, at)
        if halves_in and iteration >= halves_in and history[-1] > 0.5 * history[-1 - halves_in]:
            break
        if gain < NO_GAIN:
            if not both_sides or step > least_step:
                both_sides, step, damping = True, max(step / 4.0, least_step), min(damping, 1e-3)
            else:
                stalls += 1
                if gain <= 0.0 or stalls > STALLS:
                    break
        else:
            stalls = 0
        steps = np.clip(MOVES * np.sqrt(energy) / lengths, least_step, step)
    return result


def normal_equations(slopes: Residuals, here: Residuals, bend: float | None) -> tuple[Positions, Positions]:
    """The matrix and the gradient of the least squares, divided by the number of residuals."""
    count = max(here.size, 1)

    def part(start: int, end: int) -> npt.NDArray[np.float64]:
        rows, r = slopes[:, start:end], here[start:end]
        if bend is not None:
            root = (1.0 + (r / np.float32(bend)) ** 2) ** np.float32(-0.25)
            rows, r = rows * root, r * root
        s, e = torch.from_numpy(rows).double(), torch.from_numpy(r).double()  # values that act alike need the digits
        return np.asarray(torch.cat([s @ s.T, (s @ e)[:, None]], 1))

    both = added(part, here.size)
    return both[:, :-1] / count, both[:, -1] / count
