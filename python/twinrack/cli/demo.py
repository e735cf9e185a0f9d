"""The demo: a recording, a hidden setting of a rack as the target, training, patch, render, report."""

from __future__ import annotations

import time
from pathlib import Path

from ..files.audio_file import AudioWriter, read_audio
from ..projects.sounds import RATE, SECONDS, performance
from ..rack.rack import Rack


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
