"""The ladder names the rung and the block of planted faults, and finds nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from support import music
from twinrack.measure.difference import difference_db
from twinrack.measure.impulse import rt60
from twinrack.resources.architectures import Activation, Convolution, ConvStack
from twinrack.train.refine import refined
from twinrack.validation.claims import claims_of
from twinrack.validation.degradations import ladder
from twinrack.validation.failure_map import failure_map
from twinrack.validation.rooms import room_response
from twinrack.validation.swaps import Swaps

RATE = 48000


def voice(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Syllables of a voice without bass, with pauses: (2, frames)."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    x = np.zeros(t.size)
    at = 0.1
    while at < seconds - 0.4:
        length, pitch = rng.uniform(0.12, 0.3), rng.uniform(220, 300)
        inside = (t >= at) & (t < at + length)
        shape = np.sin(np.pi * (t[inside] - at) / length) ** 2
        x[inside] += shape * sum(np.sin(2 * np.pi * pitch * n * t[inside]) / n for n in range(1, 12)) * rng.uniform(0.3, 1.0)
        at += length + rng.uniform(0.3, 0.8)
    x *= 0.1 / np.sqrt(np.mean(x**2))
    return np.stack([x, 0.8 * x]).astype(np.float32)


def rungs(*families: str):
    return [r for r in ladder((), RATE) if r.family in families]


def first(found, family):
    return next((c for c in found.first_failures() if c.rung.family == family), None)


def test_a_linear_rack_departs_nowhere():
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.FDNReverb(mix=0.3), tr.Gain(gain_db=-3)])
    found = failure_map(rack, voice(3.0), RATE)
    assert max(c.value for c in found.cells if c.rung.family != "sample rate") < 0.01
    assert not found.first_failures()
    assert "behaves as on clean sound at every rung of: noise" in str(found)


def all_kinds() -> tr.Rack:
    network = tr.ControlNetwork(["parametric_eq.band1.gain_db"], (4,))
    network = tr.ControlNetwork(network.targets, (4,), np.random.default_rng(1).standard_normal(network.weights.size))
    return tr.Rack(
        [
            tr.Controller(network=network),
            tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3)]),
            tr.Limiter(input_gain_db=12),
            tr.Compressor(threshold_db=-30, ratio=4, lookahead_ms=3),
            tr.Parallel([[], [tr.Saturation(drive_db=12), tr.Gate(threshold_db=-40)]]),
            tr.Compressor(topology="feedback", threshold_db=-20),
        ]
    )


def test_swapped_blocks_do_on_the_clean_sound_what_they_did():
    x, rack = voice(2.0), all_kinds()
    y = rack(x, RATE)
    swaps = Swaps(rack, x, RATE)
    assert swaps.candidates == ["controller", "limiter", "compressor", "saturation", "gate", "compressor_2"]
    assert difference_db(swaps.render(x), y) < -100
    for address in swaps.candidates:
        assert difference_db(swaps.render(x, [address]), y) < -75, address
    assert difference_db(swaps.render(x, swaps.candidates), y) < -60


def test_a_key_from_outside_is_not_taken_away():
    x, key = voice(2.0), voice(2.0, 1)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, key="kick"), tr.Gain()])
    swaps = Swaps(rack, x, RATE, {"kick": key})
    assert difference_db(swaps.render(x), rack(x, RATE, sidechain={"kick": key})) < -100
    found = failure_map(rack, x, RATE, rungs=rungs("noise"), sidechain={"kick": key})
    assert not found.first_failures()  # noise on the sound does not move a compressor that listens to a kick


def test_noise_opens_a_gate():
    rack = tr.Rack([tr.Compressor(threshold_db=-12), tr.Gate(threshold_db=-45, range_db=50), tr.ParametricEQ()])
    cell = first(failure_map(rack, voice(), RATE, rungs=rungs("noise")), "noise")
    assert cell is not None
    assert cell.block == "gate"
    assert cell.share > 0.9
    assert "gate causes" in str(cell)


def hears(feature: int, weight: float, bias: float) -> tr.ControlNetwork:
    """Drives the presence band by one of the levels that a controller hears."""
    weights = np.zeros(7)
    weights[feature], weights[6] = weight, bias
    return tr.ControlNetwork(["parametric_eq.band1.gain_db"], (), weights)


def test_a_controller_that_listens_to_hum_is_named():
    """One rides by the level about 100 Hz, where this voice has nothing; the other by the level of all."""
    heard = {}
    for name, feature, threshold_dbfs in (("hum", 2, -55.0), ("voice", 1, -30.0)):
        bands = [tr.Band("bell", frequency_hz=3000, gain_db=0, q=1)]
        network = hears(feature, 12.0, -12.0 * (threshold_dbfs / 40.0 + 1.0))
        rack = tr.Rack([tr.Controller(network=network), tr.ParametricEQ(bands=bands), tr.Gain()])
        heard[name] = failure_map(rack, voice(), RATE, rungs=rungs("hum"))
    cell = first(heard["hum"], "hum")
    assert cell is not None
    assert cell.block == "controller"
    assert cell.rung.name == "mains hum, 30 dB SNR"
    healthy = first(heard["voice"], "hum")
    assert healthy is None or healthy.rung.name == "mains hum, 10 dB SNR"


def test_an_adapter_that_adds_aliasing_is_named():
    """A steep curve at the sample rate itself, between two blocks that do nothing of the kind."""
    layers = (Convolution(1, 1, 1, True, Activation()), Convolution(1, 1, 1, True, Activation("tanh")))
    stack = ConvStack(layers, 1)
    network = tr.Network(stack, np.array([8.0, 0.0, 0.8, 0.0]), RATE)
    rack = tr.Rack([tr.ParametricEQ(), tr.Adapter(network=network), tr.Compressor()])
    failed = [c for a, e in rack.addresses().items() for c in claims_of(e, RATE, a) if not c.holds]
    assert ("adapter", "aliasing") in {(c.address, c.name) for c in failed}
    assert {c.address for c in failed} == {"adapter"}


def test_a_compressor_trained_on_loud_passages_only_is_named():
    """Always above its threshold, threshold and makeup stand for each other; on quiet sound they do not."""
    equaliser = tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=2000, gain_db=6)])
    rms = {"detector": "rms", "rms_window_ms": 50, "knee_db": 0}
    true = tr.Rack([equaliser, tr.Compressor(threshold_db=-24, ratio=4, attack_ms=10, release_ms=150, **rms)])
    rng = np.random.default_rng(0)
    loud = np.clip(rng.standard_normal((2, 3 * RATE)) * 0.3 * (1 + 0.5 * np.sin(np.arange(3 * RATE) / 4000)), -1, 1)
    loud = loud.astype(np.float32)
    start = true.copy()
    start["compressor"].threshold_db = -40.0
    learn = ["compressor.ratio", "compressor.makeup_db", "compressor.attack_ms", "compressor.release_ms"]
    fitted = tr.fit(start, loud, true(loud, RATE), RATE, learn=learn, choices=(), align=False, progress=False).rack
    assert difference_db(fitted(loud, RATE), true(loud, RATE)) < -20  # near, in training
    found = failure_map(fitted, loud, RATE, rungs=rungs("quieter"), reference=lambda x, rate: true(x, rate))
    cell = first(found, "quieter")
    assert cell is not None
    assert (cell.measure.name, cell.block) == ("error", "compressor")
    assert "threshold_db -40 dB -> -2" in str(cell)


def test_a_reverb_fitted_on_one_level_is_named():
    """The real unit ducks its reverb: the louder the sound, the less of it. At one level any reverb matches that."""
    bands = [tr.Band("high_shelf", frequency_hz=6000, gain_db=-4)]

    def real(x, rate):
        level = 10 * np.log10(np.mean(x.astype(np.float64) ** 2))
        mix = float(np.interp(level, [-40, -10], [0.6, 0.05]))
        return tr.Rack([tr.ParametricEQ(bands=bands), tr.FDNReverb(decay_s=1.2, mix=mix)])(x, rate)

    x = music(2, 4 * RATE, RATE, 3)
    x *= np.float32(0.05 / np.sqrt(np.mean(x**2)))
    start = tr.Rack([tr.ParametricEQ(bands=bands), tr.FDNReverb(decay_s=1.2), tr.Gain()])
    fitted = refined(start, [x], [real(x, RATE)], RATE, ["fdn_reverb.mix", "gain.*"])
    assert difference_db(fitted(x, RATE), real(x, RATE)) < -35
    found = failure_map(fitted, x, RATE, rungs=rungs("louder", "quieter"), reference=real)
    for family in ("louder", "quieter"):
        cell = first(found, family)
        assert cell is not None, family
        assert cell.block == "fdn_reverb", str(cell)
        assert "mix" in str(cell)


def test_a_departure_by_design_is_no_failure():
    rack = tr.Rack([tr.Compressor(threshold_db=-30, ratio=6)])
    found = failure_map(rack, voice(), RATE, rungs=rungs("louder", "quieter"))
    assert not found.first_failures()
    assert any(c.departs for c in found.cells)
    assert "as it is made to follow the level" in str(found)
    rank = [r.name for r in rungs("noise")]
    usual = failure_map(rack, voice(), RATE, rungs=rungs("noise"))
    strict = failure_map(rack, voice(), RATE, rungs=rungs("noise"), tolerances={"gain over time": 0.01})
    assert rank.index(first(strict, "noise").rung.name) < rank.index(first(usual, "noise").rung.name)


def test_rungs_are_in_step_and_as_bad_as_they_say():
    x = voice(2.0)
    for rung in ladder((), RATE):
        y = rung.degrade(x, RATE)
        assert y.shape == x.shape, rung.name
        assert y.dtype == np.float32
        if "SNR" in rung.name:
            assert difference_db(y, x) == pytest.approx(-float(rung.name.split()[-3]), abs=0.2)
        if rung.family == "codec" and "5%" not in rung.name and "20%" not in rung.name:
            assert difference_db(y, x) < -15, rung.name  # in step
    for seconds in (0.2, 0.8):
        assert rt60(room_response(seconds, RATE, 2), RATE, -5.0, -25.0) == pytest.approx(seconds, rel=0.1)


def test_an_unknown_measure_is_named():
    with pytest.raises(ValueError, match="'loud' is not a measure; there are level, loudness"):
        failure_map(tr.Rack([tr.Gain()]), voice(1.0), RATE, tolerances={"loud": 1.0})


def test_a_rack_that_is_nothing_like_its_reference_is_said_to_be_so():
    """Only growth of the error counts on the ladder; a large error from the beginning is a sentence of its own."""
    wrong = tr.Rack([tr.Gate(threshold_db=-12, range_db=60)])
    found = failure_map(wrong, voice(2.0), RATE, rungs=rungs("noise"), reference=lambda x, rate: 0.1 * x)
    assert found.warnings()
    assert "on the clean sound the error against the reference" in str(found)
    assert not any(c.by_design for c in found.cells)
    alike = failure_map(wrong, voice(2.0), RATE, rungs=rungs("noise"), reference=lambda x, rate: wrong(x, rate))
    assert not alike.warnings()
    assert not alike.first_failures()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (lambda x, rate: x[:, :-10], "both must be the same"),
        (lambda x, rate: x[0], "both must be the same"),
        (lambda x, rate: x * np.nan, "gave NaN or infinity"),
    ],
)
def test_a_reference_that_is_no_sound_is_named(reference, words):
    with pytest.raises(ValueError, match=words):
        failure_map(tr.Rack([tr.Gain()]), voice(1.0), RATE, rungs=rungs("noise"), reference=reference)


def test_a_silent_reference_is_survived():
    found = failure_map(tr.Rack([tr.Gate()]), voice(1.0), RATE, rungs=rungs("noise"), reference=lambda x, rate: 0.0 * x)
    assert found.warnings()


@pytest.mark.parametrize(("rate", "channels"), [(96000, 2), (44100, 3), (8000, 1), (22050, 2)])
def test_every_rung_works_at_any_rate_and_number_of_channels(rate, channels):
    x = music(channels, rate, rate, 2)
    for rung in ladder((), rate):
        y = rung.degrade(x, rate)
        assert y.shape == x.shape, rung.name
        assert np.isfinite(y).all()


def test_a_network_for_one_rate_is_validated_at_it():
    network = tr.Network.lstm(4, 1, sample_rate=RATE, seed=1)
    rack = tr.Rack([tr.Adapter(network=network, connection="add")])
    found = failure_map(rack, voice(1.0), RATE, rungs=rungs("sample rate", "hum"))
    assert "sample rate" not in {c.rung.family for c in found.cells}
    assert found.cells


def test_a_block_that_promises_nothing_is_not_excused_for_following_the_level():
    def mutes(x, rate):
        return x * 0 if np.abs(x).max() > 1 else x

    rack = tr.Rack([tr.PythonEffect(mutes, name="broken")])
    cell = first(failure_map(rack, voice(), RATE, rungs=rungs("louder")), "louder")
    assert cell is not None
    assert cell.block == "broken"


def test_a_block_that_gives_silence_departs_nowhere():
    """The player that stands in for a block fades in before the sound begins."""
    rack = tr.Rack([tr.Adapter()])
    found = failure_map(rack, voice(1.0), RATE, rungs=rungs("noise", "louder"))
    assert not found.first_failures()
