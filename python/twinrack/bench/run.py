"""Running the benchmark of interpretability: a result file for each method, a table, a plot."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..system import disk, interrupt
from ..version import __version__
from .method import Method
from .methods import METHODS
from .problems import Problem
from .scores import NAMES, played, scores_of, truth_of

FIDELITY = ("error_db", "stft", "audible_db", "gain_db")


def method_named(name: str) -> Callable[[], Method]:
    """A method of the package by its name, or another one by "file.py:Class".

    Raises:
        ValueError: there is none.
    """
    if name in METHODS:
        return METHODS[name]
    path, colon, attribute = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise ValueError(f"{name!r} is not a method; there are {', '.join(METHODS)}, and your own as file.py:Class")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; give the file that holds {attribute}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise ValueError(f"{path} has no {attribute}; give the name of a class in it")
    maker: Callable[[], Method] = getattr(module, attribute)
    return maker


def run(
    make: Callable[[], Method], problems: Iterable[Problem], seed: int = 0, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Results of one method, as they are written to its file.

    Args:
        make: a new method.
        problems: that it is given.
        seed: for all that is random in the method.
        say: called with a line for each problem.
    """
    begun, fitted = time.monotonic(), []
    listed = list(problems)
    if len(listed) < 2:
        raise ValueError("give at least two problems: the account of one is compared with that of another")
    for problem in listed:
        interrupt.check()
        method, at = make(), time.monotonic()
        method.fit(problem.dry, problem.wet, problem.sample_rate, seed)
        played(method, problem)  # what cannot be played is said at once
        fitted.append((method, method.explain(), time.monotonic() - at))
        say(f"{method.name}, {problem.name}: fitted in {fitted[-1][2]:.0f} s")
    rows = []
    for i, (problem, (method, account, seconds)) in enumerate(zip(listed, fitted, strict=True)):
        interrupt.check()
        truth = truth_of(problem) if problem.hidden is not None else None
        scores = scores_of(problem, method, account, fitted[(i + 1) % len(fitted)][1], truth)
        row = scores.to_json()
        row["fidelity"] = {n: v if np.isfinite(v) else None for n, v in row["fidelity"].items()}
        rows.append({"problem": problem.name, "seconds": round(seconds, 1), "numbers": account.numbers, **row})
        say(f"{method.name}, {problem.name}: {scores.fidelity.error_db:.1f} dB on new audio")
    return {
        "method": fitted[0][0].name,
        "software": f"twinrack {__version__}",
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 1),
        "mean": means(rows),
        "problems": rows,
    }


def means(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The mean of every measure over the problems that have it; of fidelity the median."""
    result: dict[str, float | None] = {}
    for name in NAMES:
        values = [r[name] for r in rows if r[name] is not None]
        result[name] = round(float(np.mean(values)), 4) if values else None
    for name in FIDELITY:
        values = [r["fidelity"][name] for r in rows if r["fidelity"][name] is not None]
        result[name] = round(float(np.median(values)), 3) if values else None
    result["numbers"] = float(np.median([r["numbers"] for r in rows]))
    return result


def table(results: Sequence[dict[str, Any]]) -> str:
    """All results as a table in Markdown."""
    heads = ["method", *NAMES, "error, dB", "STFT", "audible, dB", "gain, dB", "numbers", "minutes"]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for r in results:
        mean = r["mean"]
        cells = [r["method"], *("—" if mean[n] is None else f"{mean[n]:.2f}" for n in NAMES)]
        cells += ["—" if mean[n] is None else f"{mean[n]:.{d}f}" for n, d in zip(FIDELITY, (1, 2, 1, 2), strict=True)]
        cells += [str(int(mean["numbers"])), f"{r['seconds'] / 60:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(results: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write a JSON file for each method, the table, and a page with a plot."""
    from plotly.offline import get_plotlyjs

    from ..explain.plots import as_json

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for r in results:
        name = "".join(c if c.isalnum() else "-" for c in r["method"].lower()).strip("-")
        paths.append(folder / f"{name}.json")
        with disk.atomic(paths[-1]) as beside:
            beside.write_bytes(disk.json_bytes(r, paths[-1], "result"))
    heat = {
        "type": "heatmap",
        "x": list(NAMES),
        "y": [r["method"] for r in results],
        "z": [[r["mean"][n] for n in NAMES] for r in results],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Viridis",
        "texttemplate": "%{z:.2f}",
    }
    page = PAGE.replace("PLOTLY", get_plotlyjs()).replace("DATA", as_json([heat]))
    for path, text in ((folder / "table.md", table(results) + "\n"), (folder / "plot.html", page)):
        with disk.atomic(path) as beside:
            beside.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Interpretability</title></head><body>
<h1>Interpretability: 0 to 1, the more the better</h1><div id="plot" style="height:480px"></div>
<script>PLOTLY</script><script>Plotly.newPlot("plot", DATA, {margin: {l: 180}}, {displayModeBar: false, responsive: true});
</script></body></html>
"""
