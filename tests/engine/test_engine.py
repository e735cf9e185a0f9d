"""What the engine promises for every effect, run over all cards: block sizes, reset, silence, hostile input, formats."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, blocks_of, error_db, music, random_effect, random_values
from twinrack import _engine

RATES = (8000, 11025, 22050, 32000, 44100, 48000, 88200, 96000, 192000, 384000)


def stream(rack: tr.Rack, x: np.ndarray, rate: float, size: int) -> np.ndarray:
    rack.prepare(rate, x.shape[0])
    return np.concatenate([rack.process(np.ascontiguousarray(b)) for b in blocks_of(x, size)], axis=1)


def everything() -> tr.Rack:
    """A rack with every effect, branches and latency."""
    rng = np.random.default_rng(4)
    return tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("bell", gain_db=5), tr.Band("low_cut", slope_db_per_octave="36")]),
            tr.Bands([[tr.Compressor(threshold_db=-30)], [], [tr.Limiter(lookahead_ms=1.1)]], splits_hz=[240, 3100]),
            tr.Parallel([[], [tr.Compressor(lookahead_ms=1.7, threshold_db=-35), tr.Gain(gain_db=-4)]]),
            *[random_effect(card, rng, "expected") for card in tr.CARDS.values() if card.id != "compressor"],
        ]
    )


@pytest.mark.parametrize("card", CARD_IDS)
@pytest.mark.parametrize("size", [1, 7, 32, 64, 1000, 4096])
def test_output_does_not_depend_on_block_size(card, size):
    for seed in range(3):
        rng = np.random.default_rng([seed, 1])
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, ("expected", "random", "extreme")[seed])])
        x = music(2, 6000, 48000, seed)
        assert np.array_equal(stream(rack, x, 48000, size), stream(rack, x, 48000, 6000))


@pytest.mark.parametrize("size", [1, 7, 32, 64, 1000, 4096])
def test_block_size_with_changes_while_it_sounds(size):
    """Parameters set, bypass and a new structure at the same frames: the same sound, whatever the blocks between them."""

    def play(cut: int) -> np.ndarray:
        rack = everything()
        x = music(2, 24000, 48000, 8)
        rack.prepare(48000, 2)
        parts = []
        for i, part in enumerate(blocks_of(x, 4001)):  # changes fall inside ticks
            if i == 1:
                rack["compressor"].ratio = 12
                rack.set("parametric_eq.band1.gain_db", -9)
            if i == 2:
                rack["fdn_reverb"].bypass = True
            if i == 3:
                rack.append(tr.Gain(gain_db=-6))
            if i == 4:
                rack["fdn_reverb"].bypass = False
                rack["gain"].gain_db = 3
            parts += [rack.process(np.ascontiguousarray(b)) for b in blocks_of(part, cut)]
        return np.concatenate(parts, axis=1)

    assert np.array_equal(play(size), play(512))


@pytest.mark.parametrize("card", CARD_IDS)
def test_choices_and_switches_come_to_rest_whatever_the_blocks(card):
    """Set while it sounds: the way there ends, and the sound is then that of the new setting."""
    rng = np.random.default_rng(6)
    x = music(2, 24000, 48000, 8)
    for name, p in tr.CARDS[card].addresses.items():
        if p.kind == "continuous" or ("." in name and not name.startswith("band1.")):
            continue
        effect = random_effect(tr.CARDS[card], rng, "expected")
        value = p.at(1.0 - p.place(effect.get(name)))

        def play(cut: int, effect=effect, name=name, value=value) -> np.ndarray:
            rack = tr.Rack([effect.copy()])
            rack.prepare(48000, 2)
            first = rack.process(x[:, :4001])
            rack.set(f"{card}.{name}", value)
            return np.concatenate([first, *(rack.process(np.ascontiguousarray(b)) for b in blocks_of(x[:, 4001:], cut))], 1)

        assert np.array_equal(play(32), play(20000)), name
        assert np.array_equal(play(7), play(20000)), name


def test_a_polarity_ends_exactly_there():
    rack = tr.Rack([tr.Gain(gain_db=0.0)])
    rack.prepare(48000, 2)
    x = music(2, 48000, 48000, 1)
    rack.process(x[:, :1000])
    rack["gain"].polarity = "invert"
    y = rack.process(x[:, 1000:])
    assert np.array_equal(y[:, 2000:], -x[:, 3000:])


@pytest.mark.parametrize("card", CARD_IDS)
def test_block_size_with_any_values_set_while_it_sounds(card):
    """What was set is turned to over many ticks, by glides or by the effect itself, and stands when it is there."""

    def play(seed: int, cut: int) -> np.ndarray:
        rng, apart = np.random.default_rng([seed, 5]), (501, 1201)[seed % 2]
        effect = random_effect(tr.CARDS[card], rng, "expected")
        rack = tr.Rack([effect])
        rack.prepare(48000, 2)
        parts = []
        for part in blocks_of(music(2, 12000, 48000, seed), apart):
            for name, value in random_values(effect.card, rng).items():
                p = effect.card.addresses[name]
                if rng.random() < 0.2 and not p.rebuilds and not (p.kind == "continuous" and name == effect.card.latency):
                    effect.set(name, value)
            parts += [rack.process(np.ascontiguousarray(b)) for b in blocks_of(part, cut)]
        return np.concatenate(parts, axis=1)

    for seed in range(8):
        assert np.array_equal(play(seed, 2000), play(seed, 100))


@pytest.mark.parametrize("card", CARD_IDS)
def test_rendering_again_gives_the_same(card, rng):
    rack = tr.Rack([random_effect(tr.CARDS[card], rng, "expected")])
    x = music(2, 9600, 48000, 1)
    first = rack(x, 48000)
    assert np.array_equal(rack(x, 48000), first)
    rack.prepare(48000, 2)
    rack.process(music(2, 9600, 48000, 2))
    rack.prepare(48000, 2)  # a new stream remembers nothing
    latency = rack.latency_frames
    assert np.array_equal(rack.process(x)[:, latency:], first[:, : first.shape[1] - latency])


@pytest.mark.parametrize("card", CARD_IDS)
def test_silence_in_silence_out_after_the_tail(card, rng):
    effect = random_effect(tr.CARDS[card], rng, "expected")
    for address, p in effect.card.addresses.items():
        if p.kind == "switch":
            effect.set(address, False)  # a frozen reverb never ends; it has its own test
    rack = tr.Rack([effect])
    y = rack(np.concatenate([music(2, 9600, 48000, 1), np.zeros((2, 48000 * 14), np.float32)], axis=1), 48000)
    assert np.max(np.abs(y[:, -48000:])) < 1e-7
    assert not np.any(rack(np.zeros((2, 9600), np.float32), 48000))


@pytest.mark.parametrize("card", CARD_IDS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_non_finite_input_never_comes_out_and_is_counted(card, poison, rng):
    rack = tr.Rack([random_effect(tr.CARDS[card], rng)])
    x = music(2, 9600, 48000, 2)
    x[1, 4000:4003] = poison
    rack.prepare(48000, 2)
    y = rack.process(x)
    assert np.isfinite(y).all()
    assert rack.input_faults == 3
    clean = x.copy()
    clean[1, 4000:4003] = 0
    rack.prepare(48000, 2)
    assert np.array_equal(rack.process(clean), y)  # a non-finite sample counts as silence


@pytest.mark.parametrize("card", CARD_IDS)
def test_denormal_tiny_huge_and_clipped_input(card):
    for seed in range(6):
        rng = np.random.default_rng([seed, 2])
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, ("random", "extreme")[seed % 2])])
        x = music(2, 4800, 48000, seed)
        for loud in (x * 1e-39, x * 1e-20, np.clip(x * 50, -1, 1), x * 1e6, x * 1e30):
            y = rack(loud.astype(np.float32), 48000)
            assert np.isfinite(y).all()


def test_an_effect_that_overflows_is_reset_faded_and_counted():
    rack = tr.Rack([tr.Gain(gain_db=24), tr.Gain(gain_db=0)])
    x = np.full((1, 9600), 3e38, np.float32)
    x[:, 3200:] = 0.25
    rack.prepare(48000, 1)
    y = np.concatenate([rack.process(np.ascontiguousarray(b)) for b in blocks_of(x, 320)], axis=1)
    assert np.isfinite(y).all()
    meters = rack.meters()
    assert meters["gain"].faults > 0
    assert meters["gain_2"].faults == 0
    assert y[0, -1] == pytest.approx(0.25 * 10 ** (24 / 20), rel=1e-4)  # it came back


@pytest.mark.parametrize("card", CARD_IDS)
def test_every_rate_and_channel_count(card):
    for i, rate in enumerate(RATES):
        rng = np.random.default_rng([i, 3])
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, "expected")])
        y = rack(music(2, 2000, rate, i), rate)
        assert y.shape == (2, 2000)
        assert np.isfinite(y).all()
    for channels in range(1, 17):
        rng = np.random.default_rng([channels, 4])
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, "expected")])
        x = music(channels, 2000, 48000, channels)
        y = rack(x, 48000)
        assert y.shape == x.shape
        assert np.isfinite(y).all()


@pytest.mark.parametrize("card", CARD_IDS)
def test_no_frames_and_one_frame(card, rng):
    rack = tr.Rack([random_effect(tr.CARDS[card], rng)])
    assert rack(np.zeros((2, 0), np.float32), 48000).shape == (2, 0)
    assert rack(np.zeros((2, 1), np.float32), 48000).shape == (2, 1)
    rack.prepare(48000, 1)
    assert rack.process(np.zeros((1, 0), np.float32)).shape == (1, 0)
    assert rack.process(np.zeros(1, np.float32)).shape == (1,)


def test_a_swap_is_a_crossfade():
    rate = 48000
    x = np.full((1, 48000), 0.5, np.float32)
    rack = tr.Rack([tr.Gain()])
    rack.prepare(rate, 1)
    first = rack.process(x[:, :1000].copy())
    rack.append(tr.Gain(gain_db=-20))
    y = np.concatenate([first, rack.process(x[:, 1000:].copy())], axis=1)[0]
    assert y[0] == 0.5
    assert y[-1] == pytest.approx(0.05, rel=1e-5)
    assert np.max(np.abs(np.diff(y))) < 0.5 / 500  # spread over 1024 frames
    rack.remove("gain_2")
    rack.process(x.copy())
    assert rack.process(x.copy())[0, -1] == 0.5


def test_meters_say_what_went_through():
    rack = tr.Rack([tr.Compressor(threshold_db=-20, ratio=4, attack_ms=0.1, knee_db=0), tr.Gain(gain_db=-6)])
    rack.prepare(48000, 1)
    assert rack.meters()["compressor"].peak_in_db == -np.inf
    tone = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000).astype(np.float32)
    rack.process(tone)
    rack.meters()
    rack.process(tone)
    m = rack.meters()
    assert m["compressor"].peak_in_db == pytest.approx(0, abs=0.01)
    assert m["compressor"].rms_in_db == pytest.approx(-3.01, abs=0.01)
    assert 10 < m["compressor"].gain_reduction_db < 15.1
    assert m["gain"].peak_in_db == pytest.approx(m["compressor"].peak_out_db, abs=1e-6)
    assert m["gain"].rms_out_db == pytest.approx(m["gain"].rms_in_db - 6, abs=0.01)
    rack.process(0.01 * tone)  # the loud tone before is forgotten
    assert rack.meters()["compressor"].peak_in_db == pytest.approx(-40, abs=0.01)
    rack["gain"].bypass = True
    rack.process(tone)
    rack.meters()
    for _ in range(20):
        rack.process(tone)
    m = rack.meters()["gain"]
    assert m.rms_out_db == pytest.approx(m.rms_in_db, abs=1e-6)


def test_parallel_branches_null():
    """Dry minus the same dry through a bypass-like branch with latency: nothing is left."""
    slow = tr.Compressor(threshold_db=0, ratio=1, lookahead_ms=5)
    rack = tr.Rack([tr.Parallel([[tr.Gain(polarity="invert")], [slow]])])
    x = music(2, 24000, 48000, 1)
    assert np.max(np.abs(rack(x, 48000))) < 1e-7


def test_dry_wet_mix_is_what_it_says():
    rack = tr.Rack([tr.dry_wet(tr.Compressor(ratio=1, lookahead_ms=3), 0.3)])
    x = music(2, 9600, 48000, 1)
    assert error_db(rack(x, 48000), x) < -90


def test_several_racks_run_in_several_threads_at_once():
    """The same racks, one after the other and all at once, give the same; and the interpreter is free meanwhile."""
    x = music(2, 48000 * 4, 48000, 1)
    racks = [everything() for _ in range(4)]
    alone = racks[0](x, 48000)
    results: list[np.ndarray | None] = [None] * 4

    def work(i: int) -> None:
        results[i] = racks[i](x, 48000)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    ticks = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.001)
        ticks += 1
    for result in results:
        assert np.array_equal(result, alone)
    assert ticks > 5  # this thread ran while they worked


def test_a_storm_of_changes_from_another_thread():
    """Parameters, bypass, structure and meters from one thread, sound in another: finite, and ends where it was told."""
    rack = everything()
    rack.prepare(48000, 2)
    x = music(2, 512, 48000, 1)
    stop = threading.Event()
    outputs = []

    def audio() -> None:
        while not stop.is_set():
            outputs.append(bool(np.isfinite(rack.process(x)).all()))

    thread = threading.Thread(target=audio)
    thread.start()
    rng = np.random.default_rng(0)
    for i in range(400):
        rack["compressor"].threshold_db = float(rng.uniform(-60, 0))
        rack["fdn_reverb"].mix = float(rng.uniform(0, 1))
        rack["gain"].bypass = bool(i % 2)
        if i % 40 == 0:
            rack.append(tr.Gain(gain_db=float(rng.uniform(-6, 0)), name=f"extra_{i}"))
        rack.meters()
        time.sleep(0.0005)
    stop.set()
    thread.join()
    assert len(outputs) > 50
    assert all(outputs)


def test_a_full_queue_says_so_and_changes_nothing():
    rack = tr.Rack([tr.Gain()])
    rack.prepare(48000, 1)
    for i in range(16384):
        rack["gain"].gain_db = -float(i % 50) - 1
    before = rack["gain"].gain_db
    with pytest.raises(RuntimeError, match="changes wait"):
        rack["gain"].gain_db = -3
    assert rack["gain"].gain_db == before
    with pytest.raises(RuntimeError, match="changes wait"):
        rack["gain"].bypass = True
    assert not rack["gain"].bypass
    rack.append(tr.Gain())  # a new structure needs no room there, and takes in what is set while it waits
    rack["gain"].gain_db = -3
    for i in range(20000):
        rack["gain_2"].gain_db = -float(i % 50)
    rack.process(np.zeros(9600, np.float32))
    expected = -3 + rack["gain_2"].gain_db
    assert rack.process(np.ones(64, np.float32))[-1] == pytest.approx(10 ** (expected / 20))


def memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("runs", [False, True])
def test_changes_of_structure_that_wait_take_no_memory(runs):
    """4000 of them: a program with a reverb takes half a megabyte, and one fades in every 21 ms of sound."""
    rack = tr.Rack([tr.Compressor(), tr.FDNReverb(), tr.Limiter()])
    rack.prepare(48000, 2)
    x = np.zeros((2, 64), np.float32)

    def change(times: int) -> None:
        for _ in range(times):
            rack.append(tr.Gain())
            rack.remove("gain")
            if runs:
                rack.process(x)

    change(100)
    before = memory_mb()
    change(1900)
    assert memory_mb() - before < 30


@pytest.mark.parametrize("runs", [False, True])
def test_what_is_set_after_many_changes_is_heard_after_two_crossfades(runs):
    rack = tr.Rack([tr.Gain()])
    rack.prepare(48000, 1)
    for i in range(200):
        rack.append(tr.Gain(gain_db=-float(i % 50)))
        if runs:
            rack.process(np.ones(32, np.float32))
        rack.remove("gain_2")
    rack["gain"].gain_db = -6.0
    y = rack.process(np.ones(2 * rack.running.engine.swap_frames + 32 * 32, np.float32))
    assert y[-1] == pytest.approx(10 ** (-6 / 20), abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_was_changed_while_others_waited_is_heard(seed):
    """Any order of values, bypasses, structures and blocks of any length ends in the sound of a rack made like it."""
    random = np.random.default_rng(seed)
    rack = tr.Rack([tr.Gain(), tr.ParametricEQ(bands=[tr.Band("bell")]), tr.Gain()])
    rack.prepare(48000, 1)
    for _ in range(300):
        address = random.choice(list(rack.addresses()))
        match random.integers(6):
            case 0 if len(rack.effects) < 8:
                rack.insert(int(random.integers(len(rack.effects) + 1)), tr.Gain(gain_db=random.uniform(-6, 6)))
            case 1 if len(rack.effects) > 2 and address.startswith("gain"):
                rack.remove(address)
            case 2:
                rack.effects = tuple(random.permutation(np.array(rack.effects, object)))
            case 3:
                rack[address].bypass = bool(random.integers(2))
            case 4 if random.integers(3) == 0:
                rack.process(np.zeros(int(random.integers(1, 1500)), np.float32))
            case _ if address.startswith("gain"):
                rack[address].gain_db = random.uniform(-6, 6)
            case _:
                rack[address].bands[0].gain_db = random.uniform(-6, 6)
    rack.process(np.zeros(48000, np.float32))
    x = music(1, 4800, 48000, seed)[0]
    assert np.max(np.abs(rack.process(x) - rack.copy()(x, 48000))) < 1e-5


@pytest.mark.parametrize("change", ["bypass", "swap"])
def test_lookahead_never_drops_out(change):
    """Un-bypassing an effect with lookahead, or adding one: a constant stays what it is while the delay fills."""
    slow = tr.Compressor(lookahead_ms=20, ratio=1)
    rack = tr.Rack([slow] if change == "bypass" else [slow, tr.Gain()])
    x = np.full(9600, 0.5, np.float32)
    rack.prepare(48000, 1)
    rack.process(x)
    if change == "bypass":
        slow.bypass = True
        rack.process(x)
        slow.bypass = False
    else:
        rack.append(tr.Gain())
    assert np.min(rack.process(x)) > 0.499


def test_a_fault_sounds_the_same_in_any_blocks():
    x = music(2, 9600, 48000, 1)
    x[0, 1300] = 3e38

    def play(size: int) -> np.ndarray:
        return stream(tr.Rack([tr.Gain(gain_db=24), tr.Compressor()]), x, 48000, size)

    whole = play(9600)
    assert np.isfinite(whole).all()
    for size in (1, 7, 64, 512, 1000):
        assert np.array_equal(play(size), whole)


def test_a_poisoned_sidechain_counts_as_silence():
    rack = tr.Rack([tr.Compressor(key="k", threshold_db=-40, ratio=20, sidechain_low_cut_hz=100)])
    x = np.full((1, 9600), 0.5, np.float32)
    key = np.sin(2 * np.pi * 500 * np.arange(9600) / 48000).astype(np.float32)[None]
    bad = key.copy()
    bad[0, 4000] = np.nan
    rack.prepare(48000, 1)
    y = rack.process(x, sidechain=bad)
    assert rack.input_faults == 1
    assert np.isnan(bad[0, 4000])  # the caller's array is left alone
    assert np.allclose(y[0, -100:], rack(x, 48000, sidechain=key)[0, -100:], atol=0.01)


def test_only_what_can_change_the_latency_asks_for_it(monkeypatch):
    """The question builds an effect, so a value that glides must not put it."""
    asked = []
    latency = _engine.effect_latency
    monkeypatch.setattr(_engine, "effect_latency", lambda *given: asked.append(given) or latency(*given))
    rack = tr.Rack([tr.Compressor(), tr.Limiter(), tr.Saturation(), tr.Gain()])
    rack.prepare(48000, 1)
    for effect in rack.effects:
        for name, p in effect.card.addresses.items():
            asked.clear()
            value = p.options[-1] if p.kind == "choice" else not effect.get(name) if p.kind == "switch" else p.at(0.6)
            effect.set(name, value)
            can_change = effect.card.latency != "none" and (p.kind != "continuous" or name == effect.card.latency)
            assert bool(asked) == (p.rebuilds or can_change), f"{effect.card.id}.{name}"
    assert sum(effect.card.latency != "none" for effect in rack.effects) == 3


def test_latency_changes_rebuild_and_other_choices_do_not():
    """A choice that leaves the latency as it is keeps what sounds: the reverb behind the compressor rings on."""
    rack = tr.Rack([tr.Compressor(), tr.FDNReverb(mix=1, decay_s=4)])
    rack.prepare(48000, 2)
    rack.process(music(2, 24000, 48000, 1))
    silence = np.zeros((2, 4800), np.float32)
    before = np.sqrt(np.mean(rack.process(silence) ** 2))
    rack["compressor"].detector = "rms"
    rack.process(silence)
    assert np.sqrt(np.mean(rack.process(silence) ** 2)) > 0.5 * before
    rack["compressor"].lookahead_ms = 5
    rack.process(silence)
    assert rack.latency_frames == 240


def test_frozen_reverb_holds_its_level():
    rack = tr.Rack([tr.FDNReverb(mix=1, early_db=-60)])
    rack.prepare(48000, 2)
    rack.process(music(2, 48000, 48000, 1))
    rack["fdn_reverb"].freeze = True
    silence = np.zeros((2, 480000), np.float32)
    levels = [20 * np.log10(np.sqrt(np.mean(rack.process(silence) ** 2))) for _ in range(12)]
    assert max(levels) - min(levels) < 1.0  # over two minutes
