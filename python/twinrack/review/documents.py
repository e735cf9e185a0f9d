"""Documents made from a patch: a model card, and technical documentation under the headings of Annex IV of the EU AI Act.

All figures are the patch's own; what people must write stands in a file of facts, and what is missing is said to be missing.
No document claims conformity with anything.

Sources: M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019; Regulation (EU) 2024/1689, Annex IV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import visible
from ..rack.describe import order_text, value_text
from ..version import __version__
from .patch_facts import WRITTEN, PatchFacts

NOT_CLAIMED = (
    "This document was made from a patch and its trail. It claims no conformity with any law or standard; whether one applies, "
    "and which, is for its provider to judge."
)
VALIDATE = 'run: twinrack validate PATCH --audio SOUND --record "NAME"'


@dataclass(frozen=True)
class Section:
    """One section of a document.

    Attributes:
        heading: with its number, where it has one.
        texts: paragraphs.
        rows: a table whose first row is its head; empty where there is none.
        missing: what is not known, and how to supply it.
        level: of the heading, from 2.
    """

    heading: str
    texts: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A document: title and sections."""

    title: str
    sections: tuple[Section, ...]

    @property
    def missing(self) -> list[str]:
        """All that is missing, once each."""
        return list(dict.fromkeys(m for s in self.sections for m in s.missing))

    def markdown(self) -> str:
        """The document in Markdown."""
        lines = [f"# {_plain(self.title)}", ""]
        for s in self.sections:
            lines += [f"{'#' * s.level} {_plain(s.heading)}", ""]
            for text in s.texts:
                lines += [_plain(text), ""]
            if s.rows:
                head, *rest = ([_plain(cell).replace("|", "\\|") for cell in row] for row in s.rows)
                lines += [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(r)} |" for r in rest), ""]
            lines += [f"> **Missing:** {_plain(m)}" for m in s.missing] + ([""] if s.missing else [])
        return "\n".join(lines)

    def html(self) -> str:
        """The document as one HTML page that needs nothing else."""
        from ..explain.plots import templates

        return templates("twinrack.review").get_template("document.html").render(document=self, version=__version__)


def _plain(text: str) -> str:
    """On one line, and nothing in it that Markdown takes for HTML, a heading, a list or a quotation."""
    line = visible(text, lines=False).replace("<", "&lt;")
    return f"\\{line}" if line[:1] in "#>-+*=~`|" and line else line


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    """A list of texts, as patches of other makers may hold something else."""
    return [str(v) for v in value] if isinstance(value, list | tuple) else []


def _written(facts: PatchFacts, heading: str, *keys: str, level: int = 3) -> Section:
    """A section of what people wrote."""
    texts = tuple(f"{WRITTEN[k].capitalize()}: {facts.written[k]}" for k in keys if k in facts.written)
    return Section(heading, texts, (), _unwritten(facts, *keys), level)


def _unwritten(facts: PatchFacts, *keys: str) -> tuple[str, ...]:
    """Sentences on what people have not said of these keys, and where to say it."""
    return tuple(f'{WRITTEN[k]} ({k} = "…" in the file of facts)' for k in keys if k not in facts.written)


def _summary(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    rack = facts.rack
    order = order_text(rack.root, {id(e): a for a, e in facts.effects.items()}) or "no effects"
    texts = [f"Rack “{rack.name}”: the sound goes through {order}."]
    for address, effect in facts.effects.items():
        texts.append(f"{address} ({effect.card.name} {effect.card.version}): {effect.card.purpose} {effect.card.rationale}")
    rows = (("Patch", facts.path.name), ("SHA-256", facts.sha256), ("Made with", f"twinrack {__version__}"))
    return Section(heading, tuple(texts), (("What", "Value"), *rows), (), level)


def _values(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    errors = _mapping(facts.provenance.get("standard_errors"))
    rows = [("Value", "is", "± standard error", "expected range", "what it does")]
    for address, effect in facts.effects.items():
        unused = effect.unused()
        for name, p in effect.card.addresses.items():
            if name in unused:
                continue
            error = errors.get(f"{address}.{name}")
            expected = f"{p.expected[0]:g} to {p.expected[1]:g}" if p.kind == "continuous" else "—"
            rows.append(
                (
                    f"{address}.{name}",
                    value_text(p, effect.get(name)),
                    f"{error:.3g}" if isinstance(error, float) else "—",
                    expected,
                    p.doc,
                )
            )
    texts = ["Every value has a meaning, a unit and a range that its card states; training stays inside the card's range."]
    hidden, outside = (_texts(facts.provenance.get(name)) for name in ("not_determined", "outside_expected"))
    if hidden:
        texts.append(f"The recordings did not determine: {', '.join(hidden)}.")
    if outside:
        texts.append(f"Outside what their cards expect: {', '.join(outside)}.")
    for address, text, count in facts.networks:
        texts.append(f"{address}: a network of {count} weights, which are not meant to be read one by one: {text}.")
    return Section(heading, tuple(texts), tuple(rows), (), level)


def _training(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    p = facts.provenance
    if not facts.is_fitted:
        maker = facts.trail[0]["by"] if facts.trail else "hand"
        return Section(heading, (f"The values were not trained; the patch was made by {maker}.",), (), (), level)
    settings = p.get("settings")
    texts = [f"Fitted by {p.get('made_by')} on {p.get('date')}; it ended: {p.get('stopped')}."]
    if isinstance(settings, Mapping):
        learn = settings.get("learn")
        texts.append(
            f"{len(learn) if isinstance(learn, list) else 0} values were learned from pairs of dry and wet recordings."
        )
    texts += [f"Note: {w}." for w in _texts(p.get("warnings"))]
    return Section(heading, tuple(texts), (), (), level)


def _data(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    rows: list[tuple[str, ...]] = [("Recording", "seconds", "dry, SHA-256", "wet, SHA-256")]
    for r in facts.recordings:
        rows.append(tuple(str(r.get(n, "—"))[:64] for n in ("name", "seconds", "dry_sha256", "wet_sha256")))
    missing = list(_unwritten(facts, "data_origin"))
    v, texts = facts.validation, [facts.written["data_origin"]] if "data_origin" in facts.written else []
    if v is not None and v.get("data_warnings") is not None:
        texts += [f"Coverage: {w}." for w in _texts(v["data_warnings"])] or ["Coverage: nothing was found to be lacking."]
    elif facts.is_fitted:
        missing.append(f"what the recordings cover, and results by group ({VALIDATE} --recordings FOLDER --table CSV)")
    return Section(heading, tuple(texts), tuple(rows) if facts.recordings else (), tuple(missing), level)


def _results(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    rows: list[tuple[str, ...]] = [("On held-out audio", "error, dB", "spectral distance", "level error, dB")]
    held_out = facts.provenance.get("held_out")
    for name, d in held_out.items() if isinstance(held_out, Mapping) else ():
        if isinstance(d, Mapping):
            rows.append((str(name), *(f"{d[k]:.3g}" for k in ("error_db", "stft", "level_db") if isinstance(d.get(k), float))))
    texts = ["Error: energy of the difference from the target, relative to it. Spectral distance: multi-resolution STFT."]
    return Section(heading, tuple(texts) if len(rows) > 1 else (), tuple(rows) if len(rows) > 1 else (), (), level)


def _validation(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    v = facts.validation
    if v is None:
        return Section(heading, (), (), (f"validation of this very state ({VALIDATE})",), level)
    failed = _texts(v.get("claims_failed"))
    texts = [f"{v['claims']} claims on controlled signals, {len(failed) or 'none'} failed."]
    texts += [f"Failed: {name}." for name in failed]
    if isinstance(failures := v.get("first_failures"), list):
        texts.append(f"On a ladder of {v.get('rungs')} degradations of real sound:")
        texts += [
            f"fails at {f.get('rung')}: {f.get('measure')} off by {f.get('value')} {f.get('unit')}, "
            f"caused by {f.get('block') or 'no block alone'}."
            for f in map(_mapping, failures)
        ] or ["nothing fails."]
    for column, groups in _mapping(v.get("groups")).items():
        texts.append(f"Mean error by {column}: {', '.join(f'{name} {db} dB' for name, db in _mapping(groups).items())}.")
    for rung, counts in _mapping(v.get("recovered")).items():
        near, *of = _texts(counts) or ["?"]
        texts.append(f"Fitted again from defaults, {rung}: {near} of {of[0] if of else '?'} values within 1 JND.")
    return Section(heading, tuple(texts), (), (), level)


def _trail(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    rows = [("Entry", "what", "date", "by", "signed", "hash")]
    for e in facts.trail:
        signed = ", ".join(str(s.get("name")) for s in e.get("signatures") or []) or "no"
        rows.append((str(e.get("number")), str(e["what"]), str(e["date"]), str(e["by"]), signed, f"{e['hash'][:16]}…"))
    texts = [
        "Every entry holds the hash of the patch and of the entry before. Signatures are checked by: twinrack trail verify."
    ]
    texts += [f"Changed behind the trail's back: {f}." for f in facts.faults]
    missing = ("a trail (saving the patch with this twinrack begins one)",) if not facts.trail else ()
    return Section(heading, tuple(texts), tuple(rows) if facts.trail else (), missing, level)


def _noted(facts: PatchFacts, what: str) -> tuple[str, ...]:
    return tuple(f"{e['date']}: {e['by']}. {(e.get('details') or {}).get('note', '')}".strip() for e in facts.entries(what))


def _reviews(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    texts = _noted(facts, "reviewed")
    missing = () if texts else ('a review by people (twinrack trail add PATCH reviewed --by "NAME" --note "…")',)
    return Section(heading, texts, (), missing, level)


def _listening(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    texts = list(_noted(facts, "listened"))
    for entry in facts.entries("listened"):
        texts += _texts((entry.get("details") or {}).get("against_plan"))
    missing = () if texts else ("a listening test (twinrack listen make, then analyse --into PATCH)",)
    return Section(heading, tuple(texts), (), missing, level)


def _limits(facts: PatchFacts, heading: str, level: int = 2) -> Section:
    texts = [f"{address}: {text}" for address, effect in facts.effects.items() for text in effect.card.assumptions]
    return Section(heading, (*texts, *_texts(facts.provenance.get("advice"))), (), (), level)


def model_card(facts: PatchFacts) -> Document:
    """A model card, after M. Mitchell et al., 2019."""
    return Document(
        f"Model card of “{facts.rack.name}”",
        (
            _summary(facts, "Model"),
            _written(facts, "Intended use", "purpose", "users", "not_for", level=2),
            _written(facts, "Provider", "provider", "version", "licence", level=2),
            _values(facts, "Values"),
            _training(facts, "Training"),
            _data(facts, "Training data"),
            _results(facts, "Results"),
            _validation(facts, "Validation"),
            _limits(facts, "Assumptions and limits"),
            _listening(facts, "Listening tests"),
            _reviews(facts, "Reviews"),
            _trail(facts, "Trail"),
            Section("What this document is", (NOT_CLAIMED,)),
        ),
    )


def annex_iv(facts: PatchFacts) -> Document:
    """Technical documentation under the headings of Annex IV of Regulation (EU) 2024/1689."""
    signed = any(e.get("signatures") for e in facts.trail)
    return Document(
        f"Technical documentation of “{facts.rack.name}”",
        (
            Section("Before reading", (NOT_CLAIMED,)),
            Section("1. General description of the AI system"),
            _written(facts, "1 (a) Intended purpose, provider, version", "purpose", "provider", "version"),
            _written(facts, "1 (b) Interaction with other hardware and software", "interface"),
            Section("1 (c) Versions of software", _software(facts), (), (), 3),
            _written(facts, "1 (d) Forms in which it is placed on the market", "forms"),
            _written(facts, "1 (e) Hardware on which it is intended to run", "hardware"),
            _summary(facts, "1 (f) The system itself", 3),
            _written(facts, "1 (g), (h) User interface and instructions for use", "instructions"),
            Section("2. Elements of the AI system and the process of its development"),
            _training(facts, "2 (a) Methods and steps of development", 3),
            _values(facts, "2 (b) Design specifications: logic, key choices, parameters", 3),
            _limits(facts, "2 (b) Rationale and assumptions", 3),
            Section("2 (c) Architecture and computational resources", _resources(facts), (), (), 3),
            _data(facts, "2 (d) Data requirements and data sets", 3),
            _written(facts, "2 (e) Human oversight measures", "oversight"),
            _written(facts, "2 (f) Pre-determined changes", "changes"),
            _results(facts, "2 (g) Metrics on held-out data", 3),
            _validation(facts, "2 (g) Validation and testing", 3),
            _written(facts, "2 (h) Cybersecurity measures", "security"),
            Section("3. Monitoring, functioning and control"),
            _limits(facts, "3. Capabilities and limitations", 3),
            _written(facts, "3. Foreseeable unintended outcomes and misuse", "not_for", "risks"),
            Section("4. Appropriateness of the performance metrics", METRICS, (), (), 2),
            _written(facts, "5. Risk management system", "risks", level=2),
            _trail(facts, "6. Changes through the lifecycle"),
            _written(facts, "7. Standards applied", "standards", level=2),
            _written(facts, "8. EU declaration of conformity", "declaration", level=2),
            _written(facts, "9. Post-market monitoring", "monitoring", level=2),
            _reviews(facts, "Reviews by people"),
            Section(
                "Signatures",
                ("Signed entries stand in the trail above.",) if signed else (),
                (),
                () if signed else ("a signature of a responsible person (twinrack trail sign PATCH --key KEY --name NAME)",),
            ),
        ),
    )


METRICS = (
    "Error in dB is the energy of the difference from the target over that of the target: it asks for the same waveform, which "
    "is the strictest measure where the processing is deterministic.",
    "The spectral distance and the level error say what remains where waveforms cannot agree; audible error and "
    "just-noticeable differences (JND) say what of it a listener may hear. They are models: they do not replace listeners.",
)


def _software(facts: PatchFacts) -> tuple[str, ...]:
    entries = [str(e["software"]) for e in facts.trail]
    return tuple(dict.fromkeys([*entries, f"this document: twinrack {__version__}"]))


def _resources(facts: PatchFacts) -> tuple[str, ...]:
    count = sum(n for _, _, n in facts.networks)
    texts = [f"{len(facts.effects)} effects; {f'{count} weights of networks' if count else 'no networks'}."]
    software = facts.provenance.get("made_by")
    return (*texts, f"Trained on: {software}.") if software else tuple(texts)


DOCUMENTS: Mapping[str, Callable[[PatchFacts], Document]] = {"model-card": model_card, "annex-iv": annex_iv}
