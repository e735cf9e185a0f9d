"""The HTML page of a mix report, self-contained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..measure.loudness import UPDATES
from ..pages.player import Scene, cannot_play, player_html
from ..system.disk import atomic
from ..version import __version__
from .plots import as_json, packed_plotly, templates

if TYPE_CHECKING:
    from ..session.measure import MixDesk, MixReport

DRAWN = 40  # channels whose spectrum is drawn


def write_page(report: MixReport, path: Path) -> Path:
    """Write the page; it appears complete or not at all."""
    scene = None if report.desk is None else _scene(report.desk, report.sample_rate)
    reason = "" if scene is None else cannot_play(scene)
    page = (
        templates()
        .get_template("mix.html")
        .render(
            report=report,
            rows=[_row(c) for c in report.channels.values()],
            masking=report.masking()[:20],
            plots=as_json(_plots(report)),
            plotly=packed_plotly(),
            desk=report.desk,
            cannot_play=reason,
            player=player_html(scene) if scene is not None and not reason else "",
            version=__version__,
        )
    )
    with atomic(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _scene(desk: MixDesk, rate: float) -> Scene:
    return Scene({"Mix": desk.master}, np.sum(list(desk.stems.values()), axis=0), rate, None, "The mix", stems=desk.stems)


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _row(c: Any) -> dict[str, str]:
    return {
        "name": c.name, "kind": c.kind, "lufs": _number(c.loudness.integrated), "range": _number(c.loudness.range),
        "short": _number(c.loudness.loudest_short_term), "peak": _number(c.loudness.true_peak_db),
        "headroom": _number(c.headroom_db), "crest": _number(c.crest_db), "correlation": _number(c.correlation, 2),
        "side": _number(c.side_db), "clipped": str(c.clipped) if c.clipped else "",
        "reduction": ", ".join(f"{a} {v:.1f} dB" for a, v in c.gain_reduction_db.items()),
    }  # fmt: skip


def _finite(values: Any) -> list[float | None]:
    return [round(float(v), 2) if math.isfinite(v) else None for v in values]


def _plots(report: MixReport) -> dict[str, Any]:
    hertz = _finite(report.centres_hz)
    lines = []
    for c in list(report.channels.values())[-DRAWN:]:
        master = c.name == "master"
        lines.append({
            "x": hertz, "y": _finite(c.band_db), "name": c.name, "mode": "lines", "visible": True if master else "legendonly",
            "line": {"width": 3 if master else 1.5},
        })  # fmt: skip
    if len(report.tracks) <= 12:
        for line in lines:
            line["visible"] = True
    time = []
    for c in report.channels.values():
        levels = c.loudness.short_term
        thin = max(1, len(levels) // 1500)
        at = np.arange(len(levels))[::thin] / UPDATES + 3.0
        time.append({
            "x": _finite(at), "y": _finite(levels[::thin]), "name": c.name, "mode": "lines",
            "visible": True if c.name == "master" or len(report.tracks) <= 12 else "legendonly",
        })  # fmt: skip
    field = [c for c in report.channels.values() if math.isfinite(c.side_db)]
    places = {
        "x": _finite(c.correlation for c in field), "y": _finite(c.side_db for c in field), "text": [c.name for c in field],
        "mode": "markers+text", "textposition": "top center", "marker": {"size": 9},
    }  # fmt: skip
    mean = report.hidden.mean(2) if report.hidden.size else np.zeros((0, 0))
    worst = report.hidden.max(2) if report.hidden.size else np.zeros((0, 0))
    heat = {
        "type": "heatmap", "x": report.tracks, "y": report.tracks, "z": [_finite(row) for row in mean], "zmin": 0, "zmax": 1,
        "colorscale": "Blues", "reversescale": True, "colorbar": {"tickformat": ".0%"},
        "customdata": [_finite(row) for row in worst],
        "hovertemplate": "%{y} hides %{x}: %{z:.0%} of bands and time, %{customdata:.0%} in the worst band<extra></extra>",
    }  # fmt: skip
    bands = {
        "type": "heatmap", "x": [f"{f:.0f}" for f in report.centres_hz], "y": report.tracks,
        "z": [_finite(row) for row in (report.hidden.max(0) if report.hidden.size else np.zeros((0, 0)))],
        "zmin": 0, "zmax": 1, "colorscale": "Oranges", "colorbar": {"tickformat": ".0%"},
        "hovertemplate": "%{y} at %{x} Hz: hidden %{z:.0%} of the time by one other track<extra></extra>",
    }  # fmt: skip
    plots = {
        "spectrum": _plot(lines, _axis("Frequency in Hz", type="log"), _axis("dBFS")),
        "time": _plot(time, _axis("Time in s"), _axis("LUFS", range=[-50, 0])),
        "field": _plot([places], _axis("Correlation", range=[-1.1, 1.1]), _axis("Side over middle, dB", range=[-40, 10])),
    }
    if len(report.tracks) > 1:
        turned = {"autorange": "reversed", "automargin": True}
        plots["pairs"] = _plot([heat], _axis("is hidden", automargin=True), _axis("hides", **turned))
        plots["bands"] = _plot([bands], _axis("Band, Hz", type="category", automargin=True), _axis("", **turned))
    return plots


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def _plot(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return {"data": data, "layout": {"xaxis": x, "yaxis": y}}
