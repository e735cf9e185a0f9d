"""Evidence lies where a value acts, and nowhere where nothing in the sound determines it (TWINRACK_BURSTS of them)."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music
from twinrack.explain import evidence
from twinrack.perceptual import critical_bandwidth_hz

RATE = 48000
BURSTS = int(os.environ.get("TWINRACK_BURSTS", "6"))


def with_burst(seed: int) -> tuple[np.ndarray, float, float]:
    """Quiet noise with one loud passage: the sound, and where that begins and ends in seconds."""
    random = np.random.default_rng(seed)
    x = (random.standard_normal((2, 4 * RATE)) * 10 ** (-60 / 20)).astype(np.float32)
    start, length = random.uniform(0.6, 2.2), random.uniform(0.2, 0.6)
    a, b = round(start * RATE), round((start + length) * RATE)
    x[:, a:b] *= np.float32(10 ** (random.uniform(36, 45) / 20))
    return x, start, start + length


@pytest.mark.parametrize("seed", range(BURSTS))
def test_what_a_burst_alone_determines_lies_in_it(seed):
    x, start, end = with_burst(seed)
    random = np.random.default_rng([seed, 1])
    compressor = tr.Compressor(
        threshold_db=random.uniform(-36, -26), ratio=random.uniform(2, 12), attack_ms=random.uniform(1, 10),
        release_ms=random.uniform(20, 60), knee_db=random.uniform(0, 6),
    )  # fmt: skip
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=random.uniform(-6, 6))]), compressor])
    shares = {}
    for e in evidence(rack, x, RATE, ["compressor.threshold_db", "compressor.ratio", "compressor.attack_ms"]):
        shares[e.address] = e.share_within(start - 0.04, end + 0.04)
        assert not e.is_empty
        first, last = e.strongest(end - start)
        assert start - 0.1 < first < last < end + 0.1
    print(f"\n{min(shares.values()):.3f} of the evidence at least")
    assert min(shares.values()) >= 0.95, shares


def test_where_nothing_determines_a_value_the_map_is_empty():
    x = with_burst(0)[0] * np.float32(0.1)
    rack = tr.Rack([tr.Compressor(threshold_db=-5.0), tr.Gain(gain_db=1.0)])
    silent = {e.address for e in evidence(rack, x, RATE) if e.is_empty}
    assert {"compressor.ratio", "compressor.attack_ms", "compressor.release_ms", "compressor.range_db"} <= silent
    assert "gain.gain_db" not in silent
    (empty,) = evidence(rack, x, RATE, ["compressor.ratio"])
    assert "nothing in this recording determines it" in str(empty)
    assert empty.over_time.sum() == 0.0


def test_a_band_is_seen_at_its_frequency():
    x = music(2, 2 * RATE, RATE, 1) + np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32) * 0.01
    for hertz in (200.0, 1000.0, 6000.0):
        rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=hertz, gain_db=4.0, q=1.0)])])
        white = np.random.default_rng(1).standard_normal((2, RATE)).astype(np.float32) * 0.1
        (e,) = evidence(rack, white, RATE, ["parametric_eq.band1.gain_db"])
        density = e.over_frequency / critical_bandwidth_hz(torch.from_numpy(e.centres_hz)).numpy()
        assert e.centres_hz[np.argmax(density)] == pytest.approx(hertz, rel=0.25)
        assert e.heard_jnds == pytest.approx(1.0, abs=0.35)
    assert evidence(rack, x, RATE)


def test_patterns_that_fit_nothing_are_named():
    with pytest.raises(ValueError, match=r"'gate\.\*' fits no number"):
        evidence(tr.Rack([tr.Gain()]), np.ones((1, 1000), np.float32), RATE, ["gate.*"])
