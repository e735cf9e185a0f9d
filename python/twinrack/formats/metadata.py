"""Metadata of audio files, read and written for every format."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from . import aiff, chunks, id3, riff, vorbis
from .tags import Metadata, left_out


def read_metadata(path: Path, sample_rate: int) -> Metadata:
    """The metadata of a file; parts that cannot be read are named in `unread`."""
    metadata = Metadata()
    try:
        _read(path, sample_rate, metadata)
    except (ValueError, IndexError, struct.error, OverflowError):
        metadata.unread.append("damaged tags")
    return metadata


def _read(path: Path, sample_rate: int, into: Metadata) -> None:
    wave = riff.read_wave(path)
    if wave is not None:
        chunks.read_wave(path, wave, sample_rate, into)
        return
    form = aiff.read_aiff(path)
    if form is not None:
        chunks.read_aiff(path, form, sample_rate, into)
        return
    with path.open("rb") as file:
        head = file.read(10)
        size = file.seek(0, 2)
        tagged = head[:3] == b"ID3"
        long = min(10 + id3.safe(head[6:10]), size) if tagged else 0
        file.seek(0)
        tag = file.read(long)
        file.seek(long)
        mark = file.read(4)
        file.seek(max(size - 128, 0))
        old = file.read(128)
    if mark == b"fLaC":
        vorbis.read_flac(path, long, sample_rate, into)
        if tagged:
            chunks.read_id3(tag, sample_rate, into)
    elif mark == b"OggS":
        vorbis.read_ogg(path, sample_rate, into)
    else:
        if tagged:
            id3.read(tag, sample_rate, into)
        if old[:3] == b"TAG" and len(old) == 128:
            id3.read_old(old, into)


def write_metadata(path: Path, name: str, kind: str, metadata: Metadata, sample_rate: int) -> list[str]:
    """Write metadata into a file that is complete otherwise.

    Returns:
        A sentence that names the entries without a place in the format, or none.

    Args:
        path: the file; name: what messages call it.
        kind: libsndfile's name of the format.
        sample_rate: Hz, of the file.
    """
    fresh, stale = metadata.without_stale()
    gone = list(metadata.unread)
    if kind not in ("FLAC", "OGG") and "COMMENT" not in fresh.comments:  # the name that Vorbis comments have for it
        fresh.comments = {"COMMENT" if n == "DESCRIPTION" else n: t for n, t in fresh.comments.items()}
    if kind in ("WAV", "RF64"):
        gone += [f"chunk {n.decode('latin-1').strip()}" for n in fresh.own] + (["cue sheet"] if fresh.cuesheet else [])
        gone += chunks.write_wave(path, fresh, sample_rate)
    elif kind == "AIFF":
        gone += [f"chunk {n.decode('latin-1').strip()}" for n in fresh.chunks] + (["cue sheet"] if fresh.cuesheet else [])
        gone += ["lengths of regions"] if fresh.has_regions() else []
        gone += chunks.write_aiff(path, fresh, sample_rate)
    else:
        gone += [f"chunk {n.decode('latin-1').strip()}" for n in (*fresh.chunks, *fresh.own)]
        gone += ["lengths of regions"] if kind != "MP3" and fresh.has_regions() else []
        gone += ["notes of markers"] if any(m.note for m in fresh.markers) else []
        if kind == "MP3":
            gone += ["cue sheet"] if fresh.cuesheet else []
            gone += ["markers"] if len(fresh.markers) > 255 else []
            tag = id3.write(fresh, sample_rate)
            if tag:
                vorbis.prepend(path, tag)
        else:
            gone += [name for name, _ in fresh.frames]
            gone += ["markers"] if len(fresh.markers) > 1000 else []
            if kind == "OGG":
                gone += ["cue sheet"] if fresh.cuesheet else []
                gone += vorbis.write_ogg(path, replace(fresh, cuesheet=None), sample_rate)
            else:
                gone += vorbis.write_flac(path, fresh, sample_rate)
    sentences = left_out(name, kind, gone)
    if stale:
        sentences.append(f"{name}: left out, as it is of the sound before: {', '.join(stale)}")
    return sentences
