"""Noise reduction beside RNNoise and ffmpeg's afftdn: real voices in noise of several kinds, and what each makes of it.

    python benchmarks/denoiser.py [FOLDER] [--mixes 24]

FOLDER holds recordings of clean speech, one folder for each language or speaker; without it those of Debian's package
ktuberling-data are taken. What is not installed is left out: ffmpeg (Debian), and from PyPI pyrnnoise, pesq, pystoi.

Each mix is 10 s: 1 s of noise alone, then a voice in it. Scores are those of the sound after the first half second, in which a
denoiser may learn: signal-to-noise ratio and its mean over segments of 20 ms with speech (limited to -10 … 35 dB), wide-band
PESQ (ITU-T P.862.2, 1 to 4.5) and STOI (0 to 1). Delays are taken out before; they are read from the cross-correlation.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

import twinrack as tr

RATE = 48000
SECONDS = 10
DEBIAN = Path("/usr/share/ktuberling/sounds")
NOISES = (
    ("white", 5),
    ("pink", 5),
    ("fan", 5),
    ("hiss", 10),
    ("swelling", 10),
    ("pink", 15),
    ("white", 20),
    ("keys", 5),
    ("babble", 5),
)
Sound = np.ndarray


def voices(folder: Path) -> list[list[Path]]:
    """Recordings by folder, of folders with enough of them."""
    inner = [
        sorted(f for f in d.rglob("*") if f.suffix in (".ogg", ".flac", ".wav")) for d in sorted(folder.iterdir()) if d.is_dir()
    ]
    return [files for files in inner if len(files) > 20]


def speech(files: list[Path], seed: int) -> Sound:
    """A second of silence, then recordings one after the other with short pauses."""
    rng = np.random.default_rng(seed)
    parts = [np.zeros(RATE)]
    while sum(map(len, parts)) < SECONDS * RATE:
        x, rate = soundfile.read(files[rng.integers(len(files))], always_2d=True)
        voice = soxr.resample(x.mean(1), rate, RATE)
        parts += [voice / (np.sqrt(np.mean(voice**2)) + 1e-9), np.zeros(int(rng.uniform(0.1, 0.5) * RATE))]
    return np.concatenate(parts)[: SECONDS * RATE]


def noise(kind: str, seed: int, others: list[Path]) -> Sound:
    rng = np.random.default_rng(seed)
    frames = SECONDS * RATE
    if kind == "babble":
        return sum(np.roll(speech(others, 100 * seed + i), i * RATE) for i in range(6))
    if kind == "keys":
        y = 0.01 * rng.standard_normal(frames)
        for start in rng.integers(0, frames - 4800, 5 * SECONDS):
            decay = np.exp(-np.arange(4800) / RATE / rng.uniform(0.003, 0.02))
            y[start : start + 4800] += rng.uniform(0.3, 1.0) * decay * rng.standard_normal(4800)
        return y
    f, t = np.fft.rfftfreq(frames, 1 / RATE), np.arange(frames) / RATE
    weight = {
        "white": np.ones_like(f),
        "pink": np.maximum(f, 30.0) ** -0.5,
        "fan": 1.0 / (1.0 + (f / 200.0) ** 1.3),
        "hiss": f**0.7 / (1.0 + (f / 12000.0) ** 4),
        "swelling": np.maximum(f, 100.0) ** -0.5,
    }[kind]
    y = np.fft.irfft(np.fft.rfft(rng.standard_normal(frames)) * weight, frames)
    y /= y.std()
    if kind == "fan":
        y += sum(0.6 / k * np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6)) for k in range(1, 8))
    if kind == "swelling":
        y *= 10 ** (0.35 * np.sin(2 * np.pi * 0.2 * t + rng.uniform(0, 6)))
    return y


def mixed(voice: Sound, rest: Sound, snr_db: float) -> tuple[Sound, Sound]:
    """The mix and its voice, at -24 dBFS while it speaks."""
    power = np.mean(voice[np.abs(voice) > 1e-4] ** 2)
    rest = rest * np.sqrt(power / np.mean(rest**2) / 10 ** (snr_db / 10))
    gain = 0.06 / np.sqrt(power)
    return gain * (voice + rest), gain * voice


def aligned(y: Sound, x: Sound) -> tuple[Sound, int]:
    """Without its delay behind x, up to 125 ms."""
    size = 1 << int(np.ceil(np.log2(2 * len(x))))
    correlation = np.fft.irfft(np.fft.rfft(y, size) * np.conj(np.fft.rfft(x, size)), size)
    delay = int(np.argmax(correlation[:6000]))
    return np.pad(y[delay:], (0, delay)), delay


def rnnoise(x: Sound) -> Sound:
    from pyrnnoise.rnnoise import create, destroy, process_mono_frame

    state, parts = create(), []
    for start in range(0, len(x) + 1440, 480):
        frame = np.zeros(480)
        piece = x[start : start + 480]
        frame[: len(piece)] = piece
        out, _ = process_mono_frame(state, (np.clip(frame, -1.0, 1.0) * 32767).astype(np.int16))
        parts.append(np.asarray(out, float) / 32768)
    destroy(state)
    return np.concatenate(parts)[: len(x)]


def afftdn(x: Sound, options: str) -> Sound:
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "a.wav", Path(folder) / "b.wav"
        soundfile.write(before, x, RATE, subtype="FLOAT")
        command = ["ffmpeg", "-loglevel", "error", "-i", before, "-af", f"afftdn={options}", "-c:a", "pcm_f32le", after]
        subprocess.run(command, check=True)
        y, _ = soundfile.read(after)
    return np.pad(y, (0, max(len(x) - len(y), 0)))[: len(x)]


def ours(**settings: object) -> Callable[[Sound], Sound]:
    effect = tr.Denoiser(reduction_db=20, **settings)
    latency = round(1e-3 * effect.lookahead_ms * RATE)

    def run(x: Sound) -> Sound:
        rack = tr.Rack([effect.copy()])
        y = np.asarray(rack(x[None].astype(np.float32), RATE), float)[0]  # its latency is taken out
        return np.pad(y, (latency, 0))[: len(x)]

    return run


def methods() -> dict[str, Callable[[Sound], Sound]]:
    every: dict[str, Callable[[Sound], Sound]] = {"nothing": lambda x: x}
    if importlib.util.find_spec("pyrnnoise"):
        every["RNNoise"] = rnnoise
    if shutil.which("ffmpeg"):
        every["afftdn, 12 dB, tracked"] = lambda x: afftdn(x, "nr=12:tn=1")
        every["afftdn, 20 dB from -35, tracked"] = lambda x: afftdn(x, "nr=20:nf=-35:tn=1")
    for ms in (2.0, 5.0):
        every[f"denoiser, {ms:g} ms"] = ours(lookahead_ms=ms)
    for ms in (2.0, 5.0):
        every[f"denoiser, network, {ms:g} ms"] = ours(lookahead_ms=ms, network="speech")
    return every


def scores(voice: Sound, y: Sound) -> Iterator[tuple[str, float]]:
    a, b = voice[RATE // 2 :], y[RATE // 2 :]
    yield "SNR dB", 10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2))
    size = len(a) // 960 * 960
    parts, errors = a[:size].reshape(-1, 960), (a - b)[:size].reshape(-1, 960)
    speaks = np.mean(parts**2, 1) > 1e-3 * np.mean(a**2)
    ratio = 10 * np.log10((np.sum(parts**2, 1) + 1e-20) / (np.sum(errors**2, 1) + 1e-20))
    yield "segments dB", float(np.clip(ratio[speaks], -10, 35).mean())
    low_a, low_b = (soxr.resample(s, RATE, 16000) for s in (a, b))
    if importlib.util.find_spec("pesq"):
        from pesq import pesq

        yield "PESQ", pesq(16000, low_a, low_b, "wb")
    if importlib.util.find_spec("pystoi"):
        from pystoi import stoi

        yield "STOI", float(stoi(low_a, low_b, 16000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DEBIAN)
    parser.add_argument("--mixes", type=int, default=27)
    given = parser.parse_args()
    if not given.folder.is_dir():
        raise SystemExit(f"{given.folder} is not there; give a folder of recordings of speech, or install ktuberling-data")
    every = methods()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    delays: dict[str, list[int]] = defaultdict(list)
    sets = voices(given.folder)
    for seed in range(given.mixes):
        kind, snr_db = NOISES[seed % len(NOISES)]
        x, voice = mixed(speech(sets[seed % len(sets)], seed), noise(kind, seed, sets[(seed + 1) % len(sets)]), snr_db)
        for name, method in every.items():
            y, delay = aligned(method(x), x)
            found[name].append(dict(scores(voice, y)))
            delays[name].append(delay)
    columns = list(found["nothing"][0])
    print(f"{'':<34}{'delay ms':>10}" + "".join(f"{c:>13}" for c in columns))
    for name, rows in found.items():
        means = [np.mean([row[c] for row in rows]) for c in columns]
        delay = 1e3 * np.median(delays[name]) / RATE
        print(f"{name:<34}{delay:>10.1f}" + "".join(f"{m:>13.3f}" for m in means), flush=True)


if __name__ == "__main__":
    main()
