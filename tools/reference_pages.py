"""Writes the pages that come from the cards (docs/effects), in which effects play, the JSON Schemas (docs/schema) and
docs/llms.txt, before mkdocs builds.

python tools/reference_pages.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

import twinrack as tr
from twinrack.build.card_schema import Card as CardFile
from twinrack.cloning.material import SECONDS_EACH, material
from twinrack.measure.curves import curves
from twinrack.pages.drawing import curve_figure
from twinrack.pages.module import has_module
from twinrack.pages.player import Scene, player_html
from twinrack.rack import patch
from twinrack.rack.card import Card, Parameter
from twinrack.rack.effect import Effect

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAVIGATION = DOCS.parent / "mkdocs.yml"
RATE = 48000
PLAYED = (0.8, 1.6)  # part of the designed sound, in passages: the quiet one's end and the louder one's beginning
FRAME = (
    '<iframe src="../{id}.player.html" title="Hear the {name}" loading="lazy" allow="microphone; autoplay" '
    'style="width:100%;height:34rem;border:0"></iframe>'
)
PLAYER_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Hear the {name}</title>
<meta name="viewport" content="width=device-width">
<style>:root {{ color-scheme: light dark; }} body {{ font: 15px/1.4 system-ui, sans-serif; margin: 0; }}</style>
</head><body>{player}</body></html>
"""


def table(parameters: tuple[Parameter, ...]) -> str:
    rows = ["| parameter | range | default | expected | JND | what it does |", "| --- | --- | --- | --- | --- | --- |"]
    for p in parameters:
        expected = f"{p.expected[0]:g} to {p.expected[1]:g}" if p.kind == "continuous" else ""
        default = f"{p.default:g}" if p.kind == "continuous" else str(p.default)
        rows.append(f"| `{p.id}` | {p.range_text()} | {default} | {expected} | {p.jnd_text()} | {p.doc} *{p.perceptual}* |")
    return "\n".join(rows)


def played(card: Card) -> Effect | None:
    """The effect that a page lets one hear; None for those that need a network of one's own."""
    if card.id in ("adapter", "controller"):
        return None
    if card.id == "parametric_eq":
        bands = [tr.Band("low_cut", frequency_hz=40), tr.Band("bell", frequency_hz=400, gain_db=-4), tr.Band("bell", gain_db=6)]
        return tr.ParametricEQ(bands=[*bands, tr.Band("high_shelf", frequency_hz=8000, gain_db=4)])
    if card.id == "dynamic_eq":
        bands = [tr.DynamicBand("bell", frequency_hz=300, gain_db=5), tr.DynamicBand("high_shelf", frequency_hz=5000)]
        return tr.DynamicEQ(bands=bands)
    if card.id == "convolution_reverb":
        t = np.arange(RATE) / RATE
        noise = np.random.default_rng(1).standard_normal((2, RATE)) * 10 ** (-3 * t)
        return tr.ConvolutionReverb(impulse_response=tr.Response(noise, RATE))
    return getattr(tr, card.class_name)()


def player_page(card: Card, effect: Effect) -> str:
    begin, end = (round(p * SECONDS_EACH * RATE) for p in PLAYED)
    scene = Scene(
        {card.name: tr.Rack([effect], name=card.id)}, material(RATE)[:, begin:end], RATE, title=f"Hear the {card.name}"
    )
    return PLAYER_PAGE.format(name=card.name, player=player_html(scene))


def page(card: Card, shown: Effect | None) -> str:
    plays = shown is not None and has_module()
    parts = [f"# {card.name}", f"`tr.{card.class_name}`, id `{card.id}`, version {card.version}", card.purpose, card.rationale]
    if plays:
        parts += ["## Hear it", FRAME.format(id=card.id, name=card.name)]
    if drawn := [curve_figure(curve) for curve in curves(shown, RATE)] if shown is not None else []:
        parts += ["## Curves", "Measured on the engine, as it plays above." if plays else "Measured on the engine.", *drawn]
    if card.parameters:
        parts += ["## Parameters", table(card.parameters)]
    for group in card.groups:
        parts += [f"## {group.class_name}", f"Up to {group.count}: `{group.id}s=[tr.{group.class_name}(…), …]`. {group.doc}"]
        parts.append(table(group.parameters))
    for resource in card.resources:
        parts += [f"## `{resource['id']}`", f"{resource['doc']} ({resource['shape']})"]
    if own := tr.presets(card.id):
        rows = [f"| {p.name} | {p.text} |" for p in own.values()]
        parts += ["## Presets", f'`tr.preset("{card.id}", "{next(iter(own))}")`, `twinrack presets {card.id}`']
        parts.append("| preset | for |\n| --- | --- |\n" + "\n".join(rows))
    parts += ["## Assumptions", "\n".join(f"- {line}" for line in card.assumptions)]
    parts += ["## Sources", "\n".join(f"- {line}" for line in card.references)]
    every = [*card.parameters, *(p for group in card.groups for p in group.parameters)]
    lines = [f"- `{p.id}`, {p.jnd_text()}: {p.jnd_source}" for p in every if p.jnd is not None]
    if lines:
        parts += ["## Just-noticeable differences", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def llms_text() -> str:
    """A map of the documentation for language models (llmstxt.org): every page with its first sentence, and every effect."""
    lines = [
        "# twinrack",
        "> Real-time audio effects that can be trained and understood: a C++ engine, and a PyTorch twin of each.",
        "## Pages",
    ]
    for title, name in re.findall(
        r"^  - (?:\"?([^\":\n]+)\"?: )?(\S+\.md)$", NAVIGATION.read_text(encoding="utf-8"), re.MULTILINE
    ):
        text = (DOCS / name).read_text(encoding="utf-8")
        first = next((p for p in text.split("\n\n")[1:] if p[:1].isalpha() or (p[:1] == "`" and p[:3] != "```")), "")
        sentence = " ".join(first.split()).partition(". ")[0].rstrip(".:")
        lines.append(f"- [{title or 'twinrack'}]({name}): {sentence}")
    lines += ["## Effects", *(f"- [{c.name}](effects/{c.id}.md): {c.purpose}" for c in tr.CARDS.values())]
    return "\n".join(lines) + "\n"


def main() -> None:
    (DOCS / "effects").mkdir(exist_ok=True)
    (DOCS / "schema").mkdir(exist_ok=True)
    rows = [f"| [{c.name}]({c.id}.md) | {c.purpose} |" for c in tr.CARDS.values()]
    index = [
        "# Effects",
        "Made from the cards; `twinrack effects` prints the same.",
        "| effect | purpose |\n| --- | --- |\n" + "\n".join(rows),
    ]
    (DOCS / "effects" / "index.md").write_text("\n\n".join(index) + "\n", encoding="utf-8")
    if not has_module():
        print("the engine for pages is not built (make web), so the pages of effects do not play")
    for card in tr.CARDS.values():
        effect = played(card)
        (DOCS / "effects" / f"{card.id}.md").write_text(page(card, effect), encoding="utf-8")
        if effect is not None and has_module():
            (DOCS / "effects" / f"{card.id}.player.html").write_text(player_page(card, effect), encoding="utf-8")
    (DOCS / "llms.txt").write_text(llms_text(), encoding="utf-8")
    for name, schema in (("card", CardFile.model_json_schema()), ("patch", patch.schema())):
        (DOCS / "schema" / f"{name}.schema.json").write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
