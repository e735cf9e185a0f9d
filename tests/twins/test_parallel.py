"""The form for other devices, on the CPU: what scans and blocks compute is what the loops of the reference compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twinrack as tr
from support import CARD_IDS, error, error_db, music, random_curves, random_effect
from twinrack.twins import RackTwin, parallel, reference
from twinrack.twins.recursions import find_recursion, svf_cascade

RATE = 16000


def run(rack: tr.Rack, x: np.ndarray, path: str, **more) -> np.ndarray:
    with torch.no_grad():
        return RackTwin(rack, RATE, path)(torch.from_numpy(x).double()[None], **more)[0].numpy()


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_effect_sounds_the_same(card: str):
    errors = []
    for case in range(4):
        rng = np.random.default_rng([case, 5])
        x = music(1 + case % 2, 6000, RATE, case)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, "random" if case % 2 else "expected")])
        errors.append(error(run(rack, x, "parallel"), run(rack, x, "fast"), x))
        curves = {a: torch.from_numpy(v).double()[None] for a, v in random_curves(tr.CARDS[card], rng, 188).items()}
        moving = {f"{next(iter(rack.addresses()))}.{a}": v for a, v in curves.items()}
        errors.append(error(run(rack, x, "parallel", values=moving), run(rack, x, "fast", values=moving), x))
    print(f"{card}: {max(errors):.0f} dB")
    assert max(errors) < -160


def tensors(*shapes: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(map(sum, shapes)))
    return [(low + (high - low) * torch.rand(s, dtype=torch.float64, generator=generator)).requires_grad_() for s in shapes]


def compare(name: str, *inputs, extra=()) -> None:
    """Values and all gradients."""
    recursion = find_recursion(name)
    found = []
    for form in (recursion.parallel, recursion.reference):
        y = form(*inputs, *extra)
        learned = [t for t in inputs if t.requires_grad]
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
        found.append([y.detach(), *torch.autograd.grad((y * weights).sum(), learned)])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11), name


@pytest.mark.parametrize("ticks", [1, 10])
@pytest.mark.parametrize("rows", [1, 2])
def test_values_and_gradients_are_those_of_the_loops(rows: int, ticks: int):
    x, level, gain = tensors((2, 3, 300), (2, 3, 300), (rows, ticks))
    (c,) = tensors((rows, ticks, 2, 5), low=0.1)
    compare("svf_cascade", x, c)
    (times,) = tensors((rows, ticks, 2), low=0.001, high=0.4)
    for kind in (0, 1):
        compare("follower", level, times, extra=([kind],))
    compare("allpass", x, gain, extra=([7, 31, 400],))
    settings = torch.cat([*tensors((rows, ticks, 9), low=0.05, high=0.5)], -1)
    settings = (settings * torch.tensor([-40.0, 1, 6, 40, 2, 1, 1, 0.1, 0.3])).detach().requires_grad_()
    for choices in ([1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 2, 2], [1, 2, 0], [1, 0, 2]):
        compare("compressor.feed_forward", level, settings, extra=(choices,))
    lines = [37 + 3 * i for i in range(16)]
    (shelf,) = tensors((rows, ticks, 2, 5, 16), low=0.05, high=0.3)
    angle = torch.linspace(0, 1, rows * (ticks + 1 if ticks > 1 else 1) * 8, dtype=torch.float64).reshape(rows, -1, 8)
    turns = torch.stack([angle.cos(), angle.sin()], 2).requires_grad_()
    compare("feedback_network", x[:, :2].detach().requires_grad_(), shelf, turns, extra=(lines,))


def test_gates_open_and_hold_alike():
    rng = np.random.default_rng(3)
    for seed in range(20):
        level = torch.from_numpy(np.convolve(rng.standard_normal(800), np.ones(5 + seed), "same")).expand(1, 2, -1)
        hold = torch.from_numpy(rng.integers(0, 40, (1, 800 if seed % 2 else 1)))
        upper, lower = level > 1.0, level > 0.2
        assert torch.equal(parallel.gate_open(upper, lower, hold), reference.gate_open(upper, lower, hold))


def test_a_loop_is_gone():
    """Twenty seconds in a few scans: the loop over frames would take minutes."""
    x = torch.from_numpy(music(1, 20 * RATE, RATE, 1))[None]
    c = torch.tensor([0.3, 0.8, 1.0, 0.5, 0.2]).reshape(1, 1, 1, 5)
    y = svf_cascade(x, c, "parallel")
    assert error_db(y.numpy(), svf_cascade(x, c, "fast").numpy()) < -110
