"""Builds the C++ workers of a comparison (worker/), anew only what has changed."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILT = ROOT / "build" / "benchmarks"
# As in CMakeLists.txt: the same optimisation, no contraction, every instruction set compiled and the best one chosen.
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off", "-fno-math-errno")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion")


class Skipped(Exception):  # noqa: N818 - it is no error
    """Why something is not measured, in one sentence."""


def compile_objects(sources: list[Path], flags: list[str], folder: Path) -> list[Path]:
    """One object a source, output anew when what it includes has changed; one compiler at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sources:
        name = f"{source.stem}_{hashlib.sha1(' '.join([str(source), *flags]).encode()).hexdigest()[:8]}"
        output, needs = folder / f"{name}.o", folder / f"{name}.d"
        if not output.exists() or not needs.exists() or newest(needs) > output.stat().st_mtime:
            # -MD and not -MMD: Highway includes a unit once more through a system header, and what that brings in counts as
            # the system's.
            print(f"compiling {source.name}", file=sys.stderr, flush=True)
            subprocess.run(["g++", *FLAGS, *WARNINGS, *flags, "-MD", "-MF", needs, "-c", source, "-o", output], check=True)
        objects.append(output)
    return objects


def newest(needs: Path) -> float:
    """When any of the files that a compiler's list names was last written; infinite when one is gone."""
    files = needs.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return max((Path(f).stat().st_mtime if Path(f).exists() else float("inf")) for f in files)


def link(name: str, objects: list[Path], libraries: list[str]) -> Path:
    program = BUILT / name
    subprocess.run(["g++", *objects, "-o", program, "-pthread", *libraries], check=True)
    return program


@functools.cache
def ours_program() -> Path:
    """The engine as CMakeLists.txt lists it, without training and live audio, and a worker around it."""
    sys.path.insert(0, str(ROOT / "tools"))
    from realtime_check import generate

    listed = re.search(r"add_library\(twinrack_engine STATIC(.*?)\)", (ROOT / "CMakeLists.txt").read_text(), re.DOTALL)
    assert listed is not None
    sources = [ROOT / s for s in listed[1].split() if s.endswith(".cc") and not s.startswith(("cpp/adjoint/", "cpp/live/"))]
    generated = BUILT / "generated"
    generate_where_new(generate, generated)
    includes = [f"-I{path}" for path in (ROOT / "cpp", generated, ROOT, HERE / "worker")]
    sources += [*sorted(generated.glob("effect_*.cc")), HERE / "worker" / "ours.cc"]
    return link("ours", compile_objects(sources, includes, BUILT / "objects"), ["-lhwy"])


def generate_where_new(generate: Callable[[Path], None], folder: Path) -> None:
    """Generates beside, and replaces only what differs, so that nothing is compiled in vain."""
    fresh = folder.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    generate(fresh)
    for old in folder.iterdir():
        if not (fresh / old.name).exists():
            old.unlink()
    for file in fresh.iterdir():
        at = folder / file.name
        if not at.exists() or at.read_bytes() != file.read_bytes():
            shutil.copy(file, at)


@functools.cache
def lv2_program() -> Path:
    pkg_config = None
    if shutil.which("pkg-config"):
        pkg_config = subprocess.run(["pkg-config", "--cflags", "--libs", "lilv-0", "lv2"], capture_output=True, text=True)
    if pkg_config is None or pkg_config.returncode != 0:
        raise Skipped("LV2 plugins are not measured: install liblilv-dev, lv2-dev and pkg-config (Debian)")
    flags = [w for w in pkg_config.stdout.split() if w.startswith("-I")]
    flags = [w.replace("-I", "-isystem") for w in flags] + [f"-I{ROOT / 'cpp'}", f"-I{HERE / 'worker'}"]
    libraries = [w for w in pkg_config.stdout.split() if w.startswith(("-l", "-L"))]
    return link("lv2", compile_objects([HERE / "worker" / "lv2.cc"], flags, BUILT / "objects"), libraries)


@functools.cache
def zita_program() -> Path:
    probe = ["g++", "-x", "c++", "-fsyntax-only", "-include", "zita-convolver.h", "-"]
    if subprocess.run(probe, input="", text=True, capture_output=True).returncode != 0:
        raise Skipped("zita-convolver is not measured: install libzita-convolver-dev (Debian)")
    objects = compile_objects([HERE / "worker" / "zita.cc"], [f"-I{HERE / 'worker'}"], BUILT / "objects")
    return link("zita", objects, ["-lzita-convolver", "-lfftw3f"])
