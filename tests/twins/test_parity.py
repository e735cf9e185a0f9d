"""Promise 1, same sound: engine, fast twin and reference twin agree, for every card. Prints the table that docs quote.

The error is that of the difference, relative to the signal, in dB: at most -120 in the median and -100 in the worst case
(`support.error`).
"""

from __future__ import annotations

import copy
import os
from collections import defaultdict

import numpy as np
import pytest
import torch

import twinrack as tr
from support import CARD_IDS, error, error_db, make, music, random_curves, random_effect, random_values
from twinrack.twins import RackTwin

CASES = int(os.environ.get("TWINRACK_PARITY_CASES", "24"))
RATES = (48000, 44100, 8000, 96000, 192000, 22050, 384000)
CHANNELS = (1, 2, 3, 2, 16, 6, 1)
_table: dict[str, dict[str, float]] = defaultdict(dict)


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    columns = sorted({c for row in _table.values() for c in row})
    print("\nparity, worst error in dB (-300: bit for bit)")
    print(f"{'effect':<16}" + "".join(f"{c:>26}" for c in columns))
    for card, row in _table.items():
        print(f"{card:<16}" + "".join(f"{row[c]:>26.1f}" if c in row else " " * 26 for c in columns))


def check(card: str, what: str, errors: list[float]) -> None:
    _table[card][what] = max(errors)
    assert np.median(errors) <= -120, f"typical error {np.median(errors):.1f} dB"
    assert max(errors) <= -100, f"worst error {max(errors):.1f} dB in case {int(np.argmax(errors))}"


def run(twin: RackTwin, x: np.ndarray, dtype=torch.float32, **more) -> np.ndarray:
    with torch.no_grad():
        return twin(torch.from_numpy(x).to(dtype)[None], **more)[0].numpy()


@pytest.mark.parametrize("how", ["expected", "random", "extreme"])
@pytest.mark.parametrize("card", CARD_IDS)
def test_engine_equals_fast_twin(card, how):
    errors = []
    for case in range(CASES):
        rng = np.random.default_rng([case, len(how)])
        rate, channels = RATES[case % 7], CHANNELS[case % 7]
        x = music(channels, int(0.3 * rate), rate, case)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, how)])
        errors.append(error(run(rack.twin(rate), x), rack(x, rate), x))
    check(card, f"engine/fast, {how}", errors)


@pytest.mark.parametrize("card", CARD_IDS)
def test_reference_equals_engine_and_fast_twin(card):
    """In float64 the two paths are the same to rounding; in float32 both are close to the engine."""
    to_engine, to_fast = [], []
    for case in range(6):
        rng = np.random.default_rng([case, 77])
        rate, channels = (8000, 16000)[case % 2], 1 + case % 3
        x = music(channels, 1500, rate, case)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, "random" if case % 2 else "expected")])
        y = rack(x, rate)
        to_engine.append(error(run(RackTwin(rack, rate, "reference"), x), y, x))
        exact = run(RackTwin(rack, rate, "reference"), x, torch.float64)
        to_fast.append(error_db(run(RackTwin(rack, rate, "fast"), x, torch.float64), exact))
    check(card, "engine/reference", to_engine)
    check(card, "fast/reference, float64", to_fast)
    assert max(to_fast) <= -180


@pytest.mark.parametrize("card", CARD_IDS)
def test_parity_under_automation_at_every_tick(card):
    errors = []
    for case in range(CASES // 2):
        rng = np.random.default_rng([case, 5])
        rate, channels = RATES[case % 7], min(CHANNELS[case % 7], 3)
        frames = int(0.4 * rate)
        x = music(channels, frames, rate, case)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, "expected")])
        curves = random_curves(tr.CARDS[card], rng, -(-frames // 32))
        automation = {f"{card}.{a}": c for a, c in curves.items()}
        y = rack(x, rate, automation=automation)
        values = {a: torch.from_numpy(c)[None] for a, c in automation.items()}
        errors.append(error_db(run(rack.twin(rate), x, values=values), y))
    check(card, "automation", errors)


@pytest.mark.parametrize("card", CARD_IDS)
def test_twin_follows_the_traced_glides(card):
    """A parameter changed while it sounds: the engine's own record of the values, given to the twin, makes the same sound."""
    rng = np.random.default_rng(3)
    rate, frames = 48000, 19200
    x = music(2, frames, rate, 3)
    before = random_values(tr.CARDS[card], rng, "expected")
    rack = tr.Rack([make(tr.CARDS[card], before)])
    after = random_curves(tr.CARDS[card], rng, 6)
    changes = [(3000 * (1 + i % 5) + 7 * i, f"{card}.{a}", float(c[0])) for i, (a, c) in enumerate(after.items())]
    y, curves = rack.trace(x, rate, changes=changes)
    moved = {a: torch.from_numpy(c)[None] for a, c in curves.items() if a != f"{card}.{tr.CARDS[card].latency}"}
    check(card, "traced glide", [error_db(run(rack.twin(rate), x, values=moved), y)])


def test_batch_items_and_rows_are_independent():
    """Values per item give what separate calls give, for a module with every kind of recursion."""
    x = torch.from_numpy(np.stack([music(2, 9600, 48000, s) for s in range(3)]))
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell")]), tr.Compressor(), tr.FDNReverb(mix=0.5), tr.Gain()])
    twin = rack.twin(48000)
    each = {
        "parametric_eq.band1.gain_db": torch.tensor([-6.0, 3.0, 9.0]),
        "compressor.threshold_db": torch.tensor([-40.0, -30.0, -20.0]),
        "fdn_reverb.decay_s": torch.tensor([0.5, 1.0, 4.0]),
        "fdn_reverb.pre_delay_ms": torch.tensor([0.0, 5.3, 20.0]),
    }
    with torch.no_grad():
        together = twin(x, values=each)
        for i in range(3):
            alone = twin(x[i : i + 1], values={a: v[i] for a, v in each.items()})
            assert error_db(together[i].numpy(), alone[0].numpy()) < -120


def test_sidechain_and_parallel_with_latency():
    rate = 48000
    x, key = music(2, 24000, rate, 1), music(1, 24000, rate, 2)
    ducked = tr.Compressor(threshold_db=-40, ratio=10, key="voice", lookahead_ms=4, sidechain_low_cut_hz=120)
    slow = tr.Compressor(lookahead_ms=2.5, link_percent=30)
    rack = tr.Rack([tr.Parallel([[], [ducked, tr.Gain(gain_db=-3)], [slow]]), tr.Gain(gain_db=-6)])
    y = rack(x, rate, sidechain=key)
    z = run(rack.twin(rate), x, sidechain=torch.from_numpy(key)[None])
    assert error_db(z, y) < -120
    assert rack.twin(rate).latency == 192
    with pytest.raises(ValueError, match="sidechain 'voice'"):
        rack.twin(rate)(torch.from_numpy(x)[None])


def test_bypassed_effect_keeps_its_latency():
    rate = 48000
    x = music(2, 9600, rate, 1)
    rack = tr.Rack([tr.Parallel([[], [tr.Compressor(lookahead_ms=4, bypass=True)]])])
    assert np.array_equal(rack(x, rate), 2 * x)
    assert np.array_equal(run(rack.twin(rate), x), 2 * x)


@pytest.mark.parametrize("card", CARD_IDS)
def test_dynamic_gain_error(card):
    """For effects that change gain over time: the gain itself agrees within 0.001 dB wherever there is signal."""
    if not tr.CARDS[card].sidechain or "lookahead_ms" not in tr.CARDS[card].addresses:
        pytest.skip("not an effect that changes gain over time")
    worst, heard = 0.0, 0
    for case in range(8):
        rng = np.random.default_rng([case, 9])
        x = music(1, 24000, 48000, case) + 0.01 * np.sin(np.arange(24000) / 3).astype(np.float32)
        effect = random_effect(tr.CARDS[card], rng, "expected")
        effect.set("lookahead_ms", 0.0)
        rack = tr.Rack([effect])
        y, z = rack(x, 48000), run(rack.twin(48000), x)
        loud = np.abs(y) > 1e-4
        if not loud.any():
            continue
        heard += 1
        worst = max(worst, float(np.max(np.abs(20 * np.log10(np.abs(z[loud]) / np.abs(y[loud]))))))
    assert heard >= 4
    print(f"{card}: largest gain error {worst:.6f} dB")
    assert worst <= 0.001


def test_float64_twin_is_close():
    x = music(2, 9600, 48000, 4)
    rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.Compressor(), tr.FDNReverb(), tr.Gain()])
    assert error_db(run(rack.twin(48000), x, torch.float64), rack(x, 48000)) < -110


def test_a_twin_can_be_copied_and_saved(tmp_path):
    rack = tr.Rack([tr.Gain(name="values", gain_db=-3), tr.Parallel([[], [tr.Compressor(lookahead_ms=1)]])])
    x = torch.from_numpy(music(2, 4800, 48000, 1))[None]
    twin = rack.twin(48000)
    torch.save(twin, tmp_path / "twin.pt")
    for other in (copy.deepcopy(twin), torch.load(tmp_path / "twin.pt", weights_only=False)):
        with torch.no_grad():
            assert torch.equal(other(x), twin(x))
        other.load_state_dict(twin.state_dict())
        assert other.to_rack() == rack


def test_a_twin_refuses_what_would_change_its_latency():
    x = torch.zeros(1, 1, 480)
    with pytest.raises(ValueError, match="sets the latency; set it in the rack"):
        tr.Rack([tr.Compressor()]).twin(48000)(x, values={"compressor.lookahead_ms": 5.0})
    with pytest.raises(ValueError, match="sets the latency"):
        tr.Rack([tr.Compressor()]).trace(np.zeros(480), 48000, changes=[(0, "compressor.lookahead_ms", 5.0)])


@pytest.mark.parametrize("topology", ["feed_forward", "feedback"])
def test_the_low_cut_goes_on_and_off(topology):
    x = music(2, 24000, 48000, 2)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8, topology=topology)])
    curve = np.where(np.arange(750) // 50 % 2 == 0, 10.0, 300.0).astype(np.float32)
    y = rack(x, 48000, automation={"compressor.sidechain_low_cut_hz": curve})
    for path in ("fast", "reference"):
        part = x if path == "fast" else x[:, :4800]
        values = {"compressor.sidechain_low_cut_hz": torch.from_numpy(curve[: -(-part.shape[1] // 32)])[None]}
        assert error_db(run(RackTwin(rack, 48000, path), part, values=values), y[:, : part.shape[1]]) < -110
    both = torch.from_numpy(np.stack([x, x]))
    with torch.no_grad():
        z = rack.twin(48000)(both, values={"compressor.sidechain_low_cut_hz": torch.tensor([10.0, 500.0])})
    assert error_db(z[0].numpy(), rack(x, 48000)) < -110


@pytest.mark.parametrize("card", CARD_IDS)
def test_reference_at_the_ends_of_the_ranges(card):
    """Every parameter at an end; of a group, two items: sixteen extreme bands in series are beyond what float32 holds."""
    errors = []
    for case in range(10):
        rng = np.random.default_rng([case, 31])
        values = random_values(tr.CARDS[card], rng, "extreme")
        few = {a: v for a, v in values.items() if "." not in a or a.split(".")[0].rstrip("12")[-1].isalpha()}
        x = music(2, 1200, 16000, case)
        rack = tr.Rack([make(tr.CARDS[card], few)])
        y = rack(x, 16000)
        errors.append(error(run(RackTwin(rack, 16000, "reference"), x, torch.float64), y, x))
    check(card, "engine/reference, extreme", errors)
