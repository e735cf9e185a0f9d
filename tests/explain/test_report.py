"""The report: self-contained, complete, true; drawn in a real browser where there is one."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, check_drawn, music, random_effect
from twinrack.explain.overview import explanation
from twinrack.measure.curves import curves, decay_over_frequency, frequency_response, transfer_curve
from twinrack.pages.module import has_module

RATE = 48000


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    x = music(2, 2 * RATE, RATE, 3)
    hidden = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=18)]), tr.Compressor(threshold_db=-30), tr.FDNReverb()])
    start = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell")]), tr.Compressor(), tr.FDNReverb()], name="</script><b>x")
    result = tr.fit(start, x, hidden(x, RATE), RATE, steps=30, learn=["parametric_eq.*", "*threshold_db"], progress=False)
    result.target_rack = hidden
    path = result.report(tmp_path_factory.mktemp("report") / "fit.html")
    return path, path.read_text(encoding="utf-8"), result


def test_it_needs_nothing_else(page):
    _, text, _ = page
    body = re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", body)


def test_it_says_what_was_asked_and_learned(page):
    _, text, result = page
    for card in ("parametric_eq", "compressor", "fdn_reverb"):
        assert tr.CARDS[card].purpose in text
    assert f"{result.fitted.error_db:.1f}" in text
    assert text.count('class="tr-player"') == has_module()
    assert text.count("<audio") == (0 if has_module() else 4)
    assert re.search(r'id="verdict">On sound that training never saw, (less than )?\S+ % of the target', text)
    assert "outside the expected -15 to 15" in text  # 18 dB was hidden, and found
    assert "dry_sha256" in text
    assert "<b>x" not in text  # a name is text, not markup


def test_the_plots_hold_before_target_and_after(page):
    _, text, _ = page
    plots = json.loads(re.search(r"const plots = (\{.*?\});\nconst dark", text, re.S).group(1))
    for name in ("spectrum", "levels", "history", "effect0_0", "effect1_0", "effect2_0", "spectrogram_dry"):
        assert name in plots
    assert [line["name"] for line in plots["effect0_0"]["data"]] == ["start", "target", "fitted"]
    response = dict(zip(plots["effect0_0"]["data"][1]["x"], plots["effect0_0"]["data"][1]["y"], strict=True))
    assert max(response.values()) == pytest.approx(18, abs=0.2)


def test_parity_figure(page):
    _, text, _ = page
    figure = float(re.search(r"Engine against twin on this recording: <strong>(-\d+) dB", text).group(1))
    assert figure <= -100


def test_a_browser_draws_every_plot(page, tmp_path):
    check_drawn(page[0], tmp_path)


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_effect_has_curves(card):
    effect = random_effect(tr.CARDS[card], np.random.default_rng(1), "expected")
    drawn = curves(effect, RATE)
    assert drawn
    for curve in drawn:
        assert curve.x.shape == curve.y.shape
        assert curve.x.size > 5
        assert np.isfinite(curve.x).all()
        assert np.isfinite(curve.y).all(), curve.title


def test_cards_name_the_curves_or_a_file_draws_them(monkeypatch):
    assert [c.title for c in curves(tr.Compressor(), RATE)] == ["Transfer curve", "Attack and release"]
    assert [c.title for c in curves(tr.Saturation(), RATE)] == ["Transfer curve", "Harmonics"]
    assert [c.title for c in curves(tr.Gain(), RATE)] == ["Frequency response"]
    own = ModuleType("twinrack.plugins.gain.curves")
    own.curves = lambda effect, rate: [transfer_curve(effect, rate)]
    monkeypatch.setitem(sys.modules, own.__name__, own)
    assert [c.title for c in curves(tr.Gain(), RATE)] == ["Transfer curve"]


def test_the_curves_are_right():
    response = frequency_response(tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=6)]), RATE)
    assert np.interp(1000, response.x, response.y) == pytest.approx(6, abs=0.05)
    transfer = transfer_curve(tr.Compressor(threshold_db=-40, ratio=4, knee_db=0, attack_ms=0.1, release_ms=500), RATE)
    assert np.interp(-20, transfer.x, transfer.y) == pytest.approx(-35, abs=0.5)
    decay = decay_over_frequency(tr.FDNReverb(decay_s=1.5, decay_low_s=1.5, decay_high_s=1.5), RATE)
    assert np.all(np.abs(decay.y[2:-2] / 1.5 - 1) < 0.08)


def test_the_report_and_explanation_of_a_rack_with_a_controller(tmp_path):
    """A controller has no curve of its own: it moves values of others."""
    x = music(1, 2 * 48000, 48000, 3)
    rack = tr.Rack([tr.Controller(network=tr.ControlNetwork("gain.gain_db", hidden=[4])), tr.Gain()])
    assert curves(rack["controller"], 48000) == []
    result = tr.fit(rack, x, 0.5 * x, 48000, steps=2, polish_steps=0, progress=False)
    text = result.report(tmp_path / "r.html").read_text()
    assert "Controller" in text
    assert "Controller" in explanation(rack, x, 48000).report(tmp_path / "e.html").read_text()
