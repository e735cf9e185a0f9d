"""ID3 tags: 1, 2.2, 2.3 and 2.4 read, 2.3 or (for names with several texts) 2.4 written. Sources: id3.org's documents of each
version, and the addendum about chapters."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .tags import Marker, Metadata, Picture

TEXTS = {
    "TIT2": "TITLE", "TPE1": "ARTIST", "TALB": "ALBUM", "TPE2": "ALBUMARTIST", "TCOM": "COMPOSER", "TEXT": "LYRICIST",
    "TPE3": "CONDUCTOR", "TPE4": "REMIXER", "TCON": "GENRE", "TCOP": "COPYRIGHT", "TRCK": "TRACKNUMBER", "TPOS": "DISCNUMBER",
    "TSRC": "ISRC", "TENC": "ENCODED-BY", "TSSE": "ENCODERSETTINGS", "TBPM": "BPM", "TKEY": "INITIALKEY", "TLAN": "LANGUAGE",
    "TPUB": "PUBLISHER", "TMOO": "MOOD", "TSOP": "ARTISTSORT", "TSOA": "ALBUMSORT", "TSOT": "TITLESORT",
    "TSO2": "ALBUMARTISTSORT", "TSOC": "COMPOSERSORT", "TIT1": "GROUPING", "TIT3": "SUBTITLE", "TCMP": "COMPILATION",
    "TDRC": "DATE", "TDOR": "ORIGINALDATE", "TMED": "MEDIA", "TOAL": "ORIGINALALBUM", "TOPE": "ORIGINALARTIST",
    "TOLY": "ORIGINALLYRICIST", "TOWN": "OWNER", "TDTG": "TAGGINGTIME", "TDRL": "RELEASEDATE", "TPRO": "PRODUCEDNOTICE",
    "WCOP": "LICENSE", "WOAR": "WEBSITE", "WOAF": "AUDIOFILEURL", "WPUB": "PUBLISHERURL", "WCOM": "COMMERCIALURL",
}  # fmt: skip
IDS = {name: frame for frame, name in TEXTS.items()}
ONLY_IN_4 = {"TMOO", "TSOP", "TSOA", "TSOT", "TDRC", "TDOR", "TDTG", "TDRL", "TPRO"}
OLD = {
    "TT2": "TIT2", "TP1": "TPE1", "TAL": "TALB", "TP2": "TPE2", "TCM": "TCOM", "TXT": "TEXT", "TP3": "TPE3", "TP4": "TPE4",
    "TCO": "TCON", "TCR": "TCOP", "TRK": "TRCK", "TPA": "TPOS", "TRC": "TSRC", "TEN": "TENC", "TSS": "TSSE", "TBP": "TBPM",
    "TKE": "TKEY", "TLA": "TLAN", "TPB": "TPUB", "TT1": "TIT1", "TT3": "TIT3", "TYE": "TYER", "TDA": "TDAT", "TIM": "TIME",
    "TOR": "TORY", "TMT": "TMED", "TOT": "TOAL", "TOA": "TOPE", "TOL": "TOLY", "TXX": "TXXX", "COM": "COMM", "ULT": "USLT",
    "PIC": "APIC", "WXX": "WXXX", "WCP": "WCOP", "WAR": "WOAR", "WAF": "WOAF", "WPB": "WPUB", "WCM": "WCOM", "UFI": "UFID",
    "POP": "POPM", "CNT": "PCNT", "GEO": "GEOB", "TCP": "TCMP", "TS2": "TSO2", "TSC": "TSOC", "TSP": "TSOP", "TSA": "TSOA",
    "TST": "TSOT",
}  # fmt: skip
KEPT = ("PRIV", "UFID", "POPM", "PCNT", "GEOB", "MCDI", "OWNE")  # the same in all versions
COVERED = ("TLEN", "TSIZ", "TFLT", "TDLY", "SEEK", "ASPI", "MLLT", "CTOC", "TDAT", "TIME", "TRDA", "TDEN")  # of the old file
GENRES = [
    "Blues", "Classic Rock", "Country", "Dance", "Disco", "Funk", "Grunge", "Hip-Hop", "Jazz", "Metal", "New Age",
    "Oldies", "Other", "Pop", "R&B", "Rap", "Reggae", "Rock", "Techno", "Industrial", "Alternative", "Ska",
    "Death Metal", "Pranks", "Soundtrack", "Euro-Techno", "Ambient", "Trip-Hop", "Vocal", "Jazz+Funk", "Fusion",
    "Trance", "Classical", "Instrumental", "Acid", "House", "Game", "Sound Clip", "Gospel", "Noise", "AlternRock",
    "Bass", "Soul", "Punk", "Space", "Meditative", "Instrumental Pop", "Instrumental Rock", "Ethnic", "Gothic",
    "Darkwave", "Techno-Industrial", "Electronic", "Pop-Folk", "Eurodance", "Dream", "Southern Rock", "Comedy", "Cult",
    "Gangsta", "Top 40", "Christian Rap", "Pop/Funk", "Jungle", "Native American", "Cabaret", "New Wave", "Psychadelic",
    "Rave", "Showtunes", "Trailer", "Lo-Fi", "Tribal", "Acid Punk", "Acid Jazz", "Polka", "Retro", "Musical",
    "Rock & Roll", "Hard Rock",
]  # fmt: skip
UNPACKED = 1 << 26  # bytes that all packed frames of a tag may have together
LARGEST = 1 << 28  # what a tag's size can say
LAST_MS = 0xFFFFFFFE  # the last place that a chapter can have


def safe(size: bytes) -> int:
    """A number of seven bits a byte."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value


def text_of(data: bytes, coding: int) -> str:
    """A text in one of the four codings; UTF-8 marked as Latin-1, which some programs write, is recognised."""
    if coding == 1:
        if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16-le", "replace")
        return data.decode("utf-16", "replace")
    if coding in (2, 3):
        return data.decode("utf-16-be" if coding == 2 else "utf-8", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split(data: bytes, coding: int) -> tuple[bytes, bytes]:
    """The text before its first terminator, and the bytes after it."""
    if coding not in (1, 2):
        first, _, rest = data.partition(b"\0")
        return first, rest
    for at in range(0, len(data) - 1, 2):
        if data[at : at + 2] == b"\0\0":
            return data[:at], data[at + 2 :]
    return data, b""


def texts_of(data: bytes) -> list[str]:
    """All texts of a text frame."""
    if not data:
        return []
    coding, rest, texts = data[0], data[1:], []
    while rest:
        first, rest = split(rest, coding)
        texts.append(text_of(first, coding).strip("\0").rstrip())
    return [t for t in texts if t]


def read(data: bytes, sample_rate: int, into: Metadata) -> None:
    """A whole tag, from "ID3" on."""
    if len(data) < 10 or data[:3] != b"ID3" or not 2 <= data[3] <= 4:
        return
    version, flags = data[3], data[5]
    body = data[10 : 10 + safe(data[6:10])]
    if flags & 0x80 and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    if flags & 0x40 and version > 2:
        size = safe(body[:4]) if version == 4 else int.from_bytes(body[:4], "big") + 4
        body = body[size:]
    year: dict[str, str] = {}
    room = _Room()
    for name, content in _frames(body, version, bool(flags & 0x80), room, into):
        if name in ("TYER", "TDAT", "TIME"):
            year[name] = "".join(texts_of(content)[:1])
        else:
            _take(name, content, version, sample_rate, room, into)
    if year.get("TYER"):
        day = year.get("TDAT", "")
        date = f"{year['TYER']}-{day[2:]}-{day[:2]}" if re.fullmatch(r"\d{4}", day) else year["TYER"]
        hour = year.get("TIME", "")
        into.add("DATE", f"{date}T{hour[:2]}:{hour[2:]}" if re.fullmatch(r"\d{4}", hour) and day else date)


@dataclass
class _Room:
    """Bytes that packed frames may still have: a few kilobytes can unpack to gigabytes."""

    left: int = UNPACKED

    def unpacked(self, data: bytes) -> bytes:
        """The content of a packed frame.

        Raises:
            zlib.error: damaged, or more than there is room for.
        """
        content = zlib.decompressobj().decompress(data, self.left + 1)
        if len(content) > self.left:
            raise zlib.error("too large")
        self.left -= len(content)
        return content


def _frames(body: bytes, version: int, mixed: bool, room: _Room, into: Metadata) -> Iterator[tuple[str, bytes]]:
    at, head, letters = 0, 6 if version == 2 else 10, 3 if version == 2 else 4
    while at + head <= len(body) and body[at] != 0:
        name = body[at : at + letters].decode("latin-1")
        if not re.fullmatch(r"[A-Z][A-Z0-9 ]{2,3}", name):
            return
        field = body[at + letters : at + 2 * letters]
        size = int.from_bytes(field, "big")
        if version == 4 and not _plain_fits(body, at, size):
            size = safe(field)
        content = body[at + head : at + head + size]
        form = 0 if version == 2 else body[at + 9]
        at += head + size
        if version == 3:
            packed, locked, group, length, own = form & 0x80, form & 0x40, form & 0x20, form & 0x80, 0
        else:
            packed, locked, group, length, own = form & 0x08, form & 0x04, form & 0x40, form & 0x01, form & 0x02
        if locked:
            into.unread.append(f"{name} (encrypted)")
            continue
        content = content[(1 if group else 0) + (4 if length else 0) :]
        if own or (version == 4 and mixed):
            content = content.replace(b"\xff\x00", b"\xff")
        if packed:
            try:
                content = room.unpacked(content)
            except zlib.error:
                into.unread.append(name)
                continue
        yield (OLD.get(name, name) if version == 2 else name), content


def _plain_fits(body: bytes, at: int, size: int) -> bool:
    """Whether a size of version 2.4 was written with eight bits a byte, as some programs do: the next frame stands there."""
    seven = safe(body[at + 4 : at + 8])
    if size == seven:
        return True

    def follows(place: int) -> bool:
        after = body[place : place + 4]
        return place == len(body) or after == b"" or after[0] == 0 or re.fullmatch(rb"[A-Z][A-Z0-9]{3}", after) is not None

    return max(body[at + 4 : at + 8]) > 127 or (not follows(at + 10 + seven) and follows(at + 10 + size))


def _take(name: str, data: bytes, version: int, sample_rate: int, room: _Room, into: Metadata) -> None:
    if not data:
        return
    if name == "TXXX":
        label, rest = split(data[1:], data[0])
        for text in texts_of(data[:1] + rest):
            into.add(text_of(label, data[0]).strip("\0") or "TEXT", text)
    elif name == "WXXX":
        label, rest = split(data[1:], data[0])
        into.add(text_of(label, data[0]).strip("\0") or "URL", rest.decode("latin-1").strip("\0"))
    elif name == "TCON":
        for text in texts_of(data):
            into.add("GENRE", _genre(text))
    elif name in TEXTS and name[0] == "T":
        for text in texts_of(data):
            into.add(TEXTS[name], text)
    elif name == "TORY":
        for text in texts_of(data):
            into.add("ORIGINALDATE", text)
    elif name in TEXTS:
        into.add(TEXTS[name], data.decode("latin-1").strip("\0"))
    elif name in ("COMM", "USLT"):
        label, rest = split(data[4:], data[0])
        description = text_of(label, data[0]).strip("\0")
        plain = "COMMENT" if name == "COMM" else "LYRICS"
        into.add(
            f"{plain}:{description}" if description and not description.upper().startswith("ITUN") else description or plain,
            text_of(rest, data[0]).strip("\0"),
        )
    elif name == "APIC":
        _take_picture(data, version, into)
    elif name == "CHAP":
        _take_chapter(data, version, sample_rate, room, into)
    elif name in KEPT:
        into.frames.append((name, data))
    elif name[0] == "T" and name not in COVERED:
        for text in texts_of(data):
            into.add(name, text)
    elif name not in COVERED:
        into.unread.append(name)


def _genre(text: str) -> str:
    numbered = re.fullmatch(r"\(?(\d+)\)?(.*)", text)
    if numbered is None:
        return text
    return numbered[2] or (GENRES[int(numbered[1])] if int(numbered[1]) < len(GENRES) else text)


def _take_picture(data: bytes, version: int, into: Metadata) -> None:
    if version == 2:
        mime = {b"PNG": "image/png", b"JPG": "image/jpeg", b"-->": "-->"}.get(data[1:4].upper(), "image/")
        kind, rest = data[4], data[5:]
    else:
        first, rest = split(data[1:], 0)
        mime, kind, rest = first.decode("latin-1"), rest[0], rest[1:]
    label, picture = split(rest, data[0])
    if picture:
        into.pictures.append(Picture(picture, mime or "image/", kind, text_of(label, data[0]).strip("\0")))


def _take_chapter(data: bytes, version: int, sample_rate: int, room: _Room, into: Metadata) -> None:
    """A chapter as a marker; of the frames inside it only the title."""
    _, rest = split(data, 0)
    start, end = int.from_bytes(rest[:4], "big"), int.from_bytes(rest[4:8], "big")
    titles = [content for name, content in _frames(rest[16:], version, False, room, Metadata()) if name == "TIT2"]
    label = "".join([text for title in titles for text in texts_of(title)][:1])
    length = 0 if end <= start or end == 0xFFFFFFFF else round((end - start) * sample_rate / 1000)
    into.markers.append(Marker(len(into.markers) + 1, round(start * sample_rate / 1000), label, length))


def read_old(data: bytes, into: Metadata) -> None:
    """The 128 bytes of an ID3v1 tag; only for names without a text."""
    fields = (("TITLE", 3, 33), ("ARTIST", 33, 63), ("ALBUM", 63, 93), ("DATE", 93, 97), ("COMMENT", 97, 127))
    for name, a, b in fields:
        if name not in into.comments:
            into.add(name, text_of(data[a:b].partition(b"\0")[0], 0).strip())
    if data[125] == 0 and data[126] and "TRACKNUMBER" not in into.comments:
        into.add("TRACKNUMBER", str(data[126]))
    if data[127] < len(GENRES) and "GENRE" not in into.comments:
        into.add("GENRE", GENRES[data[127]])


def write(metadata: Metadata, sample_rate: int) -> bytes:
    """A whole tag; empty without metadata. Markers become chapters."""
    version = 4 if any(len(texts) > 1 for texts in metadata.comments.values()) else 3
    body = b""
    for name, texts in metadata.comments.items():
        for frame, content in _text_frames(name, texts, version):
            body += _frame(frame, content, version)
    for picture in metadata.pictures:
        coding, label = _coded(picture.description, version)
        end = b"\0\0" if coding == 1 else b"\0"
        content = bytes([coding]) + picture.mime.encode("latin-1", "replace") + b"\0" + bytes([picture.kind & 255])
        body += _frame("APIC", content + label + end + picture.data, version)
    for name, content in metadata.frames:
        body += _frame(name, content, version)
    body += _chapters(metadata.markers, sample_rate, version)
    if not body:
        return b""
    if len(body) >= LARGEST:
        raise ValueError("the tags are larger than an ID3 tag can be")
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + size + body


def _coded(text: str, version: int) -> tuple[int, bytes]:
    """A text in the encoding that every reader of a version supports."""
    if text.isascii():
        return 0, text.encode("ascii")
    if version == 4:
        return 3, text.encode("utf-8", "replace")
    return 1, b"\xff\xfe" + text.encode("utf-16-le", "replace")


def _frame(name: str, content: bytes, version: int) -> bytes:
    size = len(content)
    coded = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) if version == 4 else size.to_bytes(4, "big")
    return name.encode("ascii") + coded + b"\0\0" + content


def _text_frames(name: str, texts: list[str], version: int) -> Iterator[tuple[str, bytes]]:
    plain, _, label = name.partition(":")
    if plain in ("COMMENT", "LYRICS"):
        coding, (head, body) = _coded_both(label, "\n".join(texts), version)
        yield "COMM" if plain == "COMMENT" else "USLT", bytes([coding]) + b"XXX" + head + body
        return
    frame = IDS.get(name, name if re.fullmatch(r"T(?!XXX)[A-Z0-9]{3}", name) else "")
    if frame[:1] == "W" and (len(texts) > 1 or not re.fullmatch(r"[a-z]+:[!-~]+", texts[0])):
        frame = ""
    if frame[:1] == "W":
        yield frame, texts[0].encode("latin-1", "replace")
        return
    if version == 3 and frame == "TDRC":
        date = re.match(r"(\d{4})(?:-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?)?", texts[0])
        if date is not None and date[0] == texts[0]:
            yield "TYER", b"\0" + date[1].encode()
            if date[3]:
                yield "TDAT", b"\0" + (date[3] + date[2]).encode()
            if date[5]:
                yield "TIME", b"\0" + (date[4] + date[5]).encode()
            return
    if version == 3 and frame in ONLY_IN_4:
        frame = ""
    if frame:
        coding, coded = _coded("\0".join(texts), version)
        yield frame, bytes([coding]) + coded
        return
    coding, (head, body) = _coded_both(name, "\0".join(texts), version)
    yield "TXXX", bytes([coding]) + head + body


def _coded_both(label: str, text: str, version: int) -> tuple[int, tuple[bytes, bytes]]:
    """A label with its end and a text, in one coding."""
    if (label + text).isascii():
        return 0, (label.encode() + b"\0", text.encode())
    if version == 4:
        return 3, (label.encode("utf-8", "replace") + b"\0", text.encode("utf-8", "replace"))
    mark = b"\xff\xfe"
    return 1, (mark + f"{label}\0".encode("utf-16-le", "replace"), mark + text.encode("utf-16-le", "replace"))


def _chapters(markers: list[Marker], sample_rate: int, version: int) -> bytes:
    """Markers as chapters: each with its title, and the list of all."""
    if not markers or len(markers) > 255:
        return b""
    body = b""
    names = [f"ch{m.id}".encode() + b"\0" for m in markers]
    for i, (name, m) in enumerate(zip(names, markers, strict=True)):
        start = min(round(1000 * m.frame / sample_rate), LAST_MS)
        until = m.frame + m.length if m.length else markers[min(i + 1, len(markers) - 1)].frame
        end = max(min(round(1000 * until / sample_rate), LAST_MS), start)
        coding, text = _coded(m.label, version)
        title = _frame("TIT2", bytes([coding]) + text, version) if m.label else b""
        body += _frame("CHAP", name + start.to_bytes(4, "big") + end.to_bytes(4, "big") + b"\xff" * 8 + title, version)
    return _frame("CTOC", b"toc\0\x03" + bytes([len(markers)]) + b"".join(names), version) + body
