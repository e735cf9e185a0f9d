"""Equaliser presets: filters sound as their programs compute them; wrong lines are refused with file and line."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.signal

import twinrack as tr
from session_support import RATE
from support import music
from twinrack.exchange.camilladsp import write_camilladsp
from twinrack.exchange.equalizer_apo import read_equalizer_apo, write_equalizer_apo


def cookbook(kind: str, frequency: float, gain_db: float, q: float) -> tuple[np.ndarray, np.ndarray]:
    """R. Bristow-Johnson's biquads."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * frequency / RATE
    cos, alpha = math.cos(w), math.sin(w) / (2 * q)
    s = 2 * math.sqrt(a) * alpha
    low = [a * (a + 1 - (a - 1) * cos + s), 2 * a * (a - 1 - (a + 1) * cos), a * (a + 1 - (a - 1) * cos - s)]
    low_den = [a + 1 + (a - 1) * cos + s, -2 * (a - 1 + (a + 1) * cos), a + 1 + (a - 1) * cos - s]
    high = [a * (a + 1 + (a - 1) * cos + s), -2 * a * (a - 1 + (a + 1) * cos), a * (a + 1 + (a - 1) * cos - s)]
    high_den = [a + 1 - (a - 1) * cos + s, 2 * (a - 1 - (a + 1) * cos), a + 1 - (a - 1) * cos - s]
    den = [1 + alpha, -2 * cos, 1 - alpha]
    b, d = {
        "PK": ([1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]),
        "LSC": (low, low_den),
        "HSC": (high, high_den),
        "LPQ": ([(1 - cos) / 2, 1 - cos, (1 - cos) / 2], den),
        "HPQ": ([(1 + cos) / 2, -1 - cos, (1 + cos) / 2], den),
        "NO": ([1, -2 * cos, 1], den),
        "BP": ([alpha, 0, -alpha], den),
        "AP": ([1 - alpha, -2 * cos, 1 + alpha], den),
    }[kind]
    return np.array(b) / d[0], np.array(d) / d[0]


def response(rack: tr.Rack) -> np.ndarray:
    x = np.zeros((1, 1 << 15), np.float32)
    x[0, 0] = 1.0
    return np.fft.rfft(rack(x, RATE)[0].astype(np.float64))


def off_db(a: np.ndarray, b: np.ndarray) -> float:
    return 20 * math.log10(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def test_filters_are_those_of_the_cookbook(tmp_path):
    rng = np.random.default_rng(1)
    frequencies = np.fft.rfftfreq(1 << 15, 1 / RATE)
    for kind in ("PK", "LSC", "HSC", "LPQ", "HPQ", "NO", "BP", "AP"):
        for _ in range(4):
            frequency, gain, q = float(rng.uniform(100, 15000)), float(rng.uniform(-12, 12)), float(rng.uniform(0.5, 3))
            said = f" Gain {gain} dB" if kind in ("PK", "LSC", "HSC") else ""
            path = tmp_path / "x.txt"
            path.write_text(f"Preamp: -3.5 dB\nFilter 1: ON {kind} Fc {frequency} Hz{said} Q {q}\n")
            rack, lost = read_equalizer_apo(path)
            assert not lost
            _, expected = scipy.signal.freqz(*cookbook(kind, frequency, gain, q), frequencies, fs=RATE)
            assert off_db(response(rack), 10 ** (-3.5 / 20) * expected) < -90, kind


def test_a_preset_of_autoeq(tmp_path):
    path = tmp_path / "ParametricEQ.txt"
    path.write_text(
        "﻿Preamp: -6.2 dB\r\nFilter 1: ON LSC Fc 105 Hz Gain 5.5 dB Q 0.70\r\nFilter 2: OFF PK Fc 200 Hz Gain 1 dB Q 1\r\n"
        "Filter  3: ON  PK       Fc   63.0 Hz  Gain  -5.0 dB  BW Oct 1\r\n# a comment\r\nFilter: ON HP Fc 20 Hz\r\n"
        "Filter 5: ON None\r\n",
        encoding="utf-8",
    )
    rack, lost = read_equalizer_apo(path)
    assert not lost
    assert list(rack.addresses()) == ["gain", "parametric_eq"]
    eq = rack["parametric_eq"]
    assert eq.warping == "bilinear"
    assert [eq.get(f"band{i}.type") for i in range(1, 5)] == ["low_shelf", "bell", "low_cut", "off"]
    assert eq.get("band2.q") == pytest.approx(math.sqrt(2), rel=2e-5)  # of one octave, at bilinear warping
    assert eq.get("band3.q") == pytest.approx(math.sqrt(0.5))
    path.write_text("\n".join(f"Filter {i}: ON PK Fc {100 * i} Hz Gain 1 dB Q 1" for i in range(1, 21)))
    assert list(read_equalizer_apo(path)[0].addresses()) == ["parametric_eq", "parametric_eq_2"]


def test_shelves_by_corner_and_slope(tmp_path):
    path = tmp_path / "x.txt"
    shelves = [
        "LS Fc 100 Hz Gain 8 dB",
        "HSC 12 dB Fc 4000 Hz Gain 6 dB",
        "LS 6dB Fc 100 Hz Gain 12 dB",
        "HS Fc 400 Hz Gain 6 dB Q 0.5",
    ]
    path.write_text("\n".join(f"Filter: ON {s}" for s in shelves))
    eq = read_equalizer_apo(path)[0]["parametric_eq"]
    assert eq.get("band1.frequency_hz") == 100
    assert eq.get("band2.frequency_hz") == 4000
    assert eq.get("band2.q") == pytest.approx(math.sqrt(0.5))
    assert eq.get("band3.frequency_hz") == pytest.approx(100 * 10**0.3)  # 12 dB at 6 dB an octave: the middle is an octave up
    assert eq.get("band4.q") == 0.5
    assert eq.get("band4.frequency_hz") < 400


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Preamp: loud", "line 1"),
        ("x: y\nFilter 1: ON PK Fc 10O Hz Gain 1 dB Q 1", "line 2"),
        ("Filter 1: ON PK Fc 100 Hz Q 1", "no gain"),
        ("Filter 1: ON PK Fc 1e999 Hz Gain 1 dB Q 1", "line 1"),
        ("Filter 1: ON PK Fc 100 Hz Gain 1 dB Q 0", "no Q"),
        ("Filter 1: PERHAPS PK Fc 100 Hz", "ON or OFF"),
        ("Hello", "give a preset"),
        ("", "give a preset"),
        ("Preamp: 400 dB", "up to 100 dB"),
    ],
)
def test_files_of_which_nothing_can_be_used(tmp_path, text, word):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)) as caught:
        read_equalizer_apo(path)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_preset_says_beyond(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("Channel: C\nPreamp: -6 dB\nChannel: all\nFilter: ON IIR Order 2\nPreamp: -1 dB\n")
    rack, lost = read_equalizer_apo(path)
    assert rack["gain"].gain_db == pytest.approx(-1)
    assert len(lost) == 2
    assert "line 2" in lost[0]
    assert "IIR" in lost[1]
    with pytest.raises(FileNotFoundError, match="no file"):
        read_equalizer_apo(tmp_path / "none.txt")
    rng = np.random.default_rng(2)
    for _ in range(300):
        path.write_bytes(bytes(rng.integers(0, 256, 60, dtype=np.uint8)) + b"\nFilter 1: ON PK Fc 1 Hz Gain")
        with pytest.raises(ValueError, match="line"):
            read_equalizer_apo(path)


def random_rack(rng: np.random.Generator) -> tr.Rack:
    """Equalisers of bilinear design and gains."""
    kinds = ["bell", "low_shelf", "high_shelf", "low_cut", "high_cut", "notch", "band_pass", "all_pass", "off"]
    bands = [
        tr.Band(
            str(rng.choice(kinds)),
            frequency_hz=float(rng.uniform(50, 16000)),
            gain_db=float(rng.uniform(-9, 9)),
            q=float(rng.uniform(0.4, 2)),
            slope_db_per_octave=str(rng.choice(["12", "24", "36", "48"])),
        )
        for _ in range(4)
    ]
    return tr.Rack([tr.Gain(gain_db=float(rng.uniform(-9, 3))), tr.Chain([tr.ParametricEQ(bands=bands, warping="bilinear")])])


def test_presets_come_back(tmp_path):
    rng = np.random.default_rng(3)
    for _ in range(20):
        rack = random_rack(rng)
        assert not write_equalizer_apo(rack, tmp_path / "x.txt")
        found, lost = read_equalizer_apo(tmp_path / "x.txt")
        assert not lost
        assert np.max(np.abs(response(found) - response(rack))) < 1e-4
        assert not write_equalizer_apo(found, tmp_path / "y.txt")
        assert (tmp_path / "x.txt").read_text() == (tmp_path / "y.txt").read_text()
    lost = write_equalizer_apo(
        tr.Rack([tr.Compressor(), tr.ParametricEQ(), tr.Parallel([[], [tr.Gain()]])]), tmp_path / "x.txt"
    )
    assert len(lost) == 3


def test_camilladsp_computes_the_same(tmp_path):
    yaml = pytest.importorskip("yaml")
    kinds = {
        "Peaking": "PK", "Lowshelf": "LSC", "Highshelf": "HSC", "Lowpass": "LPQ", "Highpass": "HPQ", "Notch": "NO",
        "Bandpass": "BP", "Allpass": "AP",
    }  # fmt: skip
    rng = np.random.default_rng(4)
    x = 0.1 * music(2, 4800, RATE, 1)
    for n in range(20):
        rack = random_rack(rng)
        rack.effects = (
            *rack.effects,
            tr.ParametricEQ(
                warping="bilinear",
                bands=[tr.Band("bell", gain_db=6, channel="left"), tr.Band("high_cut", frequency_hz=4000, channel="right")],
            ),
            tr.Gain(balance=float(rng.choice([-1, -0.3, 0.4])), polarity=str(rng.choice(["invert", "invert_right"]))),
        )
        assert not write_camilladsp(rack, tmp_path / "x.yml")
        found = yaml.safe_load((tmp_path / "x.yml").read_text())
        y = x.astype(np.float64)
        for step in found["pipeline"]:
            assert step["type"] == "Filter"
            for name in step["names"]:
                f, p = found["filters"][name]["type"], found["filters"][name]["parameters"]
                for c in step["channels"]:
                    if f == "Gain":
                        assert p["scale"] == "dB"
                        y[c] *= (0 if p["mute"] else 10 ** (p["gain"] / 20)) * (-1 if p["inverted"] else 1)
                    else:
                        y[c] = scipy.signal.lfilter(*cookbook(kinds[p["type"]], p["freq"], p.get("gain", 0), p["q"]), y[c])
        assert np.max(np.abs(rack(x, RATE) - y)) < 1e-5, n
    assert not write_camilladsp(tr.Rack(), tmp_path / "x.yml")
    assert yaml.safe_load((tmp_path / "x.yml").read_text()) == {"filters": {}, "pipeline": []}
    with pytest.raises(ValueError, match="channels must be an integer from 1 to 16, got 0"):
        write_camilladsp(tr.Rack(), tmp_path / "x.yml", channels=0)


def test_the_command_converts(tmp_path):
    preset = tmp_path / "ParametricEQ.txt"
    preset.write_text("Preamp: -3 dB\nFilter 1: ON PK Fc 1000 Hz Gain 3.0 dB Q 1.0\n", encoding="utf-8")

    def convert(*names: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "twinrack", "convert", *(str(tmp_path / n) for n in names)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    assert convert("ParametricEQ.txt", "x.rack.json").returncode == 0
    assert convert("x.rack.json", "y.txt").returncode == 0
    assert convert("x.rack.json", "y.yml").returncode == 0
    assert "Peaking" in (tmp_path / "y.yml").read_text(encoding="utf-8")
    assert "Fc 1000" in (tmp_path / "y.txt").read_text(encoding="utf-8")
    failed = convert("x.rack.json", "y.doc")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "is neither a .rack.json patch" in failed.stderr
