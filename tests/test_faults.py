"""The scripts beside the checkout that showed faults, each as it should end now; skipped where they are not there.

A script that knows what is right says so: it ends with 0 and prints no FAIL. What others print is looked at here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from jack_support import jack_server, needs_jack

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "faults"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
NEED_JACK = ("attack_desk_osc", "python_objects")


def first_frame(said: str) -> None:
    lines = said.splitlines()
    assert len(lines) == 8
    for line in lines:  # by number: refused in a sentence, or the same sound
        frame = int(re.match(r"first_frame=(-?\d+)", line)[1])
        fits = frame >= 0 and frame % 32 == 0 and frame < 2**62
        assert (
            ("exit 0" in line and "differs from first_frame=0 by 0.0" in line) if fits else "must be a multiple of 32" in line
        )


def interrupted(said: str) -> None:
    for line in said.splitlines():
        assert re.search(r"exit 130, file False, \.part 0, .*twinrack: interrupted", line), line
        # a script sleeps for 0.3 s after each signal, and the machine may be busy
        assert float(re.search(r"ended after ([\d.]+) s", line)[1]) < 0.3 * (1 + ("2 x" in line)) + 1.5


def permissions(said: str) -> None:
    assert "600 -> 600, holds 3.0" in said
    assert "640 -> 640, holds 3.0" in said
    assert "444 ->" not in said  # a read-only patch is refused, and with it the script ends
    assert "a.rack.json may not be overwritten; choose another name or change its permissions" in said


def sentences(said: str) -> None:
    assert "compressor.auto_makeup = an array of shape (2,) is a switch" in said
    assert "masked samples; fill them first" in said  # with which the script ends
    for raw in ("OverflowError", "RecursionError", "UnicodeEncodeError", "Errno", "embedded null"):
        assert raw not in said
    for fine in ("900 chains", "300 chains"):
        assert re.search(rf"{fine}.*(no error|ValueError: )", said)
    assert "channels np.int64(2) refused - no error" in said


def bounded(said: str) -> None:
    assert "does not return" not in said
    assert len(re.findall(r"is a (device|pipe)", said)) == 3
    assert float(re.search(r"4000 gains ([\d.]+) s", said)[1]) < 8  # 10,000 took 40 s before


def waiting_structures(said: str) -> None:
    before, after = map(int, re.search(r"(\d+) -> (\d+) MB", said).groups())
    assert after - before < 60


def values_meanwhile(said: str) -> None:
    assert re.search(r"\d+ sets, \{\}", said)


def desks(said: str) -> None:
    assert "listeners after 20 closed desks: 0" in said
    count, before, after = map(int, re.search(r"(\d+) snapshots: (\d+) -> (\d+) MB", said).groups())
    assert count <= 1000
    assert after - before < 100


def stopped_search(said: str) -> None:
    assert int(re.search(r"steps after Ctrl-C: (\d+)", said)[1]) <= 1 if "steps after" in said else "KeyboardInterrupt" in said
    states = re.search(r"\[(.*?)\] want", said)[1]
    assert states.count("'COMPLETE'") <= 2
    assert "FAIL" in states or states.count("COMPLETE") < 2


def refused_or_counted(said: str) -> None:
    for line in said.splitlines():
        if line.startswith("one "):
            found, want = re.search(r"(-?[\d.]+|-inf) want (-?[\d.]+)", line).groups()
            assert abs(float(found) - float(want)) < 0.05


RULES: dict[str, tuple[int, Callable[[str], None]]] = {
    "attack_first_frame": (0, first_frame),
    "attack_ctrl_c": (0, interrupted),
    "attack_permissions": (1, permissions),
    "attack_sentences": (1, sentences),
    "attack_big_files": (0, bounded),
    "attack_swap_queue": (0, waiting_structures),
    "attack_set_while_append": (0, values_meanwhile),
    "attack_desk_osc": (0, desks),
    "search_interrupt": (0, stopped_search),
    "loudness_nan": (0, refused_or_counted),
}


@pytest.mark.skipif(not SCRIPTS, reason="the folder shared/faults is not beside this checkout")
def test_the_scripts_that_are_looked_at_are_there():
    assert set(RULES) <= set(SCRIPTS)
    assert set(NEED_JACK) <= set(SCRIPTS)


@pytest.mark.parametrize("name", [n if n not in NEED_JACK else pytest.param(n, marks=needs_jack) for n in SCRIPTS])
def test_a_fault_is_gone(name, tmp_path):
    surroundings = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    with jack_server() if name in NEED_JACK else nullcontext() as server:
        if server is not None:
            surroundings["JACK_DEFAULT_SERVER"] = server.name
        ends_as_it_should(name, surroundings)


def ends_as_it_should(name: str, surroundings: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"], capture_output=True, text=True, timeout=400, check=False, env=surroundings,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run in the background
    )  # fmt: skip
    said = done.stdout + done.stderr
    code, look = RULES.get(name, (0, None))
    assert done.returncode == code, said[-2000:]
    if look is not None:
        look(said if code else done.stdout)
    if code == 0:
        assert not re.search(r"(?<!')\bFAIL\b|\bREFUSED\b|\bWRONG\b|Traceback", said), said[-2000:]
