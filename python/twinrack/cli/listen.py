"""`twinrack listen`: tests that tell whether people hear a difference, and what their answers show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..checks import visible
from .extras import need_train_extra
from .sounds import read_like, read_sound

app = typer.Typer(help="Listening tests: a page for listeners, and exact statistics of their answers.", no_args_is_help=True)


@app.command()
def make(
    output: Annotated[Path, typer.Option("--out", help="HTML page to write.")],
    pair: Annotated[
        list[str] | None, typer.Option(help="NAME=A.wav,B.wav: two sounds, equally long; any number of times.")
    ] = None,
    rack: Annotated[Path | None, typer.Option(help="Patch to hear: --audio through it, against --against.")] = None,
    against: Annotated[Path | None, typer.Option(help="Patch to compare it with; the sound itself without it.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="Recording for --rack; any number of times.")] = None,
    seconds: Annotated[float, typer.Option(help="Of a recording, from where it is loudest.")] = 8.0,
    title: Annotated[str, typer.Option(help="Shown above the test.")] = "Listening test",
    trials: Annotated[int, typer.Option(help="Of each pair, 5 to 200.")] = 16,
    alpha: Annotated[float, typer.Option(help="How often chance alone may seem to be a difference.")] = 0.05,
) -> None:
    """Write the page of an ABX test: can people hear the difference? What it can show is said before it begins."""
    need_train_extra()
    from ..explain.overview import loudest_part
    from ..rack.patch import load
    from ..review.abx import Item, plan, write_abx
    from ..system.disk import check_writable

    check_writable(output)
    if (pair is None) == (rack is None) or (audio is None) != (rack is None):
        raise ValueError("give pairs of files (--pair NAME=A.wav,B.wav), or a patch and recordings for it (--rack, --audio)")
    items, rate = [], 0
    for words in pair or []:
        name, equals, rest = words.partition("=")
        first, comma, second = rest.partition(",")
        if not (equals and comma):
            raise ValueError(f"--pair {words} is not NAME=A.wav,B.wav")
        a, own = read_sound(Path(first))
        rate = _same_rate(rate, own, first)
        items.append(Item(name, a, read_like(Path(second), a, rate)))
    if rack is not None:
        new, old = load(rack), None if against is None else load(against)
        for path in audio or []:
            x, own = read_sound(path)
            rate = _same_rate(rate, own, path)
            x = loudest_part(x, round(seconds * rate))
            a = x if old is None else np.asarray(old(x, rate))
            items.append(Item(path.name, a, np.asarray(new(x, rate))))
    path = write_abx(items, rate, output, title=title, trials=trials, alpha=alpha)
    print(f"{path}: {plan(trials, alpha)}")
    print("Send it to the listeners; what they send back is read by: twinrack listen analyse FILES")


def _same_rate(before: int, rate: int, name: str | Path) -> int:
    if before not in (0, rate):
        raise ValueError(f"{name} has {rate:g} Hz, and the sounds before it {before:g} Hz; convert one: twinrack render --rate")
    return rate


@app.command()
def analyse(
    answers: Annotated[list[Path], typer.Argument(help="Files that listeners saved.")],
) -> None:
    """Say what the listeners of a test heard: exact probabilities, corrected for as many questions as were asked."""
    from ..review.abx import analyse as result
    from ..review.abx import read_answers

    print(visible(str(result([read_answers(path) for path in answers]))))
