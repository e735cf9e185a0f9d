"""The reverb by figures, beside Calf's (an LV2 plugin, run in a process of its own) and a plate of noise with the same decay.

Needs Debian's calf-plugins and lilv-utils (lv2apply); prints the table that docs/figures.md quotes.

    python benchmarks/reverb_figures.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import twinrack as tr
from twinrack.measure.impulse import reverb_figures, rt60

RATE, DECAY = 48000, 1.5
CALF = "http://calf.sourceforge.net/plugins/Reverb"
CALF_CONTROLS = {"dry": 0, "amount": 2, "decay_time": DECAY, "bass_cut": 20, "treble_cut": 20000, "hf_damp": 20000}


def impulse(level: float) -> np.ndarray:
    x = np.zeros((2, 3 * RATE), np.float32)
    x[:, 0] = level
    return x


def calf() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.wav", Path(folder) / "out.wav"
        soundfile.write(source, impulse(0.5).T, RATE, subtype="FLOAT")
        controls = [word for name, value in CALF_CONTROLS.items() for word in ("-c", name, str(value))]
        subprocess.run(["lv2apply", "-i", source, "-o", out, *controls, CALF], check=True, capture_output=True)
        return soundfile.read(out, dtype="float64", always_2d=True)[0].T


def main() -> int:
    if shutil.which("lv2apply") is None:
        print("install lilv-utils and calf-plugins (Debian) for Calf's side of the table", file=sys.stderr)
        return 1
    even = {"decay_s": DECAY, "decay_low_s": DECAY, "decay_high_s": DECAY}
    noise = np.random.default_rng(0).standard_normal((2, 3 * RATE)) * 10 ** (-3 * np.arange(3 * RATE) / RATE / DECAY)
    responses = {
        "`fdn_reverb`, defaults": tr.Rack([tr.FDNReverb(mix=1)])(impulse(0.7), RATE),
        "`fdn_reverb`, one decay time": tr.Rack([tr.FDNReverb(mix=1, **even)])(impulse(0.7), RATE),
        "Calf Reverb, same decay": calf(),
        "noise plate": noise,
    }
    print("| | RT60 | density 0.9 after | highest mode | flatness | correlation |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, h in responses.items():
        measured = rt60(h, RATE)
        f = reverb_figures(np.asarray(h, np.float64), RATE, measured)
        after = f"{1000 * f['dense_after_s']:.0f} ms" if np.isfinite(f["dense_after_s"]) else "not in 0.4 s"
        print(
            f"| {name} | {measured:.2f} s | {after} | {f['highest_mode_db']:.1f} dB | {f['flatness_db']:.1f} dB | "
            f"{f['correlation']:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
