"""`validate`: a rack on controlled signals, on the ladder from there to real sound, and the recordings it was made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio import Audio, check_rate
from ..checks import check_number
from ..explain.overview import loudest_part, telling_sound
from ..rack.rack import Rack, as_rack
from ..rack.running import Sidechain
from ..version import __version__
from .claims import Claim, claims_of
from .coverage import Coverage, coverage
from .failure_map import FailureMap, Reference, failure_map
from .groups import Groups, compare_groups
from .recordings import Recording
from .recovery import Recovered, recovery

LONGEST_S, SHORTEST_S = 6.0, 0.5


@dataclass(frozen=True, eq=False)
class Validation:
    """The result of a validation.

    Attributes:
        rack, sample_rate: what was validated, at which rate in Hz.
        claims: of all blocks.
        map: the failure map; None where no sound was given.
        coverage: of the recordings; None where none were given.
        groups: results by group of the recordings' table.
        recovered: fits of degraded recordings; empty where they were not asked for.
    """

    rack: Rack
    sample_rate: float
    claims: tuple[Claim, ...]
    map: FailureMap | None = None
    coverage: Coverage | None = None
    groups: tuple[Groups, ...] = ()
    recovered: tuple[Recovered, ...] = ()

    @property
    def failed_claims(self) -> list[Claim]:
        return [c for c in self.claims if not c.holds]

    def findings(self) -> list[str]:
        """Sentences that a reader must know, one each; empty where nothing was found."""
        sentences = [str(c) for c in self.failed_claims]
        if self.map is not None:
            sentences += [*self.map.warnings(), *(str(c) for c in self.map.first_failures())]
        sentences += self.coverage.warnings() if self.coverage is not None else []
        return sentences + [str(g) for g in self.groups if g.unequal]

    def __str__(self) -> str:
        failed = self.failed_claims
        lines = [f"claims: {len(self.claims) - len(failed)} of {len(self.claims)} hold, on controlled signals"]
        lines += [f"  {c}" for c in failed]
        if self.map is not None:
            lines += [f"ladder of {len(self.map.rungs)} degradations:", *(f"  {s}" for s in self.map.sentences())]
        if self.coverage is not None:
            c = self.coverage
            low, middle, high = c.levels_dbfs
            lines.append(
                f"recordings: {c.recordings}, {c.seconds:.0f} s, {low:.0f} to {high:.0f} dBFS (half above {middle:.0f}), "
                f"crest {c.crest_db:.0f} dB, {100.0 * c.silent:.0f} % silent"
            )
            lines += [f"  {w}" for w in c.warnings()]
        if self.groups:
            lines += ["groups:", *(f"  {g}" for g in self.groups)]
        if self.recovered:
            lines += ["fits of degraded recordings, from defaults:", *(f"  {r}" for r in self.recovered)]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The figures, as they are written into a patch's trail."""
        entry: dict[str, Any] = {
            "software": f"twinrack {__version__}",
            "sample_rate": self.sample_rate,
            "claims": len(self.claims),
            "claims_failed": [f"{c.address}: {c.name}" for c in self.failed_claims],
        }
        if self.map is not None:
            entry["rungs"] = len(self.map.rungs)
            entry["first_failures"] = [
                {
                    "rung": c.rung.name,
                    "measure": c.measure.name,
                    "value": round(c.value, 3),
                    "unit": c.measure.unit,
                    "block": c.block,
                }
                for c in self.map.first_failures()
            ]
        if self.coverage is not None:
            entry["recordings"], entry["data_warnings"] = self.coverage.recordings, self.coverage.warnings()
        if self.groups:
            entry["groups"] = {g.column: {x.name: round(x.mean_db, 2) for x in g.groups} for g in self.groups}
        if self.recovered:
            entry["recovered"] = {r.rung: [len(r.found), len(r.found) + len(r.lost)] for r in self.recovered}
        return entry

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page, and return its path."""
        from .page import write_page

        return write_page(self, Path(path))


def validate(
    rack: Rack,
    x: npt.ArrayLike | None = None,
    sample_rate: float = 48000.0,
    *,
    reference: Rack | Callable[[Audio, float], Audio] | None = None,
    recordings: Sequence[Recording] = (),
    others: Sequence[npt.ArrayLike] = (),
    tolerances: Mapping[str, float] | None = None,
    recover: bool = False,
    seconds: float = LONGEST_S,
    sidechain: Sidechain = None,
) -> Validation:
    """Validate a rack, first on controlled signals with known answers, then on real sound by degrees.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): a clean sound that the rack is for; without one there is no ladder.
        sample_rate: Hz.
        reference: what the rack imitates: a rack, or a function of (channels, frames) and a sample rate. Then a departure
            counts only where the error against it grows, and the block that must change is fitted.
        recordings: that the rack was trained on or is tested on: what do they cover, and are results alike for all groups?
        others: sounds of other voices or instruments, for the second voice of the ladder.
        tolerances: by a measure's name, departures that count, instead of the usual ones.
        recover: also fit degraded recordings of this very rack, which takes minutes.
        seconds: at most so much of the sound, from where it is loudest.
        sidechain: as in a call of the rack; then all of the sound is taken.

    Raises:
        ValueError: the sound is silent, too short or has NaN in it; an unknown measure.
    """
    rack, rate = as_rack(rack), check_rate(sample_rate)
    check_number(seconds, "seconds", SHORTEST_S, 60.0)
    if rack.sidechains and (recordings or recover):
        raise ValueError(
            f"the rack listens to sidechain {rack.sidechains[0]!r}, which recordings and recovery do not have; leave them out"
        )
    claims = [c for address, effect in rack.addresses().items() for c in claims_of(effect, rate, address)]
    found_map, recovered = None, []
    if x is not None:
        sound = telling_sound(x, rate, SHORTEST_S)
        if sidechain is None:
            sound = loudest_part(sound, round(seconds * rate))
        second = [telling_sound(o, rate, SHORTEST_S) for o in others]
        found_map = failure_map(
            rack,
            sound,
            rate,
            others=second,
            reference=_reference(reference, sidechain),
            tolerances=tolerances,
            sidechain=sidechain,
        )
        recovered = recovery(rack, sound, rate) if recover else []
    elif reference is not None or recover or others:
        raise ValueError("a reference, other sounds and recovery need a sound: give x")
    covered, groups = None, []
    if recordings:
        covered, groups = coverage(recordings, rack, rate), compare_groups(rack, recordings, rate)
    return Validation(rack.copy(), rate, tuple(claims), found_map, covered, tuple(groups), tuple(recovered))


def _reference(given: Rack | Callable[[Audio, float], Audio] | None, sidechain: Sidechain) -> Reference | None:
    if isinstance(given, Rack):
        real = given.copy()
        key = sidechain if real.sidechains else None
        return lambda sound, rate: np.asarray(real(sound, rate, sidechain=key))
    return given
