"""Verdicts of reviewers: the small file that a review page gives, checked against the patch, and kept in its trail.

A verdict names the patch by the SHA-256 of all that it says but its trail (`rack.trail.content_of`), so it belongs to this very
patch. It may be signed (Ed25519) in the page, or by `sign_verdict`; what is signed is the SHA-256 of the verdict's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..checks import brief
from ..rack.patch import read_json
from ..rack.trail import content_of, digest, trail_of
from ..system import disk
from ..system.disk import atomic
from .signing import add_entry, check_signature, need_library, sign_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VERSION = 1
LARGEST = 4 << 20  # bytes of a verdict's file
MOST = 1000  # comments, questions
LONGEST_QUESTION = 2000
PREFIX = b"twinrack review signature 1\n"
WORDS = {"accept": "accepted", "conditions": "accepted with conditions", "refuse": "refused"}
Decision = Literal["accept", "conditions", "refuse"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(_Strict):
    """An answered question of the checklist."""

    question: str = Field(max_length=LONGEST_QUESTION)
    answer: Literal["yes", "no", "not judged"]
    note: str = Field("", max_length=4000)


class Comment(_Strict):
    """A remark, at a moment of the recording (seconds, as text) or at a block, or at neither."""

    text: str = Field(min_length=1, max_length=4000)
    at_s: str = Field("", pattern=r"^(\d{1,6}(\.\d{1,3})?)?$")
    block: str = Field("", max_length=200)


class Verdict(_Strict):
    """A reviewer's judgement of a patch."""

    twinrack_review: Literal[1]
    patch: str = Field(pattern=r"^[0-9a-f]{64}$")
    rack: str = Field(max_length=1000)
    decision: Decision
    conditions: str = Field("", max_length=8000)
    name: str = Field(min_length=1, max_length=200)
    role: str = Field("", max_length=200)
    data_scientist: bool
    date: str
    played_s: str = Field("0", pattern=r"^\d{1,7}$")
    answers: list[Answer] = Field(default_factory=list, max_length=MOST)
    comments: list[Comment] = Field(default_factory=list, max_length=MOST)

    @field_validator("date")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError("give a day such as 2026-01-31")
        date.fromisoformat(text)
        return text

    @model_validator(mode="after")
    def _has_reasons(self) -> Verdict:
        if self.decision != "accept" and not self.conditions.strip():
            raise ValueError("it says neither conditions nor reasons")
        return self


@dataclass(frozen=True)
class ReadVerdict:
    """A verdict with what stands around it.

    Attributes:
        verdict: checked.
        text: the JSON object as it was given, without the signature.
        signature: key and signature as text; empty where it is unsigned.
        fingerprint: of the key, where the signature holds; empty where there is none.
    """

    verdict: Verdict
    text: Mapping[str, Any]
    signature: Mapping[str, str]
    fingerprint: str

    @property
    def person(self) -> str:
        """Whose it is, as far as that can be told: the key where it is signed, else the name, however it is written."""
        return self.fingerprint or folded(self.verdict.name)


def read_verdict(path: Path) -> ReadVerdict:
    """A verdict's file, checked.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is none, or its signature is wrong; one sentence.
    """
    content = disk.read_whole(disk.path_of(path), "verdict", LARGEST)
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not a verdict: it is not JSON; give the file that the review page saved") from None
    if not isinstance(data, dict) or "twinrack_review" not in data:
        raise ValueError(f"{path} is not a verdict; give the file that the review page saved")
    return checked_verdict(data, str(path))


def checked_verdict(data: Mapping[str, Any], place: str) -> ReadVerdict:
    """The verdict in a JSON object.

    Raises:
        ValueError: it is none, or its signature is wrong; one sentence that names the place.
    """
    if data.get("twinrack_review") != VERSION:
        raise ValueError(
            f"{place} is of version {brief(data.get('twinrack_review'))} of verdicts, this twinrack reads {VERSION}"
        )
    text = {name: value for name, value in data.items() if name != "signature"}
    try:
        verdict = Verdict.model_validate(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "conditions"
        words = first["msg"].removeprefix("Value error, ").lower()
        raise ValueError(f"{place} is not a whole verdict: {where}: {words}") from None
    signature = data.get("signature")
    if signature is None:
        return ReadVerdict(verdict, text, {}, "")
    if not isinstance(signature, dict) or set(signature) != {"key", "signature"}:
        raise ValueError(f"{place} has a signature that cannot be read; ask {brief(verdict.name)} for the file again")
    fingerprint = check_signature(str(signature["key"]), str(signature["signature"]), _message(text))
    if fingerprint is None:
        raise ValueError(f"{place} was changed after {brief(verdict.name)} signed it: the signature is wrong")
    return ReadVerdict(verdict, text, {k: str(v) for k, v in signature.items()}, fingerprint)


def _message(text: Mapping[str, Any]) -> bytes:
    return PREFIX + digest(text).encode()


def sign_verdict(path: Path, key: Ed25519PrivateKey) -> str:
    """Sign a verdict's file; the fingerprint of the key.

    Raises:
        ValueError: it is none, or is signed already.
    """
    read = read_verdict(path)
    if read.signature:
        raise ValueError(f"{path} is signed already, by a key {read.fingerprint}")
    line, signature, fingerprint = sign_text(key, _message(read.text))
    data = {**read.text, "signature": {"key": line, "signature": signature}}
    with atomic(path) as beside:
        beside.write_bytes(disk.json_bytes(data, path, "verdict"))
    return fingerprint


def add_verdict(patch: Path, path: Path) -> ReadVerdict:
    """Keep a verdict in the trail of the patch that it is about.

    Raises:
        ValueError: it is about another patch, or about this one as it was before a change; it is there already; or the patch
            was changed behind its trail.
    """
    read = read_verdict(path)
    given = read_json(patch)
    if date.fromisoformat(read.verdict.date) > datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError(
            f"{path} is dated {read.verdict.date}, which is yet to come; ask {brief(read.verdict.name)} for another"
        )
    if read.verdict.patch != digest(content_of(given)):
        raise ValueError(
            f"{path} is about another patch than {patch} (“{read.verdict.rack}”, {read.verdict.patch[:16]}…), or the patch "
            "was changed since: make a new review page"
        )
    data = {**read.text, **({"signature": dict(read.signature)} if read.signature else {})}
    for known in verdicts_in(given, str(patch)):
        if known.text == read.text and known.signature == read.signature:
            raise ValueError(f"{patch} has this verdict of {brief(read.verdict.name)} already")
    add_entry(patch, "reviewed", read.verdict.name, summary(read), {"verdict": data})
    return read


def folded(name: str) -> str:
    """A name without what two ways of writing it differ in."""
    return " ".join(name.casefold().split())


def verdicts_of(patch: Path) -> list[ReadVerdict]:
    """The verdicts in the trail of a patch's file: see `verdicts_in`."""
    return verdicts_in(read_json(patch), str(patch))


def verdicts_in(data: Mapping[str, Any], place: str) -> list[ReadVerdict]:
    """The verdicts in a patch's trail, oldest first; those that cannot be read or are wrongly signed are left out.

    Args:
        data: the patch, as JSON has it.
        place: of it, for messages.

    Raises:
        ValueError: one is signed, and signatures cannot be checked here.
    """
    verdicts = []
    for entry in trail_of(data):
        given = entry["details"].get("verdict")
        if entry["what"] != "reviewed" or not isinstance(given, dict):
            continue
        if "signature" in given:
            need_library()
        with suppress(ValueError):
            verdicts.append(checked_verdict(given, place))
    return verdicts


def summary(read: ReadVerdict) -> str:
    """A verdict as a sentence."""
    v = read.verdict
    who = f"{v.name}, {v.role}" if v.role else v.name
    conditions = f": {v.conditions}" if v.conditions and v.decision != "accept" else ""
    signed = f"signed with {read.fingerprint}" if read.signature else "unsigned"
    no = sum(a.answer == "no" for a in v.answers)
    answers = f"; {no} of {len(v.answers)} questions answered no" if no else ""
    return f"{WORDS[v.decision]} on {v.date} by {who}{conditions} ({signed}{answers})"
