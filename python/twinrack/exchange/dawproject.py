"""DAWproject: sessions to and from other workstations, as the open exchange format of Bitwig and others has them.

A ZIP archive of project.xml, metadata.xml and recordings (https://github.com/bitwig/dawproject, version 1.0). Written files
follow the published schema; whatever the format or the session cannot express is a sentence in the list that is returned.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from ..audio import check_rate
from ..session.media import Media
from ..system.disk import atomic, scratch
from .archive import Archive
from .bounce import PreparedSession
from .clips import ClipExporter
from .reader import Reader
from .writer import Writer, metadata_of, text_of

if TYPE_CHECKING:
    from ..session.session import Session

PROJECT, METADATA = "project.xml", "metadata.xml"
_WRITTEN = (1980, 1, 1, 0, 0, 0)  # the time of all entries, so that the same session is the same file


def write_dawproject(session: Session, path: str | os.PathLike[str], *, bounce: bool = False) -> list[str]:
    """Write a session for other workstations.

    Written are tracks, groups, returns and the master with level, pan, mute, solo, sends and destinations; clips with gain,
    linear fades and loops; the tempo map; automation; and `parametric_eq`, `compressor`, `gate`, `limiter` and `gain` as the
    format's own devices; other makers' plugins with their state (LV2 ones, for which the format has no device, are understood
    by twinrack only). Clips that are reversed, have curved fades, picked channels or another polarity are rendered, so that
    they sound the same; curves of automation become straight lines within 0.0001 dB, or 2e-6 of the value (where the scale is
    logarithmic) or of the range.

    Args:
        session: is not changed.
        path: `*.dawproject`; appears complete or not at all.
        bounce: render channels whose effects the format has no device for, or not all values of, before their fader and with
            their tail; the master is not.

    Returns:
        What could not be carried, one sentence each.

    Raises:
        FileNotFoundError, ValueError: a missing recording, a circle, a clip that does not fit; one sentence.
        OSError: the folder is missing, read-only or full.
    """
    path = Path(path)
    session.order()
    with (
        atomic(path) as beside,
        scratch(path.parent) as temporary,
        Media(session.sample_rate, temporary) as media,
    ):
        folder = temporary / "rendered"
        folder.mkdir()
        exporter = ClipExporter(session, media, folder)
        prepared = PreparedSession(session, exporter, bounce)
        writer = Writer(prepared)
        project = writer.project()
        metadata, lost = metadata_of(session)
        with zipfile.ZipFile(beside, "w") as archive:
            _store(archive, PROJECT, text_of(project))
            _store(archive, METADATA, text_of(metadata))
            for name, state in writer.states.items():
                _store(archive, name, state)
            for recording in exporter.recordings.values():
                info = zipfile.ZipInfo(recording.name, _WRITTEN)
                info.file_size = recording.path.stat().st_size
                with archive.open(info, "w") as out, recording.path.open("rb") as source:
                    while block := source.read(1 << 20):
                        out.write(block)
    return [*prepared.notes, *lost]


def _store(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _WRITTEN), data, zipfile.ZIP_DEFLATED)


def read_dawproject(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], *, sample_rate: float | None = None
) -> tuple[Session, list[str]]:
    """Read a project of another workstation as a session.

    Times become seconds, also where the project counts in beats. Recordings that are warped play at their own speed, from where
    the warp has them. Automation that is straight in amplitude or in beats of a moving tempo becomes straight lines in dB and
    seconds, within 0.001 dB or 2e-6.

    Args:
        path: `*.dawproject`.
        folder: where its recordings are unpacked to; created if it is missing. A recording that it already holds is used.
        sample_rate: Hz, of the session; without it, that of most of the recordings.

    Returns:
        The session, and what could not be carried, one sentence each.

    Raises:
        FileNotFoundError: the file, or the folder that `folder` is to lie in, is missing.
        ValueError: no project, or one that is broken, contradicts itself, or would leave the folder; one sentence that begins
            with the path. Nothing is left in the folder then.
        OSError: the folder is read-only or full.
    """
    path, folder = Path(path), Path(folder)
    if sample_rate is not None:
        check_rate(sample_rate)
    with Archive(path) as archive, _made(folder):
        root = archive.xml(PROJECT, "Project")
        metadata = archive.xml(METADATA, "MetaData") if METADATA in archive.entries else None
        try:
            reader = Reader(root, metadata, path.stem, sample_rate, lambda name: archive.take(name, folder), archive.read)
        except (ValueError, ArithmeticError, soundfile.SoundFileError) as error:
            archive.undo()
            sentence = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(sentence if sentence.startswith(str(path)) else f"{path}: {sentence}") from None
        except BaseException:
            archive.undo()
            raise
    return reader.session, reader.notes


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing, and remove it again when the block fails."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder for the recordings")
    existed = folder.is_dir()
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no folder {folder.parent} to make {folder.name} in; create it first") from None
    try:
        yield
    except BaseException:
        if not existed:
            with suppress(OSError):
                folder.rmdir()
        raise
