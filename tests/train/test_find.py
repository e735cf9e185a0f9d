"""The search for values: hidden settings from plain defaults, other structures, the nature of what is left."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from twinrack.plugins.fdn_reverb.starts import delayed
from twinrack.plugins.parametric_eq.starts import nearer, other_bands

import twinrack as tr
from twinrack.measure.residual import residual_of
from twinrack.measure.transfer import coherent_gain
from twinrack.train.advice import verdict
from twinrack.train.data import Pair, split
from twinrack.train.find.band_levels import BandLevels
from twinrack.train.find.beginnings import moves_until
from twinrack.train.find.blocks import Search
from twinrack.train.find.candidates import Candidates
from twinrack.train.find.levenberg import minimise
from twinrack.train.find.values import Finder

RATE = 32000


def music(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Stereo sound at many levels: bursts of noise and of tones that decay."""
    random = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    x = np.zeros((2, frames))
    at = 0
    while at < frames:
        length = int(random.uniform(0.08, 0.4) * RATE)
        t = np.arange(min(length, frames - at)) / RATE
        shape = np.exp(-t / random.uniform(0.02, 0.2)) * 10 ** (random.uniform(-30, -6) / 20)
        tones = sum(np.sin(2 * np.pi * f * t) for f in np.exp(random.uniform(np.log(50), np.log(6000), 3)))
        for side in range(2):
            x[side, at : at + t.size] += shape * (0.4 * tones + 0.4 * random.standard_normal(t.size))
        at += length
    return x.astype(np.float32)


def noisy(x: np.ndarray, db: float) -> np.ndarray:
    noise = np.random.default_rng(9).standard_normal(x.shape)
    return (x + noise * np.sqrt(np.mean(x**2)) * 10 ** (-db / 20)).astype(np.float32)


def equaliser(*bands: tuple[str, float, float, float]) -> tr.ParametricEQ:
    return tr.ParametricEQ(bands=[tr.Band(k, frequency_hz=f, gain_db=g, q=q) for k, f, g, q in bands])  # type: ignore[arg-type]


def fit(start: tr.Rack, x: np.ndarray, wet: np.ndarray, **more: object) -> tr.FitResult:
    return tr.fit(start, x, wet, RATE, progress=False, **more)  # type: ignore[arg-type]


def candidates_of(start: tr.Rack, hidden: tr.Rack, x: np.ndarray, addresses: list[str]) -> Candidates:
    pair = Pair("pair", x, hidden(x, RATE), 0, "", "")
    return Candidates(start, addresses, [pair], [split(x.shape[1], RATE)], RATE)


# --- values ----------------------------------------------------------------------------------------------------------


def test_a_chain_is_found_from_its_defaults():
    x = music(5.0)
    hidden = tr.Rack(
        [
            equaliser(("low_shelf", 150, -5, 0.8), ("bell", 1200, 7, 2.5), ("high_shelf", 6000, 4, 0.7)),
            tr.Compressor(threshold_db=-31, ratio=5, attack_ms=3, release_ms=90, makeup_db=7, knee_db=3),
        ]
    )
    start = tr.Rack(
        [equaliser(("low_shelf", 100, 0, 0.7), ("bell", 500, 0, 0.7), ("high_shelf", 8000, 0, 0.7)), tr.Compressor()]
    )
    result = fit(start, x, hidden(x, RATE))
    assert result.fitted.error_db < -70
    assert result.found
    assert not result.advice
    assert result.stopped == "the search ended"
    assert result.rack.get("parametric_eq.band2.frequency_hz") == pytest.approx(1200, rel=1e-3)
    assert result.rack.get("compressor.attack_ms") == pytest.approx(3, rel=0.02)
    assert start.get("compressor.threshold_db") == -18  # it is not changed


def test_a_gate_is_found():
    x = music(5.0, seed=3)
    hidden = tr.Rack([tr.Gate(threshold_db=-28, ratio=6, range_db=60, attack_ms=2, release_ms=60)])
    result = fit(tr.Rack([tr.Gate()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("gate.threshold_db") == pytest.approx(-28, abs=0.3)


def test_a_reverb_is_found_with_its_pre_delay():
    x = music(5.0, seed=4)
    hidden = tr.Rack([tr.FDNReverb(decay_s=0.9, decay_low_s=1.6, decay_high_s=0.5, pre_delay_ms=61.3, mix=0.3, width=0.7)])
    result = fit(tr.Rack([tr.FDNReverb()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("fdn_reverb.pre_delay_ms") == pytest.approx(61.3, abs=0.05)
    assert result.rack.get("fdn_reverb.decay_s") == pytest.approx(0.9, rel=0.02)


def test_an_equaliser_before_a_saturation_is_told_from_its_drive():
    x = music(5.0, seed=5)
    kinds = (("bell", 500), ("bell", 2500))
    hidden = tr.Rack([equaliser(("bell", 943, 4, 3.3), ("bell", 1936, 9, 3.4)), tr.Saturation(drive_db=20, output_db=-3)])
    start = tr.Rack([equaliser(*((kind, hertz, 0, 0.7) for kind, hertz in kinds)), tr.Saturation()])
    result = fit(start, x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("saturation.drive_db") == pytest.approx(20, abs=0.2)


def test_the_same_seed_gives_the_same_values():
    x = music(2.0)
    wet = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)])(x, RATE)
    a, b = (fit(tr.Rack([tr.Compressor()]), x, wet, seed=4).rack.values() for _ in range(2))
    assert a == b


def test_values_that_nothing_determines_stay_as_they_were():
    x = 0.01 * music(2.0)  # never above the gate's threshold of the compressor
    start = tr.Rack([tr.Compressor(threshold_db=0, ratio=7, release_ms=333), tr.Gain()])
    result = fit(start, x, 0.5 * x)
    assert result.fitted.error_db < -80
    assert result.rack.get("compressor.release_ms") == 333
    assert result.rack.get("compressor.ratio") == 7


def test_only_what_learns_is_moved():
    x = music(2.0)
    hidden = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)])
    result = fit(tr.Rack([tr.Compressor(ratio=4)]), x, hidden(x, RATE), learn=["compressor.threshold_db"])
    assert result.rack.get("compressor.threshold_db") == pytest.approx(-30, abs=0.02)
    assert [p.address for p in result.parameters] == ["compressor.threshold_db"]


def test_a_rack_without_values_is_measured():
    x = music(2.0)
    reverb = tr.ConvolutionReverb(impulse_response=tr.Response(np.eye(1, 100, dtype=np.float32), RATE))
    assert fit(tr.Rack([reverb]), x, x, learn=[]).nothing.error_db < -100
    assert fit(tr.Rack([tr.Compressor()]), x, x, learn=[]).parameters == []


# --- structures ------------------------------------------------------------------------------------------------------


def test_another_option_is_found_and_named():
    x = music(1.6)
    hidden = tr.Rack([tr.Compressor(threshold_db=-35, ratio=6, detector="rms", attack_ms=4, release_ms=80)])
    wet = hidden(x, RATE)
    result = fit(tr.Rack([tr.Compressor()]), x, wet)
    assert result.rack.get("compressor.detector") == "rms"
    assert result.fitted.error_db < -60
    assert any("compressor.detector = rms (was peak)" in note for note in result.warnings), result.warnings
    closed = fit(tr.Rack([tr.Compressor()]), x, wet, choices=())
    assert closed.rack.get("compressor.detector") == "peak"
    assert closed.found is False
    assert any("the target is not reached" in sentence and "compressor" in sentence for sentence in closed.advice)


def test_several_options_are_found_together():
    x = music(2.0)
    values = {"threshold_db": -32, "ratio": 5, "attack_ms": 8, "release_ms": 120}
    hidden = tr.Rack([tr.Compressor(detector="rms", ballistics="level", rms_window_ms=6, **values)])
    result = fit(tr.Rack([tr.Compressor()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert (result.rack.get("compressor.detector"), result.rack.get("compressor.ballistics")) == ("rms", "level")
    assert any("other options fit better" in note for note in result.warnings), result.warnings


def test_bands_are_found_where_none_is_on():
    x = music(4.0)
    hidden = tr.Rack([equaliser(("low_cut", 120, 0, 0.7), ("bell", 900, -6, 2), ("high_shelf", 5000, 5, 0.7))])
    result = fit(tr.Rack([tr.ParametricEQ()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert any("had no band" in note for note in result.warnings)


def test_types_of_bands_are_found():
    x = music(2.0)
    hidden = tr.Rack([equaliser(("low_cut", 200, 0, 0.7), ("bell", 1500, 6, 1.5))])
    result = fit(tr.Rack([equaliser(("low_shelf", 100, 0, 0.7), ("bell", 1000, 0, 0.7))]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert "low_cut" in {str(result.rack.get(f"parametric_eq.band{i}.type")) for i in range(1, 5)}


def test_the_warping_of_an_equaliser_is_found_with_its_bands():
    x = music(4.0)
    hidden = tr.Rack([equaliser(("low_cut", 120, 0, 0.7), ("bell", 2000, -6, 2), ("high_shelf", 7000, 8, 0.7))])
    hidden.set("parametric_eq.warping", "bilinear")
    result = fit(tr.Rack([tr.ParametricEQ()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("parametric_eq.warping") == "bilinear"
    assert any("parametric_eq.warping = bilinear" in note for note in result.warnings), result.warnings


def test_a_beginning_in_which_the_processor_still_moves_is_left_out_and_named():
    x = music(6.0)
    hidden = tr.Rack([equaliser(("bell", 500, 6, 2), ("high_shelf", 3000, -8, 0.7))])
    wet = hidden(x, RATE)
    moved = int(0.2 * RATE)
    share = np.minimum(np.arange(x.shape[1]) / moved, 1.0).astype(np.float32)
    result = fit(tr.Rack([equaliser(("bell", 1000, 0, 1), ("high_shelf", 6000, 0, 0.7))]), x, x + share * (wet - x))
    assert result.fitted.error_db < -60
    (note,) = (n for n in result.warnings if "still" in n)
    assert 0.15 <= float(note.split("first ")[1].split(" s")[0]) <= 0.3
    assert moves_until(wet, wet, RATE) == 0


def test_a_loud_beginning_is_not_taken_for_a_processor_that_moves():
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 6 * RATE)).astype(np.float32)
    x[:, : int(0.3 * RATE)] *= 10.0
    played, wet = (tr.Rack([tr.Compressor(threshold_db=-15, attack_ms=a)])(x, RATE) for a in (5, 30))
    assert moves_until(played, wet, RATE) == 0


def test_a_long_recording_whose_beginning_does_not_tell_enough_is_searched_as_a_whole():
    x = np.concatenate([0.003 * music(9.0, seed=1), music(9.0, seed=2)], 1)  # too quiet at first to be compressed
    hidden = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, attack_ms=3)])
    result = fit(tr.Rack([tr.Compressor()]), x, hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("compressor.threshold_db") == pytest.approx(-30, abs=0.2)


def test_what_a_long_recording_does_not_determine_stays_as_it_was(monkeypatch):
    monkeypatch.setattr("twinrack.train.find.values.BEGINNING_S", 1.0)
    x = 1e-3 * music(4.0)
    start = tr.Rack([tr.Compressor(threshold_db=-6, ratio=2.5, attack_ms=7, release_ms=123)])
    hidden = start.copy()
    hidden.set("compressor.makeup_db", 3.0)
    result = fit(start, x, hidden(x, RATE), freeze=["compressor.mix"])  # which would do as well
    assert result.fitted.error_db < -60
    before = start.values()
    same = {a: v for a, v in result.rack.values().items() if a != "compressor.makeup_db"}
    assert same == {a: before[a] for a in same}


def test_structures_are_tried_on_the_whole_where_the_beginning_is_only_noise(monkeypatch):
    monkeypatch.setattr("twinrack.train.find.values.BEGINNING_S", 1.5)
    x = np.concatenate([1e-3 * music(2.0, seed=1), music(4.0, seed=2)], 1)
    wet = tr.Rack([tr.Saturation(curve="tape", drive_db=12)])(x, RATE)
    wet = wet + 2e-4 * np.random.default_rng(5).standard_normal(wet.shape).astype(np.float32)
    result = fit(tr.Rack([tr.Saturation()]), x, wet)
    assert result.rack.get("saturation.curve") == "tape", result.warnings


def test_a_missing_gain_is_added_and_named():
    x = music(3.0)
    hidden = tr.Rack([equaliser(("bell", 1500, 6, 1.5))])
    result = fit(tr.Rack([equaliser(("bell", 700, 0, 0.7))]), x, 0.5 * hidden(x, RATE))
    assert result.fitted.error_db < -60
    assert result.rack.get("gain.gain_db") == pytest.approx(-6.02, abs=0.02)
    assert any("quieter than this rack can play; gain was added" in note for note in result.warnings)


# --- what is left ----------------------------------------------------------------------------------------------------


def test_noise_is_told_from_what_does_not_fit():
    x = music(4.0)
    rack = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)])
    y = rack(x, RATE)
    noise = residual_of([(y, noisy(y, 40.0))], RATE)
    assert noise.is_noise
    assert noise.error_db == pytest.approx(-40, abs=0.3)
    steeper = rack.copy()
    steeper.set("compressor.ratio", 4.6)
    gain = residual_of([(steeper(x, RATE), y)], RATE)
    assert not gain.is_noise
    assert gain.level_share > 0.8
    brighter = residual_of([(y, tr.Rack([equaliser(("bell", 3000, 1, 1))])(y, RATE))], RATE)
    assert brighter.filter_share > 0.8
    assert brighter.level_share < 0.5


def test_a_gain_in_the_bass_is_told_from_noise():
    """Where a window of 21 ms cannot tell its frequency from those above it."""
    x = music(6.0)
    bass = tr.Rack([equaliser(("bell", 26, 9, 2.0))])(x, RATE)
    assert residual_of([(x, bass)], RATE).gain_share > 0.2
    assert residual_of([(x, noisy(x, 40))], RATE).gain_share < 0.02


def test_what_is_left_is_told_by_its_kind():
    x = music(6.0)
    rack = tr.Rack([tr.Compressor()])
    echo = x + 0.1 * np.pad(x, ((0, 0), (3000, 0)))[:, : x.shape[1]]
    _, _, spectrum = scipy.signal.stft(x, nperseg=512)  # noise as loud as the sound at each time and frequency
    turned = 0.05 * np.abs(spectrum) * np.exp(2j * np.pi * np.random.default_rng(1).random(spectrum.shape))
    codec = x + scipy.signal.istft(turned, nperseg=512)[1][:, : x.shape[1]]
    hum = x + 0.02 * np.sin(2 * np.pi * 50.0 * np.arange(x.shape[1]) / RATE)
    for wet, says in ((echo, "echoes of the sound"), (codec, "codecs"), (hum, "noise of the recording")):
        residual = residual_of([(x, wet.astype(np.float32))], RATE)
        assert says in verdict(rack, residual)[0]


def test_a_noisy_recording_is_found_and_said_to_be_noisy():
    x = music(3.0)
    hidden = tr.Rack([tr.Compressor(threshold_db=-30, ratio=4, attack_ms=3)])
    result = fit(tr.Rack([tr.Compressor()]), x, noisy(hidden(x, RATE), 40.0))
    assert result.found
    assert result.rack.get("compressor.threshold_db") == pytest.approx(-30, abs=0.2)
    assert any("noise of the recording" in sentence for sentence in result.advice)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_the_minimum_of_least_squares_is_found_inside_the_range():
    matrix = np.random.default_rng(0).standard_normal((40, 3))

    def residuals(many: np.ndarray) -> np.ndarray:
        return ((many - [0.3, 0.8, 1.4]) @ matrix.T).astype(np.float32)

    free = minimise(residuals, np.full(3, 0.5), 30)
    assert free.positions[2] == 1.0  # at the end of its range
    assert np.all((free.positions >= 0) & (free.positions <= 1))
    inside = minimise(residuals, np.array([0.5, 0.5, 1.0]), 30, free=[0, 1])
    assert inside.positions[2] == 1.0
    assert free.energy == pytest.approx(inside.energy, rel=1e-3)


def test_levels_of_equal_sounds_are_equal_and_gains_add():
    x = music(1.0)
    levels = BandLevels(x, RATE)
    assert float(levels.differences(x).abs().max()) == 0.0
    louder = levels.differences(2 * x).flatten()
    assert float(louder.median()) == pytest.approx(6.02, abs=0.1)


def test_the_gain_over_frequency_is_that_of_the_filter():
    x = np.random.default_rng(0).standard_normal((1, 4 * RATE)).astype(np.float32) * 0.1
    hertz, gain_db, weight = coherent_gain(x, tr.Rack([equaliser(("bell", 1000, 9, 1.0))])(x, RATE), RATE)
    assert gain_db[np.argmin(np.abs(hertz - 1000))] == pytest.approx(9, abs=0.1)
    assert gain_db[np.argmin(np.abs(hertz - 60))] == pytest.approx(0, abs=0.2)
    assert weight.max() == 1.0


def test_bands_that_stand_in_each_others_place_change():
    """A low shelf far up and a high shelf far down make nearly the curve of the usual two, but for an offset."""
    x = music(4.0)
    target = equaliser(("low_shelf", 120, -6, 2.0), ("high_shelf", 9000, -8, 2.5))
    crossed = equaliser(("low_shelf", 9000, 8, 2.5), ("high_shelf", 120, 6, 2.0))
    learned = {f"band{i}.{n}" for i in (1, 2) for n in ("frequency_hz", "gain_db", "q")}
    wet, present = tr.Rack([target])(x, RATE), tr.Rack([crossed.copy()])(x, RATE)
    values = nearer(crossed, present, wet, RATE, learned, False, False, 0)[0]
    assert values["band1.frequency_hz"] == pytest.approx(120, rel=0.1)
    assert values["band2.frequency_hz"] == pytest.approx(9000, rel=0.1)


def test_levels_below_the_noise_of_the_target_are_not_told_apart():
    x = music(2.0)
    target = noisy(x, 40.0)
    levels = BandLevels(target, RATE)
    before = float(levels.differences(x).abs().mean())
    levels.raise_floor(x)
    assert float(levels.differences(x).abs().mean()) < 0.6 * before


def test_a_band_that_stands_for_two_moves_to_where_one_is_missing():
    x = music(4.0)
    target = equaliser(("bell", 400, 6, 2), ("bell", 2500, -8, 3))
    stuck = equaliser(("bell", 400, 3, 2), ("bell", 410, 3, 2))
    learned = {f"band{i}.{n}" for i in (1, 2) for n in ("frequency_hz", "gain_db", "q")}
    wet = tr.Rack([target])(x, RATE)
    answers = nearer(stuck, tr.Rack([stuck.copy()])(x, RATE), wet, RATE, learned, True, False, 0)
    hertz = sorted(answers[0][f"band{i}.frequency_hz"] for i in (1, 2))
    assert hertz == pytest.approx([400, 2500], rel=0.02)


def test_other_bands_have_the_types_of_the_curve():
    x = music(4.0)
    wet = tr.Rack([equaliser(("low_cut", 300, 0, 0.7), ("bell", 2000, 8, 2))])(x, RATE)
    values = other_bands(tr.ParametricEQ(), x, wet, RATE, True, 0)[0]
    assert {v for n, v in values.items() if n.endswith(".type")} >= {"low_cut", "bell"}


def test_pre_delay_and_mix_are_read_off_a_correlation():
    x = music(3.0)
    reverb = tr.FDNReverb(decay_s=0.8)

    def play(many: list[dict[str, float]]) -> np.ndarray:
        sounds = []
        for values in many:
            rack = tr.Rack([reverb.copy()])
            for name, value in values.items():
                rack.set(f"fdn_reverb.{name}", value)
            sounds.append(rack(x, RATE))
        return np.array(sounds)

    target = tr.Rack([tr.FDNReverb(decay_s=1.2, pre_delay_ms=42.0, mix=0.3)])(x, RATE)
    best = delayed(reverb, play, target, RATE, {"pre_delay_ms", "mix"})[0]
    assert best["pre_delay_ms"] == pytest.approx(42.0, abs=0.1)
    assert best["mix"] == pytest.approx(0.3, abs=0.1)
    assert delayed(reverb, play, target, RATE, {"decay_s"}) == []


@pytest.mark.parametrize(
    ("rack", "address", "sets"),
    [
        (tr.Rack([tr.Compressor()]), "compressor.makeup_db", True),
        (tr.Rack([tr.Compressor()]), "compressor.threshold_db", False),
        (tr.Rack([tr.Gain(), tr.ParametricEQ(bands=[tr.Band()])]), "gain.gain_db", True),
        (tr.Rack([tr.Gain(), tr.Compressor(threshold_db=-50)]), "gain.gain_db", False),
        (tr.Rack([tr.ParametricEQ(bands=[tr.Band()])]), "parametric_eq.band1.gain_db", False),
        (tr.Rack([tr.Limiter(ceiling_db=-20)]), "limiter.input_gain_db", False),
    ],
)
def test_what_sets_the_level_of_all_is_measured(rack, address, sets):
    c = candidates_of(rack, rack, music(2.0), [address])
    assert c.set_level(c.start) is sets


def test_values_far_off_are_found_block_by_block():
    x = music(3.0)
    hidden = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8, makeup_db=12)])
    addresses = [f"compressor.{n}" for n in ("threshold_db", "ratio", "makeup_db")]
    c = candidates_of(tr.Rack([tr.Compressor()]), hidden, x, addresses)
    place = Search(c, 0, np.inf).run(c.start)
    assert place.decibels < -60
    assert c.renders > 0
    assert c.values(place.positions)["compressor.ratio"] == pytest.approx(8, rel=0.01)


def test_ctrl_c_leaves_the_best_values_so_far():
    x = music(2.0)
    wet = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8)])(x, RATE)
    seen: list[str] = []

    def stop(what: str, error_db: float) -> None:
        seen.append(what)
        if np.isfinite(error_db):
            raise KeyboardInterrupt

    addresses = ["compressor.threshold_db", "compressor.ratio"]
    finder = Finder([Pair("pair", x, wet, 0, "", "")], [split(x.shape[1], RATE)], RATE, lambda rack: addresses, report=stop)
    findings = finder.run(tr.Rack([tr.Compressor()]))
    assert findings.interrupted
    assert seen
    later = []

    def stop_after_the_cut(what: str, error_db: float) -> None:
        later.append(what)
        if cut in later:
            raise KeyboardInterrupt

    cut = "cut"
    finder = Finder(
        [Pair("pair", x, wet, 0, "", "")], [split(x.shape[1], RATE)], RATE, lambda rack: addresses, report=stop_after_the_cut
    )
    finder._leave_out_beginnings = lambda search: later.append(cut) or True  # type: ignore[method-assign,func-returns-value]
    finder._ended = lambda: False  # type: ignore[method-assign]
    assert finder.run(tr.Rack([tr.Compressor()])).interrupted
    with pytest.raises(KeyboardInterrupt):
        Finder(
            [Pair("pair", x, wet, 0, "", "")], [split(x.shape[1], RATE)], RATE, lambda rack: addresses,
            report=lambda what, error_db: (_ for _ in ()).throw(KeyboardInterrupt),
        ).run(tr.Rack([tr.Compressor()]))  # fmt: skip
