"""Live under load: a strip of nine effects and a reverb on a real JACK server, while everything else on the machine is busy.

Two Python threads at full load, a thousand parameter changes a second, a new rack every second, levels read 60 times a
second, and a page open in a real browser. Prints how long the callbacks took beside their deadline, how many took longer,
and how many the server flagged; then the same with an empty rack, which says what of it is the machine's. A callback's time
is wall-clock time, in which a virtual machine may stand still; so at last the engine's own worst block: the same blocks with
the same changes several times, the quickest time of each, and the slowest of these.

    python benchmarks/live.py [seconds] [frames]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import twinrack as tr
from twinrack import _engine
from twinrack.stage.desk import Desk

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from jack_support import jack_server, may_be_real_time

RATE = 48000
MOVES = (
    ("first.threshold_db", -40, 0),
    ("second.ratio", 1.5, 8),
    ("parametric_eq.band3.gain_db", -9, 9),
    ("fdn_reverb.decay_s", 0.5, 4),
)


def strip() -> tr.Rack:
    """Nine effects as on a channel, and a reverb."""
    bands = [tr.Band("bell", frequency_hz=60.0 * 2**n, gain_db=(-1) ** n * 3.0) for n in range(8)]
    return tr.Rack(
        [
            tr.Gain(gain_db=3),
            tr.Gate(threshold_db=-55),
            tr.ParametricEQ(bands=bands),
            tr.Compressor(threshold_db=-24, ratio=4, name="first"),
            tr.Saturation(drive_db=6, oversampling="4"),
            tr.ParametricEQ(bands=bands[:4], name="colour"),
            tr.Compressor(threshold_db=-18, ratio=2, detector="rms", name="second"),
            tr.Limiter(),
            tr.Gain(gain_db=-2, name="out"),
            tr.FDNReverb(mix=0.2),
        ],
        name="strip",
    )


def busy(end: threading.Event) -> None:
    """Python at full load, holding the interpreter as it does."""
    total = 0
    while not end.is_set():
        for n in range(20000):
            total += n * n


def storm(stream: tr.LiveStream, end: threading.Event, counts: dict[str, int]) -> None:
    rng = np.random.default_rng(1)
    began, n = time.monotonic(), 0
    while not end.is_set():
        due = int((time.monotonic() - began) * 1000)
        rack = stream.rack
        while n < due and not end.is_set():
            address, low, high = MOVES[n % len(MOVES)] if "first" in rack.addresses() else ("gain.gain_db", -9, 9)
            try:
                rack.set(address, low + (high - low) * rng.random())
            except (ValueError, RuntimeError):
                break
            n += 1
        counts["changes"] = n
        time.sleep(0.001)


def swaps(stream: tr.LiveStream, end: threading.Event, counts: dict[str, int], rack: Callable[[], tr.Rack]) -> None:
    while not end.wait(1.0):
        stream.rack = rack()
        counts["racks"] += 1


def meters(stream: tr.LiveStream, end: threading.Event, counts: dict[str, int]) -> None:
    while not end.wait(1 / 60):
        stream.levels("benchmark")
        counts["meters"] += 1


def page(url: str, folder: Path) -> subprocess.Popen[bytes] | None:
    """A browser that shows the console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--remote-debugging-port=0"]
    return subprocess.Popen([browser, *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def own_worst(frames: int, seconds: float = 10.0, runs: int = 7) -> tuple[float, float]:
    """Share of the deadline of the slowest and the middle block, each the quickest of several identical runs."""
    x = noise()
    quickest = None
    for _ in range(runs):
        rng = np.random.default_rng(3)
        rack = strip()
        rack.prepare(RATE, 2)
        mixer = _engine.Mixer([(rack.running.engine, [0, 1], [], [0, 1])], 2, 2, RATE)
        mixer.set_control(_engine.MixerControl.fade, 0, 1.0)
        took = []
        for n in range(int(seconds * RATE / frames)):
            rack.set("first.threshold_db", float(rng.uniform(-40, 0)))
            rack.set("parametric_eq.band3.gain_db", float(rng.uniform(-9, 9)))
            if n % (RATE // frames) == RATE // frames - 1:
                other = strip()
                rack.running.hand_over(other.running)
                rack = other
            block = np.ascontiguousarray(x[:, n * frames : (n + 1) * frames])
            began = time.perf_counter_ns()
            mixer.process(block)
            took.append(time.perf_counter_ns() - began)
        quickest = np.array(took) if quickest is None else np.minimum(quickest, took)
    assert quickest is not None
    deadline = 1e9 * frames / RATE
    return float(quickest.max() / deadline), float(np.median(quickest) / deadline)


def noise() -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal((2, 10 * RATE))).astype(np.float32)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    frames = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    run(strip, seconds, frames)
    run(lambda: tr.Rack([tr.Gain()]), seconds, frames)
    worst, middle = own_worst(frames)
    print(f"the engine's own worst block: {100 * worst:.1f} % of the deadline, the middle one {100 * middle:.1f} %")


def run(rack: Callable[[], tr.Rack], seconds: float, frames: int) -> None:
    x = noise()
    end, counts = threading.Event(), {"changes": 0, "racks": 0, "meters": 0}
    with jack_server(RATE, frames), tempfile.TemporaryDirectory() as folder:
        from twinrack.stage.console.server import Console

        with tr.live(rack(), block_size=frames, play=(x, None)) as stream:
            desk = Desk(stream)
            console = Console(desk, port=0)
            looking = page(console.url, Path(folder))
            time.sleep(5.0 if looking else 1.0)
            threads = [
                *(threading.Thread(target=busy, args=(end,), daemon=True) for _ in range(2)),
                threading.Thread(target=storm, args=(stream, end, counts), daemon=True),
                threading.Thread(target=swaps, args=(stream, end, counts, rack), daemon=True),
                threading.Thread(target=meters, args=(stream, end, counts), daemon=True),
            ]
            before, flagged, late = stream.load, stream.xruns, stream.late_callbacks
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            after, flagged, late = stream.load, stream.xruns - flagged, stream.late_callbacks - late
            end.set()
            for thread in threads:
                thread.join(5.0)
            pages = len(console.site.pages)
            console.close()
            if looking is not None:
                looking.kill()
    calls = after["callbacks"] - before["callbacks"]
    took = np.array(after["counts"]) - np.array(before["counts"])
    share = np.cumsum(took) / max(calls, 1)
    effects, priority = len(rack().addresses()), "" if may_be_real_time() else "no "
    print(f"{effects} effects, {seconds:g} s, {frames} frames, {priority}real-time priority; {pages} page(s) open")
    rates = [counts[name] / seconds for name in ("changes", "racks", "meters")]
    print("{:.0f} changes, {:.1f} new racks and {:.0f} readings of levels a second".format(*rates))
    for name, part in (("median", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.9999)):
        print(f"  {name:<8} below {5 * (int(np.searchsorted(share, part)) + 1):4d} % of the deadline")
    print(f"  longest  {100 * after['worst']:8.1f} % of the deadline (since the start)")
    rate = 1e4 * flagged / max(calls, 1)
    print(
        f"callbacks {calls}, longer than their block {late}, flagged by the server {flagged} ({rate:.2f} in 10^4)", flush=True
    )


if __name__ == "__main__":
    main()
