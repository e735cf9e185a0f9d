"""Sentences of an explanation are what was measured, and stand on a page that works by itself; differences in words."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import check_drawn, music, run
from twinrack.explain import differences, explanation, stages
from twinrack.explain.ablation import ablate
from twinrack.explain.cause import cause_of_reduction
from twinrack.explain.evidence_map import evidence
from twinrack.explain.intermediate import up_to_effect
from twinrack.explain.origin import origin
from twinrack.explain.trust import trust

RATE = 48000


@pytest.fixture(scope="module")
def sound():
    return music(2, 3 * RATE, RATE, 5)


@pytest.fixture(scope="module")
def rack():
    bands = [tr.Band("bell", frequency_hz=2000, gain_db=6)]
    return tr.Rack(
        [
            tr.ParametricEQ(bands=bands),
            tr.Compressor(threshold_db=-35, ratio=6),
            tr.Parallel([[], [tr.Saturation(drive_db=30), tr.Gain(gain_db=-6)]]),
            tr.FDNReverb(mix=0.2),
            tr.Limiter(ceiling_db=-1, bypass=True),
        ],
        name="<b>voice",
    )


@pytest.fixture(scope="module")
def explained(rack, sound):
    return explanation(rack, sound, RATE)


def test_stages_end_with_the_rack_itself(rack, sound):
    passed = stages(rack, sound, RATE)
    assert [(s.address, s.inside) for s in passed] == [
        ("parametric_eq", ""),
        ("compressor", ""),
        ("saturation", "(dry | saturation → gain)"),
        ("gain", "(dry | saturation → gain)"),
        ("(dry | saturation → gain)", ""),
        ("fdn_reverb", ""),
        ("limiter", ""),
    ]
    np.testing.assert_array_equal(passed[-1].after, rack.copy()(sound, RATE))
    np.testing.assert_array_equal(passed[0].after, tr.Rack([rack["parametric_eq"].copy()])(sound, RATE))
    outer = [s for s in passed if not s.inside]
    for one, other in itertools.pairwise(outer):
        assert one.after is other.before
    parallel = passed[4]
    whole = slice(None, -64)  # at the end a branch by itself looks ahead into silence
    np.testing.assert_allclose(parallel.after[:, whole], (parallel.before + passed[3].after)[:, whole], atol=1e-6)
    np.testing.assert_array_equal(passed[-1].difference, 0.0)  # it is bypassed


def test_stages_of_keyed_effects_and_latency(sound):
    rack = tr.Rack([tr.Limiter(lookahead_ms=5, input_gain_db=12), tr.Compressor(key="voice", threshold_db=-40)])
    passed = stages(rack, sound, RATE, sidechain={"voice": sound})
    np.testing.assert_array_equal(passed[-1].after, rack.copy()(sound, RATE, sidechain={"voice": sound}))
    np.testing.assert_array_equal(passed[0].after, tr.Rack([rack["limiter"].copy()])(sound, RATE))


def test_the_sound_around_an_effect_inside_branches(rack, sound):
    passed = {s.address: s for s in stages(rack, sound, RATE)}
    for address in ("compressor", "saturation", "gain", "fdn_reverb"):
        for inclusive, wanted in ((False, passed[address].before), (True, passed[address].after)):
            cut = up_to_effect(rack, address, inclusive)
            assert list(cut.addresses()) == list(rack.addresses())
            np.testing.assert_allclose(cut(sound, RATE)[:, :-64], wanted[:, :-64], atol=2e-6)


def test_the_sentences_are_what_was_measured(explained, rack, sound):
    text = " ".join(s.text for s in explained.sentences)
    before, after = (tr.loudness(y, RATE).integrated for y in (sound, rack.copy()(sound, RATE)))
    assert f"{before:.1f} -> {after:.1f} LUFS" in text
    assert "raises the region about" in text
    assert re.search(r"takes away up to \d+\.\d dB", text)
    assert re.search(r"goes on for 0\.\d\d s|goes on for [1-9]", text)
    assert "gets harmonics of" in text
    assert len(explained.sentences) >= 5
    compressor = next(b for b in explained.blocks if b.address == "compressor")
    alone = tr.Rack([rack["compressor"].copy()])
    stage = compressor.stage
    np.testing.assert_array_equal(alone(stage.before, RATE), stage.after)
    limiter = next(b for b in explained.blocks if b.address == "limiter")
    assert limiter.lines() == ["bypassed; it changes nothing"]


def test_a_rack_that_does_nothing_is_said_to_do_nothing(sound):
    e = explanation(tr.Rack([tr.Gain()]), sound, RATE)
    text = str(e)
    assert "0.0 LU louder" in text
    assert "leaves the balance of the spectrum as it is" in text
    assert "stay as far apart" in text
    assert "It adds no tail" in text
    assert "nobody is likely to miss gain" in text
    assert "harmonics" not in text


def test_warnings_name_what_a_reader_must_know(sound):
    rack = tr.Rack([tr.Gain(gain_db=20), tr.Compressor(threshold_db=-1, ratio=40)])
    rack.provenance = {"not_determined": ["compressor.ratio"]}
    warnings = " ".join(explanation(rack, sound, RATE).warnings)
    assert "dBTP: an interface or a file of integers clips it" in warnings
    assert "compressor.ratio = 40:1 is outside what its card expects" in warnings
    assert "do not determine: compressor.ratio" in warnings


def test_silence_cannot_be_explained():
    with pytest.raises(ValueError, match="the sound is silent"):
        explanation(tr.Rack([tr.Gain()]), np.zeros((1, RATE), np.float32), RATE)


def test_the_page_needs_nothing_else_and_a_browser_draws_it(explained, tmp_path):
    path = explained.report(tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    body = re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", body)
    assert "<b>voice" not in text
    for sentence in explained.sentences:
        assert f'href="#{sentence.figure}"' in text
        assert f'id="{sentence.figure}"' in text
    sounds = json.loads(re.search(r"const sounds = (\[.*?\]), evidence", text, re.S).group(1))
    assert len(sounds) == len({id(s) for stage in explained.stages for s in (stage.before, stage.after)}) + 1
    assert str(explained.origin) in text.replace("&#39;", "'")
    check_drawn(path, tmp_path)


# --- the origin of the loudest moment ---


def bursts(*at_s: float) -> np.ndarray:
    """Noise of 50 ms at each time, in 3 s."""
    x = np.zeros((1, 3 * RATE), np.float32)
    noise = 0.3 * np.random.default_rng(1).standard_normal(RATE // 20).astype(np.float32)
    for t in at_s:
        x[0, int(t * RATE) : int(t * RATE) + noise.size] = noise
    return x


def test_the_origin_of_a_late_sound_is_the_burst_that_made_it():
    x = bursts(1.0)
    echo = np.zeros((1, RATE), np.float32)
    echo[0, int(0.6 * RATE)] = 0.9
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=(echo, RATE), mix=1.0)])
    y = np.asarray(rack.copy()(x, RATE))
    found = origin(rack, x, y, RATE)
    assert 1.5 <= found.start_s < found.end_s <= 1.75
    assert found.now == pytest.approx(0.0, abs=0.01)
    assert found.shares[(found.times_s > 0.99) & (found.times_s < 1.06)].sum() == pytest.approx(1.0, abs=0.01)
    assert found.deletion > 0.99
    assert found.holds
    assert abs(found.relevance.lost) < 1e-6


def test_what_goes_through_gains_is_apart_from_what_sounds():
    x = bursts(1.0, 1.4)
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8, attack_ms=5, release_ms=800)])
    found = origin(rack, x[:, : int(1.5 * RATE)], np.asarray(rack.copy()(x[:, : int(1.5 * RATE)], RATE)), RATE)
    assert found.now == pytest.approx(1.0, abs=0.01)
    assert found.detector.sum() < -0.01  # louder input, more reduction
    assert found.shares.sum() == pytest.approx(1.0, abs=0.01)


def test_silence_and_short_sounds_have_no_origin():
    rack, x = tr.Rack([tr.Gain()]), np.zeros((1, RATE), np.float32)
    assert origin(rack, x, x, RATE) is None
    assert origin(rack, x[:, :100], x[:, :100], RATE) is None


# --- differences -----------------------------------------------------------------------------------------------------


def test_differences_are_in_units_and_in_what_one_hears(sound):
    a = tr.Rack([tr.Compressor(threshold_db=-20, ratio=3), tr.Gain(gain_db=0)])
    b = a.copy()
    b["gain"].gain_db = 2.0
    b["compressor"].detector = "rms"
    b.append(tr.Saturation())
    found = differences(a, b, sound, RATE)
    assert [str(v) for v in found.values] == ["compressor.detector: peak -> rms", "gain.gain_db: 0 dB -> 2 dB (+2 JND)"]
    assert "saturation: only in the second" in found.structure
    only_level = differences(a, tr.Rack([a["compressor"].copy(), tr.Gain(gain_db=2.0)]), sound, RATE)
    assert only_level.sound.loudness_lu == pytest.approx(2.0, abs=0.05)
    assert only_level.sound.jnds == pytest.approx(2.0, abs=0.1)
    assert all(db == pytest.approx(2.0, abs=0.2) for _, db in only_level.sound.bands_db)
    assert not differences(a, a.copy(), sound, RATE)
    assert str(differences(a, a.copy())) == "the racks are equal"


def test_a_difference_that_nobody_hears_is_said_so(sound):
    a = tr.Rack([tr.Gain(gain_db=0)])
    found = differences(a, tr.Rack([tr.Gain(gain_db=0.1)]), sound, RATE)
    assert "nobody is likely to hear the difference" in str(found)


def test_the_commands(tmp_path, sound):
    soundfile.write(tmp_path / "in.wav", sound.T, RATE, subtype="FLOAT")
    a = tr.Rack([tr.Compressor(threshold_db=-35, ratio=6)])
    a.save(tmp_path / "a.rack.json")
    a["compressor"].ratio = 3.0
    a.save(tmp_path / "b.rack.json")
    result = run("diff", "a.rack.json", "b.rack.json", "--audio", "in.wav", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "compressor.ratio: 6:1 -> 3:1" in result.stdout
    assert "on this sound:" in result.stdout
    result = run("explain", "a.rack.json", "--audio", "in.wav", "--report", "page.html", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("The sound goes through compressor")
    assert (tmp_path / "page.html").stat().st_size > 100_000
    wish = ("--want", "reduction of compressor=3", "--out", "c.rack.json")
    result = run("explain", "a.rack.json", "--audio", "in.wav", *wish, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "gain reduction of compressor" in result.stdout
    assert tr.load(tmp_path / "c.rack.json") != tr.load(tmp_path / "a.rack.json")
    for words, sentence in (
        (("explain", "a.rack.json", "--audio", "in.wav", "--change", "*"), "belongs to a wish"),
        (("explain", "a.rack.json", "--audio", "none.wav"), "none.wav"),
        (("explain", "a.rack.json", "--audio", "in.wav", "--want", "x"), "is not understood"),
        (("explain", "a.rack.json", "--audio", "in.wav", "--want", "loudness=-9", "--passage", "3"), "--passage"),
    ):
        result = run(*words, cwd=tmp_path)
        assert result.returncode == 2
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr


def test_explanations_are_checked_against_the_rack(sound):
    """A rack whose blocks matter very differently: the right order passes, the wrong one does not."""
    own = tr.Rack([tr.Gain(gain_db=-0.2), tr.Saturation(drive_db=25), tr.Gain(gain_db=6, name="loud")])
    left_out = [a for a in ablate(own, sound, RATE) if a.address in own.addresses()]
    maps = evidence(own, sound, RATE)
    good = trust(own, sound, RATE, left_out, maps)
    assert good.deletion > 1.5
    wrong = [dataclasses.replace(a, jnds=-a.jnds) for a in left_out]
    assert trust(own, sound, RATE, wrong, []).deletion < 1 / 1.5
    assert "do not rely on the order" in trust(own, sound, RATE, wrong, []).ablation_text()
    assert "fewer than two blocks" in trust(own, sound, RATE, left_out[:1], []).ablation_text()
    assert good.evidence_deletion > 1.0
    assert "Silencing the strongest second" in good.evidence_text()


def test_the_changes_of_independent_blocks_add_up(sound):
    """Two branches that do not hear each other."""
    own = tr.Rack([tr.Parallel([[tr.Gain(gain_db=-3)], [tr.Gain(gain_db=-9, name="b")]])])
    left_out = [a for a in ablate(own, sound, RATE) if a.address in own.addresses()]
    assert trust(own, sound, RATE, left_out, []).additivity_db < -100


def test_the_cause_of_a_reduction_lies_in_the_burst_that_made_it():
    """Silence but for one burst of a tone: the compressor can have heard nothing else."""
    x = 1e-3 * np.random.default_rng(0).standard_normal((1, 2 * RATE))
    t = np.arange(RATE // 5) / RATE
    x[0, RATE : RATE + t.size] += 0.5 * np.sin(2 * np.pi * 1000 * t)
    x = x.astype(np.float32)
    rack = tr.Rack([tr.Gain(), tr.Compressor(threshold_db=-30, ratio=8)])
    cause = cause_of_reduction(rack, "compressor", x, RATE)
    assert cause is not None
    time, hertz = cause.saliency.strongest()
    assert 0.99 < cause.starts_s + time < 1.21
    assert 800 < hertz < 1250
    assert cause.trust.holds
    assert "is caused most by the input at 1." in str(cause)
    assert cause_of_reduction(rack, "compressor", 1e-4 * x, RATE) is None
