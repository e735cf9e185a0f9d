"""Same sound on every instruction set that the extension is compiled for, on NEON under an emulator, and from Clang.

`test_parity` holds the engine to the twins on this processor's best instruction set; here the others are held to that one,
within the same bounds. The sweeps of training likewise, in both precisions. Prints a table of the worst errors.

Filters in series can take away nearly everything, and what is left is then rounding: where single precision is far from
double, so may the instruction sets be from each other (`beyond`).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import records
import simd
import twinrack as tr
from recursion_support import NAMES, asked_by
from support import CARD_IDS, error, error_db, music, random_curves, random_values
from twinrack import _engine
from twinrack.twins import apply, fast

ROOT = Path(__file__).resolve().parents[2]
RATES = (48000, 44100, 8000, 96000, 192000, 22050)
CHANNELS = (1, 2, 3, 2, 16, 6)
BLOCKS = np.array([1, 17, 64, 333, 512, 700], np.int32)
WIDER = 12.0  # dB: without fused multiply-add there are more roundings
SINGLE_TO_DOUBLE = 20 * np.log10(2.0**-29)  # what a rounding in double is to one in single precision, in dB
CROSS = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64"
DOUBLE_ONLY = {"denoiser.noise", "leveller.ride"}  # twins ask for it in double precision, whatever the sound has


def effect_case(card_id: str, number: int, how: str, seconds: float) -> records.Case:
    """Random settings of a card and a sound; "automation": with a curve for whatever may move."""
    card, moving = tr.CARDS[card_id], how == "automation"
    rng = np.random.default_rng([number, len(how), 41])
    rate = RATES[number % 6]
    channels = {"mono": 1, "stereo": 2}.get(card.channels, CHANNELS[number % 6])
    frames = int(seconds * rate)
    values = {a: p.default for a, p in card.addresses.items()}
    values |= random_values(card, rng, "expected" if moving else how)
    case: records.Case = {
        "effect": card_id,
        "format": np.array([rate, channels], np.float64),
        "values": np.array([p.to_engine(values[a]) for a, p in card.addresses.items()], np.float32),
        "x": music(channels, frames, rate, number),
        "blocks": np.roll(BLOCKS, number),
    }
    if card.sidechain and number % 2:
        case["key"] = music(1 + number % 3, frames, rate, number + 100)
    if moving and (curves := random_curves(card, rng, -(-frames // 32))):
        case["automated"] = np.array([list(card.addresses).index(a) for a in curves], np.int32)
        case["curves"] = np.stack(list(curves.values()))
    return case


def sweep_cases(card_id: str, number: int) -> list[records.Case]:
    """What the twin of a card asks of the recursions under random settings, and a random gradient from behind."""
    rng = np.random.default_rng([number, 43])
    cases: list[records.Case] = []
    for call in asked_by(card_id, number, rng=rng):
        case: records.Case = {f"tensor{i}": t.numpy() for i, t in enumerate(call.tensors)}
        case |= {"sweep": call.name, "options": np.array(call.options, np.int32)}
        case |= {"taps": np.array(call.taps, np.float64)} if call.taps else {}
        case["y_grad"] = rng.standard_normal(call.tensors[0].shape).astype(case["tensor0"].dtype)
        cases.append(case)
    return cases


def cases_of(count: int, seconds: float) -> list[records.Case]:
    kinds = ("expected", "random", "extreme", "automation")
    cases = [effect_case(c, n, how, seconds) for c in CARD_IDS for how in kinds for n in range(count)]
    for card in CARD_IDS:
        for number in range(12):
            cases += sweep_cases(card, number)
    return cases


class Runs:
    """The same cases on this processor's best instruction set and on others."""

    def __init__(self, folder: Path, cases: list[records.Case]) -> None:
        self.folder, self.cases = folder, cases
        records.write(folder / "cases", cases)
        self.best = simd.run(cases)
        self.others: dict[str, list[records.Case]] = {}

    def take(self, name: str, results: Path) -> None:
        self.others[name] = records.read(results)
        assert len(self.others[name]) == len(self.cases)

    def effects(self, card: str):
        """(instruction set, case, best, other) for every case of a card."""
        for name, results in self.others.items():
            for case, best, other in zip(self.cases, self.best, results, strict=True):
                if case.get("effect") == card:
                    yield name, case, best, other

    def sweeps(self, sweep: str):
        for name, results in self.others.items():
            for case, best, other in zip(self.cases, self.best, results, strict=True):
                if case.get("sweep") == sweep:
                    yield name, case, best, other


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as m:
        yield m


@pytest.fixture(scope="module")
def many():
    return cases_of(6, 0.3)


@pytest.fixture(scope="module")
def native(tmp_path_factory, many):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{_engine.simd_target()} is the only instruction set that is compiled here")
    lower = {name: bit for name, bit in simd.compiled().items() if name != _engine.simd_target()}
    assert lower, "the extension is compiled for one instruction set alone; for x86-64 it should be for several"
    runs = Runs(tmp_path_factory.mktemp("native"), many)

    def run(name: str) -> None:
        assert simd.worker(lower[name], runs.folder / "cases", runs.folder / name) == name

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, lower))
    for name in lower:
        runs.take(name, runs.folder / name)
    return runs


@pytest.fixture(scope="module")
def arm(tmp_path_factory, patch):
    """The engine and the sweeps built by GCC for 64-bit Arm, and run under an emulator."""
    for program, package in ((CROSS, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing (Debian, Ubuntu: {package}), so NEON is not tested here")
    folder = tmp_path_factory.mktemp("arm")
    patch.syspath_prepend(str(ROOT / "tools"))
    from realtime_check import ENGINE, generate, highway

    generate(folder)
    flags = ["-std=c++20", "-O2", "-DNDEBUG", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Wconversion"]
    paths = [f"-I{ROOT / 'cpp'}", f"-I{folder}", f"-I{ROOT}", "-isystem", str(highway(folder))]
    sources = [*folder.glob("*.cc"), *ENGINE, *(ROOT / "cpp/adjoint").glob("*.cc"), ROOT / "tests/cpp/targets.cc"]

    def build(source: Path) -> Path:
        built = folder / f"{source.stem}.o"
        subprocess.run([CROSS, *flags, "-Werror", *paths, "-c", source, "-o", built], check=True)
        return built

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = list(pool.map(build, sources))
    program = folder / "targets"
    subprocess.run([CROSS, "-static", *built, "-o", program, "-pthread"], check=True)
    runs = Runs(folder, cases_of(2, 0.1))
    done = subprocess.run([EMULATOR, program, folder / "cases", folder / "NEON"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NEON, "), done.stdout
    runs.take("NEON", folder / "NEON")
    for case, other in zip(runs.cases, runs.others["NEON"], strict=True):
        for name in [n for n in other if n.startswith("grad") and n != "grad0"]:  # for every stream, as C++ gives them
            shape = case[f"tensor{name[4:]}"].shape
            rows = torch.tensor(other[name]).reshape(-1, *shape[1:]).numpy()
            other[name] = fast.to_rows(torch.from_numpy(rows), shape[0], case["tensor0"].shape[0]).numpy()
    return runs


def exact(case: records.Case) -> np.ndarray:
    """What the twin makes of a case of an effect, in double precision."""
    card, ticks = tr.CARDS[case["effect"]], -(-case["x"].shape[1] // 32)
    given = {}
    for (address, p), value in zip(card.addresses.items(), case["values"], strict=True):
        if p.kind == "choice":
            given[address] = p.options[int(value)]
        else:
            given[address] = bool(value) if p.kind == "switch" else float(np.clip(value, p.min, p.max))
    for index, curve in zip(case.get("automated", ()), case.get("curves", ()), strict=True):
        given[list(card.addresses)[index]] = torch.tensor(curve[:ticks], dtype=torch.float64)[None]
    key = torch.tensor(case["key"], dtype=torch.float64)[None] if "key" in case else None
    x = torch.tensor(case["x"], dtype=torch.float64)[None]
    with torch.no_grad():
        return apply(case["effect"], x, case["format"][0], given, key=key, path="fast")[0].numpy()


def beyond(found_db: float, lost: float) -> float:
    """An error less what rounding explains: nothing, unless single precision is far from double."""
    return found_db - max(0.0, lost + WIDER + 100.0)


def lost_db(case: records.Case) -> dict[str, float]:
    """How far single precision is from double, for each result of a sweep."""
    results = []
    for dtype in (np.float32, np.float64):
        floats = {n: a.astype(dtype) for n, a in case.items() if n.startswith(("tensor", "y_grad"))}
        results.append(simd.run_sweep(case | floats))
    return {name: error_db(results[0][name], results[1][name]) for name in results[0]}


@pytest.fixture(scope="module")
def clang(tmp_path_factory, many):
    """All that CMake builds, built by Clang without a warning and to the letter of the standard."""
    if shutil.which("clang++") is None:
        pytest.skip("clang++ is missing (Debian, Ubuntu: clang), so its build is not tested here")
    folder = ROOT / "build" / "clang"
    pybind11 = subprocess.run([sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True, check=True)
    options = {"CMAKE_CXX_COMPILER": "clang++", "CMAKE_CXX_FLAGS": "-pedantic-errors", "TWINRACK_WERROR": "ON"}
    options |= {"pybind11_DIR": pybind11.stdout.strip(), "Python_EXECUTABLE": sys.executable}
    configure = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, *(f"-D{k}={v}" for k, v in options.items())]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in (configure, ["cmake", "--build", folder, "--parallel", str(os.cpu_count())]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    (extension,) = folder.glob("_engine.*")
    runs = Runs(tmp_path_factory.mktemp("clang"), many)
    best = _engine.simd_target()
    assert simd.worker(simd.compiled()[best], runs.folder / "cases", runs.folder / "clang", extension) == best
    runs.take("Clang", runs.folder / "clang")
    return runs


PLACES = ("native", "arm", "clang")
_table: dict[str, dict[str, list[float]]] = defaultdict(dict)


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    names = sorted({name for row in _table.values() for name in row})
    print("\nbeside this build on its best instruction set, worst (median) error in dB (-300: bit for bit)")
    print(f"{'':<30}" + "".join(f"{name:>18}" for name in names))
    for what, row in _table.items():
        cells = (f"{max(row[n]):.1f} ({np.median(row[n]):.1f})" if n in row else "" for n in names)
        print(f"{what:<30}" + "".join(f"{cell:>18}" for cell in cells))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("card", CARD_IDS)
def test_every_instruction_set_makes_the_same_sound(card, place, request):
    errors = defaultdict(list)
    for name, case, best, other in request.getfixturevalue(place).effects(card):
        found = error(other["whole"], best["whole"], case["x"])
        if found > -100:
            found = beyond(found, error(best["whole"], exact(case), case["x"]))
        errors[name].append(found)
    for name, found in errors.items():
        _table[card][name] = found
        assert np.median(found) <= -120, f"{name}: typical error {np.median(found):.1f} dB"
        assert max(found) <= -100, f"{name}: worst error {max(found):.1f} dB in case {int(np.argmax(found))}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("card", CARD_IDS)
def test_blocks_do_not_matter_on_any_instruction_set(card, place, request):
    for name, _, _, other in request.getfixturevalue(place).effects(card):
        assert np.array_equal(other["whole"], other["cut"]), f"{name}: the output depends on the block size"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("card", CARD_IDS)
def test_side_by_side_as_alone_on_any_instruction_set(card, place, request):
    for name, _, _, other in request.getfixturevalue(place).effects(card):
        if "together" in other:
            assert other["together"].tobytes() == other["alone"].tobytes(), f"{name}: lanes change the sound"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sweep", [*NAMES, "fir"])
def test_every_instruction_set_has_the_same_gradients(sweep, place, request):
    seen = set()
    for name, case, best, other in request.getfixturevalue(place).sweeps(sweep):
        assert other.keys() == best.keys()
        dtype = case["y_grad"].dtype.name
        seen.add(dtype)
        limit = {"float32": -100.0, "float64": -100.0 + SINGLE_TO_DOUBLE}[dtype]
        found = {key: error_db(other[key], best[key]) for key in best}
        if max(found.values()) > limit:
            lost = lost_db(case)
            found = {key: beyond(value, lost[key]) for key, value in found.items()}
        _table[f"{sweep}, {dtype}"].setdefault(name, []).append(max(found.values()))
        assert max(found.values()) <= limit, f"{name}, {dtype}: {found}"
    assert seen == {"float64"} | (set() if sweep in DOUBLE_ONLY else {"float32"}), f"no card asked for {sweep}"
