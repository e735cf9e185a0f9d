"""Recordings as sessions read them: plain WAV files by their bytes, as libsndfile reads them; others through it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import music
from twinrack.files.wav import wav_layout
from twinrack.session.media import FileSource, Media, WavSource

RATE = 48000


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "PCM_U8", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
def test_any_stretch_is_as_libsndfile_reads_it(tmp_path, subtype, kind):
    for channels in (1, 2, 3, 6):
        rng = np.random.default_rng(channels)
        frames = int(rng.integers(1000, 3000))
        path = tmp_path / f"{channels}.wav"
        soundfile.write(path, rng.uniform(-1, 1, (frames, channels)), RATE, subtype=subtype, format=kind)
        wanted = soundfile.read(path, dtype="float32", always_2d=True)[0].T
        with Media(RATE) as media:
            source = media.open(path)
            if kind != "RF64":
                plain = subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT")
                assert isinstance(source, WavSource if plain else FileSource)
            assert (source.channels, source.frames) == (channels, frames)
            for _ in range(30):
                a = int(rng.integers(0, frames))
                b = int(rng.integers(a, frames)) + 1
                assert np.array_equal(source.read(a, b - a), wanted[:, a:b])


def test_headers_that_lie_are_left_to_libsndfile(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, music(2, 1000, RATE, 1).T, RATE, subtype="PCM_24")
    good = path.read_bytes()
    assert wav_layout(path, 2, 1000) is not None
    assert wav_layout(path, 1, 1000) is None
    assert wav_layout(path, 2, 1001) is None
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(0, 60))] = int(rng.integers(0, 256))
        path.write_bytes(bytes(data[: int(rng.integers(40, len(data) + 1))]))
        with suppress(ValueError, OSError), Media(RATE) as media:  # anything else fails the test
            source = media.open(path)
            x = source.read(0, min(source.frames, 100))
            assert x.shape == (source.channels, min(source.frames, 100))


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros((5000, 2)), RATE, subtype="PCM_16")
    with Media(RATE) as media:
        source = media.open(path)
        source.read(0, 100)
        path.write_bytes(path.read_bytes()[:4000])
        with pytest.raises(ValueError, match="ends before frame 5000"):
            source.read(4000, 1000)


def test_more_files_than_may_be_open(tmp_path):
    session = tr.Session("many", RATE)
    for i in range(450):
        soundfile.write(tmp_path / f"{i}.wav", np.full((64, 1), 0.001), RATE, subtype="FLOAT")
        session.add_track(f"{i}", clips=[tr.Clip(tmp_path / f"{i}.wav"), tr.Clip(tmp_path / f"{i}.wav", start="200 frames")])
    y = session.render(step=50)
    assert np.allclose(y[:, :64], 0.45, atol=1e-4)
    assert np.allclose(y[:, 200:264], 0.45, atol=1e-4)
