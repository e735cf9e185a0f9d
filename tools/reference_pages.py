"""Writes the pages that come from the cards (docs/effects) and the JSON Schemas (docs/schema), before mkdocs builds.

python tools/reference_pages.py
"""

from __future__ import annotations

import json
from pathlib import Path

import twinrack as tr
from twinrack.build.card_schema import Card as CardFile
from twinrack.rack import patch
from twinrack.rack.card import Card, Parameter

DOCS = Path(__file__).resolve().parents[1] / "docs"


def table(parameters: tuple[Parameter, ...]) -> str:
    rows = ["| parameter | range | default | expected | JND | what it does |", "| --- | --- | --- | --- | --- | --- |"]
    for p in parameters:
        expected = f"{p.expected[0]:g} to {p.expected[1]:g}" if p.kind == "continuous" else ""
        default = f"{p.default:g}" if p.kind == "continuous" else str(p.default)
        rows.append(f"| `{p.id}` | {p.range_text()} | {default} | {expected} | {p.jnd_text()} | {p.doc} *{p.perceptual}* |")
    return "\n".join(rows)


def page(card: Card) -> str:
    parts = [f"# {card.name}", f"`tr.{card.class_name}`, id `{card.id}`, version {card.version}", card.purpose, card.rationale]
    if card.parameters:
        parts += ["## Parameters", table(card.parameters)]
    for group in card.groups:
        parts += [f"## {group.class_name}", f"Up to {group.count}: `{group.id}s=[tr.{group.class_name}(…), …]`. {group.doc}"]
        parts.append(table(group.parameters))
    for resource in card.resources:
        parts += [f"## `{resource['id']}`", f"{resource['doc']} ({resource['shape']})"]
    parts += ["## Assumptions", "\n".join(f"- {line}" for line in card.assumptions)]
    parts += ["## Sources", "\n".join(f"- {line}" for line in card.references)]
    every = [*card.parameters, *(p for group in card.groups for p in group.parameters)]
    lines = [f"- `{p.id}`, {p.jnd_text()}: {p.jnd_source}" for p in every if p.jnd is not None]
    if lines:
        parts += ["## Just-noticeable differences", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


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
    for card in tr.CARDS.values():
        (DOCS / "effects" / f"{card.id}.md").write_text(page(card), encoding="utf-8")
    for name, schema in (("card", CardFile.model_json_schema()), ("patch", patch.schema())):
        (DOCS / "schema" / f"{name}.schema.json").write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
