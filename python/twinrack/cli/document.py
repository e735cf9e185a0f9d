"""`twinrack document`: a model card, technical documentation, a bill of materials."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..checks import visible


class Kind(StrEnum):
    MODEL_CARD = "model-card"
    ANNEX_IV = "annex-iv"
    ML_BOM = "ml-bom"


def document(
    patch: Annotated[Path, typer.Argument(help="A .rack.json file.")],
    kind: Annotated[Kind, typer.Option("--as", help="Which document.")] = Kind.MODEL_CARD,
    facts: Annotated[
        Path | None, typer.Option(help="TOML file with what only people can say: purpose, users, provider, oversight, risks, …")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .md, .html, or .json for ml-bom.")] = None,
) -> None:
    """Make a document from a patch and its trail; what is missing is said to be missing, and no conformity is claimed."""
    from ..review.bom import bill_of_materials
    from ..review.documents import DOCUMENTS
    from ..review.patch_facts import patch_facts
    from ..system.disk import atomic, check_writable, json_bytes

    if out is not None:
        if out.resolve() == patch.resolve() or (facts is not None and out.resolve() == facts.resolve()):
            raise ValueError(f"{out} is what the document is made from; give another name for the document")
        check_writable(out)
    known = patch_facts(patch, facts)
    if kind is Kind.ML_BOM:
        content = json_bytes(bill_of_materials(known), Path("the bill of materials"), "document").decode()
        missing: list[str] = []
    else:
        text = DOCUMENTS[kind.value](known)
        html = out is not None and out.suffix.lower() in (".html", ".htm")
        if html:
            from .extras import need_train_extra

            need_train_extra()
        content, missing = (text.html() if html else text.markdown()), text.missing
    if out is None:
        print(visible(content))
        return
    with atomic(out) as beside:
        beside.write_text(content, encoding="utf-8", errors="backslashreplace")
    print(f"{kind.value}: {out}" + (f"; {len(missing)} things are missing, and marked" if missing else ""))
