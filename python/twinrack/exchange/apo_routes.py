"""The rack for what a preset does to left and right.

Each output is a sum of routes: from an input, through filters, with a factor. Where left comes from left and right from right
alone, the rack is one line of effects whose bands name their side. Otherwise (after Copy lines) it is parallel branches, each a
2 × 2 matrix as a true-stereo impulse response of one frame, and then the filters that its routes share.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..rack.effect import Effect
from ..rack.effects import Band, ConvolutionReverb, Gain, ParametricEQ
from ..rack.rack import Rack
from ..rack.tree import Parallel
from .apo_line import Filter, LeftOutError
from .curve import minimum_phase

BANDS = 16
LOUDEST_DB, QUIETEST_DB = 100.0, -200.0
MOST_ROUTES = 64  # of an output
_FAR = 0.01  # the smallest ratio of the two sides that one balance says without rounding errors
_CLOSE = 1e-12
_DIGITS = 12  # of a level in dB, so that what was written comes back


@dataclass(frozen=True, eq=False)
class Curve:
    """A GraphicEQ: points of Hz and dB, lowest first."""

    nodes: Sequence[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Delay:
    """Frames."""

    frames: int


@dataclass(frozen=True, eq=False)
class Response:
    """One channel of an impulse response; `file` is the same for channels that were read together."""

    samples: npt.NDArray[np.float32]
    sample_rate: float
    file: object


Step = Filter | Curve | Delay | Response


@dataclass(frozen=True)
class Route:
    """From input 0 (left) or 1 (right), times a factor, through steps."""

    source: int
    factor: float = 1.0
    steps: tuple[Step, ...] = ()


Routes = list[Route]


def scaled(routes: Routes, factor: float) -> Routes:
    return [Route(r.source, r.factor * factor, r.steps) for r in routes if factor]


def added(routes: Routes) -> Routes:
    """The same sum with one route for each input and steps.

    Raises:
        LeftOutError: more than MOST_ROUTES are left, or a factor is too large to compute with.
    """
    factors: dict[tuple[int, tuple[Step, ...]], float] = {}
    for r in routes:
        factors[r.source, r.steps] = factors.get((r.source, r.steps), 0.0) + r.factor
    if not all(math.isfinite(factor) for factor in factors.values()):
        raise LeftOutError("its factors are beyond all bounds")
    if len(factors) > MOST_ROUTES:
        raise LeftOutError(f"a channel is the sum of at most {MOST_ROUTES} routes")
    return [Route(source, factor, steps) for (source, steps), factor in factors.items() if factor]


def rack_of(left: Routes, right: Routes, sample_rate: float, order: Callable[[Step], int], name: str) -> Rack:
    """The rack whose outputs are the sums of these routes.

    Args:
        sample_rate: Hz at which curves are designed and delays counted.
        order: the place of a step in the file.

    Raises:
        ValueError: a gain or a response that is out of range.
    """
    straight = all(r.source == side for side, routes in enumerate((left, right)) for r in routes)
    if straight and len(left) <= 1 and len(right) <= 1:
        sides = [set(routes[0].steps) if routes else set() for routes in (left, right)]
        if not left or not right:  # a silent side may have the other's filters, of which nothing is heard
            sides = [sides[0] | sides[1]] * 2
        gains = _gains(*(routes[0].factor if routes else 0.0 for routes in (left, right)))
        return Rack([*gains, *_effects(sides[0], sides[1], sample_rate, order)], name=name)
    branches: dict[tuple[Step, ...], npt.NDArray[np.float64]] = {}
    for to, routes in enumerate((left, right)):
        for r in routes:
            branches.setdefault(r.steps, np.zeros((2, 2)))[r.source, to] += r.factor
    chains = [
        [*_matrix(matrix, sample_rate), *_effects(set(steps), set(steps), sample_rate, order)]
        for steps, matrix in branches.items()
    ]
    return Rack(chains[0] if len(chains) == 1 else [Parallel(chains)], name=name)


def _gains(left: float, right: float) -> list[Effect]:
    """Two factors as gains with balance and polarity; on a mono sound the louder one acts."""
    loudest, quietest = max(abs(left), abs(right)), min(abs(left), abs(right))
    if loudest == 0.0:
        return [Gain(gain_db=Gain.card.addresses["gain_db"].min) for _ in range(2)]
    level = round(max(_level(loudest), QUIETEST_DB), _DIGITS)
    ratio = quietest / loudest if quietest > 10.0 ** (QUIETEST_DB / 20.0) * loudest else 0.0
    side = 1.0 if abs(left) < abs(right) else -1.0
    polarity = {(False, False): "normal", (True, True): "invert", (True, False): "invert_left", (False, True): "invert_right"}
    settings: dict[str, Any] = {"polarity": polarity[left < 0, right < 0]}
    limits = Gain.card.addresses["gain_db"]
    effects: list[Effect] = []
    while True:
        part = min(max(level, limits.min), limits.max)
        share = max(ratio, _FAR) if ratio else 0.0
        balance = side * (1.0 - share) if abs(1.0 - share) > _CLOSE else 0.0
        if part or balance or settings.get("polarity", "normal") != "normal":
            effects.append(Gain(gain_db=part, balance=balance, **settings))
        level, settings = round(level - part, _DIGITS), {}
        ratio = ratio / share if share and ratio < _FAR else 1.0
        if not level and abs(ratio - 1.0) <= _CLOSE:
            return effects


def _level(factor: float) -> float:
    """dB of a factor above 0.

    Raises:
        ValueError: more than can be played.
    """
    level = 20.0 * math.log10(factor)
    if not level <= LOUDEST_DB:
        raise ValueError(f"its preamps and sums add up to {level:.6g} dB; up to {LOUDEST_DB:g} dB can be played")
    return level


def _matrix(matrix: npt.NDArray[np.float64], sample_rate: float) -> list[Effect]:
    """Factors from an input (row) to an output (column)."""
    if matrix[0, 1] == 0.0 and matrix[1, 0] == 0.0:
        return _gains(float(matrix[0, 0]), float(matrix[1, 1]))
    _level(float(np.max(np.abs(matrix))))
    return [_convolution(matrix.reshape(4, 1).astype(np.float32), sample_rate, "Copy")]


def _effects(left: set[Step], right: set[Step], sample_rate: float, order: Callable[[Step], int]) -> list[Effect]:
    """Steps of the two sides; filters commute, so that those of a kind stand together."""
    placed = [
        (s, "all" if s in left and s in right else "left" if s in left else "right") for s in sorted(left | right, key=order)
    ]
    bands = [_band(step, side) for step, side in placed if isinstance(step, Filter)]
    effects: list[Effect] = [
        ParametricEQ(bands=bands[first : first + BANDS], warping="bilinear") for first in range(0, len(bands), BANDS)
    ]
    curves = [[s.nodes for s, where in placed if isinstance(s, Curve) and where in ("all", side)] for side in ("left", "right")]
    if curves[0] or curves[1]:
        same = curves[0] == curves[1]
        responses = [minimum_phase(c, sample_rate) if c else _impulse(0) for c in (curves[:1] if same else curves)]
        effects.append(_convolution(_together(responses), sample_rate, "GraphicEQ"))
    delays = [
        sum(s.frames for s, where in placed if isinstance(s, Delay) and where in ("all", side)) for side in ("left", "right")
    ]
    if any(delays):
        responses = [_impulse(d) for d in (delays[:1] if delays[0] == delays[1] else delays)]
        effects.append(_convolution(_together(responses), sample_rate, "Delay"))
    files = [(s, where) for s, where in placed if isinstance(s, Response)]
    for _, group in itertools.groupby(files, key=lambda f: id(f[0].file)):
        of = list(group)
        if len(of) == 1 and of[0][1] == "all":
            responses = [of[0][0].samples]
        else:
            channels = {where: s.samples for s, where in of}
            responses = [channels.get(side, _impulse(0)) for side in ("left", "right")]
        effects.append(_convolution(_together(responses), of[0][0].sample_rate, "Convolution"))
    return effects


def _band(step: Filter, side: str) -> Band:
    settings: dict[str, Any] = {"type": step.kind, "frequency_hz": step.frequency_hz, "gain_db": step.gain_db, "q": step.q}
    if side != "all":
        settings["channel"] = side
    return Band(**settings)


def _impulse(delay: int) -> npt.NDArray[np.float32]:
    impulse = np.zeros(delay + 1, np.float32)
    impulse[delay] = 1.0
    return impulse


def _together(responses: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    frames = max(r.size for r in responses)
    return np.stack([np.pad(r, (0, frames - r.size)) for r in responses])


def _convolution(samples: npt.NDArray[np.float32], sample_rate: float, what: str) -> Effect:
    from ..resources.response import Response as Impulse

    return ConvolutionReverb(mix=1.0, normalise=False, impulse_response=Impulse(samples, sample_rate, what))
