"""The engine in a page beside the native one: how many times faster than real time, one core, and how alike they sound.

    python benchmarks/browser.py

Chromium without a display, from a file, blocks of 128 frames in both; the best of three.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import twinrack as tr
from twinrack import _engine
from twinrack.pages.player import Scene, player_html
from twinrack.plugin_files.flat import flatten

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_support import PACK, chromium, unpacked
from support import decaying_noise, music, small_network

RATE, SECONDS, BLOCK = 48000, 10, 128


def racks() -> dict[str, tr.Rack]:
    bands = [tr.Band("bell", frequency_hz=100.0 * 2**i, gain_db=5.0 * (-1) ** i) for i in range(8)]
    parts = {
        "equaliser, 8 bands": [tr.ParametricEQ(bands=bands)],
        "compressor": [tr.Compressor(threshold_db=-30)],
        "gate": [tr.Gate()],
        "limiter": [tr.Limiter()],
        "saturation": [tr.Saturation(drive_db=9)],
        "reverb": [tr.FDNReverb()],
        "response of 1 s": [tr.ConvolutionReverb(impulse_response=decaying_noise(1.0))],
        "small network": [tr.Adapter(network=small_network())],
    }
    strip = [tr.Gain(), tr.ParametricEQ(bands=bands), tr.Gate(), tr.Compressor(), tr.ParametricEQ(bands=bands[:4])]
    parts["strip of nine"] = [*strip, tr.Saturation(), tr.FDNReverb(mix=0.2), tr.Limiter(), tr.Fader()]
    return {name: tr.Rack(effects, name=name) for name, effects in parts.items()}


def native(rack: tr.Rack, x: np.ndarray) -> tuple[np.ndarray, float]:
    best, y = np.inf, x
    for _ in range(3):
        player = _engine.Player(flatten(rack, 2, "urn:a", "a", rates=[float(RATE)])[0], float(RATE))
        blocks = [np.ascontiguousarray(x[:, i : i + BLOCK]) for i in range(0, x.shape[1], BLOCK)]
        began = time.perf_counter()
        played = [player.process(b, []) for b in blocks]
        best = min(best, time.perf_counter() - began)
        y = np.concatenate(played, 1)
    return y, SECONDS / best


def main() -> None:
    x = (np.round(0.5 * music(2, SECONDS * RATE, RATE, 3) * 32767) / 32768).astype(np.float32)
    silence = x.copy()
    silence[:, RATE:] *= 1e-36
    print(
        "| rack | in the page | native | ratio | then nearly silent | difference |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        for name, rack in racks().items():
            path = Path(folder, "a.html")
            path.write_text(f"<!doctype html><meta charset=utf-8>{player_html(Scene({'R': rack}, x, RATE))}", encoding="utf-8")
            page.goto(f"file://{path}")
            code = f"""async quiet => {{
              const s = Twinrack.pages[0].scene, speeds = [];
              let o;
              for (let i = 0; i < 3; ++i) {{ o = await Twinrack.offline(s, {SECONDS}); speeds.push({SECONDS} / o.seconds); }}
              const context = new OfflineAudioContext(2, 10, s.rate);
              const data = Uint8Array.from(atob(s.sounds.dry.split(",")[1]), c => c.charCodeAt(0));
              const sound = await context.decodeAudioData(data.buffer);
              const dry = [0, 1].map(c => sound.getChannelData(c).map((v, i) => i < s.rate ? v : v * 1e-36));
              const q = await Twinrack.offline(s, {SECONDS}, {{ sounds: {{ dry }} }});
              return [({PACK})(o.rows), Math.max(...speeds), {SECONDS} / q.seconds]; }}"""
            text, speed, quiet = page.evaluate(code)
            expected, own = native(rack, x)
            difference = np.sqrt(np.mean(np.square(unpacked(text, 2) - expected, dtype=np.float64)))
            size = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
            how = f"{20 * np.log10(difference / size):.0f} dB" if difference > 0 else "none"
            print(f"| {name} | {speed:.0f} | {own:.0f} | {own / speed:.1f} | {quiet:.0f} | {how} |", flush=True)


if __name__ == "__main__":
    main()
