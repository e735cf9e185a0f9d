"""The page of a listening test, and its plan: one file for listeners, and one that says before what shall be shown.

Kinds: *ABX* (can people hear a difference?), *AB* (which do they prefer?), *MUSHRA* (how near to the reference, ITU-R
BS.1534-3) and *BS.1116* (small impairments, ITU-R BS.1116-3).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from ..audio import check_rate
from ..checks import brief, check_integer, check_number
from ..pages.player import as_json, encoded
from ..system import disk
from ..system.disk import atomic
from ..version import __version__
from .exact import power_in_words
from .kinds import KINDS, MOST_CONDITIONS, MOST_ITEMS, MOST_TRIALS, Kind
from .measures import measures_of
from .plan import Plan, plan_path, registered
from .stimuli import ANCHORS, REFERENCE, Item, Prepared, prepared

QUESTIONS = {
    "abx": "Which one is X?",
    "ab": "Which one do you prefer?",
    "mushra": "How near is each to the reference?",
    "bs1116": "One of B and C is the same as the reference A. How does the other one differ from it?",
}
LARGEST_PAGE = 64 << 20  # bytes


def write_test(
    items: Sequence[Item], sample_rate: float, path: str | os.PathLike[str], *, kind: Kind = "abx",
    title: str = "Listening test", question: str = "", trials: int = 16, alpha: float = 0.05, listeners: int = 20,
    hypotheses: Sequence[str] = (), match: bool = True, racks: Mapping[str, str] | None = None,
) -> Plan:  # fmt: skip
    """Write the page of a test, and beside it the plan (`NAME.plan.json`), to which the analysis compares what came.

    Args:
        items: 1 to 20. *ABX*: a reference and one condition each. *AB*: two conditions each. *MUSHRA*: a reference and 1 to 12
            conditions, the same in all. *BS.1116*: a reference and one condition each.
        sample_rate: Hz.
        path: of the page.
        kind: "abx", "ab", "mushra" or "bs1116".
        title: shown above.
        question: asked in every trial; without, that of the kind.
        trials: how often each item is asked, ABX 5 to 200, AB 1 to 200; the others ask once.
        alpha: how often chance alone may seem to be a difference, 0.0001 to 0.5.
        listeners: so many are planned, 1 to 2000.
        hypotheses: each "A > B": the names of two conditions, the better one first.
        match: give all sounds of an item the same loudness (ITU-R BS.1770).
        racks: SHA-256 of the content of each patch that was played, by the name of its condition.

    Raises:
        ValueError: sounds that do not fit the kind or each other; one sentence that names the item.
    """
    rate = check_rate(sample_rate)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {brief(kind)}")
    for name, text, most in (("title", title, 1000), ("question", question, 2000)):
        if len(text) > most:
            raise ValueError(f"the {name} has {len(text)} characters; up to {most} are possible")
    repeated = kind in ("abx", "ab")
    trials = check_integer(trials, "trials", 5 if kind == "abx" else 1, MOST_TRIALS) if repeated else 1
    alpha = check_number(alpha, "alpha", 0.0001, 0.5)
    listeners = check_integer(listeners, "listeners", 1, 2000)
    _fit(items, kind)
    played = [prepared(item, rate, anchors=kind == "mushra", match=match) for item in items]
    conditions = list(dict.fromkeys(name for item in items for name in item.conditions))
    power = power_in_words(kind, trials, alpha, listeners, [list(p.sounds) for p in played])
    data: dict[str, Any] = {
        "kind": kind, "title": title, "question": question or QUESTIONS[kind], "trials": trials, "alpha": alpha,
        "plan": power, "matched": match, "rate": rate, "version": __version__, "reference": REFERENCE,
        "items": [_sounds(p, rate) for p in played],
        "registered": registered(hypotheses, listeners, KINDS[kind]),
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    plan = Plan(
        twinrack_listening_plan=1, kind=kind, test=digest, title=title, question=data["question"],
        date=datetime.now(UTC).date().isoformat(), version=__version__, listeners=listeners, trials=trials, alpha=alpha,
        conditions=conditions + (list(ANCHORS) if kind == "mushra" else []), items=[item.name for item in items],
        hypotheses=list(hypotheses), exclusions=KINDS[kind], gained_db={p.name: dict(p.gained_db) for p in played},
        sounds={p.name: list(p.sounds) for p in played}, racks=dict(racks or {}),
        measures={p.name: measures_of(p, rate) for p in played},
    )  # fmt: skip
    plan.check_hypotheses()
    from ..explain.plots import templates

    script = (files(__package__) / "static" / "listen.js").read_text(encoding="utf-8")
    page = templates("twinrack.listening").get_template("listen.html").render(
        title=title, data=as_json(data | {"test": digest}), script=script
    )  # fmt: skip
    content = page.encode("utf-8", errors="backslashreplace")
    if len(content) > LARGEST_PAGE:
        raise ValueError(
            f"the page would have {len(content) >> 20} MB; a browser takes {LARGEST_PAGE >> 20}: give fewer or shorter sounds"
        )
    out = disk.path_of(path)
    with atomic(out) as beside:
        beside.write_bytes(content)
    plan.write(plan_path(out))
    return plan


def _fit(items: Sequence[Item], kind: Kind) -> None:
    """Refuse what the kind of test cannot use."""
    if not 1 <= len(items) <= MOST_ITEMS:
        raise ValueError(f"a test has 1 to {MOST_ITEMS} items, not {len(items)}")
    names = [item.name for item in items]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise ValueError(f"two items of the test have the name {brief(twice)}; give each its own")
    least, most = {"abx": (1, 1), "ab": (2, 2), "mushra": (1, MOST_CONDITIONS), "bs1116": (1, 1)}[kind]
    for item in items:
        count = len(item.conditions)
        if not least <= count <= most:
            span = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"{brief(item.name)} has {count} conditions; this kind of test compares {span}")
        if kind != "ab" and item.reference is None:
            raise ValueError(f"{brief(item.name)} has no reference, which this kind of test needs")
        if taken := {REFERENCE, *ANCHORS} & set(item.conditions):
            raise ValueError(f"{brief(item.name)}: the name {brief(taken.pop())} means something else here; take another")
        if kind == "mushra" and set(item.conditions) != set(items[0].conditions):
            raise ValueError(f"{brief(item.name)} has other conditions than {brief(items[0].name)}; give all items the same")


def _sounds(item: Prepared, rate: float) -> Mapping[str, Any]:
    """An item as the page has it; in ABX the reference is A."""
    sounds, _ = encoded(item.sounds, rate, largest=math.inf)
    return {"name": item.name, "sounds": sounds}
