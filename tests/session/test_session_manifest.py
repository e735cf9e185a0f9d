"""Manifests: what they say of a rendering, and what `verify` finds changed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, one_track, sound
from twinrack.session import manifest
from twinrack.session.manifest import verify


def test_the_manifest_proves_what_was_rendered(song, tmp_path):
    session = tr.Session.load(song)
    made = session.render_to(tmp_path / "mix.wav")
    data = json.loads(made.manifest.read_text(encoding="utf-8"))
    assert set(data["recordings"]) == {"0.wav", "1.wav", "2.wav"}
    assert data["engine"]["cards"]["compressor"] == tr.CARDS["compressor"].version
    assert verify(made.manifest, tr.Session.load(song)) == []
    session["track 0"].rack["compressor"].ratio = 9
    changed = [f"channel {name} was changed" for name in ("track 0", "plate", "master")]
    assert sorted(verify(made.manifest, session)) == sorted(changed)
    soundfile.write(tmp_path / "1.wav", np.zeros((100, 2)), RATE)
    assert "recording 1.wav was changed" in verify(made.manifest, tr.Session.load(song))
    (tmp_path / "mix.wav").unlink()
    assert "mix.wav is not there" in verify(made.manifest)


def test_the_manifest_sees_stems_and_recordings_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", sound(0.5, ord(name)).T, RATE)
    session = one_track(tr.Clip(tmp_path / "a" / "x.wav"))
    session.add_track("j", clips=[tr.Clip(tmp_path / "b" / "x.wav")])
    made = session.render_to(tmp_path / "m.wav", stems=tmp_path / "stems")
    assert len(json.loads(made.manifest.read_text())["recordings"]) == 2
    assert manifest.verify(made.manifest) == []
    made.stems["k"].unlink()
    assert manifest.verify(made.manifest) == ["stems/k.wav is not there"]
    made.manifest.write_text('{"format": "twinrack.manifest", "version": 1}')
    with pytest.raises(ValueError, match="files is missing or broken"):
        manifest.verify(made.manifest)
