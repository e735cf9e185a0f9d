"""The plan of a test: what shall be shown, by whom, and who is left out; written before, compared after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..checks import brief
from ..rack.patch import first_complaint
from ..system import disk
from ..system.disk import atomic

Kind = Literal["abx", "ab", "mushra", "bs1116"]
MOST_ITEMS, MOST_TRIALS, MOST_CONDITIONS = 20, 200, 12
LARGEST = 4 << 20  # bytes of a plan
# Whose answers are left out, by kind of test.
KINDS: dict[str, str] = {
    "abx": "Nobody who finished is left out.",
    "ab": "Nobody who finished is left out.",
    "mushra": (
        "Whoever gives the hidden reference less than 90, or the 7 kHz anchor more than 90, in more than 15 % of the items is "
        "left out (ITU-R BS.1534-3, 4.1.2)."
    ),
    "bs1116": (
        "Whoever does not grade the hidden reference above the object over all items, by a one-sided t-test at 5 %, is left "
        "out (ITU-R BS.1116-3, 3.2.2)."
    ),
}
assert set(KINDS) == set(get_args(Kind))


class Plan(BaseModel):
    """The plan of a test.

    Attributes:
        test: SHA-256 of all that the page plays and asks.
        listeners: so many are planned.
        conditions, items: names; of MUSHRA with the anchors.
        hypotheses: "A > B" each; nothing else is confirmed by the test, all else is exploration.
        exclusions: whose answers are left out.
        gained_db: what each sound was turned up or down by, by item and condition.
        measures: of each sound against its reference, by item, condition and measure; nothing where there is no reference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    twinrack_listening_plan: Literal[1]
    kind: Kind
    test: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: str = Field(max_length=1000)
    question: str = Field(max_length=2000)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    version: str = Field(max_length=100)
    listeners: int = Field(ge=1, le=2000)
    trials: int = Field(ge=1, le=MOST_TRIALS)
    alpha: float = Field(ge=0.0001, le=0.5)
    conditions: list[str] = Field(min_length=1, max_length=MOST_ITEMS * 2 + 2)
    items: list[str] = Field(min_length=1, max_length=MOST_ITEMS)
    hypotheses: list[str] = Field(max_length=100)
    exclusions: str = Field(max_length=2000)
    gained_db: dict[str, dict[str, float]]
    measures: dict[str, dict[str, dict[str, float]]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The hypotheses as names: better, worse."""
        return [(a.strip(), b.strip()) for a, _, b in (h.partition(">") for h in self.hypotheses)]

    def check_hypotheses(self) -> None:
        """Raise ValueError for a hypothesis that names no two conditions of the test."""
        known = [*self.conditions, "hidden reference"]
        for words, (a, b) in zip(self.hypotheses, self.pairs, strict=True):
            if self.kind not in ("ab", "mushra"):
                raise ValueError("this kind of test has its own hypothesis (that the difference is heard); give none")
            if a == b or a not in known or b not in known:
                raise ValueError(
                    f"the hypothesis {brief(words)} is not of the form 'A > B' with two of {', '.join(map(brief, known))}"
                )

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        with atomic(path) as beside:
            beside.write_bytes(disk.json_bytes(self.model_dump(), path, "plan"))


def plan_path(page: Path) -> Path:
    """Where the plan of a page stands."""
    return page.with_name(f"{page.stem}.plan.json")


def read_plan(path: Path) -> Plan:
    """A plan's file, checked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one; one sentence.
    """
    content = disk.read_whole(disk.path_of(path), "plan", LARGEST)
    try:
        plan = Plan.model_validate(json.loads(content.decode("utf-8")))
    except ValidationError as error:
        raise ValueError(f"{path} is not the plan of a listening test: {first_complaint(error, Plan)}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not the plan of a listening test: it is not JSON") from None
    plan.check_hypotheses()
    return plan
