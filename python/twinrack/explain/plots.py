"""Plots as plotly's JSON, sounds as data addresses, and the templates of pages that need nothing else."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
import soundfile
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from ..audio import Audio
from ..pages.module import packed
from ..pages.player import as_json as as_json

COLOURS = {"start": "#8a8f98", "target": "#d9822b", "fitted": "#2b6cb0", "held out": "#d9822b", "training": "#2b6cb0"}
COLOURS |= {"in": "#8a8f98", "out": "#2b6cb0", "input": "#2b6cb0", "by way of gains": "#d9822b"}
DASHES = {"start": "dot", "target": "dash", "fitted": "solid", "in": "dot"}
BANDS, SPECTRUM_DB = 96, 90.0


def templates(*packages: str) -> Environment:
    """The templates of packages and those of explanations; text is escaped, and a name that is missing is an error."""
    loader = ChoiceLoader([PackageLoader(package) for package in (*packages, "twinrack.explain")])
    return Environment(loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)


@cache
def packed_plotly() -> str:
    """Plotly's script as pages carry it (see page.html)."""
    return packed(get_plotlyjs().encode())


def numbers(x: Any) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(x, dtype=float)]


def line(x: Any, y: Any, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(x),
        "y": numbers(y),
        "name": name,
        "line": {"color": COLOURS[name], "dash": DASHES.get(name, "solid"), "width": 2},
    }


def lines_plot(lines: list[dict[str, Any]], x_label: str, y_label: str, log_x: bool = False, log_y: bool = False) -> Any:
    axis: dict[str, Any] = {"title": {"text": x_label}, "type": "log" if log_x else "linear"}
    return {
        "data": lines,
        "layout": {"xaxis": axis, "yaxis": {"title": {"text": y_label}, "type": "log" if log_y else "linear"}},
    }


def spectrogram(x: Audio, rate: float) -> Any:
    """Mel-spaced bands over time in dB, as small integers."""
    size = 2048
    mono = x.mean(0)
    if mono.size < size:
        mono = np.pad(mono, (0, size - mono.size))
    hop = max(size // 2, mono.size // 400)
    frames = np.lib.stride_tricks.sliding_window_view(mono, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2 / (size / 4) ** 2
    f = np.fft.rfftfreq(size, 1 / rate)
    edges = 700 * (np.exp(np.linspace(np.log(1 + 30 / 700), np.log(1 + 0.48 * rate / 700), BANDS + 2)) - 1)
    bands = [
        power[:, (f >= lo) & (f <= max(hi, lo + 1.01 * f[1]))].mean(1) for lo, hi in zip(edges[:-2], edges[2:], strict=True)
    ]
    level = np.clip(10 * np.log10(np.array(bands) + 1e-12), -SPECTRUM_DB, 0).round().astype(int)
    heat = {
        "type": "heatmap",
        "z": level.tolist(),
        "x": numbers(np.arange(level.shape[1]) * hop / rate),
        "y": numbers(edges[1:-1]),
        "zmin": -SPECTRUM_DB,
        "zmax": 0,
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": "dB"}},
    }
    axes = {"xaxis": {"title": {"text": "Time in s"}}, "yaxis": {"title": {"text": "Frequency in Hz"}, "type": "log"}}
    return {"data": [heat], "layout": axes}


def player(x: Audio, rate: float) -> str:
    """A data address with the sound as FLAC, at most 8 channels."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(x[:8].T, -1, 1), int(rate), format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
