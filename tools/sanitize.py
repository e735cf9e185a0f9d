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

from realtime_check import ENGINE, ROOT, generate

BLOCKS = int(os.environ.get("TWINRACK_STORM_BLOCKS", "20000"))
KINDS = {
    "address, undefined": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g1"],
    "thread": ["-fsanitize=thread", "-O1", "-g1"],
    "trap": ["-DTWINRACK_TRAP", "-O2"],
}
SHARE = {"address, undefined": 0.2, "thread": 0.2, "trap": 1.0}  # sanitizers are that much slower


def build(kind: str, folder: Path) -> Path:
    program = folder / f"storm_{kind.replace(', ', '_')}"
    sources = [*ENGINE, *sorted(folder.glob("effect_*.cc")), ROOT / "tests/cpp/storm.cc"]
    common = ["g++", "-std=c++20", "-march=native", "-ffp-contract=off", "-DHWY_COMPILE_ONLY_STATIC"]
    includes = [f"-I{ROOT / 'cpp'}", f"-I{folder}", f"-I{ROOT}"]
    subprocess.run([*common, *KINDS[kind], *includes, *sources, "-o", str(program), "-pthread", "-lhwy", "-ldl"], check=True)
    return program


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        with ThreadPoolExecutor(2) as pool:
            programs = dict(zip(KINDS, pool.map(lambda k: build(k, folder), KINDS), strict=True))
        for kind, program in programs.items():
            done = subprocess.run([program, str(int(BLOCKS * SHARE[kind]))])
            print(f"{kind}: {'clean' if done.returncode == 0 else 'FAILED'}", flush=True)
            if done.returncode != 0:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
