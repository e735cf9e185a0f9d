"""The demo: a recording, a hidden setting of a rack as the target, training, patch, render, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ..audio import Audio
from ..files.audio_file import AudioWriter, read_audio
from ..rack.rack import Rack

Numbers = np.ndarray[Any, np.dtype[np.float64]]
RATE = 48000
SECONDS = 6.0


def performance(seconds: float = SECONDS, rate: float = RATE, seed: int = 7) -> Audio:
    """A short performance, made here: drums, a plucked bass and chords; (2, frames), peak -6 dBFS.

    Args:
        seconds: length; rate: Hz; seed: of the noise and of small irregularities in time and level.
    """
    rng = np.random.default_rng(seed)
    frames = int(seconds * rate)
    out = np.zeros((2, frames))
    beat = 60.0 / 104.0

    def add(start: float, sound: Numbers, level: float, pan: float) -> None:
        at = int((start + rng.uniform(0, 0.004)) * rate)
        part = sound[: max(frames - at, 0)] * level * rng.uniform(0.7, 1.0)
        out[0, at : at + part.size] += part * np.cos(pan * np.pi / 2)
        out[1, at : at + part.size] += part * np.sin(pan * np.pi / 2)

    def time_of(length: float) -> Numbers:
        return np.arange(int(length * rate)) / rate

    def kick() -> Numbers:
        t = time_of(0.4)
        return np.sin(2 * np.pi * (48 * t + 5.5 * (1 - np.exp(-t * 38)))) * np.exp(-t * 9)

    def snare() -> Numbers:
        t = time_of(0.3)
        return 0.6 * rng.standard_normal(t.size) * np.exp(-t * 19) + 0.5 * np.sin(2 * np.pi * 190 * t) * np.exp(-t * 24)

    def hat() -> Numbers:
        t = time_of(0.09)
        return np.diff(rng.standard_normal(t.size + 1)) * np.exp(-t * 60) * 0.5

    def pluck(f: float, length: float) -> Numbers:
        t = time_of(length)
        partials = [
            np.sin(2 * np.pi * f * k * t) * np.exp(-t * (2.2 + 1.3 * k)) / k for k in range(1, 9) if f * k < 0.45 * rate
        ]
        whole: Numbers = np.sum(partials, axis=0) * np.minimum(t * 300, 1)
        return whole

    roots = (55.0, 65.41, 49.0, 73.42)
    for n in range(int(seconds / beat) + 1):
        root = roots[n // 4 % 4]
        if n % 4 in (0, 2):
            add(n * beat, kick(), 0.9, 0.5)
        if n % 4 in (1, 3):
            add(n * beat, snare(), 0.6, 0.55)
        for half in range(2):
            add((n + half / 2) * beat, hat(), 0.25, 0.65)
        add(n * beat, pluck(root, 0.5), 0.5, 0.45)
        if n % 2 == 0:
            for k, ratio in enumerate((4.0, 4.757, 5.993)):
                add((n + 0.5) * beat, pluck(root * ratio, 1.0), 0.22, 0.25 + 0.25 * k)
    performance: Audio = (out * (0.5 / np.max(np.abs(out)))).astype(np.float32)
    return performance


def start_rack() -> Rack:
    """Where training begins: everything at or near the cards' defaults."""
    from ..rack.effects import Band, Compressor, FDNReverb, ParametricEQ

    return Rack(
        [
            ParametricEQ(
                bands=[
                    Band("low_shelf", frequency_hz=200),
                    Band("bell", frequency_hz=1000),
                    Band("high_shelf", frequency_hz=6000),
                ]
            ),
            Compressor(),
            FDNReverb(mix=0.1),
        ],
        name="demo",
    )


def hidden_rack() -> Rack:
    """The setting that training has to find."""
    from ..rack.effects import Band, Compressor, FDNReverb, ParametricEQ

    return Rack(
        [
            ParametricEQ(
                bands=[
                    Band("low_shelf", frequency_hz=110, gain_db=4),
                    Band("bell", frequency_hz=2400, gain_db=-5, q=1.4),
                    Band("high_shelf", frequency_hz=7500, gain_db=3),
                ]
            ),
            Compressor(threshold_db=-27, ratio=3.5, attack_ms=4, release_ms=90, makeup_db=5),
            FDNReverb(decay_s=1.3, decay_low_s=1.7, decay_high_s=0.7, pre_delay_ms=18, mix=0.22),
        ],
        name="hidden",
    )


# What the demo trains: not the values that this sound does not depend on, such as an RMS window without an RMS detector.
LEARNED = (
    "parametric_eq.*",
    "compressor.threshold_db",
    "compressor.ratio",
    "compressor.knee_db",
    "compressor.attack_ms",
    "compressor.release_ms",
    "compressor.makeup_db",
    "fdn_reverb.decay*",
    "fdn_reverb.pre_delay_ms",
    "fdn_reverb.mix",
    "fdn_reverb.early_db",
)


def run(source: Path | None, target: Path | None, folder: Path) -> None:
    """Run the demo and print what came of it; see the `twinrack demo` command."""
    began = time.monotonic()
    from ..render.file import render_file
    from ..train.fit import fit

    if target is not None and source is None:
        raise ValueError("--target needs --input: the same recording before the processor")
    folder.mkdir(parents=True, exist_ok=True)
    hidden = None if target is not None else hidden_rack()
    if source is None:
        dry, rate = performance(), RATE
        print(f"recording  {SECONDS:g} s, synthesised here (use --input for one of your own)")
    else:
        dry, rate = read_audio(source)
        print(f"recording  {source}, {dry.shape[1] / rate:.1f} s")
    dry_path = folder / "dry.wav"
    with AudioWriter(dry_path, rate, dry.shape[0], 32) as file:
        file.write(dry)
    if hidden is not None:
        wet = hidden(dry, rate)
        print("target     the recording through a rack whose settings training does not see")
    else:
        assert target is not None
        wet, wet_rate = read_audio(target)
        if wet_rate != rate:
            raise ValueError(f"{source} has {rate} Hz, {target} {wet_rate} Hz; resample one of them")
        print(f"target     {target}")
    with AudioWriter(folder / "target.wav", rate, wet.shape[0], 32) as file:
        file.write(wet)
    start = start_rack()
    print(f"\n{start}\n")
    result = fit(start, dry, wet, rate, steps=90, learn=LEARNED, polish_steps=8, window_s=6.0, progress=True)
    result.target_rack = hidden
    print(result)
    if hidden is not None:
        print(f"\nrecovered {'':<30}{'start':>10}{'hidden':>10}{'found':>10}{'error':>12}")
        for p in result.parameters:
            true = float(hidden.get(p.address))
            error = p.fitted - true if p.unit == "dB" or true == 0 else 100 * (p.fitted / true - 1)
            unit = "dB" if p.unit == "dB" else "%"
            print(f"  {p.address:<38}{p.start:>10.4g}{true:>10.4g}{p.fitted:>10.4g}{error:>10.3f} {unit}")
    patch, wet_path, page = folder / "demo.rack.json", folder / "fitted.wav", folder / "report.html"
    result.rack.save(patch)
    render_file(dry_path, wet_path, result.rack)
    result.report(page)
    print(f"\npatch      {patch}\nrendered   {wet_path}\nreport     {page}")
    print(f"in {time.monotonic() - began:.0f} s. Render your own: twinrack render in.wav out.wav --rack {patch}")
    print(f"           Play it live: twinrack live --rack {patch}")
