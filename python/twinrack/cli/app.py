"""The `twinrack` command. An error in the input ends it with one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..checks import nan_in, visible
from ..system import interrupt
from ..version import __version__
from . import explain as explaining
from . import live as commands
from . import validate as validating
from .bench import app as bench_app
from .clone import clone_plugin
from .document import document
from .extras import need_train_extra
from .listen import app as listen_app
from .plugin import export_plugin, import_plugin
from .plugins import app as plugins_app
from .review import REVIEW_HELP
from .review import app as review_app
from .room import app as room_app
from .session import LIMIT_HELP, NORMALIZE_HELP, TRUE_PEAK_HELP, parse_tail
from .session import app as session_app
from .terminal import Terminal, plain_streams
from .trail import app as trail_app

app = typer.Typer(
    help="Real-time audio effects that can be trained and understood.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
out = Terminal(highlight=False)

OUTSIDE = 3  # exit code of `measure` where a file is outside the limits

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
            if not interrupt.received():
                raise
        if interrupt.received():
            with suppress(Exception):
                sys.stdout.flush()
            interrupt.end_process(interrupt.received())


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
            if not str(error.format_message()):  # help was printed, as no command was given
                sys.exit(2)
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
    from ..rack.card import CARDS, find_card

    if effect is not None:
        _print_card(find_card(effect))
        return
    width = max(map(len, CARDS)) + 2
    for card in CARDS.values():
        _paragraph(f"{card.id:<{width}}{card.purpose}", width)
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
    """Each parameter's name on a line that is never cut, so that it can be typed; what it does below."""
    from ..rack.describe import value_text

    out.print(f"[bold]{title}[/bold]")
    for p in parameters:
        usual = f", usually {p.expected[0]:g} to {p.expected[1]:g}" if p.kind == "continuous" else ""
        default = f"default {value_text(p, p.default)}"
        if p.follows is not None:
            default = f"default {p.follows[1]:g} × {p.follows[0]}"
        least = f"; a change of {p.jnd_text()} is just heard ({p.jnd_source})" if p.jnd is not None else ""
        out.print(f"  [bold]{p.id}[/bold]", soft_wrap=True)
        _paragraph(f"    {p.range_text()}; {default}{usual}{least}", 4)
        _paragraph(f"    {p.doc} {p.perceptual}", 4)
    out.print()


def _paragraph(text: str, indent: int) -> None:
    """Text that is broken between words only, however narrow the terminal is."""
    width = max(out.width, 24)
    lines = textwrap.wrap(text, width, subsequent_indent=" " * min(indent, width // 3), break_long_words=False)
    out.print("\n".join(lines), soft_wrap=True, markup=False)


@app.command()
def show(patch: Annotated[Path, typer.Argument(help="A .rack.json file.")]) -> None:
    """Print a patch as a person reads it: the chain, every value with its unit, and where the values came from."""
    from ..rack.describe import describe
    from ..rack.patch import load
    from ..review.policy import note

    print(describe(load(patch)))
    print(f"\nreview: {visible(note(patch), lines=False)}")


@app.command()
def certify(
    patch: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    write: Annotated[bool, typer.Option(help="Write the certificate into the file.")] = False,
) -> None:
    """Prove that every loop in a patch is stable, with its margin; fails where that cannot be proved."""
    from ..explain.certify import certify as prove
    from ..rack.patch import load

    rack = load(patch)
    print(prove(rack))
    if write:
        rack.save(patch)
        print(f"written into {patch}")


@app.command()
def render(
    files: Annotated[
        list[Path], typer.Argument(help="Input files or folders, and last the output file or folder; - is a pipe.")
    ],
    rack: Annotated[Path | None, typer.Option("--rack", help="Patch: a .rack.json file.")] = None,
    normalize: Annotated[str | None, typer.Option(help=NORMALIZE_HELP)] = None,
    true_peak: Annotated[str | None, typer.Option(help=TRUE_PEAK_HELP)] = None,
    limit: Annotated[bool, typer.Option("--limit", help=LIMIT_HELP)] = False,
    bits: Annotated[int, typer.Option(help="16, 24 (dithered) or 32 (float in WAV, AIFF).")] = 24,
    rate: Annotated[int | None, typer.Option(help="Sample rate of the result in Hz; the input's without it.")] = None,
    tail: Annotated[str, typer.Option(help='"auto", "none", or seconds.')] = "auto",
    channels: Annotated[
        str | None, typer.Option(help="stereo: mono files to both sides, as a stereo reverb needs it; mono: the mean of both.")
    ] = None,
    sidechain: Annotated[Path | None, typer.Option(help="File for the rack's sidechain input.")] = None,
    ending: Annotated[str | None, typer.Option("--format", help="wav, flac, ogg, aiff, mp3: of files in a folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="Files at once; the number of cores without it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep a journal, and leave out what it says is done.")] = False,
    dask: Annotated[str | None, typer.Option(help='Render on a Dask cluster: its address, or "local".')] = None,
    record: Annotated[str | None, typer.Option(help="Write into the patch's trail what was rendered, by this person.")] = None,
    require_review: Annotated[bool, typer.Option("--require-review", help=REVIEW_HELP)] = False,
) -> None:
    """Render files through a rack, to a loudness, or both: any number at once, in constant memory, latency compensated."""
    from ..files.hashing import digest
    from ..rack.patch import load
    from ..rack.rack import Rack
    from ..rack.trail import MOST_CHANGES
    from ..render.batch import Failed, cluster, plan, render_many
    from ..render.level import parse_level
    from ..render.pipes import Pipes
    from ..review.policy import load_reviewed
    from ..review.signing import add_entry

    if len(files) < 2:
        raise ValueError("name the input files and, last, the output file or folder")
    level = parse_level(normalize, true_peak)
    if rack is None and not (level or limit or rate or ending or channels):
        raise ValueError(
            "Missing option '--rack'; or say what else is to be done: --normalize, --true-peak, --limit, --rate, --format or "
            "--channels"
        )
    if record is not None and rack is None:
        raise ValueError("--record writes into the trail of a patch; name it with --rack")
    if require_review and rack is None:
        raise ValueError("--require-review asks for a patch that was reviewed; name it with --rack")
    loaded = Rack() if rack is None else load_reviewed(rack) if require_review else load(rack)
    pipes = Pipes(files[:-1], files[-1], sidechain, ending, {"--resume": resume, "--dask": dask is not None})
    bar = _render_bar()
    say = bar.console if pipes.to_standard else out
    began = time.monotonic()
    failed = skipped = 0
    seconds = 0.0
    rendered: dict[str, str] = {}
    with pipes, cluster(dask) as client, bar:
        pairs = plan(pipes.sources, pipes.output, None if ending is None else f".{ending.lstrip('.')}")
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
            channels=channels,
            sidechain=pipes.sidechain,
            **level,
            **({"limit": True} if limit else {}),
        )
        for result in results:
            if isinstance(result, Failed):
                failed += 1
                bar.console.print(f"twinrack: {escape(visible(pipes.sentence(result.reason), lines=False))}", soft_wrap=True)
                continue
            result = pipes.deliver(result)
            if result.skipped:
                skipped += 1
                continue
            seconds += result.seconds
            if record is not None and result.path.is_file():
                rendered[result.path.name] = digest(result.path)
            notes = ""
            if result.loudness is not None and level:
                measured = result.loudness
                notes += (
                    f", {result.gain_db:+.1f} dB: {measured.integrated:.1f} LUFS, true peak {measured.true_peak_db:.1f} dBTP"
                )
            notes += f", {result.clipped} samples clipped" if result.clipped else ""
            notes += f", {nan_in(result.input_faults, 'input sample')}" if result.input_faults else ""
            say.print(f"{escape(visible(str(result.path), lines=False))}  {result.seconds:.2f} s{notes}", soft_wrap=True)
            for note in result.notes:
                say.print(f"  {escape(visible(note, lines=False))}", soft_wrap=True)
    took = time.monotonic() - began
    if seconds:
        say.print(f"{seconds:.1f} s of audio in {took:.1f} s ({seconds / max(took, 1e-9):.0f} × realtime)")
    if rendered and rack is not None and record is not None:
        add_entry(
            rack, "rendered", record, details={"files": dict(list(rendered.items())[:MOST_CHANGES]), "count": len(rendered)}
        )
    if skipped:
        say.print(f"{skipped} of {len(pairs)} files were done before")
    if failed:
        _complain(f"{failed} of {len(pairs)} files failed" if len(pairs) > 1 else "nothing was rendered")


@app.command()
def measure(
    files: Annotated[list[Path], typer.Argument(help="Audio files, folders of them, or - for a pipe.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of the table.")] = False,
    integrated: Annotated[str | None, typer.Option(help="Limit: LUFS with a tolerance in LU, such as -16+-1.")] = None,
    max_short_term: Annotated[str | None, typer.Option(help="Limit in LUFS.")] = None,
    max_momentary: Annotated[str | None, typer.Option(help="Limit in LUFS.")] = None,
    max_lra: Annotated[str | None, typer.Option(help="Limit of the loudness range in LU.")] = None,
    max_true_peak: Annotated[str | None, typer.Option(help="Limit in dBTP.")] = None,
    max_sample_peak: Annotated[str | None, typer.Option(help="Limit in dBFS.")] = None,
    workers: Annotated[int | None, typer.Option(help="Files at once; the number of cores without it.")] = None,
) -> None:
    """Measure loudness and peaks of files (EBU R 128); exit code 3 where one is outside the limits."""
    from ..measure.files import HEADING, Limits, Measured, measure_files, parse_tolerance
    from ..render.batch import audio_in
    from ..render.level import parse_number
    from ..render.pipes import STANDARD, is_pipe, spooled
    from ..system.disk import scratch

    def most(text: str | None, name: str, units: str) -> float | None:
        return None if text is None else parse_number(text, units, f"--max-{name}", "12" if name == "lra" else "-1")[0]

    limits = Limits(
        None if integrated is None else parse_tolerance(integrated),
        most(max_short_term, "short-term", "LUFS|LKFS"), most(max_momentary, "momentary", "LUFS|LKFS"),
        most(max_lra, "lra", "LU"), most(max_true_peak, "true-peak", "dBTP|dB"),
        most(max_sample_peak, "sample-peak", "dBFS|dB"),
    )  # fmt: skip
    entries: list[dict[str, Any]] = []
    failed = outside = 0
    paths: list[Path] = []
    pipe = next((given for given in files if is_pipe(given, STANDARD)), None)
    if pipe is not None and len(files) > 1:
        raise ValueError(f"{'standard input' if str(pipe) == '-' else pipe} is a pipe; measure it alone")
    with ExitStack() as meanwhile:
        if pipe is not None:
            paths = [spooled(pipe, meanwhile.enter_context(scratch()), "-")]
        for given in files if pipe is None else ():
            try:
                paths += audio_in(given) if given.is_dir() else [given]
            except ValueError as error:
                failed += 1
                print(f"twinrack: {error}", file=sys.stderr)
                entries.append({"path": str(given), "error": str(error)})
        if not as_json:
            print(HEADING)
        results = measure_files(paths, workers) if pipe is None else list(measure_files(paths, workers))
    for result in results:
        if not isinstance(result, Measured):
            failed += 1
            source, why = result
            why = why if pipe is None else why.replace(str(source), str(pipe))
            print(f"twinrack: {why}", file=sys.stderr)
            entries.append({"path": str(pipe or source), "error": why})
            continue
        measured = result if pipe is None else replace(result, path=pipe)
        sentences = limits.outside(measured.loudness)
        outside += bool(sentences)
        entries.append({**measured.values(), **({"outside": sentences} if limits.given else {})})
        if not as_json:
            print("\n".join([measured.line(), *(f"    {sentence}" for sentence in (*sentences, *measured.notes))]))
    if as_json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    if failed:
        _complain(f"{failed} of {len(entries)} files could not be measured")
    if outside:
        _complain(f"{outside} of {len(paths)} files {'is' if outside == 1 else 'are'} outside the limits", OUTSIDE)


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
app.add_typer(plugins_app, name="plugins")
app.add_typer(trail_app, name="trail")
app.add_typer(review_app, name="review")
app.add_typer(listen_app, name="listen")
app.add_typer(room_app, name="room")
app.add_typer(bench_app, name="bench")
app.command()(explaining.explain)
app.command()(explaining.diff)
app.command()(validating.validate)
app.command()(document)
app.command("export")(export_plugin)
app.command("clone")(clone_plugin)
app.command("import")(import_plugin)
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
    steps: Annotated[
        int | None, typer.Option(help="Train so many steps of Adam from the rack's own values, instead of a search.")
    ] = None,
    learn: Annotated[list[str] | None, typer.Option(help="Address to train, * for any; may be repeated.")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="Address to keep; may be repeated.")] = None,
    choices: Annotated[
        list[str] | None, typer.Option(help="Choice whose options may be tried, * for any; may be repeated.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="After so long the search begins nothing new.")] = None,
    starts: Annotated[int, typer.Option(help="Take start values from the recordings, and try so many of them.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the random windows.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="File to save the state in, and to continue from.")] = None,
) -> None:
    """Find the settings of a rack that turn a dry recording into a wet one."""
    from ..rack.patch import load
    from ..system.disk import check_writable

    need_train_extra()
    from ..train.fit_rack import InterruptedFitError
    from ..train.fit_rack import fit_rack as run

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
            choices=choices,
            minutes=minutes,
            starts=starts,
            seed=seed,
            checkpoint=checkpoint,
        )
    except InterruptedFitError as error:
        if error.rack is not None:
            error.rack.save(output)
            interrupt.add_note(f"the best values so far are in {output}")
        raise
    print(result)
    result.rack.save(output)
    print(f"patch: {output}")
    if report is not None:
        print(f"report: {result.report(report)}")


@app.command()
def demo(
    source: Annotated[Path | None, typer.Option("--input", help="A recording of your own.")] = None,
    target: Annotated[Path | None, typer.Option(help="The same recording through the processor to be matched.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("twinrack-demo"),
) -> None:
    """Run everything once: a recording, training, patch, render, report; ends with where things are."""
    need_train_extra()
    from .demo import run

    run(source, target, folder)


@app.command()
def presets(
    effect: Annotated[str | None, typer.Argument(help="An effect's id; all without it.")] = None,
    name: Annotated[str | None, typer.Argument(help="One of its presets, whose values are shown.")] = None,
    output: Annotated[Path | None, typer.Option("--out", help="Patch to write with this preset.")] = None,
) -> None:
    """List the presets of effects, and of what several effects make together, or write one as a patch."""
    from ..rack.card import CARDS
    from ..rack.presets import READY_MADE, preset
    from ..rack.presets import presets as presets_of
    from ..rack.rack import Rack

    if name is None:
        if output is not None:
            raise ValueError("--out writes one preset; give its effect and name")
        for id in [effect] if effect is not None else [*CARDS, *READY_MADE]:
            for one in presets_of(id).values():
                print(f"{id:20} {one.name:24} {one.text}")
        return
    assert effect is not None
    rack, own = Rack([preset(effect, name)], name=name), presets_of(effect)[name]
    print(f"{effect}, {name}: {own.text}")
    for address, value in own.values.items():
        full = address if effect in READY_MADE else f"{effect}.{address}"
        unit = rack[full.partition(".")[0]].card.addresses[full.partition(".")[2]].unit
        print(f"  {address:28} {value}{'' if unit in ('1', '') else f' {unit}'}")
    if output is not None:
        rack.provenance = {"preset": {"effect": effect, "name": name, "by": "hand", "text": own.text}}
        rack.save(output)
        print(f"{output}: play it with twinrack live --rack {output}")


@app.command()
def new(
    kind: Annotated[
        str, typer.Argument(help="vocal, podcast, guitar-amp, mastering, drum-bus, room, de-noise, clone or research.")
    ],
    folder: Annotated[Path, typer.Argument(help="Folder to make; its last part is the project's name.")],
) -> None:
    """Make a folder to begin from: rack or session, sounds, script, review policy, and a README whose commands run at once."""
    from ..projects.new import new_project

    path = new_project(kind, folder)
    print(f"{path}: read README.md there; its three commands run at once")


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="A .rack.json patch, or a preset (.txt, .peace) of Equalizer APO, REW, AutoEq or Peace.")
    ],
    output: Annotated[Path, typer.Argument(help="A .rack.json patch, a .txt preset, or a .yml pipeline for CamillaDSP.")],
    rate: Annotated[
        float, typer.Option(help="Hz for which a preset's bandwidths in octaves, GraphicEQ and delays are exact.")
    ] = 48000.0,
    device: Annotated[str, typer.Option(help="Name of the device whose lines of a preset are read.")] = "",
) -> None:
    """Turn equaliser presets into racks, and the equalisers of racks into presets; what could not be carried is listed."""
    from ..exchange.camilladsp import write_camilladsp
    from ..exchange.equalizer_apo import read_equalizer_apo, write_equalizer_apo
    from ..rack.patch import load

    preset = source.suffix.lower() in (".txt", ".peace")
    rack, left = read_equalizer_apo(source, sample_rate=rate, device=device) if preset else (load(source), [])
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
