"""`twinrack plugins`: other makers' plugins on this machine."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..checks import visible
from .terminal import Terminal

app = typer.Typer(
    help="Other makers' plugins (LV2, CLAP, VST3): what there is, and whether it keeps its word.", no_args_is_help=True
)
out = Terminal(highlight=False)

FAILED = 3  # exit code of `check` where a plugin cannot be used


@app.command("list")
def list_plugins(
    words: Annotated[list[str] | None, typer.Argument(help="Only those with all these words in name, address or kind.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also instruments, and those that cannot be used.")] = False,
) -> None:
    """List the effects of this machine."""
    from ..hosting.catalogue import plugins

    listed = [p for p in plugins() if every or not p.problem]
    text = {p.uri: f"{p.name} {p.uri} {p.category} {p.author}".lower() for p in listed}
    listed = [p for p in listed if all(w.lower() in text[p.uri] for w in words or [])]
    table = Table("name", "kind", "in", "out", "address", box=None, header_style="bold")
    for p in listed:
        problem = f" ({p.problem})" if p.problem else ""
        cells = [visible(t, lines=False) for t in (p.name, p.category, str(p.inputs), str(p.outputs), p.uri + problem)]
        table.add_row(*cells) if out.is_terminal else print(*cells, sep="\t")
    if out.is_terminal:
        out.print(table)
    out.print(f"{len(listed)} plugins")


@app.command()
def scan() -> None:
    """Read the descriptions of all plugins of this machine anew, and say which cannot be used, and why."""
    from ..hosting.catalogue import plugins

    listed = plugins(fresh=True)
    for p in listed:
        if p.problem:
            print(visible(f"{p.name} ({p.uri}): {p.problem}", lines=False))
    print(f"{sum(not p.problem for p in listed)} of {len(listed)} plugins can be used as effects")


@app.command()
def show(name: Annotated[str, typer.Argument(help="Its address, or a part of its name that only one has.")]) -> None:
    """Show what a plugin declares: its controls with units and ranges, sound in and out, presets. One of LV2 is not loaded."""
    from ..hosting.catalogue import describe, find

    listed = find(name)
    d = describe(listed)
    out.print(
        f"{visible(d.name)}: {visible(d.category)}, by {visible(d.author) or 'nobody named'}\n{visible(d.uri)}\n{d.bundle}"
    )
    if listed.problem:
        out.print(f"It cannot be used: {visible(listed.problem)}")
    side = [p for p in d.audio(True) if p.is_sidechain]
    out.print(
        f"{len(d.main_inputs)} channels in, {len(d.audio(False))} out"
        + (f", sidechain {', '.join(visible(p.name) for p in side)}" if side else "")
        + (", reports its latency" if d.reports_latency else "")
        + (", hears MIDI" if d.hears_midi else "")
    )
    table = Table("control", "name", "initial", "range", "group", box=None, header_style="bold")
    for symbol, p in d.controls.items():
        table.add_row(*(visible(t) for t in (symbol, p.name, f"{p.default:g}", p.range_text(), p.group)))
    out.print(table)
    if d.presets:
        out.print(f"presets: {', '.join(visible(n) for n in d.presets)}")


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Addresses, parts of names that only one has, or paths.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All effects of this machine, a line each.")] = False,
) -> None:
    """Test plugins, each in processes of its own: sound, controls, state, latency, blocks, allocations, NaN, rates. Exit code 3
    where one cannot be used."""
    from ..hosting.catalogue import plugins
    from ..hosting.check import check_plugin

    if bool(names) == every:
        raise ValueError("say which plugins to test, or --all")
    if not every:
        checks = [check_plugin(name) for name in names or []]
        for one in checks:
            print(visible(str(one)))
    else:
        checks, failures = [], Counter[str]()
        for listed in (p for p in plugins() if p.is_effect):
            one = check_plugin(listed)
            checks.append(one)
            failed = [f for f in one.findings if f.holds is False]
            failures.update(f.name for f in failed)
            words = "; ".join(f"{f.name}: {f.text}" for f in failed)
            print(
                visible(
                    f"{'usable' if one.is_usable else 'CANNOT BE USED'}  {listed.name} ({listed.uri})  {words}", lines=False
                )
            )
        print(f"{sum(c.is_usable for c in checks)} of {len(checks)} can be used")
        print("; ".join(f"{count} fail {name}" for name, count in failures.most_common()))
    if not all(c.is_usable for c in checks):
        sys.stdout.flush()
        sys.exit(FAILED)


@app.command()
def edit(
    name: Annotated[str, typer.Argument(help="A plugin: its address, a part of its name or its path; or a patch (.json).")],
    address: Annotated[str | None, typer.Argument(help="Of the plugin in the patch; not needed where there is one.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of its presets, or a preset file, to begin with.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A preset file (.vstpreset, .clap-preset, .ttl), or the patch; a patch goes over itself."),
    ] = None,
) -> None:
    """Open the window that a plugin brings itself, on an X11 display, and write what was set once it is closed."""
    from ..hosting.effect import Plugin
    from ..rack.patch import load
    from ..system.disk import check_writable

    is_patch = name.endswith(".json")
    if address is not None and not is_patch:
        raise ValueError(f"{name} is not a patch (.json), so {address!r} cannot be in it; leave it out")
    if is_patch:
        rack = load(name)
        plugins = {a: e for a, e in rack.addresses().items() if isinstance(e, Plugin) and address in (None, a)}
        if len(plugins) != 1:
            known = ", ".join(a for a, e in rack.addresses().items() if isinstance(e, Plugin))
            wanted = "" if address is None else f"no plugin of {name} is called {address!r}; "
            raise ValueError(f"{wanted}say which plugin of {name}: {known or 'it has none'}")
        effect = next(iter(plugins.values()))
        if preset is not None:
            effect.load_preset(preset)
    else:
        effect = Plugin(name, preset=preset)
    if out is not None:
        check_writable(out if is_patch else effect.preset_path(out))
    before, state = effect.values(), effect.state
    with effect.open_editor() as window:
        while not window.wait(0.2):
            pass
    for id, value in effect.values().items():
        if value != before[id]:
            print(visible(f"{id}: {value}"))
    if is_patch and (effect.values() != before or effect.state != state or out is not None):
        rack.save(out or name)
        print(visible(f"wrote {out or name}"))
    elif not is_patch and out is not None:
        effect.save_preset(out)
        print(visible(f"wrote {out}"))
