"""The failure map: at which degradations a rack departs from what it does to clean sound, by which measure, by which block.

At every rung of the ladder the rack gets a degraded sound. What it gives is compared with what it would give if its blocks
decided as on the clean sound (see `swaps`); for the measures that depart most, each block alone is put back to its behaviour on
the clean sound: the block with which most of the departure goes away causes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..audio import Audio
from ..measure.difference import difference_db, harmonic_powers
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..rack.running import Sidechain
from ..system.interrupt import check
from .blame import Refit, blamed
from .claims import PROBE
from .degradations import Rung, ladder
from .measures import DECISIONS, DISTORTION, ERROR, MEASURES, MOST, Measure
from .signals import resampled, tones, whole_cycles_hz
from .swaps import Swaps

CAUSE = 0.4  # of a departure that must go away with a block
LEVELS = ("quieter", "louder")
FOLLOWS, ALIKE = "as it is made to follow the level", "as the reference does"
AT_RATES = ("level", "loudness", "spectrum", "peak")
TONE_HZ = 997.0
HEARD_HARMONICS_DB = -60.0
LIKE_DB = -20.0  # an error at which a rack is like its reference
NEAR_DB = -30.0  # an error below this is small
Reference = Callable[[Audio, float], Audio]


@dataclass(frozen=True)
class Cell:
    """One measure at one rung.

    Attributes:
        rung, measure: which.
        value: the departure, in the measure's unit.
        block: the address of the block that causes it; None where none does alone, or where nothing departs.
        share: of the departure that goes away when that block behaves as on the clean sound.
        by_design: the reason for which the departure does not count as a failure, such as "as the reference does".
        refit: of the error against a reference: the block that must change, and how.
    """

    rung: Rung
    measure: Measure
    value: float
    block: str | None = None
    share: float = 0.0
    by_design: str = ""
    refit: Refit | None = None

    @property
    def departs(self) -> bool:
        return self.value > self.measure.tolerance

    @property
    def fails(self) -> bool:
        return self.departs and not self.by_design

    def __str__(self) -> str:
        cause = f"; {self.block} causes {100.0 * self.share:.0f} % of it" if self.block else "; no block alone causes it"
        if self.refit is not None:
            cause = f"; {self.refit}"
        figure = f"{self.value:.1f} {self.measure.unit}"
        design = f", {self.by_design}" if self.by_design else ""
        return f"{self.rung.name}: {self.measure.text.format(figure)}{cause}{design}"


@dataclass(frozen=True, eq=False)
class FailureMap:
    """All cells, rung by rung, and the sounds of the first rung of every family that fails.

    Attributes:
        cells: in order.
        sounds: (rung's name, sound, output, output if the blocks decided as on the clean sound).
        sample_rate: Hz, of the sounds.
        clean_error_db: the error against the reference on the clean sound; None without a reference.
    """

    cells: tuple[Cell, ...]
    sounds: tuple[tuple[str, Audio, Audio, Audio], ...]
    sample_rate: float
    clean_error_db: float | None = None

    @property
    def rungs(self) -> list[Rung]:
        return list({c.rung.name: c.rung for c in self.cells}.values())

    @property
    def measures(self) -> list[Measure]:
        return list({c.measure.name: c.measure for c in self.cells}.values())

    def first_failures(self) -> list[Cell]:
        """Of each family the largest failure, relative to its tolerance, at the first rung that fails."""
        first: dict[str, Cell] = {}
        for cell in self.cells:
            known = first.get(cell.rung.family)
            if not cell.fails or (known is not None and known.rung.name != cell.rung.name):
                continue
            if known is None or cell.value / cell.measure.tolerance > known.value / known.measure.tolerance:
                first[cell.rung.family] = cell
        return list(first.values())

    def warnings(self) -> list[str]:
        """A sentence where the rack is not like its reference even on the clean sound."""
        if self.clean_error_db is None or self.clean_error_db <= LIKE_DB:
            return []
        return [f"on the clean sound the error against the reference is {self.clean_error_db:.1f} dB: the two are not alike"]

    def sentences(self) -> list[str]:
        """Sentences on the first failure of each family, on what follows the level by design, and on what holds throughout."""
        failures = self.first_failures()
        lines = [*self.warnings(), *(str(c) for c in failures)]
        failed = {c.rung.family for c in failures}
        designed = {
            c.rung.family: c
            for c in reversed(self.cells)
            if c.departs and c.by_design == FOLLOWS and c.rung.family not in failed
        }
        lines += [str(c) for c in reversed(designed.values())]
        held = [f for f in dict.fromkeys(r.family for r in self.rungs) if f not in failed and f not in designed]
        if held:
            lines.append(f"behaves as on clean sound at every rung of: {', '.join(held)}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.sentences())


def failure_map(
    rack: Rack,
    sound: Audio,
    sample_rate: float,
    *,
    others: Sequence[Audio] = (),
    reference: Reference | None = None,
    rungs: Iterable[Rung] | None = None,
    tolerances: Mapping[str, float] | None = None,
    sidechain: Sidechain = None,
) -> FailureMap:
    """Climb the ladder with a rack.

    Args:
        rack: it is not changed.
        sound: clean, (channels, frames).
        sample_rate: Hz.
        others: sounds of other voices or instruments, for the second voice.
        reference: the real thing, called with a sound and its sample rate; then the error against it is a measure too.
        rungs: None is the whole `ladder`.
        tolerances: departures that count, by the measure's name, instead of the usual ones.
        sidechain: as in a call of the rack; it is not degraded.
    """
    swaps = Swaps(rack, sound, sample_rate, sidechain)
    clean = swaps.render(sound)
    known = {m.name: m for m in (*MEASURES, DECISIONS, DISTORTION, ERROR)}
    for name, tolerance in (tolerances or {}).items():
        if name not in known:
            raise ValueError(f"{name!r} is not a measure; there are {', '.join(known)}")
        known[name] = replace(known[name], tolerance=float(tolerance))
    reference = None if reference is None else _checked(reference)
    clean_error = None if reference is None else difference_db(clean, reference(sound, sample_rate))
    climber = _Climber(swaps, sound, sample_rate, known, reference, clean_error or 0.0)
    cells: list[Cell] = []
    sounds: dict[str, tuple[str, Audio, Audio, Audio]] = {}
    for rung in ladder(others, sample_rate) if rungs is None else rungs:
        check()
        found, played = climber.climb(rung)
        cells += found
        if rung.family not in sounds and any(c.fails for c in found):
            sounds[rung.family] = played
    return FailureMap(tuple(cells), tuple(sounds.values()), sample_rate, clean_error)


def _is_made_to_follow_the_level(effect: Effect) -> bool:
    """Whether that is what its card says; networks and functions of one's own promise nothing."""
    category, card = effect.card.category, effect.card
    return category == "dynamics" or (category == "nonlinear" and not card.resources and card.id != "python")


def _runs_at_any_rate(rack: Rack) -> bool:
    """Whether no network in it belongs to one sample rate."""
    resources = [r for e in rack.addresses().values() if not e.bypass for r in e.resources.values()]
    return all(r.type != "network" or r.sample_rate is None for r in resources)


def _checked(reference: Reference) -> Reference:
    """A reference whose answers are known to be sounds of the right shape.

    Raises:
        ValueError: an answer is not.
    """

    def answer(sound: Audio, sample_rate: float) -> Audio:
        y = np.asarray(reference(sound, sample_rate))
        if y.shape != sound.shape:
            raise ValueError(f"the reference gave the shape {y.shape} for a sound of {sound.shape}; both must be the same")
        if not np.isfinite(y).all():
            raise ValueError("the reference gave NaN or infinity; mend it first")
        return np.ascontiguousarray(y, np.float32)

    return answer


class _Climber:
    """Measures one rung after the other."""

    def __init__(
        self,
        swaps: Swaps,
        sound: Audio,
        rate: float,
        known: Mapping[str, Measure],
        reference: Reference | None,
        clean_error: float,
    ) -> None:
        self._swaps, self._sound, self._rate, self._known = swaps, sound, rate, known
        self._reference, self._clean_error = reference, clean_error
        self._blamed: set[str] = set()  # families
        level = 10.0 * math.log10(2.0 * float(np.mean(sound.astype(np.float64) ** 2)) + 1e-12)
        hertz = whole_cycles_hz(TONE_HZ, PROBE, rate)
        self._tone = tones([hertz], min(level, 0.0), 2 * PROBE / rate, rate, sound.shape[0])
        self._on_tone = Swaps(swaps.rack, self._tone, rate) if not swaps.rack.sidechains else None
        self._cycles = round(hertz * PROBE / rate)

    def climb(self, rung: Rung) -> tuple[list[Cell], tuple[str, Audio, Audio, Audio]]:
        if rung.rate is not None:
            return self._at_rate(rung)
        x, swaps = rung.degrade(self._sound, self._rate), self._swaps
        real, expected = swaps.render(x), swaps.render(x, swaps.candidates)
        one_by_one: dict[str, Audio] = {}  # rendered where a measure departs, once for all measures
        cells = []
        for measure in MEASURES:
            m = self._known[measure.name]
            value = m.of(real, expected, self._rate)
            if value > m.tolerance and not one_by_one:
                one_by_one = self._one_by_one(swaps, x)
            cells.append(self._cell(rung, m, value, {a: m.of(y, expected, self._rate) for a, y in one_by_one.items()}))
        if (decided := self._decisions(rung, x)) is not None:
            cells.append(decided)
        if (distorted := self._distortion(rung)) is not None:
            cells.append(distorted)
        if self._reference is not None:
            error = self._against_reference(rung, x, real)
            if not error.departs and self._clean_error <= LIKE_DB:
                cells = [replace(c, by_design=ALIKE) for c in cells]
            cells.append(error)
        return cells, (rung.name, x, real, expected)

    @staticmethod
    def _one_by_one(swaps: Swaps, x: Audio) -> dict[str, Audio]:
        """The output with each block alone as on the clean sound; empty where only one can be the cause."""
        return {a: swaps.render(x, [a]) for a in swaps.candidates} if len(swaps.candidates) > 1 else {}

    def _cell(self, rung: Rung, m: Measure, value: float, left: Mapping[str, float]) -> Cell:
        """A cell whose cause is the block without which least of the departure is left."""
        block, share = None, 0.0
        if value > m.tolerance:
            remaining = left or dict.fromkeys(self._swaps.candidates, 0.0)
            block = min(remaining, key=lambda a: remaining[a], default=None)
            share = 1.0 - remaining[block] / value if block is not None else 0.0
            if share < CAUSE:
                block = None
        effects = self._swaps.rack.addresses()
        concerned = [block] if block else self._swaps.candidates
        follow = all(_is_made_to_follow_the_level(effects[a]) for a in concerned)
        return Cell(rung, m, value, block, share if block else 0.0, FOLLOWS if follow and rung.family in LEVELS else "")

    def _decisions(self, rung: Rung, x: Audio) -> Cell | None:
        clean = self._swaps.clean_decisions
        if not clean:
            return None
        now = self._swaps.decisions(x)
        addresses = self._swaps.rack.addresses()
        worst = 0.0
        for address, curve in clean.items():
            p = addresses[address.partition(".")[0]].card.addresses[address.partition(".")[2]]
            count = min(curve.size, now[address].size)
            jnds = [
                abs(p.jnds(float(a), float(b)) or 0.0) for a, b in zip(curve[:count:16], now[address][:count:16], strict=True)
            ]
            worst = max(worst, float(np.percentile(jnds, MOST)))
        m = self._known[DECISIONS.name]
        block = next((a for a in self._swaps.candidates if addresses[a].card.id == "controller"), None)
        departs = worst > m.tolerance
        return Cell(
            rung, m, worst, block if departs else None, 1.0 if departs else 0.0, FOLLOWS if rung.family in LEVELS else ""
        )

    def _distortion(self, rung: Rung) -> Cell | None:
        """Harmonics of a tone at the sound's level, degraded alike, beyond those that it should have."""
        if self._on_tone is None or rung.family in ("clipping", "codec", "second voice"):
            return None
        x, swaps = rung.degrade(self._tone, self._rate), self._on_tone
        expected = self._harmonics_db(swaps.render(x, swaps.candidates))
        value = max(self._harmonics_db(swaps.render(x)) - expected, 0.0)
        m = self._known[DISTORTION.name]
        alone = self._one_by_one(swaps, x) if value > m.tolerance else {}
        return self._cell(rung, m, value, {a: max(self._harmonics_db(y) - expected, 0.0) for a, y in alone.items()})

    def _harmonics_db(self, y: Audio) -> float:
        tone, *harmonics = harmonic_powers(y[0, -PROBE:], self._cycles, min(10, (PROBE // 2 + 1) // self._cycles - 1))
        return max(10.0 * math.log10((sum(harmonics) + 1e-20) / (tone + 1e-18)), HEARD_HARMONICS_DB)

    def _against_reference(self, rung: Rung, x: Audio, real: Audio) -> Cell:
        assert self._reference is not None
        wanted = self._reference(x, self._rate)
        error, m = difference_db(real, wanted), self._known[ERROR.name]
        value = max(error - self._clean_error, 0.0) if error > NEAR_DB else 0.0
        if value <= m.tolerance or rung.family in self._blamed:
            return Cell(rung, m, value)
        self._blamed.add(rung.family)
        refit = blamed(self._swaps.rack, [x], [wanted], self._rate)
        if refit is None:
            return Cell(rung, m, value)
        return Cell(rung, m, value, refit.address, min(refit.gain_db / value, 1.0), refit=refit)

    def _at_rate(self, rung: Rung) -> tuple[list[Cell], tuple[str, Audio, Audio, Audio]]:
        """The whole rack at another sample rate, against itself at its own."""
        assert rung.rate is not None
        rack = self._swaps.rack
        if rack.sidechains or not _runs_at_any_rate(rack):
            return [], (rung.name, self._sound, self._sound, self._sound)
        moved = resampled(self._swaps.render(self._sound), self._rate, rung.rate)
        both = resampled(moved, rung.rate, self._rate)  # what the change of rate itself takes away
        y = rack.copy()(resampled(self._sound, self._rate, rung.rate), rung.rate)
        y = resampled(y, rung.rate, self._rate)
        frames = min(y.shape[1], both.shape[1])
        real, expected = y[:, :frames], both[:, :frames]
        cells = []
        for measure in MEASURES:
            if measure.name in AT_RATES:  # waveforms are others: delays are whole frames
                m = self._known[measure.name]
                cells.append(Cell(rung, m, m.of(real, expected, self._rate)))
        return cells, (rung.name, self._sound[:, :frames], real, expected)
