"""Whole files: read only where they are regular and not too large, written so that they are complete or not there.

A file is written beside its target as `.NAME.twinrack-N.part`, locked by its writer, and renamed when complete; a killed
process leaves a file whose lock is free, and the next process that writes the same target removes it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import brief, visible
from .names import writable

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be taken away
    fcntl = None

LARGEST_JSON = 64 << 20  # bytes
SLOTS = 64  # processes that write the same file at once
_BINARY = getattr(os, "O_BINARY", 0)
_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}

_unfinished: dict[Path, int] = {}  # files and folders that this process has begun, by the process that began them
_changing = threading.Lock()
_exiting = threading.Event()  # the process ends, so nothing new is begun


def path_of(given: str | os.PathLike[str]) -> Path:
    """A path that the system can take.

    Raises:
        TypeError: not a path.
        ValueError: an empty one, one with a NUL or half a surrogate pair, or a name that is too long.
    """
    try:
        text = os.fsdecode(given)
        raw = os.fsencode(text)
    except TypeError:
        raise TypeError(f"{brief(given)} is a {type(given).__name__}; give a path, such as a text") from None
    except UnicodeEncodeError:
        raise ValueError(f"the path {brief(given)} holds half a surrogate pair, which no file name can hold") from None
    except Exception:  # an object whose __fspath__ fails
        raise TypeError(f"a path was expected, not a {type(given).__name__}") from None
    if not text:
        raise ValueError("the path is empty; give the name of a file")
    if b"\0" in raw:
        raise ValueError(f"the path {brief(text)} holds a NUL, which no file name can hold")
    longest = max(raw.replace(b"\\", b"/").split(b"/") if os.name == "nt" else raw.split(b"/"), key=len)
    if len(longest) > 255 or len(raw) > 4095:
        raise ValueError(f"the path {brief(text)} is too long; a name has at most 255 bytes, a path 4095")
    return Path(text)


def special_kind(path: Path) -> str:
    """The kind of a path that is neither a regular file nor a folder: "a pipe (FIFO)", "a device", "a socket"."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except (OSError, ValueError):
        return ""


def shown(path: str | os.PathLike[str]) -> str:
    """A path as messages name it: whole, on one line."""
    return visible(os.fsdecode(path), lines=False)


# --- reading ---------------------------------------------------------------------------------------------------------------


def read_whole(path: str | os.PathLike[str], what: str, most: int = LARGEST_JSON) -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    Args:
        what: what it should be, for messages: "patch", "network".

    Raises:
        FileNotFoundError, PermissionError, ValueError: one sentence with the path.
    """
    path = path_of(path)
    try:
        # without waiting: opening a pipe that nobody writes to would otherwise never return
        number = os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise cannot_read(path, what, error) from None
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode):
        os.close(number)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError(f"{shown(path)} is a folder; give the {what} file in it")
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise ValueError(f"{shown(path)} is {kind}; give a regular {what} file")
    with os.fdopen(number, "rb") as file:
        if status.st_size > most:
            raise ValueError(f"{shown(path)} has more than {most >> 20} MB, which no {what} has")
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise cannot_read(path, what, error) from None
    if len(content) > most:  # such as in /proc, where sizes are 0
        raise ValueError(f"{shown(path)} has more than {most >> 20} MB, which no {what} has")
    return content


def read_json(path: str | os.PathLike[str], what: str, form: str = "valid JSON") -> Any:
    """The content of a JSON file; `form` names the expected format in messages.

    Raises:
        FileNotFoundError, PermissionError, ValueError: as `read_whole`, or it is not JSON; one sentence with the path.
    """
    content = read_whole(path, what)
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text (byte {error.start} is 0x{content[error.start]:02x})"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # json's own, or a number of thousands of digits
        reason = visible(str(error), lines=False).partition(";")[0]
    raise ValueError(f"{shown(path)} is not {form}: {reason}")


def json_bytes(data: Any, path: Path, what: str, indent: int | None = 1) -> bytes:
    """Data as JSON in UTF-8, NumPy's numbers among it, with a line break at the end.

    Raises:
        ValueError: it holds NaN, infinity, half a surrogate pair, or what JSON does not have; one sentence with the path.
    """
    try:
        text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
    except RecursionError:
        raise ValueError(f"{shown(path)} cannot hold what is nested so deeply") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{shown(path)} cannot hold this {what}: {error}") from None
    try:
        return writable(text).encode("utf-8")  # file names that are not text may be among it
    except UnicodeEncodeError as error:
        around = brief(text[max(error.start - 20, 0) : error.end + 20].strip())
        raise ValueError(f"{shown(path)} cannot hold half a surrogate pair, as in {around}; write that text anew") from None


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{brief(value)} is a {type(value).__name__}, which JSON does not have")


def mark_unfinished(path: Path) -> None:
    """Have `discard_unfinished` remove a file or folder until `mark_finished` is called."""
    with _changing:
        _unfinished[path] = os.getpid()


def mark_finished(path: Path) -> None:
    """End of `mark_unfinished`: a file or folder is complete, or gone."""
    with _changing:
        _unfinished.pop(path, None)


def cannot_read(path: Path, what: str, error: OSError) -> OSError | ValueError:
    """The sentence for a file that could not be opened."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"there is no {what} {shown(path)}")
    if isinstance(error, NotADirectoryError):
        return FileNotFoundError(f"there is no {what} {shown(path)}: {shown(path.parent)} is not a folder")
    if isinstance(error, IsADirectoryError) or path.is_dir():
        return ValueError(f"{shown(path)} is a folder; give the {what} file in it")
    if isinstance(error, PermissionError):
        return PermissionError(f"{shown(path)} may not be read; change its permissions")
    if error.errno == errno.ELOOP:
        return ValueError(f"{shown(path)} is a link that leads back to itself; name the {what} itself")
    if error.errno == errno.ENXIO:
        return ValueError(f"{shown(path)} is a socket or a device; give a regular {what} file")
    return OSError(f"{shown(path)} cannot be read: {error.strerror or error}")


# --- writing ---------------------------------------------------------------------------------------------------------------


def target_of(path: str | os.PathLike[str]) -> tuple[Path, os.stat_result | None]:
    """The file that is written under a path, all links followed, and what it is now (None where it is not there).

    Raises:
        OSError, ValueError: a folder, a pipe, a device, a socket, a read-only file, or links that lead nowhere.
    """
    path = path_of(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(f"{shown(path)} is a link that leads back to itself; give another name") from None
        raise cannot_write(path, error) from None
    if status is None:
        return (Path(os.path.realpath(path)) if path.is_symlink() else path), None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{shown(path)} is a folder; give the name of a file in it")
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise ValueError(f"{shown(path)} is {kind}; give the name of a regular file")
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):  # root may write anywhere, and still should not
        raise PermissionError(f"{shown(path)} may not be overwritten; choose another name or change its permissions")
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target is not path and not (target.exists() and os.path.samestat(target.stat(), status)):
        raise ValueError(f"{shown(path)} leads to a file that has no name any more; give the name of a regular file")
    return target, status


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write to, which becomes `path` when the block ends well and vanishes when it does not.

    A file that is there keeps its permissions, and its owner where that is allowed. Where `path` is a link, what it leads to
    is written. Other names of the same file (hard links) keep the old content, as backups made of them should.

    Raises:
        OSError: the folder is missing, read-only or full, or the file is; one sentence with the path.
        ValueError: the path cannot be a file's name, or is a pipe, a device or a socket.
    """
    target, before = target_of(path)
    beside, number = _begin(target, before)
    try:
        yield beside
        if before is not None:
            _make_like(beside, before)
        if fcntl is None:
            os.close(number)
            number = -1
        os.replace(beside, target)
    except OSError as error:
        _forget(beside)
        raise (error if error.errno is None else cannot_write(target, error)) from None
    except BaseException:
        _forget(beside)
        raise
    finally:
        mark_finished(beside)
        if number >= 0:
            os.close(number)


def _part(target: Path, slot: int) -> Path:
    name = target.name
    while len(os.fsencode(name)) > 120:
        name = name[:-1]
    return target.with_name(f".{name}.twinrack-{slot}.part")


def _begin(target: Path, before: os.stat_result | None) -> tuple[Path, int]:
    """An empty file beside the target, locked as long as the number is open; what was left there is taken away."""
    remove_leftovers(target)
    for slot in range(SLOTS):
        beside = _part(target, slot)
        try:
            number = os.open(
                beside,
                os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0),
                0o666 if before is None else 0o600,
            )
        except FileExistsError:
            continue
        except FileNotFoundError:
            raise FileNotFoundError(
                f"there is no folder {shown(target.parent)} to write {shown(target.name)} to; create it first"
            ) from None
        except OSError as error:
            raise cannot_write(target, error) from None
        mark_unfinished(beside)
        if _exiting.is_set():
            _forget(beside)
        if _lock(number) and _still(beside, number):
            return beside, number
        os.close(number)  # between making and locking it, another one took it for a rest
    raise OSError(f"{shown(target)} is being written by {SLOTS} others; try again when they are done")


def _lock(number: int) -> bool:
    """True where nobody else holds the file, or where locks cannot tell."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def _still(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except OSError:
        return False


def _make_like(beside: Path, before: os.stat_result) -> None:
    """Permissions and owner of the file that is replaced."""
    mode = stat.S_IMODE(before.st_mode)
    if hasattr(os, "chown"):
        now = beside.stat()
        if now.st_uid != before.st_uid:
            with suppress(OSError):
                os.chown(beside, before.st_uid, -1)
        if now.st_gid != before.st_gid:
            try:
                os.chown(beside, -1, before.st_gid)
            except OSError:  # what that group could, ours need not be able to
                mode = mode & ~0o070 | (mode & 0o007) << 3
    with suppress(PermissionError):
        beside.chmod(mode)


def _forget(beside: Path) -> None:
    with suppress(OSError):
        beside.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of a file; what a running one writes stays."""
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        parts = [p for p in (_part(target, slot) for slot in range(4)) if p.is_file()]
    except (OSError, ValueError):
        return
    slot = 4
    while parts and (p := _part(target, slot)).exists():
        parts.append(p)
        slot += 1
    for part in parts:
        remove_abandoned(part)


def remove_abandoned(part: Path) -> None:
    """Remove a file that no process has locked."""
    with _changing:
        if _unfinished.get(part) == os.getpid():
            return
    try:
        number = os.open(part, os.O_RDWR | _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return
    held = True
    try:
        if fcntl is not None:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = not stat.S_ISREG(os.fstat(number).st_mode)
        if not held and fcntl is not None and _still(part, number):
            _forget(part)
    except OSError:  # somebody writes it, or this disk has no locks
        held = True
    finally:
        os.close(number)
    if not held and fcntl is None:
        _forget(part)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a path that could not be written, before the work whose result it is to hold.

    Raises:
        OSError, ValueError: as `atomic`.
    """
    target, before = target_of(path)
    beside, number = _begin(target, before)
    _forget(beside)
    mark_finished(beside)
    os.close(number)


def cannot_write(path: Path, error: OSError) -> OSError:
    """The sentence for a file that could not be written."""
    reasons = {
        errno.EACCES: f"{shown(path.parent)} may not be written to",
        errno.EPERM: f"{shown(path.parent)} may not be written to",
        errno.EROFS: f"{shown(path.parent)} is on a read-only disk",
        errno.ENOSPC: f"the disk of {shown(path.parent)} is full",
        errno.EDQUOT: f"the disk quota of {shown(path.parent)} is used up",
        errno.EFBIG: f"{shown(path)} grew beyond the largest file allowed here",
        errno.ENOTDIR: f"{shown(path.parent)} is not a folder",
        errno.ENOENT: f"there is no folder {shown(path.parent)}",
        errno.ENAMETOOLONG: f"the name {brief(path.name)} is too long for this disk",
        errno.EMFILE: "too many files are open",
    }
    reason = reasons.get(error.errno or 0, f"{shown(path)} cannot be written: {error.strerror or error}")
    return OSError(f"{reason}; {shown(path.name) if len(path.name) <= 60 else brief(path.name)} was not written")


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder for what is needed only meanwhile."""
    with tempfile.TemporaryDirectory(prefix=".twinrack-", dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        mark_unfinished(folder)
        try:
            yield folder
        finally:
            mark_finished(folder)


def discard_unfinished() -> None:
    """Remove every file and folder that this process began and did not complete; the process is about to end."""
    _exiting.set()
    for path, owner in list(_unfinished.items()):
        if owner != os.getpid():  # of the process that this one was forked from
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            _forget(path)
