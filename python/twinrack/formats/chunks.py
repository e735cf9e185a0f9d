"""Metadata chunks of WAV and AIFF files. Sources: Microsoft/IBM, "Multimedia Programming Interface and Data
Specifications"; EBU Tech 3285 (bext); AES46 (cart); iXML; Apple, "Audio Interchange File Format"."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from . import id3
from .aiff import Aiff
from .riff import Wave
from .tags import Marker, Metadata

INFO = {
    "INAM": "TITLE", "IART": "ARTIST", "IPRD": "ALBUM", "ICMT": "COMMENT", "ICRD": "DATE", "IGNR": "GENRE", "ICOP": "COPYRIGHT",
    "IPRT": "TRACKNUMBER", "ITRK": "TRACKNUMBER", "ISFT": "SOFTWARE",
    "ILNG": "LANGUAGE", "IENG": "ENGINEER", "ITCH": "ENCODED-BY", "IKEY": "KEYWORDS",
    "ISBJ": "SUBJECT", "ISRC": "SOURCE", "IMED": "MEDIA", "IMUS": "COMPOSER", "IWRI": "LYRICIST", "ICMS": "COMMISSIONED",
}  # fmt: skip
IDS = {name: chunk for chunk, name in INFO.items()}
ISRC = re.compile(r"[A-Z]{2}-?[A-Z0-9]{3}-?\d{2}-?\d{5}")  # some programs put this number where RIFF has the source
# Chunks whose content stays true, once their frames are turned to another rate.
KEPT = (b"bext", b"iXML", b"axml", b"chna", b"cart", b"smpl", b"inst", b"acid", b"plst", b"_PMX", b"aXML", b"ubxt", b"umid")
# Belong to the old samples, are written again, or are padding.
OF_THE_SOUND = (
    b"fmt ",
    b"data",
    b"fact",
    b"PEAK",
    b"ds64",
    b"JUNK",
    b"junk",
    b"FLLR",
    b"PAD ",
    b"levl",
    b"cue ",
    b"LIST",
    b"id3 ",
    b"ID3 ",
)
LARGEST = 1 << 26  # bytes of a chunk that is kept


def _text(data: bytes) -> str:
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def read_wave(path: Path, wave: Wave, sample_rate: int, into: Metadata) -> None:
    """The metadata of a WAV file."""
    places: dict[int, int] = {}
    labels: dict[int, dict[str, tuple[int, str, bytes]]] = {}
    with path.open("rb") as file:
        for chunk in wave.chunks:
            if chunk.name in (b"data", b"fmt ") or chunk.at + chunk.size > wave.end:
                continue
            file.seek(chunk.at)
            content = file.read(min(chunk.size, LARGEST))
            order: Literal["little", "big"] = "big" if wave.big else "little"
            if chunk.name == b"LIST" and content[:4] == b"INFO":
                for name, data in _inside(content, order):
                    text = _text(data).strip()
                    into.add("ISRC" if name == "ISRC" and ISRC.fullmatch(text) else INFO.get(name, name), text)
            elif chunk.name == b"LIST" and content[:4] == b"adtl":
                for name, data in _inside(content, order):
                    number = int.from_bytes(data[:4], order)
                    if name in ("labl", "note"):
                        labels.setdefault(number, {})[name] = (0, _text(data[4:]), b"")
                    elif name == "ltxt" and len(data) >= 20:
                        length = int.from_bytes(data[4:8], order)
                        labels.setdefault(number, {})[name] = (length, _text(data[20:]), data[8:12])
            elif chunk.name == b"cue ":
                for i in range(min(int.from_bytes(content[:4], order), len(content) // 24)):
                    at = 4 + 24 * i
                    places[int.from_bytes(content[at : at + 4], order)] = int.from_bytes(content[at + 20 : at + 24], order)
            elif chunk.name in (b"id3 ", b"ID3 "):
                read_id3(content, sample_rate, into)
            elif chunk.size > LARGEST or (wave.big and chunk.name not in OF_THE_SOUND):
                into.unread.append(f"chunk {_shown(chunk.name)}")
            elif chunk.name in KEPT:
                into.chunks.setdefault(chunk.name, content)
            elif chunk.name not in OF_THE_SOUND and re.fullmatch(rb"[ -~]{4}", chunk.name):
                into.unread.append(f"chunk {_shown(chunk.name)}")
    if places:
        into.markers.clear()  # exact, where chapters of an ID3 tag are milliseconds
    for number, frame in places.items():
        texts = labels.get(number, {})
        length, text, purpose = texts.get("ltxt", (0, "", b"rgn "))
        label = texts["labl"][1] if "labl" in texts else text
        note = texts["note"][1] if "note" in texts else ""
        into.markers.append(Marker(number, frame, label, length, note, purpose))


def read_id3(content: bytes, sample_rate: int, into: Metadata) -> None:
    """The entries of an ID3 tag that the other metadata lacks."""
    more = Metadata()
    id3.read(content, sample_rate, more)
    for name, texts in more.comments.items():
        if len(texts) > len(into.comments.get(name, [])) or name not in into.comments:
            into.comments[name] = texts
    into.pictures += more.pictures
    into.frames += more.frames
    into.unread += more.unread
    if not into.markers:
        into.markers += more.markers


def _shown(name: bytes) -> str:
    return name.decode("latin-1").strip()


def _inside(content: bytes, order: Literal["little", "big"]) -> list[tuple[str, bytes]]:
    """The chunks inside a LIST."""
    inner, at = [], 4
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], order)
        inner.append((content[at : at + 4].decode("latin-1"), content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return inner


def _chunk(name: bytes, content: bytes, order: Literal["little", "big"] = "little") -> bytes:
    return name + len(content).to_bytes(4, order) + content + bytes(len(content) % 2)


def write_wave(path: Path, metadata: Metadata, sample_rate: int) -> list[str]:
    """Append metadata to a WAV or RF64 file written by libsndfile; returns the names of entries without a place."""
    out = b"".join(_chunk(name, content) for name, content in metadata.chunks.items())
    info, more = b"", Metadata(pictures=metadata.pictures, frames=metadata.frames)
    for name, texts in metadata.comments.items():
        chunk = IDS.get(name) or (name if re.fullmatch(r"I(?!SRC|SBN)[A-Z0-9]{3}", name) else None)
        if chunk is not None:
            info += _chunk(chunk.encode("ascii"), texts[0].encode("utf-8", "replace") + b"\0")
        if chunk is None or len(texts) > 1:
            more.comments[name] = texts
    if info:
        out += _chunk(b"LIST", b"INFO" + info)
    if metadata.markers:
        out += _chunk(b"cue ", _cue(metadata.markers)) + _adtl(metadata.markers)
    tag = id3.write(more, sample_rate)
    if tag:
        out += _chunk(b"id3 ", tag)
    return _append(path, out, _riff_sizes) if out else []


def _riff_sizes(file: BinaryIO, size: int) -> None:
    file.seek(0)
    long = file.read(4) == b"RF64"
    file.seek(20 if long else 4)
    file.write((size - 8).to_bytes(8 if long else 4, "little"))


def _form_size(file: BinaryIO, size: int) -> None:
    file.seek(4)
    file.write((size - 8).to_bytes(4, "big"))


def _append(path: Path, out: bytes, write_sizes: Callable[[BinaryIO, int], None]) -> list[str]:
    with path.open("r+b") as file:
        long = file.read(4) == b"RF64"
        end = file.seek(0, os.SEEK_END)
        if not long and end + len(out) + 1 > 0xFFFFFFFF:
            return ["all tags"]
        file.write(bytes(end % 2) + out)
        write_sizes(file, file.tell())
    return []


def _word(value: int) -> int:
    return min(value, 0xFFFFFFFF)


def _cue(markers: list[Marker]) -> bytes:
    points = (struct.pack("<II4sIII", m.id, _word(m.frame), b"data", 0, 0, _word(m.frame)) for m in markers)
    return len(markers).to_bytes(4, "little") + b"".join(points)


def _adtl(markers: list[Marker]) -> bytes:
    out = b""
    for m in markers:
        number = m.id.to_bytes(4, "little")
        if m.label:
            out += _chunk(b"labl", number + m.label.encode("utf-8", "replace") + b"\0")
        if m.note:
            out += _chunk(b"note", number + m.note.encode("utf-8", "replace") + b"\0")
        if m.length:
            out += _chunk(b"ltxt", number + _word(m.length).to_bytes(4, "little") + m.purpose[:4].ljust(4) + bytes(8))
    return _chunk(b"LIST", b"adtl" + out) if out else b""


AIFF_TEXTS = {b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT"}
AIFF_KEPT = (b"INST",)
AIFF_SOUND = (b"COMM", b"SSND", b"FVER", b"PEAK", b"MARK", b"ID3 ", b"COMT", b"CHAN", b"FLLR", b"APPL")


def read_aiff(path: Path, form: Aiff, sample_rate: int, into: Metadata) -> None:
    """The metadata of an AIFF file."""
    tag = b""
    with path.open("rb") as file:
        for chunk in form.chunks:
            if chunk.name == b"SSND" or chunk.at + chunk.size > form.end or chunk.size > LARGEST:
                continue
            file.seek(chunk.at)
            content = file.read(chunk.size)
            if chunk.name in AIFF_TEXTS:
                into.add(AIFF_TEXTS[chunk.name], _text(content))
            elif chunk.name == b"COMT":
                at = 2
                for _ in range(int.from_bytes(content[:2], "big")):
                    size = int.from_bytes(content[at + 6 : at + 8], "big")
                    into.add("COMMENT", _text(content[at + 8 : at + 8 + size]))
                    at += 8 + size + size % 2
            elif chunk.name == b"MARK":
                at = 2
                for _ in range(int.from_bytes(content[:2], "big")):
                    if at + 7 > len(content):
                        break
                    number, frame, size = struct.unpack(">HIB", content[at : at + 7])
                    into.markers.append(Marker(number, frame, _text(content[at + 7 : at + 7 + size])))
                    at += 7 + size + (1 - size % 2)
            elif chunk.name == b"ID3 ":
                tag = content
            elif chunk.name in AIFF_KEPT:
                into.own[chunk.name] = content
            elif chunk.name == b"APPL":
                into.unread.append(f"data of the application {_shown(content[:4])!r}")
            elif chunk.name not in AIFF_SOUND:
                into.unread.append(f"chunk {_shown(chunk.name)}")
    if tag:
        read_id3(tag, sample_rate, into)


def write_aiff(path: Path, metadata: Metadata, sample_rate: int) -> list[str]:
    """Append metadata to an AIFF file; returns the names of entries without a place."""
    out, more = b"", Metadata(pictures=metadata.pictures, frames=metadata.frames)
    chunks = {name: chunk for chunk, name in AIFF_TEXTS.items()}
    for name, texts in metadata.comments.items():
        if name in chunks and (len(texts) == 1 or name == "COMMENT"):
            for text in texts:
                out += _chunk(chunks[name], text.encode("utf-8", "replace"), "big")
        if name not in chunks or (len(texts) > 1 and name != "COMMENT") or not "".join(texts).isascii():
            more.comments[name] = texts
    if metadata.markers:
        body = len(metadata.markers).to_bytes(2, "big")
        for m in metadata.markers[:0xFFFF]:
            label = m.label.encode("utf-8", "replace")[:255]
            number = min(max(m.id, 1), 0x7FFF)
            body += struct.pack(">HIB", number, _word(m.frame), len(label)) + label + bytes(1 - len(label) % 2)
        out += _chunk(b"MARK", body, "big")
    for own, content in metadata.own.items():
        out += _chunk(own, content, "big")
    tag = id3.write(more, sample_rate)
    if tag:
        out += _chunk(b"ID3 ", tag, "big")
    return _append(path, out, _form_size) if out else []
