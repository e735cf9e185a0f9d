"""The report of a fit: one self-contained HTML page, for people who have to judge what was learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..audio import Audio
from ..measure.curves import Curve, curves
from ..measure.gain_over_time import gain_trajectory
from ..measure.window_levels import window_levels_db
from ..pages.player import Scene, cannot_play, player_html
from ..perceptual.noticeable import jnds_between
from ..rack.effect import Effect
from ..rack.rack import Rack
from ..system.disk import atomic
from ..version import __version__
from .overview import explanation
from .overview_page import shown
from .plots import as_json, line, lines_plot, packed_plotly, player, spectrogram, templates

if TYPE_CHECKING:
    from ..train.result import FitResult, ParameterResult

GAIN_S = 8.0  # of the first pair, in the plot of the gain
PLAYED_S = 12.0  # of the first pair, in the player and spectrograms
HEARD_CLEARLY_JNDS = 3.0
LEAST_SHARE, LEAST_JNDS = 0.001, 0.1  # in percent, and JNDs, below which a reader is told no number


def write_report(result: FitResult, path: Path) -> Path:
    """Write the page; it appears complete or not at all."""
    page = _page(result)
    with atomic(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _page(r: FitResult) -> str:
    pair, rate = r.pairs[0], r.sample_rate
    fitted = r.rack(pair.dry, rate)
    start = r.start_rack(pair.dry, rate)
    played = int(PLAYED_S * rate)
    sounds = {"Dry": pair.dry, "Target": pair.wet, "Fitted": fitted, "Difference": pair.wet - fitted}
    scene = Scene(
        {"Fitted": r.rack, "Start": r.start_rack}, pair.dry[:, :played], rate, pair.wet[:, :played], f"Fit of {r.rack.name}"
    )
    reason = cannot_play(scene)
    plots: dict[str, Any] = {
        "spectrum": lines_plot(
            [
                _spectral_change(pair.dry, start, rate, "start"),
                _spectral_change(pair.dry, pair.wet, rate, "target"),
                _spectral_change(pair.dry, fitted, rate, "fitted"),
            ],
            "Frequency in Hz",
            "Level out minus level in, dB",
            log_x=True,
        ),
        "levels": lines_plot(
            [_level_map(pair.dry, y, rate, name) for y, name in ((start, "start"), (pair.wet, "target"), (fitted, "fitted"))],
            "Level in, dB (100 ms)",
            "Level out, dB",
        ),
        "history": _history(r),
    }
    if r.trajectory_db is not None:
        versions = ((start, "start"), (pair.wet, "target"), (fitted, "fitted"))
        plots["gain"] = lines_plot([_gain(pair.dry, y, rate, name) for y, name in versions], "Time in s", "Gain in dB (10 ms)")
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
        plots[f"spectrogram_{name.lower()}"] = spectrogram(x[:, :played], rate)
    return (
        templates()
        .get_template("report.html")
        .render(
            result=r,
            explanation=shown(explanation(r.rack, pair.dry, rate, seconds=PLAYED_S)),
            version=__version__,
            blocks=blocks,
            rack_text=repr(r.rack),
            seconds=pair.frames / rate,
            verdict=_verdict(r, jnds_between(fitted[:, :played], pair.wet[:, :played], rate)),
            cannot_play=reason,
            player="" if reason else player_html(scene),
            spectrograms=[
                (name, f"spectrogram_{name.lower()}", player(x[:, :played], rate) if reason else "")
                for name, x in sounds.items()
            ],
            parity_db=_parity(r.rack, pair.dry[:, :played], rate),
            plots=as_json(plots),
            plotly=packed_plotly(),
            provenance=json.dumps(r.rack.provenance, indent=1, ensure_ascii=False),
        )
    )


def _verdict(r: FitResult, jnds: float) -> str:
    """How near it came, for somebody who reads nothing else."""
    share, error_db = 100 * 10 ** (r.fitted.error_db / 10), r.fitted.error_db
    if jnds < 1:
        audible = "which hardly anybody hears even in a direct comparison"
    elif jnds < HEARD_CLEARLY_JNDS:
        audible = "which is heard in a direct comparison"
    else:
        audible = "which is clearly heard"
    missing = f"{share:.2g} %" if share >= LEAST_SHARE else f"less than {LEAST_SHARE:g} %"
    by = f"{jnds:.2g}" if jnds >= LEAST_JNDS else f"less than {LEAST_JNDS:g}"
    return (
        f"On sound that training never saw, {missing} of the target's energy is not explained ({error_db:.1f} dB), and levels "
        f"are {r.fitted.level_db:.2f} dB off. Where it differs most, it does so by {by} just-noticeable differences, {audible}."
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
        lines = [line(c.x, c.y, name) for name, c in group]
        plots.append((first.title, lines_plot(lines, first.x_label, first.y_label, first.log_x)))
    return plots


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
    return line(centres, _third_octaves(wet, rate)[1] - before, name)


def _level_map(dry: Audio, wet: Audio, rate: float, name: str) -> dict[str, Any]:
    size = min(int(0.1 * rate), dry.shape[1])
    a, b = (window_levels_db(x, size, 1e-10) for x in (dry, wet))
    steps = np.arange(np.floor(a.min() / 3) * 3, a.max() + 3, 3)
    middle = [(s + 1.5, float(np.median(b[(a >= s) & (a < s + 3)]))) for s in steps if np.any((a >= s) & (a < s + 3))]
    return line([m[0] for m in middle], [m[1] for m in middle], name)


def _gain(dry: Audio, wet: Audio, rate: float, name: str) -> dict[str, Any]:
    frames = int(GAIN_S * rate)
    return line(*gain_trajectory(dry[:, :frames], wet[:, :frames], rate), name)


def _history(r: FitResult) -> Any:
    steps = [h["step"] for h in r.history]
    lines = [
        line(steps, [h["loss"] for h in r.history], "training"),
        line(steps, [h["held_out"] for h in r.history], "held out"),
    ]
    return lines_plot(lines, "Step", "Loss", log_y=True)
