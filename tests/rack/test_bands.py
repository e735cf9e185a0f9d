"""Bands and MidSide: what splits the sound, in racks, twins, patches, streams, exports and explanations."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

import twinrack as tr
from support import error_db, music
from twinrack.explain.intermediate import stages, up_to_effect
from twinrack.rack.describe import describe

RATE = 48000
SLOPES = ("12", "24", "36", "48")


def multiband() -> tr.Rack:
    low = [tr.Compressor(threshold_db=-30, ratio=4)]
    high = [tr.Saturation(drive_db=9, mix=0.5), tr.Limiter(ceiling_db=-12, lookahead_ms=2)]
    return tr.Rack([tr.Gain(gain_db=-3), tr.Bands([low, [], high], splits_hz=[180, 2400]), tr.Limiter()], name="multiband")


def mid_side() -> tr.Rack:
    equaliser = tr.ParametricEQ(bands=[tr.Band("high_shelf", frequency_hz=4000, gain_db=4)])
    return tr.Rack([tr.MidSide([tr.Compressor(threshold_db=-30)], [equaliser, tr.Gain(gain_db=2)])], name="mid and side")


def all_racks() -> list[tr.Rack]:
    inside = tr.Bands([tr.MidSide([tr.Gain(gain_db=3)], []), [tr.Compressor()]], splits_hz=[500], slope_db_per_octave=48)
    return [multiband(), mid_side(), tr.Rack([tr.Parallel([[], inside]), tr.Gain()], name="nested")]


racks = pytest.mark.parametrize("rack", all_racks(), ids=lambda r: r.name)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("bands", [2, 3, 6])
def test_the_sum_is_flat_and_every_band_is_alone(bands, slope):
    """Within 0.01 dB, from 20 Hz on; neighbours meet 6 dB down; an octave away the slope is what it says."""
    splits = [150.0, 500.0, 1500.0, 4000.0, 9000.0][: bands - 1]
    impulse = np.zeros((1, RATE + (1 << 18)), np.float32)
    impulse[0, RATE] = 1.0  # after the fade that a stream begins with
    hertz = np.fft.rfftfreq(1 << 18, 1 / RATE)

    def response(only: int | None) -> np.ndarray:
        branches = [[] if only in (None, b) else [tr.Fader(mute=True)] for b in range(bands)]
        y = tr.Rack([tr.Bands(branches, splits, slope)])(impulse, RATE)[0, RATE:]
        return 20 * np.log10(np.abs(np.fft.rfft(y.astype(np.float64))) + 1e-12)

    heard = (hertz > 20) & (hertz < 20000)
    assert np.abs(response(None)[heard]).max() < 0.01
    near = {"12": 3.0, "24": 0.5}.get(slope, 0.1)  # a gentle edge is not yet flat where the next one begins
    for split in range(bands - 1):
        for band in (split, split + 1):
            assert np.interp(splits[split], hertz, response(band)) == pytest.approx(-6.02, abs=0.01 if bands == 2 else near)
    beyond = -20 * np.log10(1 + 3.0 ** (int(slope) / 6))
    assert np.interp(3 * splits[0], hertz, response(0)) == pytest.approx(beyond, abs=0.1)


def test_empty_branches_are_the_effect_that_splits():
    x = music(2, RATE, RATE, 1)
    bands = [tr.CrossoverBand(gain_db=3), tr.CrossoverBand(mute=True)]
    crossover = tr.Crossover(number_of_bands="4", split2_hz=800, bands=bands)
    assert np.array_equal(tr.Rack([tr.Bands([[]] * 4, crossover=crossover.copy())])(x, RATE), tr.Rack([crossover])(x, RATE))
    levels = tr.MidSideLevels(mid_gain_db=-4, side_gain_db=3)
    assert error_db(tr.Rack([tr.MidSide(levels=levels.copy())])(x, RATE), tr.Rack([levels])(x, RATE)) < -140
    assert error_db(tr.Rack([tr.MidSide()])(x, RATE), x) < -140


def test_mid_and_side_are_processed_alone():
    x = music(2, RATE, RATE, 2)
    y = tr.Rack([tr.MidSide([tr.Gain(gain_db=-6)], [tr.ParametricEQ(bands=[tr.Band("low_cut", frequency_hz=200)])])])(x, RATE)
    mid, side = (0.5 * (x[:1] + s * x[1:]) for s in (1, -1))
    side = tr.Rack([tr.ParametricEQ(bands=[tr.Band("low_cut", frequency_hz=200)])])(side, RATE)
    assert error_db(0.5 * (y[0] + y[1]), mid[0] * 10 ** (-6 / 20)) < -120
    assert error_db(0.5 * (y[0] - y[1]), side[0]) < -110


@racks
def test_the_twin_is_the_engine(rack):
    x = music(2, RATE // 2, RATE, 3)
    y = rack.twin(RATE)(torch.from_numpy(x)[None])[0].detach().numpy()
    assert error_db(y, rack(x, RATE)) < -110


@racks
@pytest.mark.parametrize("channels", [1, 2, 3, 16])
def test_blocks_do_not_matter(rack, channels):
    x = music(2, 6000, RATE, 4)[np.arange(channels) % 2]
    played = []
    for block in (6000, 512, 64, 7, 1):
        copy = rack.copy()
        copy.prepare(RATE, channels)
        sound = x[:, :700] if block == 1 else x
        played.append(np.concatenate([copy.process(sound[:, i : i + block]) for i in range(0, sound.shape[1], block)], 1))
    for other in played[1:]:
        assert np.array_equal(other, played[0][:, : other.shape[1]])


def test_gradients_go_through_the_splits():
    rack = multiband()
    twin = rack.twin(RATE)
    x = torch.from_numpy(music(2, 4800, RATE, 5)).double()[None]
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape))
    for address in ("crossover.split1_hz", "crossover.split2_hz", "compressor.threshold_db", "saturation.drive_db"):
        own = float(rack.get(address))
        value = torch.tensor(own, dtype=torch.float64, requires_grad=True)
        (twin(x, values={address: value}) * weight).sum().backward()
        step = 1e-4 * max(abs(own), 1.0)
        with torch.no_grad():
            up, down = ((twin(x, values={address: own + s * step}) * weight).sum() for s in (1, -1))
        assert value.grad is not None
        assert float(value.grad) == pytest.approx(float(up - down) / (2 * step), rel=2e-3), address


@racks
def test_patch_copy_pickle_and_state(rack, tmp_path):
    path = tmp_path / "it.rack.json"
    rack.save(path)
    x = music(2, 9000, RATE, 6)
    y = rack(x, RATE)
    for other in (tr.load(path), rack.copy(), pickle.loads(pickle.dumps(rack))):
        assert other == rack
        assert other.isclose(rack)
        assert not rack.differences(other)
        assert np.array_equal(other(x, RATE), y)
    cards = json.loads(path.read_text())["provenance"]["trail"][0]["cards"]
    assert cards.keys() == {e.card.id for e in rack.addresses().values()}
    a, b = rack.copy(), rack.copy()
    for each in (a, b):
        each.prepare(RATE, 2)
    first = a.process(x[:, :4000])
    b.running.engine.load_state(a.running.engine.save_state())
    assert np.array_equal(a.process(x[:, 4000:]), b.process(x[:, 4000:]))
    assert np.isfinite(first).all()


def test_a_rack_with_other_branches_does_not_take_the_state():
    a, b = (tr.Rack([tr.Bands([[], tr.Gain()][:2] + [[]] * more)]) for more in (0, 1))
    for each in (a, b):
        each.prepare(RATE, 2)
        each.process(np.zeros((2, 64), np.float32))
    with pytest.raises(ValueError, match="another rack"):
        b.running.engine.load_state(a.running.engine.save_state())


def test_a_running_stream_takes_changes_without_clicks():
    """Splits glide, branches are swapped, the number of bands must fit."""
    rack = tr.Rack([tr.Bands([[], []], splits_hz=[300])])
    rack.prepare(RATE, 2)
    t = np.arange(RATE) / RATE
    x = np.stack([0.3 * np.sin(2 * np.pi * 440 * t)] * 2).astype(np.float32)
    played = [rack.process(x[:, :9600])]
    rack["crossover"].split1_hz = 2000
    played.append(rack.process(x[:, 9600:19200]))
    rack.effects = (tr.Bands([[tr.Gain(gain_db=-3)], [], []], splits_hz=[500, 3000]),)
    played.append(rack.process(x[:, 19200:28800]))
    rack["crossover"].bypass = True
    played.append(rack.process(x[:, 28800:]))
    y = np.concatenate(played, 1)[0]
    assert np.abs(np.diff(y, 2)).max() < 3 * np.abs(np.diff(x[0], 2)).max()
    with pytest.raises(ValueError, match="3 bands has a crossover of 2; set number_of_bands of crossover to 3"):
        rack["crossover"].number_of_bands = "2"


def test_a_bypassed_splitter_gives_all_to_the_first_branch():
    x = music(2, 9600, RATE, 7)
    bands = tr.Rack([tr.Bands([[tr.Gain(gain_db=-6)], []])])
    bands["crossover"].bypass = True
    assert error_db(bands(x, RATE), tr.Rack([tr.Gain(gain_db=-6)])(x, RATE)) < -140
    assert error_db(bands.twin(RATE)(torch.from_numpy(x)[None])[0].detach().numpy(), bands(x, RATE)) < -130


def test_keys_and_controllers_reach_into_bands():
    """A keyed effect behind latency hears its sidechain in step, and a controller moves a split."""
    x, key = music(2, 14400, RATE, 8), music(2, 14400, RATE, 9)
    ducked = [tr.Compressor(key="voice", threshold_db=-40, ratio=8)]
    rack = tr.Rack([tr.Limiter(lookahead_ms=3), tr.Bands([ducked, []], splits_hz=[1000])])
    y = rack(x, RATE, sidechain={"voice": key})
    twin = rack.twin(RATE)(torch.from_numpy(x)[None], sidechain={"voice": torch.from_numpy(key)[None]})
    assert error_db(twin[0].detach().numpy(), y) < -110
    moved = np.geomspace(200, 4000, 14400 // 32).astype(np.float32)
    y = rack(x, RATE, sidechain={"voice": key}, automation={"crossover.split1_hz": moved})
    twin = rack.twin(RATE)(
        torch.from_numpy(x)[None],
        sidechain={"voice": torch.from_numpy(key)[None]},
        values={"crossover.split1_hz": torch.from_numpy(moved)[None]},
    )
    assert error_db(twin[0].detach().numpy(), y) < -100


def test_what_is_explained():
    """Each branch is shown with its part of the sound, and a stage inside is cut out by its address."""
    rack, x = multiband(), music(2, RATE // 2, RATE, 10)
    passed = stages(rack, x, RATE)
    whole = "crossover(compressor | dry | saturation → limiter)"
    assert [s.address for s in passed] == ["gain", "crossover", "compressor", "saturation", "limiter", whole, "limiter_2"]
    assert np.array_equal(passed[-1].after, rack(x, RATE))
    low = next(s for s in passed if s.address == "compressor")
    spectrum = np.abs(np.fft.rfft(low.before[0])) ** 2
    assert spectrum[np.fft.rfftfreq(low.before.shape[1], 1 / RATE) > 2000].sum() < 1e-4 * spectrum.sum()
    cut = up_to_effect(rack, "compressor", inclusive=False)
    assert error_db(cut(x, RATE), low.before) < -100
    assert {a for a in cut.addresses() if not a.startswith("silent")} == set(rack.addresses())
    assert error_db(up_to_effect(rack, "compressor", inclusive=True)(x, RATE), low.after) < -100
    assert "gain → crossover(compressor | dry | saturation → limiter) → limiter_2" in describe(rack)


@racks
def test_every_effect_is_cut_out_by_its_address(rack):
    """Before and after it, as the stages have it; all other effects keep their addresses."""
    x = music(2, RATE // 2, RATE, 12)
    passed = {s.address: s for s in stages(rack, x, RATE) if s.effect is not None}
    assert list(passed) == list(rack.addresses())
    for address, stage in passed.items():
        for inclusive, wanted in ((False, stage.before), (True, stage.after)):
            cut = up_to_effect(rack, address, inclusive)
            assert error_db(cut(x, RATE), wanted) < -75, (address, inclusive)
            assert [a for a in cut.addresses() if not a.startswith("silent")] == list(rack.addresses())


def test_another_number_of_branches_is_refused_where_it_would_be_lost(tmp_path):
    bands, sides = tr.Rack([tr.Bands([[], [], []])]), tr.Rack([tr.MidSide()])
    bands.set("crossover.number_of_bands", "2")
    sides.effects[0].branches.append(tr.Chain([tr.Gain()]))
    for rack, words in ((bands, "set number_of_bands of crossover to 3"), (sides, "one for the side, not 3 branches")):
        for use in (
            lambda r: r.save(tmp_path / "a.rack.json"),
            tr.Rack.copy,
            lambda r: r.twin(RATE),
            lambda r: r(np.zeros(64), RATE),
        ):
            with pytest.raises(ValueError, match=words):
                use(rack)
    assert not list(tmp_path.iterdir())
    for name in ("crossover", "levels"):
        with pytest.raises(AttributeError):
            setattr(bands.effects[0] if name == "crossover" else sides.effects[0], name, tr.Crossover())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tr.Bands([[]]), "a Bands has 2 to 6 bands, not 1"),
        (lambda: tr.Bands([[]] * 7), "a Bands has 2 to 6 bands, not 7"),
        (lambda: tr.Bands([[], []], splits_hz=[100, 200]), "2 bands meet at 1 frequencies; splits_hz has 2"),
        (lambda: tr.Bands([[], [], []], splits_hz=[300, 200]), r"the splits of a Bands rise; splits_hz is \[300.0, 200.0\]"),
        (lambda: tr.Bands([[], []], slope_db_per_octave=18), "slope_db_per_octave = '18' is none of 12, 24, 36, 48"),
        (lambda: tr.Bands([[], []], crossover=tr.Crossover()), "the crossover has 3 bands, and 2 are given"),
        (lambda: tr.Bands([[], []], [200], crossover=tr.Crossover()), "or a crossover, which has its own"),
        (lambda: tr.Bands([[], []], None, 48, crossover=tr.Crossover()), "or a crossover, which has its own"),
    ],
)
def test_words_of_refusals(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_words_of_wrong_kinds():
    with pytest.raises(TypeError, match="the crossover of a Bands is a Crossover, not a Gain"):
        tr.Bands([[], []], crossover=tr.Gain())
    with pytest.raises(TypeError, match="the levels of a MidSide are a MidSideLevels, not a Gain"):
        tr.MidSide(levels=tr.Gain())
    with pytest.raises(TypeError, match="a Bands takes a list of bands, not str"):
        tr.Bands("low")
    with pytest.raises(TypeError, match=r"splits_hz is a list of frequencies in Hz, such as \[200, 3000\], not int"):
        tr.Bands([[], []], 200)
    assert tr.Bands([[], []], [200], 48.0).crossover.get("slope_db_per_octave") == "48"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["bands"].pop(), r"rack\[0\]: the crossover has 3 bands, and 2 are given"),
        (
            lambda r: r["crossover"].update(effect="gain", values={}),
            r"rack\[0\]: the crossover of a Bands is a Crossover, not a Gain",
        ),
        (lambda r: r.pop("crossover"), "crossover is missing"),
        (lambda r: r.update(bands=[]), "bands has too few entries"),
    ],
)
def test_words_of_broken_patches(change, words, tmp_path):
    path = tmp_path / "it.rack.json"
    tr.Rack([tr.Bands([[], [], []])]).save(path)
    data = json.loads(path.read_text())
    change(data["rack"][0])
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=words):
        tr.load(path)


def test_hidden_values_of_a_multiband_compressor_are_found():
    """From the card's defaults on eight seconds of sound: both compressors, and where they meet."""
    x = music(2, 8 * RATE, RATE, 11)

    def rack(split, low, high) -> tr.Rack:
        return tr.Rack([tr.Bands([[tr.Compressor(**low)], [tr.Compressor(**high)]], splits_hz=[split])])

    hidden = rack(400, {"threshold_db": -38, "ratio": 4}, {"threshold_db": -30, "ratio": 2.5})
    open_values = ["crossover.split1_hz", "*.threshold_db", "*.ratio"]
    result = tr.fit(rack(120, {}, {}), x, hidden(x, RATE), RATE, learn=open_values, minutes=2, progress=False)
    assert result.fitted.error_db < -40
    for address in ("crossover.split1_hz", "compressor.threshold_db", "compressor_2.threshold_db"):
        assert result.rack.get(address) == pytest.approx(hidden.get(address), rel=0.03)
