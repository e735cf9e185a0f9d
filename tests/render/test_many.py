"""Many renderings at once are what each is alone, to the last bit."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, make, music, random_effect, random_values
from twinrack import _engine

RATE = 48000
FRAMES = (1, 31, 512, 7001)
NOISE = (0.1 * np.random.default_rng(0).standard_normal((2, 4096))).astype(np.float32)  # no effect sleeps


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def with_values(rack: tr.Rack, values: dict[str, list[Any]], which: int) -> tr.Rack:
    copied = rack.copy()
    for address, each in values.items():
        copied.set(address, each[which if len(each) > 1 else 0])
    return copied


def random_candidates(rack: tr.Rack, count: int, rng: np.random.Generator, choices: bool) -> dict[str, list[Any]]:
    """Values of all effects; the choices are the rack's own, or random ones."""
    values: dict[str, list[Any]] = {}
    for place, effect in rack.addresses().items():
        each = [random_values(effect.card, rng, ("expected", "random")[i % 2]) for i in range(count)]
        for name, p in effect.card.addresses.items():
            if p.kind == "continuous" or choices:
                values[f"{place}.{name}"] = [own.get(name, effect.get(name)) for own in each]
    return values


def channels_for(card: str, wanted: int) -> int:
    return {"mono": 1, "stereo": 2}.get(tr.CARDS[card].channels, wanted)


@pytest.mark.parametrize("choices", [False, True])
@pytest.mark.parametrize("card", CARD_IDS)
def test_values_of_every_effect(card, choices):
    rng = np.random.default_rng(CARD_IDS.index(card))
    for i, frames in enumerate(FRAMES):
        channels = channels_for(card, 1 + i % 2)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng)])
        x = music(channels, frames, RATE, i)
        count = (19, 5, 3, 11)[i]
        values = random_candidates(rack, count, rng, choices)
        if not values:
            continue
        y = tr.render_many(rack, x, RATE, values, threads=1 + i % 2)
        assert y.shape == (count, channels, frames)
        for k in range(count):
            assert same(y[k], with_values(rack, values, k)(x, RATE)), (frames, k)


@pytest.mark.parametrize("card", CARD_IDS)
def test_sounds_of_every_effect(card):
    rng = np.random.default_rng(100 + CARD_IDS.index(card))
    rack = tr.Rack([make(tr.CARDS[card], random_values(tr.CARDS[card], rng, "expected"))])
    channels = channels_for(card, 2)
    sounds = np.stack([music(channels, 3000, RATE, seed) for seed in range(9)])
    sounds[3, :, :1700] = 0.0  # effects sleep
    sounds[4] = 0.0
    sounds[5, 0, 40] = np.nan
    sounds[6] *= np.float32(1e25)  # effects fail
    y = tr.render_many(rack, sounds, RATE)
    for k, x in enumerate(sounds):
        assert same(y[k], rack(x, RATE)), k


def test_chains_and_branches():
    rng = np.random.default_rng(0)
    x = music(2, 9000, RATE, 1)
    strip = [
        tr.ParametricEQ(bands=[tr.Band("bell"), tr.Band("low_shelf", frequency_hz=100)]), tr.Compressor(lookahead_ms=2),
        tr.Parallel([tr.Gain(), tr.Chain([tr.Limiter(), tr.Saturation()])]), tr.Gate(), tr.Compressor(bypass=True),
        tr.Bands([[tr.Gain()], [tr.ParametricEQ(bands=[tr.Band("bell")])]]),
    ]  # fmt: skip
    rack = tr.Rack(strip)
    values = random_candidates(rack, 21, rng, choices=False)
    y = tr.render_many(rack, x, RATE, values)
    for k in range(21):
        assert same(y[k], with_values(rack, values, k)(x, RATE))


def test_racks_of_different_structure_and_sounds_of_different_length():
    racks = [tr.Rack([tr.Gain(gain_db=g)]) for g in (-6.0, 3.0)] + [tr.Rack([tr.Limiter(), tr.Compressor()]), tr.Rack()]
    sounds = [music(c, n, RATE, n) for c, n in ((1, 700), (2, 700), (2, 1500), (3, 20))]
    many = tr.render_many(racks, sounds, RATE)
    assert isinstance(many, list)
    for rack, x, y in zip(racks, sounds, many, strict=True):
        assert same(y, rack(x, RATE))


def test_a_sidechain_for_all():
    rack = tr.Rack([tr.Limiter(), tr.Compressor(key="kick", threshold_db=-40)])
    x, kick = music(2, 4000, RATE, 1), music(1, 4000, RATE, 2)
    values = {"compressor.ratio": [2.0, 4.0, 8.0], "limiter.lookahead_ms": [1.0, 2.0, 5.0]}
    y = tr.render_many(rack, x, RATE, values, sidechain={"kick": kick})
    for k in range(3):
        assert same(y[k], with_values(rack, values, k)(x, RATE, sidechain={"kick": kick}))


def test_values_that_rebuild_an_effect():
    rack = tr.Rack([make(tr.CARDS["convolution_reverb"], {})])
    rebuilding = [name for name, p in rack[0].card.addresses.items() if p.rebuilds]
    assert rebuilding
    x, differs = music(2, 3000, RATE, 0), []
    for name in rebuilding:
        p = rack[0].card.addresses[name]
        values = {f"convolution_reverb.{name}": [p.at(0.3), p.at(0.6)]}
        y = tr.render_many(rack, x, RATE, values)
        for k in range(2):
            assert same(y[k], with_values(rack, values, k)(x, RATE))
        differs.append(not same(y[0], y[1]))
    assert any(differs)


def test_python_effects():
    rack = tr.Rack([tr.PythonEffect(lambda x, rate: -x, block_frames=64, blocks=2), tr.Gain()])
    x = music(1, 500, RATE, 0)
    y = tr.render_many(rack, x, RATE, {"gain.gain_db": [0.0, -6.0]})
    for k, gain in enumerate((0.0, -6.0)):
        assert same(y[k], with_values(rack, {"gain.gain_db": [gain]}, 0)(x, RATE))


def test_shapes():
    rack = tr.Rack([tr.Gain(gain_db=-6)])
    x = music(1, 100, RATE, 0)[0]
    assert same(tr.render_many(rack, x, RATE, {"gain.gain_db": -6.0}), rack(x, RATE)[None])
    assert tr.render_many(rack, [x, x[:50]], RATE)[1].shape == (50,)
    assert tr.render_many(rack, x, RATE, {"gain.gain_db": np.zeros(3)}, channels="stereo").shape == (3, 2, 100)
    assert tr.render_many([rack, rack], list(x), RATE).shape == (2, 100)
    assert tr.render_many(rack, np.zeros((2, 0)), RATE).shape == (1, 2, 0)


def test_more_than_the_caches_hold():
    rack = tr.Rack([tr.Compressor()])
    for frames in (70000, 70001):  # rows that begin on a line of the cache, and others
        x = music(2, frames, RATE, 0)
        values = {"compressor.threshold_db": np.linspace(-40.0, -5.0, 32)}
        y = tr.render_many(rack, x, RATE, values, threads=2)
        for k in range(32):
            assert same(y[k], with_values(rack, values, k)(x, RATE)), (frames, k)


def test_out_is_filled():
    rack = tr.Rack([tr.Gain(gain_db=-6)])
    x = music(2, 100, RATE, 0)
    out = np.full((2, 2, 100), np.nan, np.float32)
    assert tr.render_many(rack, [x, -x], RATE, out=out) is out
    assert same(out[0], rack(x, RATE))
    assert same(out[1], rack(-x, RATE))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], np.zeros((2, 9))), "racks must be a rack or a list of racks"),
        (("rack", []), "sounds"),
        (("rack", np.zeros((2, 9)), {"gain.gain_dB": [1.0]}), "gain_db"),
        (("rack", np.zeros((2, 9)), {"gian.gain_db": [1.0]}), "gain"),
        (("rack", np.zeros((2, 9)), {"gain.gain_db": [1.0, 999.0]}), r"gain\.gain_db = 999 is above"),
        (("rack", np.zeros((2, 9)), {"gain.gain_db": np.array([1.0, np.nan])}), "NaN"),
        (("rack", np.zeros((2, 9)), {"gain.gain_db": []}), "empty"),
        (("rack", np.zeros((2, 9)), {"gain.gain_db": [1.0, 2.0], "gain.balance": [0.0] * 3}), "give as many of both"),
        (("rack", np.zeros((3, 2, 9)), {"gain.gain_db": [1.0, 2.0]}), "give as many of both"),
        (("racks", np.zeros((2, 9)), {"gain.gain_db": [1.0, 2.0]}), "same place"),
    ],
)
def test_what_does_not_fit_is_said(arguments, words):
    racks = {"rack": tr.Rack([tr.Gain()]), "racks": [tr.Rack([tr.Gain()]), tr.Rack([tr.Limiter(), tr.Gain()])]}
    given, sounds, *values = arguments
    with pytest.raises((ValueError, TypeError), match=words):
        tr.render_many(racks.get(given, given) if isinstance(given, str) else given, sounds, RATE, *values)


def test_out_that_does_not_fit():
    rack, x = tr.Rack([tr.Gain()]), np.zeros((2, 9), np.float32)
    for out in (np.zeros((1, 2, 8), np.float32), np.zeros((1, 2, 9)), np.zeros((1, 9, 2), np.float32).swapaxes(1, 2), x[None]):
        with pytest.raises(ValueError, match="out"):
            tr.render_many(rack, x, RATE, out=out)
    with pytest.raises(ValueError, match="differ in shape"):
        tr.render_many(rack, [x, x[:, :3]], RATE, out=np.zeros((2, 2, 9), np.float32))


def test_threads_do_not_change_it():
    rack, x = tr.Rack([tr.Compressor(), tr.FDNReverb()]), music(2, 5000, RATE, 0)
    values = {"compressor.threshold_db": np.linspace(-40, -5, 9)}
    first = tr.render_many(rack, x, RATE, values, threads=1)
    assert same(first, tr.render_many(rack, x, RATE, values, threads=4))


def test_other_threads_run_meanwhile():
    rack, x = tr.Rack([tr.FDNReverb()]), music(2, 48000, RATE, 0)
    ticks = []
    done = threading.Event()

    def count() -> None:
        while not done.wait(0.001):
            ticks.append(1)

    other = threading.Thread(target=count)
    other.start()
    tr.render_many(rack, x, RATE, {"fdn_reverb.mix": np.linspace(0, 1, 8)}, threads=1)
    seen = len(ticks)
    done.set()
    other.join()
    assert seen > 0


def test_a_cancelled_thread_stops():
    from twinrack.system.interrupt import StoppedError, stopping_at

    event = threading.Event()
    event.set()
    with stopping_at(event), pytest.raises(StoppedError):
        tr.render_many(tr.Rack([tr.Gain()]), np.zeros((2, 100)), RATE)


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_choice_of_a_compressor(feedback, channels):
    """Continuous values alone differ, so that all streams share the lanes."""
    rng = np.random.default_rng(channels)
    x = music(channels, 3000, RATE, 5)
    for mode in ("maximum", "mean", "power_mean", "magnitude_mean"):
        for detector in ("peak", "rms", "moving_rms"):
            for ballistics in ("level", "gain", "power"):
                for envelope in ("branching", "decoupled", "two_stage"):
                    compressor = tr.Compressor(
                        topology="feedback" if feedback else "feed_forward", channel_mode=mode, detector=detector,
                        ballistics=ballistics, envelope=envelope,
                    )  # fmt: skip
                    rack = tr.Rack([compressor])
                    values = random_candidates(rack, 16, rng, choices=False)
                    if rng.random() < 0.5:
                        values["compressor.link_percent"] = [100.0]
                    y = tr.render_many(rack, x, RATE, values)
                    for k in range(16):
                        assert same(y[k], with_values(rack, values, k)(x, RATE)), (mode, detector, ballistics, envelope, k)


@pytest.mark.parametrize("channels", [1, 2])
def test_every_choice_of_a_gate(channels):
    rng = np.random.default_rng(channels)
    x = music(channels, 6000, RATE, 5)
    for mode in ("maximum", "mean", "power_mean", "magnitude_mean"):
        for detector, ballistics in (
            ("peak", "gain"),
            ("rms", "gain"),
            ("peak", "level"),
            ("rms", "power"),
            ("moving_rms", "level"),
        ):
            rack = tr.Rack([tr.Gate(channel_mode=mode, detector=detector, ballistics=ballistics)])
            values = random_candidates(rack, 16, rng, choices=False)
            if rng.random() < 0.5:
                values["gate.link_percent"] = [100.0]
            y = tr.render_many(rack, x, RATE, values)
            for k in range(16):
                assert same(y[k], with_values(rack, values, k)(x, RATE)), (mode, detector, k)


@pytest.mark.parametrize("rate", [8000, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_reverbs_whose_past_moves(channels, rate):
    """In silence a reverb runs alone: its past goes from the lanes back to it, and to the lanes again afterwards."""
    rng = np.random.default_rng(rate + channels)
    for freeze in (False, True):
        rack = tr.Rack([tr.FDNReverb(freeze=freeze)])
        values = random_candidates(rack, 16, rng, choices=False)
        sounds = np.stack([music(channels, 9000, rate, seed) for seed in range(16)])
        for k in range(0, 16, 3):
            sounds[k, :, 600 + 100 * k : 3000 + 200 * k] = 0.0
            sounds[k, :, 6500 - 100 * k : 6600] = 0.0
        y = tr.render_many(rack, sounds, rate, values)
        for k in range(16):
            assert same(y[k], with_values(rack, values, k)(sounds[k], rate)), (freeze, k)


@pytest.mark.parametrize("filters", ["linear_phase", "minimum_phase"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_choice_of_a_saturation(channels, filters):
    """With silence in between, in which a saturation runs alone."""
    rng = np.random.default_rng(channels)
    sounds = np.stack([music(channels, 4000, RATE, seed) for seed in range(16)])
    for k in range(0, 16, 3):
        sounds[k, :, 600 + 50 * k : 2500 + 50 * k] = 0.0
    for curve in ("tanh", "soft_clip", "hard_clip", "asymmetric", "tape", "fold"):
        for oversampling in ("1", "2", "4", "8"):
            rack = tr.Rack([tr.Saturation(curve=curve, oversampling=oversampling, filters=filters)])
            values = random_candidates(rack, 16, rng, choices=False)
            y = tr.render_many(rack, sounds, RATE, values)
            for k in range(16):
                assert same(y[k], with_values(rack, values, k)(sounds[k], RATE)), (curve, oversampling, k)


def test_a_reverb_in_silence_runs_alone(monkeypatch):
    silent = np.stack([NOISE[:, :2048]] * 16)
    silent[5, :, 512:1024] = 0.0
    assert frames_together(monkeypatch, tr.Rack([tr.FDNReverb()]), silent, RATE, threads=1) == 16 * 2048 - 512


@pytest.mark.parametrize("bands", [0, 1, 4, 5, 16])
@pytest.mark.parametrize("channels", [1, 2])
def test_equalisers_of_many_filters(bands, channels):
    rng = np.random.default_rng(bands)
    types = ("bell", "low_shelf", "high_cut", "notch")
    where = ("all", "left", "right") if channels == 2 else ("all", "left")
    equaliser = tr.ParametricEQ(
        bands=[tr.Band(types[i % 4], channel=where[i % len(where)], slope_db_per_octave="36") for i in range(bands)]
    )
    rack = tr.Rack([equaliser])
    values = random_candidates(rack, 16, rng, choices=False)
    x = music(channels, 2000, RATE, 3)
    y = tr.render_many(rack, x, RATE, values)
    for k in range(16):
        assert same(y[k], with_values(rack, values, k)(x, RATE)), k


def frames_together(monkeypatch, *arguments, **more) -> int:
    """For how many frames effects worked side by side, added up over renderings and effects."""
    counted = []
    engine_render_many = _engine.render_many
    monkeypatch.setattr(_engine, "render_many", lambda *given: counted.append(engine_render_many(*given)))
    tr.render_many(*arguments, **more)
    monkeypatch.undo()
    return sum(counted)


def test_streams_share_the_lanes(monkeypatch):
    strip = [tr.ParametricEQ(bands=[tr.Band("bell")]), tr.Compressor(), tr.FDNReverb(), tr.Gate(), tr.Gain()]
    x = NOISE[:, :2048]
    values = {"compressor.ratio": np.linspace(1, 9, 32), "compressor.lookahead_ms": [0.0] * 32}
    assert frames_together(monkeypatch, tr.Rack(strip), x, RATE, values) == 5 * 32 * 2048
    assert frames_together(monkeypatch, tr.Rack([tr.Limiter()]), x, RATE, {"limiter.ceiling_db": [-3.0] * 32}) == 0
    drives = {"saturation.drive_db": np.linspace(0, 24, 32)}
    assert frames_together(monkeypatch, tr.Rack([tr.Saturation(oversampling="1")]), x, RATE, drives) == 32 * 2048
    racks = [tr.Rack([tr.Gain(gain_db=k)]) for k in range(-15, 17)]
    assert frames_together(monkeypatch, racks, x, RATE) == 32 * 2048


def test_one_that_differs_runs_alone_beside_the_others(monkeypatch):
    rack = tr.Rack([tr.Compressor()])
    values = {"compressor.link_percent": [100.0] * 15 + [50.0]}
    assert frames_together(monkeypatch, rack, NOISE[:, :1024], RATE, values, threads=1) == 15 * 1024
