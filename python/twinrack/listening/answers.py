"""Answers of a listener: the file that a page saves or sends, checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..checks import brief
from ..rack.patch import first_complaint
from ..system import disk
from .kinds import MOST_ITEMS, MOST_TRIALS, Kind
from .stimuli import ANCHORS, REFERENCE

LARGEST = 1 << 20  # bytes of a file of answers
Name = Annotated[str, Field(max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Strict):
    """One answer of ABX or AB.

    Attributes:
        x: ABX: which sound X was, "a" (the reference) or "b". AB: which one was played as the first, by its name.
        answer: ABX: "a" or "b". AB: the name of the preferred one, "" for none.
        seconds: that it took.
    """

    x: Name
    answer: Name
    seconds: float = Field(ge=0, le=1e7)


class ItemAnswers(_Strict):
    """The answers to one item: trials (ABX, AB), or a score of each condition (MUSHRA 0 to 100, BS.1116 1.0 to 5.0).

    Attributes:
        conditions: names of the sounds, in the order of the page; of ABX and AB always two.
    """

    name: Name
    conditions: list[Name] = Field(min_length=2, max_length=20)
    trials: list[Trial] = Field(default_factory=list, max_length=MOST_TRIALS)
    scores: dict[Name, float] = Field(default_factory=dict, max_length=20)


class Answers(_Strict):
    """All answers of one listener.

    Attributes:
        registered: what was planned when the page was made (see `plan.registered`).
        began, date: days, by the listener's clock, of the first and the last answer.
        revision: rises with every answer.
    """

    twinrack_listening: Literal[1]
    kind: Kind
    test: str = Field(pattern=r"^[0-9a-f]{64}$")
    registered: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: Name
    planned: int = Field(ge=1, le=MOST_TRIALS)
    alpha: float = Field(ge=0.0001, le=0.5)
    listener: str = Field(min_length=1, max_length=200)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    began: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    revision: int = Field(0, ge=0, le=10**9)
    complete: bool
    items: list[ItemAnswers] = Field(max_length=MOST_ITEMS)

    @property
    def person(self) -> str:
        """The listener's name, however it is written."""
        return " ".join(self.listener.casefold().split())

    @property
    def asked(self) -> dict[str, Any]:
        """The questions that were answered: of two listeners to one test they are the same."""
        items = {i.name: sorted(i.conditions) for i in self.items}
        return {"kind": self.kind, "planned": self.planned, "alpha": self.alpha, "items": items}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Answers:
        names = [item.name for item in self.items]
        if len(set(names)) < len(names) or (self.complete and not names):
            raise ValueError("it has an item twice, or none")
        low, high = (1.0, 5.0) if self.kind == "bs1116" else (0.0, 100.0)
        for item in self.items:
            if self.kind in ("abx", "ab"):
                if item.scores or (self.complete and len(item.trials) != self.planned):
                    raise ValueError(
                        f"{brief(item.name)} has {len(item.trials)} of {self.planned} trials; who stops or goes on as they "
                        "please finds differences by chance"
                    )
                if len(item.conditions) != 2 or any(t.x not in item.conditions and self.kind == "ab" for t in item.trials):
                    raise ValueError(f"{brief(item.name)} does not say which two sounds were compared")
                if self.kind == "ab" and any(t.answer not in (*item.conditions, "") for t in item.trials):
                    raise ValueError(f"{brief(item.name)} has answers that are none of its two sounds")
                if self.kind == "abx" and any({t.x, t.answer} - {"a", "b"} for t in item.trials):
                    raise ValueError(f"{brief(item.name)} has answers other than a and b")
            elif item.trials or not all(low <= s <= high for s in item.scores.values()):
                raise ValueError(f"{brief(item.name)} has scores that are not from {low:g} to {high:g}")
            elif item.scores and set(item.scores) != set(item.conditions):
                raise ValueError(f"{brief(item.name)} has scores of other conditions than it played")
            elif self.complete and not item.scores:
                raise ValueError(f"{brief(item.name)} has no scores")
            elif item.scores and self.kind == "mushra" and not {REFERENCE, *ANCHORS} <= set(item.scores):
                raise ValueError(f"{brief(item.name)} has no score of the hidden reference or of an anchor")
            elif item.scores and self.kind == "bs1116" and (len(item.scores) != 2 or REFERENCE not in item.scores):
                raise ValueError(f"{brief(item.name)} has no two grades, one of them of the hidden reference")
        return self


def answers_from(content: bytes, place: str) -> Answers:
    """A listener's answers in the bytes of their file.

    Raises:
        ValueError: they are none, or not whole; one sentence.
    """
    try:
        data: Any = json.loads(content.decode("utf-8"))
        return Answers.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        own = first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else ""
        complaint = own or first_complaint(error, Answers, ItemAnswers, Trial)
        raise ValueError(f"{place} is not a whole file of answers: {complaint}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{place} is not a file of answers: it is not JSON; give the files that listeners saved") from None


def read_answers(path: Path) -> Answers:
    """A listener's file, checked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one, or not whole; one sentence.
    """
    return answers_from(disk.read_whole(disk.path_of(path), "file of answers", LARGEST), str(path))


def of_one_test(answers: Sequence[Answers]) -> list[Answers]:
    """The complete ones of answers to one test.

    Raises:
        ValueError: there is none, they are of different tests, or one listener answered twice.
    """
    if not answers:
        raise ValueError("give the files that listeners saved")
    complete = [a for a in answers if a.complete]
    first = complete[0] if complete else answers[0]
    for other in answers:
        if other.test != first.test:
            raise ValueError(
                f"the answers of {brief(other.listener)} are to another test than those of {brief(first.listener)}"
            )
    if not complete:
        raise ValueError("nobody has finished the test yet")
    for other in complete:
        if other.asked != first.asked:
            raise ValueError(f"{brief(other.listener)} was asked something else than {brief(first.listener)}")
    names = [a.person for a in complete]
    for a, name in zip(complete, names, strict=True):
        if names.count(name) > 1:
            raise ValueError(f"{brief(a.listener)} answered twice; leave one of the files out")
    return complete
