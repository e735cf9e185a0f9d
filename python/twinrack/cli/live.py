"""`twinrack devices`, `doctor`, `latency`, `live` and `replay`."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ..system import interrupt
from .review import REVIEW_HELP
from .terminal import begin_line

RackOption = Annotated[list[Path], typer.Option("--rack", help="Patch: a .rack.json file; once for every line.")]


def devices() -> None:
    """List the audio devices."""
    from ..stage.device import without_repeats
    from ..stage.hosts import devices as find

    unique = without_repeats(find())
    if not unique:
        print("no audio device; plug one in, or start a server such as JACK")
    for device in unique:
        print(device)


def numbers_in(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} must be channel numbers such as 1,2, got {text!r}") from None


def _block(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise ValueError(f'--block must be "auto" or an integer, in frames, got {text!r}')
    return int(text)


def _sidechains(given: list[str]) -> dict[str, list[int]]:
    channels = {}
    for text in given:
        name, equals, numbers = text.partition("=")
        if not equals:
            raise ValueError(f"--sidechain {text!r} is not NAME=CHANNEL, such as voice=2")
        channels[name] = numbers_in(numbers, "--sidechain")
    return channels


def live(
    rack: RackOption,
    source: Annotated[str | None, typer.Option("--input", help="Input device: number or part of its name.")] = None,
    output: Annotated[str | None, typer.Option(help="Output device: number or part of its name.")] = None,
    block: Annotated[str, typer.Option(help='Frames per callback, 1 to 8192; "auto": the smallest that is stable.')] = "auto",
    rate: Annotated[float | None, typer.Option(help="Sample rate in Hz; the device's without it.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 to 16.")] = None,
    inputs: Annotated[list[str] | None, typer.Option(help="Device inputs of a line, such as 1,1; once for every line.")] = None,
    outputs: Annotated[list[str] | None, typer.Option(help="Device outputs of a line, such as 1,2.")] = None,
    sidechain: Annotated[list[str] | None, typer.Option(help="NAME=CHANNEL: the input that a sidechain hears.")] = None,
    play: Annotated[
        list[Path] | None, typer.Option(help="Recording that plays in a loop instead of the input; a second one is its target.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="End after so long; without it, at Ctrl-C.")] = None,
    limiter: Annotated[bool, typer.Option(help="The safety limiter at -0.3 dBFS.")] = True,
    mute_on_fault: Annotated[bool, typer.Option(help="Silence for 0.1 s after an effect puts out NaN or infinity.")] = True,
    howl_duck: Annotated[bool, typer.Option(help="Turn the sound down when it begins to howl.")] = True,
    console: Annotated[bool, typer.Option("--console", help="Serve a page that shows and changes it.")] = False,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 8471,
    host: Annotated[str, typer.Option(help="Where the page listens; 0.0.0.0 lets the whole network in.")] = "127.0.0.1",
    racks: Annotated[Path | None, typer.Option(help="Folder of presets; without, that of the first patch.")] = None,
    takes: Annotated[Path | None, typer.Option(help="Folder that the page records into.")] = None,
    midi: Annotated[str | None, typer.Option(help='MIDI input: part of its name; "virtual" makes one.')] = None,
    osc: Annotated[int | None, typer.Option(help="UDP port for OSC, such as 9000.")] = None,
    reload: Annotated[bool, typer.Option(help="Hear a patch file anew when it changes.")] = True,
    record: Annotated[Path | None, typer.Option(help="New folder for a take of all of it, for `twinrack replay`.")] = None,
    require_review: Annotated[bool, typer.Option("--require-review", help=REVIEW_HELP)] = False,
) -> None:
    """Play live through one rack, or several with inputs and outputs of their own."""
    from ..rack.patch import load
    from ..stage.desk import Desk
    from ..stage.line import Line, Safety
    from ..stage.stream import LiveStream

    if require_review:
        from ..review.policy import load_reviewed

    read = load_reviewed if require_review else load
    if console:
        from ..stage.console.server import Console
    if midi is not None:
        from ..stage.midi import Midi
    if osc is not None:
        from ..stage.osc import Osc

    if seconds is not None and not seconds > 0:
        raise ValueError(f"--seconds {seconds:g} is not above 0")
    keys = _sidechains(sidechain or [])
    lines: list[Line] = []
    for index, path in enumerate(rack):
        loaded = read(path)
        name = loaded.name if loaded.name.isidentifier() else "rack"
        if any(line.name == name for line in lines):
            name = f"{name}_{index + 1}"
        lines.append(
            Line(
                loaded,
                name,
                inputs=numbers_in(inputs[index], "--inputs") if inputs and index < len(inputs) else None,
                outputs=numbers_in(outputs[index], "--outputs") if outputs and index < len(outputs) else None,
                sidechain={k: v for k, v in keys.items() if k in loaded.sidechains},
            )
        )
    for key in set(keys) - {k for line in lines for k in line.rack.sidechains}:
        raise ValueError(f"--sidechain {key}: no rack listens to a sidechain of that name")
    if play and len(play) > 2:
        raise ValueError(f"--play was given {len(play)} times; give a recording, and at most one that is its target")
    if racks is not None and not racks.is_dir():
        raise FileNotFoundError(f"there is no folder {racks}; --racks wants one of presets")
    interrupt.allow_time()  # a take is completed first
    stream = LiveStream(
        lines,
        input=source,
        output=output,
        block_size=_block(block),
        sample_rate=rate,
        channels=channels,
        play=None if not play else (play[0], play[1] if len(play) > 1 else None),
        safety=Safety(limiter=limiter, mute_on_fault=mute_on_fault, howl_duck=howl_duck),
        on_event=lambda event: _say(f"{event.kind}: {event.words}"),
    )
    closing = ExitStack()
    try:
        with closing:
            desk = Desk(stream, racks or rack[0].parent, read)
            closing.callback(desk.close)
            controls = None
            if midi is not None:
                controls = Midi(desk, (racks or rack[0].parent) / "controls.midi.json")
                closing.callback(controls.close)
                print(f"MIDI: {controls.open(None if midi in ('', 'virtual') else midi, virtual=midi == 'virtual')}")
            if osc is not None:
                server = Osc(desk, osc)
                closing.callback(server.close)
                print(f"OSC: port {server.port}; /twinrack/addresses lists what there is")
            if console:
                page = Console(desk, port, host, midi=controls, takes=takes)
                closing.callback(page.close)
                print(f"console: {page.url}")
            if reload:
                for path, line in zip(rack, lines, strict=True):
                    desk.watch_patch(path, line.name)
            stream.start(record)
            closing.callback(stream.stop)
            _introduce(stream)
            _watch(stream, seconds)
    except KeyboardInterrupt:
        if interrupt.received() == signal.SIGINT:  # the usual way to end it
            interrupt.handled()
    finally:
        stream.stop()
    seconds_played = stream.frames / stream.sample_rate
    _say(f"{seconds_played:.1f} s played, {stream.xruns} xruns, {stream.late_callbacks} callbacks of ours too long")


def latency(
    source: Annotated[str | None, typer.Option("--input", help="Input device: number or part of its name.")] = None,
    output: Annotated[str | None, typer.Option(help="Output device: number or part of its name.")] = None,
    block: Annotated[str, typer.Option(help='Frames per callback, 1 to 8192; "auto": the smallest that is stable.')] = "auto",
    rate: Annotated[float | None, typer.Option(help="Sample rate in Hz; the device's without it.")] = None,
) -> None:
    """Measure the round trip: noise out of output 1, over a cable into input 1."""
    from ..stage.probe import round_trip

    print(round_trip(input=source, output=output, block_size=_block(block), sample_rate=rate))


def doctor() -> None:
    """Look for what stands in the way of live sound on this machine, and say what to do."""
    from ..stage.doctor import BAD, examine

    findings = examine()
    for finding in findings:
        print(finding)
    if any(f.how == BAD for f in findings):
        sys.stdout.flush()
        sys.exit(1)


def replay(
    take: Annotated[Path, typer.Argument(help="Folder of a take.")],
    output: Annotated[Path | None, typer.Option("--out", help="File to write what is rendered to (32-bit float).")] = None,
) -> None:
    """Render a recorded take again, with every change at its frame, and compare it with the recorded output."""
    import soundfile

    from ..formats.sound import library_name
    from ..stage.replay import replay as render
    from ..system.disk import atomic, check_writable

    if output is not None:
        check_writable(output)
    replayed = render(take)
    print(replayed)
    if output is not None:
        with atomic(output) as beside:
            soundfile.write(library_name(beside), replayed.audio.T, int(replayed.sample_rate), format="RF64", subtype="FLOAT")
        print(f"written: {output}")
    if not replayed.equal:
        raise ValueError("the rendered take differs from the recorded output; it may be of another version of twinrack")


def _introduce(stream: Any) -> None:
    names = " + ".join(line.rack.name for line in stream.lines.values())
    print(f"{stream.input.name} → {names} → {stream.output.name} ({stream.output.host_api})")
    parts = ", ".join(f"{what} {ms:.1f}" for what, ms in stream.latencies_ms().items())
    print(f"{stream.sample_rate:g} Hz, blocks of {stream.block_size} frames; latency {stream.latency_ms:.1f} ms ({parts})")
    for note in stream.notes:
        print(f"note: {note}")
    print("Ctrl-C ends it", flush=True)


def _say(words: str) -> None:
    if sys.stdout.isatty():
        begin_line()
    print(words, flush=True)


def _watch(stream: Any, seconds: float | None) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        time.sleep(0.1 if end is None else min(0.1, max(0.0, end - time.monotonic())))
        if not sys.stdout.isatty():
            continue
        parts = []
        for address, m in stream.meters("command").items():
            reduction = f" -{m.gain_reduction_db:.1f}" if m.gain_reduction_db > 0.05 else ""
            parts.append(f"{address} {m.peak_out_db:.0f} dB{reduction}")
        line = f"{'  '.join(parts)}  xruns {stream.xruns}"
        begin_line()
        print(line[: os.get_terminal_size().columns - 1], end="", flush=True)
