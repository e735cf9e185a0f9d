"""A folder of stems is a session, or refused with all that is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from support import music
from twinrack.exchange.stems_folder import read_stems


def test_a_folder_of_stems(tmp_path):
    folder = tmp_path / "My song"
    folder.mkdir()
    for name, rate, channels in (("10 Bass", 44100, 1), ("2 Drums.L*R", 44100, 2), ("1 Voice", 48000, 2), ("master", 44100, 2)):
        soundfile.write(folder / f"{name}.wav", 0.1 * music(channels, 4410, rate, 1).T, rate)
    (folder / "notes.txt").write_text("x")
    (folder / "._1 Voice.wav").write_bytes(b"x")
    session = read_stems(folder, metadata={"title": "x"})
    assert (session.name, session.sample_rate, session.metadata) == ("My song", 44100, {"title": "x"})
    assert [c.name for c in session] == ["1 Voice", "2 Drums L R", "10 Bass", "master 2", "master"]
    assert session.render().shape == (2, 4410)
    assert read_stems(folder, sample_rate=96000).sample_rate == 96000


def test_folders_that_hold_no_stems(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_stems(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no audio"):
        read_stems(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "b.flac").write_bytes(b"")
    soundfile.write(tmp_path / "c.wav", np.zeros((9, 6)), 48000)
    with pytest.raises(ValueError, match="mend these") as caught:
        read_stems(tmp_path)
    assert all(name in str(caught.value) for name in ("a.wav", "b.flac", "c.wav has 6 channels"))
    with pytest.raises(ValueError, match="is a file"):
        read_stems(tmp_path / "a.wav")
