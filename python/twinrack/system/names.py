"""File names that are not valid UTF-8, as in old archives, written into JSON files, which must be.

Python holds such a byte as half a surrogate pair (PEP 383), which UTF-8 cannot. In JSON it is held as a character of
the private use area instead, U+F780 to U+F7FF.
"""

from __future__ import annotations

import os
from pathlib import Path

_OUT = {0xDC80 + i: 0xF780 + i for i in range(128)}
_BACK = {there: here for here, there in _OUT.items()}


def writable(text: str) -> str:
    """A text that UTF-8 can hold, where it has names of files in it."""
    return text.translate(_OUT)


def below(folder: Path, name: str) -> Path:
    """The file that a name from such a text means: the one of that name, or else the one whose bytes it stands for."""
    path = folder / name
    back = name.translate(_BACK)
    return path if back == name or path.exists() else folder / back


def beside(path: Path, name: str) -> Path:
    """The file of such a name that belongs to another one: in its folder, or where that is a link in its target's folder."""
    near = below(path.parent, name)
    if not os.path.lexists(near) and path.is_symlink():
        return below(Path(os.path.realpath(path)).parent, name)
    return near
