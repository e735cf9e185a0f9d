"""Whole arrays: the same sound as the stream, and result arrays that lie in the memory of results that are gone."""

import gc
import sys

import numpy as np
import pytest

import twinrack as tr
from twinrack.audio import Audio
from twinrack.system.memory import KEPT_FROM_BYTES

RATE = 48000


def noise(frames: int, channels: int = 2, seed: int = 1) -> Audio:
    return (0.3 * np.random.default_rng(seed).standard_normal((channels, frames))).astype(np.float32)


@pytest.mark.parametrize("frames", [0, 1, 31, 240, 241, 1023, 1024, 2500])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_call_is_the_stream_without_its_latency(frames: int, keyed: bool) -> None:
    compressor = tr.Compressor(threshold_db=-40.0, lookahead_ms=5.0, key="voice" if keyed else None)
    rack = tr.Rack([compressor, tr.Limiter(ceiling_db=-12.0, lookahead_ms=2.0), tr.Gain(gain_db=-3.0)])
    x, key = noise(frames), noise(frames, 3, seed=2)
    rack.prepare(RATE, 2)
    late = rack.latency_frames
    assert late > 300
    sidechain = {"voice": np.pad(key, ((0, 0), (0, late)))} if keyed else None
    streamed = rack.process(np.pad(x, ((0, 0), (0, late))), sidechain=sidechain)[:, late:]
    whole = rack(x, RATE, sidechain=key if keyed else None)
    assert whole.shape == x.shape
    assert np.array_equal(whole, streamed)


def test_an_input_is_left_as_it_is() -> None:
    x = noise(5000)
    before = x.copy()
    tr.Rack([tr.Gain(gain_db=-6.0)])(x, RATE)
    assert np.array_equal(x, before)


def address(y: Audio) -> int:
    return int(y.__array_interface__["data"][0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere results are ordinary arrays")
def test_a_large_result_takes_the_memory_of_one_that_is_gone_but_of_none_that_is_in_use() -> None:
    rack = tr.Rack([tr.Gain(gain_db=0.0)])
    frames = KEPT_FROM_BYTES // 8
    x, other = noise(frames), noise(frames, seed=2)
    gone = rack(x, RATE)
    place = address(gone)
    part = gone[1, 1000:]
    del gone
    gc.collect()
    assert address(rack(other, RATE)) != place  # `part` still lies there
    assert np.array_equal(part, x[1, 1000:])
    del part
    gc.collect()
    again = rack(other, RATE)
    assert address(again) == place
    assert np.array_equal(again, other)
    assert again.flags.writeable


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere results are ordinary arrays")
def test_memory_that_is_far_too_large_is_not_taken() -> None:
    rack = tr.Rack([tr.Gain(gain_db=0.0)])
    frames = KEPT_FROM_BYTES // 8
    large = rack(noise(3 * frames), RATE)
    place = address(large)
    del large
    gc.collect()
    assert address(rack(noise(frames), RATE)) != place
