"""A Python function as an effect: exact where it is in time, dry and counted where it is not, never in the way of the sound."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack
from support import blocks_of, music


def half(x: np.ndarray, sample_rate: float) -> np.ndarray:
    return 0.5 * x


class Echo:
    """Has a state: what came in the block before is added."""

    def __init__(self) -> None:
        self.before: np.ndarray | None = None

    def __call__(self, x: np.ndarray, sample_rate: float) -> np.ndarray:
        y = x if self.before is None else x + self.before
        self.before = x
        return y


@pytest.mark.parametrize(("block", "blocks"), [(32, 2), (256, 2), (100, 3), (1000, 5)])
def test_offline_it_is_exact_and_compensated(block, blocks):
    x = music(2, 20000, RATE, 1)
    rack = tr.Rack([tr.Gain(gain_db=6.0206), tr.PythonEffect(half, block_frames=block, blocks=blocks)])
    plain = tr.Rack([tr.Gain(gain_db=6.0206)])
    assert np.array_equal(rack(x, RATE), 0.5 * plain(x, RATE))
    both = tr.Rack([tr.Parallel([[], [tr.PythonEffect(lambda x, rate: -x, block_frames=block, blocks=blocks)]])])
    assert not both(x, RATE).any()  # delayed alike, so it cancels
    assert rack(x[0], RATE).shape == (20000,)
    noise = np.random.default_rng(3).standard_normal((2, 5000)).astype(np.float32)
    third = tr.Rack([tr.PythonEffect(lambda x, rate: x / 3, block_frames=block, blocks=blocks)])
    assert np.array_equal(third(noise, RATE), noise / np.float32(3))  # from the first frame on, to the bit


def test_a_stream_in_any_blocks_and_its_latency():
    x = music(1, 30000, RATE, 2)
    found = []
    for size in (64, 1, 4096, 333):
        rack = tr.Rack([tr.PythonEffect(Echo(), block_frames=128)])
        rack.prepare(RATE, 1)
        assert rack.latency_frames == 2 * 128 + 32 == rack["python"].latency_frames
        part = x[:, :3000] if size == 1 else x
        found.append(np.concatenate([rack.process(np.ascontiguousarray(b)) for b in blocks_of(part, size)], 1))
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], found[3])
    assert np.array_equal(found[0][:, :3000], found[1])
    y = found[0][0, 288:]
    assert np.array_equal(y[128 : 128 * 100], (x[0] + np.roll(x[0], 128))[128 : 128 * 100])
    again = tr.Rack([tr.PythonEffect(Echo(), block_frames=128)])
    assert np.array_equal(again(x, RATE), again(x, RATE))  # every stream has a state of its own


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, rate: 1 / 0, "ZeroDivisionError"),
        (lambda x, rate: x[:, :10], "not \\(2, 128\\)"),
        (lambda x, rate: x * np.nan, "it returned NaN or infinity"),
        (lambda x, rate: "no", "ValueError"),
        (lambda x, rate: None, "TypeError|ValueError"),
    ],
)
def test_what_fails_is_heard_dry_and_counted(function, words):
    x = music(2, 10000, RATE, 3)
    effect = tr.PythonEffect(function, block_frames=128)
    rack = tr.Rack([effect])
    assert np.array_equal(rack(x, RATE), x)
    assert effect.late > 50
    assert re.search(words, effect.complaint)


def test_refusals(tmp_path):
    rack = tr.Rack([tr.PythonEffect(half)])
    with pytest.raises(ValueError, match="no place in a patch"):
        rack.save(tmp_path / "a.rack.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="has no twin"):
        rack.twin(RATE)
    for name, value in (("block_frames", 8), ("blocks", 1), ("block_frames", 64.0)):
        with pytest.raises(ValueError, match=f"^{name} must be an integer from [0-9]+ to [0-9]+, got {value}$"):
            tr.PythonEffect(half, **{name: value})
    with pytest.raises(TypeError, match="give one that is called"):
        tr.PythonEffect(3)
    assert "half" in repr(rack)
    assert rack.copy() == rack


@needs_jack
def test_live_it_is_in_time_or_dry():
    slow = {"s": 0.0}

    def sometimes(x: np.ndarray, sample_rate: float) -> np.ndarray:
        time.sleep(slow["s"])
        return 0.5 * x

    effect = tr.PythonEffect(sometimes, block_frames=512, blocks=4)
    rack = tr.Rack([effect])
    x = np.full((2, RATE), 0.5, np.float32)
    with jack_server() as server, tr.live(rack, block_size=BLOCK) as stream:
        assert stream.latencies_ms()["python"] == pytest.approx(1000 * 2080 / RATE)
        probe = Probe(server.name, 2, RATE // 2)

        def heard() -> float:
            """At normal speed, unlike `play`: the function has the time it would have."""
            take = probe.begin(x)
            assert take.done.wait(20)
            return float(take.heard[0, -1])

        def until(level: float) -> None:
            """On a busy machine the function, or the probe, may be late now and then."""
            assert any(heard() == pytest.approx(level, rel=1e-4) for _ in range(20))

        try:
            time.sleep(0.2)
            until(0.25)
            late = effect.late
            slow["s"] = 0.1  # slower than the sound
            time.sleep(0.2)
            until(0.5)
            assert effect.late > late + 5
            slow["s"] = 0.0
            time.sleep(0.5)
            until(0.25)
            rack.insert(0, tr.Gain(gain_db=-6.0206))  # a new structure: a new stream of the function
            time.sleep(0.5)
            until(0.125)
        finally:
            probe.close()
