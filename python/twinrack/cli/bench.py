"""`twinrack bench`: benchmarks that any method can enter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .extras import need_train_extra

app = typer.Typer(help="Benchmarks that any method can enter.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Keeps the name of the benchmark a word of its own."""


@app.command()
def interpretability(
    method: Annotated[
        list[str] | None, typer.Option(help="twinrack, grey, lstm, wavenet, or your own as file.py:Class; may be repeated.")
    ] = None,
    problems: Annotated[int, typer.Option(min=0, help="Hidden racks.")] = 8,
    audio: Annotated[Path | None, typer.Option(help="Folder of stereo recordings at 48 kHz that they play.")] = None,
    dry: Annotated[Path | None, typer.Option(help="A real recording; with --wet also real pairs are learned.")] = None,
    wet: Annotated[Path | None, typer.Option(help="Folder of what devices made of it, or one file.")] = None,
    seed: Annotated[int, typer.Option(help="Of hidden values and of the methods.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for results, table and plot.")] = Path("interpretability"),
) -> None:
    """Ten measures of how well a learned effect is understood: recovery, intervals, ablation, counterfactuals, structure, …"""
    need_train_extra()
    from ..bench.problems import hidden_problems, real_problems
    from ..bench.run import method_named, run, table, write

    if (dry is None) != (wet is None):
        raise ValueError("real pairs need both: --dry RECORDING --wet FOLDER")
    makers = [method_named(name) for name in method or ["twinrack"]]
    given = list(hidden_problems(problems, seed, audio))
    if dry is not None and wet is not None:
        given += real_problems(dry, wet)
    results, paths = [], []
    for make in makers:
        results.append(run(make, given, seed))
        paths = write(results, out)  # after each, so that nothing is lost
    print("\n".join([table(results), *map(str, paths)]))
