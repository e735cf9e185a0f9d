"""Builds and runs the storm (tests/cpp/storm.cc) under sanitizers and under the trap of memory and locks.

TWINRACK_STORM_BLOCKS=10000000 python tools/sanitize.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from realtime_check import ENGINE, LIVE, ROOT, generate

BLOCKS = int(os.environ.get("TWINRACK_STORM_BLOCKS", "20000"))
KINDS = {
    "address, undefined": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1"],
    "thread": ["-fsanitize=thread", "-O1", "-g1"],
    "trap": ["-DTWINRACK_TRAP", "-O2"],
}
LEAST = 4000  # blocks of a storm
SHARE = {"address, undefined": 0.02, "thread": 0.02, "trap": 1.0}  # sanitizers are slower: 2 ms a block, an hour for 2 million
# Hostile settings and signals for every effect; one thread, so the thread sanitizer has nothing to see there.
SIGNALS = {"address, undefined": BLOCKS // 50, "trap": BLOCKS // 10}  # for each effect


def build(kind: str, folder: Path) -> dict[str, Path]:
    """The engine once, and a program for each test."""
    here = folder / kind.replace(", ", "_")
    here.mkdir()
    tests = ("storm", "hostile") if kind in SIGNALS else ("storm",)
    sources = [*ENGINE, *LIVE, *sorted(folder.glob("effect_*.cc")), *(ROOT / f"tests/cpp/{test}.cc" for test in tests)]
    common = ["g++", "-std=c++20", "-march=native", "-ffp-contract=off", "-DHWY_COMPILE_ONLY_STATIC", *KINDS[kind]]
    includes = [f"-I{ROOT / 'cpp'}", f"-I{folder}", f"-I{ROOT}"]
    subprocess.run([*common, *includes, "-c", *sources], check=True, cwd=here)
    objects = [o for o in sorted(here.glob("*.o")) if o.stem not in tests]
    programs = {}
    for test in tests:
        programs[test] = here / test
        subprocess.run(
            [*common, f"{test}.o", *objects, "-o", str(programs[test]), "-pthread", "-lhwy", "-ldl"], check=True, cwd=here
        )
    return programs


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        with ThreadPoolExecutor(2) as pool:
            programs = dict(zip(KINDS, pool.map(lambda k: build(k, folder), KINDS), strict=True))
        for kind, tests in programs.items():
            for test, program in tests.items():
                count = max(int(BLOCKS * SHARE[kind]), LEAST) if test == "storm" else SIGNALS[kind]
                done = subprocess.run([program, str(count)])
                print(f"{kind}, {test}: {'clean' if done.returncode == 0 else 'FAILED'}", flush=True)
                if done.returncode != 0:
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
