"""Loudness: as libebur128 and pyloudnorm measure it, and as the EBU's own signals demand."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from support import SHARED, music, recording
from twinrack.measure.loudness import LoudnessMeter, loudness

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


def tones(*parts: tuple[float, float]) -> np.ndarray:
    """(seconds, dBFS) of each tone, one after the other; -inf is silence."""
    return np.concatenate(
        [sine(s, db) if np.isfinite(db) else np.zeros((2, round(48000 * s)), np.float32) for s, db in parts], 1
    )


def near(found: float, wanted: float) -> bool:
    """Within the 0.1 LU of EBU Tech 3341."""
    return abs(found - wanted) <= 0.1


FIVE_CHANNELS = np.concatenate([sine(20, db, channels=n) for db, n in ((-28, 2), (-24, 1), (-30, 2))])
QUIET = float("-inf")


@pytest.mark.parametrize(
    ("number", "x", "wanted"),
    [
        (1, tones((20, -23)), -23),
        (2, tones((20, -33)), -33),
        (3, tones((10, -36), (60, -23), (10, -36)), -23),
        (4, tones((10, -72), (10, -36), (60, -23), (10, -36), (10, -72)), -23),
        (5, tones((20, -26), (20.1, -20), (20, -26)), -23),
        (6, FIVE_CHANNELS, -23),
        (6, np.insert(FIVE_CHANNELS, 3, 0.9, axis=0), -23),  # with a low-frequency channel, which does not count
    ],
)
def test_ebu_3341_integrated(number, x, wanted):
    found = loudness(x, 48000)
    assert near(found.integrated, wanted), number
    if number <= 2:
        assert near(found.loudest_momentary, wanted)
        assert near(found.loudest_short_term, wanted)
        assert np.ptp(found.momentary[10:]) < 0.1


@pytest.mark.parametrize(
    "signal",
    [
        "Tech 3341, 7: authentic programme of narrow range", "Tech 3341, 8: authentic programme of wide range",
        "Tech 3342, 5: authentic programme of narrow range", "Tech 3342, 6: authentic programme of wide range",
    ],
)  # fmt: skip
def test_ebu_recordings(signal):
    pytest.skip(f"{signal} is a recording of the EBU's, which cannot be synthesised")


def test_ebu_3341_9_short_term_stays():
    found = loudness(tones(*[(1.34, -20), (1.66, -30)] * 5), 48000)
    assert all(near(level, -23) for level in found.short_term)


@pytest.mark.parametrize("late", range(20))
def test_ebu_3341_10_and_13_whatever_the_beginning(late):
    assert near(loudness(tones((0.15 * late, QUIET), (3, -23), (1, QUIET)), 48000).loudest_short_term, -23)
    assert near(loudness(tones((0.02 * late, QUIET), (0.4, -23), (1, QUIET)), 48000).loudest_momentary, -23)


@pytest.mark.parametrize(("number", "seconds", "step", "what"), [
    (11, 3.0, 0.15, "loudest_short_term"), (14, 0.4, 0.02, "loudest_momentary"),
])  # fmt: skip
def test_ebu_3341_11_and_14_live(number, seconds, step, what):
    """Twenty tones, each 1 dB louder and later: a running meter shows the level of the last one after each."""
    meter = LoudnessMeter(48000, 2)
    for i in range(20):
        x = tones((step * i, QUIET), (seconds, -38 + i), (seconds - step * i, QUIET))
        for at in range(0, x.shape[1], 1024):
            meter.process(np.ascontiguousarray(x[:, at : at + 1024]))
        assert near(getattr(meter.result(), what), -38 + i), (number, i)


def test_ebu_3341_12_momentary_stays():
    found = loudness(tones(*[(0.18, -20), (0.22, -30)] * 25), 48000)
    assert all(near(level, -23) for level in found.momentary[60:])


@pytest.mark.parametrize(
    ("number", "over", "degrees", "full_scale", "wanted"),
    [(15, 4, 0, 0.5, -6), (16, 4, 45, 0.5, -6), (17, 6, 60, 0.5, -6), (18, 8, 67.5, 0.5, -6), (19, 4, 45, 1.41, 3)],
)
def test_ebu_3341_true_peak_of_tones(number, over, degrees, full_scale, wanted):
    n = np.arange(48000)
    fades = np.clip(np.minimum(n, n[::-1]) / 480, 0, 1)  # an abrupt beginning has a peak of its own
    x = full_scale * np.sin(2 * np.pi * n / over + np.radians(degrees)) * fades
    assert -0.4 <= loudness(np.tile(x, (2, 1)), 48000).true_peak_db - wanted <= 0.2, number


@pytest.mark.parametrize("quarter", range(4))
def test_ebu_3341_20_to_23_true_peak_between_samples(quarter):
    """A tone of a sixth of the rate at 0.50 of full scale that swells to 1.00 once, so many quarters of a sample from one."""
    n = np.arange(48000) - 24000 - quarter / 4
    x = (0.5 + 0.5 * np.exp(-((n / 24) ** 2))) * np.cos(2 * np.pi * n / 6)
    assert -0.4 <= loudness(np.tile(x, (2, 1)), 48000).true_peak_db <= 0.2


@pytest.mark.parametrize(
    ("number", "wanted", "parts"),
    [
        (1, 10, ((20, -20), (20, -30))),
        (2, 5, ((20, -20), (20, -15))),
        (3, 20, ((20, -40), (20, -20))),
        (4, 15, ((20, -50), (20, -35), (20, -20), (20, -35), (20, -50))),
    ],
)
def test_ebu_3342_range(number, wanted, parts):
    assert loudness(tones(*parts), 48000).range == pytest.approx(wanted, abs=1), number


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 8000])
def test_largest_values_as_libebur128_polled_every_10_ms(rate):
    x = long_music(7, rate, 2, 8.0)
    theirs = Theirs(np.zeros((2, 0), np.float32), rate)
    momentary, short_term = [], []
    edges = np.arange(1, 100 * x.shape[1] // rate + 1) * ((rate + 5) // 10) // 10
    for a, b in zip([0, *edges], edges, strict=False):
        flat = np.ascontiguousarray(x[:, a:b].T)
        assert theirs.lib.ebur128_add_frames_float(theirs.state, flat.ctypes.data, len(flat)) == 0
        momentary.append(theirs.ask("loudness_momentary"))
        short_term.append(theirs.ask("loudness_shortterm"))
    ours = loudness(x, rate)
    for mine, other, first in ((ours.momentary, momentary, 40), (ours.short_term, short_term, 300)):
        other = np.array(other[first - 1 :])
        loud = other > -70
        assert mine[: len(other)][loud] == pytest.approx(other[loud], abs=0.02)
    assert ours.loudest_momentary == pytest.approx(max(momentary), abs=0.02)
    assert ours.loudest_short_term == pytest.approx(max(short_term[299:]), abs=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_every_window_as_scipy_weighs_it(rate):
    """Windows at every hundredth of a second, against biquads of scipy and sums over the very frames."""
    from scipy.signal import lfilter

    x = long_music(11, rate, 2, 6.0).astype(np.float64)
    y = x
    for hertz, q, high in (
        (1681.974450955533, 0.7071752369554196, 10 ** (3.999843853973347 / 20)),
        (38.13547087602444, 0.5003270373238773, 0),
    ):
        k = np.tan(np.pi * hertz / rate)
        norm = 1 + k / q + k * k
        middle = high**0.4996667741545416
        b = (
            [high + middle * k / q + k * k, 2 * (k * k - high), high - middle * k / q + k * k]
            if high
            else [norm, -2 * norm, norm]
        )
        y = lfilter(np.array(b) / norm, [1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm], y, axis=-1)
    power = np.concatenate([[0.0], np.cumsum(np.sum(y * y, axis=0))])
    tenth = (rate + 5) // 10
    edges = np.arange(100 * 6 + 1) * tenth // 10
    edges = edges[edges <= x.shape[1]]
    found = loudness(x.astype(np.float32), rate)
    for mine, size in ((found.momentary, 40), (found.short_term, 300)):
        with np.errstate(divide="ignore"):
            wanted = -0.691 + 10 * np.log10((power[edges[size:]] - power[edges[:-size]]) / (size * tenth / 10))
        loud = wanted > -60
        assert len(mine) - len(wanted) in (0, 1)  # the meter's last frames are followed by silence
        assert mine[: len(wanted)][loud] == pytest.approx(wanted[loud], abs=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [slice(500, 501), slice(0, 40000, 97), slice(95990, 96000), slice(None)])
def test_nan_and_infinity_count_as_silence_and_are_told(bad, where):
    x = sine(2, -20)
    silenced = x.copy()
    silenced[0, where] = 0.0
    x[0, where] = bad
    count = np.count_nonzero(~np.isfinite(x))
    with pytest.warns(RuntimeWarning, match=f"{count} samples? (was|were) NaN or infinity"):
        found = loudness(x, 48000)
    wanted = loudness(silenced, 48000)
    assert found.faults == count
    assert wanted.faults == 0
    assert found.integrated == wanted.integrated
    assert (found.peak_db, found.true_peak_db) == (wanted.peak_db, wanted.true_peak_db)
    assert f"{count} sample" in str(found)
    assert found.louder(3).faults == count


def test_results_are_values():
    a, b, c = loudness(sine(2, -20), 48000), loudness(sine(2, -20), 48000), loudness(sine(2, -21), 48000)
    assert a == b
    assert a != c
    assert len({a, b, c}) == 2
    assert "array" not in repr(a)


def test_the_module_is_its_function():
    import pickle

    import twinrack.loudness as module

    import twinrack as tr

    x = sine(2, -20)
    assert tr.loudness(x, 48000).integrated == module.loudness(x, 48000).integrated
    for thing in (tr.loudness, module.loudness):
        assert pickle.loads(pickle.dumps(thing))(x, 48000).integrated == loudness(x, 48000).integrated
    assert "loudness" in tr.__all__
    assert "LUFS" in tr.loudness.__call__.__doc__
    assert pickle.loads(pickle.dumps(loudness(x, 48000))).integrated == loudness(x, 48000).integrated


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


def test_nothing_has_no_loudness():
    meter = LoudnessMeter(48000, 2)
    meter.process(np.zeros((2, 0), np.float32))
    assert meter.finish().integrated == -np.inf
    assert loudness(np.zeros((2, 0)), 48000).integrated == -np.inf
