"""Silence is nearly free: effects fall asleep after their tail and wake without a trace; nothing small costs more."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, error_db, music, random_effect

RATE = 48000
PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


def can_sleep(card: str) -> bool:
    """Whether an effect has the hook that lets it sleep: one that has it must."""
    return bool(re.search(r"\bbool tail_ended\(int", (PLUGINS / card / f"{card}.h").read_text(encoding="utf-8")))


@pytest.mark.parametrize("card", CARD_IDS)
def test_waking_sounds_as_if_it_had_never_slept(card):
    """Sound, a long silence, sound again: the same as an engine kept awake, to -120 dB of the sound."""
    rng = np.random.default_rng(7)
    effect = random_effect(tr.CARDS[card], rng, "expected")
    for name, value in {"freeze": False, "release_ms": 30.0, "decay_s": 0.4, "decay_low_s": 0.4, "decay_high_s": 0.3}.items():
        for address in effect.card.addresses:
            if address.rpartition(".")[2] == name:
                effect.set(address, value)
    if card == "parametric_eq":  # of random bands, some ring for minutes
        effect = tr.ParametricEQ(bands=[tr.Band("bell", gain_db=9, q=3), tr.Band("low_cut", frequency_hz=40)])
    first, second = music(2, 9600, RATE, 1), music(2, 19200, RATE, 2)
    silence = np.zeros((2, 6 * RATE + 77), np.float32)
    x = np.concatenate([first, silence, second], 1)
    rack = tr.Rack([effect])
    rack.prepare(RATE, 2)
    y = np.concatenate([rack.process(np.ascontiguousarray(x[:, i : i + 4800])) for i in range(0, x.shape[1], 4800)], 1)
    assert rack.running.engine is not None
    assert rack.running.engine.slept > RATE if can_sleep(card) else rack.running.engine.slept == 0
    with np.errstate(all="ignore"):
        kept_awake = tr.Rack([effect.copy()])
        kept_awake.prepare(RATE, 2)
        assert kept_awake.running.engine is not None
        kept_awake.running.engine.stay_awake()
        z = np.concatenate(
            [kept_awake.process(np.ascontiguousarray(x[:, i : i + 4800])) for i in range(0, x.shape[1], 4800)], 1
        )
    assert kept_awake.running.engine.slept == 0
    start = first.shape[1] + silence.shape[1]
    assert error_db(y[:, start:], z[:, start:]) < -110
    assert np.max(np.abs(y[:, :start] - z[:, :start])) <= 1e-7  # what a tail is


@pytest.mark.parametrize("size", [1, 64, 333])
def test_sleep_does_not_depend_on_block_size(size):
    x = np.concatenate([music(2, 3000, RATE, 1), np.zeros((2, 40001), np.float32), music(2, 3000, RATE, 2)], 1)

    def play(block: int) -> np.ndarray:
        rack = tr.Rack([tr.Gate(release_ms=10), tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.Limiter(release_ms=5)])
        rack.prepare(RATE, 2)
        return np.concatenate([rack.process(np.ascontiguousarray(x[:, i : i + block])) for i in range(0, x.shape[1], block)], 1)

    assert np.array_equal(play(size), play(512))


def played(rack: tr.Rack, x: np.ndarray, block: int = 480, at: dict | None = None) -> np.ndarray:
    """The stream of a prepared rack; `at` are functions to call before a frame, which is a multiple of the block."""
    parts = []
    for start in range(0, x.shape[1], block):
        if at and start in at:
            at[start]()
        parts.append(rack.process(np.ascontiguousarray(x[:, start : start + block])))
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("block", [60, 480, 4800])
def test_bypassed_in_its_sleep_nothing_is_lost(block):
    burst = music(2, 9600, RATE, 1)
    silence = np.zeros((2, 38400), np.float32)
    x = np.concatenate([silence, burst, silence, burst, silence], 1)

    def play(awake: bool) -> np.ndarray:
        rack = tr.Rack([tr.Limiter(release_ms=5), tr.Compressor(lookahead_ms=7)])
        rack.prepare(RATE, 2)
        if awake:
            rack.running.engine.stay_awake()

        def bypass() -> None:
            rack["limiter"].bypass = rack["compressor"].bypass = True

        return played(rack, x, block, {28800: bypass})

    asleep, awake = play(False), play(True)
    assert np.array_equal(asleep, awake)
    assert np.array_equal(asleep[:, 576 : 576 + x.shape[1]], x[:, : asleep.shape[1] - 576])


@pytest.mark.parametrize("effect", [tr.Gate(detector="rms"), tr.Compressor(detector="rms")])
def test_a_monstrous_sample_is_not_remembered_for_ever(effect):
    """A square that would be infinite, or a filter that overflowed: afterwards the effect works as a new one does."""
    effect = effect.copy()
    effect.sidechain_low_cut_hz = 60.0
    x = music(2, 96000, RATE, 3)
    bad = x.copy()
    bad[0, 100:110] = 3e38
    rack, fresh = tr.Rack([effect]), tr.Rack([effect.copy()])
    for r in (rack, fresh):
        r.prepare(RATE, 2)
    y, z = played(rack, bad), played(fresh, x)
    assert error_db(y[:, -9600:], z[:, -9600:]) < -40


@pytest.mark.parametrize("make", [lambda: tr.Gate(release_ms=5), lambda: tr.Compressor(release_ms=5)])
def test_a_cut_that_was_switched_off_does_not_keep_it_awake(make):
    rack = tr.Rack([make()])
    effect = next(iter(rack.addresses().values()))
    effect.sidechain_low_cut_hz = 100.0
    rack.prepare(RATE, 2)
    x = np.concatenate([music(2, 9600, RATE, 1), np.zeros((2, 96000), np.float32)], 1)

    def off() -> None:
        effect.sidechain_low_cut_hz = 10.0

    played(rack, x, 480, {4800: off})
    assert rack.running.engine.slept > RATE
