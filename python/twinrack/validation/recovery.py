"""Recovery: which values of a rack a fit still finds when the wet recording is degraded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..audio import Audio
from ..measure.difference import difference_db
from ..rack.rack import Rack
from ..system.interrupt import check
from ..train.fit import fit
from .degradations import Rung, ladder

FAMILIES = ("noise", "hum", "clipping", "codec")  # what happens to recordings of a real device
WITHIN_JNDS = 1.0


@dataclass(frozen=True)
class Recovered:
    """The result of one fit.

    Attributes:
        rung: its name; "clean" for the recording as it is.
        found, lost: addresses of values that are within 1 JND of the truth, and of those that are not.
        off_jnds: by address, how far each is from the truth.
        error_db: of the fitted rack against the clean wet recording.
        seconds: that the fit took.
    """

    rung: str
    found: tuple[str, ...]
    lost: tuple[str, ...]
    off_jnds: dict[str, float]
    error_db: float
    seconds: float

    def __str__(self) -> str:
        text = (
            f"{self.rung}: {len(self.found)} of {len(self.found) + len(self.lost)} values within 1 JND, {self.error_db:.0f} dB"
        )
        worst = sorted(self.lost, key=lambda a: -self.off_jnds[a])[:3]
        return text + (f"; lost: {', '.join(f'{a} ({self.off_jnds[a]:.2g} JND off)' for a in worst)}" if worst else "")


def recovery(
    rack: Rack, sound: Audio, sample_rate: float, rungs: Iterable[Rung] | None = None, start: Rack | None = None
) -> list[Recovered]:
    """Take a rack's values as the hidden truth, let it play a sound, degrade what comes out, and fit it again from defaults.

    Args:
        rack: the truth; it is not changed.
        sound: clean, (channels, frames).
        sample_rate: Hz.
        rungs: None are those of noise, hum, clipping and codecs, and "clean" before all.
        start: of the fits; None is the rack with all its numbers at their defaults.
    """
    truth = rack.copy()
    wet = truth(sound, sample_rate)
    begin = at_defaults(rack) if start is None else start
    chosen = [r for r in ladder((), sample_rate) if r.family in FAMILIES] if rungs is None else list(rungs)
    results = []
    for rung in [None, *chosen]:
        check()
        degraded = wet if rung is None else rung.degrade(wet, sample_rate)
        result = fit(begin, sound, degraded, sample_rate, choices=(), align=False, progress=False)
        off = {}
        for p in result.parameters:
            address, _, name = p.address.partition(".")
            if address in rack.addresses():
                card = rack.addresses()[address].card.addresses[name]
                off[p.address] = abs(card.jnds(float(rack.get(p.address)), p.fitted) or 0.0)
        near = tuple(a for a, jnds in off.items() if jnds <= WITHIN_JNDS)
        error = difference_db(result.rack(sound, sample_rate), wet)
        name = "clean" if rung is None else rung.name
        results.append(Recovered(name, near, tuple(a for a in off if a not in near), off, error, result.seconds))
    return results


def at_defaults(rack: Rack) -> Rack:
    """A copy with all numbers that can be learned at their cards' defaults; choices, switches and types stay."""
    own = rack.copy()
    own.provenance = {}
    for address, effect in own.addresses().items():
        for name, p in effect.card.addresses.items():
            if p.kind == "continuous" and p.learnable and name not in effect.switched_off():
                own.set(f"{address}.{name}", effect.default(name))
    return own
