"""The compiler's proof that nothing the audio thread calls allocates, locks, waits, throws or calls the system.

Every function that the callback reaches carries TR_RT, which is [[clang::nonblocking]] where the compiler knows it; this
compiles the engine, all effects and the callback with clang's -Wfunction-effects as an error. Clang comes from PyPI
(`ziglang`). Highway is compiled for one static target, so that the check sees into the kernels.

    python tools/realtime_check.py [extra.cc ...]
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = tuple(sorted(p for folder in ("rt", "dsp", "engine") for p in (ROOT / "cpp" / folder).glob("*.cc")))
LIVE = tuple(sorted(p for folder in ("live", "export") for p in (ROOT / "cpp" / folder).glob("*.cc")))
PROCESSORS = {"x86_64": ["-mcpu=x86_64_v3"], "AMD64": ["-mcpu=x86_64_v3"]}


def flags(generated: Path) -> list[str]:
    return [
        *(
            "-std=c++20",
            "-O0",
            "-DNDEBUG",
            "-DHWY_COMPILE_ONLY_STATIC",
            "-Wfunction-effects",
            "-Werror=function-effects",
        ),
        *PROCESSORS.get(platform.machine(), []),
        *(f"-I{path}" for path in (ROOT / "cpp", generated, ROOT)),
        *("-idirafter", "/usr/include", "-idirafter", "/usr/local/include"),
    ]


def highway(folder: Path) -> Path:
    """A folder with the headers of Highway alone, for other systems: those beside them are this system's."""
    headers = next(p for p in map(Path, ("/usr/include/hwy", "/usr/local/include/hwy")) if p.exists())
    (folder / "highway").mkdir()
    (folder / "highway" / "hwy").symlink_to(headers)
    return folder / "highway"


def generate(folder: Path) -> None:
    """The tables and translation units that the build makes from the cards."""
    subprocess.run([sys.executable, ROOT / "python/twinrack/build/codegen.py", ROOT / "plugins", folder], check=True)


def check(source: Path, generated: Path, out: Path) -> tuple[Path, str]:
    """What the compiler says about one file; empty when nothing."""
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "c++",
        "-c",
        *flags(generated),
        str(source),
        "-o",
        str(out / f"{source.stem}.o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return source, "" if done.returncode == 0 else done.stderr


def main(extra: list[Path]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder)
        sources = [*ENGINE, *LIVE, *sorted(folder.glob("effect_*.cc")), *extra]
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda s: check(s, folder, folder), sources))
    failed = [(source, words) for source, words in results if words]
    for source, words in failed:
        print(f"{source.name}:\n{words}", file=sys.stderr)
    print(f"real-time check: {len(results) - len(failed)} of {len(results)} files proved")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
