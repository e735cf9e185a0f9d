"""`twinrack room`: measure loudspeakers in a room, and correct them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

app = typer.Typer(help="Loudspeakers in a room: measure them with a sweep, and correct them.", no_args_is_help=True)

SecondsOption = Annotated[float, typer.Option(help="Length of the response, longer than the room rings.")]
SweepOption = Annotated[
    float, typer.Option("--sweep", help="Length of the sweep in seconds; longer is further above the noise.")
]


@app.command()
def measure(
    out: Annotated[Path, typer.Argument(help="Sound file to write: the response, a channel for each loudspeaker.")],
    speakers: Annotated[str, typer.Option(help="Outputs of the device, one after the other.")] = "1,2",
    microphone: Annotated[int, typer.Option(help="Input of the device.")] = 1,
    source: Annotated[str | None, typer.Option("--input", help="Input device: number or part of its name.")] = None,
    output: Annotated[str | None, typer.Option(help="Output device: number or part of its name.")] = None,
    rate: Annotated[float | None, typer.Option(help="Sample rate in Hz; the device's without it.")] = None,
    seconds: SecondsOption = 1.0,
    sweep_s: SweepOption = 6.0,
    level: Annotated[float, typer.Option(help="Peak of the sweep in dBFS.")] = -20.0,
) -> None:
    """Measure live: a sweep out of each loudspeaker into a microphone where one listens; once for each place of it."""
    from ..room import measure as measure_room
    from ..system.disk import check_writable
    from .live import numbers_in

    check_writable(out)
    wanted = numbers_in(speakers, "--speakers")
    print(f"a second of silence, then {len(wanted)} × {sweep_s + seconds:.1f} s; keep quiet", flush=True)
    measured = measure_room(
        wanted, microphone, seconds=seconds, sweep_s=sweep_s, level_db=level, input=source, output=output, sample_rate=rate
    )
    print(measured)
    _write(out, measured.response.samples, measured.response.sample_rate)


@app.command()
def sweep(
    out: Annotated[Path, typer.Argument(help="Sound file to write.")],
    rate: Annotated[float, typer.Option(help="Sample rate in Hz.")] = 48000.0,
    sweep_s: SweepOption = 6.0,
    level: Annotated[float, typer.Option(help="Its peak in dBFS.")] = -20.0,
) -> None:
    """Write the sweep, to be played and recorded by other means; `response` then reads the recording."""
    from ..room import Sweep
    from ..system.disk import check_writable

    check_writable(out)
    _write(out, Sweep(rate, sweep_s, level).samples[None], rate)


@app.command()
def response(
    recording: Annotated[Path, typer.Argument(help="Recording of the sweep, a channel for each loudspeaker or microphone.")],
    out: Annotated[Path, typer.Argument(help="Sound file to write: the response.")],
    sweep_s: SweepOption = 6.0,
    seconds: SecondsOption = 1.0,
    level: Annotated[float, typer.Option(help="Peak of the sweep in dBFS, as it was written.")] = -20.0,
) -> None:
    """Read the response out of a recording of the sweep, which begins any time before it and has its sample rate."""
    from ..files.audio_file import read_audio
    from ..room import Sweep

    _refuse_own(out, [recording])
    sound, rate = read_audio(recording)
    _write(out, Sweep(rate, sweep_s, level).response_of(sound, seconds), rate)


@app.command()
def correct(
    responses: Annotated[list[Path], typer.Argument(help="Responses as `measure` writes them, one for each place.")],
    out: Annotated[Path, typer.Option("--out", help="Patch to write.")],
    target: Annotated[
        str, typer.Option(help='"flat", "house", or a text file with a frequency in Hz and dB on each line.')
    ] = "flat",
    lowest: Annotated[float | None, typer.Option(help="Hz; where the loudspeaker begins without it.")] = None,
    highest: Annotated[float | None, typer.Option(help="Hz; where the loudspeaker ends without it.")] = None,
    max_boost: Annotated[float, typer.Option(help="dB.")] = 6.0,
    max_cut: Annotated[float, typer.Option(help="dB.")] = 15.0,
    linear: Annotated[bool, typer.Option("--linear", help="Linear phase, which delays by half the filter.")] = False,
    seconds: Annotated[float, typer.Option(help="Length of the filter.")] = 0.34,
    page: Annotated[Path | None, typer.Option(help="HTML page to write, with the curves.")] = None,
) -> None:
    """Make a rack that corrects loudspeakers, for `twinrack live`, `render`, `export` or `convert`."""
    from ..resources.response import Response
    from ..room import correct as correct_room

    for path in (out, page):
        if path is not None:
            _refuse_own(path, responses)
    correction = correct_room(
        [Response.read(path) for path in responses],
        target if target in ("flat", "house") else _curve(target),
        lowest_hz=lowest,
        highest_hz=highest,
        max_boost_db=max_boost,
        max_cut_db=max_cut,
        phase="linear" if linear else "minimum",
        seconds=seconds,
    )
    print(correction)
    correction.rack.save(out)
    print(f"rack: {out}")
    if page is not None:
        correction.report(page)
        print(f"page: {page}")


def _curve(path: str) -> list[tuple[float, float]]:
    """A curve as measuring programs write it: two numbers on each line; others are comments."""
    from ..system.disk import read_whole

    points = []
    for line in read_whole(path, "target").decode("utf-8", "replace").splitlines():
        words = line.replace(",", " ").replace(";", " ").split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            continue
        if len(numbers) not in (0, 2) and not (len(numbers) == 3 and "," not in line):  # a third one is a phase
            raise ValueError(
                f"{path}: {line.strip()!r} must be a frequency in Hz and a gain in dB: two numbers, with decimal points"
            )
        points += [(numbers[0], numbers[1])] if numbers else []
    if not points:
        raise ValueError(f'{path} has no line with a frequency in Hz and a gain in dB; give such a file, "flat" or "house"')
    return points


def _refuse_own(out: Path, inputs: list[Path]) -> None:
    """Nothing is written over what is read."""
    from ..system.disk import check_writable

    if any(out.resolve() == path.resolve() for path in inputs):
        raise ValueError(f"{out} is what is read; give another name for what is written")
    check_writable(out)


def _write(out: Path, samples: np.ndarray, rate: float) -> None:
    import soundfile

    from ..formats.sound import library_name
    from ..system.disk import atomic

    if rate != int(rate):
        raise ValueError(f"the sample rate of a sound file must be an integer, got {rate:g}")
    if out.suffix.lower() not in (".wav", ".wave"):
        raise ValueError(f"{out}: a WAV file is written; give a name that ends in .wav")
    with atomic(out) as beside:
        soundfile.write(library_name(beside), samples.T, int(rate), format="WAV", subtype="FLOAT")
    print(f"written: {out}")
