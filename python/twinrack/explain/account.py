"""An account of a fitted rack: what each block does to the sound, in words and numbers that can be checked by listening."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..audio import Audio
from ..measure.drift import figures
from ..rack.effect import Effect
from ..rack.rack import Rack
from .ablation import Ablation, ablate

if TYPE_CHECKING:
    from ..train.data import Pair
    from ..train.result import FitResult

LONGEST_S = 20.0
SHOWN = 4


def account(result: FitResult) -> str:
    """Each block of the fitted rack, in order: its purpose, what is lost without it, how it moves level and spectrum, and the
    values that matter most.

    Measured on the dry recordings (at most 20 s), with each block left out in turn and each value put back to its default.
    """
    sound = _sound(result.pairs, result.sample_rate)
    ablations = ablate(result.rack, sound, result.sample_rate)
    lines = []
    for address, effect in result.rack.addresses().items():
        own = [a for a in ablations if a.address.partition(".")[0] == address]
        whole = next((a for a in own if a.before is None), None)
        lines.append(f"{address}: {effect.card.purpose}")
        if whole is None:
            lines.append("    bypassed; it changes nothing")
            continue
        lines += [f"    {line}" for line in _effect_lines(result.rack, address, effect, whole, sound, result.sample_rate)]
        values = [a for a in own if a.before is not None][:SHOWN]
        for a in values:
            lines.append(
                f"    {a.address.partition('.')[2]} = {_number(a.before)} (default {_number(a.after)}): {_loss_without(a)}"
            )
    return "\n".join(lines)


def _sound(pairs: Sequence[Pair], rate: float) -> Audio:
    longest = max((p.dry for p in pairs), key=lambda x: x.shape[1])
    return np.ascontiguousarray(longest[:, : int(LONGEST_S * rate)])


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _loss_without(a: Ablation) -> str:
    return f"without it {a.distances.error_db:.1f} dB of difference, {a.jnds:.2g} JND, {a.loudness_lu:+.1f} LU"


def _effect_lines(rack: Rack, address: str, effect: Effect, whole: Ablation, sound: Audio, rate: float) -> list[str]:
    """The difference that the block makes to the sound, and what it was given."""
    without = rack.copy()
    without[address].bypass = True
    moved = figures([(rack.copy()(sound, rate), without(sound, rate))], rate)
    lines = [
        f"left out: {whole.distances.error_db:.1f} dB of difference (0 dB: as much as the sound), {whole.audible_db:.1f} dB "
        f"above what the sound hides, {whole.jnds:.2g} JND where it is heard most, {whole.loudness_lu:+.1f} LU",
        f"it changes the spectrum by {moved['spectrum']:.1f} dB, the level's movement by {moved['envelope']:.1f} dB, and "
        f"leaves {100 * moved['phase']:.0f} % of the energy in phase",
    ]
    for name, resource in effect.resources.items():
        lines.append(f"{name}: {resource!r}")
    return lines
