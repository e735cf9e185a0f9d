"""Other makers' plugins in a rack: live under load, killed at random moments, and offline beside lv2apply.

    python benchmarks/hosted_plugins.py live [SECONDS] [FRAMES]    # eight plugins, two busy Python threads, a real JACK server
    python benchmarks/hosted_plugins.py synchronous [SECONDS] [FRAMES] [PLUGINS]    # the audio thread waits for them
    python benchmarks/hosted_plugins.py kills [COUNT]              # one of four plugins is killed, stopped or crashes
    python benchmarks/hosted_plugins.py offline                    # seconds for two minutes of stereo, the best of three

They are MDA's (Debian: mda-lv2), and for `offline` also LSP's and Calf's where they are installed.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile as sf

import twinrack as tr
from twinrack.hosting import plugin_work
from twinrack.hosting.catalogue import plugins

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from jack_support import jack_server, may_be_real_time
from live import busy, noise

RATE = 48000
MDA = "http://drobilla.net/plugins/mda/"
EIGHT = ("Delay", "Dynamics", "Limiter", "Overdrive", "Ambience", "Image", "Bandisto", "Combo")
OFFLINE = (
    *(f"{MDA}{name}" for name in ("Dynamics", "Ambience")),
    "http://lsp-plug.in/plugins/lv2/compressor_stereo",
    "http://lsp-plug.in/plugins/lv2/para_equalizer_x16_stereo",
    "http://calf.sourceforge.net/plugins/Compressor",
    "http://calf.sourceforge.net/plugins/Reverb",
)


def report(stream: tr.LiveStream, before: dict[str, object]) -> str:
    after = stream.load
    took = np.array(after["counts"]) - np.array(before["counts"])
    share = np.cumsum(took) / max(took.sum(), 1)
    parts = [
        f"{name} below {5 * (int(np.searchsorted(share, part)) + 1)} %"
        for name, part in (("median", 0.5), ("99 %", 0.99), ("99.99 %", 0.9999), ("all", 1.0))
    ]
    return f"callbacks {int(took.sum())} of their deadline: {', '.join(parts)}"


def live(seconds: float = 60.0, frames: int = 64, count: int = 8, synchronous: bool = False) -> None:
    names = EIGHT[:count]
    rack = tr.Rack([tr.Plugin(f"{MDA}{name}", block_frames=frames, synchronous=synchronous) for name in names])
    end = threading.Event()
    with jack_server(RATE, frames), tr.live(rack, block_size=frames, play=(noise(), None)) as stream:
        threads = [threading.Thread(target=busy, args=(end,), daemon=True) for _ in range(0 if synchronous else 2)]
        for thread in threads:
            thread.start()
        time.sleep(2.0)
        effects = list(rack.addresses().values())
        late, before, xruns = sum(e.late for e in effects), stream.load, stream.xruns
        time.sleep(seconds)
        late, xruns = sum(e.late for e in effects) - late, stream.xruns - xruns
        text, latency = report(stream, before), rack.latency_frames
        end.set()
    blocks = int(seconds * RATE / frames) * len(effects)
    priority = "" if may_be_real_time() else "no "
    beside = "nothing beside" if synchronous else "two busy Python threads"
    print(f"{len(effects)} plugins, {frames} frames, {seconds:g} s, {priority}real-time priority, {beside}")
    print(f"latency {latency} frames; late blocks {late} of {blocks}; flagged by the server {xruns}; {text}")


def synchronous(seconds: float = 60.0, frames: int = 64, count: int = 1) -> None:
    live(seconds, frames, count, synchronous=True)


def kills(count: int = 200, frames: int = 64) -> None:
    logging.getLogger("twinrack.live").setLevel(logging.CRITICAL)
    plugin_work.MOST_DEATHS = 10**6
    rack = tr.Rack([tr.Plugin(f"{MDA}{name}", block_frames=frames) for name in EIGHT[:4]])
    ways = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "crashed": signal.SIGSEGV}
    dry: dict[str, list[float]] = {way: [] for way in ways}
    chance = random.Random(1)
    with jack_server(RATE, frames), tr.live(rack, block_size=frames, play=(noise(), None)) as stream:
        time.sleep(1.0)
        effects = list(rack.addresses().values())
        before, values = stream.load, rack.values()
        for _ in range(count):
            effect, way = chance.choice(effects), chance.choice(list(ways))
            restarts, late = effect.restarts, effect.late
            os.kill(effect.pids[-1], ways[way])
            end = time.monotonic() + 5.0
            while effect.restarts == restarts and time.monotonic() < end:
                time.sleep(0.002)
            time.sleep(0.1 + 0.2 * chance.random())
            dry[way].append((effect.late - late) * frames / RATE)
        text = report(stream, before)
        same = rack.values() == values and all(e.restarts for e in effects)
    for way, times in dry.items():
        print(f"{way} {len(times)} times: dry for {1e3 * np.median(times):.0f} ms (median), {1e3 * max(times):.0f} ms at most")
    print(f"{text}; values {'as before' if same else 'LOST'}")


def offline() -> None:
    known = {p.uri for p in plugins()}
    x = np.tile(noise(), (1, 12))
    with tempfile.TemporaryDirectory() as folder:
        dry, wet = Path(folder, "dry.wav"), Path(folder, "wet.wav")
        sf.write(dry, x.T, RATE, subtype="FLOAT")
        for uri in OFFLINE:
            if uri not in known:
                print(f"{uri}: not installed")
                continue
            rack = tr.Rack([tr.Plugin(uri)])
            ours, theirs = [], []
            for _ in range(3):
                began = time.perf_counter()
                rack(x, RATE)
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                if shutil.which("lv2apply"):
                    subprocess.run(["lv2apply", "-i", dry, "-o", wet, uri], check=True, capture_output=True)
                theirs.append(time.perf_counter() - began)
            ratio = min(theirs) / min(ours)
            print(f"{uri}: {min(ours):.2f} s, lv2apply {min(theirs):.2f} s: {100 * ratio:.0f} % of its speed", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("live", "synchronous", "kills", "offline"):
        sys.exit(__doc__)
    {"live": live, "synchronous": synchronous, "kills": kills, "offline": offline}[sys.argv[1]](*map(int, sys.argv[2:]))
