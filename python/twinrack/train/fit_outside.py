"""The fit of a rack in which something has no twin: another maker's plugin, or a Python function.

Nothing is known of its inside, so all derivatives are differences of renders, of its values and of those of the exact blocks
beside it alike: the search that every plain fit begins with (see `find.blocks`), to its end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import numpy as np

from ..audio import Audio
from ..measure.distances import distances
from ..measure.residual import residual_of
from ..rack.card import Value
from ..rack.effect import unknown
from ..rack.external_effect import ExternalEffect
from ..rack.idle import idle
from ..rack.rack import Rack
from ..system import interrupt
from .addresses import Patterns, patterns_of
from .advice import verdict
from .data import Pair, Split, split
from .find.candidates import Candidates
from .find.levenberg import normal_equations, slopes_of
from .find.values import find_values
from .progress import FitProgress
from .result import FitResult, ParameterResult, give_provenance, in_units
from .run import INTERRUPTED, InterruptedFitError
from .settings import RackSettings

STEP = 1e-3  # of the differences that give standard errors
LIMITS = (
    "{} has no twin, so all slopes are differences of its renders: slow, and blind to what moves by itself; standard errors "
    "suppose that what is left is white noise"
)


def outside(rack: Rack) -> str:
    """The address of an effect that has no twin; empty where all have one."""
    return next((a for a, e in rack.addresses().items() if isinstance(e, ExternalEffect)), "")


def learned_outside(rack: Rack, learn: Patterns | None, freeze: Patterns, channels: int) -> list[str]:
    """Addresses that are looked for: of all effects what is learnable, in use, and does something.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left.
    """
    every, usual = [], set()
    for address, effect in rack.addresses().items():
        still = effect.switched_off() | idle(effect.card, effect.values(), channels)
        for name, p in effect.card.addresses.items():
            if p.learnable:
                every.append(f"{address}.{name}")
                if name not in still and not effect.bypass:
                    usual.add(every[-1])

    def matching(patterns: Patterns) -> set[str]:
        hits: set[str] = set()
        for pattern in patterns_of(patterns):
            fits = {a for a in every if fnmatch(a, pattern) and (a in usual or a == pattern)}
            if not fits:
                raise ValueError(unknown(pattern, every, "the rack", "learnable parameter"))
            hits |= fits
        return hits

    wanted = (usual if learn is None else matching(learn)) - matching(freeze)
    if not wanted and learn is None:
        raise ValueError("no parameter is left to train; add effects, or name more in learn")
    return [a for a in every if a in wanted]


def fit_outside(
    rack: Rack,
    pairs: list[Pair],
    rate: float,
    settings: RackSettings,
    learn: Patterns | None,
    freeze: Patterns,
    opened: dict[str, Sequence[Value]],
    bar: FitProgress,
) -> FitResult:
    """The fit of a rack with external effects.

    Args:
        rack: structure and start values; it is not changed.
        pairs: the recordings, at `rate` in Hz.
        settings: of `fit_rack`.
        learn, freeze: as there.
        opened: choices that are tried, and the options of each.

    Raises:
        ValueError: nothing is left to train.
        KeyboardInterrupt: Ctrl-C, before anything was found; later the best so far is the result.
        InterruptedFitError: the command was asked to end.
    """
    began = time.monotonic()
    channels = pairs[0].dry.shape[0]

    def learned(some: Rack) -> list[str]:
        return learned_outside(some, learn, freeze, channels)

    learned(rack)
    findings = find_values(
        rack, pairs, rate, learned,
        validation=settings.validation, opened=opened, may_add=learn is None, seed=settings.seed, seconds=settings.seconds,
        report=bar.finding,
    )  # fmt: skip
    if findings.interrupted and interrupt.received():  # the command ends now, and has no time to measure
        raise InterruptedFitError(findings.rack)
    pairs = findings.pairs
    splits = [split(p.frames, rate, settings.validation).after(p.compared_from) for p in pairs]
    distance = {which: distances(_held_out(r, pairs, splits, rate), rate) for which, r in (("nothing", None), ("start", rack))}
    pieces = _held_out(findings.rack, pairs, splits, rate)
    fitted, chosen = distances(pieces, rate), findings.rack
    stopped = INTERRUPTED if findings.interrupted else "the search ended"
    if fitted.error_db > distance["start"].error_db:
        fitted, chosen, stopped = distance["start"], rack.copy(), f"{stopped}; nothing better than the start was found"
        pieces = _held_out(chosen, pairs, splits, rate)
    result = FitResult(
        rack=chosen,
        start_rack=rack.copy(),
        pairs=pairs,
        sample_rate=rate,
        nothing=distance["nothing"],
        start=distance["start"],
        fitted=fitted,
        parameters=_parameters(rack, chosen, learned(chosen), Candidates(chosen, learned(chosen), pairs, splits, rate)),
        history=[],
        settings=replace(settings, learn=learned(chosen), choices=list(opened), steps=0, polish_steps=0).record(),
        stopped=stopped,
        skipped_steps=0,
        seconds=time.monotonic() - began,
        splits=splits,
        structures=findings.tried,
        warnings=[*findings.notes, LIMITS.format(outside(rack))],
        residual=residual_of(pieces, rate),
    )
    assert result.residual is not None
    result.advice = verdict(chosen, result.residual)
    give_provenance(result, rack)
    return result


def _held_out(rack: Rack | None, pairs: Sequence[Pair], splits: Sequence[Split], rate: float) -> list[tuple[Audio, Audio]]:
    """Result and target of each held-out stretch; without a rack the dry sound is the result."""
    pieces: list[tuple[Audio, Audio]] = []
    for pair, parts in zip(pairs, splits, strict=True):
        y = pair.dry if rack is None else np.asarray(rack(pair.dry, rate))
        pieces += [(y[:, a:b], pair.wet[:, a:b]) for a, b in parts.held_out]
    return pieces


def _parameters(before: Rack, after: Rack, learned: Sequence[str], candidates: Candidates) -> list[ParameterResult]:
    """Each value that was looked for, with its standard error by the slopes of the waveform."""
    free = list(range(len(learned)))
    errors: Any = np.full(len(free), np.nan)
    if free:
        here = candidates.waveform(candidates.start[None])[0]
        slopes = slopes_of(candidates.waveform, candidates.start, free, np.full(len(free), STEP), True, here)
        normal = normal_equations(slopes, here, None)[0] * here.size
        variance = float(np.dot(here, here)) / max(here.size - len(free), 1)
        errors = np.sqrt(np.maximum(np.diagonal(np.linalg.pinv(normal, hermitian=True)), 0.0) * variance)
    results = []
    for i, (address, p) in enumerate(zip(learned, candidates.cards, strict=True)):
        fitted = float(after.get(address))
        start = float(before.get(address)) if address.partition(".")[0] in before.addresses() else float(p.default)
        value = ParameterResult(address, start, fitted, p.unit, p.min, p.max, p.expected, jnd=p.jnd_at(fitted))
        if np.isfinite(errors[i]):
            value.standard_error, value.determined = in_units(p, float(candidates.start[i]), float(errors[i]))
        results.append(value)
    return results
