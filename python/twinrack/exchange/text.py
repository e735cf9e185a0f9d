"""Numbers and names as exchange files write them, so that what is read and written again stays the same text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from ..session.channel import LONGEST_NAME


class Notes(list[str]):
    """Sentences about what is not carried, each once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def add(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.append(sentence)


def short(value: float) -> str:
    """A value with twelve significant digits: far below hearing, and stable under the conversion of units."""
    return f"{value:.12g}"


def amplitude(db: float) -> str:
    """dB as a linear factor, from millionths of a dB: -145 dB off, and the dB read from it are the same again."""
    return f"{10.0 ** (round(db, 6) / 20.0):.9g}"


def decibels(factor: float) -> float:
    """The other way; 0 and below is -inf."""
    return round(20.0 * math.log10(factor), 6) if factor > 0 else -math.inf


def rounded(value: float) -> float:
    """A value as `short` writes it."""
    return float(short(value))


def lines(text: str) -> str:
    """Text without the characters that XML and terminals do not take."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "", text)


def plain(text: str) -> str:
    """The same on one line, as names are."""
    return re.sub(r"[\t\n\r\u2028\u2029]", " ", lines(text))


def channel_name(text: str, taken: Iterable[str], otherwise: str) -> str:
    """A name as channels may have it: without signs that mean something in addresses and files, and unlike those `taken`."""
    name = re.sub(r'[./\\:*?"<>|\x00-\x1f]', " ", plain(text)).strip()[:LONGEST_NAME].strip() or otherwise
    used, unique, n = set(taken), name, 1
    while unique in used:
        n += 1
        unique = f"{name[: LONGEST_NAME - 6].strip()} {n}"
    return unique
