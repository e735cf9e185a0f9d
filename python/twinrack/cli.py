"""The `twinrack` command. What goes wrong because of the input is said in one sentence, with exit code 2."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from . import __version__, interrupt
from .session.commands import app as session_app
from .session.commands import parse_tail
from .stage import commands
from .terminal import Terminal, plain_streams
from .words import visible

app = typer.Typer(
    help="Real-time audio effects that can be trained and understood.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
out = Terminal(highlight=False)

RackOption = Annotated[Path, typer.Option("--rack", help="Patch: a .rack.json file.")]


def main() -> None:
    """Run the command."""
    # Training threads that wait would otherwise spin, and slow each other down where something else runs too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupt.install()
    with plain_streams():
        try:
            _run()
        except BaseException:
            if not interrupt.asked():
                raise
        if interrupt.asked():
            with suppress(Exception):
                sys.stdout.flush()
            interrupt.leave(interrupt.asked())


def _run() -> None:
    try:
        app(standalone_mode=False)  # which returns 130 where Ctrl-C was pressed
    except BrokenPipeError:  # who read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        _complain(_sentence(error))
    except typer.Abort:
        _complain("interrupted", 130)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's errors about the command line itself
            _complain(error.format_message())
        raise


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and str(error).startswith("[Errno"):  # the system's own
        return f"{error.filename or error.errno}: {error.strerror}"
    return str(error) or type(error).__name__


def _complain(sentence: str, code: int = 2) -> None:
    sys.stdout.flush()
    print(f"twinrack: {visible(sentence, lines=False)}", file=sys.stderr)
    sys.exit(code)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"twinrack {__version__}")
        _exit(0)


@app.command()
def effects(effect: Annotated[str | None, typer.Argument(help="An effect's id, for its whole card.")] = None) -> None:
    """List the effects, or print the card of one."""
    from .card import CARDS, find_card

    if effect is not None:
        _print_card(find_card(effect))
        return
    table = Table("Effect", "Purpose", box=None, header_style="bold", pad_edge=False)
    for card in CARDS.values():
        table.add_row(card.id, card.purpose)
    out.print(table)
    out.print("\n`twinrack effects NAME` prints a card: rationale, parameters with ranges, assumptions, sources.")


def _print_card(card: Any) -> None:
    out.print(f"[bold]{card.name}[/bold] ({card.id} {card.version}), in Python: tr.{card.class_name}\n")
    out.print(f"{card.purpose}\n\n{card.rationale}\n")
    _print_parameters("Parameters", card.parameters)
    for group in card.groups:
        _print_parameters(f"Each of up to {group.count} {group.id}s ({group.class_name}): {group.doc}", group.parameters)
    for resource in card.resources:
        out.print(f"\n[bold]{resource['id']}[/bold] ({resource['shape']}): {resource['doc']}")
    for title, lines in (("Assumptions", card.assumptions), ("Sources", card.references)):
        out.print(f"[bold]{title}[/bold]")
        for line in lines:
            out.print(f"  • {escape(line)}")
        out.print()


def _print_parameters(title: str, parameters: Any) -> None:
    out.print(f"[bold]{title}[/bold]")
    table = Table("", "Range", "Default", "Expected", "What it does", box=None, header_style="dim", pad_edge=False)
    for p in parameters:
        expected = f"{p.expected[0]:g} to {p.expected[1]:g}" if p.kind == "continuous" else ""
        default = (
            f"{p.default:g}" if p.kind == "continuous" else ("on" if p.default else "off") if p.kind == "switch" else p.default
        )
        table.add_row(f"  {p.id}", p.range_text(), default, expected, f"{p.doc} {p.perceptual}")
    out.print(table)
    out.print()


@app.command()
def show(patch: Annotated[Path, typer.Argument(help="A .rack.json file.")]) -> None:
    """Print a patch as a person reads it: the chain, and where its values came from."""
    from .patch import load

    rack = load(patch)
    print(rack)
    held = rack.provenance.get("held_out", {})
    if held:
        print(f"\nfitted on {rack.provenance.get('date', 'an unknown date')}; error below the target on held-out audio:")
        for name, d in held.items():
            print(f"  {name:<8} {d['error_db']:7.1f} dB")
    for key, words in (
        ("not_determined", "not determined by the recording"),
        ("outside_expected", "outside the expected range"),
    ):
        if rack.provenance.get(key):
            print(f"{words}: {', '.join(rack.provenance[key])}")


@app.command()
def certify(
    patch: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    write: Annotated[bool, typer.Option(help="Write the certificate into the file.")] = False,
) -> None:
    """Prove that every loop in a patch is stable, with its margin; fails where that cannot be proved."""
    from .explain.certify import certify as prove
    from .patch import load

    rack = load(patch)
    print(prove(rack))
    if write:
        rack.save(patch)
        print(f"written into {patch}")


@app.command()
def render(
    files: Annotated[list[Path], typer.Argument(help="Input files or folders, and last the output file or folder.")],
    rack: RackOption,
    bits: Annotated[int, typer.Option(help="16, 24 (dithered) or 32 (float in WAV, AIFF).")] = 24,
    rate: Annotated[int | None, typer.Option(help="Sample rate of the result in Hz; the input's without it.")] = None,
    tail: Annotated[str, typer.Option(help='"auto", "none", or seconds.')] = "auto",
    sidechain: Annotated[Path | None, typer.Option(help="File for the rack's sidechain input.")] = None,
    ending: Annotated[str | None, typer.Option("--format", help="wav, flac, ogg, aiff, mp3: of files in a folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="Files at once; the number of cores without it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep a journal, and leave out what it says is done.")] = False,
    dask: Annotated[str | None, typer.Option(help='Render on a Dask cluster: its address, or "local".')] = None,
) -> None:
    """Render files through a rack: any number at once, in constant memory, with tail and latency compensated."""
    from .batch import Failed, cluster, plan, render_many
    from .patch import load

    if len(files) < 2:
        raise ValueError("name the input files and, last, the output file or folder")
    loaded = load(rack)
    pairs = plan(files[:-1], files[-1], None if ending is None else f".{ending.lstrip('.')}")
    bar = _render_bar()
    began = time.monotonic()
    failed = skipped = 0
    seconds = 0.0
    with cluster(dask) as client, bar:
        task = bar.add_task("rendering", total=len(pairs), words="")
        results = render_many(
            pairs,
            loaded,
            workers=workers,
            journal=files[-1] if resume else None,
            client=client,
            progress=lambda part: bar.update(task, advance=part),
            bits=bits,
            sample_rate=rate,
            tail=parse_tail(tail),
            sidechain=sidechain,
        )
        for result in results:
            if isinstance(result, Failed):
                failed += 1
                bar.console.print(f"twinrack: {escape(visible(result.reason, lines=False))}", soft_wrap=True)
                continue
            if result.skipped:
                skipped += 1
                continue
            seconds += result.seconds
            notes = f", {result.clipped} samples clipped" if result.clipped else ""
            notes += f", {result.input_faults} input samples were not finite" if result.input_faults else ""
            out.print(f"{escape(visible(str(result.path), lines=False))}  {result.seconds:.2f} s{notes}", soft_wrap=True)
    took = time.monotonic() - began
    if seconds:
        out.print(f"{seconds:.1f} s of audio in {took:.1f} s ({seconds / max(took, 1e-9):.0f} × realtime)")
    if skipped:
        out.print(f"{skipped} of {len(pairs)} files were done before")
    if failed:
        _complain(f"{failed} of {len(pairs)} files failed" if len(pairs) > 1 else "nothing was rendered")


def _render_bar() -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
    )


app.add_typer(session_app, name="session")
app.command()(commands.devices)
app.command()(commands.doctor)
app.command()(commands.latency)
app.command()(commands.live)
app.command()(commands.replay)


@app.command()
def fit(
    rack: RackOption,
    dry: Annotated[Path, typer.Option(help="Dry recording, or a folder of them.")],
    wet: Annotated[Path, typer.Option(help="The same through the processor, or a folder of the same names.")],
    output: Annotated[Path, typer.Option("--out", help="Patch to write.")],
    report: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 300,
    learn: Annotated[list[str] | None, typer.Option(help="Address to train, * for any; may be repeated.")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="Address to keep; may be repeated.")] = None,
    choices: Annotated[list[str] | None, typer.Option(help="Choice to try all options of, * for any; may be repeated.")] = None,
    starts: Annotated[int, typer.Option(help="Take start values from the recordings, and try so many of them.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the random windows.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="File to save the state in, and to continue from.")] = None,
) -> None:
    """Find the settings of a rack that turn a dry recording into a wet one."""
    from .files import check_writable
    from .patch import load

    _train_extra()
    from .train.fit import InterruptedFitError
    from .train.fit import fit_rack as run

    for path in (output, report):
        if path is not None:
            check_writable(path)
    try:
        result = run(
            load(rack),
            dry,
            wet,
            steps=steps,
            learn=learn,
            freeze=freeze or (),
            choices=choices or (),
            starts=starts,
            seed=seed,
            checkpoint=checkpoint,
        )
    except InterruptedFitError as error:
        if error.rack is not None:
            error.rack.save(output)
            interrupt.add(f"the best values so far are in {output}")
        raise
    print(result)
    result.rack.save(output)
    print(f"patch: {output}")
    if report is not None:
        print(f"report: {result.report(report)}")


def _train_extra() -> None:
    try:
        import auraloss  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"training needs {error.name}; in the clone of twinrack: pip install '.[train]'") from None


@app.command()
def demo(
    source: Annotated[Path | None, typer.Option("--input", help="A recording of your own.")] = None,
    target: Annotated[Path | None, typer.Option(help="The same recording through the processor to be matched.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for what is made.")] = Path("twinrack-demo"),
) -> None:
    """Run everything once: a recording, training, patch, render, report; ends with where things are."""
    _train_extra()
    from .demo import run

    run(source, target, folder)


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="A .rack.json patch, or a preset: ParametricEQ.txt of AutoEq or Equalizer APO.")
    ],
    output: Annotated[Path, typer.Argument(help="A .rack.json patch, a .txt preset, or a .yml pipeline for CamillaDSP.")],
) -> None:
    """Turn equaliser presets into racks, and the equalisers of racks into presets; what could not be carried is listed."""
    from .exchange.camilladsp import write_camilladsp
    from .exchange.equalizer_apo import read_equalizer_apo, write_equalizer_apo
    from .patch import load

    rack, left = read_equalizer_apo(source) if source.suffix.lower() == ".txt" else (load(source), [])
    kind = output.suffix.lower()
    if output.name.endswith(".rack.json"):
        rack.save(output)
    elif kind == ".txt":
        left += write_equalizer_apo(rack, output)
    elif kind in (".yml", ".yaml"):
        left += write_camilladsp(rack, output)
    else:
        raise ValueError(f"{output.name} is neither a .rack.json patch nor a .txt preset nor a .yml pipeline")
    print(output)
    for sentence in left:
        print(f"  not carried: {sentence}")
