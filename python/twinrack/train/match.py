"""`match`: the values that bring a sound to a spectrum, a loudness, a decay or a width, where no recording shows the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch

from ..rack.rack import Rack, as_rack
from ..rack.signatures import spelled_out
from ..twins.rack_twin import RackTwin
from .data import Pair, Source
from .fit_rack import fit_rack
from .losses import Loss, Term
from .result import FitResult
from .settings import MatchSettings
from .targets import Decay, Target


@dataclass
class MatchResult:
    """Result of a match: `rack` has the fitted values, `before` and `after` say how far away each target was, in its unit;
    `fit` is the whole record."""

    rack: Rack
    before: dict[str, float]
    after: dict[str, float]
    units: dict[str, str]
    fit: FitResult

    def __str__(self) -> str:
        lines = [f"match of {len(self.fit.settings['learn'])} parameters in {self.fit.seconds:.0f} s ({self.fit.stopped}):"]
        for name, gap in self.after.items():
            lines.append(f"  {name.removeprefix('reach '):<12}{self.before[name]:8.2f} -> {gap:.2f} {self.units[name]} away")
        outside = [f"{p.address} ({p.text})" for p in self.fit.parameters if not p.inside_expected]
        if outside:
            lines.append(f"  outside the expected range: {', '.join(outside)}")
        return "\n".join(lines)

    __repr__ = __str__


REFUSED = ("loss", "validation", "align", "choices", "starts", "conditions", "window_s", "polish_steps")


@spelled_out(fit_rack, only=MatchSettings.__annotations__, besides=REFUSED)
def match(
    rack: Rack,
    sound: Source | Sequence[Source],
    sample_rate: float | None = None,
    *,
    target: Loss | Term,
    steps: int = 200,
    **settings: Unpack[MatchSettings],
) -> MatchResult:
    """Find the values with which `rack` brings a sound to targets.

    Args:
        rack: structure and start values; it is not changed.
        sound: what goes through it: an array (channels, frames), a file, a list, or a folder; each as a whole, in turn.
        sample_rate: Hz; needed for arrays.
        target: a sum of `targets`, with weights; terms on the values (`losses.Expected`, `Near`, `Sparse`) may be added.
        steps: of Adam.
        settings: as for `fit`: learn, freeze, learning_rate, seed, progress, live, tensorboard, …

    Returns:
        The rack, and how far away each target was before and after.

    Raises:
        ValueError: no target, or what `fit` refuses.
    """
    rack = as_rack(rack)
    wanted = Loss() + target
    reached = [term for weight, term in wanted.terms if isinstance(term, Target | Decay) and weight > 0]
    if not reached:
        raise ValueError("nothing is to be reached; give a target, such as targets.Loudness(-16)")
    for name in REFUSED:
        if name in settings:
            raise ValueError(f"match takes no {name}")
    result = fit_rack(
        rack, sound, sound, sample_rate, loss=wanted, steps=steps, window_s=1e6, validation=False, align=False, polish_steps=0,
        compares=False, **settings,
    )  # fmt: skip
    keys = [t.name if [u.name for u in reached].count(t.name) == 1 else f"{t.name} {i}" for i, t in enumerate(reached, 1)]
    named = dict(zip(keys, reached, strict=True))
    gaps = [_gaps(named, r, result.pairs, result.sample_rate) for r in (rack, result.rack)]
    names = {key: term.unit for key, term in named.items()}
    result.rack.provenance["reached"] = gaps[1]
    return MatchResult(result.rack, gaps[0], gaps[1], names, result)


@torch.no_grad()
def _gaps(reached: Mapping[str, Target | Decay], rack: Rack, pairs: Sequence[Pair], rate: float) -> dict[str, float]:
    sounds = [torch.from_numpy(rack.copy()(p.dry, rate))[None] for p in pairs]
    gaps = {}
    for key, term in reached.items():
        if isinstance(term, Decay):
            gaps[key] = float(term.gap(RackTwin(rack, rate)))
        else:
            gaps[key] = float(np.mean([float(term.gap(y, rate)) for y in sounds]))
    return gaps
