"""The output's energy is divided among input samples and biases without loss, and exactly where the rack is linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music
from twinrack.explain import Rules, relevance
from twinrack.resources.architectures import Architecture
from twinrack.twins.networks import network
from twinrack.twins.propagation import propagating

RATE = 16000


def with_biases(net: tr.Network, seed: int = 0) -> tr.Network:
    """The network with random weights and biases of a size that counts."""
    random = np.random.default_rng(seed)
    architecture: Architecture = net.architecture
    return tr.Network(architecture, 0.3 * random.standard_normal(net.weights.size), sample_rate=None)


NETWORKS = {"wavenet": tr.Network.wavenet(), "lstm": tr.Network.lstm(6), "gru": tr.Network.gru(6)}
RACKS = {
    "linear": [tr.ParametricEQ(bands=[tr.Band("bell", gain_db=9)]), tr.FDNReverb(mix=0.4), tr.Gain(gain_db=-3)],
    "dynamics": [tr.Gate(threshold_db=-50), tr.Compressor(threshold_db=-30, ratio=6), tr.Limiter(input_gain_db=12)],
    "curve": [tr.Saturation(drive_db=20, bias=0.2)],
    "branches": [tr.Parallel([[], [tr.Limiter(input_gain_db=9), tr.Saturation()]]), tr.Compressor(threshold_db=-30)],
    "bypassed": [tr.Compressor(bypass=True), tr.Gain()],
}


@pytest.mark.parametrize("name", RACKS)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sum_is_conserved(name, channels):
    x = music(channels, 4000, RATE, 1)
    result = relevance(tr.Rack([item.copy() for item in RACKS[name]]), x, RATE, (0.1, 0.2))
    y = tr.Rack([item.copy() for item in RACKS[name]])(x, RATE)[:, 1600:3200].astype(float)
    assert result.energy == pytest.approx(float(np.sum(y**2)), rel=1e-3)
    assert abs(result.lost) < 0.01
    assert abs(result.rest) < 0.02 * result.energy
    assert "conserved within" in str(result)
    assert np.any(result.detector) == (name in ("dynamics", "branches"))


def test_linear_blocks_are_exact():
    x = music(1, 2000, RATE, 2)
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=9)]), tr.Gain(gain_db=6)])
    impulse = np.zeros(2000, np.float32)
    impulse[0] = 1.0
    h = rack.copy()(impulse, RATE).astype(np.float64)
    matrix = np.array([[h[n - k] if n >= k else 0.0 for k in range(2000)] for n in range(1000, 1500)])
    y = matrix @ x[0].astype(np.float64)
    wanted = x[0] * (matrix.T @ y)
    result = relevance(rack, x, RATE, (1000 / RATE, 1500 / RATE))
    np.testing.assert_allclose(result.input[0], wanted[:1500], atol=1e-4 * np.abs(wanted).max())


def test_a_gain_that_follows_the_sound_counts_as_constant():
    x = music(1, 3000, RATE, 3)
    rack = tr.Rack([tr.Compressor(threshold_db=-30, ratio=6)])
    y = rack.copy()(x, RATE).astype(np.float64)
    result = relevance(rack, x, RATE, (0.0, 3000 / RATE))
    np.testing.assert_allclose(result.input, y**2, atol=1e-4 * float((y**2).max()))  # each sample has its own energy


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rules", [Rules(), Rules(gamma=0.25), Rules(gamma=float("inf"))])
def test_networks_divide_among_input_and_biases(name, rules):
    net = with_biases(NETWORKS[name])
    x = music(1, 600, RATE, 4)
    rack = tr.Rack([tr.Adapter(network=net, keep_dc=True), tr.Gain(gain_db=-6)])
    result = relevance(rack, x, RATE, (300 / RATE, 600 / RATE), rules=rules)
    assert abs(result.lost) < 0.01
    assert abs(result.biases) > 1e-6 * result.energy  # they have a part of their own
    assert float(result.input.sum()) + result.biases == pytest.approx(result.energy, rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_rules_leave_the_sound_as_it_is_and_are_gone_afterwards(name):
    net = with_biases(NETWORKS[name])
    x = torch.from_numpy(music(1, 300, RATE, 5))[None].double().requires_grad_(True)
    weights = torch.from_numpy(net.at(RATE).copy()).double()
    plain = network(x, net, weights)
    with propagating(Rules(gamma=0.5)):
        ruled = network(x, net, weights)
    torch.testing.assert_close(ruled, plain, atol=1e-9, rtol=1e-6)
    slopes = [torch.autograd.grad(y.square().sum(), x, retain_graph=True)[0] for y in (plain, ruled)]
    assert not torch.allclose(*slopes)
    again = torch.autograd.grad(network(x, net, weights).square().sum(), x)[0]
    torch.testing.assert_close(again, slopes[0])


def test_epsilon_takes_up_relevance_and_says_so():
    rack = tr.Rack([tr.Adapter(network=with_biases(NETWORKS["wavenet"]), keep_dc=True)])
    result = relevance(rack, music(1, 600, RATE, 4), RATE, (300 / RATE, 600 / RATE), rules=Rules(epsilon=0.05))
    assert abs(result.lost) > 0.001


def test_what_cannot_be_asked_is_one_sentence():
    x = music(1, 1000, RATE, 1)
    with pytest.raises(ValueError, match="is not inside the sound"):
        relevance(tr.Rack([tr.Gain()]), x, RATE, (0.01, 3.0))
    with pytest.raises(ValueError, match="gamma is -1"):
        Rules(gamma=-1.0)
