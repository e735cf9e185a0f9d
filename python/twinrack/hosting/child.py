"""The process that holds one plugin: `twinrack-host` (cpp/host/main.cc), spoken to by lines over a socket."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .. import _engine
from ..audio import Audio
from ..checks import visible

PROGRAM = "twinrack-host"
ANSWER_S = 20.0
KEPT = (  # of the environment
    "HOME", "PATH", "LV2_PATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR", "DISPLAY", "XAUTHORITY",
)  # fmt: skip
LONGEST_HEAD, LARGEST_ANSWER = 64, 1 << 28  # bytes, of an answer
SHOWN_BYTES = 4096
SHOWN_LINES = 3  # of what a plugin wrote before it died


class PluginError(ValueError):
    """A plugin or its host refused something; one sentence."""


class PluginDiedError(RuntimeError):
    """The process of a plugin crashed, or did not answer and was ended; one sentence."""


class HostProcess:
    """A process that may hold one plugin. It ends with `close`, with this object, and with this program.

    It gets a small environment, no privileges that it did not have, no core dumps, and a folder of its own to write in.

    Args:
        memory_file: of the memory that both share, where it is there already; it stays open.

    Attributes:
        name: of the plugin, for messages.
        memory_file: of the memory that both share.
    """

    def __init__(self, name: str = "the plugin", memory_file: int | None = None) -> None:
        path = program()
        self.name = name
        self._closed, self._lock = False, threading.Lock()
        self._received = b""  # and not asked for yet
        self._folder = tempfile.TemporaryDirectory(prefix="twinrack-plugin-", ignore_cleanup_errors=True)
        if memory_file is None:
            self.memory_file = os.memfd_create("twinrack-plugin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            self.memory_file = os.dup(memory_file)
        self._memory: mmap.mmap | None = None
        self._written: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed with this object
        own, other = socket.socketpair()
        self._socket = own
        environment = {key: os.environ[key] for key in KEPT if key in os.environ} | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        try:
            self._process = subprocess.Popen(
                [path, str(other.fileno()), str(self.memory_file)],
                pass_fds=(other.fileno(), self.memory_file),
                stdin=subprocess.DEVNULL,
                stdout=self._written,
                stderr=self._written,
                cwd=self._folder.name,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            own.close()
            self._written.close()
            os.close(self.memory_file)
            self.memory_file = -1
            self._folder.cleanup()
            raise
        finally:
            other.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, *words: object, payload: bytes = b"", seconds: float = ANSWER_S) -> bytes:
        """Send a request and wait for its answer.

        Raises:
            PluginError: it was refused.
            PluginDiedError: the process crashed, or gave no answer in time; it is ended then.
        """
        line = " ".join(str(w).replace("%", "%25").replace(" ", "%20") for w in words)
        if "\n" in line:
            raise PluginError(f"{visible(line, lines=False)!r} has a line break in it")
        with self._lock:  # the window of a plugin is asked for beside all else
            return self._answer(words, line.encode(errors="surrogateescape") + b"\n" + payload, seconds)

    def _answer(self, words: tuple[object, ...], message: bytes, seconds: float) -> bytes:
        if self._closed:
            raise PluginDiedError(f"{self.name} was closed; load it again")
        end = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(message)
            how, size = self._line(end).split()
            if not 0 <= int(size) <= LARGEST_ANSWER:
                raise ValueError("no answer is so large")
            answer = self._exactly(int(size), end)
        except TimeoutError:
            self.close()
            raise PluginDiedError(f"{self.name} gave no answer to {str(words[0])!r} in {seconds:g} s, and was ended") from None
        except OSError:
            raise PluginDiedError(self.describe_end()) from None
        except ValueError:
            self.close()
            raise PluginDiedError(f"{self.name} wrote into its host's answers, and was ended") from None
        except BaseException:  # such as Ctrl-C: the answer that comes late would be taken for the next one
            self.close()
            raise
        if how == b"error":
            raise PluginError(f"{self.name}: {visible(answer.decode(errors='replace'), lines=False)}")
        return answer

    def json(self, *words: object) -> Any:
        """The same with an answer in JSON."""
        return json.loads(self.request(*words).decode(errors="replace"))

    def rows(self, count: int, frames: int) -> npt.NDArray[np.float32]:
        """The shared memory as (count, frames), before a plugin with so many is loaded. It is made once, and cannot shrink."""
        if count == 0:
            return np.zeros((0, frames), np.float32)
        os.ftruncate(self.memory_file, count * frames * 4)
        fcntl.fcntl(self.memory_file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._memory = mmap.mmap(self.memory_file, count * frames * 4)
        rows: Audio = np.frombuffer(self._memory, np.float32).reshape(count, frames)
        return rows

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._received:
            if len(self._received) > LONGEST_HEAD:
                raise ValueError("no answer begins so")
            self._receive(end)
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _exactly(self, size: int, end: float) -> bytes:
        parts, missing = [self._received[:size]], size - len(self._received)
        self._received = self._received[size:]
        while missing > 0:
            self._receive(end)
            parts.append(self._received[:missing])
            self._received = self._received[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _receive(self, end: float) -> None:
        self._socket.settimeout(max(end - time.monotonic(), 1e-3))
        part = self._socket.recv(1 << 20)
        if not part:
            raise ConnectionResetError
        self._received += part

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, by itself or because it was closed."""
        return self._closed or self._process.poll() is not None

    def describe_end(self) -> str:
        """A sentence on how a process that is gone has ended; it is closed then."""
        self.close()
        code = self._process.returncode
        how = "ended by itself"
        if code is not None and code < 0:
            names = {s.value: s.name for s in signal.Signals}
            how = f"crashed ({names.get(-code, f'signal {-code}')})"
        self._written.seek(max(self._written.seek(0, os.SEEK_END) - SHOWN_BYTES, 0))
        lines = self._written.read().decode(errors="replace").strip().splitlines()[-SHOWN_LINES:]
        words = f"; it wrote: {visible(' / '.join(lines), lines=False)[:300]}" if lines else ""
        return f"{self.name} {how} in its own process{words}"

    def close(self, at_once: bool = False) -> None:
        """End the process, and those that it has begun.

        Args:
            at_once: it is not asked first, as it answers nobody.
        """
        self._closed = True
        self._socket.close()
        if at_once:
            self._process.kill()
        if self._process.poll() is None:
            try:
                self._process.wait(0.2)  # it ends when the socket is gone
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with suppress(OSError):  # it leads a group of its own
            os.killpg(self._process.pid, signal.SIGKILL)
        file, self.memory_file = self.memory_file, -1  # at once: two threads may close it
        if file >= 0:
            os.close(file)
        self._folder.cleanup()

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None and getattr(self, "memory_file", -1) >= 0:
            self.close()


def program() -> str:
    """The path of the host program.

    Raises:
        PluginError: this installation was built without it.
    """
    path = Path(_engine.__file__).with_name(PROGRAM)
    if not path.is_file():
        raise PluginError(f"{PROGRAM} is missing: install liblilv-dev, and then twinrack again")
    return str(path)
