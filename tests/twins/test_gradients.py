"""The gradients: right in float64 for every learnable parameter of every card, and the same on both paths."""

from __future__ import annotations

import platform
import sys
import warnings

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import twinrack as tr
from support import CARD_IDS, decaying_noise, music, random_values, small_network
from twinrack.rack.idle import idle
from twinrack.twins import apply, keep_memory
from twinrack.twins import recursions as ops

RATE = 8000.0


def addresses(card_id: str) -> list[str]:
    """Learnable addresses; of a group, one item of each."""
    card = tr.CARDS[card_id]
    first = {f"{group.id}1" for group in card.groups}
    return [a for a, p in card.addresses.items() if p.learnable and ("." not in a or a.split(".")[0] in first)]


def settings(card_id: str, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    values = random_values(tr.CARDS[card_id], rng, "expected")
    return {a: v for a, v in values.items() if tr.CARDS[card_id].addresses[a].kind != "switch"}


def variants(card_id: str) -> list[dict]:
    """Choices that lead to different arithmetic."""
    if card_id == "parametric_eq":
        types = tr.CARDS[card_id].addresses["band1.type"].options[1:]
        return [{"band1.type": t, "warping": w} for t in types for w in ("matched", "bilinear")]
    if card_id == "compressor":
        common = {"sidechain_low_cut_hz": 60.0, "lookahead_ms": 1.0}
        return [
            common | {"detector": d, "ballistics": b, "envelope": e, "topology": t, "channel_mode": m}
            for d, b, e, t, m in [
                ("peak", "gain", "branching", "feed_forward", "maximum"),
                ("rms", "level", "decoupled", "feed_forward", "mean"),
                ("rms", "gain", "decoupled", "feedback", "power_mean"),
                ("peak", "level", "branching", "feedback", "maximum"),
                ("peak", "gain", "branching", "feedback", "magnitude_mean"),
                ("peak", "gain", "branching", "feed_forward", "magnitude_mean"),
                ("moving_rms", "level", "branching", "feed_forward", "mean"),
                ("moving_rms", "power", "two_stage", "feed_forward", "power_mean"),
                ("rms", "power", "branching", "feed_forward", "magnitude_mean"),
                ("peak", "power", "decoupled", "feedback", "maximum"),
                ("rms", "gain", "two_stage", "feedback", "mean"),
            ]
        ]
    if card_id == "gate":
        return [
            {"detector": d, "ballistics": b, "sidechain_low_cut_hz": 60.0, "threshold_db": -12.0}
            for d, b in (("peak", "gain"), ("rms", "gain"), ("moving_rms", "level"), ("peak", "power"))
        ]
    if card_id == "saturation":
        curves = tr.CARDS[card_id].addresses["curve"].options
        return [
            {"curve": c, "filters": ("linear_phase", "minimum_phase")[i % 2], "oversampling": "1248"[i % 4], "drive_db": 9.0}
            for i, c in enumerate(curves)
        ]
    if card_id == "crossover":
        options = (("2", "24"), ("3", "12"), ("4", "36"), ("6", "48"))
        return [{"number_of_bands": n, "slope_db_per_octave": slope} for n, slope in options]
    if card_id == "denoiser":
        return [{"noise": noise} for noise in ("track", "learn", "profile")]
    if card_id == "dynamic_eq":
        moving = {"frequency_hz": 2000.0, "threshold_db": -45.0, "ratio": 2.0, "range_db": -20.0, "attack_ms": 1.0}
        cases = (("bell", "above"), ("low_shelf", "above"), ("high_shelf", "below"), ("bell", "below"))
        both = [{"type": type, "when": when} | moving for type, when in cases]
        both[-1] |= {"threshold_db": -5.0}
        return [{f"band1.{name}": value for name, value in band.items()} for band in both]
    return [{}]


def resources(card_id: str) -> dict:
    """What effects are given besides, at the tests' rate."""
    made = {"response": lambda: decaying_noise(0.02, 2, RATE), "network": lambda: small_network(1)}
    found = {r["id"]: made.get(r["type"], lambda: None)() for r in tr.CARDS[card_id].resources}
    return {name: r for name, r in found.items() if r is not None}


def needed(card_id: str, variant: dict) -> set[str]:
    """Addresses that the sound depends on under these choices; the others have no gradient."""
    there = set(addresses(card_id))
    if variant.get("band1.type") in ("low_cut", "high_cut", "notch", "band_pass", "all_pass"):
        there -= {"band1.gain_db"}
    if variant.get("detector") == "peak" and variant.get("topology") != "feedback":
        there -= {"rms_window_ms"}
    card = tr.CARDS[card_id]
    if card.category in ("modulation", "delay") or card_id in ("crossover", "deesser", "denoiser"):
        there -= idle(card, {a: p.default for a, p in card.addresses.items()} | variant, 2)
    return there


@pytest.mark.parametrize("card", CARD_IDS)
def test_gradcheck_of_every_learnable_parameter(card):
    for number, variant in enumerate(variants(card)):
        fixed = settings(card, number) | variant
        x = torch.from_numpy(music(2, 700 if card == "fdn_reverb" else 200, RATE, number)).double()[None]
        for address in addresses(card):
            p = tr.CARDS[card].addresses[address]
            middle = float(fixed.get(address, p.default))
            if p.scale == "linear":  # away from the ends, where a finite difference would leave the range
                middle = float(np.clip(middle, p.min + 0.01 * (p.max - p.min), p.max - 0.01 * (p.max - p.min)))
            value = torch.tensor(middle, dtype=torch.float64, requires_grad=True)

            def sound(v, fixed=fixed, address=address, x=x):
                return apply(card, x, RATE, fixed | {address: v}, resources=resources(card))

            size = max(abs(middle), 1e-2)
            gradcheck(sound, (value,), eps=1e-6 * size, atol=2e-6, rtol=2e-4, fast_mode=True)


@pytest.mark.parametrize("card", CARD_IDS)
def test_both_paths_have_the_same_gradients(card):
    """For the sound, for values per item and for curves: fast and reference, to rounding."""
    frames = 300
    for number, variant in enumerate(variants(card)[: 11 if card == "compressor" else 4]):
        fixed = settings(card, number) | variant
        x = torch.from_numpy(np.stack([music(2, frames, RATE, s) for s in range(2)])).double()
        found = []
        for path in ("fast", "reference"):
            sound = x.clone().requires_grad_()
            given = dict(fixed)
            curves = []
            for address in addresses(card):
                p = tr.CARDS[card].addresses[address]
                ends = [p.position(e) for e in p.expected]
                shape = (2, 10) if len(curves) % 2 and not p.rebuilds else (2,)
                position = np.random.default_rng(len(curves)).uniform(*ends, shape) * 0.98 + 0.01
                value = p.min + (p.max - p.min) * position if p.scale == "linear" else p.min * (p.max / p.min) ** position
                curves.append(torch.from_numpy(value).requires_grad_())
                given[address] = curves[-1]
            y = apply(card, sound, RATE, given, path=path, resources=resources(card))
            weight = torch.from_numpy(np.random.default_rng(1).standard_normal(y.shape))
            found.append([y, *torch.autograd.grad((y * weight).sum(), [sound, *curves], allow_unused=True)])
            used = {a for a, g in zip(addresses(card), found[-1][2:], strict=True) if g is not None}
            assert used == needed(card, fixed)
        for name, a, b in zip(["y", "x", *addresses(card)], *found, strict=True):
            if a is not None and b is not None:
                scale = float(b.detach().abs().max()) + 1e-12
                assert float((a - b).detach().abs().max()) <= 1e-9 * scale, f"{card}, {variant}: {name}"


@pytest.mark.parametrize("decoupled", [False, True])
def test_gradcheck_of_the_follower(decoupled):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(0, 1, (3, 2, 100))).requires_grad_()
    c = torch.from_numpy(rng.uniform(0.05, 0.6, (3, 4, 2))).requires_grad_()
    assert gradcheck(lambda a, b: ops.follower(a, b, decoupled, "fast"), (x, c), atol=1e-6)


def test_second_derivatives_are_refused_on_the_fast_path():
    """The first ones may be taken in a way that a second could follow; the second says where it can be had."""
    x = torch.rand(1, 1, 64, dtype=torch.float64, requires_grad=True)
    c = torch.tensor([[[[0.1, 1.0, 1.0, 0.5, 0.2]]]], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad((ops.svf_cascade(x, c, "fast") ** 2).sum(), c, create_graph=True)
    with pytest.raises(RuntimeError, match="need the reference path"):
        grad.sum().backward()
    numbers = [torch.full((1, 1, 1), n, dtype=torch.float64, requires_grad=True) for n in (1000.0, 3.0, 1.0)]
    (grad,) = torch.autograd.grad(ops.design_filters(["bell"], True, *numbers, RATE).sum(), numbers[0], create_graph=True)
    with pytest.raises(RuntimeError, match="need the reference path"):
        grad.sum().backward()
    (grad,) = torch.autograd.grad((ops.svf_cascade(x, c, "reference") ** 2).sum(), c, create_graph=True)
    grad.sum().backward()


def test_fast_path_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="float32 or float64 on the CPU"):
        ops.follower(torch.rand(1, 1, 8, dtype=torch.float16), torch.rand(1, 1, 2), False, "fast")


def test_other_devices_take_the_reference_path():
    """On the "meta" device nothing can be computed by C++, so this passes only when the plain torch path is chosen."""
    x = torch.rand(1, 2, 40, device="meta")
    c = torch.rand(1, 1, 2, 5, device="meta")
    assert ops.svf_cascade(x, c).device.type == "meta"


def response(x, ratio, threshold):
    settings = {"ratio": ratio, "threshold_db": threshold, "attack_ms": 3.0}
    y = apply("compressor", x, RATE, settings)
    bands = {"band1.type": "bell", "band1.gain_db": threshold * 0.2, "band1.frequency_hz": 500.0 * ratio}
    return apply("fdn_reverb", apply("parametric_eq", y, RATE, bands), RATE, {"mix": 0.1 * ratio})


def test_vmap_over_parameters():
    """Values and gradients under torch.vmap, over parameters, over sounds and over both: as one after the other."""
    x = torch.from_numpy(np.stack([music(2, 400, RATE, s) for s in range(6)])).double().reshape(3, 2, 2, 400)
    ratio, threshold = torch.tensor([2.0, 3.0, 6.0]).double(), torch.tensor([-30.0, -24.0, -18.0]).double()

    def loss(x, ratio, threshold):
        return (response(x, ratio.reshape(1), threshold.expand(2)) ** 2).sum()

    grad = torch.func.grad(loss, argnums=(0, 1, 2))
    for places in ((0, 0, 0), (None, 0, 0), (0, None, 0), (0, None, None)):
        given = [v if place == 0 else v[0] for v, place in zip((x, ratio, threshold), places, strict=True)]
        single = [[v[i] if place == 0 else v for v, place in zip(given, places, strict=True)] for i in range(3)]
        for function in (loss, grad):
            together = torch.vmap(function, places)(*given)
            for i, arguments in enumerate(single):
                alone = function(*arguments)
                for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (together, alone)), strict=True):
                    torch.testing.assert_close(a[i], b, rtol=1e-9, atol=1e-9)


def test_under_torch_compile():
    x = torch.from_numpy(music(2, 400, RATE, 1))[None]
    ratio, threshold = (torch.tensor([v], requires_grad=True) for v in (3.0, -24.0))
    plain = response(x, ratio, threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(response, backend="aot_eager")(x, ratio, threshold)
    torch.testing.assert_close(compiled, plain)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), (ratio, threshold)) for y in (plain, compiled)), strict=True):
        torch.testing.assert_close(a, b)


def test_threads_and_repetition_change_nothing():
    """The same bits from one thread or two, at every run."""
    x = torch.from_numpy(np.stack([music(2, 3000, RATE, s) for s in range(12)]))

    def run(threads):
        torch.set_num_threads(threads)
        ratio = torch.linspace(2.0, 6.0, 12, requires_grad=True)
        y = response(x, ratio, -24.0 + 0.0 * ratio)
        return y.detach(), *torch.autograd.grad(y.square().sum(), ratio)

    before = torch.get_num_threads()
    try:
        found = [run(threads) for threads in (1, 2, 2)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_memory_is_kept_on_request():
    assert keep_memory() == (sys.platform == "linux" and platform.libc_ver()[0] == "glibc")
