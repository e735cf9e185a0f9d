"""The commands that explain racks: `explain` and `diff`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ..checks import visible
from .extras import need_train_extra
from .sounds import read_like, read_sound


def explain(
    rack: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    audio: Annotated[Path, typer.Option(help="A recording that the rack is for.")],
    report: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    want: Annotated[
        str | None,
        typer.Option(
            help='A wish: what is the least change with which it comes true? "loudness=-16", "sibilance=-3", "200-400 Hz=-2", '
            '"reduction of compressor=6", "gate open at 1:23", "error=-30".'
        ),
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option(help="Address that may change for it, * for any; may be repeated.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Address that may not change; may be repeated.")] = None,
    target: Annotated[Path | None, typer.Option(help="Recording that a wish for the error means.")] = None,
    passage: Annotated[
        str | None, typer.Option(help='How much louder must the input be for the wish, from second to second: "2.8-3.3".')
    ] = None,
    output: Annotated[Path | None, typer.Option("--out", help="Patch to write with the least change.")] = None,
    seconds: Annotated[
        float, typer.Option(help="Explain on at most so much of the recording, where it is loudest; a wish is for all of it.")
    ] = 10.0,
    sidechain: Annotated[Path | None, typer.Option(help="Recording for the rack's sidechain input.")] = None,
) -> None:
    """Say what a rack does to a recording, where the recording shows each value, and what would have to change for a wish."""
    need_train_extra()
    from ..explain.counterfactuals import counterfactual, louder
    from ..explain.overview import explanation
    from ..rack.patch import load
    from ..system.disk import check_writable

    for path in (report, output):
        if path is not None:
            check_writable(path)
    loaded = load(rack)
    sound, rate = read_sound(audio)
    key = None if sidechain is None else read_like(sidechain, sound, rate)
    if want is None:
        for option, given in (
            ("--change", change),
            ("--keep", keep),
            ("--target", target),
            ("--passage", passage),
            ("--out", output),
        ):
            if given:
                raise ValueError(f'{option} belongs to a wish; say what is wanted: --want "loudness=-16"')
        result = explanation(loaded, sound, rate, seconds=seconds, sidechain=key)
        print(visible(str(result)))
        if report is not None:
            print(f"report: {result.report(report)}")
        return
    if report is not None:
        raise ValueError("--report belongs to an explanation; leave out --want, or write the changed patch with --out")
    goal = None if target is None else read_like(target, sound, rate)
    if passage is not None:
        for option, given in (("--change", change), ("--keep", keep), ("--out", output)):
            if given:
                raise ValueError(f"{option} is about the rack's values, --passage about the input; leave one of them out")
        print(louder(loaded, sound, rate, want, _passage(passage), target=goal, sidechain=key))
        return
    answers = counterfactual(loaded, sound, rate, want, change or ("*",), keep=keep or (), target=goal, sidechain=key)
    for answer in answers:
        print(answer)
    if output is not None and answers[0].met:
        answers[0].rack.save(output)
        print(f"patch: {output}")


def diff(
    first: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    audio: Annotated[Path | None, typer.Option(help="A recording: what do they do to it differently?")] = None,
    sidechain: Annotated[Path | None, typer.Option(help="Recording for the racks' sidechain input.")] = None,
) -> None:
    """Say how two patches differ: values in units and in what one just hears, and with a recording the sound."""
    from ..explain.rack_difference import differences
    from ..rack.patch import load

    racks = load(first), load(second)
    if audio is None:
        print(visible(str(differences(*racks))))
        return
    need_train_extra()
    sound, rate = read_sound(audio)
    key = None if sidechain is None else read_like(sidechain, sound, rate)
    print(visible(str(differences(*racks, sound, rate, sidechain=key))))


def _passage(text: str) -> tuple[float, float]:
    match: Any = re.fullmatch(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise ValueError(f'--passage {text!r} is not two times in seconds, such as "2.8-3.3"')
    return float(match[1]), float(match[2])
