"""The plugin library as it is shipped: for any Linux with glibc 2.17 or later, with nothing but libc and libm, below 3 MB.

    python tools/plugin_library.py [OUT]

Built by clang from PyPI (`ziglang`), which brings the headers of that glibc. Says what was measured, and fails where the
library is larger or needs more.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from realtime_check import ROOT, generate, highway

GLIBC = (2, 17)
LARGEST = 3_000_000
SYSTEM = re.compile(r"^(libc|libm|libpthread|libdl|ld-linux[\w-]*)\.so")
# Not the adjoints, the live side and what renders many streams at once.
LEFT_OUT = {"render_many.cc", "stream_group.cc"}
FLAGS = [
    *("-std=c++20", "-O3", "-DNDEBUG", "-DTWINRACK_ONE_STREAM", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden"),
    *("-ffp-contract=off", "-fno-math-errno", "-ffunction-sections", "-fdata-sections", "-fno-sanitize=all", "-g0"),
]


def build(out: Path) -> None:
    """Compile and link the library."""
    target = ["-target", f"{platform.machine()}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"]
    compiler = [sys.executable, "-m", "ziglang", "c++", *target]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        include = [f"-I{p}" for p in (ROOT / "cpp", folder, ROOT)] + ["-isystem", str(highway(folder))]
        own = [p for part in ("engine", "export") for p in sorted((ROOT / "cpp" / part).glob("*.cc")) if p.name not in LEFT_OUT]
        sources = [*own, *sorted(folder.glob("effect_*.cc"))]
        objects = [folder / f"{p.stem}.o" for p in sources]

        def compile_one(job: tuple[Path, Path]) -> None:
            subprocess.run([*compiler, *FLAGS, *include, "-c", job[0], "-o", job[1]], check=True)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(compile_one, zip(sources, objects, strict=True)))
        exported = f"-Wl,--version-script={ROOT / 'cpp/export/exported.map'}"
        subprocess.run([*compiler, "-shared", *objects, "-o", out, exported, "-Wl,--gc-sections", "-s"], check=True)


def measure(library: Path) -> list[str]:
    """What is wrong with a library; prints its size and what it needs."""
    described = subprocess.run(["objdump", "-p", "-T", library], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"NEEDED\s+(\S+)", described)
    versions = sorted({tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_(\d+(?:\.\d+)+)", described)})
    newest, size = versions[-1], library.stat().st_size
    print(f"{library}: {size / 1e6:.2f} MB, glibc {'.'.join(map(str, newest))}, needs {', '.join(needed)}")
    wrong = [f"needs {n}" for n in needed if not SYSTEM.match(n)]
    wrong += [f"needs glibc {'.'.join(map(str, newest))}"] if newest > GLIBC else []
    return wrong + ([f"has {size} bytes, more than {LARGEST}"] if size > LARGEST else [])


if __name__ == "__main__":
    made = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "twinrack_plugin.so")
    made.parent.mkdir(parents=True, exist_ok=True)
    build(made)
    problems = measure(made)
    print(*problems, sep="\n", file=sys.stderr)
    sys.exit(1 if problems else 0)
