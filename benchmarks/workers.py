"""The two sides of a comparison as programs: what each is told, how it is built and started, what it answers.

A worker is a process that builds an effect chain once and then answers lines (benchmarks/worker/measure.h): so what is
measured is the engine, not the call from Python, and GPL code stays in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builds import Skipped, lv2_program, ours_program, zita_program
from sounds import RATE, impulse
from twinrack.rack.card import CARDS, Value, find_card

PYTHON_PEERS = Path(__file__).resolve().parent / "worker" / "python_peers.py"
# glibc would map and clear new pages for every long output of a Python peer; so it keeps its memory.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}

Effects = tuple[tuple[str, dict[str, Value]], ...]


@dataclass(frozen=True)
class Side:
    """What one side of a comparison runs. `block` replaces the row's block length."""

    label: str
    block: int = 0
    package: str = ""  # what to install

    def command(self, sound: Path, folder: Path) -> list[str]:
        """The program and what it is told; `sound` is what it hears, `folder` is for other files that it reads.

        Raises:
            Skipped: it cannot run here.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Ours(Side):
    """Racks of our engine: effects with values by address, all others at the card's default."""

    label: str = "twinrack"
    effects: Effects = ()
    channels: int = 2
    copies: int = 1
    impulse_s: float = 0.0  # for the last effect
    program: str = ""  # of an earlier build; otherwise today's is built

    def command(self, sound: Path, folder: Path) -> list[str]:
        words = [self.program or str(ours_program()), str(sound), str(RATE), str(self.channels), str(self.copies)]
        for effect, values in self.effects:
            if effect not in CARDS:
                raise Skipped(f"twinrack has no {effect} yet")
            words.append(effect)
            words += [f"{address}={number(effect, address, value)!r}" for address, value in values.items()]
        if self.impulse_s:
            words.append(f"@{impulse(folder, self.impulse_s)}")
        return words


@dataclass(frozen=True)
class Lv2(Side):
    """An LV2 plugin by its URI, control ports by symbol."""

    uri: str = ""
    controls: dict[str, float] = field(default_factory=dict)

    def command(self, sound: Path, folder: Path) -> list[str]:
        words = [f"{symbol}={value!r}" for symbol, value in self.controls.items()]
        return [str(lv2_program()), str(sound), str(RATE), self.uri, *words]


@dataclass(frozen=True)
class Zita(Side):
    """zita-convolver with an impulse response of that length; `largest` partition 0: as long as the block."""

    label: str = "zita-convolver"
    seconds: float = 0.5
    largest: int = 0

    def command(self, sound: Path, folder: Path) -> list[str]:
        return [str(zita_program()), str(sound), str(RATE), str(impulse(folder, self.seconds)), str(self.largest)]


@dataclass(frozen=True)
class Pedalboard(Side):
    """pedalboard's plugins in a row; `copies` of the row side by side in a Mix."""

    label: str = "pedalboard"
    package: str = "pedalboard (pip)"
    plugins: tuple[tuple[str, dict[str, Any]], ...] = ()
    copies: int = 1
    impulse_s: float = 0.0  # for a single Convolution

    def command(self, sound: Path, folder: Path) -> list[str]:
        plugins = self.plugins
        if self.impulse_s:
            plugins = (("Convolution", {"impulse": str(impulse(folder, self.impulse_s)), "rate": RATE}),)
        return python_peer(sound, "pedalboard", {"plugins": plugins, "copies": self.copies})


@dataclass(frozen=True)
class Scipy(Side):
    """scipy.signal.sosfilt, float32."""

    label: str = "scipy sosfilt"
    package: str = "scipy (pip)"
    sections: tuple[tuple[float, ...], ...] = ()

    def command(self, sound: Path, folder: Path) -> list[str]:
        return python_peer(sound, "scipy", {"sections": self.sections})


class Worker:
    """A running side."""

    def __init__(self, side: Side, sound: Path, folder: Path) -> None:
        self.side = side
        self._process = subprocess.Popen(
            side.command(sound, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | KEEP_MEMORY,
        )
        self._read()

    def _read(self) -> list[float]:
        """The numbers of the next answer; plugins may write lines of their own before it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("error: "):
                hint = f" ({self.side.package})" if self.side.package else ""
                raise Skipped(f"{self.side.label}{hint}: {line.removeprefix('error: ').strip()}")
            if line.strip() == "ready":
                return []
            if re.fullmatch(r"[-+\d.e]+( [-+\d.e]+)+", line.strip()):
                return [float(word) for word in line.split()]
        raise Skipped(f"{self.side.label}: its worker ended with {self._process.wait()}")

    def ask(self, verb: str, block: int, frames: int) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {block} {frames // block * block}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def number(effect: str, address: str, value: Value) -> float:
    """What the engine knows of a value that is written as in Python."""
    parameter = find_card(effect).addresses.get(address)
    if parameter is None:
        raise Skipped(f"{effect} has no parameter {address}")
    try:
        return parameter.to_engine(parameter.check(value, effect))
    except ValueError as error:
        raise Skipped(str(error)) from None


def python_peer(sound: Path, library: str, specification: dict[str, Any]) -> list[str]:
    return [sys.executable, str(PYTHON_PEERS), str(sound), str(RATE), library, json.dumps(specification)]
