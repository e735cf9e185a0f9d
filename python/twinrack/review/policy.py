"""Policies of review: who must have accepted a patch before it may be used, and whether that holds now."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..rack.patch import load, read_json
from ..rack.rack import Rack
from ..rack.trail import content_of, digest, trail_of, verify
from ..system import disk
from .verdict import LONGEST_QUESTION, MOST, ReadVerdict, folded, summary, verdicts_in

NAME = "review.toml"  # looked for beside a patch
LARGEST = 1 << 20
CHECKLIST = (
    "Is the purpose of this rack clear, and is it the right one for this sound?",
    "Do the sentences say what you hear?",
    "Does every block do something that you would want?",
    "Is there anything in the sound that must not be there (distortion, pumping, noise, lost detail)?",
    "Does it still sound right on quiet and on loud parts?",
    "Would you let it be used without listening to every result?",
)


class Policy(BaseModel):
    """The contents of `review.toml`.

    Attributes:
        purpose, not_for: shown on the page: what the rack is meant for, and what it must not be used for.
        checklist: questions to a reviewer.
        wishes: "what would it take?": what the page answers, in the form of `twinrack explain --want`, such as "loudness=-16".
        reviewers: how many different people must have accepted, at least.
        not_data_scientists: how many of them must not be data scientists.
        signed: an acceptance counts only where it is signed.
        keys: fingerprints ("SHA256:…"); where there are any, an acceptance counts only where it is signed by one of them.
        due_months: after so many months an acceptance does not count any more; 0 for ever.
        allowed: values must lie between two numbers, by their addresses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str = Field(default="", max_length=8000)
    not_for: str = Field(default="", max_length=8000)
    checklist: tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_QUESTION)], ...] = Field(
        default=CHECKLIST, max_length=MOST
    )
    wishes: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=8)
    reviewers: int = Field(default=1, ge=1, le=100)
    not_data_scientists: int = Field(default=0, ge=0, le=100)
    signed: bool = False
    keys: tuple[Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")], ...] = ()
    due_months: int = Field(default=0, ge=0, le=1200)
    allowed: Mapping[str, tuple[float, float]] = Field(default_factory=dict)


def read_policy(path: Path | None, patch: Path) -> Policy:
    """The policy in a file; without, that of `review.toml` beside the patch; without that, one acceptance by anybody.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it does not hold a policy; one sentence.
    """
    chosen = path if path is not None else patch.parent / NAME
    if path is None and not chosen.exists() and not chosen.is_symlink():
        return Policy()
    try:
        return Policy.model_validate(tomllib.loads(disk.read_whole(chosen, "policy", LARGEST).decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{chosen} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = ", ".join(Policy.model_fields)
        hint = f"; there are {known}" if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"{chosen}: {where}: {first['msg'].lower()}{hint}") from None


@dataclass(frozen=True)
class Status:
    """How a patch stands to a policy.

    Attributes:
        verdicts: those that are about the patch as it is, the last of each person (see `ReadVerdict.person`).
        missing: sentences on what the policy asks for and is not there; empty where it is satisfied.
        note: a sentence for those who use the patch.
    """

    verdicts: tuple[ReadVerdict, ...]
    missing: tuple[str, ...]
    note: str

    @property
    def holds(self) -> bool:
        return not self.missing


def status(patch: Path, policy: Policy, today: date | None = None) -> Status:
    """How a patch stands to a policy on a day.

    Raises:
        FileNotFoundError, ValueError: the file is missing or does not hold a patch.
    """
    today = today or date.today()
    checked = verify(disk.path_of(patch))
    data = read_json(patch)
    present = digest(content_of(data))
    every = verdicts_in(data, str(patch))
    own = [v for v in every if v.verdict.patch == present]
    latest = _latest(own)
    missing = [f"its trail does not hold: {fault}" for fault in checked.faults]
    missing += [f"{v.verdict.name} refused it" for v in latest if v.verdict.decision == "refuse"]
    accepted = [v for v in latest if v.verdict.decision != "refuse"]
    uncounted: list[str] = []  # why others do not count, which is said where too few do
    if policy.signed or policy.keys:
        unsigned = [v for v in accepted if not v.signature]
        accepted = [v for v in accepted if v.signature]
        uncounted += [f"the acceptance of {v.verdict.name} is not signed" for v in unsigned]
    if policy.keys:
        strange = [v for v in accepted if v.fingerprint not in policy.keys]
        accepted = [v for v in accepted if v.fingerprint in policy.keys]
        uncounted += [
            f"the acceptance of {v.verdict.name} is signed with {v.fingerprint}, which is not among keys" for v in strange
        ]
    over = [v for v in accepted if _due(v, policy, today)]
    accepted = [v for v in accepted if not _due(v, policy, today)]
    uncounted += [
        f"the acceptance of {v.verdict.name} of {v.verdict.date} is older than {policy.due_months} months" for v in over
    ]
    count = _count(accepted)
    if count < policy.reviewers:
        missing.append(f"{_people(policy.reviewers)} must accept it, {count} did")
    others = _count([v for v in accepted if not v.verdict.data_scientist])
    if others < policy.not_data_scientists:
        who = "who is not a data scientist" if policy.not_data_scientists == 1 else "who are not data scientists"
        missing.append(f"{_people(policy.not_data_scientists)} {who} must accept it, {others} did")
    if count < policy.reviewers or others < policy.not_data_scientists:
        missing += uncounted
    missing += _outside(load(patch).values(), policy) if policy.allowed else []
    return Status(latest, tuple(missing), _note(latest, every, trail_of(data)))


def _latest(verdicts: Sequence[ReadVerdict]) -> tuple[ReadVerdict, ...]:
    """The last of each person. One who signed is replaced by the same key only, and by nothing that is dated before it."""
    latest: dict[str, ReadVerdict] = {}
    for v in verdicts:
        before = latest.get(v.person)
        if before is None or v.verdict.date >= before.verdict.date:
            latest[v.person] = v
    return tuple(latest.values())


def _count(verdicts: Sequence[ReadVerdict]) -> int:
    """Different people: neither one key under two names nor one name with two keys counts twice."""
    return min(len({v.person for v in verdicts}), len({folded(v.verdict.name) for v in verdicts}))


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"


def _due(v: ReadVerdict, policy: Policy, today: date) -> bool:
    if policy.due_months == 0:
        return False
    given = date.fromisoformat(v.verdict.date)
    months = (today.year - given.year) * 12 + today.month - given.month - (today.day < given.day)
    return months >= policy.due_months


def _outside(values: Mapping[str, Any], policy: Policy) -> list[str]:
    wrong = []
    for address, (low, high) in policy.allowed.items():
        value = values.get(address)
        if value is None:
            wrong.append(f"the policy allows {low:g} to {high:g} for {address}, which this rack does not have")
        elif isinstance(value, str):
            wrong.append(f"{address} is a choice ({value}), and the policy's allowed values are between two numbers")
        elif not low <= float(value) <= high:
            wrong.append(f"{address} is {float(value):g}, and the policy allows {low:g} to {high:g}")
    return wrong


def _note(latest: Sequence[ReadVerdict], every: Sequence[ReadVerdict], entries: Sequence[Mapping[str, Any]]) -> str:
    if latest:
        return "; ".join(map(summary, latest))
    if every:
        return f"changed since it was reviewed: {summary(every[-1])}"
    reviewed = any(entry["what"] == "reviewed" for entry in entries)
    return "reviewed in words only (twinrack trail show)" if reviewed else "nobody has reviewed it"


def note(patch: Path) -> str:
    """A sentence on how a patch was reviewed, for those who use it."""
    try:
        return status(patch, Policy()).note
    except ValueError as error:  # such as signatures that cannot be checked here
        return f"not checked here: {error}"


def load_reviewed(patch: Path) -> Rack:
    """The rack in a patch that its reviewers have accepted, as `review.toml` beside it asks.

    Raises:
        ValueError: they have not; or the file was changed meanwhile.
    """
    before = patch.read_bytes()
    now = status(patch, read_policy(None, patch))
    if not now.holds:
        raise ValueError(f"{patch} may not be used, as its review asks for more: {'; '.join(now.missing)}")
    rack = load(patch)
    if patch.read_bytes() != before:
        raise ValueError(f"{patch} was changed while it was read; try again")
    return rack
