"""`twinrack validate`: claims, the ladder to real sound, recordings and groups."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible
from .extras import need_train_extra

FOUND = 3  # exit code where something is found, with --strict


def validate(
    rack: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    audio: Annotated[
        Path | None, typer.Option(help="A clean recording that the rack is for; without it there is no ladder of degradations.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Another .rack.json that the rack imitates: only what it does otherwise counts.")
    ] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of dry recordings, of training and tests.")] = None,
    wet: Annotated[Path | None, typer.Option(help="Folder of the wet recordings, with the same names.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV of the recordings: column file, others such as speaker, room, device; held_out marks with 1."),
    ] = None,
    others: Annotated[Path | None, typer.Option(help="Folder of other voices or instruments, for the second voice.")] = None,
    recover: Annotated[bool, typer.Option(help="Also fit degraded recordings of this very rack: minutes.")] = False,
    rate: Annotated[float, typer.Option(help="Sample rate in Hz, without --audio.")] = 48000.0,
    seconds: Annotated[float, typer.Option(help="At most so much of the recording, where it is loudest.")] = 6.0,
    sidechain: Annotated[Path | None, typer.Option(help="Recording for the rack's sidechain input.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    record: Annotated[str | None, typer.Option(help="Write the result into the patch's trail, by this person.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 3 where anything is found.")] = False,
) -> None:
    """Say where a rack can be trusted: claims on controlled signals, real sound made worse by degrees, what its data cover."""
    need_train_extra()
    from ..rack.patch import load
    from ..system.disk import check_writable
    from ..validation.recordings import read_folder
    from ..validation.validate import validate as check
    from .sounds import read_like, read_sound

    if report is not None:
        check_writable(report)
    for option, given in (("--wet", wet), ("--table", table)):
        if given is not None and recordings is None:
            raise ValueError(f"{option} belongs to the recordings; give their folder with --recordings")
    if audio is None and (recover or others is not None or reference is not None or sidechain is not None):
        raise ValueError("--reference, --others, --recover and --sidechain need a recording: --audio in.wav")
    loaded = load(rack)
    sound, key = None, None
    if audio is not None:
        sound, rate = read_sound(audio)
        key = None if sidechain is None else read_like(sidechain, sound, int(rate))
    result = check(
        loaded,
        sound,
        rate,
        reference=None if reference is None else load(reference),
        recordings=[] if recordings is None else read_folder(recordings, rate, wet=wet, table=table),
        others=[] if others is None else [r.dry for r in read_folder(others, rate)],
        recover=recover,
        seconds=seconds,
        sidechain=key,
    )
    print(visible(str(result)))
    if report is not None:
        print(f"report: {result.report(report)}")
    if record is not None:
        from ..review.signing import add_entry

        add_entry(rack, "validated", record, details=result.to_json())
        print(f"{rack}: validated, by {record}")
    if strict and result.findings():
        sys.stdout.flush()
        sys.exit(FOUND)
