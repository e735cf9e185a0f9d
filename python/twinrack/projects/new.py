"""Making a new project: a folder with racks, sounds, scripts, a review policy and a README whose three commands run at once."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from ..checks import brief
from ..system import disk
from ..version import __version__
from .kinds import KINDS

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")


def new_project(kind: str, folder: str | os.PathLike[str]) -> Path:
    """Make a project; it appears complete or not at all.

    Args:
        kind: one of `KINDS`.
        folder: must not exist, or be empty; its last part is the project's name: small letters, digits, - and _.

    Raises:
        ValueError: no such kind, or no such name.
        FileExistsError: there is something already.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of project {brief(kind)}; there are {', '.join(KINDS)}")
    path = Path(os.path.abspath(disk.path_of(folder)))
    if not NAME.fullmatch(path.name):
        raise ValueError(
            f"{brief(path.name)} cannot be a project's name: take small letters, digits, - and _, such as my-{kind}"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{disk.shown(path)} is there already; take another name")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {disk.shown(path.parent)}; make it first")
    with tempfile.TemporaryDirectory(prefix=".twinrack-new-", dir=path.parent) as beside:
        whole = Path(beside) / path.name
        whole.mkdir()
        for place in (files(__package__) / "files" / "common", files(__package__) / "files" / kind):
            for file in place.iterdir():
                if file.is_file():
                    text = file.read_text(encoding="utf-8").replace("{NAME}", path.name).replace("{VERSION}", __version__)
                    (whole / file.name.removesuffix(".in")).write_text(text, encoding="utf-8")
        KINDS[kind].make(whole, path.name)
        (whole / "out").mkdir()
        if path.exists():  # an empty folder, or a link to one
            for item in whole.iterdir():
                shutil.move(item, path / item.name)
        else:
            shutil.move(whole, path)
    return path
