"""Controllers: engine and twin ride the same curves, which can be seen; nothing leaves its range; training finds the rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music
from twinrack.twins import RackTwin

RATE = 16000
TARGETS = ("compressor.threshold_db", "parametric_eq.band1.gain_db", "parametric_eq.band1.frequency_hz")


def loud_network(targets=TARGETS, hidden=(5,), seed: int = 0, size: float = 1.0) -> tr.ControlNetwork:
    """One that moves what it drives."""
    quiet = tr.ControlNetwork(targets, hidden)
    rng = np.random.default_rng(seed)
    return tr.ControlNetwork(targets, hidden, size * rng.standard_normal(quiet.weights.size))


def rack_with(network: tr.ControlNetwork | None, **more) -> tr.Rack:
    bands = [tr.Band("bell", frequency_hz=900, gain_db=-2, q=1)]
    effects = [tr.Controller(network=network, **more), tr.Compressor(threshold_db=-30), tr.ParametricEQ(bands=bands), tr.Gain()]
    return tr.Rack(effects)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_engine_and_twin_ride_alike(seed: int, channels: int):
    x = music(channels, 2 * RATE, RATE, seed)
    rack = rack_with(loud_network(seed=seed), amount=0.7)
    y = rack(x, RATE)
    with torch.no_grad():
        fast = rack.twin(RATE)(torch.from_numpy(x)[None])[0].numpy()
        exact = RackTwin(rack, RATE, "reference")(torch.from_numpy(x[:, :4000])[None].double())[0].numpy()
    assert error_db(fast, y) < -100
    assert error_db(exact, y[:, :4000]) < -90
    still = rack_with(None)(x, RATE)
    assert error_db(y, still) > -40  # it does something


def test_blocks_change_nothing():
    x = music(2, RATE, RATE, 1)
    rack = rack_with(loud_network())
    whole = rack(x, RATE)
    for block in (1, 17, 64, 700):
        rack.prepare(RATE, 2)
        y = np.concatenate([rack.process(x[:, n : n + block]) for n in range(0, x.shape[1], block)], 1)
        assert np.array_equal(y, whole)


def test_the_curves_can_be_seen_and_stay_inside_their_ranges():
    x = music(1, 2 * RATE, RATE, 2)
    rack = rack_with(loud_network(size=30.0))
    _, curves = rack.trace(x, RATE)
    for target in TARGETS:
        effect, _, name = target.partition(".")
        p = rack[effect].card.addresses[name]
        curve = curves[target]
        assert curve.min() >= p.min
        assert curve.max() <= p.max
        positions = [p.position(float(v)) for v in curve]
        assert np.ptp(positions) > 0.3
    assert np.ptp(curves["gain.gain_db"]) == 0
    rack["controller"].amount = 0.0
    _, curves = rack.trace(x, RATE)
    assert np.all(curves["compressor.threshold_db"] == -30)
    rack["controller"].amount = 1.0
    wild = tr.ControlNetwork(TARGETS, (5,), np.full(rack["controller"].network.weights.size, 3e38))
    for amount in (0.0, 1.0):
        rack["controller"].network, rack["controller"].amount = wild, amount
        y, curves = rack.trace(x, RATE)
        assert np.isfinite(y).all()
        assert all(np.isfinite(c).all() for c in curves.values())
        with torch.no_grad():
            assert torch.isfinite(rack.twin(RATE)(torch.from_numpy(x)[None])).all()
    rack["controller"].network = loud_network(size=30.0)
    rack["controller"].bypass = True
    assert np.array_equal(rack(x, RATE), rack_with(None)(x, RATE))


def test_a_quiet_network_moves_nothing_and_learns():
    """The hidden rule: the louder the key, the lower the sound (ducking). A gain is driven by what the controller hears."""
    x = music(1, 6 * RATE, RATE, 3)
    level = 10 * np.log10(np.convolve(x[0] ** 2, np.ones(1600) / 1600, "same") + 1e-6)
    wanted = (x * 10 ** (np.clip(-(level + 40) / 3, -12, 0) / 20)).astype(np.float32)
    network = tr.ControlNetwork(["gain.gain_db"], (6,), seed=1)
    rack = tr.Rack([tr.Controller(network=network), tr.Gain()])
    assert np.array_equal(rack(x, RATE), x)
    settings = {"learn": ["controller.network"], "window_s": 1.0, "batch": 4, "network_learning_rate": 0.02, "progress": False}
    result = tr.fit(rack, x, wanted, RATE, steps=200, **settings)
    print(f"nothing {result.nothing}; ridden {result.fitted}")
    assert result.fitted.error_db < result.nothing.error_db - 8
    _, curves = result.rack.trace(x, RATE)
    assert np.corrcoef(curves["gain.gain_db"], level[::32][: curves["gain.gain_db"].size])[0, 1] < -0.5


def test_a_key_and_a_patch(tmp_path: Path):
    x, key = music(2, RATE, RATE, 4), music(1, RATE, RATE, 5)
    rack = rack_with(loud_network(), key="voice")
    y = rack(x, RATE, sidechain=key)
    with torch.no_grad():
        twin = rack.twin(RATE)(torch.from_numpy(x)[None], sidechain=torch.from_numpy(key)[None])[0].numpy()
    assert error_db(twin, y) < -100
    assert error_db(rack(x, RATE, sidechain=0 * key), y) > -60
    rack.save(tmp_path / "a.rack.json")
    again = tr.load(tmp_path / "a.rack.json")
    assert again == rack
    assert np.array_equal(again(x, RATE, sidechain=key), y)
    tr.certify(rack)


def test_automation_moves_what_is_ridden():
    """A curve moves the value that the network moves about."""
    x = music(1, RATE, RATE, 6)
    rack = rack_with(loud_network())
    curve = np.linspace(-50, -10, RATE // 32).astype(np.float32)
    y = rack(x, RATE, automation={"compressor.threshold_db": curve})
    with torch.no_grad():
        values = {"compressor.threshold_db": torch.from_numpy(curve)[None]}
        twin = rack.twin(RATE)(torch.from_numpy(x)[None], values=values)[0].numpy()
    assert error_db(twin, y) < -100


def test_what_cannot_be_driven_is_named():
    def play(*effects) -> None:
        tr.Rack(effects)(np.zeros(64), RATE)

    def driving(*targets: str) -> tr.Controller:
        return tr.Controller(network=tr.ControlNetwork(targets))

    with pytest.raises(ValueError, match=r"controller drives 'gain\.gian_db': gain has no parameter 'gian_db'; did you mean"):
        play(driving("gain.gian_db"), tr.Gain())
    with pytest.raises(ValueError, match="stands before it; put controller before"):
        play(tr.Gain(), driving("gain.gain_db"))
    with pytest.raises(ValueError, match="which is a choice; only numbers"):
        play(driving("compressor.detector"), tr.Compressor())
    with pytest.raises(ValueError, match="sets the latency"):
        play(driving("compressor.lookahead_ms"), tr.Compressor())
    with pytest.raises(ValueError, match="driven by two controllers"):
        play(driving("gain.gain_db"), driving("gain.gain_db"), tr.Gain())
    with pytest.raises(ValueError, match="at least one value, and each once"):
        tr.ControlNetwork([])
    with pytest.raises(TypeError, match=r"is a tr\.ControlNetwork"):
        tr.Controller(network=tr.Network.mlp())
