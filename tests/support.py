"""What the tests share: random settings of any card, signals, the error between two signals, and the command line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinrack as tr
from twinrack.rack.card import Card, Parameter
from twinrack.rack.effect import CLASSES, Effect

SHARED = Path(__file__).resolve().parents[2] / "shared" / "audio"
CARD_IDS = list(tr.CARDS)


def recording(name: str) -> tuple[np.ndarray, int]:
    """A real recording, (channels, frames) float32; skips where the development recordings are not there."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the development recording {path.name} is not beside this checkout")
    import soundfile

    x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(x.T), rate


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The `twinrack` command, to its end."""
    command = [sys.executable, "-m", "twinrack", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def run_on_full_disk(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The `twinrack` command where no file can grow beyond 300,000 bytes: writing fails as on a full disk."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000)); from twinrack.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60)


def check_drawn(page: Path, profile: Path) -> None:
    """Every plot of a page is drawn by a real browser; skips where there is none.

    Args:
        profile: a folder for the browser's own files.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    own = [f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", f"file://{page}"]
    dom = subprocess.run([browser, *flags.split(), *own], capture_output=True, text=True, timeout=120).stdout
    match = re.search(r'<body data-drawn="(\d+)"', dom)
    assert match is not None
    plots = page.read_text(encoding="utf-8").count('class="plot"')
    assert int(match.group(1)) == plots == dom.count('class="plot js-plotly-plot"')


def value_at(p: Parameter, position: float) -> float:
    """The value at a place 0 … 1 in the parameter's own scale."""
    return float(p.at(position))


def random_values(card: Card, rng: np.random.Generator, how: str = "random") -> dict[str, Any]:
    """Values for every address: "random" over the range, "expected" inside what the card expects, "extreme" at the ends."""
    found: dict[str, Any] = {}
    used = {g.id: int(rng.integers(1, g.count + 1)) for g in card.groups}  # the other items stay as the card has them
    for address, p in card.addresses.items():
        prefix = address.partition(".")[0] if "." in address else ""
        if prefix and int(prefix.lstrip("abcdefghijklmnopqrstuvwxyz_")) > used[prefix.rstrip("0123456789")]:
            continue
        if p.kind == "choice":
            found[address] = str(rng.choice(p.options))
        elif p.kind == "switch":
            found[address] = bool(rng.random() < 0.3)
        elif how == "extreme":
            found[address] = (p.min, p.max, p.default)[rng.integers(3)]
        elif how == "expected":
            low, high = p.position(p.expected[0]), p.position(p.expected[1])
            found[address] = value_at(p, rng.uniform(low, high))
        else:
            found[address] = value_at(p, rng.uniform())
    return found


def decaying_noise(seconds: float = 0.3, channels: int = 2, sample_rate: float = 48000) -> tr.Response:
    """A response like a small room's."""
    rng = np.random.default_rng(1)
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    return tr.Response(rng.standard_normal((channels, t.size)) * 10 ** (-3 * t / seconds), sample_rate)


def small_network(seed: int = 0) -> tr.Network:
    """Each kind in turn, of small sizes that fill no whole vector."""
    made = (
        lambda: tr.Network.wavenet((5, 3), (1, 3, 9), gated=seed % 8 > 3, seed=seed),
        lambda: tr.Network.lstm(9, 1 + seed % 3 // 2, seed=seed),
        lambda: tr.Network.gru(12, 1 + seed % 5 // 4, seed=seed),
        lambda: tr.Network.mlp((11, 16), 1 + seed % 7, seed=seed),
    )
    return made[seed % 4]()


def small_noise_network(seed: int) -> tr.NoiseNetwork:
    """With weights in the last layer, too, so that it decides something."""
    count = tr.NoiseNetwork(8, (1, 2)).weights.size
    return tr.NoiseNetwork(8, (1, 2), np.random.default_rng(seed).uniform(-0.3, 0.3, count))


def make(card: Card, values: dict[str, Any], seed: int = 0) -> Effect:
    given = {
        "response": decaying_noise,
        "network": lambda: small_network(seed),
        "control": lambda: None,
        "noise": lambda: small_noise_network(seed) if seed % 2 else None,
    }
    effect = CLASSES[card.id](**{r["id"]: given[r["type"]]() for r in card.resources})
    for address, value in values.items():
        effect.set(address, value)
    return effect


def random_effect(card: Card, rng: np.random.Generator, how: str = "random") -> Effect:
    return make(card, random_values(card, rng, how), int(rng.integers(1 << 16)))


def music(channels: int, frames: int, rate: float, seed: int = 0) -> np.ndarray:
    """Bursts of decaying tones and noise with silence between them: what moves detectors and excites reverbs."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / rate
    x = np.zeros((channels, frames))
    for _ in range(max(2, int(8 * frames / rate))):
        start = rng.uniform(0, frames / rate)
        alive = t >= start
        envelope = np.where(alive, np.exp(-np.maximum(t - start, 0) / rng.uniform(0.02, 0.3)), 0.0)
        tone = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(40), np.log(0.4 * rate))) * t)
        pan = rng.uniform(0.2, 1.0, (channels, 1))
        x += rng.uniform(0.05, 0.5) * pan * envelope * (tone + 0.3 * rng.standard_normal((channels, frames)))
    return x.astype(np.float32)


def error_db(y: np.ndarray, reference: np.ndarray) -> float:
    """Level of the difference below the reference; -300 when they are equal."""
    size = float(np.linalg.norm(reference.astype(np.float64)))
    difference = float(np.linalg.norm(y.astype(np.float64) - reference.astype(np.float64)))
    if difference == 0:
        return -300.0
    return 20.0 * float(np.log10(difference / max(size, 1e-30)))


def error(y: np.ndarray, reference: np.ndarray, x: np.ndarray) -> float:
    """error_db; where an effect takes away more than 40 dB of the input x (cuts in series can take 300), relative to the
    input 40 dB down, and where it leaves less than -50 dBFS, relative to that: float32 cannot hold more (beside a bias of 1 its
    step is -150 dBFS), and the forms differ in the order of their operations."""
    size = np.linalg.norm(reference.astype(np.float64))
    beside_input = size / np.linalg.norm(x.astype(np.float64))
    level = size / np.sqrt(reference.size)
    lost = max(-20.0 * float(np.log10(beside_input + 1e-30)) - 40.0, -20.0 * float(np.log10(level + 1e-30)) - 50.0)
    return error_db(y, reference) - max(0.0, lost)


def random_curves(card: Card, rng: np.random.Generator, ticks: int) -> dict[str, np.ndarray]:
    """A smooth random curve, one value a tick, for every continuous address that may move while it sounds."""
    found = {}
    for address, p in card.addresses.items():
        if p.kind != "continuous" or address == card.latency or p.rebuilds:
            continue
        low, high = p.position(p.expected[0]), p.position(p.expected[1])
        knots = rng.uniform(low, high, 6)
        position = np.interp(np.linspace(0, 5, ticks), np.arange(6), knots)
        found[address] = np.array([value_at(p, q) for q in position], np.float32)
    return found


def blocks_of(x: np.ndarray, size: int) -> list[np.ndarray]:
    return [x[:, i : i + size] for i in range(0, x.shape[1], size)]
