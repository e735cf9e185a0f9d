"""The whole validation: in Python, on the command line, on a page that works by itself; and what is wrong is one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import check_drawn, music, run
from twinrack.rack.trail import verify
from twinrack.validation.degradations import ladder
from twinrack.validation.recordings import Recording
from twinrack.validation.recovery import recovery

RATE = 48000


@pytest.fixture(scope="module")
def rack():
    return tr.Rack([tr.Gate(threshold_db=-38), tr.Compressor(), tr.Saturation(drive_db=24, oversampling="1")], name="<b>voice")


@pytest.fixture(scope="module")
def sound():
    return music(2, 2 * RATE, RATE, 5)


def test_all_parts_come_together(rack, sound, tmp_path):
    recordings = [Recording(f"{i}.wav", music(2, RATE, RATE, i), None, {"speaker": "<i>A"}) for i in range(2)]
    result = tr.validate(rack, sound, RATE, recordings=recordings)
    assert [c.address for c in result.failed_claims] == ["saturation"]
    assert any(text.startswith("MP3, quality 80%") and "saturation causes" in text for text in result.findings())
    assert "speaker: all recordings are of '<i>A'" in result.findings()
    written = json.loads(json.dumps(result.to_json()))
    assert written["claims_failed"] == ["saturation: aliasing"]
    page = result.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>voice" not in page
    assert "<i>A" not in page
    assert "Listen to the first failures" in page
    for tool in ("http://", "https://"):
        assert f'src="{tool}' not in page
    check_drawn(tmp_path / "page.html", tmp_path / "profile")


def test_without_a_sound_there_are_claims_only(rack):
    result = tr.validate(rack)
    assert result.map is None
    assert str(result).startswith("claims: ")


def test_the_command_writes_page_and_trail(rack, sound, tmp_path):
    rack.save(tmp_path / "a.rack.json")
    soundfile.write(tmp_path / "x.wav", sound.T, RATE)
    done = run(
        "validate", "a.rack.json", "--audio", "x.wav", "--report", "p.html", "--record", "V. Alidator", "--strict", cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr
    assert "saturation: aliasing FAILS" in done.stdout
    assert (tmp_path / "p.html").exists()
    assert verify(tmp_path / "a.rack.json").holds
    told = run("trail", "show", "a.rack.json", cwd=tmp_path).stdout
    assert "validated" in told
    assert "by V. Alidator" in told
    assert "failed: saturation: aliasing" in told


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("--table t.csv", "--table belongs to the recordings"),
        ("--recover", "need a recording: --audio in.wav"),
        ("--audio missing.wav", "missing.wav"),
        ("--recordings nowhere", "holds no recordings"),
    ],
)
def test_wrong_words_are_one_sentence(rack, tmp_path, words, answer):
    rack.save(tmp_path / "a.rack.json")
    done = run("validate", "a.rack.json", *words.split(), cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert answer in done.stderr.replace("\n", " ")


def test_bad_sounds_are_named(rack):
    with pytest.raises(ValueError, match="NaN"):
        tr.validate(rack, np.full(RATE, np.nan, np.float32), RATE)
    with pytest.raises(ValueError, match="silent"):
        tr.validate(rack, np.zeros(RATE, np.float32), RATE)
    with pytest.raises(ValueError, match=r"at least 0\.5 s"):
        tr.validate(rack, np.ones(100, np.float32), RATE)
    with pytest.raises(ValueError, match="need a sound"):
        tr.validate(rack, recover=True)


def test_recovery_says_what_a_degraded_recording_still_tells():
    rack = tr.Rack([tr.Compressor(threshold_db=-30, ratio=5, attack_ms=3, release_ms=90)])
    worst = [r for r in ladder((), RATE) if r.name in ("pink noise, 50 dB SNR", "pink noise, 0 dB SNR")]
    clean, mild, bad = recovery(rack, music(1, 3 * RATE, RATE, 1), RATE, worst)
    assert not {"compressor.threshold_db", "compressor.ratio"} & set(clean.lost)
    assert clean.error_db < mild.error_db < bad.error_db
    assert len(bad.lost) >= len(clean.lost)
    assert "values within 1 JND" in str(clean)


def test_a_rack_with_a_key_is_validated_with_its_reference(sound):
    rack = tr.Rack([tr.Compressor(key="kick"), tr.Saturation()])
    result = tr.validate(rack, sound, RATE, reference=rack, sidechain=sound[:, ::-1].copy())
    assert result.map is not None
    assert not result.map.warnings()
    with pytest.raises(ValueError, match="which recordings and recovery do not have"):
        tr.validate(rack, sound, RATE, recover=True, sidechain=sound)
