"""The page of a validation: findings first, then claims, the failure map with players, recordings, groups, fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..explain.plots import as_json, line, lines_plot, packed_plotly, player, templates
from ..system.disk import atomic
from ..version import __version__
from .failure_map import FailureMap
from .validate import Validation

RUNG = ("sound that goes in", "what comes out", "what would come out if the blocks decided as on the clean sound")
GROUP = ("what the rack makes of it", "what the real thing makes of it")


def write_page(v: Validation, path: Path) -> Path:
    """Write the page; it appears complete or not at all."""
    plots = coverage_plots(v)
    page = (
        templates("twinrack.validation")
        .get_template("validation.html")
        .render(
            v=v,
            findings=v.findings(),
            rows=map_rows(v.map),
            heads=map_heads(v.map),
            sounds=[(name, _players(parts, v.sample_rate, RUNG)) for name, *parts in v.map.sounds] if v.map is not None else [],
            group_sounds={
                (g.column, x.name): _players(x.sounds, v.sample_rate, GROUP)
                for g in v.groups
                if g.unequal
                for x in (g.groups[0], g.groups[-1])
            },
            version=__version__,
            rack_text=repr(v.rack),
            provenance=json.dumps(v.rack.provenance, indent=1, ensure_ascii=False),
            plots=as_json(plots),
            plotly=packed_plotly() if plots else "",
        )
    )
    with atomic(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def coverage_plots(v: Validation) -> dict[str, Any]:
    """The plots of what recordings cover, by the name of their place in `validated.html`; nothing without recordings."""
    if v.coverage is None:
        return {}
    hertz, level = ([b[i] for b in v.coverage.bands_db] for i in (0, 1))
    lines = [line(hertz, level, "in")]
    return {"bands": lines_plot(lines, "Frequency in Hz", "Level in dB of the loudest band", log_x=True)}


def map_heads(found: FailureMap | None) -> list[str]:
    """The names of the measures of a failure map."""
    return [] if found is None else [m.name for m in found.measures]


def map_rows(found: FailureMap | None) -> list[dict[str, Any]]:
    """A row for each rung: of each measure its departure, how it counts, and the block."""
    if found is None:
        return []
    cells = {(c.rung.name, c.measure.name): c for c in found.cells}
    rows = []
    for rung in found.rungs:
        row = []
        for measure in found.measures:
            c = cells.get((rung.name, measure.name))
            if c is None:
                row.append({"text": "", "state": "none", "block": "", "words": ""})
            else:
                state = "fails" if c.fails else "design" if c.departs else "holds"
                row.append({"text": f"{c.value:.1f} {measure.unit}", "state": state, "block": c.block or "", "words": str(c)})
        rows.append({"rung": rung, "cells": row})
    return rows


def _players(parts: Sequence[Audio], rate: float, names: Sequence[str]) -> list[tuple[str, str]]:
    loudest = max(float(np.abs(p).max(initial=0.0)) for p in parts)
    scale = np.float32(1.0 if loudest <= 1.0 else 1.0 / loudest)
    return [(name, player(p * scale, rate)) for name, p in zip(names, parts, strict=True)]
