"""A plain fit of a rack with a plugin in it: the plugin's values and those of exact blocks beside it, by renders alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

import twinrack as tr
from plugin_support import GOOD, MDA, RATE, needs_host
from twinrack.cloning.material import material

pytestmark = needs_host
X = material(RATE)[:, : 6 * RATE]


def test_a_plugin_and_an_equaliser_are_found_together(odd):
    odd(GOOD)

    def rack(gain: float, bell: float, hertz: float) -> tr.Rack:
        band = tr.Band("bell", frequency_hz=hertz, gain_db=bell, q=1.0)
        return tr.Rack([tr.Plugin("odd", gain=gain, name="plugin"), tr.ParametricEQ(bands=[band], name="eq")])

    hidden, start = rack(-7.5, 6.0, 900.0), rack(0.0, 1.0, 2000.0)
    learn = ["plugin.gain", "eq.band1.gain_db", "eq.band1.frequency_hz"]
    result = tr.fit(start, X, hidden(X, RATE), RATE, learn=learn, progress=False)
    assert result.fitted.error_db < -60
    assert result.rack.get("plugin.gain") == pytest.approx(-7.5, abs=0.05)
    assert result.rack.get("eq.band1.frequency_hz") == pytest.approx(900.0, rel=0.01)
    assert {p.address for p in result.parameters} == set(learn)
    assert all(p.standard_error is not None and p.standard_error < 0.1 * (p.high - p.low) for p in result.parameters)
    assert re.search("plugin has no twin, so all slopes are differences of its renders", str(result))
    assert start.get("plugin.gain") == 0.0
    again = tr.fit(start, X, hidden(X, RATE), RATE, learn=learn, progress=False)
    assert again.rack == result.rack


def test_a_python_function_may_stand_beside_exact_blocks():
    hidden = tr.Rack([tr.PythonEffect(lambda x, rate: np.tanh(2 * x)), tr.Gain(gain_db=-4)])
    start = tr.Rack([hidden[0].copy(), tr.Gain()])
    result = tr.fit(start, X, hidden(X, RATE), RATE, progress=False)
    assert result.rack.get("gain.gain_db") == pytest.approx(-4.0, abs=0.01)


def test_refusals():
    rack = tr.Rack([tr.Plugin(f"{MDA}Limiter")])
    for settings in ({"steps": 10}, {"starts": 2}, {"loss": tr.losses.STFT()}):
        with pytest.raises(ValueError, match="lv2_mda_limiter has no twin, so only a plain fit is possible"):
            tr.fit(rack, X, X, RATE, progress=False, **settings)
    with pytest.raises(ValueError, match="no learnable parameter 'nothing"):
        tr.fit(rack, X, X, RATE, learn=["nothing.*"], progress=False)
