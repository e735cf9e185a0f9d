"""`twinrack session`: render, show and check sessions from the shell."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ..checks import brief
from ..session.timeline import parse
from .terminal import Terminal

app = typer.Typer(help="Whole mixes: render, show, freeze, measure.", no_args_is_help=True)

SessionArgument = Annotated[Path, typer.Argument(help="A *.session.json file.")]
MediaOption = Annotated[list[Path] | None, typer.Option("--media", help="Other folder of recordings; may be repeated.")]
FromOption = Annotated[str | None, typer.Option("--from", help='Where to begin: seconds, "1:00", "16 beats".')]
NORMALIZE_HELP = "Integrated loudness to bring it to, such as -16LUFS; or a true peak, such as -1dBTP."
TRUE_PEAK_HELP = "True peak in dBTP that it stays below, such as -1."
LIMIT_HELP = "Add a limiter at the end where there is none, with the ceiling of --true-peak, or -1 dBTP."
ToOption = Annotated[str | None, typer.Option("--to", help="Where to end.")]


def parse_tail(text: str) -> str | float | None:
    """The value of `--tail`.

    Raises:
        ValueError: none of "auto", "none" or a number.
    """
    if text == "auto":
        return "auto"
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        value, unit = parse(text)
        if unit != "s":
            raise ValueError
        return value
    except ValueError:
        raise ValueError(f'--tail {brief(text)} is none of "auto", "none" or a number of seconds') from None


def _load(path: Path, media: list[Path] | None) -> Any:
    from ..session.file import load

    return load(path, media=media or [])


class _Bar:
    """Seconds of the mix, times realtime, time left."""

    def __init__(self, what: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeRemainingColumn(),
            console=Terminal(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=None, words="")
        self._began = time.monotonic()

    def __call__(self, done: float, total: float) -> None:
        speed = done / max(time.monotonic() - self._began, 1e-6)
        words = f"{done:.1f} of {max(done, total):.1f} s, {speed:.0f} × realtime"
        self._bar.update(self._task, completed=min(done, total), total=max(done, total), words=words)

    def __enter__(self) -> _Bar:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)


@app.command()
def render(
    session: SessionArgument,
    output: Annotated[
        list[Path] | None, typer.Option("--out", help="File; may be repeated for several formats. NAME.wav without it.")
    ] = None,
    stems: Annotated[bool, typer.Option("--stems", help="Also what each channel that goes to the master adds.")] = False,
    stems_folder: Annotated[Path | None, typer.Option(help="Where to; without it, NAME.stems beside the mix.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    tail: Annotated[str, typer.Option(help='"auto", "none", or seconds.')] = "auto",
    channel: Annotated[str, typer.Option(help="Whose sound.")] = "master",
    normalize: Annotated[str | None, typer.Option(help=NORMALIZE_HELP)] = None,
    true_peak: Annotated[str | None, typer.Option(help=TRUE_PEAK_HELP)] = None,
    limit: Annotated[bool, typer.Option("--limit", help=LIMIT_HELP)] = False,
    bits: Annotated[int, typer.Option(help="16, 24 (dithered) or 32 (float in WAV, AIFF).")] = 24,
    rate: Annotated[int | None, typer.Option(help="Sample rate of the files in Hz; the session's without it.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder: channels that did not change are not computed again.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier rendering was cut off.")] = False,
    threads: Annotated[int | None, typer.Option(help="The number of cores without it.")] = None,
    manifest: Annotated[bool, typer.Option(help="Write hashes of all that went in and came out.")] = True,
    media: MediaOption = None,
) -> None:
    """Render a session: on all cores, in constant memory, the same bits whatever the threads."""
    from ..render.level import parse_level
    from ..session.file import stem_of
    from ..session.output import render_to

    loaded = _load(session, media)
    stem = stem_of(session)
    files = output or [session.with_name(f"{stem}.wav")]
    folder = stems_folder or (files[0].with_name(f"{files[0].stem}.stems") if stems else None)
    level = parse_level(normalize, true_peak)
    ending = parse_tail(tail)
    loaded.channel(channel)  # is there
    with _Bar(stem) as bar:
        rendered = render_to(
            loaded, *files, stems=folder, start=start, end=end, tail=ending, channel=channel, bits=bits,
            sample_rate=rate, limit=limit, **level, cache=cache, checkpoint=True, resume=resume,
            manifest=manifest, threads=threads, progress=bar,
        )  # fmt: skip
    print(rendered)


@app.command()
def show(session: SessionArgument, media: MediaOption = None) -> None:
    """Print a session as a person reads it: routing, clips, effects, sends, sidechains, automation."""
    from ..session.describe import describe

    print(describe(_load(session, media)))


@app.command()
def report(
    session: SessionArgument,
    output: Annotated[Path | None, typer.Option("--out", help="HTML page; NAME.report.html without it.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    media: MediaOption = None,
) -> None:
    """Measure a mix and its channels: loudness, peaks, spectrum, stereo field, who hides whom."""
    from ..session.file import stem_of
    from ..system.disk import check_writable

    stem = stem_of(session)
    path = output or session.with_name(f"{stem}.report.html")
    check_writable(path)
    try:
        mix_report = _load(session, media).report(path, start=start, end=end)
    except ModuleNotFoundError as error:
        raise ValueError(f"reports need {error.name}; in the clone of twinrack: pip install '.[train]'") from None
    print(mix_report)
    print(f"report: {path}")


@app.command()
def verify(
    manifest: Annotated[Path, typer.Argument(help="A *.manifest.json file.")],
    session: Annotated[Path | None, typer.Option(help="Also compare this session with it.")] = None,
    media: MediaOption = None,
) -> None:
    """Compare a manifest with the files beside it, and with a session."""
    from ..session.manifest import verify as compare

    if manifest.suffix.lower() != ".json":  # the rendered file itself
        manifest = manifest.with_name(f"{manifest.name}.manifest.json")
    different = compare(manifest, None if session is None else _load(session, media))
    if different:
        raise ValueError(f"{manifest}: {'; '.join(different)}")
    print("all is as it was rendered")


@app.command()
def freeze(
    session: SessionArgument,
    channel: Annotated[str, typer.Argument(help="The channel.")],
    undo: Annotated[bool, typer.Option("--undo", help="Compute it again from now on.")] = False,
    media: MediaOption = None,
) -> None:
    """Put a channel's sound before its fader into a file, which is played instead of clips, inputs and rack."""
    from ..session.file import stem_of
    from ..session.freeze import freeze as put
    from ..session.freeze import unfreeze

    loaded = _load(session, media)
    if undo:
        unfreeze(loaded, channel)
    else:
        print(put(loaded, channel, session.parent / f"{stem_of(session)}.frozen"))
    loaded.save(session)


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(help="A .dawproject file, a folder of stems, or a take.")],
    session: Annotated[Path, typer.Argument(help="The *.session.json file to write; recordings go beside it.")],
) -> None:
    """Make a session of a DAWproject, a folder of stems or a live take; what could not be carried is listed."""
    from ..system.disk import check_writable

    made_folders = [folder for folder in (session.parent, *session.parent.parents) if not folder.exists()]
    session.parent.mkdir(parents=True, exist_ok=True)
    try:
        check_writable(session)
        count, left = _imported(source, session)
    except BaseException:
        for folder in made_folders:  # empty ones, innermost first
            with suppress(OSError):
                folder.rmdir()
        raise
    print(f"{session}: {count} channels")
    for sentence in left:
        print(f"  not carried: {sentence}")


def _imported(source: Path, session: Path) -> tuple[int, list[str]]:
    """The number of channels of the session that was written, and what could not be carried."""
    from ..session.file import stem_of

    stem = stem_of(session)
    if (source / "take.json").exists():
        from ..stage.gestures import read_take

        imported, left = read_take(source)
    elif source.is_dir():
        from ..exchange.stems_folder import read_stems

        imported, left = read_stems(source), list[str]()
        imported.name = stem
    else:
        from ..exchange.dawproject import read_dawproject

        imported, left = read_dawproject(source, session.with_name(f"{stem}.media"))
    imported.save(session, collect=True)
    return len(imported) - 1, left


@app.command()
def export(
    session: SessionArgument,
    output: Annotated[Path, typer.Argument(help="The .dawproject file to write.")],
    bounce: Annotated[bool, typer.Option("--bounce", help="Render channels whose effects other programs do not have.")] = False,
    media: MediaOption = None,
) -> None:
    """Write a session as a DAWproject, which workstations open; what could not be carried is listed."""
    from ..exchange.dawproject import write_dawproject

    if output.suffix.lower() != ".dawproject":
        raise ValueError(f"{output.name} has another ending; name a .dawproject file")
    left = write_dawproject(_load(session, media), output, bounce=bounce)
    print(output)
    for sentence in left:
        print(f"  not carried: {sentence}")
