"""Clones of other makers' plugins, no structure given: `tr.clone` on each, from designed sound; error on held-out sound.

    python benchmarks/plugin_clones.py [PART OF A NAME …]

The plugins are Debian's calf-plugins, lsp-plugins-lv2, x42-plugins, zam-plugins and mda-lv2; what is not installed is named.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import twinrack as tr
from twinrack.hosting.catalogue import plugins

CALF, LSP, X42 = "http://calf.sourceforge.net/plugins/", "http://lsp-plug.in/plugins/lv2/", "http://gareus.org/oss/lv2/"
PLUGINS: tuple[tuple[str, dict[str, Any]], ...] = (
    (f"{CALF}Equalizer5Band", {"p1_active": "ON", "p1_level": 2.0, "p2_active": "ON", "p2_level": 0.5}),
    (f"{X42}fil4#stereo", {"gain1": 6.0, "freq1": 300.0, "gain3": -4.0}),
    (f"{CALF}Compressor", {"threshold": 0.1, "ratio": 4.0}),
    (f"{LSP}compressor_stereo", {"al": 0.05, "cr": 4.0}),
    ("urn:zamaudio:ZamCompX2", {"thr": -24.0, "rat": 4.0}),
    (f"{CALF}Gate", {}),
    (f"{LSP}gate_stereo", {}),
    (f"{CALF}Limiter", {"limit": 0.2}),
    (f"{X42}dpl#stereo", {"gain": 10.0}),
    (f"{LSP}limiter_stereo", {"th": 0.2}),
    (f"{CALF}Saturator", {"drive": 5.0}),
    (f"{CALF}TapeSimulator", {}),
    (f"{CALF}Reverb", {}),
)


def main() -> None:
    installed = {p.uri for p in plugins()}
    print(
        "| plugin | found to be | structure | doing nothing | clone | s |\n| --- | --- | --- | --- | --- | ---: |", flush=True
    )
    for uri, values in PLUGINS:
        if len(sys.argv) > 1 and not any(part.lower() in uri.lower() for part in sys.argv[1:]):
            continue
        if uri not in installed:
            print(f"| {uri} | not installed | | | | |", flush=True)
            continue
        effect, began = tr.Plugin(uri, **values), time.monotonic()
        made = tr.clone(effect, progress=False)
        best = min(made.attempts, key=lambda a: a.distances.error_db).structure
        print(
            f"| {effect.card.name} | {made.character.kind} | {best} | {made.fit.nothing.error_db:.1f} dB | "
            f"{made.fit.fitted.error_db:.1f} dB, {made.fit.fitted.level_db:.2f} dB level | {time.monotonic() - began:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
