"""The plan of a test: what shall be shown, by whom, and who is left out; written before, compared after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..checks import brief
from ..rack.patch import first_complaint
from ..rack.trail import digest
from ..system import disk
from ..system.disk import atomic
from .answers import Answers
from .exact import power_in_words
from .kinds import MOST_ITEMS, MOST_TRIALS, Kind
from .stimuli import ANCHORS

LARGEST = 4 << 20  # bytes of a plan


def registered(hypotheses: Sequence[str], listeners: int, exclusions: str) -> str:
    """SHA-256 of what a test shall show, by how many, and who is left out. The page gives it to every answer, so that a plan
    cannot be changed after somebody listened."""
    return digest({"hypotheses": list(hypotheses), "listeners": listeners, "exclusions": exclusions})


class Plan(BaseModel):
    """The plan of a test.

    Attributes:
        test: SHA-256 of all that the page plays and asks, and of `registered`.
        listeners: so many are planned.
        conditions, items: names; of MUSHRA with the anchors.
        hypotheses: "A > B" each; nothing else is confirmed by the test, all else is exploration.
        exclusions: whose answers are left out.
        sounds: the names of the sounds of each item.
        racks: SHA-256 of the content of each patch that was played, by the name of its condition; none of files.
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
    sounds: dict[str, list[str]]
    racks: dict[str, str] = Field(default_factory=dict)
    gained_db: dict[str, dict[str, float]]
    measures: dict[str, dict[str, dict[str, float]]]

    @property
    def registered(self) -> str:
        """See `registered`."""
        return registered(self.hypotheses, self.listeners, self.exclusions)

    @property
    def power(self) -> str:
        """See `power_in_words`."""
        return power_in_words(self.kind, self.trials, self.alpha, self.listeners, list(self.sounds.values()))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The hypotheses as names: better, worse."""
        return [(a.strip(), b.strip()) for a, _, b in (h.partition(">") for h in self.hypotheses)]

    def check_hypotheses(self) -> None:
        """Raise ValueError for a hypothesis that names no two conditions of the test."""
        known = [c for c in self.conditions if c not in ANCHORS]
        for words, (a, b) in zip(self.hypotheses, self.pairs, strict=True):
            if self.kind not in ("ab", "mushra"):
                raise ValueError("this kind of test has its own hypothesis (that the difference is heard); give none")
            if a == b or a not in known or b not in known:
                raise ValueError(
                    f"the hypothesis {brief(words)} is not of the form 'A > B' with two of {', '.join(map(brief, known))}"
                )
            if self.kind == "ab" and not any({a, b} == set(sounds) for sounds in self.sounds.values()):
                raise ValueError(f"the hypothesis {brief(words)} is about two conditions that no item compares")

    def fault_of(self, answers: Answers) -> str:
        """One sentence on why answers are not those to this plan's test; empty where they are."""
        who = brief(answers.listener)
        if answers.test != self.test:
            return f"the answers of {who} are to another test than the plan"
        if answers.registered != self.registered:
            return f"the plan's hypotheses, listeners or exclusions were changed after the page of {who} was made"
        if (answers.kind, answers.planned, answers.alpha) != (self.kind, self.trials, self.alpha):
            return f"the answers of {who} say another kind, number of trials or alpha than the plan"
        own = {item.name: sorted(item.conditions) for item in answers.items}
        known = {name: sorted(sounds) for name, sounds in self.sounds.items()}
        if any(known.get(name) != sounds for name, sounds in own.items()) or (answers.complete and set(own) != set(known)):
            return f"the answers of {who} are about other sounds than the plan"
        return ""

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
