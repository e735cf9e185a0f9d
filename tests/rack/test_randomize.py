"""Racks with random values, and twins driven by one vector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import music

RATE = 48000


def strip() -> tr.Rack:
    bands = [tr.Band("bell", frequency_hz=1000), tr.Band("low_cut")]
    return tr.Rack(
        [
            tr.ParametricEQ(bands=bands),
            tr.Bands([[tr.Compressor(lookahead_ms=2)], [tr.Saturation()]]),
            tr.Gate(bypass=True),
            tr.FDNReverb(mix=0.2),
        ]
    )


def test_values_come_from_what_is_expected():
    """Spread over the whole part, the same for the same seed, and nothing else moves."""
    rack, seen = strip(), {}
    for seed in range(200):
        made = tr.randomize(rack, seed)
        for address, value in made.values().items():
            seen.setdefault(address, []).append(value)
    assert tr.randomize(rack, 5) == tr.randomize(rack, 5)
    assert tr.randomize(rack, 5) != tr.randomize(rack, 6)
    moved = {a for a, values in seen.items() if len(set(values)) > 1}
    assert {"parametric_eq.band1.frequency_hz", "compressor.threshold_db", "crossover.split1_hz", "fdn_reverb.mix"} <= moved
    fixed = {"compressor.lookahead_ms", "crossover.number_of_bands", "gate.threshold_db", "parametric_eq.band3.gain_db"}
    assert not moved & (fixed | {"parametric_eq.band1.type", "saturation.curve"})
    for address in moved:
        effect, _, name = address.partition(".")
        p = rack[effect].card.addresses[name]
        low, high = (p.position(end) for end in p.expected)
        places = np.array([p.position(float(v)) for v in seen[address]])
        assert places.min() >= low - 1e-6
        assert places.max() <= high + 1e-6
        assert np.quantile(places, 0.1) < low + 0.25 * (high - low)
        assert np.quantile(places, 0.9) > low + 0.75 * (high - low)
    assert rack == strip()


def test_only_some_move_and_choices_if_asked():
    rack = strip()
    some = tr.randomize(rack, 1, only=["compressor.*", "*.mix"])
    all_of_them = tr.randomize(rack, 1)
    for address, value in some.values().items():
        wanted = all_of_them if address.startswith("compressor.") or address.endswith(".mix") else rack
        assert value == wanted.get(address)
    curves = {tr.randomize(rack, seed, choices=True).get("saturation.curve") for seed in range(40)}
    assert len(curves) > 3
    far = [tr.randomize(rack, seed, within="range").get("compressor.ratio") for seed in range(60)]
    p = rack["compressor"].card.addresses["ratio"]
    assert max(far) > p.expected[1]
    with pytest.raises(ValueError, match="value to draw"):
        tr.randomize(rack, only="compresor.*")
    with pytest.raises(ValueError, match="within is 'all'; 'expected' or 'range' was expected"):
        tr.randomize(rack, within="all")


def test_a_vector_drives_a_twin():
    """0 and 1 are the ends of each range; gradients reach every number; batches have values of their own."""
    rack = tr.Rack([tr.Compressor(), tr.Saturation()])
    twin = rack.twin(RATE)
    assert twin.num_params == len(twin.learnable())
    ends = twin.denormalize(torch.tensor([[0.0] * twin.num_params, [1.0] * twin.num_params]))
    for address, value in ends.items():
        effect, _, name = address.partition(".")
        p = rack[effect].card.addresses[name]
        assert value.tolist() == pytest.approx([p.min, p.max])
    x = torch.from_numpy(np.stack([music(2, 4800, RATE, s) for s in range(2)]))
    params = torch.rand(2, twin.num_params, generator=torch.Generator().manual_seed(1)).mul(0.6).add(0.2).requires_grad_()
    y = twin.process_normalized(x, params)
    y.square().sum().backward()
    assert params.grad is not None
    assert int((params.grad != 0).sum(0).min()) >= 0
    assert (params.grad.abs().sum(0) > 0).float().mean() > 0.6
    for item in range(2):
        values = {a: float(v[item]) for a, v in twin.denormalize(params.detach()).items()}
        alone = twin(x[item : item + 1], values=values)
        assert torch.allclose(alone[0], y[item], atol=1e-6)
    assert torch.equal(twin.process_normalized(x[:1], params[0]), twin.process_normalized(x[:1], params[:1]))
    with pytest.raises(ValueError, match="numbers were expected, one for each"):
        twin.process_normalized(x, params[:, :-1])
    with pytest.raises(ValueError, match="put a sigmoid before them"):
        twin.process_normalized(x, params * 3)
