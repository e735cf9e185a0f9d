"""Plugins' own windows, for real: on a virtual display, moved by a mouse, seen in its memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from plugin_support import GOOD, RATE, needs_host
from twinrack.cli.plugins import edit
from twinrack.hosting.child import PluginDiedError, PluginError

pytestmark = [needs_host, pytest.mark.alone]
KNOB = (212, 66)  # the threshold in ZamComp's window
UNIFORM = 50  # colours, at most, on a display on which nothing is drawn


class Display:
    """An Xvfb."""

    def __init__(self, folder: Path) -> None:
        self._screen = folder / "Xvfb_screen0"
        self._process = subprocess.Popen(
            ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-fbdir", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.name = f":{self._process.stdout.readline().strip()}"

    def colours(self) -> int:
        """How many there are."""
        data = self._screen.read_bytes()
        head = int.from_bytes(data[:4], "big")
        pixels = np.frombuffer(data[head + 256 * 12 :], np.uint32)
        return np.unique(pixels[: 1024 * 768]).size

    def do(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], check=True, env={"DISPLAY": self.name, "PATH": "/usr/bin:/bin"})

    def drag(self, x: int, y: int, by_x: int, by_y: int) -> None:
        self.do("mousemove", x, y, "mousedown", 1)
        for n in range(1, 9):
            time.sleep(0.05)
            self.do("mousemove", x + by_x * n // 8, y + by_y * n // 8)
        self.do("mouseup", 1)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def display(tmp_path, monkeypatch) -> Iterator[Display]:
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: install xvfb and xdotool")
    if not Path("/usr/lib/clap/ZamComp.clap").is_file():
        pytest.skip("ZamComp is missing: install zam-plugins")
    shown = Display(tmp_path)
    monkeypatch.setenv("DISPLAY", shown.name)
    yield shown
    shown.close()


def until(happens) -> None:
    end = time.monotonic() + 10
    while not happens() and time.monotonic() < end:
        time.sleep(0.05)
    assert happens()


@pytest.mark.parametrize(
    ("uri", "threshold", "ratio"),
    [("urn:zamaudio:ZamComp", "thr", "rat"), ("clap:com.zamaudio.ZamComp", "threshold", "ratio")],
)
def test_a_knob_in_the_window_moves_the_effect(display, uri, threshold, ratio):
    effect = tr.Plugin(uri)
    assert display.colours() < UNIFORM
    with effect.open_editor() as window:
        until(lambda: display.colours() > UNIFORM)
        time.sleep(0.5)
        display.drag(*KNOB, -80, 40)
        until(lambda: effect.get(threshold) < -5)
        assert effect.get(ratio) == 4.0
        before = display.colours()
        effect.set(ratio, 20)
        time.sleep(0.5)
        assert window.is_open
        assert before > UNIFORM
    assert not window.is_open
    until(lambda: display.colours() < UNIFORM)
    assert effect.get(ratio) == 20.0
    x = np.full((1, RATE), 0.5, np.float32)
    assert np.abs(tr.Rack([effect])(x, RATE)[0, -1]) < 0.45


def test_beside_a_live_stream(display):
    """A mono plugin in stereo has two instances and one window: both follow."""
    effect = tr.Plugin("clap:com.zamaudio.ZamComp", block_frames=64, ratio=20)
    rack = tr.Rack([effect])
    rack.prepare(RATE, 2)
    rack.running.go_live()
    heard, stops = [np.zeros(2)], threading.Event()

    def stream() -> None:
        while not stops.is_set():
            heard[0] = rack.running.engine.process(np.full((2, 64), 0.5, np.float32), [])[:, -1]
            time.sleep(64 / RATE)

    def is_plain() -> bool:
        return np.allclose(heard[0], 0.5, rtol=1e-3)

    player = threading.Thread(target=stream)
    player.start()
    try:
        until(is_plain)
        with effect.open_editor():
            until(lambda: display.colours() > UNIFORM)
            time.sleep(0.5)
            display.drag(*KNOB, -80, 40)
            until(lambda: effect.threshold < -5)
            until(lambda: heard[0].max() < 0.4)
            time.sleep(0.5)
            assert effect.threshold <= -11  # as far as the mouse went: no value that came later took it back
            assert heard[0][0] == heard[0][1]
            there = effect.threshold
            effect.threshold = 0
            until(is_plain)
            effect.threshold = there
            until(lambda: heard[0].max() < 0.4)
    finally:
        stops.set()
        player.join()
        rack.running.close()


def test_a_plugin_that_dies_with_its_window_is_said(display):
    effect = tr.Plugin("clap:com.zamaudio.ZamComp")
    window = effect.open_editor()
    until(lambda: display.colours() > UNIFORM)
    os.kill(window._host.pid, signal.SIGSEGV)
    with pytest.raises(PluginDiedError, match=r"ZamComp crashed \(SIGSEGV\) in its own process"):
        window.wait(10)
    assert not window.is_open


def test_what_cannot_be_opened_is_a_sentence(odd, framed, monkeypatch, display):
    odd(GOOD)
    with pytest.raises(PluginError, match="it has no window of its own"):
        tr.Plugin("odd").open_editor()
    effect = tr.Plugin(str(Path("/usr/lib/clap/ZamComp.clap")))
    for name in ("", ":987"):
        monkeypatch.setenv("DISPLAY", name)
        with pytest.raises(PluginError, match="there is no display to open its window on; set DISPLAY"):
            effect.open_editor()


def test_a_patch_is_edited_by_the_command(display, tmp_path):
    patch = tmp_path / "voice.rack.json"
    tr.Rack([tr.Gain(), tr.Plugin("clap:com.zamaudio.ZamComp")]).save(patch)
    command = subprocess.Popen(
        [sys.executable, "-m", "twinrack", "plugins", "edit", patch],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: display.colours() > UNIFORM)
    time.sleep(0.5)
    display.drag(*KNOB, -80, 40)
    time.sleep(0.5)
    display.do("search", "--name", "ZamComp", "windowclose")
    said, _ = command.communicate(timeout=30)
    assert command.returncode == 0, said
    assert "threshold: -1" in said
    assert f"wrote {patch}" in said
    assert tr.load(patch)["clap_zamcomp"].threshold <= -11
    tr.Rack([tr.Gain()]).save(patch)
    with pytest.raises(ValueError, match="it has none"):
        edit(str(patch))
