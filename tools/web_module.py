"""The engine as a WebAssembly module, for pages: SIMD128, no threads, no server, nothing imported but WASI's stubs.

    python tools/web_module.py OUT.wasm

Built by clang from PyPI (`ziglang`). Objects are kept beside OUT; what has not changed is not compiled again.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from plugin_library import LEFT_OUT
from realtime_check import ROOT, generate, highway

COMPILER = [sys.executable, "-m", "ziglang", "c++", "-target", "wasm32-wasi", "-msimd128"]
FLAGS = [
    *("-std=c++20", "-O3", "-DNDEBUG", "-DTWINRACK_ONE_STREAM", "-fvisibility=hidden", "-fvisibility-inlines-hidden"),
    *("-ffp-contract=off", "-fno-math-errno", "-ffunction-sections", "-fdata-sections", "-g0"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
]
LINK = ["-O3", "-mexec-model=reactor", "-Wl,--strip-all", "-Wl,--gc-sections"]
# Of other uses of the engine: many streams at once, and sums of sounds.
UNUSED = LEFT_OUT | {"mix.cc"}


def changed(made: Path) -> bool:
    """Whether something that a file was made from is newer than it; the compiler has written down of which."""
    listed = made.with_suffix(".d")
    if not made.exists() or not listed.exists():
        return True
    names = listed.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")[2].split()
    then = made.stat().st_mtime_ns
    return any(not os.path.exists(name) or os.stat(name).st_mtime_ns > then for name in names)


def refreshed(folder: Path) -> None:
    """The tables and units of the cards; files that are as they were keep their times."""
    with tempfile.TemporaryDirectory() as name:
        new = Path(name)
        generate(new)
        for path in new.iterdir():
            old = folder / path.name
            if not old.exists() or old.read_bytes() != path.read_bytes():
                shutil.copyfile(path, old)


def build(out: Path) -> None:
    folder = out.parent / "objects"
    folder.mkdir(parents=True, exist_ok=True)
    refreshed(folder)
    if not (folder / "highway").exists():
        highway(folder)
    include = [f"-I{p}" for p in (ROOT / "cpp", folder, ROOT)] + ["-isystem", str(folder / "highway")]
    own = [p for part in ("engine", "web") for p in sorted((ROOT / "cpp" / part).glob("*.cc")) if p.name not in UNUSED]
    sources = [*own, ROOT / "cpp/export/highway.cc", *sorted(folder.glob("effect_*.cc"))]
    objects = [folder / f"{p.stem}.o" for p in sources]

    def compile_one(job: tuple[Path, Path]) -> None:
        source, made = job
        if not changed(made):
            return
        made.unlink(missing_ok=True)
        command = [*COMPILER, *FLAGS, *include, "-MMD", "-MF", made.with_suffix(".d"), "-c", source, "-o", made]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, zip(sources, objects, strict=True)))
    beside = out.with_name(f".{out.name}")
    subprocess.run([*COMPILER, *LINK, *objects, "-o", beside], check=True)
    beside.replace(out)


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1]).resolve()
    build(out)
    module = out.read_bytes()
    print(f"{out}: {len(module) / 1e3:.0f} KB, {len(gzip.compress(module, 9)) / 1e3:.0f} KB compressed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
