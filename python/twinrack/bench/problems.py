"""Problems with a known answer: hidden racks that play sounds, and pairs of real recordings whose answer nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..files.audio_file import FORMATS, read_audio
from ..rack.effect import Effect
from ..rack.effects import Band, Compressor, FDNReverb, Gate, ParametricEQ, Saturation
from ..rack.rack import Rack

RATE = 48000
SECONDS = 4.0
SELDOM_MOVED = {"mix"}  # beside those whose role is "fine"; a reverb's is always moved
WIDTHS = {"q", "knee_db"}


def equaliser() -> ParametricEQ:
    """Four bands as most equalisers have them, at 0 dB."""
    shelves = Band("low_shelf", frequency_hz=100.0), Band("high_shelf", frequency_hz=8000.0)
    return ParametricEQ(bands=[shelves[0], Band("bell", frequency_hz=500.0), Band("bell", frequency_hz=2500.0), shelves[1]])


VOCABULARY: dict[str, Callable[[], Effect]] = {  # in the order in which racks have them
    "gate": Gate,
    "parametric_eq": equaliser,
    "compressor": Compressor,
    "saturation": Saturation,
    "fdn_reverb": FDNReverb,
}
STRUCTURES = (
    ("parametric_eq",),
    ("compressor",),
    ("saturation",),
    ("gate",),
    ("parametric_eq", "compressor"),
    ("compressor", "saturation"),
    ("parametric_eq", "saturation"),
    ("gate", "compressor"),
)


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem.

    Attributes:
        name: of it.
        dry, wet: to learn from, (channels, frames).
        new_dry, new_wet: never learned from.
        sample_rate: Hz.
        hidden: the answer; None of real recordings.
    """

    name: str
    dry: Audio
    wet: Audio
    new_dry: Audio
    new_wet: Audio
    sample_rate: float
    hidden: Rack | None = None


def drawn(rack: Rack, random: np.random.Generator) -> Rack:
    """The rack with values from what the cards expect, uniform in each parameter's own scale, for all that people move."""
    for address, effect in rack.addresses().items():
        unused = effect.switched_off()
        for name, p in effect.card.addresses.items():
            fine = p.role == "fine" and (p.id not in WIDTHS or p.default == 0.0)
            seldom = p.id in SELDOM_MOVED and effect.card.category != "reverb"
            if p.kind != "continuous" or not p.learnable or name in unused or fine or seldom:
                continue
            low, high = (p.position(end) for end in p.expected)
            rack.set(f"{address}.{name}", float(p.at(low + (high - low) * random.random())))
        if effect.card.id == "parametric_eq":  # bands in the order of their frequencies
            used = [i for i in range(1, 17) if effect.get(f"band{i}.type") != "off"]
            for i, f in zip(used, sorted(float(effect.get(f"band{i}.frequency_hz")) for i in used), strict=True):
                rack.set(f"{address}.band{i}.frequency_hz", f)
    return rack


def phrase(seed: int, seconds: float = 2.0 * SECONDS) -> Audio:
    """A made sound that shows much: tones, noise and clicks of many levels with pauses, (2, frames) at RATE."""
    random = np.random.default_rng([seed, 7])
    t = np.arange(round(seconds * RATE)) / RATE
    x = np.zeros((2, t.size))
    for _ in range(round(5 * seconds)):
        start, decay = random.uniform(0.0, seconds), np.exp(random.uniform(np.log(0.02), np.log(0.4)))
        envelope = np.where(t >= start, np.exp(-np.maximum(t - start, 0.0) / decay), 0.0)
        pitch = np.exp(random.uniform(np.log(60.0), np.log(4000.0)))
        tone = sum(np.sin(2.0 * np.pi * pitch * n * t + n) / n for n in range(1, 8) if pitch * n < 0.45 * RATE)
        noise = random.standard_normal(t.size)
        amount = 10.0 ** (random.uniform(-40.0, -6.0) / 20.0)
        x += amount * random.uniform(0.3, 1.0, (2, 1)) * envelope * (tone + random.uniform(0.0, 0.7) * noise)
    return np.asarray(x * min(1.0, 0.7 / np.abs(x).max()), np.float32)


def hidden_problems(count: int, seed: int = 0, folder: Path | None = None) -> Iterator[Problem]:
    """Hidden racks of one and two effects.

    Args:
        count: of problems.
        seed: of their values.
        folder: of stereo recordings at 48 kHz to play; made sounds without.

    Raises:
        FileNotFoundError: the folder has no such recording.
    """
    sounds = [phrase(i) for i in range(count)] if folder is None else _recordings(folder)
    for i in range(count):
        random = np.random.default_rng([seed, i])
        names = STRUCTURES[i % len(STRUCTURES)]
        hidden = drawn(Rack([VOCABULARY[n]() for n in names]), random)
        dry = sounds[i % len(sounds)]
        wet, half = hidden.copy()(dry, RATE), dry.shape[1] // 2
        new_wet = hidden.copy()(dry[:, half:], RATE)
        yield Problem(" + ".join(names), dry[:, :half], wet[:, :half], dry[:, half:], new_wet, RATE, hidden)


def real_problems(dry: Path, wet: Path) -> Iterator[Problem]:
    """Pairs of real recordings: the first half to learn from, the second to test on.

    Args:
        dry: a recording.
        wet: a folder of what devices made of it, or one file.
    """
    sound, rate = read_audio(dry)
    files = [wet] if wet.is_file() else sorted(f for f in wet.iterdir() if f.suffix.lower() in FORMATS and f != dry)
    for file in files:
        other, own_rate = read_audio(file)
        if own_rate != rate or other.shape[0] != sound.shape[0]:
            raise ValueError(f"{file.name} has another sample rate or number of channels than {dry.name}; convert it")
        half = min(sound.shape[1], other.shape[1], round(2.0 * SECONDS * rate)) // 2
        yield Problem(file.stem, sound[:, :half], other[:, :half], sound[:, half : 2 * half], other[:, half : 2 * half], rate)


def _recordings(folder: Path) -> list[Audio]:
    sounds = []
    for file in sorted(f for f in folder.iterdir() if f.suffix.lower() in FORMATS):
        x, rate = read_audio(file)
        frames = round(2.0 * SECONDS * RATE)
        if rate == RATE and x.shape[0] == 2 and x.shape[1] >= frames // 2:
            sounds.append(np.ascontiguousarray(np.tile(x, (1, -(-frames // x.shape[1])))[:, :frames]))
    if not sounds:
        raise FileNotFoundError(f"{folder} has no stereo recording at {RATE} Hz; give another folder, or none for made sounds")
    return sounds
