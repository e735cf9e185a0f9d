"""Result of a fit: the rack, distances on held-out audio, and how well each value is determined."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..measure.distances import Distances
from ..measure.residual import Residual
from ..rack.card import Parameter, Value
from ..rack.rack import Rack
from ..rack.trail import state_of
from ..twins.constrain import value_at
from ..version import __version__
from .advice import REACHED_DB
from .data import Pair, Split
from .structures import Structure

if TYPE_CHECKING:
    from os import PathLike


SHOWN = 5  # combinations in the printed result
FLOAT32 = 2.0**-23  # to which the engine knows a value


@dataclass
class ParameterResult:
    """One trained value: where it began and ended, in user units, and how well the recording determines it.

    `standard_error` is in the parameter's unit (None: not computed), as is `jnd`, one just-noticeable difference at the fitted
    value (None: the card has none); `determined` is False when it is more than a tenth of
    the card's range, measured in the parameter's own scale, or where that is logarithmic (frequencies, times, ratios) when it
    spans an octave or more.
    """

    address: str
    start: float
    fitted: float
    unit: str
    low: float
    high: float
    expected: tuple[float, float]
    standard_error: float | None = None
    determined: bool | None = None
    jnd: float | None = None

    @property
    def error_jnds(self) -> float | None:
        """The standard error in just-noticeable differences; below 1 hardly anybody hears the doubt."""
        return None if self.standard_error is None or self.jnd is None else self.standard_error / self.jnd

    @property
    def inside_expected(self) -> bool:
        """Whether it lies in what the card expects, by its standard error and a hundredth of what is expected."""
        low, high = self.expected
        slack = max(0.01 * (high - low), self.standard_error or 0.0)
        return low - slack <= self.fitted <= high + slack

    @property
    def rounded(self) -> tuple[str, str]:
        """The value and its standard error without unit, to their significant digits: "449", "310"; no error: empty."""
        error = self.standard_error
        if not error or error < 0.5e-4:
            return f"{self.fitted:.4f}" if error else f"{self.fitted:.4g}", ""
        digits = min(max(1 - math.floor(math.log10(error)), 0), 4)
        value = f"{self.fitted:.{digits}f}"
        return "0" if float(value) == 0 else value, f"{error:.{digits}f}"

    @property
    def text(self) -> str:
        """The same in one text: "449 ± 310 Hz"."""
        value, error = self.rounded
        return f"{value}{f' ± {error}' if error else ''}{'' if self.unit == '1' else f' {self.unit}'}"

    @property
    def heard_text(self) -> str:
        """The same with the standard error in what one hears: "4.00 ± 0.20 ms, 0.1 JND"."""
        jnds = self.error_jnds
        return self.text if jnds is None else f"{self.text}, {jnds:.2g} JND"


@dataclass
class FitResult:
    """Result of a fit.

    `rack` has the fitted values and the provenance; `nothing`, `start` and `fitted` are distances on held-out audio of the
    dry sound itself, of the rack before, and of the rack after; `history` has one row for each check.
    """

    rack: Rack
    start_rack: Rack
    pairs: list[Pair]
    sample_rate: float
    nothing: Distances
    start: Distances
    fitted: Distances
    parameters: list[ParameterResult]
    history: list[dict[str, float]]
    settings: dict[str, Any]
    stopped: str
    skipped_steps: int
    seconds: float
    target_rack: Rack | None = None
    splits: list[Split] = field(default_factory=list)
    structures: list[Structure] = field(default_factory=list)  # that were tried, best first
    trajectory_db: tuple[float, float, float] | None = None  # gain over time (see `gain_over_time`): dry sound, start, fitted
    held_out_loss: float = float("nan")  # the loss of `rack`, without terms on the values
    warnings: list[str] = field(default_factory=list)  # of the recordings (see `recordings`), and drift (see `drift`)
    alike: list[tuple[str, str]] = field(default_factory=list)  # values that can stand for each other
    residual: Residual | None = None  # the nature of what is left on held-out audio, after a search
    advice: list[str] = field(default_factory=list)  # what to try next (see `advice`)
    slopes: dict[tuple[str, str], float] = field(default_factory=dict)  # of trained values by knob (see `at`)
    middles: dict[str, float] = field(default_factory=dict)  # of the knobs, where `rack` stands

    def _repr_html_(self) -> str:
        """For notebooks: what `print` says, and the fitted rack."""
        from ..pages.drawing import rack_html

        return f"<pre>{escape(str(self))}</pre>{rack_html(self.rack)}"

    def __str__(self) -> str:
        lines = [
            f"fit of {len(self.settings['learn'])} parameters in {self.seconds:.0f} s ({self.stopped}), on held-out audio:",
            f"  doing nothing  {self.nothing}",
            f"  at the start   {self.start}",
            f"  fitted         {self.fitted}",
        ]
        if self.trajectory_db is not None:
            nothing, start, fitted = self.trajectory_db
            lines.append(
                f"  gain over time {nothing:.2f} dB off at first, {start:.2f} at the start, {fitted:.2f} fitted (10 ms)"
            )
        if self.skipped_steps:
            lines.append(f"  {self.skipped_steps} steps were skipped because the loss or a gradient was NaN or infinity")
        if self.structures:
            what = "combinations and starts, after the rounds that each was in"
            if self.residual is not None:
                what = "other structures that were tried, the nearest"
            lines.append(f"  of {len(self.structures)} {what}:")
            lines += [f"    {s}" for s in self.structures[:SHOWN]]
        lines += [f"  warning: {note}" for note in self.warnings]
        vague = [f"{p.address} ({p.heard_text})" for p in self.parameters if p.determined is False]
        if vague:
            lines.append(f"  the recording does not determine: {', '.join(vague)}")
        far = [p for p in self.parameters if not p.inside_expected and p.determined is not False]
        outside = [f"{p.address} ({p.heard_text})" for p in far]
        if outside:
            lines.append(f"  outside the expected range: {', '.join(outside)}")
        for a, b in self.alike[:SHOWN]:
            lines.append(f"  {a} and {b} can stand for each other: freeze one of them")
        lines += [f"  next: {sentence}" for sentence in self.advice]
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def found(self) -> bool | None:
        """Whether the values are those that made the recording, as far as it tells: nothing is left of it on held-out audio
        but noise, or less than -60 dB. None where no search was made."""
        if self.residual is None:
            return None
        return self.fitted.error_db <= REACHED_DB or self.residual.is_noise

    @property
    def latency(self) -> tuple[float, ...]:
        """Frames by which the wet recording of each pair was later than the dry one, fractions included."""
        return tuple(p.delay_frames for p in self.pairs)

    def at(self, **knobs: float) -> Rack:
        """The rack with the knobs of `conditions` at these positions; the others stay in their middle.

        Raises:
            ValueError: there is no such knob.
        """
        from .conditions import rack_at

        for name in knobs:
            if name not in self.middles:
                known = f"there are {', '.join(self.middles)}" if self.middles else "the fit was given none"
                raise ValueError(f"no knob is called {name!r}; {known}")
        return rack_at(self.rack, knobs, self.middles, self.slopes)

    def explain(self) -> str:
        """A text on what each block does to the sound, and by how much: see `explain.account`."""
        from ..explain.account import account

        return account(self)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write one self-contained HTML page about this fit, and return its path."""
        from ..explain.report import write_report

        return write_report(self, Path(path))


def in_units(p: Parameter, u: float, error: float) -> tuple[float | None, bool]:
    """A standard error in the constrained domain as one in the parameter's unit, and whether it is small."""
    if not np.isfinite(error):
        return None, False
    around = [min(max(u + sign * min(error, 0.5), 0.0), 1.0) for sign in (-1, 1)]
    ends = [float(value_at(p, torch.tensor(place, dtype=torch.float64))) for place in around]
    octave = p.scale != "linear" and ends[1] >= 2.0 * ends[0]
    rounding = FLOAT32 * abs(float(value_at(p, torch.tensor(u, dtype=torch.float64))))
    return abs(ends[1] - ends[0]) / 2 + rounding, error <= 0.1 and not octave


def provenance(r: FitResult) -> dict[str, Any]:
    """Where the values came from, as it is written into the patch."""

    def readable(value: Value | float) -> Any:
        return round(value, 6) if isinstance(value, float) else value

    return {
        "made_by": f"twinrack {__version__} fit, torch {torch.__version__}, {platform.machine()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "sample_rate": r.sample_rate,
        "recordings": [
            {
                "name": p.name,
                "seconds": round(p.frames / r.sample_rate, 3),
                "dry_sha256": p.dry_hash,
                "wet_sha256": p.wet_hash,
                "latency_frames": p.latency_frames,
                "delay_frames": round(p.delay_frames, 3),
                "polarity": list(p.polarity),
            }
            for p in r.pairs
        ],
        "settings": {k: v for k, v in r.settings.items()},
        "stopped": r.stopped,
        "skipped_steps": r.skipped_steps,
        "held_out": {"nothing": r.nothing.to_json(), "start": r.start.to_json(), "fitted": r.fitted.to_json()},
        "trajectory_db": None if r.trajectory_db is None else [readable(float(v)) for v in r.trajectory_db],
        "found": r.found,
        "residual": None if r.residual is None else {n: readable(v) for n, v in asdict(r.residual).items()},
        "structures": [{"choices": s.choices, "steps": s.steps, **s.distances.to_json()} for s in r.structures],
        "start_values": {p.address: readable(p.start) for p in r.parameters},
        "standard_errors": {p.address: None if p.standard_error is None else readable(p.standard_error) for p in r.parameters},
        "not_determined": [p.address for p in r.parameters if p.determined is False],
        "outside_expected": [p.address for p in r.parameters if not p.inside_expected],
        "warnings": r.warnings,
        "alike": [list(pair) for pair in r.alike],
        "advice": r.advice,
        "reviews": [],
    }


def give_provenance(result: FitResult, given: Rack) -> None:
    """Let the fitted rack say where its values come from, after the trail of the rack that was given."""
    trail = given.provenance.get("trail")
    result.rack.provenance = provenance(result) | ({"trail": trail} if trail else {})
    result.rack.saved_state = state_of(result.rack)
