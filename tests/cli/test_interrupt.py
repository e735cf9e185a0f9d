"""Every command ends within half a second of Ctrl-C or SIGTERM, says so, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from twinrack.cli import app as cli
from twinrack.system import disk

RATE = 48000
SLACK_S = 2.5  # for machines that are busy; the promise is 0.5 s
MOMENTS = np.random.default_rng(int(os.environ.get("TWINRACK_SEED", "15"))).uniform(0.0, 1.5, 3)

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals"), pytest.mark.alone]


def all_commands() -> set[str]:
    """As they are typed, from the app itself."""
    found = set()
    for command in cli.app.registered_commands:
        found.add(command.name or command.callback.__name__)
    for group in cli.app.registered_groups:
        for command in group.typer_instance.registered_commands:
            found.add(f"{group.name} {command.name or command.callback.__name__}")
    return found


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> Path:
    """Inputs that keep every command busy for longer than the test lets it."""
    folder = tmp_path_factory.mktemp("things")
    noise = (np.random.default_rng(0).standard_normal((RATE * 30, 2)) * 0.1).astype(np.float32)
    with sf.SoundFile(folder / "long.wav", "w", RATE, 2) as file:
        for _ in range(8):
            file.write(noise)
    many = folder / "many"
    many.mkdir()
    for i in range(4):
        (many / f"{i}.wav").symlink_to(folder / "long.wav")
    short = noise[: RATE * 4].T.copy()
    heavy = tr.Rack([tr.FDNReverb() for _ in range(24)] + [tr.ParametricEQ(bands=[tr.Band()]), tr.Compressor()])
    heavy.save(folder / "r.rack.json")
    sf.write(folder / "dry.wav", short.T, RATE)
    sf.write(folder / "wet.wav", tr.Rack([tr.Compressor(threshold_db=-30)])(short, RATE).T, RATE)
    tr.Rack([tr.FDNReverb(), tr.Compressor()]).save(folder / "start.rack.json")
    tr.Rack([tr.FDNReverb() for _ in range(60)] + [tr.ParametricEQ() for _ in range(60)]).save(folder / "wide.rack.json")
    tr.Rack([tr.Gain() for _ in range(60000)]).save(folder / "big.rack.json")
    session = tr.Session("s", sample_rate=RATE)
    for i in range(4):
        session.add_track(f"t{i}", clips=[tr.Clip(folder / "long.wav")], rack=[tr.FDNReverb() for _ in range(8)])
    session.save(folder / "s.session.json")
    stems = folder / "stems"
    stems.mkdir()
    for i in range(6):
        (stems / f"{i}.wav").hardlink_to(folder / "long.wav")
    session.save(folder / "same.session.json")
    return folder


# What each command is given (OUT is an empty folder), and the names that it writes under OUT.
COMMANDS = {
    "render": "render {in}/long.wav OUT/o.wav --rack {in}/r.rack.json",
    "render of folders": "render {in}/many OUT/o --rack {in}/r.rack.json --workers 2 --resume",
    "fit": "fit --rack {in}/start.rack.json --dry {in}/dry.wav --wet {in}/wet.wav --out OUT/o.rack.json --steps 5000",
    "fit of choices": "fit --rack {in}/start.rack.json --dry {in}/dry.wav --wet {in}/wet.wav --out OUT/o.rack.json "
    "--choices compressor.*",
    "demo": "demo --out OUT/demo",
    "clone": "clone http://drobilla.net/plugins/mda/Dynamics --out OUT/o.rack.json",
    "explain": "explain {in}/start.rack.json --audio {in}/dry.wav --report OUT/o.html",
    "explain a wish": "explain {in}/start.rack.json --audio {in}/dry.wav --want loudness=-30 --out OUT/o.rack.json",
    "validate": "validate {in}/start.rack.json --audio {in}/dry.wav --report OUT/o.html",
    "bench interpretability": "bench interpretability --problems 2 --out OUT/o",
    "certify": "certify {in}/wide.rack.json",
    "show": "show {in}/big.rack.json",
    "convert": "convert {in}/big.rack.json OUT/o.rack.json",
    "measure": "measure {in}/long.wav",
    "session render": "session render {in}/s.session.json --out OUT/o.wav --stems --cache OUT/cache",
    "session report": "session report {in}/s.session.json --out OUT/o.html",
    "session freeze": "session freeze {in}/same.session.json t0",
    "session export": "session export {in}/s.session.json OUT/o.dawproject --bounce",
    "session import": "session import {in}/stems OUT/o.session.json",
}
QUICK = (
    "explain",
    "explain a wish",
    "certify",
    "measure",
    "show",
    "convert",
    "session import",
    "session freeze",
)  # may be done before the signal comes
# Commands that end by themselves before a signal could come, need a device, or take the signal as their usual end.
EXEMPT = {
    "effects": "prints a table",
    "devices": "prints a table",
    "diff": "reads two files",
    "document": "reads one file and writes a small one",
    "doctor": "prints a table",
    "room measure": "a live stream for some seconds, as latency has",
    "room sweep": "writes a small file",
    "room response": "reads a file and writes a small one",
    "room correct": "reads small files and writes small ones",
    "export": "reads one file and writes one plugin, done at once",
    "import": "reads one file and writes a small one",
    "latency": "needs a device",
    "live": "ends at Ctrl-C in its usual way, with exit 0 (test_recovery, test_console)",
    "listen analyse": "reads small files",
    "listen make": "writes one page",
    "listen serve": "takes the signal as its usual end (test_listening_server)",
    "new": "writes one small folder",
    "presets": "prints a table",
    "plugins check": "each plugin is in a process that ends with this one",
    "plugins edit": "waits for somebody to close a window",
    "plugins list": "prints a table",
    "plugins scan": "prints a list",
    "plugins show": "prints a table",
    "replay": "needs a take",
    "review add": "writes one small file",
    "review check": "reads one file",
    "review lessons": "prints a list",
    "review make": "writes one page",
    "review sign": "writes one small file",
    "session show": "prints a session",
    "session verify": "reads one file",
    "trail add": "writes one small file",
    "trail key": "writes two small files",
    "trail show": "reads one file",
    "trail sign": "writes one small file",
    "trail verify": "reads one file",
}


def test_every_command_is_tried_or_named_as_exempt():
    grouped = ("session", "bench", "room")
    tried = {" ".join(words.split()[: 2 if words.startswith(grouped) else 1]) for words in COMMANDS.values()}
    unknown = all_commands() - tried - set(EXEMPT)
    assert not unknown, f"how do these answer Ctrl-C? add them to COMMANDS or EXEMPT: {sorted(unknown)}"


def begin(words: str, folder: Path, out: Path) -> subprocess.Popen[str]:
    arguments = words.replace("{in}", str(folder)).replace("OUT", str(out)).split()
    environment = os.environ | {"PYTHONFAULTHANDLER": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "twinrack", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether the process answers signals by itself yet."""
    caught = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def left(out: Path) -> list[str]:
    return sorted(p.name for p in out.rglob("*") if p.name.startswith(".") and p.name != ".twinrack-render.jsonl")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_ends_it(name, times, things, tmp_path):
    number = signal.SIGINT if times == 3 else signal.SIGTERM
    for turn, moment in enumerate(MOMENTS if times == 1 else MOMENTS[:1]):
        out = tmp_path / f"out{turn}"
        out.mkdir()
        before = {p: p.stat().st_mtime_ns for p in things.iterdir() if p.is_file()}
        process = begin(COMMANDS[name], things, out)
        try:
            while not listens(process):
                assert process.poll() is None
                time.sleep(0.005)
            time.sleep(moment)
            if process.poll() is not None:
                assert name in QUICK, process.communicate()
                continue  # it was done before
            asked = time.monotonic()
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.02)
            text, err = process.communicate(timeout=30)
            took = time.monotonic() - asked
        finally:
            process.kill()
        if name in QUICK and process.returncode in (0, -number) and not err:
            continue  # it was done, and the interpreter on its way out
        assert process.returncode == 128 + number, (text, err)
        assert "Traceback" not in err
        last = err.strip().splitlines()[-1]
        assert "twinrack: interrupted" in last, err
        assert err.count("twinrack: interrupted") == 1
        assert took < SLACK_S
        assert left(out) == []
        for path in out.rglob("*"):  # what is there is whole
            if path.suffix == ".wav":
                sf.info(path)
            if path.name.endswith(".rack.json"):
                tr.load(path)
        for path, stamp in before.items():
            assert path.stat().st_mtime_ns == stamp or name == "session freeze", path
        assert not [p for p in things.rglob(".*") if not p.name.endswith(".rendering")]


def test_a_fit_that_is_interrupted_keeps_its_best_values(things, tmp_path):
    process = begin(COMMANDS["fit"] + " --checkpoint OUT/c.pt", things, tmp_path)
    try:
        while not (tmp_path / "c.pt").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"twinrack: interrupted; the best values so far are in {tmp_path / 'o.rack.json'}" in err
    assert tr.load(tmp_path / "o.rack.json") != tr.load(things / "start.rack.json")


def test_what_killed_processes_left_is_taken_away_and_what_living_ones_write_is_not(things, tmp_path):
    words = "render {in}/long.wav OUT/o.wav --rack {in}/r.rack.json"

    def writing(count: int) -> subprocess.Popen[str]:
        process = begin(words, things, tmp_path)
        while len(list(tmp_path.glob(".o.wav.*.part"))) < count:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    first = writing(1)
    second = writing(2)
    try:
        first.kill()
        first.wait()
        assert len(list(tmp_path.glob(".o.wav.*.part"))) == 2
        disk.check_writable(tmp_path / "o.wav")  # looks and sweeps, as everything that writes there
        parts = list(tmp_path.glob(".o.wav.*.part"))
        assert len(parts) == 1
        assert second.poll() is None
        second.kill()
        second.wait()
        (tmp_path / ".o.wav.mine.part").write_text("not ours")
        disk.check_writable(tmp_path / "o.wav")
        assert [p.name for p in tmp_path.glob(".o.wav.*.part")] == [".o.wav.mine.part"]
    finally:
        first.kill()
        second.kill()


def test_a_generator_that_nobody_wants_any_more_stops_its_threads(things, tmp_path):
    from twinrack.render.batch import render_many

    rack = tr.Rack([tr.FDNReverb() for _ in range(8)])
    pairs = [(things / "long.wav", tmp_path / f"{i}.wav") for i in range(6)]
    fine = tmp_path / "fine.wav"
    results = render_many([(things / "dry.wav", fine), *pairs], rack, workers=2)
    assert next(results).path == fine
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < SLACK_S
    assert [p.name for p in tmp_path.iterdir()] == ["fine.wav"]


@pytest.mark.parametrize("what", ["render", "session"])
def test_keyboard_interrupt_in_a_function_comes_out_and_tidies_up(what, things, tmp_path):
    calls = 0

    def progress(*done: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    from twinrack.render.file import render_file

    works = {
        "render": lambda: render_file(things / "long.wav", tmp_path / "o.wav", tr.Rack([tr.FDNReverb()]), progress=progress),
        "session": lambda: tr.Session.load(things / "s.session.json").render_to(tmp_path / "o.wav", progress=progress),
    }
    with pytest.raises(KeyboardInterrupt):
        works[what]()
    assert list(tmp_path.iterdir()) == []


FORKS = """
import os, signal, sys, threading, time
from twinrack.system import interrupt

interrupt.install()

def fork_and_kill():
    for _ in range(30):
        child = os.fork()
        if child == 0:
            signal.pause()
        os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM

fork_and_kill()
thread = threading.Thread(target=fork_and_kill)
thread.start()
thread.join()
time.sleep(3 * interrupt.GRACE_S)
print("goes on")
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
except KeyboardInterrupt:
    print("and hears its own signals")
"""


def test_a_signal_to_a_forked_process_ends_only_that_process():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("goes on\nand hears its own signals\n", 0), done.stderr


IMPORTS = """
import signal, sys
from pathlib import Path
from twinrack.system import interrupt
interrupt.install()
Path(sys.argv[1], "slow_module.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM); DONE = True")
sys.path.insert(0, sys.argv[1])
import slow_module
print(slow_module.DONE)
try:
    interrupt.check()
except KeyboardInterrupt:
    print("and the next check ends it", flush=True)
"""


def test_an_import_is_not_torn_apart(tmp_path):
    """torch ends the process with a crash when an exception comes out of what its import calls."""
    arguments = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\nand the next check ends it\n", done.stderr
