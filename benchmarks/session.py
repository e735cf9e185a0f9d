"""A whole session beside the same made with pedalboard and with DawDreamer's graph.

32 stereo tracks, each with an equaliser of eight bands and a compressor, in four groups, two reverbs on sends (a feedback
network or what the peer has, and a convolution of 2 s), a limiter on the master; files in, a 24-bit WAV out. Each side is a
process of its own, in turn, and may use all cores: pedalboard's tracks run one after the other, as one writes it, and once
more in as many threads as there are cores (it lets go of Python's lock). DawDreamer has neither bells nor a convolution nor
a limiter, so it gets shelves and does less. Nobody writes a manifest. Prints seconds, times realtime, ratios and the largest
memory of each side.

    pip install pedalboard dawdreamer
    python benchmarks/session.py [--seconds 180] [--tracks 32] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE, GROUPS, IR_S = 48000, 4, 2.0
PEAKS = (110.0, 240.0, 520.0, 1100.0, 2400.0, 5200.0)


def gains(track: int) -> list[float]:
    return [float(g) for g in np.random.default_rng(track).uniform(-6, 6, len(PEAKS))]


def make_files(folder: Path, tracks: int, seconds: float) -> None:
    """Noise with a beat and a tone, different in each track."""
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    for i in range(tracks):
        rng = np.random.default_rng(i)
        beat = np.exp(-((t * (1.5 + 0.1 * i)) % 1.0) * 6.0)
        x = 0.1 * beat * (rng.standard_normal((2, n)) * 0.3 + np.sin(2 * np.pi * 110 * 2 ** (i / 12) * t))
        soundfile.write(folder / f"{i}.wav", x.T.astype(np.float32), RATE, subtype="PCM_24")
    decay = np.random.default_rng(99).standard_normal((2, int(IR_S * RATE))) * 10 ** (
        -3 * np.arange(int(IR_S * RATE)) / RATE / IR_S
    )
    soundfile.write(folder / "ir.wav", 0.05 * decay.T, RATE, subtype="FLOAT")


def twinrack(folder: Path, tracks: int, seconds: float) -> None:
    import twinrack as tr

    session = tr.Session("bench", RATE)
    for g in range(GROUPS):
        session.add_group(f"group {g}")
    session.add_return("fdn", rack=[tr.FDNReverb(mix=1.0)])
    response = tr.Response(soundfile.read(folder / "ir.wav")[0].T, RATE)
    session.add_return("room", rack=[tr.ConvolutionReverb(impulse_response=response, mix=1.0)])
    for i in range(tracks):
        bands = [tr.Band("low_cut", frequency_hz=40.0)]
        bands += [tr.Band("bell", frequency_hz=f, gain_db=g, q=1.0) for f, g in zip(PEAKS, gains(i), strict=True)]
        bands += [tr.Band("high_shelf", frequency_hz=8000.0, gain_db=2.0)]
        rack = [tr.ParametricEQ(bands=bands), tr.Compressor(threshold_db=-24, ratio=3, attack_ms=5, release_ms=100)]
        track = session.add_track(
            f"{i}",
            clips=[tr.Clip(folder / f"{i}.wav")],
            rack=rack,
            output=f"group {i % GROUPS}",
            gain_db=-6,
            pan=(i % 9 - 4) / 4,
        )
        track.send("fdn", -20)
        track.send("room", -20)
    session.master.rack = tr.Rack([tr.Limiter(ceiling_db=-1.0)])
    session.render_to(folder / "twinrack.wav", tail=None, manifest=False)


def pedalboard(folder: Path, tracks: int, seconds: float, threads: int = 1) -> None:
    import pedalboard as pb

    n = int(seconds * RATE)
    groups = np.zeros((GROUPS, 2, n), np.float32)
    sends = np.zeros((2, n), np.float32)

    def one(i: int) -> np.ndarray[Any, Any]:
        peaks = [pb.PeakFilter(f, g, 1.0) for f, g in zip(PEAKS, gains(i), strict=True)]
        board = pb.Pedalboard([
            pb.HighpassFilter(40.0), *peaks, pb.HighShelfFilter(8000.0, 2.0),
            pb.Compressor(-24, 3, 5, 100), pb.Gain(-6),
        ])  # fmt: skip
        with pb.io.AudioFile(str(folder / f"{i}.wav")) as file:
            y = board(file.read(file.frames), RATE)
        pan = (i % 9 - 4) / 4
        return y * np.array([[min(1.0, 1.0 - pan)], [min(1.0, 1.0 + pan)]], np.float32)

    with ThreadPoolExecutor(threads) as pool:
        for i, y in enumerate(pool.map(one, range(tracks))):
            groups[i % GROUPS] += y
            sends += np.float32(0.1) * y
        rooms = [
            pb.Pedalboard([pb.Reverb(wet_level=1.0, dry_level=0.0)]),
            pb.Pedalboard([pb.Convolution(str(folder / "ir.wav"), 1.0)]),
        ]
        wet = list(pool.map(lambda board: board(sends, RATE), rooms))
    mix = groups.sum(0) + wet[0] + wet[1]
    mix = pb.Pedalboard([pb.Limiter(-1.0)])(mix, RATE)
    with pb.io.AudioFile(str(folder / "pedalboard.wav"), "w", RATE, 2, bit_depth=24) as out:
        out.write(mix)


def pedalboard_threads(folder: Path, tracks: int, seconds: float) -> None:
    pedalboard(folder, tracks, seconds, os.cpu_count() or 1)


def dawdreamer(folder: Path, tracks: int, seconds: float) -> None:
    import dawdreamer as daw

    engine = daw.RenderEngine(RATE, 512)
    graph: list[Any] = []
    names = []
    for i in range(tracks):
        x = soundfile.read(folder / f"{i}.wav", dtype="float32", always_2d=True)[0].T
        chain = [engine.make_playback_processor(f"play{i}", np.ascontiguousarray(x))]
        chain.append(engine.make_filter_processor(f"cut{i}", "high", 40.0, 0.707, 1.0))
        for b, (f, g) in enumerate(zip(PEAKS, gains(i), strict=True)):
            chain.append(engine.make_filter_processor(f"bell{i}_{b}", "low_shelf", f, 1.0, 10 ** (g / 20)))
        chain.append(engine.make_filter_processor(f"shelf{i}", "high_shelf", 8000.0, 0.707, 1.26))
        chain.append(engine.make_compressor_processor(f"comp{i}", -24.0, 3.0, 5.0, 100.0))
        chain.append(engine.make_panner_processor(f"pan{i}", "balanced", (i % 9 - 4) / 4))
        before: list[str] = []
        for processor in chain:
            graph.append((processor, before))
            before = [processor.get_name()]
        names.append(before[0])
    for g in range(GROUPS):
        members = names[g::GROUPS]
        graph.append((engine.make_add_processor(f"group{g}", [0.5] * len(members)), members))
    graph.append((engine.make_add_processor("send", [0.1] * tracks), names))
    graph.append((engine.make_reverb_processor("room", 0.6, 0.5, 1.0, 0.0, 1.0), ["send"]))
    ends = [*(f"group{g}" for g in range(GROUPS)), "room"]
    graph.append((engine.make_add_processor("mix", [1.0] * len(ends)), ends))
    engine.load_graph(graph)
    engine.render(seconds)
    soundfile.write(folder / "dawdreamer.wav", engine.get_audio().T, RATE, subtype="PCM_24")


SIDES = {
    "twinrack": twinrack,
    "pedalboard": pedalboard,
    "pedalboard, tracks in threads": pedalboard_threads,
    "dawdreamer": dawdreamer,
}


def run_one(side: str, folder: Path, tracks: int, seconds: float) -> None:
    """In a process of its own: imports first, then the clock."""
    __import__(side.partition(",")[0])
    began = time.perf_counter()
    SIDES[side](folder, tracks, seconds)
    took = time.perf_counter() - began
    with open("/proc/self/status", encoding="ascii") as status:  # the process's own peak, without what it was started from
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    level = float(np.sqrt(np.mean(soundfile.read(folder / f"{side.partition(',')[0]}.wav")[0] ** 2)))
    print(json.dumps([took, peak, level]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--tracks", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one[0], Path(arguments.one[1]), arguments.tracks, arguments.seconds)
        return
    sides = {}
    for side in SIDES:
        try:
            sides[side] = metadata.version(side.partition(",")[0])
        except metadata.PackageNotFoundError:
            print(f"{side} is not installed; left out")
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores; {', '.join(f'{s} {v}' for s, v in sides.items())}")
    print(f"{arguments.tracks} stereo tracks of {arguments.seconds:g} s\n", flush=True)
    results: dict[str, list[tuple[float, float, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, arguments.tracks, arguments.seconds)
        for i in range(arguments.rounds):
            for side in list(sides) if i % 2 == 0 else list(sides)[::-1]:
                line = [sys.executable, __file__, "--one", side, name]
                line += ["--seconds", f"{arguments.seconds}", "--tracks", f"{arguments.tracks}"]
                done = subprocess.run(line, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{side} failed: {done.stderr.strip().splitlines()[-1]}")
                    continue
                results[side].append(tuple(json.loads(done.stdout.strip().splitlines()[-1])))
    print("| side | seconds | × realtime | memory, MB | level, dBFS | ours is faster by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    ours = [took for took, _, _ in results["twinrack"]]
    for side, rows in results.items():
        if not rows:
            continue
        took = statistics.median(r[0] for r in rows)
        ratio = statistics.median(r[0] / o for r, o in zip(rows, ours, strict=False))
        level = 20 * np.log10(rows[0][2] + 1e-12)
        peak, speed = max(r[1] for r in rows), arguments.seconds / took
        print(f"| {side} | {took:.2f} | {speed:.1f} | {peak:.0f} | {level:.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
