"""What a network drives values through: `twin.map`, monotone, inside the range, 0 being the value as it is set."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

import twinrack as tr
from support import CARD_IDS, random_values
from twinrack.rack.effect import CLASSES
from twinrack.twins.constrain import moved, to_value

RATE = 44100.0


def parameters() -> list[tuple[str, str]]:
    return [(c, a) for c in CARD_IDS for a, p in tr.CARDS[c].addresses.items() if p.kind == "continuous" and "." not in a]


@pytest.mark.parametrize(("card", "name"), parameters())
def test_the_map_of_every_parameter(card: str, name: str):
    """At every place of the range: own at 0, monotone, inside, reaching towards both ends, finite slopes, none zero at 0."""
    p = tr.CARDS[card].addresses[name]
    u = (torch.arange(-1000, 1001, dtype=torch.float64) * 0.04).requires_grad_()
    for place in (0.0, 1e-9, 0.003, 0.2, 0.5, 0.77, 0.995, 1.0):
        own = float(p.at(place))
        value = moved(p, own, u)
        slope = torch.autograd.grad(value.sum(), u)[0]
        values = value.detach()
        assert float(values[1000]) == own
        assert bool((values.diff() >= -1e-13 * (p.max - p.min)).all())  # but for rounding
        assert float(values.min()) >= p.min
        assert float(values.max()) <= p.max
        assert p.position(float(values[0])) < 0.001 + 0.01
        assert p.position(float(values[-1])) > 0.999 - 0.01
        assert bool(torch.isfinite(slope).all())
        assert bool((slope >= 0).all())
        span = math.log(p.max / p.min) * own if p.scale != "linear" else p.max - p.min
        assert float(slope[1000]) == pytest.approx(0.25 * span, rel=1e-6)  # a quarter of the range, wherever it stands


def test_gradients_of_the_map_are_exact():
    p = tr.CARDS["compressor"].addresses["attack_ms"]
    u = torch.tensor([-3.0, -0.4, 0.2, 2.5], dtype=torch.float64, requires_grad=True)
    own = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, own: moved(p, own, u), (u, own))


@pytest.mark.parametrize("card", [c for c in CARD_IDS if c not in ("controller", "adapter", "convolution_reverb")])
def test_mapped_values_are_taken_in_every_shape(card: str):
    """Numbers, (batch,) and (batch, ticks), far beyond any range, in both precisions: never refused, finite."""
    rng = __import__("numpy").random.default_rng(3)
    effect = CLASSES[card]()
    for address, value in random_values(effect.card, rng, "expected").items():
        effect.set(address, value)
    twin = tr.Rack([effect]).twin(RATE)
    x = 0.1 * torch.randn(2, 2, 640, generator=torch.Generator().manual_seed(1))
    there = [a for a in twin.learnable() if not effect.card.addresses[a.partition(".")[2]].rebuilds]
    for shape in ((), (2,), (2, 20)):
        for size in (0.0, 1.0, 1e6):
            u = {a: size * torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, a in enumerate(there)}
            values = twin.map(u)
            assert {a: v.shape for a, v in values.items()} == {a: torch.Size(shape) for a in there}
            for sound in (x, x.double()):
                assert bool(torch.isfinite(twin(sound, values=values)).all())
    same = twin(x, values=twin.map({a: torch.zeros(2) for a in there}))
    assert torch.allclose(same, twin(x), atol=1e-6)


def test_the_type_follows_the_network():
    twin = tr.Rack(tr.Compressor()).twin(RATE)
    for given, expected in ((torch.float32, torch.float32), (torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        assert twin.map("compressor.ratio", torch.zeros(3, dtype=given)).dtype == expected
    assert twin["compressor"].map("ratio", torch.zeros(2)).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(("hidden", "start"), [(-30.0, -18.0), (-30.0, -60.0), (-10.0, -45.0)])
def test_a_head_that_begins_at_zero_finds_a_threshold(hidden: float, start: float):
    """One linear layer, zero-initialised, 80 steps of Adam; `to_value` never leaves -80 dB."""
    torch.manual_seed(0)
    x = 0.3 * torch.randn(1, 1, 8192)
    target = tr.Rack(tr.Compressor(threshold_db=hidden, ratio=4, attack_ms=1)).twin(RATE)(x).detach()
    twin = tr.Rack(tr.Compressor(threshold_db=start, ratio=4, attack_ms=1)).twin(RATE)
    for u in twin.parameters():
        u.requires_grad_(False)
    head = torch.nn.Linear(4, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    features = torch.tensor([[0.5, -1.0, 0.25, 1.0]])
    assert float(twin.map("compressor.threshold_db", head(features)[:, 0])) == start
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        value = twin.map("compressor.threshold_db", head(features)[:, 0])
        loss = (twin(x, values={"compressor.threshold_db": value}) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert abs(float(value.detach()) - hidden) < 1.0


def test_a_value_at_the_end_of_its_range_comes_back():
    """A mix that stands at 1 and is pushed further at first is not lost: later gradients bring it down."""
    p = tr.CARDS["compressor"].addresses["mix"]
    u = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.Adam([u], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (moved(p, 1.0, u) - 0.4).square().backward()
        optimizer.step()
    assert abs(float(moved(p, 1.0, u)) - 0.4) < 0.02


def test_to_value_warns_where_a_network_ends_in_it():
    p = tr.CARDS["compressor"].addresses["threshold_db"]
    head = torch.nn.Linear(2, 1)
    with pytest.warns(UserWarning, match="twin.map"):
        to_value(p, head(torch.ones(1, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_value(p, torch.tensor(0.3, requires_grad=True))
        twin = tr.Rack([tr.Compressor()]).twin(RATE)
        twin(torch.zeros(1, 1, 64), values=twin.map({"compressor.ratio": torch.zeros(1, requires_grad=True) * 1}))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("threshold_db", "did you mean 'compressor.threshold_db'"),
        ("compresor.ratio", "no effect 'compresor'; did you mean 'compressor'"),
        ("compressor.raito", "did you mean 'ratio'"),
        ("compressor.detector", "is a choice"),
        ("compressor.auto_makeup", "is a switch"),
        ("compressor.lookahead_ms", "sets the latency"),
    ],
)
def test_addresses_that_cannot_be_mapped(address: str, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        tr.Rack(tr.Compressor()).twin(RATE).map(address, torch.zeros(1))


def test_values_by_name_alone_are_answered():
    rack = tr.Rack([tr.Compressor(), tr.Gate()])
    for call in (
        lambda: rack.twin(RATE)(torch.zeros(1, 1, 64), values={"threshold_db": torch.zeros(1)}),
        lambda: rack.get("threshold_db"),
        lambda: rack.set("threshold_db", 1),
    ):
        with pytest.raises(ValueError, match=r"did you mean 'compressor\.threshold_db' or 'gate.threshold_db'"):
            call()
