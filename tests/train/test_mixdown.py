"""Through the mix: hidden sessions are found again from their sound, and targets are reached."""

from __future__ import annotations

import numpy as np
import pytest

import twinrack as tr
from session_support import RATE
from support import SHARED, music, recording
from twinrack.measure.loudness import loudness
from twinrack.plugins.fader.twin import level_and_pan
from twinrack.session.twin import SessionTwin
from twinrack.train.addresses import learned_in_mix
from twinrack.train.mixdown import fit_mix

SECONDS = 4.0


def stems(count: int, seconds: float = SECONDS) -> list[np.ndarray]:
    """Real recordings where they are there, each in pieces of its own."""
    names, frames = ("guitar", "drums", "piano", "tabla", "speech"), int(seconds * RATE)
    found = []
    for i in range(count):
        rng = np.random.default_rng(i)
        whole = recording(f"{names[i % 5]}.flac")[0] if SHARED.exists() else music(2, frames, RATE, i)
        x = np.zeros((2, frames), np.float32)
        at = int(rng.uniform(0, 0.5) * RATE)
        while at < frames:
            n = min(int(rng.uniform(1, 3) * RATE), frames - at, whole.shape[1] // 2)
            a = int(rng.integers(0, whole.shape[1] - n))
            x[:, at : at + n] = 0.3 * whole[:, a : a + n] * np.minimum(1, np.arange(n)[::-1] / 400)
            at += n
        found.append(x)
    return found


def mixture(sounds: list[np.ndarray], hidden: bool) -> tr.Session:
    rng = np.random.default_rng(3)

    def some(low: float, high: float, start: float) -> float:
        value = float(rng.uniform(low, high))
        return value if hidden else start

    session = tr.Session("mix", RATE, end=f"{sounds[0].shape[1]} frames")
    session.add_group("band")
    session.add_return("plate", rack=[tr.FDNReverb(mix=1.0, decay_s=0.8)])
    for i, x in enumerate(sounds):
        band = tr.Band("bell", frequency_hz=some(700, 1800, 1100), gain_db=some(-6, 6, 0), q=1.0)
        rack: list = [tr.ParametricEQ(bands=[band])]
        if i == 1:
            rack.append(tr.Compressor(threshold_db=some(-35, -28, -25), ratio=some(3, 5, 3)))
        track = session.add_track(
            f"{i}", clips=[tr.Clip(x)], rack=rack, output="band" if i % 2 else "master", law="constant_power_3db",
            gain_db=some(-12, 0, -6), pan=some(-0.8, 0.8, 0),
        )  # fmt: skip
        track.send("plate", some(-22, -12, -18))
    return session


def test_a_hidden_mix_is_found():
    sounds = stems(4)
    hidden = mixture(sounds, True)
    start = mixture(sounds, False)
    freeze = ["plate.*", "*.attack_ms", "*.release_ms"]
    result = tr.fit(start, hidden.render(), sample_rate=RATE, steps=100, freeze=freeze, progress=False)
    print(f"\n{result}")
    assert result.fitted.error_db < -40
    for i in range(4):
        assert result.session[f"{i}"].gain_db == pytest.approx(hidden[f"{i}"].gain_db, abs=0.2)
        assert result.session[f"{i}"].pan == pytest.approx(hidden[f"{i}"].pan, abs=0.02)
        assert result.session[f"{i}"].sends[0].gain_db == pytest.approx(hidden[f"{i}"].sends[0].gain_db, abs=1.0)
    assert result.session.provenance["held_out"]["fitted"]["error_db"] == pytest.approx(result.fitted.error_db, abs=1e-3)
    assert start["0"].gain_db == -6  # as it was


def test_levels_and_pans_follow_by_their_laws():
    for law in tr.CARDS["fader"].addresses["law"].options:
        for pan in (-1.0, -0.6, 0.0, 0.3, 0.97):
            gains = tr.Rack([tr.Fader(gain_db=-7, pan=pan, law=law)])(np.ones((2, 64), np.float32), RATE)[:, -1]
            level, place = level_and_pan(float(gains[0]), float(gains[1]), law)
            assert level == pytest.approx(-7, abs=0.05)
            assert place == pytest.approx(pan, abs=0.005)


def test_what_is_trained_in_a_mix_where_nothing_is_said():
    """Main values of tracks; neither what another gain stage covers, nor details, nor reverbs, nor faders of groups."""
    session = mixture(stems(2, 1.0), False)
    session["0"].rack.append(tr.Saturation())
    session["1"].rack.append(tr.Limiter())
    chosen = set(learned_in_mix(SessionTwin(session), None, ()))
    trained = ("0.gain_db", "0.pan", "0.parametric_eq.band1.gain_db", "0.parametric_eq.band1.frequency_hz",
               "0.sends.plate.gain_db", "0.saturation.drive_db", "1.compressor.ratio", "1.limiter.ceiling_db")  # fmt: skip
    for address in trained:
        assert address in chosen
    left_out = ("0.width", "0.sends.plate.pan", "0.saturation.mix", "0.saturation.output_db", "0.parametric_eq.band1.q",
                "1.compressor.makeup_db", "1.compressor.knee_db", "1.limiter.input_gain_db", "1.limiter.link_percent",
                "band.gain_db", "plate.gain_db", "plate.fdn_reverb.decay_s", "master.gain_db")  # fmt: skip
    every = SessionTwin(session).learnable()
    for address in left_out:
        assert address in every
        assert address not in chosen


def test_what_does_not_matter_is_left_out():
    sounds = stems(3)
    hidden = mixture(sounds, True)
    hidden["2"].sends.clear()
    start = mixture(sounds, False)
    start["0"].rack.append(tr.Compressor(threshold_db=0.0))
    start.set("2.sends.plate.gain_db", -60)
    result = fit_mix(
        start,
        hidden.render(),
        RATE,
        steps=50,
        freeze=["plate.*", "*.compressor.*"],
        polish_steps=0,
        prune=True,
        progress=False,
    )
    print(f"\n{result}")
    assert {"0.compressor", "2.sends.plate"} <= set(result.pruned)
    assert not result.session["2"].sends
    assert "0.parametric_eq" not in result.pruned


def test_targets_instead_of_a_mix(tmp_path):
    sounds = stems(3)
    session = mixture(sounds, False)
    session["2"].gain_db = -26
    target = tr.targets.Loudness(-24.0) + tr.targets.Heard("2", by_db=3.0)
    result = fit_mix(session, None, loss=target, learn=["*.gain_db"], freeze=["*.parametric_eq.*"], steps=50, progress=False)
    print(f"\n{result}")
    for name, (before, after, _) in result.gaps.items():
        assert after < 0.5 * before, name
    assert loudness(result.session.render(), RATE).integrated == pytest.approx(-24, abs=1.5)
    assert result.session["2"].gain_db > -24


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"mix": np.zeros((2, 48000), np.float32)}, "is silent"),
        ({"mix": np.full((2, 48000), np.nan, np.float32)}, "NaN or infinity in 96000 samples"),
        ({"mix": np.ones((1, 48000), np.float32)}, "has 1 channels, the session 2"),
        ({"mix": np.ones((2, 48000), np.float32), "sample_rate": 44100}, "has 44100 Hz, the session 48000"),
        ({"mix": None}, "neither a mix nor a loss"),
        ({"mix": np.ones((2, 48000), np.float32), "learn": ["9.gain_db"]}, "has no learnable value '9.gain_db'"),
        ({"mix": np.ones((2, 48000), np.float32), "steps": -1}, "steps must be an integer from 0 to 10000000, got -1"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, match):
    session = mixture(stems(2, 2.0), False)
    with pytest.raises(ValueError, match=match):
        fit_mix(session, arguments.pop("mix"), arguments.pop("sample_rate", RATE), progress=False, **arguments)


def test_a_session_without_clips_or_with_a_second_recording():
    session = tr.Session("none", RATE)
    session.add_group("g")
    with pytest.raises(ValueError, match="has no clips"):
        tr.fit(session, np.ones((2, 48000), np.float32), sample_rate=RATE)
    with pytest.raises(ValueError, match="give the mix alone"):
        tr.fit(session, "a.wav", "b.wav")
    with pytest.raises(ValueError, match="give the dry and the wet"):
        tr.fit(tr.Rack([tr.Gain()]), "a.wav")
