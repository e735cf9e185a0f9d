"""Loudness: as libebur128 and pyloudnorm measure it, and as the EBU's own signals demand."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from support import SHARED, music, recording
from twinrack.loudness import Loudness, LoudnessMeter, loudness

MODES = 5 | 3 | 11 | 49  # of libebur128: integrated, short-term, range, true peak


def ebur128() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libebur128.so.1")
    except OSError:
        pytest.skip("libebur128 is not installed (Debian: libebur128-1)")
    lib.ebur128_init.restype = ctypes.c_void_p
    lib.ebur128_init.argtypes = [ctypes.c_uint, ctypes.c_ulong, ctypes.c_int]
    lib.ebur128_add_frames_float.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    for name in ("loudness_global", "loudness_range", "loudness_shortterm", "loudness_momentary"):
        getattr(lib, f"ebur128_{name}").argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_double)]
    lib.ebur128_true_peak.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.POINTER(ctypes.c_double)]
    return lib


class Theirs:
    def __init__(self, x: np.ndarray, rate: int) -> None:
        self.lib, self.channels = ebur128(), x.shape[0]
        self.state = self.lib.ebur128_init(x.shape[0], rate, MODES)
        flat = np.ascontiguousarray(x.T, np.float32)
        assert self.lib.ebur128_add_frames_float(self.state, flat.ctypes.data, len(flat)) == 0

    def ask(self, name: str, *more: int) -> float:
        found = ctypes.c_double()
        assert getattr(self.lib, f"ebur128_{name}")(self.state, *more, ctypes.byref(found)) == 0
        return found.value

    def true_peak_db(self) -> float:
        return 20 * np.log10(max(self.ask("true_peak", c) for c in range(self.channels)))


def long_music(seed: int, rate: int, channels: int, seconds: float = 25.0) -> np.ndarray:
    """Loud and soft stretches with pauses."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(p.shape[1] for p in parts) < seconds * rate:
        level = 10 ** (rng.uniform(-50, 0) / 20) if rng.random() < 0.85 else 0.0
        parts.append(0.5 * level * music(channels, int(rng.uniform(0.5, 4) * rate), rate, int(rng.integers(1000))))
    return np.ascontiguousarray(np.concatenate(parts, 1)[:, : int(seconds * rate)], np.float32)


@pytest.mark.parametrize("rate", [48000, 44100, 96000, 22050])
def test_as_libebur128(rate):
    for seed in range(3):
        x = long_music(seed, rate, 1 + seed % 2)
        ours, theirs = loudness(x, rate), Theirs(x, rate)
        assert ours.integrated == pytest.approx(theirs.ask("loudness_global"), abs=0.01)
        assert ours.range == pytest.approx(theirs.ask("loudness_range"), abs=0.1)
        for mine, name in ((ours.short_term, "loudness_shortterm"), (ours.momentary, "loudness_momentary")):
            if mine[-1] > -70:
                assert mine[-1] == pytest.approx(theirs.ask(name), abs=0.02)
        assert ours.true_peak_db == pytest.approx(theirs.true_peak_db(), abs=0.3)  # another interpolation filter


@pytest.mark.skipif(not SHARED.exists(), reason="the development recordings are not beside this checkout")
@pytest.mark.parametrize("name", ["guitar.flac", "drums.flac", "piano.flac", "speech.flac", "tabla.flac"])
def test_recordings(name):
    import pyloudnorm

    x, rate = recording(name)
    ours, theirs = loudness(x, rate), Theirs(x, rate)
    print(f"\n{name}: {ours}; libebur128 {theirs.ask('loudness_global'):.2f} LUFS, {theirs.ask('loudness_range'):.2f} LU")
    assert ours.integrated == pytest.approx(theirs.ask("loudness_global"), abs=0.01)
    assert ours.integrated == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(x.T.astype(float)), abs=0.15)
    assert ours.true_peak_db == pytest.approx(theirs.true_peak_db(), abs=0.2)


def sine(seconds: float, dbfs: float, hertz: float = 1000.0, rate: int = 48000, channels: int = 2) -> np.ndarray:
    y = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.tile(y, (channels, 1)).astype(np.float32)


def test_what_the_ebu_demands():
    """EBU Tech 3341, cases 1 to 5, and Tech 3342, cases 1 to 4: within 0.1 LU, and 1 LU of range."""

    def level(*parts: tuple[float, float]) -> Loudness:
        return loudness(np.concatenate([sine(s, db) for s, db in parts], 1), 48000)

    assert level((20, -23)).integrated == pytest.approx(-23, abs=0.1)
    assert level((20, -33)).integrated == pytest.approx(-33, abs=0.1)
    assert level((10, -36), (60, -23), (10, -36)).integrated == pytest.approx(-23, abs=0.1)
    assert level((10, -72), (10, -36), (60, -23), (10, -36), (10, -72)).integrated == pytest.approx(-23, abs=0.1)
    assert level((20, -26), (20.1, -20), (20, -26)).integrated == pytest.approx(-23, abs=0.1)
    for wanted, parts in (
        (10, ((20, -20), (20, -30))),
        (5, ((20, -20), (20, -15))),
        (20, ((20, -40), (20, -20))),
        (15, ((20, -50), (20, -35), (20, -20), (20, -35), (20, -50))),
    ):
        assert level(*parts).range == pytest.approx(wanted, abs=1)


def test_true_peak_between_samples():
    x = sine(0.1, -6, 12000) * 0
    n = np.arange(x.shape[1])
    x[:] = 0.5 * np.sin(2 * np.pi * 0.25 * n + np.pi / 4)  # every sample is 3 dB below the peak
    found = loudness(x, 48000)
    assert found.peak_db == pytest.approx(20 * np.log10(0.5 * np.sqrt(0.5)), abs=0.01)
    assert found.true_peak_db == pytest.approx(-6.02, abs=0.4)


def test_blocks_change_nothing_and_silence_is_minus_infinity():
    x = long_music(3, 48000, 2, 8.0)
    rng = np.random.default_rng(0)
    meter, at = LoudnessMeter(48000, 2), 0
    while at < x.shape[1]:
        n = int(rng.integers(0, 9000))
        meter.process(np.ascontiguousarray(x[:, at : at + n]))
        at += n
    whole = loudness(x, 48000)
    assert np.allclose(meter.result().powers, whole.powers, rtol=1e-12)
    assert meter.result().peak_db == whole.peak_db
    silent = loudness(np.zeros((2, 48000)), 48000)
    assert silent.integrated == -np.inf
    assert silent.range == 0
    assert silent.true_peak_db == -np.inf
    assert loudness(np.ones(10), 48000).integrated == -np.inf
    six = np.zeros((6, 96000), np.float32)
    six[3] = 0.5 * sine(2, 0, channels=1)
    assert loudness(six, 48000).integrated == -np.inf  # the low-frequency channel does not count
