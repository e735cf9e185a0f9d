"""Room correction: what places share is corrected, also where it was not measured; filters have the gain that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from twinrack.measure.curves import frequency_response
from twinrack.validation.claims import claims_of

RATE = 48000
PEAKS = [
    tr.Band("low_cut", frequency_hz=45, slope_db_per_octave="24"),
    tr.Band("bell", frequency_hz=63, gain_db=9, q=5),
    tr.Band("bell", frequency_hz=140, gain_db=6, q=4),
    tr.Band("bell", frequency_hz=3000, gain_db=-4, q=1),
]


def room(place: int, bands=PEAKS, level_db: float = 0.0) -> tr.Response:
    """Two loudspeakers that share the peaks; reflections and reverberation are those of the place."""
    rng = np.random.default_rng(100 + place)
    h = np.zeros((2, RATE // 2), np.float32)
    h[:, 200] = 1.0
    for row in h:
        row[200 + rng.integers(60, 2400, 12)] += (0.3 * rng.standard_normal(12)).astype(np.float32)
    time = np.arange(h.shape[1]) / RATE
    h += np.where(time > 300 / RATE, 0.02 * rng.standard_normal(h.shape) * 10 ** (-3 * time / 0.4), 0.0).astype(np.float32)
    return tr.Response(10 ** (level_db / 20) * tr.Rack([tr.ParametricEQ(bands=bands)])(h, RATE), RATE)


def level_at(x: np.ndarray, hz: float) -> float:
    turns = np.exp(-2j * np.pi * hz / RATE * np.arange(x.shape[-1]))
    return float(20 * np.log10(np.abs(np.dot(x.astype(np.float64), turns))))


@pytest.mark.parametrize("phase", ["minimum", "linear"])
def test_peaks_that_all_places_share_are_taken_down(phase):
    places = [room(place, level_db=-3.0 * place) for place in range(5)]
    found = tr.room.correct(places, phase=phase)
    print(found)
    assert found.spread_db[1] < 0.6 * found.spread_db[0]
    before, after = found.unseen_spread_db
    assert after < 0.65 * before
    assert found.gain_db.max() <= 6.5
    for hz, gain_db in ((63, 9), (140, 6)):
        at = int(np.argmin(np.abs(found.hertz - hz)))
        assert (found.gain_db[:, at] < -0.4 * gain_db).all()
    # What the rack does to sound is what the curves say, in time with it.
    impulse = np.zeros((2, RATE), np.float32)
    impulse[:, RATE // 2] = 1.0
    y = found.rack(impulse, RATE)
    assert np.abs(int(np.argmax(np.abs(y[0]))) - RATE // 2) < 5
    for hz in (63.0, 300.0, 3000.0):
        at = int(np.argmin(np.abs(found.hertz - hz)))
        wanted = found.gain_db[0, at] - found.headroom_db
        assert level_at(y[0], float(found.hertz[at])) == pytest.approx(wanted, abs=0.3)


def test_a_flat_loudspeaker_is_left_alone_and_a_range_is_kept():
    h = np.zeros(4800)
    h[10] = 0.25
    flat = tr.room.correct(tr.Response(h, RATE))
    assert np.abs(flat.gain_db).max() < 0.05
    assert flat.unseen_spread_db is None
    some = tr.room.correct(room(0), highest_hz=400, max_cut_db=4)
    above = some.hertz > 900
    # beyond the range only the balance of the two remains
    assert np.ptp(some.gain_db[:, above], 1).max() < 0.3
    assert (some.gain_db.min(1) - some.gain_db[:, above].mean(1)).min() > -4.6


def test_a_quieter_loudspeaker_is_brought_to_the_other():
    one = room(1).samples
    found = tr.room.correct(tr.Response(np.stack([one[0], 0.5 * one[0]]), RATE))
    middle = (found.hertz > 300) & (found.hertz < 2000)
    assert (found.gain_db[1] - found.gain_db[0])[middle] == pytest.approx(6.02, abs=0.2)


def test_a_target_of_ones_own_is_reached():
    h = np.zeros(4800)
    h[10] = 1.0
    points = [(50.0, 5.0), (500.0, 0.0), (10000.0, -3.0)]
    found = tr.room.correct(tr.Response(h, RATE), points)
    for hz, db in points:
        at = int(np.argmin(np.abs(found.hertz - hz)))
        assert found.gain_db[0, at] - found.gain_db[0, np.argmin(np.abs(found.hertz - 500.0))] == pytest.approx(db, abs=0.3)


def test_its_page_shows_the_curves(tmp_path):
    found = tr.room.correct(room(0))
    found.report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 6
    assert "dashed: measured" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "responses is empty"),
        ((["a.wav"],), "responses are what tr.room.measure gives"),
        (([room(0), tr.Response(np.eye(1, 9), RATE)],), "different numbers of channels"),
        ((room(0), "loud"), 'target must be "flat" or "house", or a list'),
        ((room(0), [(100, 1), (50, 2)]), "rise from point to point"),
        ((room(0), [(100, 1, 5)]), "pairs"),
    ],
)
def test_what_is_wrong_is_said(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        tr.room.correct(*arguments)


def test_a_range_without_anything_in_it_is_refused():
    with pytest.raises(ValueError, match="nothing lies from 900 to 300 Hz"):
        tr.room.correct(room(0), lowest_hz=900, highest_hz=300)


@pytest.mark.parametrize("phase", ["linear", "minimum"])
def test_a_filter_has_the_gain_of_an_equaliser(phase):
    bands = [tr.Band("bell", frequency_hz=150, gain_db=6, q=3), tr.Band("high_shelf", frequency_hz=5000, gain_db=-4)]
    equaliser = tr.ParametricEQ(bands=bands)
    rack = tr.Rack([tr.linear_phase(equaliser, RATE, phase=phase)])
    x = np.zeros((1, RATE), np.float32)
    x[0, RATE // 2] = 1.0
    y, wanted = rack(x, RATE)[0], tr.Rack([equaliser])(x, RATE)[0]
    for hz in (30.0, 100.0, 150.0, 400.0, 5000.0, 15000.0):
        assert level_at(y, hz) == pytest.approx(level_at(wanted, hz), abs=0.1)
    before = y[RATE // 2 - 200 : RATE // 2]
    if phase == "linear":
        assert int(np.argmax(np.abs(y))) == RATE // 2
        assert before == pytest.approx(y[RATE // 2 + 1 : RATE // 2 + 201][::-1], abs=1e-6)
        assert rack.copy().twin(RATE).latency == round(0.17 * RATE) // 2
    else:
        assert np.abs(before).max() < 1e-4


def test_a_filter_of_points_keeps_both_sides_apart():
    equaliser = tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=1000, gain_db=6, q=1, channel="left")])
    x = np.zeros((2, RATE), np.float32)
    x[:, 20000] = 1.0
    y = tr.Rack([tr.linear_phase(equaliser, RATE)])(x, RATE)
    assert level_at(y[0], 1000.0) == pytest.approx(6.0, abs=0.1)
    assert level_at(y[1], 1000.0) == pytest.approx(0.0, abs=0.1)
    y = tr.Rack([tr.linear_phase([(100, 6), (1000, 0)], RATE)])(x, RATE)
    assert level_at(y[0], 100.0) == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize("rack", [tr.Compressor(threshold_db=-20, ratio=10), tr.Tremolo(depth=0.9), tr.Saturation()])
def test_what_is_no_filter_is_refused(rack):
    with pytest.raises(ValueError, match="changes over time or with the level"):
        tr.linear_phase(rack, RATE)


def test_the_dry_sound_waits_for_a_response_that_leads():
    """Half dry, half through a delay of a millisecond that is declared: nothing changes."""
    x = np.random.default_rng(0).standard_normal((2, 9000)).astype(np.float32)
    h = np.zeros(60)
    h[48] = 1.0
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=(h, RATE), mix=0.5, normalise=False, lead_ms=1)])
    assert rack(x, RATE) == pytest.approx(x, abs=1e-5)
    assert tr.Rack([tr.ConvolutionReverb(lead_ms=3, mix=0.5)])(x, RATE) == pytest.approx(x, abs=1e-6)


def bass_up(db: float) -> tr.Response:
    h = np.zeros((1, RATE // 2), np.float32)
    h[0, 200] = 0.5
    return tr.Response(tr.Rack([tr.ParametricEQ(bands=[tr.Band("low_shelf", frequency_hz=200, gain_db=db)])])(h, RATE), RATE)


@pytest.mark.parametrize("highest_hz", [120.0, 250.0, 500.0, None])
def test_bass_is_levelled_with_the_middle_whatever_the_range(highest_hz):
    found = tr.room.correct(bass_up(8.0), highest_hz=highest_hz)
    assert found.gain_db[0, np.argmin(np.abs(found.hertz - 40.0))] == pytest.approx(-8.0, abs=1.0)


def test_a_deep_dip_does_not_end_the_range():
    bands = [tr.Band("bell", frequency_hz=100, gain_db=-18, q=1.5), tr.Band("bell", frequency_hz=40, gain_db=9, q=3)]
    h = np.zeros((1, RATE // 2), np.float32)
    h[0, 200] = 0.5
    found = tr.room.correct(tr.Response(tr.Rack([tr.ParametricEQ(bands=bands)])(h, RATE), RATE))
    assert found.range_hz[0][0] < 40
    assert found.gain_db[0, np.argmin(np.abs(found.hertz - 40.0))] < -5.0


def test_a_subwoofer_beside_a_loudspeaker_is_left_in_its_range():
    h = np.zeros((2, RATE // 2), np.float32)
    h[:, 200] = 0.5
    cuts = [
        tr.Band("low_cut", frequency_hz=25, slope_db_per_octave="24"),
        tr.Band("high_cut", frequency_hz=100, slope_db_per_octave="24"),
    ]
    h[1] = tr.Rack([tr.ParametricEQ(bands=cuts)])(h[1:], RATE)[0]
    found = tr.room.correct(tr.Response(h, RATE))
    assert np.abs(found.gain_db[0]).max() < 0.3
    at = {hz: float(found.gain_db[1, np.argmin(np.abs(found.hertz - hz))]) for hz in (50.0, 1000.0)}
    assert abs(at[50.0]) < 2.0
    assert abs(at[1000.0]) < 0.3


def test_a_silent_loudspeaker_is_named():
    h = np.zeros((2, 4800))
    h[0, 100] = 1.0
    with pytest.raises(ValueError, match="response 1 is silent in channel 2"):
        tr.room.correct(tr.Response(h, RATE))


def test_a_filter_is_measured_with_what_comes_before_its_middle():
    """Curves, claims, and a filter of a filter."""
    filtered = tr.linear_phase(tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=150, gain_db=6, q=3)]), RATE)
    curve = frequency_response(filtered, RATE)
    assert curve.y.max() == pytest.approx(6.0, abs=0.1)
    assert all(c.holds for c in claims_of(filtered, RATE))
    again = frequency_response(tr.linear_phase(filtered, RATE), RATE)
    assert again.y.max() == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("item", [tr.preset("crossfeed", "classic"), tr.MidSide(side=[tr.Gain(gain_db=-6)])])
def test_what_brings_the_sides_together_is_no_filter(item):
    with pytest.raises(ValueError, match="from one side to the other"):
        tr.linear_phase(item, RATE)
