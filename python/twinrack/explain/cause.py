"""The cause of an effect's largest gain reduction: which part of the input made it, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio import Audio
from ..rack.rack import Rack
from .attribution import Faithfulness, ReductionAt, Saliency, faithfulness, saliency
from .sound_change import hertz_text
from .wishes import GainReduction, Rendering

BEFORE_S, AFTER_S = 1.2, 0.1  # of the sound about the moment
LEAST_DB = 0.5  # of reduction
STEPS = 12


@dataclass(frozen=True)
class Cause:
    """The attribution of one reduction.

    Attributes:
        at_s: the moment, in seconds of the sound; `starts_s` is where the part begins that was looked at.
        saliency: of the reduction, over that part.
        trust: how far it can be relied on.
    """

    at_s: float
    starts_s: float
    saliency: Saliency
    trust: Faithfulness

    def __str__(self) -> str:
        time, hertz = self.saliency.strongest()
        doubt = "" if self.trust.holds else "; do not rely on this"
        return (
            f"its largest reduction, {self.saliency.value:.1f} dB at {self.at_s:.2f} s, is caused most by the input at "
            f"{self.starts_s + time:.2f} s about {hertz_text(hertz)} (checked: removing what is called important changes it by "
            f"{100 * self.trust.deletion:.0f} %, removing anything by {100 * self.trust.deletion_random:.0f} %{doubt})"
        )


def cause_of_reduction(rack: Rack, address: str, sound: Audio, rate: float) -> Cause | None:
    """The cause of the largest gain reduction of an effect on a sound; None where it takes away less than 0.5 dB.

    Args:
        rack: it is not changed; without sidechains.
        address: of an effect whose gain follows the sound.
        sound: (channels, frames), at `rate` in Hz.
    """
    times, gain = GainReduction(rack, address, 0.0).gains(Rendering(rack, {}, sound, rate))[0]
    if not np.isfinite(gain).any() or np.nanmin(gain) > -LEAST_DB:
        return None
    at = float(times[int(np.nanargmin(gain))])
    first = max(round((at - BEFORE_S) * rate), 0)
    part = np.ascontiguousarray(sound[:, first : round((at + AFTER_S) * rate)])
    of = ReductionAt(rack, address, at - first / rate, rate)
    attributed = saliency(part, rate, of, steps=STEPS)
    if attributed.value < LEAST_DB:  # a moment that is too short, such as between two words
        return None
    return Cause(at, first / rate, attributed, faithfulness(attributed, part, rate, of))
