"""The kinds of projects: which racks, sessions and sounds each begins with. Scripts and texts stand in `files/KIND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..files.audio_file import AudioWriter
from ..rack.effect import Effect
from ..rack.effects import (
    Band,
    Compressor,
    Controller,
    FDNReverb,
    Gain,
    Gate,
    Limiter,
    ParametricEQ,
    Saturation,
)
from ..rack.rack import Rack
from ..rack.tree import Parallel
from ..resources.network import ControlNetwork
from ..session.clip import Clip
from ..session.session import Session
from .sounds import RATE, guitar, performance, voice


@dataclass(frozen=True)
class Kind:
    """A kind of project.

    Attributes:
        text: what it is for, in a line.
        make: writes racks, sessions and sounds into a folder, by the project's name.
    """

    text: str
    make: Callable[[Path, str], None]


def _write(path: Path, x: Audio) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with AudioWriter(path, RATE, x.shape[0], 24) as file:
        file.write(np.ascontiguousarray(x, np.float32))


def _cut(frequency_hz: float = 80.0) -> Band:
    return Band("low_cut", frequency_hz=frequency_hz)


def _vocal(folder: Path, name: str) -> None:
    _write(folder / "audio" / "voice.wav", voice())
    bands = [_cut(), Band("bell", frequency_hz=300, gain_db=-2), Band("high_shelf", frequency_hz=8000, gain_db=2.5)]
    effects = [
        Gate(threshold_db=-50),
        ParametricEQ(bands=bands),
        Compressor(threshold_db=-24, ratio=3, attack_ms=5, release_ms=120, makeup_db=4),
        FDNReverb(decay_s=1.2, mix=0.08),
        Limiter(),
    ]
    Rack(effects, name=name).save(folder / f"{name}.rack.json")


def _podcast(folder: Path, name: str) -> None:
    _write(folder / "audio" / "host.wav", voice(8.0, seed=3))
    _write(folder / "audio" / "guest.wav", 0.5 * voice(8.0, seed=4, hertz=190.0))
    _write(folder / "audio" / "music.wav", 0.5 * performance(17.0))
    session = Session(name, RATE)
    host = [ParametricEQ(bands=[_cut(), Band("bell", frequency_hz=3000, gain_db=2)]), Compressor(threshold_db=-26, ratio=3)]
    session.add_track("host", clips=[Clip(folder / "audio" / "host.wav")], rack=host)
    guest = [ParametricEQ(bands=[_cut(110.0)]), Compressor(threshold_db=-32, ratio=3, makeup_db=6)]
    session.add_track("guest", clips=[Clip(folder / "audio" / "guest.wav", start=8.5)], rack=guest)
    music = [Compressor(threshold_db=-40, ratio=4, attack_ms=20, release_ms=400, key=key) for key in ("host", "guest")]
    session.add_track("music", clips=[Clip(folder / "audio" / "music.wav")], rack=music, gain_db=-8)
    session.save(folder / f"{name}.session.json")


def _guitar_amp(folder: Path, name: str) -> None:
    dry = guitar()
    _write(folder / "audio" / "dry.wav", dry)
    amp = [
        ParametricEQ(bands=[_cut(90.0), Band("bell", frequency_hz=800, gain_db=5)]),
        Saturation(drive_db=22),
        ParametricEQ(bands=[Band("bell", frequency_hz=2600, gain_db=4), Band("high_cut", frequency_hz=5200)]),
    ]
    _write(folder / "audio" / "amp.wav", 0.5 * Rack(amp)(dry, RATE))
    after = ParametricEQ(bands=[Band("bell"), Band("high_cut", frequency_hz=8000)])
    start = [ParametricEQ(bands=[_cut(), Band("bell")]), Saturation(drive_db=12), after, Gain()]
    Rack(start, name=name).save(folder / f"{name}.start.rack.json")


def _mastering(folder: Path, name: str) -> None:
    _write(folder / "audio" / "mix.wav", performance(8.0))
    bands = [_cut(25.0), Band("bell", frequency_hz=250, gain_db=-1), Band("high_shelf", frequency_hz=9000, gain_db=1.5)]
    glue = Compressor(threshold_db=-24, ratio=1.8, attack_ms=30, release_ms=200, knee_db=10)
    limiter = Limiter(input_gain_db=14, ceiling_db=-1)
    Rack([ParametricEQ(bands=bands), glue, limiter], name=name).save(folder / f"{name}.rack.json")


def _drum_bus(folder: Path, name: str) -> None:
    _write(folder / "audio" / "drums.wav", performance())
    pressed = [Compressor(threshold_db=-40, ratio=8, attack_ms=1, release_ms=80), Saturation(drive_db=9), Gain(gain_db=-8)]
    effects: list[Effect | Parallel] = [
        ParametricEQ(bands=[Band("low_shelf", frequency_hz=70, gain_db=2)]),
        Parallel([[Gain()], pressed]),
        Limiter(),
    ]
    Rack(effects, name=name).save(folder / f"{name}.rack.json")


def _room(folder: Path, name: str) -> None:
    dry = performance()
    _write(folder / "audio" / "dry.wav", dry)
    _write(folder / "audio" / "room.wav", Rack([FDNReverb(decay_s=1.6, decay_high_s=0.6, pre_delay_ms=22, mix=0.3)])(dry, RATE))
    Rack([FDNReverb(mix=0.2)], name=name).save(folder / f"{name}.start.rack.json")


def _de_noise(folder: Path, name: str) -> None:
    random = np.random.default_rng(9)
    clean = voice(8.0)
    clean = clean + 1e-4 * random.standard_normal(clean.shape).astype(np.float32)
    t = np.arange(clean.shape[1]) / RATE
    hum = 0.01 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3))
    noisy = clean + 0.004 * random.standard_normal(clean.shape) + hum
    _write(folder / "audio" / "clean.wav", clean)
    _write(folder / "audio" / "noisy.wav", noisy.astype(np.float32))
    driven = ["gain.gain_db", "parametric_eq.band4.gain_db"]
    notches = [Band("bell", frequency_hz=f, q=8, gain_db=-12) for f in (50, 100, 150)]
    effects: list[Effect] = [
        Controller(network=ControlNetwork(driven, hidden=[8])),
        ParametricEQ(bands=[*notches, Band("high_shelf", frequency_hz=4000)]),
        Gain(),
    ]
    Rack(effects, name=name).save(folder / f"{name}.start.rack.json")


def _clone(folder: Path, name: str) -> None:
    dry = performance()
    _write(folder / "audio" / "dry.wav", dry)
    device = [Compressor(threshold_db=-28, ratio=4, attack_ms=3, release_ms=90, makeup_db=5), Saturation(drive_db=3)]
    _write(folder / "audio" / "device.wav", Rack(device)(dry, RATE))


def _research(folder: Path, name: str) -> None:
    dry = performance()
    _write(folder / "audio" / "dry.wav", dry)
    bands = [Band("bell", frequency_hz=1800, gain_db=-5, q=1.2), Band("high_shelf", frequency_hz=7000, gain_db=4)]
    truth = [
        ParametricEQ(bands=bands),
        Compressor(threshold_db=-27, ratio=3.5, attack_ms=4, release_ms=90, makeup_db=5),
    ]
    _write(folder / "audio" / "wet.wav", Rack(truth)(dry, RATE))


KINDS = {
    "vocal": Kind("a vocal chain: play it live, render with it, let somebody review it", _vocal),
    "podcast": Kind("a session: two voices, music that ducks under them, a mix at -16 LUFS", _podcast),
    "guitar-amp": Kind("fit an amplifier from a recording before and after it", _guitar_amp),
    "mastering": Kind("a mastering chain with a limiter, measured, and a blind test against the mix", _mastering),
    "drum-bus": Kind("parallel compression on drums, explained block by block", _drum_bus),
    "room": Kind("fit a reverb to a room from a recording before and in it", _room),
    "de-noise": Kind("train a small network that moves an equaliser and a gain, from noisy and clean speech", _de_noise),
    "clone": Kind("make a readable rack of a device or another maker's plugin", _clone),
    "research": Kind("an experiment: structures and seeds compared, a table, a listening test, a model card", _research),
}
