"""`twinrack export` and `twinrack import`: racks as other programs' plugins, and back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible
from .review import REVIEW_HELP


class Kind(StrEnum):
    LV2 = "lv2"
    CLAP = "clap"
    VST3 = "vst3"


def export_plugin(
    patch: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    kind: Annotated[Kind | None, typer.Option("--as", help="Which plugin; the ending of --out when left out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .clap file, or .lv2 or .vst3 folder; like the patch when left out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name that hosts show; the rack's when left out.")] = None,
    plugin_id: Annotated[
        str | None, typer.Option("--id", help="Address by which projects find it, such as urn:example:vocal.")
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels in and out.")] = 2,
    preset: Annotated[list[str] | None, typer.Option(help="NAME=PATCH: a preset, any number of times.")] = None,
    require_review: Annotated[bool, typer.Option("--require-review", help=REVIEW_HELP)] = False,
) -> None:
    """Make a plugin of a patch that other programs load; it needs neither Python nor a compiler."""
    from ..plugin_files.export import export
    from ..rack.patch import load
    from ..review.policy import load_reviewed, note

    read = load_reviewed if require_review else load
    rack, review = read(patch), note(patch)
    if out is None:
        if kind is None:
            raise ValueError("say which plugin: --as lv2, clap or vst3, or a name with --out")
        out = Path(f"{patch.name.removesuffix('.json').removesuffix('.rack')}.{kind.value}")
    presets = {}
    for words in preset or []:
        label, equals, path = words.partition("=")
        if not equals:
            raise ValueError(f"--preset {words} is not NAME=PATCH, such as --preset Soft=soft.rack.json")
        presets[label] = read(Path(path))
    written = export(
        rack, out, format=kind.value if kind else None, name=name, id=plugin_id, channels=channels, presets=presets
    )
    print(written)
    print(visible(f"  review: {review}", lines=False))


def import_plugin(
    plugin: Annotated[Path, typer.Argument(help="A .clap file, or a .lv2 or .vst3 folder, that twinrack exported.")],
    out: Annotated[Path, typer.Option(help="Patch to write: a .rack.json file.")],
) -> None:
    """Read the patch in an exported plugin back."""
    from ..plugin_files.export import read_plugin
    from ..system.disk import check_writable

    check_writable(out)
    rack = read_plugin(plugin)
    rack.save(out, "import")
    print(f"{out}: rack {rack.name!r} with {len(rack.addresses())} effects")
