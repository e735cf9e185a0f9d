"""What recordings cover: one-sided levels, duplicates, groups; and an equaliser that makes up for one group's microphone."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import music
from twinrack.validation.coverage import coverage
from twinrack.validation.duplicates import duplicates
from twinrack.validation.groups import compare_groups
from twinrack.validation.recordings import Recording, read_folder, read_table
from twinrack.validation.validate import Validation

RATE = 16000


def sounds(count: int, seconds: float = 3.0) -> list[np.ndarray]:
    return [music(1, int(seconds * RATE), RATE, seed) for seed in range(count)]


def through(rack: tr.Rack, x: np.ndarray) -> np.ndarray:
    return np.asarray(rack.copy()(x, RATE))


def test_one_speaker_in_ninety_percent_is_seen():
    recordings = [Recording(f"{i}.wav", x, None, {"speaker": "A" if i else "B"}) for i, x in enumerate(sounds(10, 1.5))]
    found = coverage(recordings, tr.Rack([tr.Gain()]), RATE)
    assert "speaker: 90 % of the time is 'A', of 2" in found.warnings()
    even = [Recording(r.name, r.dry, None, {"speaker": "AB"[i % 2]}) for i, r in enumerate(recordings)]
    assert not any("speaker" in w for w in coverage(even, tr.Rack([tr.Gain()]), RATE).warnings())


def test_a_compressor_that_never_rests_is_named():
    """Recordings that are all above its threshold do not tell threshold from makeup."""
    rng = np.random.default_rng(0)
    loud = [Recording("loud", (0.2 * rng.standard_normal((1, 3 * RATE))).astype(np.float32))]
    rack = tr.Rack([tr.ParametricEQ(), tr.Compressor(threshold_db=-40, ratio=3)])
    found = coverage(loud, rack, RATE)
    assert any(w.startswith("compressor takes something away 100 % of the time") for w in found.warnings())
    assert any(w.startswith("levels lie between") for w in found.warnings())
    varied = [*loud, Recording("quiet", (loud[0].dry * np.float32(1e-2)))]
    assert not any("takes something away" in w for w in coverage(varied, rack, RATE).warnings())


def test_values_that_nothing_shows_are_named():
    quiet = [Recording("quiet", 0.01 * sounds(1)[0])]
    found = coverage(quiet, tr.Rack([tr.Compressor(threshold_db=-3), tr.Gain()]), RATE)
    (hidden,) = [w for w in found.warnings() if w.startswith("nothing shows")]
    assert "compressor.ratio" in hidden
    assert "gain.gain_db" not in hidden
    assert any("compressor hardly ever acts" in w for w in found.warnings())


@pytest.mark.parametrize("change", ["as it is", "quieter", "later", "noisy"])
def test_the_same_sound_twice_is_found(change):
    a, b, other = sounds(3, 4.0)
    rng = np.random.default_rng(0)
    copy = {
        "as it is": a,
        "quieter": a * np.float32(0.1),
        "later": np.concatenate([b[:, :RATE], a[:, : 2 * RATE]], 1),
        "noisy": a + np.float32(0.03 * np.sqrt(np.mean(a**2))) * rng.standard_normal(a.shape).astype(np.float32),
    }[change]
    recordings = [Recording("a", a), Recording("other", other), Recording("copy", copy, held_out=True)]
    (found,) = duplicates(recordings, RATE)
    assert (found.first, found.second, found.leaks) == ("a", "copy", True)
    assert found.later_s == pytest.approx(1.0 if change == "later" else 0.0, abs=0.05)
    assert found.seconds > 1.0
    assert "one for training and one held out" in str(found)


def test_different_sounds_are_not_taken_for_the_same():
    assert not duplicates([Recording(f"{i}", x) for i, x in enumerate(sounds(8, 4.0))], RATE)


def test_an_equaliser_that_makes_up_for_one_groups_microphone_is_named(tmp_path):
    """Microphone X lacks treble, and the equaliser learned to put it back; what microphone Y hears is then too bright."""
    wanted = tr.Rack([tr.Compressor(threshold_db=-25, ratio=3)])
    dull = tr.Rack([tr.ParametricEQ(bands=[tr.Band("high_shelf", frequency_hz=2500, gain_db=-8)])])
    bright = [tr.Band("high_shelf", frequency_hz=2500, gain_db=8)]
    fitted = tr.Rack([tr.ParametricEQ(bands=bright), tr.Compressor(threshold_db=-25, ratio=3)])
    recordings = []
    for i, x in enumerate(sounds(12, 1.5)):
        microphone = "XY"[i % 2]
        dry = through(dull, x) if microphone == "X" else x
        table = {"microphone": microphone, "room": "ab"[i // 6]}
        recordings.append(Recording(f"{i}.wav", dry, through(wanted, x), table))
    by_column = {g.column: g for g in compare_groups(fitted, recordings, RATE)}
    microphone, room = by_column["microphone"], by_column["room"]
    assert microphone.unequal
    assert [g.name for g in microphone.groups] == ["Y", "X"]
    assert microphone.groups[1].mean_db < -60
    assert microphone.refit is not None
    assert microphone.refit.address == "parametric_eq"
    assert "band1.gain_db 8 dB -> " in str(microphone)
    assert not room.unequal
    y, wet = microphone.groups[0].sounds
    assert y.shape == wet.shape
    assert np.mean(np.diff(y) ** 2) > 1.5 * np.mean(np.diff(wet) ** 2)  # too bright, as is heard
    page = Validation(fitted, float(RATE), (), None, None, (microphone, room), ()).report(tmp_path / "page.html").read_text()
    assert page.count("what the real thing makes of it") == 4  # both groups of the unequal column, twice each: label and text
    assert "microphone Y, a typical recording" in page
    assert "room a, a typical" not in page


def test_folders_and_tables_are_read(tmp_path):
    dry, wet = tmp_path / "dry", tmp_path / "wet"
    dry.mkdir()
    wet.mkdir()
    for name, x in zip(("a.wav", "b.wav"), sounds(2, 1.0), strict=True):
        soundfile.write(dry / name, x.T, RATE)
        soundfile.write(wet / name, 0.5 * x.T, RATE)
    table = tmp_path / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerows([["file", "speaker", "held_out"], ["a.wav", "Ada", "1"], ["b.wav", "Bo", ""]])
    first, second = read_folder(dry, RATE, wet=wet, table=table)
    assert (first.metadata, first.held_out, second.held_out) == ({"speaker": "Ada"}, True, False)
    assert first.wet is not None
    assert first.wet == pytest.approx(0.5 * first.dry, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,speaker\na.wav,A\n", "has no column 'file'"),
        ("file,speaker\na.wav,A\na.wav,B\n", "names a.wav twice"),
    ],
)
def test_broken_tables_are_named(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        read_table(path)


def test_missing_recordings_are_named(tmp_path):
    (tmp_path / "dry").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no recordings"):
        read_folder(tmp_path / "dry", RATE)
    soundfile.write(tmp_path / "dry" / "a.wav", sounds(1, 0.5)[0].T, RATE)
    (tmp_path / "wet").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no a\.wav; dry and wet files must have the same names"):
        read_folder(tmp_path / "dry", RATE, wet=tmp_path / "wet")
    (tmp_path / "t.csv").write_text("file,speaker\nb.wav,A\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no row for a\.wav"):
        read_folder(tmp_path / "dry", RATE, table=tmp_path / "t.csv")
    with pytest.raises(ValueError, match="silent"):
        coverage([Recording("a", np.zeros((1, RATE), np.float32))], tr.Rack([tr.Gain()]), RATE)


def test_groups_are_not_called_unequal_by_chance():
    """Errors of one distribution, in four groups of two and in two of six."""
    from twinrack.validation import groups

    random = np.random.default_rng(1)
    called = 0
    for count, size in ((4, 2), (2, 6)):
        for _ in range(40):
            errors = random.normal(-20, 6, count * size)
            which = np.repeat(np.arange(count), size)
            apart = groups._spread(errors, which, count)
            by_chance = np.mean([groups._spread(errors, random.permutation(which), count) >= apart for _ in range(300)])
            called += by_chance < groups.CHANCE
    assert called <= 10
    held = 0
    for _ in range(300):
        low, high = groups.interval(random.normal(-20, 6, 3))
        held += low <= -20 <= high
    assert 0.91 < held / 300 < 0.99


def test_recordings_of_one_name_and_silent_ones_are_no_trouble():
    x = sounds(1, 1.5)[0]
    silent = np.zeros_like(x)
    both = [
        Recording("a", x, x, {"s": "A"}),
        Recording("a", x, 0.1 * x, {"s": "B"}),
        Recording("c", silent, silent, {"s": "C"}),
    ]
    (found,) = compare_groups(tr.Rack([tr.Gain()]), both * 5, RATE)
    assert found.unequal
    assert [g.name for g in found.groups] == ["B", "A"]
    covered = coverage([Recording("a", x), Recording("b", silent)], tr.Rack([tr.Gain()]), RATE)
    assert 0 < covered.crest_db < 60
    with pytest.raises(ValueError, match="b holds no sound"):
        coverage([Recording("a", x), Recording("b", x[:, :0])], tr.Rack([tr.Gain()]), RATE)


def test_channels_that_are_each_others_opposite_have_a_fingerprint():
    x = np.concatenate([sounds(1)[0], -sounds(1)[0]])
    (found,) = duplicates([Recording("a", x), Recording("b", x, held_out=True)], RATE)
    assert found.leaks
