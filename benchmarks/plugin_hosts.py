"""Exported racks in other makers' hosts: how far their sound is from the engine's.

    python benchmarks/plugin_hosts.py

Racks are exported as VST3 and played by pedalboard, DawDreamer and minihost (`make bench` installs them), each in a
process of its own, and as LV2 by lv2apply.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import twinrack as tr

RATE, FRAMES = 48000, 96000
HOSTS = {
    "pedalboard": """
import pedalboard
y = pedalboard.load_plugin(plugin).process(x, 48000, buffer_size=512, reset=True)
""",
    "dawdreamer": """
import dawdreamer
engine = dawdreamer.RenderEngine(48000, 512)
source, effect = engine.make_playback_processor("in", x), engine.make_plugin_processor("out", plugin)
engine.load_graph([(source, []), (effect, ["in"])])
engine.render(x.shape[1] / 48000)
y = engine.get_audio()
""",
    "minihost": """
import minihost
host, y = minihost.Plugin(plugin, sample_rate=48000, max_block_size=512), np.zeros_like(x)
for at in range(0, x.shape[1], 512):
    block = np.ascontiguousarray(x[:, at : at + 512])
    out = np.zeros_like(block)
    host.process(block, out)
    y[:, at : at + 512] = out
""",
}


def racks() -> dict[str, tr.Rack]:
    """A strip, parallel branches with a response, and a network."""
    random = np.random.default_rng(1)
    room = random.standard_normal((2, 14400)) * np.exp(-np.arange(14400) / 2000)
    return {
        "strip": tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.Compressor(), tr.FDNReverb(), tr.Limiter()]),
        "branches": tr.Rack([tr.Parallel([[tr.ConvolutionReverb(impulse_response=(room, RATE))], [tr.Saturation()]])]),
        "network": tr.Rack([tr.Adapter(network=tr.Network.lstm(8)), tr.Gain(gain_db=-3)]),
    }


def played(host: str, plugin: Path, folder: Path) -> np.ndarray | None:
    """The sound of a plugin in a host; None where the host is missing."""
    code = f"import numpy as np\nplugin, x = {str(plugin)!r}, np.load('x.npy')\n{HOSTS[host]}\nnp.save('y.npy', y)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode != 0:
        raise RuntimeError(f"{host}: {done.stderr[-500:]}")
    return np.load(folder / "y.npy")


def played_by_lv2apply(plugin: tr.Export, folder: Path, x: np.ndarray) -> np.ndarray | None:
    """The sound of an LV2 plugin in lv2apply (lilv); None where it is missing."""
    if shutil.which("lv2apply") is None:
        return None
    soundfile.write(folder / "in.wav", x.T, RATE, subtype="FLOAT")
    environment = {**os.environ, "LV2_PATH": f"{plugin.path.parent}:/usr/lib/lv2"}
    subprocess.run(["lv2apply", "-i", "in.wav", "-o", "out.wav", plugin.id], cwd=folder, env=environment, check=True)
    return soundfile.read(folder / "out.wav", dtype="float32", always_2d=True)[0].T


def error_db(y: np.ndarray | None, wanted: np.ndarray, latency: int) -> str:
    """The largest difference, relative to the loudest sample; of a host that takes the latency away, without it."""
    if y is None:
        return "not installed"
    worst = {}
    for early in (0, latency):
        late = wanted[:, early:]
        frames = min(y.shape[1], late.shape[1])
        worst[early] = float(np.abs(y[:, :frames] - late[:, :frames]).max() / np.abs(wanted).max())
    early = min(worst, key=lambda e: worst[e])
    how = f", {latency} frames compensated" if early else ""
    return ("the same bits" if worst[early] == 0.0 else f"{20 * np.log10(worst[early]):.0f} dB") + how


def main() -> None:
    x = 0.2 * np.random.default_rng(0).standard_normal((2, FRAMES)).astype(np.float32)
    print("| rack | lv2apply (LV2) |", " | ".join(f"{host} (VST3)" for host in HOSTS), "|")
    print("| --- |" + " --- |" * (1 + len(HOSTS)))
    for name, rack in racks().items():
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "lv2").mkdir()
            np.save(folder / "x.npy", x)
            rack.prepare(RATE, 2)
            wanted = rack.process(x)
            lv2, vst3 = (tr.export(rack, folder / place) for place in (f"lv2/{name}.lv2", f"{name}.vst3"))
            cells = [error_db(played_by_lv2apply(lv2, folder, x), wanted, lv2.latency_frames)]
            cells += [error_db(played(host, vst3.path, folder), wanted, vst3.latency_frames) for host in HOSTS]
            print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
