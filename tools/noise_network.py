"""Trains the network that comes with the denoiser (`plugins/denoiser/speech.weights`), on voices of speech synthesisers.

    apt-get install espeak-ng flite festival festvox-kallpc16k festvox-us-slt-hts
    python tools/noise_network.py FOLDER [--sentences 900] [--steps 8500]

FOLDER keeps the spoken sentences; those that are there are not spoken again. The sentences are those of this project's
documentation. Noise is synthesised: coloured and swelling noise, hum and fans, keys, many voices at once, chords. No recording
of a person is used, so the weights are free of anybody's rights; benchmarks/denoiser.py measures them on real voices.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

import twinrack as tr

RATE = 48000
SECONDS = 12.0  # of a voice or noise
ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "de", "fr-fr", "es", "it", "nl", "pl", "sv", "pt", "ru", "cs", "fi", "tr")
VARIANTS = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+croak", "+klatt", "+klatt3")
FLITE = ("slt", "rms", "awb", "kal16")
FESTIVAL = ("voice_cmu_us_slt_arctic_hts", "voice_kal_diphone")


def sentences() -> list[str]:
    text = "\n".join(f.read_text(encoding="utf-8") for f in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    plain = (re.sub(r"[^A-Za-z0-9 ,']", " ", part).strip() for part in re.split(r"[.\n]+", text))
    return sorted({part for part in plain if 25 < len(part) < 160 and part.count(" ") > 4})


def speak(sentence: str, path: Path, number: int, rng: np.random.Generator) -> None:
    kind = number % 8
    if kind < 3:
        stretch = f"duration_stretch={rng.uniform(0.8, 1.3):.2f}"
        command, given = ["flite", "-voice", rng.choice(FLITE), "-t", sentence, "--setf", stretch, path], None
    elif kind == 3:
        command, given = ["text2wave", "-eval", f"({rng.choice(FESTIVAL)})", "-o", path], sentence
    else:
        voice = rng.choice(LANGUAGES) + rng.choice(VARIANTS)
        speed, pitch = str(rng.integers(120, 210)), str(rng.integers(20, 80))
        command, given = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", path, sentence], None
    subprocess.run(command, check=True, input=given, text=True, stderr=subprocess.DEVNULL)


def band(x: np.ndarray, low: float, high: float) -> np.ndarray:
    spectrum, f = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE)
    return np.fft.irfft(spectrum * ((f >= low) & (f < high)), len(x))


def tilted(x: np.ndarray, amount_db: float, rng: np.random.Generator) -> np.ndarray:
    """Through a smooth random equaliser."""
    f = np.fft.rfftfreq(len(x), 1 / RATE)
    place = 21.4 * np.log10(1 + 0.00437 * f)
    gain_db = np.interp(place, np.linspace(0, 42, 8), rng.normal(0, amount_db, 8))
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (gain_db / 20), len(x))


def voice(path: Path, rng: np.random.Generator) -> np.ndarray:
    """A sentence, faster or slower; where the synthesiser has no highs, those of the band below are moved up."""
    x, rate = soundfile.read(path)
    read_at = rate * rng.uniform(0.85, 1.2)
    x = soxr.resample(x, read_at, RATE)
    top = 0.46 * read_at
    t = np.arange(len(x)) / RATE
    while top < 18000 and rng.random() < 0.8:
        moved = 2 * band(x, 0.5 * top, 0.95 * top) * np.cos(2 * np.pi * 0.45 * top * t)
        x = x + band(moved, top, 1.4 * top) * 10 ** (rng.uniform(-12, 3) / 20)
        top *= 1.4
    return x / (np.sqrt(np.mean(x**2)) + 1e-9)


def speech(files: list[Path], rng: np.random.Generator) -> np.ndarray:
    parts = [np.zeros(int(rng.uniform(0, 1.5) * RATE))]
    while sum(map(len, parts)) < SECONDS * RATE:
        loud = 10 ** (rng.uniform(-3, 3) / 20)
        parts += [loud * voice(files[rng.integers(len(files))], rng), np.zeros(int(rng.exponential(0.4) * RATE))]
    return tilted(np.concatenate(parts)[: round(SECONDS * RATE)], 4, rng).astype(np.float32)


def noise(files: list[Path], rng: np.random.Generator) -> np.ndarray:
    frames = round(SECONDS * RATE)
    f, t = np.fft.rfftfreq(frames, 1 / RATE), np.arange(frames) / RATE
    y = rng.standard_normal(frames)
    kind = rng.integers(9)
    if kind < 3:
        gain_db = np.interp(21.4 * np.log10(1 + 0.00437 * f), np.linspace(0, 42, 10), np.cumsum(rng.normal(-1, 6, 10)))
        y = np.fft.irfft(np.fft.rfft(y) * 10 ** (gain_db / 20), frames)
    elif kind == 3:
        y = np.fft.irfft(np.fft.rfft(y) * np.maximum(f, 30) ** -0.5, frames)
    elif kind == 4:
        y = np.fft.irfft(np.fft.rfft(y) / (1 + (f / rng.uniform(100, 600)) ** rng.uniform(0.8, 1.5)), frames)
        y, hz = y / y.std(), rng.uniform(40, 240)
        for k in range(1, int(rng.integers(3, 14))):
            y += rng.uniform(0.1, 1) / k * np.sin(2 * np.pi * hz * k * t + rng.uniform(0, 6))
    elif kind == 5:
        y *= 0.02
        own = np.arange(4000) / RATE
        for start in rng.integers(0, frames - 4000, int(SECONDS * rng.uniform(2, 9))):
            ring = 0.6 * rng.standard_normal(4000) + np.sin(2 * np.pi * rng.uniform(300, 4000) * own)
            y[start : start + 4000] += rng.uniform(0.3, 1) * np.exp(-own / rng.uniform(0.002, 0.03)) * ring
    elif kind == 6:
        y = sum(np.resize(voice(files[rng.integers(len(files))], rng), frames) for _ in range(rng.integers(4, 8)))
    elif kind == 7:
        y *= 0.05
        for _ in range(rng.integers(2, 6)):
            hz, comes = rng.uniform(60, 900), np.clip(np.sin(2 * np.pi * rng.uniform(0.2, 3) * t + rng.uniform(0, 6)), 0, 1)
            for k in range(1, 8):
                y += comes / k * np.sin(2 * np.pi * hz * k * t)
    if rng.random() < 0.35 and kind != 6:
        y *= 10 ** (rng.uniform(2, 8) / 20 * np.sin(2 * np.pi * rng.uniform(0.1, 4) * t + rng.uniform(0, 6)))
    return tilted(y / (y.std() + 1e-9), 3, rng).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sentences", type=int, default=900)
    parser.add_argument("--steps", type=int, default=8500)
    parser.add_argument("--out", type=Path, default=ROOT / "plugins" / "denoiser" / "speech.weights")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    every = sentences()
    for number in range(given.sentences):
        path = given.folder / f"{number:05d}.wav"
        if not path.exists():
            speak(every[number % len(every)], path, number, rng)
    files = sorted(given.folder.glob("*.wav"))
    voices, noises = [speech(files, rng) for _ in range(200)], [noise(files, rng) for _ in range(300)]
    losses: list[float] = []

    def report(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 200 == 199:
            print(step + 1, round(float(np.mean(losses[-200:])), 4), flush=True)

    net = tr.train_noise_network(voices, noises, RATE, mixes=1300, steps=given.steps, on_step=report)
    net.weights.astype("<f2").tofile(given.out)


if __name__ == "__main__":
    main()
