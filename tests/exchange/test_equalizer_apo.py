"""Presets of Equalizer APO, REW, AutoEq and Peace: what is played on left and right, in every dialect, is what the cookbook
gives for the lines that hold; what a file excludes is never heard."""

from __future__ import annotations

import codecs
import itertools
import math
import os

import numpy as np
import pytest
import scipy.signal

import twinrack as tr
from twinrack.exchange.apo_expression import UNKNOWN, evaluate, truth
from twinrack.exchange.curve import gains_at, minimum_phase
from twinrack.exchange.equalizer_apo import read_equalizer_apo, write_equalizer_apo

RATE = 48000
FRAMES = 1 << 15
PK = "Filter: ON PK Fc 1000 Hz Gain %g dB Q 1"


def alpha_of(frequency: float, width: tuple[str, float], gain_db: float, rate: float) -> float:
    """R. Bristow-Johnson's alpha from Q, a bandwidth in octaves or a shelf slope."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * frequency / rate
    kind, value = width
    if kind == "Q":
        return math.sin(w) / (2 * value)
    if kind == "BW":
        return math.sin(w) * math.sinh(math.log(2) / 2 * value * w / math.sin(w))
    return math.sin(w) / 2 * math.sqrt((a + 1 / a) * (1 / value - 1) + 2)


def biquad(kind: str, frequency: float, width: tuple[str, float], gain_db: float = 0.0, rate: float = RATE) -> np.ndarray:
    """The cookbook's filter over the frequencies of `heard`, with alpha as Equalizer APO has it."""
    a, w = 10 ** (gain_db / 40), 2 * math.pi * frequency / rate
    cos, alpha = math.cos(w), alpha_of(frequency, width, gain_db, rate)
    s = 2 * math.sqrt(a) * alpha
    plain = [1 + alpha, -2 * cos, 1 - alpha]
    b, d = {
        "PK": ([1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]),
        "LS": (
            [a * (a + 1 - (a - 1) * cos + s), 2 * a * (a - 1 - (a + 1) * cos), a * (a + 1 - (a - 1) * cos - s)],
            [a + 1 + (a - 1) * cos + s, -2 * (a - 1 + (a + 1) * cos), a + 1 + (a - 1) * cos - s],
        ),
        "HS": (
            [a * (a + 1 + (a - 1) * cos + s), -2 * a * (a - 1 + (a + 1) * cos), a * (a + 1 + (a - 1) * cos - s)],
            [a + 1 - (a - 1) * cos + s, 2 * (a - 1 - (a + 1) * cos), a + 1 - (a - 1) * cos - s],
        ),
        "LP": ([(1 - cos) / 2, 1 - cos, (1 - cos) / 2], plain),
        "HP": ([(1 + cos) / 2, -1 - cos, (1 + cos) / 2], plain),
        "NO": ([1, -2 * cos, 1], plain),
        "BP": ([alpha, 0, -alpha], plain),
        "AP": ([1 - alpha, -2 * cos, 1 + alpha], plain),
    }[kind]
    return scipy.signal.freqz(b, d, np.fft.rfftfreq(FRAMES, 1 / rate), fs=rate)[1]


def heard(rack: tr.Rack, rate: float = RATE, channels: int = 2) -> np.ndarray:
    """What comes out for each input: (input, output, frequency)."""
    found = []
    for i in range(channels):
        x = np.zeros((channels, FRAMES), np.float32)
        x[i, 0] = 1.0
        found.append(np.fft.rfft(rack(x, rate).astype(np.float64)))
    return np.array(found)


def off_db(a: np.ndarray, b: np.ndarray) -> float:
    return 20 * math.log10(max(np.max(np.abs(a - b)), 1e-9) / np.max(np.abs(b)))


def read(tmp_path, text: str | bytes, **options: object) -> tuple[tr.Rack, list[str]]:
    path = tmp_path / "preset.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_equalizer_apo(path, **options)  # type: ignore[arg-type]


def sides(tmp_path, text: str, at: float = 1000.0, **options: object) -> tuple[list[float], list[str]]:
    """dB of left and right at a frequency, for a preset that mixes nothing."""
    rack, lost = read(tmp_path, text, **options)
    h = heard(rack)
    assert np.max(np.abs(h[0, 1])) < 1e-6
    assert np.max(np.abs(h[1, 0])) < 1e-6
    bin = round(at * FRAMES / RATE)
    return [20 * math.log10(abs(h[c, c, bin])) for c in (0, 1)], lost


SCOPES = [
    # text, dB of left and right at 1 kHz, how many sentences
    ("Channel: L\n" + PK % 6 + "\nChannel: R\n" + PK % 3, (6, 3), 0),
    ("Channel: l\n" + PK % 6 + "\n  channel:  r \n" + PK % 3, (6, 3), 0),
    ("Channel: 1\n" + PK % 6 + "\nChannel: 2\n" + PK % 3 + "\nChannel: 1 2\n" + PK % 1, (7, 4), 0),
    ("Channel: FL FR\n" + PK % 6, (6, 6), 0),
    ("Channel: all\n" + PK % 6, (6, 6), 0),
    ("Channel: R\n" + PK % 6 + "\nChannel: ALL\n" + PK % 1, (1, 7), 0),
    ("Preamp: 0 dB\nChannel: C\n" + PK % 6, (0, 0), 1),
    ("Preamp: 0 dB\nChannel: C SUB RL RR SL SR RC 3 8\n" + PK % 6, (0, 0), 1),
    ("Channel: L C\n" + PK % 6, (6, 0), 1),
    ("Channel: 2 C\n" + PK % 6, (0, 6), 1),
    ("Channel: R # not left\n" + PK % 6, (0, 6), 0),
    ("Channel:\tL\n" + PK % 6, (6, 0), 0),
    ("Preamp: 0 dB\nChannel:\n" + PK % 6, (0, 0), 1),
    ("Preamp: -3 dB\nChannel: L\nPreamp: -6 dB\nChannel: all\n" + PK % 0, (-9, -3), 0),
    ("Channel: R\nPreamp: 12 dB\n", (0, 12), 0),
    ("Channel: L\nPreamp: 40 dB\nChannel: R\nPreamp: -70 dB", (40, -70), 0),
    ("Preamp: -6\nPreamp: -4,5 dB\n", (-10.5, -10.5), 0),
    ("Device: Microphone\n" + PK % 6 + "\nDevice: all\nPreamp: 0 dB", (0, 0), 1),
    ("Device: Speakers; all\n" + PK % 6, (6, 6), 0),
    ("Preamp: 0 dB\nDevice: \n" + PK % 6, (0, 0), 1),
    ("Preamp: 0 dB\nDevice: allegro\n" + PK % 6, (0, 0), 1),
    ("Stage: capture\n" + PK % 6 + "\nStage: post-mix\nPreamp: 0 dB", (0, 0), 1),
    ("Stage: pre-mix\n" + PK % 6 + "\nStage: PRE-MIX Post-Mix\n" + PK % 2, (2, 2), 1),
    ("Preamp: 0 dB\nStage: somewhere\n" + PK % 6, (0, 0), 1),
    ("If: 1 == 2\n" + PK % 6 + "\nEndIf:\nPreamp: 0 dB", (0, 0), 1),
    ("If: 1 == 1\n" + PK % 6 + "\nElse:\n" + PK % 3 + "\nEndIf:", (6, 6), 1),
    ("If: 0\n" + PK % 6 + "\nElseIf: 1\n" + PK % 3 + "\nElseIf: 1\n" + PK % 12 + "\nElse:\n" + PK % -9 + "\nEndIf:", (3, 3), 3),
    ("If: 0\nIf: 1\n" + PK % 6 + "\nElse:\n" + PK % 3 + "\nEndIf:\nElse:\n" + PK % 2 + "\nEndIf:", (2, 2), 1),
    ("If: 1\nIf: 0\n" + PK % 6 + "\nElse:\n" + PK % 3 + "\nEndIf:\n" + PK % 1 + "\nEndIf:", (4, 4), 1),
    ('Preamp: 0 dB\nIf: deviceName == "x"\n' + PK % 6 + "\nElse:\n" + PK % 3 + "\nEndIf:\n" + PK % 1, (1, 1), 1),
    ("Preamp: 0 dB\nIf: broken (\n" + PK % 6 + "\nEndIf:", (0, 0), 1),
    ("Preamp: 0 dB\nIf: 0\n" + PK % 6, (0, 0), 1),  # not closed
    ("EndIf:\nElse:\n" + PK % 6, (6, 6), 0),  # without If
    ('If: sampleRate == 48000 and stage == "post-mix"\n' + PK % 6 + "\nEndIf:", (6, 6), 0),
    ("Preamp: 0 dB\nIf: sampleRate < 48000\n" + PK % 6 + "\nEndIf:", (0, 0), 1),
    ("Eval: g = 3 * 2\nFilter: ON PK Fc `500*2` Hz Gain `g` dB Q 1", (6, 6), 0),
    ("Eval: g = 1\nEval: g += 4\nPreamp: `-g` dB", (-5, -5), 0),
    ("Preamp: 0 dB\nPreamp: `deviceName` dB", (0, 0), 1),
    # what an unknown condition would set is unknown after it
    ('Preamp: 0 dB\nIf: deviceName == "x"\nChannel: L\nEndIf:\n' + PK % 6 + "\nChannel: R\n" + PK % 3, (0, 3), 1),
    ('Eval: g = 6\nIf: deviceGuid == "x"\nEval: g = 3\nEndIf:\nPreamp: 0 dB\nPreamp: `g` dB', (0, 0), 1),
    ('Preamp: 0 dB\nIf: deviceName == "x"\nStage: capture\nEndIf:\n' + PK % 6 + "\nStage: post-mix\n" + PK % 1, (1, 1), 1),
    # scopes do not stop one another
    ("Channel: L\nStage: capture\nChannel: R\nStage: post-mix\n" + PK % 6, (6, 0), 0),
    ("Channel: L\nIf: 0\nChannel: R\nEndIf:\n" + PK % 6, (6, 0), 0),
    ("Channel: L\nDevice: Microphone\nChannel: R\nDevice: all\n" + PK % 6, (6, 0), 0),
    ("Copy: L=R R=L\nCopy: L=R R=L\nChannel: L\nPreamp: -2 dB", (-2, 0), 0),
    ("Channel: L\nGraphicEQ: 20 -3; 20000 -3\nChannel: all\n" + PK % 6, (3, 6), 0),
    ("Channel: R\nDelay: 5 ms\nPreamp: 6 dB", (0, 6), 0),
    ("Preamp: 0 dB\nChannel: C\nFilter: OFF PK Fc 1000 Hz Gain 6 dB Q 1\nIf: 0\nFilter: OFF None\nEndIf:", (0, 0), 0),
    ("Filter: OFF PK Fc 1000 Hz Gain 6 dB Q 1\n# " + PK % 6 + "\n// " + PK % 6 + "\n;" + PK % 6, (0, 0), 0),
    ("Preamp: 0 dB\nVSTPlugin: Library x.dll\nLoudnessCorrection: State 1\n", (0, 0), 2),
    ("Channel: L\nFilter: ON IIR Order 1 Coefficients 4 0 2 0", (20 * math.log10(2), 0), 0),
    ("Preamp: 0 dB\nConvolution: C:\\irs\\none.wav\nInclude: ..\\none.txt", (0, 0), 2),
]


@pytest.mark.parametrize(("text", "want", "sentences"), SCOPES)
def test_only_what_holds_is_heard(tmp_path, text, want, sentences):
    got, lost = sides(tmp_path, text)
    assert got == pytest.approx(want, abs=0.01)
    assert len(lost) == sentences, lost
    assert all(str(tmp_path) in s and "\n" not in s for s in lost)


def test_device_and_stage_are_chosen(tmp_path):
    text = "Device: Realtek Speakers {1f}\n" + PK % 6 + "\nDevice: Microphone\n" + PK % 1
    assert sides(tmp_path, text, device="Speakers (Realtek Audio) {1f}")[0] == pytest.approx([6, 6], abs=0.01)
    with pytest.raises(ValueError, match="--device"):
        read(tmp_path, text)
    text = PK % 6 + "\nStage: pre-mix\n" + PK % 1 + "\nStage: capture\n" + PK % 3
    for stage, db in (("post-mix", 6), ("pre-mix", 1), ("capture", 9)):
        assert sides(tmp_path, text, stage=stage)[0] == pytest.approx([db, db], abs=0.01)
    with pytest.raises(ValueError, match="none of"):
        read(tmp_path, text, stage="mix")


def test_included_files_have_their_own_scopes(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("Channel: R\n" + PK % 3 + "\nDevice: Microphone\n" + PK % 9 + "\nIf: 0\n")
    got, lost = sides(tmp_path, "Channel: L\nInclude: sub\\a.txt\n" + PK % 6 + "\nInclude: sub/a.txt")
    assert got == pytest.approx([6, 6], abs=0.01)
    assert len(lost) == 2
    (tmp_path / "b.txt").write_text(
        "Include: preset.txt\nInclude: b.txt\nInclude: /dev/zero\nInclude: .\nInclude: \0\n" + PK % 1
    )
    got, lost = sides(tmp_path, "If: 0\nInclude: b.txt\nEndIf:\nInclude: b.txt\n" + PK % 1)
    assert got == pytest.approx([2, 2], abs=0.01)
    assert len(lost) == 6
    for i in range(18):  # each includes the next twice
        (tmp_path / f"{i}.txt").write_text(f"Include: {i + 1}.txt\n" * 2 + "\n" * 20)
    (tmp_path / "18.txt").write_text("x: y\n" * 10)
    with pytest.raises(ValueError, match="more than 50000 lines"):
        read(tmp_path, "Include: 0.txt")


def test_random_presets_in_random_dialects(tmp_path):
    """Any filters on any sides, written as any of the programs would, are the cookbook's on those sides."""
    rng = np.random.default_rng(5)
    for _ in range(150):
        rate = float(rng.choice([44100, 48000, 96000]))
        want = np.ones((2, FRAMES // 2 + 1), complex)
        lines = [
            str(
                rng.choice(
                    ["", "Filter Settings file\n\nRoom EQ V5.31.3\nDated: 27/07/2026 15:00:00\n\nNotes: x\n", "# AutoEq"]
                )
            )
        ]
        for _ in range(int(rng.integers(1, 9))):
            side = str(rng.choice(["L", "R", "all", "L R", "1", "2", "C"]))
            on = {"L": [0], "1": [0], "R": [1], "2": [1], "C": []}.get(side, [0, 1])
            lines.append(f"Channel: {side}")
            if rng.random() < 0.2:
                level = round(float(rng.uniform(-20, 10)), 2)
                lines.append(f"Preamp: {written(level, rng)} dB")
                want[on] *= 10 ** (level / 20)
                continue
            kind, word, frequency, width, gain = random_filter(rng, rate)
            lines.append(filter_line(word, frequency, width, gain, rng))
            if width[0] == "S" and word[:3] in ("LS ", "HS "):
                frequency *= 10 ** ((1 if kind == "LS" else -1) * abs(gain) / 80 / width[1])
            want[on] *= biquad(kind, frequency, width, gain, rate)
        mark = str(rng.choice(["\n", "\r\n"]))
        try:
            rack, lost = read(tmp_path, encoded(mark.join(lines), rng), sample_rate=rate)
        except ValueError:
            assert np.all(want == 1)  # everything was for the centre
            continue
        assert len(lost) <= sum(line == "Channel: C" for line in lines), (lines, lost)
        h = heard(rack, rate)
        for side in (0, 1):
            assert np.max(np.abs(h[side, side] - want[side])) < 2e-4 * max(1.0, np.max(np.abs(want[side]))), (lines, side)
            assert np.max(np.abs(h[side, 1 - side])) < 1e-6


def random_filter(rng: np.random.Generator, rate: float) -> tuple[str, str, float, tuple[str, float], float]:
    """Cookbook's type, word of the line, Hz, (Q, BW or S), dB."""
    kind = str(rng.choice(["PK", "LS", "HS", "LP", "HP", "NO", "BP", "AP"]))
    frequency = round(float(np.exp(rng.uniform(np.log(60), np.log(min(0.4 * rate, 20000))))), 1)
    gain = round(float(rng.uniform(-12, 12)), 1) if kind in ("PK", "LS", "HS") else 0.0
    if kind in ("LS", "HS") and rng.random() < 0.6:
        frequency, slope = round(float(rng.uniform(200, 5000)), 1), round(float(rng.uniform(4, 11.5)), 1)
        return kind, f"{kind}{rng.choice(['', 'C'])} {slope:g}{rng.choice(['', ' '])}dB", frequency, ("S", slope / 12), gain
    if kind not in ("LS", "HS") and rng.random() < 0.5:
        w = 2 * math.pi * frequency / rate
        octaves = float(rng.uniform(0.2, 1.2)) * math.sin(w) / w  # so that the Q is not below the equaliser's
        octaves = round(max(octaves, 0.15), 3)
        return kind, str(rng.choice([kind, {"PK": "Modal"}.get(kind, kind)])), frequency, ("BW", octaves), gain
    q = round(float(rng.uniform(0.4, 6)), 3)
    word = {"PK": ["PK", "PEQ", "Modal"], "LS": ["LSC"], "HS": ["HSC"], "LP": ["LP", "LPQ"], "HP": ["HP", "HPQ"]}.get(
        kind, [kind]
    )
    return kind, str(rng.choice(word)), frequency, ("Q", q), gain


def written(value: float, rng: np.random.Generator) -> str:
    text = f"{value:g}"
    return text.replace(".", ",") if rng.random() < 0.5 else text


def grouped(frequency: float, rng: np.random.Generator) -> str:
    """Hz as locales write it."""
    way = int(rng.integers(7))
    if way >= 5 and frequency < 24000:  # REW above 1 kHz, with decimals only below
        frequency_text = f"{frequency:.1f}"
        return frequency_text.replace(".", ",") if way == 6 else frequency_text
    group = ["", "\u00a0", "\u202f", "\u2009", "'"][way % 5]
    whole, tenth = f"{frequency:,.1f}".split(".")
    return whole.replace(",", group) + str(rng.choice([".", ","])) + tenth


def filter_line(word: str, frequency: float, width: tuple[str, float], gain: float, rng: np.random.Generator) -> str:
    kind, value = width
    parts = [f"Fc {grouped(frequency, rng)} Hz"]
    if gain or word[:2] in ("PK", "PE", "Mo", "LS", "HS"):
        parts.append(f"Gain {written(gain, rng)} dB")
    if kind == "Q":
        parts.append(f"Q {written(value, rng)}")
    elif kind == "BW":
        parts.append(f"BW Oct {written(value, rng)}")
    if word == "Modal":
        parts.append("T60 target 100 ms")
    parts = [parts[i] for i in rng.permutation(len(parts))]
    gap = str(rng.choice([" ", "   ", "\t"]))
    number = str(rng.choice(["", " 1", "  7", " 12"]))
    return f"Filter{number}:{gap}ON{gap}{word}{gap}{gap.join(parts)}{rng.choice(['', ' # presence', '  (room mode)'])}"


def encoded(text: str, rng: np.random.Generator) -> bytes:
    way = int(rng.integers(8))
    if way == 0 and "\u202f" not in text and "\u2009" not in text:
        return text.encode("latin-1")
    marks = {1: codecs.BOM_UTF8, 2: codecs.BOM_UTF16_LE, 3: codecs.BOM_UTF16_BE, 4: codecs.BOM_UTF32_LE}
    names = {2: "utf-16-le", 3: "utf-16-be", 4: "utf-32-le", 6: "utf-16-le", 7: "utf-16-be"}  # the last two without a mark
    return marks.get(way, b"") + text.encode(names.get(way, "utf-8"))


@pytest.mark.parametrize(
    ("text", "hz"),
    [
        ("8000", 8000), ("8.000", 8000), ("8,000", 8000), ("8\u00a0000", 8000), ("8\u202f000", 8000), ("8 000", 8000),
        ("8'000", 8000), ("8’000", 8000), ("12.500", 12500), ("1.234,5", 1234.5), ("1,234.5", 1234.5), ("38,50", 38.5),
        ("63.30", 63.3), ("112.0", 112), ("1079", 1079), ("1e3", 1000), ("+200", 200), ("1234.567", 1234.567),
        ("63.125", 63.125), ("31.250", 31.25), ("9.999", 9999), ("  50 ", 50), ("1.5e3", 1500),
    ],
)  # fmt: skip
def test_frequencies_of_all_locales(tmp_path, text, hz):
    rack, lost = read(tmp_path, f"Filter 1: ON PK Fc {text} Hz Gain 3 dB Q 1.414")
    assert rack["parametric_eq"].get("band1.frequency_hz") == pytest.approx(hz, rel=1e-6)
    assert rack["parametric_eq"].get("band1.q") == pytest.approx(1.414)
    assert len(lost) == (text in ("63.125", "31.250"))


def test_defaults_of_each_type(tmp_path):
    for line, want in [
        ("LP Fc 1000 Hz", ("LP", ("Q", math.sqrt(0.5)), 0)),
        ("HP Fc 1000 Hz", ("HP", ("Q", math.sqrt(0.5)), 0)),
        ("HP Fc 1000 Hz Gain -3 dB", ("HP", ("Q", math.sqrt(0.5)), 0)),
        ("BP Fc 1000 Hz", ("BP", ("Q", math.sqrt(0.5)), 0)),
        ("NO Fc 1000 Hz", ("NO", ("Q", 30), 0)),
        ("LS Fc 1000 Hz Gain 6 dB", ("LS", ("S", 0.9), 6)),
        ("HS Fc 1000 Hz Gain -6 dB BW Oct 2", ("HS", ("S", 0.9), -6)),
        ("LSQ Fc 1000 Hz Gain 6 dB Q 0.8", ("LS", ("Q", 0.8), 6)),
        ("LSC 9 dB Fc 1000 Hz Gain 6 dB Q 3", ("LS", ("S", 0.75), 6)),
        ("PK Fc 1000 Hz Gain 6 dB Q 3 BW Oct 1", ("PK", ("BW", 1), 6)),
        ("Modal Fc 1000 Hz Gain 3.0 dB Q 5.41 T60 target 100 ms", ("PK", ("Q", 5.41), 3)),
        ("BP Fc 1000 Hz BW Oct 0.5", ("BP", ("BW", 0.5), 0)),
        ("NO Fc 1000 Hz BW Oct 0.5", ("NO", ("BW", 0.5), 0)),
        ("LP Fc 1000 Hz BW Oct 1.9", ("LP", ("BW", 1.9), 0)),
        ("AP Fc 1000 Hz BW Oct 1", ("AP", ("BW", 1), 0)),
        ("PK Fc 16000 Hz Gain 12 dB BW Oct 2", ("PK", ("BW", 2), 12)),
        ("PK  Fc1000Hz Gain6dB Q1.41", ("PK", ("Q", 1.41), 6)),
        ("pk fc 1000 hz gain \N{MINUS SIGN}6 db q 1,41", ("PK", ("Q", 1.41), -6)),
    ]:
        rack, lost = read(tmp_path, f"Filter 1: ON {line}")
        kind, width, gain = want
        assert not lost
        frequency = 16000 if "16000" in line else 1000
        assert off_db(heard(rack)[0, 0], biquad(kind, frequency, width, gain)) < -80, line


def test_corner_of_a_shelf_with_q(tmp_path):
    """LS and HS with a Q name the corner; the middle follows from the slope of that Q, as in Equalizer APO."""
    for word, gain, q in itertools.product(("LS", "HS"), (-9.0, 4.0, 15.0), (0.3, 0.7, 1.5)):
        a = 10 ** (gain / 40)
        slope = 1 / ((1 / q**2 - 2) / (a + 1 / a) + 1)
        factor = 10 ** (abs(gain) / 80 / slope)
        frequency = 400 * factor if word == "LS" else 400 / factor
        rack, _ = read(tmp_path, f"Filter: ON {word} Fc 400 Hz Gain {gain} dB Q {q}")
        assert off_db(heard(rack)[0, 0], biquad(word, frequency, ("Q", q), gain)) < -80


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("PK Fc 1000 Hz Gain 6 dB", "no Q"),
        ("AP Fc 1000 Hz", "no Q"),
        ("PK Fc 1000 Hz Gain 6 dB Q 0", "no Q"),
        ("PK Fc 1000 Hz Q 1", "no gain"),
        ("PK Gain 6 dB Q 1", "no frequency"),
        ("PK Fc 100O Hz Gain 6 dB Q 1", "no frequency"),
        ("PK Fc 1000 kHz Gain 6 dB Q 1", "no frequency"),
        ("PK Fc 1.2.3 Hz Gain 6 dB Q 1", "is not a frequency"),
        ("PK Fc 0 Hz Gain 6 dB Q 1", "above 0"),
        ("PK Fc -100 Hz Gain 6 dB Q 1", "above 0"),
        ("PK Fc 100 Hz Gain 6 dB Q -1", "above 0"),
        ("PK Fc 1e999 Hz Gain 6 dB Q 1", "1e999 is infinity"),
        ("PK Fc 100 Hz Gain 1e999 dB Q 1", "1e999 is infinity"),
        ("LSC 40 dB Fc 100 Hz Gain 24 dB", "too steep"),
        ("Tilt Fc 100 Hz Gain 6 dB Q 1", "no filter of type"),
        ("\u202eevil\x1b[31m Fc 100 Hz", None),
    ],
)
def test_lines_that_play_nothing_are_said(tmp_path, line, word):
    got, lost = sides(tmp_path, f"Preamp: -1 dB\nFilter 1: ON {line}\nPreamp: -2 dB")
    assert got == pytest.approx([-3, -3], abs=0.01)
    assert len(lost) == (word is not None)
    if word:
        assert word in lost[0]
        assert "line 2" in lost[0]
    assert all(sentence.isprintable() for sentence in lost)
    with pytest.raises(ValueError, match="that can be used") as caught:
        read(tmp_path, f"Filter 1: ON {line}") if word else read(tmp_path, "x: y")
    assert str(caught.value).isprintable()


def test_values_beyond_the_equaliser_are_held_and_said(tmp_path):
    for line, address, value in [
        ("PK Fc 24000 Hz Gain 3 dB Q 1", "frequency_hz", 22000),
        ("PK Fc 30000 Hz Gain 3 dB Q 1", "frequency_hz", 22000),
        ("PK Fc 3 Hz Gain 3 dB Q 1", "frequency_hz", 10),
        ("PK Fc 100 Hz Gain 100 dB Q 1", "gain_db", 30),
        ("PK Fc 100 Hz Gain 3 dB Q 0.01", "q", 0.1),
        ("PK Fc 100 Hz Gain 3 dB Q 60", "q", 30),
        ("PK Fc 23999 Hz Gain 3 dB BW Oct 2", "q", 0.1),
    ]:
        rack, lost = read(tmp_path, f"Filter 1: ON {line}")
        limit = rack["parametric_eq"].card.addresses[f"band1.{address}"]
        assert rack["parametric_eq"].get(f"band1.{address}") == pytest.approx(min(max(value, limit.min), limit.max), rel=0.08)
        assert lost
        assert "line 1" in lost[0]
        assert np.all(np.isfinite(heard(rack)))
    rack, lost = read(tmp_path, "Filter 1: ON PK Fc 12000 Hz Gain 3 dB Q 1", sample_rate=22050)
    assert rack["parametric_eq"].get("band1.frequency_hz") == pytest.approx(0.49 * 22050)
    assert "half of the sample rate 22050 Hz" in lost[0]
    for fs in (0, 7000, 1e9, math.nan):
        with pytest.raises(ValueError, match="rate"):
            read(tmp_path, "Preamp: 0 dB", sample_rate=fs)


def test_preamps_of_any_size(tmp_path):
    rng = np.random.default_rng(7)
    for _ in range(40):
        left, right = rng.uniform(-190, 90, 2)
        rack, _ = read(tmp_path, f"Channel: L\nPreamp: {left} dB\nChannel: R\nPreamp: {right} dB")
        h = heard(rack)
        for side, want in ((0, left), (1, right)):
            if max(left, right) - want < 150:
                assert 20 * math.log10(abs(h[side, side, 5])) == pytest.approx(want, abs=1e-3)
    assert "played as -200 dB" in read(tmp_path, "Preamp: -400 dB")[1][0]
    with pytest.raises(ValueError, match="up to 100 dB"):
        read(tmp_path, "Preamp: 101 dB")
    mono, _ = read(tmp_path, "Preamp: -6 dB\nChannel: L\n" + PK % 3)
    assert 20 * math.log10(abs(heard(mono, channels=1)[0, 0, round(1000 * FRAMES / RATE)])) == pytest.approx(-3, abs=0.01)


def test_copies_route_channels(tmp_path):
    lp = "Filter: ON LP Fc 700 Hz Q 0.7"
    low = biquad("LP", 700, ("Q", 0.7))
    one, zero = np.ones_like(low), np.zeros_like(low)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(FRAMES))
    for text, want in [
        ("Copy: L=R R=L", [[zero, one], [one, zero]]),
        ("Copy: L=0.5*L+0.5*R R=L", [[0.5 * one, one], [0.5 * one, zero]]),
        ("Copy: L=-6dB*R", [[zero, zero], [10 ** (-6 / 20) * one, one]]),
        ("Copy: L=0 R=0.0", [[zero, zero], [zero, zero]]),
        ("Copy: R=-1*R", [[one, zero], [zero, -one]]),
        ("Copy: L2=0.5*L+0.5*R\nCopy: R2=0.5*R+0.5*L\nCopy: L=L2\nCopy: R=R2", [[0.5 * one, 0.5 * one]] * 2),  # Peace's
        (  # Peace's mid and side
            f"Copy: MID=L+R\nCopy: SIDE=R+-1.0*L\nChannel: SIDE\n{lp}\nCopy: L=0.5*MID+-0.5*SIDE\nCopy: R=0.5*MID+0.5*SIDE",
            [[0.5 * (one + low), 0.5 * (one - low)], [0.5 * (one - low), 0.5 * (one + low)]],
        ),
        (  # crossfeed
            f"Copy: X=L Y=R\nChannel: X Y\n{lp}\nDelay: 12 samples\nPreamp: -6 dB\nCopy: L=L+Y R=R+X",
            [[one, 10 ** (-6 / 20) * low * z**12], [10 ** (-6 / 20) * low * z**12, one]],
        ),
        (f"Copy: L=L+R\nChannel: L\n{lp}", [[low, zero], [low, one]]),
        ("Preamp: 0 dB\nCopy: L=C", [[one, zero], [zero, one]]),
        ("Preamp: 0 dB\nCopy: L=0.5 R=L-R X L= =L L=x*L", [[one, zero], [zero, one]]),
    ]:
        rack, lost = read(tmp_path, text)
        assert bool(lost) == (text.startswith("Preamp")), lost
        assert np.max(np.abs(heard(rack) - np.array(want))) < 2e-5, text
    with pytest.raises(ValueError, match="response"):
        read(tmp_path, "Copy: L=R R=L")[0](np.zeros((1, 100), np.float32), RATE)
    rack, lost = read(tmp_path, "Copy: L=" + "+".join(["L"] * 1000) + "\nPreamp: 0 dB")
    assert "at most 64" in lost[0]
    doubled = "Copy: L=L+R R=L+R\n" * 400 + "Preamp: 0 dB"
    with pytest.raises(ValueError, match="up to 100 dB"):
        read(tmp_path, doubled)


def test_a_graphic_equaliser_is_its_curve(tmp_path):
    """Within the documented distance of the curve, at any rate; AutoEq's 127 points, few points, steep ones."""
    rng = np.random.default_rng(8)
    for n in range(16):
        rate = float(rng.choice([8000, 44100, 48000, 96000, 192000]))
        points = int(rng.choice([2, 10, 31, 127]))
        hz = np.geomspace(20, 20000, points)
        octaves = np.diff(np.log2(hz))
        limit = 12.0 if n % 2 else 40.0
        db = np.concatenate([[0.0], np.cumsum(rng.uniform(-limit, limit, points - 1) * octaves)])
        nodes = [(float(f), float(np.clip(g, -20, 20))) for f, g in zip(hz, db - db.mean(), strict=True)]
        h = minimum_phase([nodes], rate)
        at = np.geomspace(20, 0.45 * rate, 2000)
        found = 20 * np.log10(np.abs(np.interp(at, np.fft.rfftfreq(1 << 20, 1 / rate), np.abs(np.fft.rfft(h, 1 << 20)))))
        assert np.max(np.abs(found - gains_at(nodes, at))) < (0.1 if n % 2 else 0.4), (rate, points, n)
    text = "GraphicEQ: 20 -6.0; 100 -6.0; 1000 2.5; 5000 2.5; 20000 -4"
    rack, lost = read(tmp_path, text)
    assert not lost
    want = np.interp(
        np.log(np.fft.rfftfreq(FRAMES, 1 / RATE)[20:13000]), np.log([20, 100, 1000, 5000, 20000]), [-6, -6, 2.5, 2.5, -4]
    )
    assert np.max(np.abs(20 * np.log10(np.abs(heard(rack)[0, 0, 20:13000])) - want)) < 0.1
    for other in (
        "GraphicEQ: 1000 2,5; 5000 2,5; 100 -6; 20 -6,0; 20000 -4",
        "GraphicEQ:20 -6 100 -6 1000 2.5 5000 2.5 20000 -4 7",
    ):
        assert np.max(np.abs(heard(read(tmp_path, other)[0]) - heard(rack))) < 1e-6
    assert read(tmp_path, "Preamp: 0 dB\nGraphicEQ: none")[1]
    assert read(tmp_path, "Preamp: 0 dB\nGraphicEQ: 0 3; -5 3")[1]
    both, _ = read(tmp_path, text + "\n" + text + "\nChannel: R\n" + text)
    h = heard(both)
    assert np.max(np.abs(20 * np.log10(np.abs(h[1, 1, 20:13000])) - 3 * want)) < 0.3
    assert np.max(np.abs(20 * np.log10(np.abs(h[0, 0, 20:13000])) - 2 * want)) < 0.2


def test_convolutions_and_delays(tmp_path):
    import soundfile

    rng = np.random.default_rng(9)
    ir = rng.normal(size=(300, 2)).astype(np.float32) * np.exp(-np.arange(300) / 40)[:, None]
    (tmp_path / "irs").mkdir()
    soundfile.write(tmp_path / "irs" / "room.wav", ir, RATE, subtype="FLOAT")
    want = np.fft.rfft(ir.T, FRAMES)
    for text, left, right in [
        ("Convolution: irs\\room.wav", want[0], want[1]),
        ("Channel: R\nConvolution: irs/room.wav", np.ones_like(want[0]), want[0]),  # the chosen channels take them in turn
        (
            "Delay: 100 samples",
            np.exp(-2j * np.pi * np.fft.rfftfreq(FRAMES) * 100),
            np.exp(-2j * np.pi * np.fft.rfftfreq(FRAMES) * 100),
        ),
        ("Channel: R\nDelay: 2,5 ms", np.ones_like(want[0]), np.exp(-2j * np.pi * np.fft.rfftfreq(FRAMES) * 120)),
    ]:
        h = heard(read(tmp_path, text)[0])
        assert np.max(np.abs(h[0, 0] - left)) < 1e-4, text
        assert np.max(np.abs(h[1, 1] - right)) < 1e-4, text
    for _ in range(20):
        b, a = scipy.signal.iirfilter(3, sorted(rng.uniform(50, 20000, 2)), btype="band", fs=RATE)
        numbers = " ".join(f"{float(v)!r}" for v in (*b, *a))
        h = heard(read(tmp_path, f"Channel: R\nFilter 3: ON IIR Order 6 Coefficients {numbers}")[0])
        assert np.max(np.abs(h[0, 0] - 1)) < 1e-5
        if np.max(np.abs(np.roots(a))) < 0.999:  # what rings on after FRAMES is not in `h`
            assert np.max(np.abs(h[1, 1] - scipy.signal.freqz(b, a, np.fft.rfftfreq(FRAMES, 1 / RATE), fs=RATE)[1])) < 1e-4
    for numbers in (
        "Order 1 Coefficients 1 0 1 2",
        "Order 1 Coefficients 1 0 1",
        "Order 0 1 1",
        "Order 1 1 0 0 1",
        "Order 1 0 0 1 0",
        "",
    ):
        assert len(read(tmp_path, f"Preamp: 0 dB\nFilter: ON IIR {numbers}")[1]) == 1, numbers
    for text in (
        "Delay: 40 s",
        "Delay: -3 ms",
        "Delay: 31000 ms",
        "Delay: 1e12 samples",
        "Convolution: preset.txt",
        "Convolution:",
    ):
        assert len(read(tmp_path, "Preamp: 0 dB\n" + text)[1]) == 1, text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("2 ^ 3 ^ 2", 512), ("-2 ^ 2", -4), ("(1 + 2) * 3", 9), ("10 / 4", 2.5), ("1 == 1.0", True),
        ("1 < 2 and 2 < 1", False), ("1 < 2 or x", True), ("x and 0", False), ("x or 0", UNKNOWN), ("not x", UNKNOWN),
        ("not 0", True), ("!1", False), ("true xor true", False), ('"a" + 1 + "b"', "a1b"), ('"a" == "a"', True),
        ('"a" == 1', False), ("1 << 4 | 1", 17), ("6 & 3", 2), ("1 ? 2 : 3", 2), ("0 ? 2 : 3", 3), ("x ? 2 : 3", UNKNOWN),
        ("max(1, 2, 3)", 3), ("sqrt(16)", 4), ("f(1)", UNKNOWN), ("readRegString(\"a\", \"b\")", UNKNOWN), ("1 / 0", UNKNOWN),
        ("", UNKNOWN), ("1 +", UNKNOWN), ("(1", UNKNOWN), ("1 2", UNKNOWN), ("#", UNKNOWN), ("10 ^ 10 ^ 10", UNKNOWN),
        ("(" * 500 + "1" + ")" * 500, UNKNOWN), ("-" * 999 + "1", UNKNOWN), ("1 << 1000000", UNKNOWN), ("(-1) ^ 0.5", UNKNOWN),
        ("y = 3", 3), ("log(-1)", UNKNOWN), ("sqrt(-1)", UNKNOWN), ("not " * 200 + "1", UNKNOWN),
    ],
)  # fmt: skip
def test_expressions(text, value):
    assert evaluate(text, {}) == value
    assert (truth(evaluate(text, {})) is None) == (value is UNKNOWN)


def test_hostile_files(tmp_path):
    rng = np.random.default_rng(10)
    words = [
        "Filter 1:", "ON", "PK", "Fc", "1000", "Hz", "Gain", "6", "dB", "Q", "1", "Channel:", "L", "Copy:", "L=R", "If:",
        "EndIf:", "Else:", "Eval:", "`", "\\`", "Include:", "Device:", "Stage:", "GraphicEQ:", "Preamp:", "\0", "\x85",
        "\ufeff", "1e308", ",", "Delay:", "ms", "+", "*", "Convolution:", "x=", "(", "\n", "\n", "\n", "BW Oct", "LSC",
        "preset.txt",
    ]  # fmt: skip
    for _ in range(400):
        text = " ".join(str(w) for w in rng.choice(words, int(rng.integers(1, 60))))
        try:
            rack, lost = read(tmp_path, text)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert np.all(np.isfinite(rack(np.ones((2, 64), np.float32), RATE)))
            assert all("\n" not in s for s in lost)
    sizes = ["0", "1e-320", "5e-324", "1e-30", "0.5", "3", "1e5", "1e30", "1e308", "-1e308", "1e999", "-7", "nan", "inf"]
    for _ in range(600):
        a, b, c, d, e, f = (str(v) for v in rng.choice(sizes, 6))
        kind = str(rng.choice(["PK", "LS", "HS", "LSC", f"LS {d} dB", f"HSC {d} dB", "LP", "NO", "AP"]))
        text = [
            f"Filter: ON {kind} Fc {a} Hz Gain {b} dB Q {c}",
            f"Filter: ON {kind} Fc {a} Hz Gain {b} dB BW Oct {c}",
            f"Filter: ON IIR Order 1 Coefficients {a} {b} {c} {d}",
            f"Preamp: {a} dB\nPreamp: {b} dB\nChannel: L\nPreamp: {c} dB",
            f"Copy: L={a}*L+{b}*R R={c}*R+{d}dB*L\nCopy: L={e}*L+{f}*R",
            f"GraphicEQ: {a} {b}; {c} {d}; {e} {f}",
            f"Delay: {a} ms\nDelay: {b} samples",
            f"Eval: x = {a} * {b} ^ {c} / {d}\nPreamp: `x | {e} << {f}` dB\nFilter: ON PK Fc `x` Hz Gain `{f} - x` dB Q 1",
        ][int(rng.integers(8))]
        try:
            rack, _ = read(tmp_path, "Preamp: 0 dB\n" + text)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
        else:
            assert np.all(np.isfinite(rack(np.ones((2, 64), np.float32), RATE))), text
    for text in (
        "Filter: ON PK Fc " + "1 " * 400_000 + "Hz",
        "Filter: ON PK " + " " * 900_000,
        "Eval: " + "(" * 900_000,
        "`" * 900_000,
    ):
        with pytest.raises(ValueError, match="that can be used"):
            read(tmp_path, text)
    for text in (
        (PK % 1 + "\n") * 26000,
        "".join(f"Copy: A{i}=L\n" for i in range(60)) + "Channel: all\n" + "Preamp: 0 dB\n" * 1000,
        (PK % 1 + "\n") * 1000 + "Copy: L=L+R R=L\n" * 100,
        "If: 1\n" * 1000,
        "GraphicEQ: 20 90\n" * 2,
    ):
        with pytest.raises(ValueError, match=r"than a rack can have|are open|up to 100 dB"):
            read(tmp_path, text)
    assert "up to 64 channels" in read(tmp_path, "Copy: " + " ".join(f"A{i}=L" for i in range(100)))[1][0]
    lost = read(tmp_path, "Preamp: 0 dB\n" + "Filter 1: ON PK\n" * 1000)[1]
    assert len(lost) == 201
    with pytest.raises(ValueError, match="larger than any preset"):
        read(tmp_path, "x" * (1 << 21))
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match="give a text file"):
        read_equalizer_apo(tmp_path / "pipe.txt")


def test_configurations_of_peace(tmp_path):
    sliders = "\n".join(f"Frequency{i}={f}" for i, f in ((2, 100), (1, 50), (8, 1000)))
    text = f"""[Speakers]
SpeakerId0=0
SpeakerTargets0=all
SpeakerName0=All
SpeakerId1=1
SpeakerTargets1=L
SpeakerName1=Left
SpeakerId2=2
SpeakerTargets2=R
SpeakerName2=Right
[Frequencies]
{sliders}
[Qualities]
Quality8=2
[General]
Description=x
PreAmp=-3
PreAmp1=-4,5
[Gains1]
Gain8=6
[Frequencies1]
{sliders}
[Qualities1]
Quality8=2
[Frequencies2]
{sliders}
[Gains2]
Gain8=-2
Gain1=0
[Filters2]
Filter8=4
Filter2=10
"""
    rack, lost = read(tmp_path, text)
    assert lost == [
        f"{tmp_path / 'preset.txt'}: slider 2 of speaker 2 is left out: the equaliser has none of its filter type '10'"
    ]
    h = heard(rack)
    assert off_db(h[0, 0], 10 ** (-7.5 / 20) * biquad("PK", 1000, ("Q", 2), 6)) < -80
    assert off_db(h[1, 1], 10 ** (-3 / 20) * biquad("LS", 1000, ("S", 0.9), -2)) < -80
    curve, lost = read(
        tmp_path, "[Frequencies]\nFrequency1=20\nFrequency2=20000\n[Gains]\nGain1=4\nGain2=4\n[General]\nGraphicEQ=1\n"
    )
    assert not lost
    assert 20 * math.log10(abs(heard(curve)[0, 0, 900])) == pytest.approx(4, abs=0.05)
    speakers = "SpeakerTargets0=all\nSpeakerTargets1=L=0.5*L+0.5*R\nSpeakerTargets2=R=L"
    mid = f"[Frequencies]\n[General]\n[Speakers]\n{speakers}\n[Commands]\n0=x"
    rack, lost = read(tmp_path, mid)
    assert "[Commands] is left out" in lost[0]
    assert np.max(np.abs(heard(rack) - 0.5)) < 1e-6
    with pytest.raises(ValueError, match="that can be used"):
        read(tmp_path, "[Frequencies]\nFrequency1=20\n[Filters]\nFilter1=99")


def test_sides_are_written_and_read_again(tmp_path):
    rng = np.random.default_rng(11)
    for n in range(30):
        bands = [
            tr.Band(
                str(rng.choice(["bell", "low_shelf", "high_shelf", "low_cut", "high_cut", "notch", "all_pass", "off"])),
                frequency_hz=float(rng.uniform(50, 16000)),
                gain_db=float(rng.uniform(-9, 9)),
                q=float(rng.uniform(0.4, 2)),
                slope_db_per_octave=str(rng.choice(["12", "24", "48"])),
                channel=str(rng.choice(["all", "left", "right"])),
            )
            for _ in range(6)
        ]
        gain = tr.Gain(
            gain_db=float(rng.uniform(-9, 9)),
            balance=float(rng.choice([0, -0.4, 0.9, 1, -1])),
            polarity=str(rng.choice(["normal", "invert", "invert_left", "invert_right"])),
        )
        rack = tr.Rack([gain, tr.ParametricEQ(bands=bands, warping="bilinear")])
        assert not write_equalizer_apo(rack, tmp_path / "x.txt")
        found, lost = read_equalizer_apo(tmp_path / "x.txt")
        assert not lost
        assert np.max(np.abs(heard(found) - heard(rack))) < 2e-4, n
