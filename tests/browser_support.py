"""Real browsers for tests of pages: Chromium through playwright, Firefox through its own protocol (Marionette)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = next((p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None)
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
# Gives rows of numbers as base64, as they are too many for JSON.
PACK = """rows => {
  const all = new Float32Array(rows.length * rows[0].length), bytes = new Uint8Array(all.buffer);
  rows.forEach((row, i) => all.set(row, i * row.length));
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}"""


def unpacked(text: str, channels: int) -> np.ndarray:
    """(channels, frames) of what PACK gave."""
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(channels, -1)


@contextmanager
def chromium(**options: Any) -> Iterator[Any]:
    """A page of playwright in Debian's Chromium; `errors` lists what went wrong in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        page = browser.new_page(**options)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        try:
            yield page
        finally:
            browser.close()


class Firefox:
    """One window of a Firefox without a display."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._left, self._number = connection, b"", 0
        self._receive()
        self.version = self._call("WebDriver:NewSession")["capabilities"]["browserVersion"]
        self._call("WebDriver:SetTimeouts", script=120000)

    def open(self, path: Path) -> None:
        self._call("WebDriver:Navigate", url=f"file://{path}")

    def evaluate(self, code: str) -> Any:
        """The value of an asynchronous function's body, run by the page itself."""
        words = json.dumps(f"(async () => {{ {code} }})()")
        script = f"const done = arguments[arguments.length - 1]; window.eval({words}).then(done, e => done('FAILED ' + e));"
        value = self._call("WebDriver:ExecuteAsyncScript", script=script, args=[], sandbox=None)["value"]
        assert not (isinstance(value, str) and value.startswith("FAILED")), value
        return value

    def _call(self, name: str, **values: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, name, values]).encode()
        self._connection.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def _receive(self) -> Any:
        while b":" not in self._left:
            self._left += self._connection.recv(65536)
        size, _, rest = self._left.partition(b":")
        while len(rest) < int(size):
            rest += self._connection.recv(1 << 20)
        self._left = rest[int(size) :]
        return json.loads(rest[: int(size)])


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """A Firefox with a profile of its own in the folder."""
    if FIREFOX is None:
        pytest.skip("Firefox is not installed: apt-get install firefox-esr")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = folder / "profile"
    profile.mkdir()
    settings = {"media.autoplay.default": 0, "marionette.port": port, "datareporting.policy.dataSubmissionEnabled": False}
    (profile / "user.js").write_text("".join(f'user_pref("{k}", {json.dumps(v)});\n' for k, v in settings.items()))
    process = subprocess.Popen(
        [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", profile],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=150)
                break
            except OSError:
                assert process.poll() is None, "Firefox ended"
                assert time.monotonic() < end, "Firefox does not answer"
                time.sleep(0.1)
        with connection:
            yield Firefox(connection)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
