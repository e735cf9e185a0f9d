"""`twinrack clone`: a readable rack that does what another maker's plugin does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible
from ..rack.effect import Effect
from .extras import need_train_extra


def clone_plugin(
    plugin: Annotated[str, typer.Argument(help="A plugin: its address, a part of its name that only one has, or its path.")],
    out: Annotated[Path, typer.Option(help="Patch to write: a .rack.json file.")],
    preset: Annotated[str | None, typer.Option(help="Name of one of its presets.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE: a control, any number of times; see `twinrack plugins show`.")
    ] = None,
    audio: Annotated[
        list[Path] | None, typer.Option(help="A recording to learn from, any number of times; without, designed sound.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    knob: Annotated[
        str | None, typer.Option(help="A control to be learned at five positions; a patch is written for each, beside OUT.")
    ] = None,
    between: Annotated[
        tuple[float, float] | None, typer.Option(help="Lowest and highest position of the knob; without, those of the control.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="It takes so long at most, but for the knob.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of the fits.")] = 0,
) -> None:
    """Make a readable rack that does what a plugin does: measure it, choose a structure, fit it, say what is not explained."""
    need_train_extra()
    from ..cloning.clone import RATE, clone
    from ..hosting.effect import Plugin
    from ..system.disk import check_writable
    from .sounds import read_sound

    for path in (out, report):
        if path is not None:
            check_writable(path)
    effect = Plugin(plugin, preset=preset)
    for words in values or []:
        name, equals, text = words.partition("=")
        if not equals:
            raise ValueError(f"--set {words} is not NAME=VALUE, such as --set ratio=4")
        effect.set(name, _value(effect, name, text))
    sounds, rate = [], RATE
    for number, path in enumerate(audio or []):
        sound, own_rate = read_sound(path)
        if number and own_rate != rate:
            raise ValueError(f"{path.name} has a sample rate of {own_rate} Hz, the first recording {rate:g} Hz; convert one")
        sounds.append(sound)
        rate = float(own_rate)
    result = clone(effect, sounds or None, rate, knob=knob, between=between, minutes=minutes, seed=seed)
    print(visible(str(result)))
    result.rack.save(out)
    print(f"patch: {out}")
    if result.knob is not None:
        for position, rack in zip(result.knob.positions, result.knob.racks, strict=True):
            path = out.with_name(f"{out.name.removesuffix('.rack.json').removesuffix('.json')}.{knob}={position:g}.rack.json")
            rack.save(path)
            print(visible(f"patch: {path}"))
    if report is not None:
        print(f"report: {result.report(report)}")


def _value(effect: Effect, name: str, text: str) -> float | bool | str:
    """The value that is meant by a text; what is none is refused where it is set."""
    p = effect.card.addresses.get(name)
    if p is not None and p.kind == "switch" and text.lower() in ("true", "on", "false", "off"):
        return text.lower() in ("true", "on")
    if p is None or p.kind == "choice":
        return text
    try:
        return float(text)
    except ValueError:
        return text
