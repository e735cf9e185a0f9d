"""Metadata in one form for all formats: comments by the names of Vorbis comments, pictures, markers, and chunks of WAV files
that are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .at_rate import chunk_at_rate, cuesheet_at_rate, frames_at_rate

# The names under which a session's `metadata` and `AudioFile.tags` have them.
NAMES = ("title", "artist", "album", "date", "genre", "comment", "copyright", "tracknumber", "software", "license")
# What describes the level or the coding of the old sound, and would be wrong of the new one.
STALE = re.compile(r"REPLAYGAIN_.*|R128_.*|ITUNNORM|ITUNSMPB|WAVEFORMATEXTENSIBLE_CHANNEL_MASK")


@dataclass(frozen=True)
class Picture:
    """A picture: `kind` as in ID3 and FLAC (3 is the front cover), the size in pixels where it is known."""

    data: bytes
    mime: str = "image/jpeg"
    kind: int = 3
    description: str = ""
    width: int = 0
    height: int = 0
    depth: int = 0
    colours: int = 0


@dataclass(frozen=True)
class Marker:
    """A place in the sound, or a region of some length, in frames."""

    id: int
    frame: int
    label: str = ""
    length: int = 0
    note: str = ""
    purpose: bytes = b"rgn "


@dataclass
class Metadata:
    """The metadata of a file.

    Attributes:
        comments: texts by name, in capitals.
        chunks: of WAV files, by their names: bext, iXML, smpl, …; own: of AIFF files, whose names overlap.
        frames: of ID3 tags that do not hold text: name and content.
        cuesheet: the content of FLAC's CUESHEET block.
        unread: what was not understood, by name.
    """

    comments: dict[str, list[str]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    own: dict[bytes, bytes] = field(default_factory=dict)
    frames: list[tuple[str, bytes]] = field(default_factory=list)
    cuesheet: bytes | None = None
    unread: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Metadata:
        """From texts by the names in NAMES."""
        return cls({name.upper(): [text] for name, text in tags.items() if text})

    def add(self, name: str, text: str) -> None:
        """Add a text, unless it is empty or already present."""
        texts = self.comments.setdefault(name.upper(), [])
        if text and text not in texts:
            texts.append(text)
        if not texts:
            del self.comments[name.upper()]

    def simple(self) -> dict[str, str]:
        """The first text of each of NAMES that there is."""
        return {name: texts[0] for name in NAMES if (texts := self.comments.get(name.upper()))}

    def at_rate(self, from_rate: int, to_rate: int) -> Metadata:
        """The same for the sound at another sample rate."""
        if from_rate == to_rate:
            return self
        markers = [
            replace(m, frame=frames_at_rate(m.frame, from_rate, to_rate), length=frames_at_rate(m.length, from_rate, to_rate))
            for m in self.markers
        ]
        chunks = {name: chunk_at_rate(name, content, from_rate, to_rate) for name, content in self.chunks.items()}
        sheet, unread = self.cuesheet, self.unread
        if sheet is not None:
            try:
                sheet = cuesheet_at_rate(sheet, from_rate, to_rate)
            except (ValueError, OverflowError, IndexError):
                sheet, unread = None, [*unread, "cue sheet (damaged)"]
        return replace(self, markers=markers, chunks=chunks, cuesheet=sheet, unread=unread)

    def without_stale(self) -> tuple[Metadata, list[str]]:
        """Without the entries that describe the old sound only, and the names of those."""
        gone = [name for name in self.comments if STALE.fullmatch(name)]
        comments = {n: t for n, t in self.comments.items() if n not in gone and n != "ENCODERSETTINGS"}
        return replace(self, comments=comments), gone

    def has_regions(self) -> bool:
        """Whether a marker has a length other than the distance to the next one."""
        nexts = [m.frame for m in self.markers[1:]]
        return any(m.length and abs(m.frame + m.length - at) > 1 for m, at in zip(self.markers, nexts, strict=False))


def left_out(name: str, kind: str, what: Iterable[str]) -> list[str]:
    """The sentence that names entries without a place in a file."""
    names = list(dict.fromkeys(what))
    if not names:
        return []
    return [f"{name}: left out, as {kind} has no place for it here or its meaning is not known: {', '.join(names)}"]


def clock(seconds: float) -> str:
    """A time as chapters have it, hh:mm:ss.mmm."""
    ms = round(1000 * seconds)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def seconds_of(text: str) -> float | None:
    """The seconds of such a time; None for other text."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    return None if match is None else 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG or JPEG picture; zeros for others."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 < len(data) and data[at] == 0xFF:
        if data[at + 1] in range(0xC0, 0xD0) and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0
