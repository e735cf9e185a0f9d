"""The recordings of a session file: copied into its folder when it is saved, found there when it is loaded."""

from __future__ import annotations

import glob
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import soundfile

from ..checks import brief
from ..files.hashing import digest
from ..formats.sound import library_name
from ..system.disk import atomic
from ..system.names import below
from .clip import Clip
from .session import Session


class Collector:
    """Names recordings by their paths below the session's folder; with `collect`, copies those that lie elsewhere there."""

    def __init__(self, session: Session, folder: Path, stem: str, collect: bool) -> None:
        self.session, self.folder, self.collect = session, folder, collect
        self.media = folder / f"{stem}.media"
        self._made_media = False
        self._new: list[Path] = []  # files that were created
        self._written: dict[int, str] = {}
        self._copied: dict[Path, str] = {}

    def file_of(self, clip: Clip) -> str:
        """The name of a clip's recording in the session.

        Raises:
            ValueError: it lies elsewhere, or is an array, without `collect`.
        """
        if clip.path is not None:
            return self.place(clip.path, f"clip {brief(clip.label)}")
        if not self.collect:
            raise ValueError(
                f"clip {brief(clip.label)} is an array, not a file; save with collect=True to write it beside the session"
            )
        array: Any = clip.recording
        if id(array) not in self._written:
            target = self._free(re.sub(r"[^\w -]", "_", clip.name or "clip")[:100] + ".wav")
            self._new.append(target)
            with atomic(target) as beside:
                rate = round(clip.sample_rate or self.session.sample_rate)
                soundfile.write(library_name(beside), array.T, rate, subtype="FLOAT", format="WAV")
            same = [p for p in sorted(self.media.glob("*.wav")) if p != target and digest(p) == digest(target)]
            if same:  # it was collected before
                target.unlink()
                target = same[0]
            self._written[id(array)] = target.relative_to(self.folder).as_posix()
        return self._written[id(array)]

    def place(self, path: Path, what: str) -> str:
        """The name of a file in the session; `what` plays it.

        Raises:
            ValueError: it lies elsewhere, without `collect`.
        """
        inside = path.resolve()
        try:
            return inside.relative_to(self.folder.resolve()).as_posix()
        except ValueError:
            pass
        if not self.collect:
            raise ValueError(
                f"{what} plays {path}, which is not in the session's folder {self.folder.resolve()}; save with collect=True "
                "to copy it there, or save the session above its recordings"
            )
        if inside not in self._copied:
            same = [p for p in sorted(self.media.glob(f"{glob.escape(path.stem)}*{path.suffix}")) if digest(p) == digest(path)]
            target = same[0] if same else self._free(path.name)
            if not same:
                self._new.append(target)
                with atomic(target) as beside:
                    shutil.copyfile(path, beside)
            self._copied[inside] = target.relative_to(self.folder).as_posix()
        return self._copied[inside]

    def undo(self) -> None:
        """Remove what was collected for a session that was not written."""
        for path in self._new:
            path.unlink(missing_ok=True)
        if self._made_media:
            with suppress(OSError):  # something of others is in it
                self.media.rmdir()

    def _free(self, name: str) -> Path:
        if not self.media.is_dir():
            self.media.mkdir()
            self._made_media = True
        target, n = self.media / name, 1
        while target.exists():
            n += 1
            target = self.media / f"{Path(name).stem} {n}{Path(name).suffix}"
        return target


class Finder:
    """Finds recordings by their names in a session file, and remembers which are missing."""

    def __init__(self, path: Path, media: list[Path]) -> None:
        self.path, self.missing = path, list[str]()
        for folder in media:
            if not folder.is_dir():
                raise FileNotFoundError(f"there is no folder {folder} for recordings")
        self.folders = [path.parent, *media]
        self._roots = [folder.resolve() for folder in self.folders]

    def find(self, name: str) -> Path:
        """The file of a name; where it is missing, the path at which it is expected.

        Raises:
            ValueError: it leaves the session's folder and those that were allowed.
        """
        pure = Path(name)
        if not name or "\0" in name or "\\" in name or re.match(r"^[A-Za-z]:", name):
            raise ValueError(f"file {brief(name)} leaves the session's folder; give a path below it, with /")
        if pure.is_absolute() or ".." in pure.parts:
            return self._elsewhere(name, self.path.parent / pure)
        for folder in self.folders:
            file = below(folder, name)
            if file.is_file():
                real = file.resolve()
                if not any(real.is_relative_to(root) for root in self._roots):
                    raise ValueError(
                        f"file {brief(name)} is a link that leaves the session's folder; allow its folder with media="
                    )
                return file
        self.missing.append(name)
        return self.path.parent / pure

    def _elsewhere(self, name: str, path: Path) -> Path:
        """A path that may leave the session's folder: it must end in one that was allowed."""
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ValueError(
                f"file {name!r} leaves the session's folder; give a path below it, or allow the other folder: "
                f"--media {real.parent} (media=[…])"
            )
        if not real.is_file():
            self.missing.append(name)
        return real

    def complain(self) -> None:
        """Raise FileNotFoundError if any are missing; names them all."""
        names = list(dict.fromkeys(self.missing))
        if names:
            many, them = (f"{len(names)} recordings that are", "them") if len(names) > 1 else ("a recording that is", "it")
            raise FileNotFoundError(
                f"{self.path} needs {many} not there: {', '.join(names)}; put {them} below "
                f"{self.path.parent}, or name the folder (media=, --media)"
            )
