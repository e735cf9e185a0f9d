"""The report of a fit: one self-contained HTML page, for people who have to judge what was learned."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from ..audio import Audio
from ..measure.curves import Curve, curves
from ..measure.gain_over_time import gain_trajectory
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..system.disk import atomic
from ..version import __version__

if TYPE_CHECKING:
    from ..train.result import FitResult, ParameterResult

GAIN_S = 8.0  # of the first pair, in the plot of the gain
PLAYED_S = 12.0  # of the first pair, in the players and spectrograms
COLOURS = {"start": "#8a8f98", "target": "#d9822b", "fitted": "#2b6cb0", "held out": "#d9822b", "training": "#2b6cb0"}
DASHES = {"start": "dot", "target": "dash", "fitted": "solid"}
BANDS, SPECTRUM_DB = 96, 90.0


def write_report(result: FitResult, path: Path) -> Path:
    """Write the page; it appears complete or not at all."""
    page = _page(result)
    with atomic(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _page(r: FitResult) -> str:
    environment = Environment(
        loader=PackageLoader("twinrack.explain"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
    )
    pair, rate = r.pairs[0], r.sample_rate
    fitted = r.rack(pair.dry, rate)
    start = r.start_rack(pair.dry, rate)
    played = int(PLAYED_S * rate)
    sounds = {"Dry": pair.dry, "Target": pair.wet, "Fitted": fitted, "Difference": pair.wet - fitted}
    plots: dict[str, Any] = {
        "spectrum": _lines(
            [
                _spectral_change(pair.dry, start, rate, "start"),
                _spectral_change(pair.dry, pair.wet, rate, "target"),
                _spectral_change(pair.dry, fitted, rate, "fitted"),
            ],
            "Frequency in Hz",
            "Level out minus level in, dB",
            log_x=True,
        ),
        "levels": _lines(
            [_level_map(pair.dry, y, rate, name) for y, name in ((start, "start"), (pair.wet, "target"), (fitted, "fitted"))],
            "Level in, dB (100 ms)",
            "Level out, dB",
        ),
        "history": _history(r),
    }
    if r.trajectory_db is not None:
        versions = ((start, "start"), (pair.wet, "target"), (fitted, "fitted"))
        plots["gain"] = _lines([_gain(pair.dry, y, rate, name) for y, name in versions], "Time in s", "Gain in dB (10 ms)")
    blocks = []
    for number, (address, effect) in enumerate(r.rack.addresses().items()):
        drawn = _effect_plots(address, effect, r)
        plots.update({f"effect{number}_{i}": plot for i, (_, plot) in enumerate(drawn)})
        rows = [p for p in r.parameters if p.address.partition(".")[0] == address]
        blocks.append(
            {
                "address": address,
                "card": effect.card,
                "plots": [(f"effect{number}_{i}", title) for i, (title, _) in enumerate(drawn)],
                "parameters": [_row(p, r) for p in rows],
                "choices": _choices(effect),
                "bypass": effect.bypass,
            }
        )
    for name, x in sounds.items():
        plots[f"spectrogram_{name.lower()}"] = _spectrogram(x[:, :played], rate)
    return environment.get_template("report.html").render(
        result=r,
        version=__version__,
        blocks=blocks,
        rack_text=repr(r.rack),
        seconds=pair.frames / rate,
        players=[(name, f"spectrogram_{name.lower()}", _player(x[:, :played], rate)) for name, x in sounds.items()],
        parity_db=_parity(r.rack, pair.dry[:, :played], rate),
        plots=json.dumps(plots, separators=(",", ":")).replace("</", "<\\/"),
        plotly=get_plotlyjs(),
        provenance=json.dumps(r.rack.provenance, indent=1, ensure_ascii=False),
    )


def _parity(rack: Rack, x: Audio, rate: float) -> float:
    """Engine against twin on this very recording, in dB."""
    y = rack(x, rate).astype(np.float64)
    with torch.no_grad():
        z = rack.twin(rate)(torch.from_numpy(x)[None])[0].numpy()
    difference = float(np.linalg.norm(y - z))
    return 20 * float(np.log10(max(difference, 1e-15) / max(float(np.linalg.norm(y)), 1e-15)))


def _row(p: ParameterResult, r: FitResult) -> dict[str, Any]:
    target = None if r.target_rack is None else r.target_rack.get(p.address)
    warnings = []
    if not p.inside_expected:
        warnings.append(f"outside the expected {p.expected[0]:g} to {p.expected[1]:g}")
    if p.determined is False:
        warnings.append("the recording does not determine it")
    return {"p": p, "name": p.address.partition(".")[2], "target": target, "warnings": warnings}


def _choices(effect: Effect) -> list[tuple[str, str]]:
    unused = effect.unused()
    kinds = effect.card.addresses
    return [(a, str(v)) for a, v in effect.values().items() if kinds[a].kind != "continuous" and a not in unused]


def _effect_plots(address: str, effect: Effect, r: FitResult) -> list[tuple[str, Any]]:
    versions: list[tuple[str, Effect]] = [("start", r.start_rack.addresses()[address])]
    if r.target_rack is not None and address in r.target_rack.addresses():
        versions.append(("target", r.target_rack.addresses()[address]))
    versions.append(("fitted", effect))
    drawn: list[list[tuple[str, Curve]]] = []
    for name, version in versions:
        for i, curve in enumerate(curves(version, r.sample_rate)):
            if len(drawn) <= i:
                drawn.append([])
            drawn[i].append((name, curve))
    plots = []
    for group in drawn:
        first = group[0][1]
        lines = [_line(c.x, c.y, name) for name, c in group]
        plots.append((first.title, _lines(lines, first.x_label, first.y_label, first.log_x)))
    return plots


# --- plots, as plotly's JSON -----------------------------------------------------------------------------------------


def _numbers(x: Any) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(x, dtype=float)]


def _line(x: Any, y: Any, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _numbers(x),
        "y": _numbers(y),
        "name": name,
        "line": {"color": COLOURS[name], "dash": DASHES.get(name, "solid"), "width": 2},
    }


def _lines(lines: list[dict[str, Any]], x_label: str, y_label: str, log_x: bool = False, log_y: bool = False) -> Any:
    axis: dict[str, Any] = {"title": {"text": x_label}, "type": "log" if log_x else "linear"}
    return {
        "data": lines,
        "layout": {"xaxis": axis, "yaxis": {"title": {"text": y_label}, "type": "log" if log_y else "linear"}},
    }


def _third_octaves(x: Audio, rate: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    size = 8192
    if x.shape[1] < size:
        x = np.pad(x, ((0, 0), (0, size - x.shape[1])))
    frames = np.lib.stride_tricks.sliding_window_view(x, size, axis=1)[:, :: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size), axis=-1)) ** 2, axis=(0, 1))
    f = np.fft.rfftfreq(size, 1 / rate)
    centres = 1000 * 2 ** (np.arange(-17, 14) / 3)
    centres = centres[centres < 0.45 * rate]
    levels = [np.mean(power[(f >= c / 2 ** (1 / 6)) & (f < c * 2 ** (1 / 6))] + 1e-15) for c in centres]
    return centres, 10 * np.log10(np.array(levels))


def _spectral_change(dry: Audio, wet: Audio, rate: float, name: str) -> dict[str, Any]:
    centres, before = _third_octaves(dry, rate)
    return _line(centres, _third_octaves(wet, rate)[1] - before, name)


def _level_map(dry: Audio, wet: Audio, rate: float, name: str) -> dict[str, Any]:
    size = int(0.1 * rate)
    count = max(dry.shape[1] // size, 1)

    def levels(x: Audio) -> Any:
        windows = x[:, : count * size].astype(np.float64).reshape(x.shape[0], count, -1)
        return 10 * np.log10(np.mean(windows**2, axis=(0, 2)) + 1e-10)

    a, b = levels(dry), levels(wet)
    steps = np.arange(np.floor(a.min() / 3) * 3, a.max() + 3, 3)
    middle = [(s + 1.5, float(np.median(b[(a >= s) & (a < s + 3)]))) for s in steps if np.any((a >= s) & (a < s + 3))]
    return _line([m[0] for m in middle], [m[1] for m in middle], name)


def _gain(dry: Audio, wet: Audio, rate: float, name: str) -> dict[str, Any]:
    frames = int(GAIN_S * rate)
    return _line(*gain_trajectory(dry[:, :frames], wet[:, :frames], rate), name)


def _history(r: FitResult) -> Any:
    steps = [h["step"] for h in r.history]
    lines = [
        _line(steps, [h["loss"] for h in r.history], "training"),
        _line(steps, [h["held_out"] for h in r.history], "held out"),
    ]
    return _lines(lines, "Step", "Loss", log_y=True)


def _spectrogram(x: Audio, rate: float) -> Any:
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
        "x": _numbers(np.arange(level.shape[1]) * hop / rate),
        "y": _numbers(edges[1:-1]),
        "zmin": -SPECTRUM_DB,
        "zmax": 0,
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": "dB"}},
    }
    axes = {"xaxis": {"title": {"text": "Time in s"}}, "yaxis": {"title": {"text": "Frequency in Hz"}, "type": "log"}}
    return {"data": [heat], "layout": axes}


def _player(x: Audio, rate: float) -> str:
    """A data address with the sound as FLAC, at most 8 channels."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(x[:8].T, -1, 1), int(rate), format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
