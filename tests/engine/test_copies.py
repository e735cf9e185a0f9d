"""Copies by every way that Python has are equal and independent; processes that are forked while threads run go on."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
import time

import numpy as np
import pytest

import twinrack as tr
from support import music, random_effect

RATE = 48000
WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def prepared() -> tr.Rack:
    rack = tr.Rack([tr.Compressor(ratio=3), tr.Gain(gain_db=-3, bypass=True)], name="prepared")
    rack.prepare(RATE, 2)
    return rack


def session() -> tr.Session:
    made = tr.Session("mix", RATE)
    made.add_track("voice", clips=[tr.Clip(np.zeros((1, 480), np.float32))], rack=tr.Rack([tr.Compressor()]))
    return made


def everything() -> dict[str, object]:
    rng = np.random.default_rng(1)
    effects = {f"{card.id}": random_effect(card, rng, "expected") for card in tr.CARDS.values()}
    network = tr.ControlNetwork(["gain.gain_db"])
    return {
        **effects,
        "band": tr.Band("bell", gain_db=3),
        "chain": tr.Chain([tr.Gain(gain_db=-3)]),
        "parallel": tr.Parallel([[], [tr.Gain(gain_db=-3)]]),
        "bands": tr.Bands([[], [tr.Gain(gain_db=-3)]]),
        "mid_side": tr.MidSide([tr.Gain(gain_db=-3)]),
        "rack": tr.Rack([tr.Compressor(), tr.Parallel([[], [tr.Gain()]]), tr.ParametricEQ(bands=[tr.Band("bell")])], "x"),
        "prepared": prepared(),
        "in a rack": prepared()["gain"],
        "controlled": tr.Rack([tr.Controller(network=network), tr.Gain()]),
        "network": network,
        "session": session(),
        "channel": session()["voice"],
        "clip": tr.Clip(np.zeros((1, 480), np.float32)),
        "card": tr.CARDS["compressor"],
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", everything())
def test_a_copy_is_equal(name, way):
    original = everything()[name]
    made = WAYS[way](original)
    assert type(made) is type(original)
    assert made == original


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_independent(way):
    rack = prepared()
    made = WAYS[way](rack)
    made["gain"].gain_db = -20.0
    made.append(tr.Gate())
    assert (rack["gain"].gain_db, len(rack.effects)) == (-3.0, 2)
    made.prepare(RATE, 2)  # its stream is its own
    x = music(2, 4800, RATE, 0)
    assert np.array_equal(WAYS[way](rack)(x, RATE), rack(x, RATE))
    group = tr.Chain([tr.Gain()])
    tr.Rack([group])
    tr.Rack([WAYS[way](group)])  # an effect is in one rack only
    mix = session()
    other = WAYS[way](mix)
    other.add_track("more")
    other["voice"].rack["compressor"].ratio = 9.0
    assert list(mix.channels) != list(other.channels)
    assert mix["voice"].rack["compressor"].ratio != 9.0


def test_a_twin_is_copied_and_pickled():
    torch = pytest.importorskip("torch")
    twin = tr.Rack([tr.Compressor(threshold_db=-30), tr.Gain(gain_db=-3)]).twin(RATE)
    x = torch.from_numpy(music(2, 4800, RATE, 0)[None])
    for way in WAYS.values():
        assert torch.equal(way(twin)(x), twin(x))


def test_what_cannot_be_copied_says_so():
    with pytest.raises(TypeError, match="a PythonEffect cannot be pickled: its function lives in this process only"):
        pickle.dumps(tr.Rack([tr.PythonEffect(lambda x, rate: x)]))
    copy.copy(tr.PythonEffect(lambda x, rate: x))


# --- fork -----------------------------------------------------------------------------------------------------------------


def children(work, count: int = 15) -> list[int]:
    """Exit codes of forked processes that do some work; a hung one is killed and counts as -1."""
    codes = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
        end, status = time.monotonic() + 10.0, None
        while status is None and time.monotonic() < end:
            found, code = os.waitpid(child, os.WNOHANG)
            status = code if found else None
            time.sleep(0.002)
        if status is None:
            os.kill(child, 9)
            os.waitpid(child, 0)
        codes.append(-1 if status is None else status)
    return codes


@pytest.fixture
def busy():
    """A prepared rack that two threads process and another one changes, all the time."""
    rack = tr.Rack([tr.Compressor(), tr.FDNReverb(), tr.Limiter()])
    rack.prepare(RATE, 2)
    x, stop = music(2, 4800, RATE, 0), threading.Event()

    def process() -> None:
        while not stop.is_set():
            rack.process(x)

    def change() -> None:
        while not stop.is_set():
            rack.append(tr.Gain())
            rack["compressor"].ratio = 3.0
            rack.remove("gain")
            time.sleep(0.001)

    threads = [threading.Thread(target=work) for work in (process, process, change)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    yield rack
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@needs_fork
@pytest.mark.alone
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_is_forked_while_threads_are_inside_a_rack_goes_on(busy):
    x = music(2, 480, RATE, 0)

    def work() -> None:
        busy["compressor"].ratio = 2.0
        assert np.isfinite(busy.process(x)).all()
        busy.append(tr.Gate())
        busy.meters()
        busy.copy()(x, RATE)
        busy.prepare(RATE, 2)
        busy.process(x)

    assert set(children(work)) == {0}


def _in_pool(ratio: float) -> bool:
    return bool(np.isfinite(tr.Rack([tr.Compressor(ratio=ratio), tr.FDNReverb()])(music(2, 480, RATE, 0), RATE)).all())


@needs_fork
@pytest.mark.alone
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pool_of_forked_processes_works_while_threads_are_inside_a_rack(busy):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.map_async(_in_pool, [1.0 + i for i in range(12)]).get(timeout=60))


@needs_fork
@pytest.mark.alone
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_stream_that_was_torn_by_a_fork_is_refused_and_can_begin_anew():
    """A block of many seconds is not waited for: the child's copy of it is not whole."""
    rack = tr.Rack([tr.FDNReverb() for _ in range(40)])
    rack.prepare(RATE, 2)
    x = (0.1 * np.random.default_rng(0).standard_normal((2, 60 * RATE))).astype(np.float32)
    thread = threading.Thread(target=rack.process, args=(x,))
    thread.start()
    time.sleep(0.4)  # until it is inside

    def work() -> None:
        with pytest.raises(
            RuntimeError, match="another thread was inside the stream when this process was forked; call prepare"
        ):
            rack.process(x[:, :64].copy())
        rack.prepare(RATE, 2)
        rack.process(x[:, :64].copy())

    began = time.monotonic()
    assert children(work, 1) == [0]
    assert thread.is_alive(), "the block was too short for this test"
    assert time.monotonic() - began < 5.0
    thread.join()
    rack.process(x[:, :64].copy())  # the parent goes on


@needs_fork
@pytest.mark.alone
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_lock_that_the_forking_thread_holds_stays_its_own():
    rack = prepared()
    with rack.running.changing():
        assert children(lambda: rack.append(tr.Gate()), 1) == [0]
    rack.append(tr.Gate())
