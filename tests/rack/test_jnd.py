"""Just-noticeable differences on the cards: complete, in units, and those that are derived agree with the model of hearing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from twinrack.perceptual import jnds_between

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import derive_jnds

RATE = 48000.0
DERIVED = [(c, n, p) for c, n, p in derive_jnds.parameters() if p.jnd_source == "derived"]


def test_every_number_on_a_card_has_one():
    for card, name, p in derive_jnds.parameters():
        assert p.jnd, f"{card.id}.{name}"
        assert p.jnd_source


def test_jnds_count_in_the_parameters_own_scale():
    threshold, decay = tr.CARDS["compressor"].addresses["threshold_db"], tr.CARDS["fdn_reverb"].addresses["decay_s"]
    assert threshold.jnds(-20.0, -17.0) == pytest.approx(3.0 / threshold.jnd)
    assert decay.jnds(1.0, 1.05**2) == pytest.approx(2.0)  # 5 % by ISO 3382-1
    assert decay.jnds(1.0, 1.0 / 1.05) == pytest.approx(-1.0)
    assert decay.moved_by(1.0, 2.0) == pytest.approx(1.05**2)
    assert decay.moved_by(19.9, 50.0) == decay.max
    assert decay.jnd_at(2.0) == pytest.approx(0.1)
    assert (threshold.jnd_text(), decay.jnd_text()) == ("1 dB", "5 %")


@pytest.mark.parametrize(("card", "name"), [(c.id, n) for c, n, _ in DERIVED[::4]])
def test_a_derived_one_is_what_the_model_gives(card, name):
    p = tr.CARDS[card].addresses[name]
    step = derive_jnds.derived(derive_jnds.effect_for(tr.CARDS[card], name), name, p)
    assert step is not None
    assert p.jnd == pytest.approx(derive_jnds.rounded(step), rel=0.6)  # one digit, on any instruction set


def test_a_level_that_rises_by_one_decibel_is_one():
    sound = derive_jnds.programmes()["speech"]
    for db in (-1.0, 0.5, 3.0):
        louder = np.ascontiguousarray(sound * 10 ** (db / 20), np.float32)
        assert jnds_between(louder, sound, RATE) == pytest.approx(abs(db), rel=0.05)
    assert jnds_between(sound, sound, RATE) == 0.0


def test_what_stands_below_the_threshold_in_quiet_is_not_heard():
    faint = np.ascontiguousarray(derive_jnds.programmes()["speech"] * 1e-5, np.float32)
    assert jnds_between(np.zeros_like(faint), faint, RATE) < 0.1


def test_one_channel_alone_is_heard():
    sound = derive_jnds.programmes()["drums"]
    turned = sound.copy()
    turned[1] *= np.float32(10 ** (2 / 20))
    assert jnds_between(turned, sound, RATE) == pytest.approx(2.0, rel=0.05)
