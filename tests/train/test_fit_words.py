"""What a fit says: lines while it runs without a terminal, notes that are worth reading, and what to try next."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import twinrack as tr
from twinrack.measure.residual import Residual
from twinrack.train import progress as progress_module
from twinrack.train.addresses import learned_in_rack
from twinrack.train.advice import verdict, worst_band
from twinrack.train.polish import uncertainty
from twinrack.train.progress import FitProgress
from twinrack.train.result import ParameterResult, in_units
from twinrack.twins.constrain import from_value

RATE = 16000


def noise(seconds: float = 2.0, channels: int = 1) -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal((channels, int(seconds * RATE)))).astype(np.float32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Time that passes when told to."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds(clock, capsys):
    bar = FitProgress(300, None)
    with bar:
        for step in range(1, 301):
            clock[0] += 0.5
            bar.step(step, 0.5, {"compressor.ratio": 3.0}, -20.0 - step / 10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 15
    first = re.fullmatch(r"fit: training (\d+)/300, about (\d+) (s|min) left  error (-\d+\.\d) dB  loss .*ratio 3", lines[0])
    assert first
    assert lines[9].startswith("fit: training 200/300, about 50 s left  error -40.0 dB")


def test_combinations_are_counted_over_all_rounds(clock, capsys):
    bar = FitProgress(300, None)
    with bar:
        for number in range(1, 21):
            bar.trying(number, 20, (number - 1) / 20)
            clock[0] += 11.0
        bar.step(1, 0.5, {}, None)
    lines = capsys.readouterr().err.splitlines()
    assert "fit: trying combinations 11 of 20, about 110 s left" in "\n".join(lines).replace("2 min", "110 s")
    assert lines[-1].startswith("fit: training 1/300")


@pytest.mark.parametrize("wanted", [None, True, False])
def test_a_fit_without_a_terminal_speaks(wanted: bool | None, monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    x = noise(1.0)
    rack = tr.Rack(tr.Compressor())
    choices = {"compressor.detector": ("peak", "rms"), "compressor.ballistics": ("gain", "level")}
    tr.fit(rack, x, 0.5 * x, RATE, steps=4, polish_steps=1, choices=choices,
           learn=["compressor.makeup_db"], progress=wanted)  # fmt: skip
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fit: ")]
    if wanted is False:
        assert not lines
    else:
        # four combinations, of which three go on: seven in all
        numbers = [line.split()[3] for line in lines if "combinations" in line]
        assert numbers == [str(n) for n in range(1, 8)]
        assert all("of 7" in line for line in lines if "combinations" in line)
        assert any(re.match(r"fit: training 4/4.*loss", line) for line in lines)


def result(address: str, value: float, error: float | None, determined: bool | None = True) -> ParameterResult:
    effect, _, name = address.partition(".")
    p = tr.CARDS[effect].addresses[name]
    return ParameterResult(address, 0.0, value, p.unit, p.min, p.max, p.expected, error, determined)


def test_an_octave_is_uncertain():
    """449 Hz ± 310 Hz says nothing; 449 ± 20 does; of dB and times accordingly."""
    for address, value, error, determined in (
        ("parametric_eq.band1.frequency_hz", 449.0, 310.0, False),
        ("parametric_eq.band1.frequency_hz", 449.0, 160.0, False),
        ("parametric_eq.band1.frequency_hz", 449.0, 20.0, True),
        ("compressor.attack_ms", 4.0, 3.0, False),
        ("compressor.attack_ms", 4.0, 0.3, True),
        ("compressor.threshold_db", -24.0, 1.0, True),
        ("compressor.threshold_db", -24.0, 20.0, False),
    ):
        effect, _, name = address.partition(".")
        p = tr.CARDS[effect].addresses[name]
        u = from_value(p, value)
        slope = (from_value(p, value * 1.001 if value > 0 else value + 0.01) - u) / (value * 0.001 if value > 0 else 0.01)
        found, known = in_units(p, u, error * slope)
        assert known is determined, (address, error, found)
        assert found == pytest.approx(error, rel=0.6)


def test_expected_ranges_do_not_cry_wolf():
    assert result("compressor.makeup_db", -0.02156, 0.01).inside_expected
    assert result("compressor.mix", 0.9972, None).inside_expected
    assert not result("compressor.makeup_db", -1.0, 0.1).inside_expected
    assert result("compressor.makeup_db", -1.0, 2.0).inside_expected  # it may as well be inside


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (449.123, 310.4, "449 ± 310 Hz"), (449.123, 0.0123, "449.123 ± 0.012 Hz"), (449.123, None, "449.1 Hz"),
        (1000.4, 2.345, "1000.4 ± 2.3 Hz"), (0.00001, 0.3, "0 ± 0.30 Hz"),
    ],
)  # fmt: skip
def test_values_are_rounded_to_their_errors(value: float, error: float | None, text: str):
    assert result("parametric_eq.band1.frequency_hz", value, error).text == text


def test_what_does_nothing_is_not_trained():
    bands = [tr.Band("low_cut", frequency_hz=90), tr.Band("bell"), tr.Band("notch")]
    rack = tr.Rack([tr.ParametricEQ(bands=bands), tr.Compressor(), tr.Gate(detector="rms")])
    twin = rack.twin(RATE)
    chosen = set(learned_in_rack(twin, None, (), 2).values)
    assert "parametric_eq.band2.gain_db" in chosen
    assert "gate.rms_window_ms" in chosen
    left_out = {"parametric_eq.band1.gain_db", "parametric_eq.band3.gain_db", "compressor.rms_window_ms"}
    assert set(twin.learnable()) - chosen == left_out
    mono = {"compressor.link_percent", "gate.link_percent"}
    assert set(twin.learnable()) - set(learned_in_rack(twin, None, (), 1).values) == left_out | mono
    assert learned_in_rack(twin, ["parametric_eq.band1.gain_db"], (), 2).values == ["parametric_eq.band1.gain_db"]
    assert "parametric_eq.band1.gain_db" not in learned_in_rack(twin, ["parametric_eq.*"], (), 2).values
    with pytest.raises(ValueError, match=r"limiter\.link_percent does nothing in this rack"):
        learned_in_rack(tr.Rack(tr.Limiter()).twin(RATE), ["limiter.link*"], (), 1)


def test_values_that_stand_for_each_other_are_named():
    """Two gains in a row, whatever the residual; two that act apart are not."""
    torch.manual_seed(0)
    a, b, c = (torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64)) for _ in range(3))
    x, y = torch.randn(2, 4000, dtype=torch.float64)
    nearly, rest = x + 0.05 * torch.randn(4000, dtype=torch.float64), torch.randn(4000, dtype=torch.float64)

    def sound() -> torch.Tensor:
        return a * x + b * nearly + c * y

    errors, alike = uncertainty([a, b, c], sound, rest)
    assert alike == [(0, 1)]
    assert errors[2] < errors[0]
    assert uncertainty([a, c], sound, rest)[1] == []


def test_advice_after_a_fit_that_does_not_fit():
    x = noise(4.0)
    hidden = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=8, q=3)])])
    wet = hidden(x, RATE)
    found = tr.fit(tr.Rack([tr.Compressor(threshold_db=0)]), x, wet, RATE, steps=12, polish_steps=0, progress=False,
                   learn=["compressor.makeup_db"])  # fmt: skip
    words = "\n".join(found.advice)
    assert re.search(r"fits worst around (794|1000|1260) Hz", words), words
    assert 'choices=["compressor.detector"' in words
    assert "starts=3" in words
    assert all(f"next: {sentence}" in str(found) for sentence in found.advice)
    assert found.rack.provenance["advice"] == found.advice
    reached = tr.fit(tr.Rack([tr.Gain()]), x, 0.5 * x, RATE, steps=30, progress=False)
    assert reached.fitted.error_db < -60
    assert not reached.advice


def test_more_steps_are_advised_while_the_error_falls():
    x = noise(2.0)
    start = tr.Rack([tr.Gain(gain_db=-20)])
    found = tr.fit(start, x, x, RATE, steps=40, polish_steps=0, learning_rate=0.004, progress=False)
    assert any("more steps, such as steps=80" in sentence for sentence in found.advice), found.advice


def test_the_worst_band_is_none_where_all_are_alike():
    x = noise(2.0)
    assert worst_band([(0.9 * x, x)], RATE) is None
    assert worst_band([(x, x)], RATE) is None


def test_a_curve_that_does_not_reach_its_target_gets_filters_and_then_a_network():
    """Step by step, as the residual says; echoes are no matter of a curve."""
    left = Residual(-20.0, 0.9, 0.1, 0.2, 0.1, 0.9)
    eq, curve = tr.ParametricEQ, tr.Saturation
    for effects, words in (
        ([curve()], "try a ParametricEQ before and after saturation"),
        ([eq(), curve()], "try a ParametricEQ after saturation"),
        ([curve(), eq()], "try a ParametricEQ before saturation"),
        ([eq(), curve(), eq(bypass=True)], "try a ParametricEQ after saturation"),
        ([eq(), curve(), eq()], "try an Adapter with a Network at the end"),
        ([eq(), curve(), eq(), tr.Adapter()], "the structure of saturation or adapter does not fit"),
        ([eq()], "no block of the rack does that: try a Saturation"),
    ):
        (sentence,) = verdict(tr.Rack(effects), left)
        assert "the target is not reached" in sentence
        assert words in sentence, sentence
    for effects, words in (
        ([tr.Limiter()], "try a Compressor before limiter"),
        ([tr.Compressor(), tr.Limiter()], "the structure of compressor or limiter does not fit"),
    ):
        assert words in verdict(tr.Rack(effects), Residual(-20.0, 0.9, 0.1, 0.8, 0.1, 0.9))[0]
    assert "a gain that changes" in verdict(tr.Rack([tr.Compressor()]), Residual(-30.0, 0.9, 0.3, 0.8, 0.5, 0.8))[0]
    assert "Reverb" in verdict(tr.Rack([curve()]), Residual(-5.0, 0.05, 0.01, 0.01, 0.6, 0.9))[0]
    assert verdict(tr.Rack([curve()]), Residual(-70.0, 0.9, 0.1, 0.2, 0.1, 0.9)) == []
