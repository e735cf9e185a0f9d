"""Vorbis comments, and the metadata of FLAC and Ogg files. Sources: Xiph's Vorbis I specification, RFC 9639, RFC 7845."""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .at_rate import cuesheet_at_rate
from .ogg import page_size, sealed
from .tags import Marker, Metadata, Picture, clock, image_size, seconds_of

LARGEST_BLOCK = (1 << 24) - 1
LARGEST_HEADERS = 1 << 26  # bytes of an Ogg file in which its headers must end


def read_comments(data: bytes, sample_rate: int, into: Metadata) -> None:
    """A comment block: the writer's name, and texts as NAME=text. Chapters become markers.

    Raises:
        ValueError: it is damaged.
    """
    at = 4 + int.from_bytes(data[:4], "little")
    count = int.from_bytes(data[at : at + 4], "little")
    at += 4
    starts: dict[str, float] = {}
    titles: dict[str, str] = {}
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise ValueError("the comments are damaged")
        text = data[at + 4 : at + 4 + size].decode("utf-8", "replace")
        at += 4 + size
        name, equals, value = text.partition("=")
        name = name.upper()
        if not equals or not name:
            continue
        chapter = re.fullmatch(r"CHAPTER(\d{3})(NAME)?", name)
        if name in ("METADATA_BLOCK_PICTURE", "COVERART"):
            _take_picture(name, value, into)
        elif chapter is not None and chapter[2]:
            titles[chapter[1]] = value
        elif chapter is not None and (seconds := seconds_of(value)) is not None:
            starts[chapter[1]] = seconds
        elif name != "COVERARTMIME":
            into.add(name, value)
    for number, seconds in sorted(starts.items()):
        into.markers.append(Marker(len(into.markers) + 1, round(seconds * sample_rate), titles.get(number, "")))


def _take_picture(name: str, value: str, into: Metadata) -> None:
    try:
        data = base64.b64decode(value)
        into.pictures.append(read_picture(data) if name == "METADATA_BLOCK_PICTURE" else Picture(data))
    except (binascii.Error, ValueError):
        into.unread.append("a picture")


def make_comments(metadata: Metadata, sample_rate: int, vendor: bytes, pictures: bool) -> bytes:
    """A comment block.

    Args:
        vendor: the name of the coder, as it was written.
        pictures: put them in, as Ogg has them.
    """
    lines = [f"{_name(name)}={text}" for name, texts in metadata.comments.items() for text in texts]
    for number, m in enumerate(metadata.markers[:1000]):
        lines.append(f"CHAPTER{number:03d}={clock(m.frame / sample_rate)}")
        lines += [f"CHAPTER{number:03d}NAME={m.label}"] if m.label else []
    if pictures:
        lines += [f"METADATA_BLOCK_PICTURE={base64.b64encode(make_picture(p)).decode()}" for p in metadata.pictures]
    coded = [line.encode("utf-8", "replace") for line in lines]
    body = b"".join(len(line).to_bytes(4, "little") + line for line in coded)
    return len(vendor).to_bytes(4, "little") + vendor + len(coded).to_bytes(4, "little") + body


def _name(name: str) -> str:
    """A name with the characters that are allowed in one."""
    return "".join(c if 0x20 <= ord(c) <= 0x7D and c != "=" else "_" for c in name)


def read_picture(data: bytes) -> Picture:
    """The content of a PICTURE block.

    Raises:
        ValueError: it is damaged.
    """
    fields, at = [int.from_bytes(data[:4], "big")], 4
    texts = []
    for _ in range(2):
        size = int.from_bytes(data[at : at + 4], "big")
        texts.append(data[at + 4 : at + 4 + size].decode("utf-8", "replace"))
        at += 4 + size
    fields += [int.from_bytes(data[at + i : at + i + 4], "big") for i in range(0, 20, 4)]
    picture = data[at + 20 : at + 20 + fields[5]]
    if len(picture) < fields[5] or not picture:
        raise ValueError("a picture is damaged")
    return Picture(picture, texts[0], fields[0], texts[1], *fields[1:5])


def make_picture(p: Picture) -> bytes:
    """The content of a PICTURE block."""
    mime, text = p.mime.encode("ascii", "replace"), p.description.encode("utf-8", "replace")
    width, height = (p.width, p.height) if p.width else image_size(p.data)
    numbers = (width, height, p.depth or 24, p.colours, len(p.data))
    head = p.kind.to_bytes(4, "big") + len(mime).to_bytes(4, "big") + mime + len(text).to_bytes(4, "big") + text
    return head + b"".join(n.to_bytes(4, "big") for n in numbers) + p.data


# --- FLAC ---------------------------------------------------------------------------------------------------------------


def _blocks(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """The metadata blocks of a FLAC file that stands behind its mark: kind, place of the content, size."""
    last = False
    while not last:
        head = file.read(4)
        if len(head) < 4:
            return
        last, size = bool(head[0] & 0x80), int.from_bytes(head[1:], "big")
        at = file.tell()
        yield head[0] & 0x7F, at, size
        file.seek(at + size)


def read_flac(path: Path, start: int, sample_rate: int, into: Metadata) -> None:
    """The metadata of a FLAC file whose mark stands at `start`."""
    with path.open("rb") as file:
        file.seek(start + 4)
        for kind, at, size in list(_blocks(file)):
            file.seek(at)
            if kind == 2:
                name = file.read(4).decode("latin-1")
                into.unread.append(f"data of the application {name!r}")
            elif kind == 4:
                read_comments(file.read(size), sample_rate, into)
            elif kind == 5:
                sheet = file.read(size)
                try:
                    cuesheet_at_rate(sheet, 1, 1)
                    into.cuesheet = sheet
                except (ValueError, IndexError):
                    into.unread.append("a damaged cue sheet")
            elif kind == 6:
                try:
                    into.pictures.append(read_picture(file.read(size)))
                except ValueError:
                    into.unread.append("a picture")


def write_flac(path: Path, metadata: Metadata, sample_rate: int) -> list[str]:
    """Put metadata into a FLAC file, and say what had no place."""
    blocks: list[tuple[int, bytes]] = []
    vendor = b""
    with path.open("rb") as file:
        file.seek(4)
        for kind, at, size in list(_blocks(file)):
            file.seek(at)
            content = file.read(size)
            if kind in (0, 3):
                blocks.append((kind, content))
            elif kind == 4:
                vendor = content[4 : 4 + int.from_bytes(content[:4], "little")]
            first = at + size
    gone = []
    blocks = [*blocks, (4, make_comments(metadata, sample_rate, vendor, pictures=False))]
    blocks += [(6, make_picture(p)) for p in metadata.pictures]
    if metadata.cuesheet is not None:
        blocks.append((5, metadata.cuesheet))
    for kind, content in blocks:
        if len(content) > LARGEST_BLOCK:
            gone.append("a picture" if kind == 6 else "comments")
    blocks = [(kind, content) for kind, content in blocks if len(content) <= LARGEST_BLOCK]
    head = b"fLaC"
    for number, (kind, content) in enumerate(blocks):
        head += bytes([kind | (0x80 if number == len(blocks) - 1 else 0)]) + len(content).to_bytes(3, "big") + content
    _with_head(path, head, first)
    return gone


def _with_head(path: Path, head: bytes, first: int) -> None:
    """Put other bytes in the place of a file's first ones."""
    other = path.with_name(f"{path.name}.part")
    try:
        with path.open("rb") as old, other.open("wb") as new:
            new.write(head)
            old.seek(first)
            shutil.copyfileobj(old, new, 1 << 20)
        os.replace(other, path)
    except BaseException:
        other.unlink(missing_ok=True)
        raise


def prepend(path: Path, head: bytes) -> None:
    """Put bytes before a file's first ones."""
    _with_head(path, head, 0)


# --- Ogg ----------------------------------------------------------------------------------------------------------------


def _headers(data: bytes) -> tuple[list[bytes], int, list[int], int] | None:
    """The header packets of an Ogg file of Vorbis or Opus; None for others.

    Returns:
        The packets, the byte and the page after them, the packets' first page, and its serial number.
    """
    first = page_size(data, 0)
    if not first or data[26] == 0:
        return None
    opening = data[27 + data[26] : first]
    wanted = 3 if opening[:7] == b"\x01vorbis" else 2 if opening[:8] == b"OpusHead" else 0
    packets: list[bytes] = []
    at, pages, part = 0, 0, b""
    serial = int.from_bytes(data[14:18], "little")
    while wanted and len(packets) < wanted:
        size = page_size(data, at)
        if not size or at + size > len(data) or int.from_bytes(data[at + 14 : at + 18], "little") != serial:
            return None
        count = data[at + 26]
        place = at + 27 + count
        for lace in data[at + 27 : at + 27 + count]:
            part += data[place : place + lace]
            place += lace
            if lace < 255:
                packets.append(part)
                part = b""
        at += size
        pages += 1
    return (packets, at, [first], serial) if wanted else None


def read_ogg(path: Path, sample_rate: int, into: Metadata) -> None:
    """The comments of an Ogg file of Vorbis or Opus.

    Raises:
        ValueError: they are damaged.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_HEADERS)
    headers = _headers(data)
    if headers is None:
        if data[28:33] != b"\x7fFLAC":
            raise ValueError("the comments are damaged")
        return
    comments = headers[0][1]
    read_comments(comments[7:] if comments[:7] == b"\x03vorbis" else comments[8:], sample_rate, into)


def write_ogg(path: Path, metadata: Metadata, sample_rate: int) -> list[str]:
    """Put metadata into an Ogg file of Vorbis or Opus: pages behind the headers get other numbers."""
    with path.open("rb") as file:
        headers = _headers(file.read(LARGEST_HEADERS))
    if headers is None:
        return ["all tags"]
    packets, after, (first,), serial = headers
    old = packets[1]
    mark = b"\x03vorbis" if old[:7] == b"\x03vorbis" else b"OpusTags"
    body = old[len(mark) :]
    vendor = body[4 : 4 + int.from_bytes(body[:4], "little")]
    end = b"\x01" if mark[:1] == b"\x03" else b""
    packets[1] = mark + make_comments(metadata, sample_rate, vendor, pictures=True) + end
    other = path.with_name(f"{path.name}.part")
    try:
        with path.open("rb") as file, other.open("wb") as out:
            out.write(file.read(first))
            number = 1
            for page in _pages(packets[1:], serial):
                out.write(sealed(page[:18] + number.to_bytes(4, "little") + page[22:]))
                number += 1
            file.seek(after)
            data = b""
            while True:
                more = file.read(1 << 20)
                data += more
                at = 0
                while (size := page_size(data, at)) and at + size <= len(data):
                    page = data[at : at + size]
                    if int.from_bytes(page[14:18], "little") == serial:
                        page = sealed(page[:18] + number.to_bytes(4, "little") + page[22:])
                        number += 1
                    out.write(page)
                    at += size
                data = data[at:]
                if not more:
                    break
            out.write(data)
        os.replace(other, path)
    except BaseException:
        other.unlink(missing_ok=True)
        raise
    return []


def _pages(packets: list[bytes], serial: int) -> Iterator[bytes]:
    """Packets as pages without numbers and checksums; the last one ends with the last packet."""
    laces: list[int] = []
    for packet in packets:
        laces += [255] * (len(packet) // 255) + [len(packet) % 255]
    data = b"".join(packets)
    at, unfinished = 0, False
    for start in range(0, len(laces), 255):
        part = laces[start : start + 255]
        size = sum(part)
        ends = any(lace < 255 for lace in part)
        place = (0 if ends else -1).to_bytes(8, "little", signed=True)
        head = (
            b"OggS\0" + bytes([1 if unfinished else 0]) + place + serial.to_bytes(4, "little") + bytes(8) + bytes([len(part)])
        )
        yield head + bytes(part) + data[at : at + size]
        at += size
        unfinished = part[-1] == 255
