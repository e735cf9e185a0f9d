"""ZIP archives that are not trusted: their XML and recordings, unpacked within limits into one folder.

Names, sizes and kinds of all entries are checked before anything is unpacked; XML that declares anything (DOCTYPE, entities),
is nested deeply or has no end is refused while it is read. Recordings land in one folder under cleaned names, and only when
they can be read as audio.
"""

from __future__ import annotations

import re
import stat
import struct
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path
from typing import IO
from xml.parsers import expat

from ..files.audio_file import AudioFile
from ..system.disk import atomic, special_kind

MOST_ENTRIES = 20_000
LARGEST_XML = 64 << 20  # bytes
LARGEST_STATE = 64 << 20  # bytes, of a plugin
MOST_ELEMENTS = 1_000_000
DEEPEST = 100  # elements within each other
LARGEST_TOTAL = 64 << 30  # bytes of all entries unpacked
MOST_RATIO, RATIO_COUNTS_FROM = 200, 256 << 20  # of unpacked to packed bytes; from so many unpacked bytes on
LONGEST_NAME = 120  # characters of a file that is unpacked
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, UnicodeError, OSError)


class Archive:
    """A ZIP archive, checked as a whole when it is opened. Use it in a `with` block.

    Raises:
        FileNotFoundError: not there.
        ValueError: not a ZIP archive, or one that is not safe; one sentence that begins with the path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        if path.is_dir():
            raise ValueError(f"{path} is a folder; give a file")
        if kind := special_kind(path):
            raise ValueError(f"{path} is {kind}; give a regular file")
        self.written: list[Path] = []
        self._taken: dict[str, Path] = {}
        self._zip: zipfile.ZipFile | None = None
        try:
            self._zip = zipfile.ZipFile(path)
            self.entries = self._checked(self._zip.infolist())
        except ValueError:
            self.close()
            raise
        except _BROKEN as error:
            self.close()
            raise ValueError(f"{path} is not a ZIP archive, or is broken ({_message(error)})") from None

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(infos) > MOST_ENTRIES:
            raise ValueError(f"{self.path} holds {len(infos)} entries; at most {MOST_ENTRIES} are taken")
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename
            if leaves_folder(name):
                raise ValueError(f"{self.path} holds an entry {name[:80]!r}, which leaves its folder; it is not unpacked")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"{self.path} holds a link {name[:80]!r}; it is not unpacked, for links may leave the folder")
            if name in entries:
                raise ValueError(f"{self.path} holds two entries {name[:80]!r}; which one is meant cannot be known")
            entries[name] = info
        total, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
        if total > LARGEST_TOTAL or (total > RATIO_COUNTS_FROM and total > MOST_RATIO * max(packed, 1)):
            raise ValueError(
                f"{self.path} would grow from {packed >> 10} kB to {total >> 20} MB; at most {LARGEST_TOTAL >> 30} GB and "
                f"{MOST_RATIO} times its size are unpacked"
            )
        return entries

    def _open(self, name: str) -> IO[bytes]:
        assert self._zip is not None
        info = self.entries.get(name)
        if info is None or info.is_dir():
            raise ValueError(f"{self.path} holds no {name[:80]!r}")
        if info.flag_bits & 1:
            raise ValueError(f"{self.path}: {name[:80]!r} is encrypted; give an archive without a password")
        return self._zip.open(info)

    def xml(self, name: str, root: str) -> ET.Element:
        """The root element of an XML entry.

        Raises:
            ValueError: missing, too large, not well-formed, with declarations, or of another root element.
        """
        try:
            with self._open(name) as file:
                data = file.read(LARGEST_XML + 1)
        except _BROKEN as error:
            raise ValueError(f"{self.path}: {name} cannot be unpacked ({_message(error)})") from None
        try:
            element = parse(data)
        except ValueError as error:
            raise ValueError(f"{self.path}: {name} {error}") from None
        if element.tag != root:
            raise ValueError(f"{self.path}: {name} holds {element.tag[:40]!r} where {root!r} was expected")
        return element

    def read(self, name: str) -> bytes:
        """The content of a small entry.

        Raises:
            ValueError: missing, too large, or broken.
        """
        try:
            with self._open(name) as file:
                data = file.read(LARGEST_STATE + 1)
        except _BROKEN as error:
            raise ValueError(f"{self.path}: {name[:80]!r} cannot be unpacked ({_message(error)})") from None
        if len(data) > LARGEST_STATE:
            raise ValueError(f"{self.path}: {name[:80]!r} has more than {LARGEST_STATE >> 20} MB, which no state has")
        return data

    def take(self, name: str, folder: Path) -> Path:
        """Unpack a recording into a folder and return where it is; the same one is unpacked once.

        A file that is there already with the same content is used as it is; with another, a number is added to the name.

        Raises:
            ValueError: missing, broken, or not audio.
        """
        if leaves_folder(name):
            raise ValueError(f"{self.path}: file {name[:80]!r} leaves the archive; it is not read")
        if name in self._taken:
            return self._taken[name]
        info = self.entries.get(name)
        if info is None or info.is_dir():
            raise ValueError(f"{self.path} plays {name[:80]!r}, which is not in it; pack the recording with the project")
        target, n = folder / plain_name(name), 1
        while target.exists() or target.is_symlink():
            if not target.is_symlink() and target.is_file() and _same(target, info):
                break
            n += 1
            target = folder / plain_name(name, f" {n}")
        else:
            self._unpack(name, target)
        self._taken[name] = target
        return target

    def _unpack(self, name: str, target: Path) -> None:
        with atomic(target) as beside:
            try:
                with self._open(name) as source, beside.open("wb") as out:
                    while block := source.read(1 << 20):
                        out.write(block)
            except _BROKEN as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise ValueError(f"{self.path}: {name[:80]!r} cannot be unpacked ({_message(error)})") from None
            try:
                with AudioFile(beside):
                    pass
            except ValueError as error:
                message = str(error).replace(str(beside), repr(name[:80]))
                raise ValueError(f"{self.path}: {message}") from None
        self.written.append(target)

    def undo(self) -> None:
        """Remove what was unpacked."""
        for path in self.written:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _message(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")[:120]


def leaves_folder(name: str) -> bool:
    """Whether a path of an archive would not stay below the folder that it is unpacked to, on any system."""
    parts = name.split("/")
    return (
        not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts
        or re.match(r"^[A-Za-z]:", name) is not None
    )  # fmt: skip


def plain_name(name: str, suffix: str = "") -> str:
    """The last part of a path as a file name that every system takes, with `suffix` before its ending."""
    stem, dot, ending = re.sub(r'[\x00-\x1f\x7f\ud800-\udfff*?"<>|:\\/]', "_", name.split("/")[-1]).rpartition(".")
    stem, ending = (stem, dot + ending) if dot and len(ending) <= 5 else (stem + dot + ending, "")
    stem = stem.strip(" .") or "audio"
    while len(stem.encode()) > LONGEST_NAME:
        stem = stem[: len(stem) * LONGEST_NAME // (len(stem.encode()) + 1)]
    return stem + suffix + ending


def _same(path: Path, info: zipfile.ZipInfo) -> bool:
    if path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc == info.CRC


def parse(data: bytes) -> ET.Element:
    """XML as elements, without anything that XML can declare.

    Raises:
        ValueError: goes on after "project.xml …": too large, not well-formed, a DOCTYPE, nested too deeply, too many elements.
    """
    if len(data) > LARGEST_XML:
        raise ValueError(f"has more than {LARGEST_XML >> 20} MB, which no project has")
    builder = ET.TreeBuilder()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEEPEST:
            raise ValueError(f"is nested more than {DEEPEST} elements deep, which no project is")
        if count > MOST_ELEMENTS:
            raise ValueError(f"has more than {MOST_ELEMENTS} elements, which no project has")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def declares(*_: object) -> None:
        raise ValueError("declares a DOCTYPE or entities, which a project needs none of; it is not read")

    def refers(*_: object) -> int:
        return 0  # which ends the reading

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = declares
    parser.UnparsedEntityDeclHandler = declares
    parser.ExternalEntityRefHandler = refers
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise ValueError(f"is not well-formed XML ({error})") from None
    except (LookupError, UnicodeError, AssertionError):
        raise ValueError("is not well-formed XML in a known encoding; write it in UTF-8") from None
