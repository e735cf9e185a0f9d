"""What recordings have beside the processing: polarity, delay, DC offset, swapped channels, clipping, noise, another clock.
Each is found where it was put in, said, and undone where it can be; nothing is said of racks that only do what racks do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import twinrack as tr
from support import music
from twinrack.train import data, recordings

RATE = 22050
QUICK = {"steps": 60, "progress": False, "patience": 100}


def noise(channels: int, seconds: float = 2.0, seed: int = 0, top: float = 1.0) -> np.ndarray:
    """White up to a share of the Nyquist frequency."""
    x = np.random.default_rng(seed).standard_normal((channels, int(seconds * RATE))) * 0.1
    spectrum = np.fft.rfft(x)
    spectrum[:, int(top * (spectrum.shape[1] - 1)) :] = 0.0
    return np.fft.irfft(spectrum, x.shape[1]).astype(np.float32)


def bell(frequency_hz: float = 1500.0, gain_db: float = 6.0) -> tr.ParametricEQ:
    return tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=frequency_hz, gain_db=gain_db)])


def delayed(x: np.ndarray, frames: float) -> np.ndarray:
    """By a turn of the phase, in an array twice as long."""
    n = 2 * x.shape[1]
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(n) * frames)
    return np.fft.irfft(np.fft.rfft(x, n) * turn, n)[:, : x.shape[1]].astype(np.float32)


def pair_of(dry: np.ndarray, wet: np.ndarray, rack: tr.Rack | None = None, rate: float = RATE) -> data.Pair:
    return data.load_pairs(dry, wet, rate, True, data.explained_by(rack or tr.Rack([bell()])))[0][0]


# --- polarity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "option"),
    [([-1], "invert"), ([-1, -1], "invert"), ([-1, 1], "invert_left"), ([1, -1], "invert_right")],
)
def test_inverted_polarity_is_said_and_undone(signs, option):
    x = noise(len(signs))
    wet = tr.Rack([bell()])(x, RATE) * np.array(signs, np.float32)[:, None]
    result = tr.fit(tr.Rack([bell(1000, 0)]), x, wet, RATE, **QUICK)
    assert result.fitted.error_db < -80
    assert result.rack.effects[-1].polarity == option
    assert np.abs(result.rack(x, RATE) - wet).max() < 1e-4  # it plays what was recorded
    assert [w for w in result.warnings if "polarity" in w] == result.warnings
    assert len(result.warnings) == 1
    assert ("right channel" in result.warnings[0]) == (option == "invert_right")
    assert result.rack.provenance["recordings"][0]["polarity"] == signs
    assert result.parameters[0].address.startswith("parametric_eq.")
    assert not any(p.address.startswith("gain") for p in result.parameters)


@pytest.mark.parametrize("recorded", [1, -1])
@pytest.mark.parametrize("set_to", ["normal", "invert"])
def test_a_gain_that_is_there_takes_the_polarity(recorded, set_to):
    x = noise(1)
    wet = recorded * tr.Rack([bell()])(x, RATE)
    rack = tr.Rack([tr.Gain(polarity=set_to), bell(1000, 0)])
    result = tr.fit(rack, x, wet, RATE, **QUICK)
    assert result.rack["gain"].polarity == ("normal" if recorded == 1 else "invert")
    assert len(result.rack.effects) == 2
    assert result.fitted.error_db < -80
    differs = (recorded == 1) != (set_to == "normal")
    assert len(result.warnings) == differs
    assert rack["gain"].polarity == set_to  # as it was given


def test_one_pair_of_several_is_inverted():
    x, y = noise(1), noise(1, seed=1)
    rack = tr.Rack([bell()])
    result = tr.fit(tr.Rack([bell(1000, 0)]), [x, y], [rack(x, RATE), -rack(y, RATE)], RATE, **QUICK)
    assert result.fitted.error_db < -80
    assert len(result.rack.effects) == 1
    assert any("wet of pair 2 has inverted polarity" in w for w in result.warnings)


def test_a_polarity_that_no_gain_has_is_named():
    x = noise(3, 1.0)
    wet = x * np.array([[1], [1], [-1]], np.float32)
    result = tr.fit(tr.Rack([bell(1000, 0)]), x, wet, RATE, steps=2, polish_steps=0, progress=False)
    assert any("inverted polarity in channel 3" in w for w in result.warnings)


def test_a_session_takes_the_polarity_of_the_mix():
    session = tr.Session("mix", RATE, end=f"{RATE} frames")
    session.add_track("a", clips=[tr.Clip(noise(2, 1.0))], gain_db=-6.0)
    session.add_track("b", clips=[tr.Clip(noise(2, 1.0, seed=1))], gain_db=-3.0)
    mix = -session.render()
    for channel in ("a", "b"):
        session[channel].gain_db = 0.0
    result = tr.fit(session, mix, steps=10, progress=False)
    assert result.session.master.polarity == "invert"
    assert result.fitted.error_db < -60
    assert any("polarity" in w for w in result.warnings)
    assert session.master.polarity == "normal"  # as it was given


def test_choices_of_polarity_are_left_alone():
    x = noise(1, 1.0)
    settings = {"choices": ["gain.polarity"], "steps": 10, "progress": False}
    result = tr.fit(tr.Rack([tr.Gain()]), x, -0.5 * x, RATE, **settings)
    assert result.rack["gain"].polarity == "invert"
    assert not result.warnings


def test_inverted_with_dynamics_and_music():
    x = music(2, 3 * RATE, RATE, 4)
    for rack in (
        tr.Rack([tr.Compressor(threshold_db=-30, ratio=4)]),
        tr.Rack([tr.Saturation(drive_db=12)]),
        tr.Rack([tr.FDNReverb(mix=0.2)]),
        tr.Rack([tr.ParametricEQ(bands=[tr.Band("low_cut", frequency_hz=150), tr.Band("high_cut", frequency_hz=3000)])]),
    ):
        assert pair_of(x, -rack(x, RATE), rack).polarity == (-1, -1)
        assert pair_of(x, rack(x, RATE), rack).polarity == (1, 1)


def test_search_undoes_polarity():
    pytest.importorskip("optuna", reason="optuna is not installed (pip install 'twinrack[search]')")
    x = noise(1, 1.0)
    wet = -tr.Rack([bell()])(x, RATE)
    rack = tr.Rack([bell(1200, 1), tr.Compressor()])
    found = tr.search(rack, x, wet, RATE, trials=3, order=False, steps=5, final_steps=40)
    assert any("polarity" in w for w in found.fit.warnings)
    assert found.fit.fitted.error_db < -40
    assert isinstance(found.pruned.effects[-1], tr.Gain)


# --- delay ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0.5, 2.0, 37.5, 37.25, 200.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_fractions_of_a_delay_are_found_and_removed(frames, sign):
    x = noise(1, top=0.9)
    wet = sign * delayed(tr.Rack([bell()])(x, RATE), frames)
    pair = pair_of(x, wet)
    assert pair.delay_frames == pytest.approx(frames, abs=0.02)
    assert pair.polarity == (sign,)
    assert any(f"{pair.delay_frames:.2f} frames" in note for note in pair.notes)


def test_a_fit_with_half_a_frame():
    x = noise(1, top=0.9)
    wet = delayed(tr.Rack([bell()])(x, RATE), 37.5)
    result = tr.fit(tr.Rack([bell(1000, 0)]), x, wet, RATE, **QUICK)
    assert result.latency == (pytest.approx(37.5, abs=0.01),)
    assert result.fitted.error_db < -35
    assert tr.fit(tr.Rack([bell(1000, 0)]), x, wet, RATE, align=37, **QUICK).fitted.error_db > result.fitted.error_db + 20


def test_filters_have_no_latency():
    """A steep cut holds back what passes by far more than a frame."""
    x = noise(1)
    for kind, hertz in (("high_cut", 500.0), ("low_cut", 4000.0), ("band_pass", 1000.0)):
        rack = tr.Rack([tr.ParametricEQ(bands=[tr.Band(kind, frequency_hz=hertz, q=3.0, slope_db_per_octave="48")])])
        pair = pair_of(x, rack(x, RATE), rack)
        assert (pair.delay_frames, pair.notes) == (0.0, ())


def test_a_delay_beyond_the_search_is_named():
    x = np.pad(noise(1), ((0, 0), (0, RATE)))
    wet = np.pad(x, ((0, 0), (12000, 0)))[:, : x.shape[1]]
    pair = pair_of(x, wet)
    assert any("0.54 s later" in note and "align=12000" in note for note in pair.notes)
    assert data.load_pairs(x, wet, RATE, 12000, data.Explained())[0][0].polarity == (1,)


@pytest.mark.parametrize("ppm", [20.0, 50.0, -50.0, 300.0])
def test_another_clock_is_named(ppm):
    x = noise(1, 8.0, top=0.4)
    spline = CubicSpline(np.arange(x.shape[1]), x[0].astype(np.float64))
    wet = spline(np.arange(x.shape[1]) / (1.0 + 1e-6 * ppm))[None].astype(np.float32)
    assert recordings.clock_ppm(x, wet) == pytest.approx(ppm, rel=0.1)
    assert any("another clock" in note for note in pair_of(x, wet).notes)


# --- levels -----------------------------------------------------------------------------------------------------------


def test_an_offset_is_said_and_removed():
    x = noise(1)
    wet = tr.Rack([bell()])(x, RATE)
    for dry, recorded, name in ((x, wet + 0.01, "wet"), (x + 0.02, wet, "dry")):
        pair = pair_of(dry.astype(np.float32), recorded.astype(np.float32))
        assert [n for n in pair.notes if n.startswith(f"{name} has a DC offset")] == list(pair.notes)
        assert len(pair.notes) == 1
        assert abs(float(pair.wet.mean())) < 1e-3
        assert abs(float(pair.dry.mean())) < 1e-3
    result = tr.fit(tr.Rack([bell(1000, 0)]), x, wet + 0.01, RATE, **QUICK)
    assert result.fitted.error_db < -45
    assert any("DC offset of +0.01" in w for w in result.warnings)


def test_what_a_distortion_makes_is_no_offset_of_the_recorder():
    x = noise(1)
    x[:, RATE : RATE + RATE // 2] = 0.0
    rack = tr.Rack([tr.Saturation(drive_db=20, bias=0.5)])
    wet = rack(x, RATE)
    assert not pair_of(x, wet, rack).notes
    assert any("wet has a DC offset of" in n for n in pair_of(x, wet + 0.02, rack).notes)


def test_swapped_channels_are_named_and_put_back():
    x = noise(2)
    wet = tr.Rack([bell()])(x, RATE)
    pair = pair_of(x, wet[::-1].copy())
    np.testing.assert_array_equal(pair.wet, wet)
    assert any("swapped" in note for note in pair.notes)
    assert not pair_of(x, wet).notes
    same = np.repeat(x[:1], 2, 0)
    assert not pair_of(same, same[::-1].copy()).notes


def test_clipping_is_named():
    x = noise(1)
    wet = tr.Rack([bell()])(x, RATE)
    low = music(1, 2 * RATE, RATE, 1)
    for dry, sound in ((x, wet), (low, low)):
        limit = 0.6 * float(np.abs(sound).max())
        notes = pair_of(dry, np.clip(sound, -limit, limit)).notes
        assert any(f"clipped at {20 * np.log10(limit):.1f} dBFS" in n for n in notes)
        steps = (np.round(sound * 2**15) / 2**15).astype(np.float32)
        assert not pair_of(dry, steps).notes  # 16 bits


def test_noise_in_pauses_is_named():
    x = noise(1)
    x[:, RATE : RATE + RATE // 2] = 0.0
    wet = tr.Rack([bell()])(x, RATE)
    hiss = (1e-3 * np.random.default_rng(5).standard_normal(x.shape)).astype(np.float32)
    assert any("noise at -60 dBFS" in n for n in pair_of(x, wet + hiss).notes)
    assert not pair_of(x, wet).notes
    reverb = tr.Rack([tr.FDNReverb(mix=0.5, decay_s=10.0)])
    assert not pair_of(x, reverb(x, RATE), reverb).notes


def test_lengths_silent_channels_and_faint_recordings_are_named():
    x = noise(2)
    assert any("wet ends 0.23 s before dry" in n for n in pair_of(x, x[:, :-5000]).notes)
    assert any("the right channel of wet is silent" in n for n in pair_of(x, x * np.array([[1.0], [0.0]], np.float32)).notes)
    assert any("dBFS, two steps of 16 bits" in n for n in pair_of(x, 1e-4 * x).notes)


# --- nothing is said of what is not there --------------------------------------------------------------------------------


def some_sound(random: np.random.Generator, rate: int) -> np.ndarray:
    channels, frames = int(random.integers(1, 3)), int(rate * np.exp(random.uniform(np.log(0.25), np.log(3.0))))
    kind = random.choice(["white", "pink", "music", "sine", "tone", "sweep", "clicks", "band", "gated"])
    time = np.arange(frames) / rate
    x = 0.1 * random.standard_normal((channels, frames))
    spectrum = np.fft.rfft(x)
    if kind == "pink":
        spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1])) / 10
        spectrum[:, 0] = 0.0
        x = np.fft.irfft(spectrum, frames)
    elif kind == "music":
        x = music(channels, frames, rate, int(random.integers(1000)))
    elif kind == "sine":
        x = np.tile(0.5 * np.sin(2 * np.pi * random.uniform(30, 3000) * time), (channels, 1))
    elif kind == "tone":
        hertz = random.uniform(40, 400)
        x = np.tile(sum(0.3 / k * np.sin(2 * np.pi * k * hertz * time + k * k) for k in range(1, 10)), (channels, 1))
    elif kind == "sweep":
        speed = np.log(300) * rate / frames
        x = np.tile(0.4 * np.sin(2 * np.pi * 25 / speed * np.exp(speed * time)), (channels, 1))
    elif kind == "clicks":
        x = np.zeros((channels, frames))
        x[:, random.integers(0, frames, 1 + frames // 4000)] = 0.7
    elif kind == "band":
        spectrum[:, int(random.uniform(0.05, 0.6) * spectrum.shape[1]) :] = 0.0
        x = np.fft.irfft(spectrum, frames)
    elif kind == "gated":
        for _ in range(4):
            start = int(random.integers(0, frames))
            x[:, start : start + int(random.uniform(0.05, 0.3) * frames)] = 0.0
    return np.ascontiguousarray(x, np.float32)


def some_effect(random: np.random.Generator, rate: int) -> tr.Effect:
    def log(low: float, high: float) -> float:
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    kinds = ["bell", "low_shelf", "high_shelf", "low_cut", "high_cut", "notch", "all_pass"]
    bands = [
        tr.Band(
            str(random.choice(kinds)),
            frequency_hz=log(30, 0.3 * rate),
            gain_db=float(random.uniform(-12, 12)),
            q=log(0.5, 6),
            slope_db_per_octave=str(random.choice(["12", "24"])),
        )
        for _ in range(int(random.integers(1, 4)))
    ]
    curve = str(random.choice(["tanh", "soft_clip", "hard_clip", "asymmetric", "tape"]))
    filters = str(random.choice(["linear_phase", "minimum_phase"]))
    return random.choice(
        [
            tr.ParametricEQ(bands=bands),
            tr.Compressor(threshold_db=float(random.uniform(-50, -10)), ratio=log(1.5, 20), attack_ms=log(0.2, 50)),
            tr.Saturation(
                drive_db=float(random.uniform(0, 30)), bias=float(random.uniform(-0.8, 0.8)), curve=curve, filters=filters
            ),
            tr.FDNReverb(mix=float(random.uniform(0.05, 0.6))),
            tr.Limiter(ceiling_db=float(random.uniform(-20, 0)), input_gain_db=float(random.uniform(0, 15))),
        ]
    )


@pytest.mark.parametrize("part", range(4))
def test_racks_alone_raise_no_warning(part):
    for seed in range(40 * part, 40 * part + 40):
        random = np.random.default_rng(seed)
        rate = int(random.choice([8000, 22050, 44100, 48000]))
        x = some_sound(random, rate)
        rack = tr.Rack([some_effect(random, rate) for _ in range(int(random.integers(1, 4)))])
        wet = rack(x, rate)
        if min(np.abs(x).max(), np.abs(wet).max()) < 1e-3:
            continue
        pair = pair_of(x, wet, rack, rate)
        assert -1 not in pair.polarity, (seed, repr(rack))
        assert not pair.notes, (seed, pair.notes, repr(rack))
