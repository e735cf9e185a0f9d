"""The engine, the effects and the sweeps compile for Windows and macOS, to the letter of the standard, without a warning.

Clang and the headers of both systems come from PyPI (`ziglang`). On the way to macOS the real-time check
(realtime_check.py) sees the NEON kernels too.

    python tools/portable_check.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from realtime_check import ENGINE, ROOT, generate, highway

SYSTEMS = {
    "Windows": ["-target", "x86_64-windows-gnu", "-mcpu=x86_64_v3"],
    "macOS": ["-target", "aarch64-macos", "-Wfunction-effects"],
}
FLAGS = ["-std=c++20", "-pedantic-errors", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
FLAGS += ["-O0", "-DNDEBUG", "-DHWY_COMPILE_ONLY_STATIC"]


def check(system: str, source: Path, folder: Path) -> str:
    """What the compiler says about one file; empty when nothing."""
    paths = [f"-I{ROOT / 'cpp'}", f"-I{folder}", f"-I{ROOT}", "-isystem", str(folder / "highway")]
    out = folder / f"{source.stem}_{system}.o"
    command = [sys.executable, "-m", "ziglang", "c++", *SYSTEMS[system], *FLAGS, *paths, "-c", str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"{source.name} for {system}:\n{done.stderr}"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        highway(folder)
        sources = [*folder.glob("*.cc"), *ENGINE, *(ROOT / "cpp/adjoint").glob("*.cc")]
        with ThreadPoolExecutor(2) as pool:
            complaints = list(pool.map(lambda job: check(*job, folder), [(s, f) for s in SYSTEMS for f in sources]))
    failed = [words for words in complaints if words]
    print("\n".join(failed), file=sys.stderr)
    print(f"portable: {len(complaints) - len(failed)} of {len(complaints)} files clean for {' and '.join(SYSTEMS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
