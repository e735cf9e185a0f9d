"""Levels of files: what is told is what is there, ceilings hold in what is written, targets are met or said to be missed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import SHARED, music, run, run_on_full_disk
from twinrack.measure.files import measure_file, parse_tolerance
from twinrack.measure.loudness import loudness
from twinrack.render.batch import Failed, render_many
from twinrack.render.file import Rendered, render_file
from twinrack.render.level import last_limiter, parse_level

RECORDINGS = [SHARED / f"{name}.flac" for name in ("drums", "guitar", "piano", "speech", "tabla")]
FLOAT = 1e-4  # dB by which the meter, in float32, may differ
FORMATS = ("wav", "flac", "mp3", "ogg")
# Rec. ITU-R BS.1770-4, annex 2, table of the interpolating filter; the other two phases are these backwards.
BS1770_PHASES = (
    (0.001708984375, 0.010986328125, -0.0196533203125, 0.033203125, -0.0594482421875, 0.1373291015625, 0.97216796875,
     -0.102294921875, 0.047607421875, -0.026611328125, 0.014892578125, -0.00830078125),
    (-0.0291748046875, 0.029296875, -0.0517578125, 0.089111328125, -0.16650390625, 0.465087890625, 0.77978515625,
     -0.2003173828125, 0.1015625, -0.0582275390625, 0.0330810546875, -0.0189208984375),
)  # fmt: skip


def decoded(path: Path) -> tuple[np.ndarray, int]:
    x, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return x.T, rate


def independent(path: Path) -> tuple[float, float]:
    """Loudness by pyloudnorm, and the true peak by the recommendation's filter in numpy, of what soundfile decodes."""
    import pyloudnorm

    x, rate = decoded(path)
    phases = [*BS1770_PHASES, *(phase[::-1] for phase in BS1770_PHASES)]
    peak = max(np.max(np.abs(np.convolve(channel.astype(float), phase))) for channel in x for phase in phases)
    return pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(x.T.astype(float)), 20 * np.log10(
        max(peak, np.max(np.abs(x)))
    )


def oversampled_peak_db(path: Path) -> float:
    """Eight times oversampled by scipy's filter."""
    from scipy.signal import resample_poly

    x, _ = decoded(path)
    return float(20 * np.log10(np.max(np.abs(resample_poly(x.astype(float), 8, 1, axis=-1, window=("kaiser", 12.0))))))


def hats(rate: int = 48000, seconds: float = 3.0, seed: int = 3) -> np.ndarray:
    """Bursts of noise, whose peaks every rate and every coder makes anew."""
    rng = np.random.default_rng(seed)
    x = np.zeros((2, int(rate * seconds)))
    for start in range(0, x.shape[1] - rate // 10, rate // 5):
        n = rate // 12
        x[:, start : start + n] += 0.5 * rng.standard_normal((2, n)) * np.exp(-np.arange(n) / (rate / 80))
    return x.astype(np.float32)


def dense(seconds: float = 3.0) -> np.ndarray:
    """Noise with a slow swell, as dense as music."""
    rng = np.random.default_rng(5)
    n = int(48000 * seconds)
    x = rng.standard_normal((2, n)) * (0.1 + 0.05 * np.sin(2 * np.pi * 0.7 * np.arange(n) / 48000))
    return (x + 0.7 * np.roll(x, 1, 1)).astype(np.float32)


@pytest.fixture
def music_file(tmp_path) -> Path:
    path = tmp_path / "dense.wav"
    soundfile.write(path, dense().T, 48000, subtype="FLOAT")
    return path


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "in.wav"
    soundfile.write(path, hats().T, 48000, subtype="FLOAT")
    return path


LOUD = tr.Rack([tr.Limiter(ceiling_db=-1, input_gain_db=20)])


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("rate", [None, 44100, 32000, 16000, 8000])
def test_the_last_limiters_ceiling_holds_in_the_file(source, tmp_path, ending, rate):
    if rate == 8000 and ending == "mp3":
        rate = 11025
    path = tmp_path / f"out.{ending}"
    made = render_file(source, path, LOUD, sample_rate=rate)
    lufs, peak = independent(path)
    assert peak <= -1 + 0.01
    assert peak >= (-1.02 if made.loudness is None else -2)  # and not lower than need be, as far as a coder can be foreseen
    assert made.seconds == pytest.approx(3, abs=0.01)
    if made.loudness is not None:  # lossy: told
        assert made.loudness.true_peak_db == pytest.approx(peak, abs=0.01)
        assert made.loudness.integrated == pytest.approx(lufs, abs=0.1)


def test_a_limiter_in_a_chain_is_the_last_one_too(source, tmp_path):
    racks = {
        "chain": tr.Rack([tr.Gain(gain_db=20), tr.Chain([tr.Saturation(), tr.Chain([tr.Limiter(ceiling_db=-3)])])]),
        "samples": tr.Rack([tr.Limiter(ceiling_db=-3, input_gain_db=20, detector="sample_peak")]),
    }
    for name, rack in racks.items():
        render_file(source, tmp_path / f"{name}.wav", rack, sample_rate=32000)
        render_file(source, tmp_path / f"{name}.ogg", rack)
    assert independent(tmp_path / "chain.wav")[1] <= -3 + 0.01
    assert independent(tmp_path / "chain.ogg")[1] <= -3 + 0.01
    for ending in ("wav", "ogg"):
        assert 20 * np.log10(np.max(np.abs(decoded(tmp_path / f"samples.{ending}")[0]))) <= -3 + 0.01
    rack = tr.Rack([tr.Gain(), tr.Chain([tr.Chain([tr.Saturation(), tr.Limiter(ceiling_db=-3)])])])
    split = last_limiter(rack)
    assert list(split.before.addresses()) == ["gain", "saturation"]
    assert split.ceiling_db == -3
    assert list(rack.addresses()) == ["gain", "saturation", "limiter"]
    for items in ([tr.Limiter(), tr.Gain()], [tr.Limiter(bypass=True)], [tr.Parallel([tr.Limiter()])], []):
        assert last_limiter(tr.Rack(items)) is None


def test_at_the_same_rate_nothing_changes(source, tmp_path):
    """A limiter's own output is what is written, bit for bit."""
    render_file(source, tmp_path / "out.wav", LOUD, bits=32)
    assert np.array_equal(decoded(tmp_path / "out.wav")[0], LOUD(hats(), 48000, tail="auto"))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(("lufs", "rate", "bits"), [(-16, None, 24), (-23, 44100, 16), (-14, 96000, 32), (-30, 16000, 16)])
def test_a_loudness_is_met_before_a_last_limiter(tmp_path, ending, lufs, rate, bits):
    if ending in ("mp3",) and rate == 96000:
        rate = 32000
    x = 0.3 * music(2, 48000 * 5, 48000, abs(lufs))
    soundfile.write(tmp_path / "in.wav", x.T, 48000, subtype="FLOAT")
    path = tmp_path / f"out.{ending}"
    rack = tr.Rack([tr.Compressor(threshold_db=-30), tr.Limiter(ceiling_db=-2)])
    made = render_file(
        tmp_path / "in.wav", path, rack, normalize_lufs=lufs, true_peak_db=-1, sample_rate=rate, bits=bits, tail=None
    )
    found, peak = independent(path)
    assert found == pytest.approx(lufs, abs=0.1)
    assert peak <= -1 + FLOAT
    assert made.loudness.integrated == pytest.approx(found, abs=0.1)
    assert made.loudness.true_peak_db == pytest.approx(peak, abs=0.01)
    assert made.loudness.true_peak_db == pytest.approx(oversampled_peak_db(path), abs=0.3)  # another filter
    assert not [note for note in made.notes if "coding lifts" not in note]


@pytest.mark.parametrize("seed", range(12))
def test_random_levels(tmp_path, seed):
    """Any target, limit, rate, format, width: met, or missed by what is said."""
    rng = np.random.default_rng(seed)
    from_rate, to_rate = (int(rng.choice([16000, 22050, 44100, 48000])) for _ in range(2))
    channels, ending = int(rng.integers(1, 3)), str(rng.choice(FORMATS))
    x = 10 ** (rng.uniform(-40, 0) / 20) * music(channels, 4 * from_rate, from_rate, seed)
    soundfile.write(tmp_path / "in.wav", x.T, from_rate, subtype="FLOAT")
    lufs, limit = float(rng.uniform(-35, -8)), float(rng.uniform(-12, 0))
    limiter = [tr.Limiter(ceiling_db=float(rng.uniform(-12, 0)))] if rng.random() < 0.5 else []
    path = tmp_path / f"out.{ending}"
    made = render_file(
        tmp_path / "in.wav", path, tr.Rack([tr.Gain(gain_db=3), *limiter]), normalize_lufs=lufs, true_peak_db=limit,
        sample_rate=to_rate, bits=int(rng.choice([16, 24, 32])), limit=bool(rng.random() < 0.3),
    )  # fmt: skip
    found, peak = independent(path)
    assert peak <= limit + FLOAT
    assert made.loudness.integrated == pytest.approx(found, abs=0.1)
    assert made.loudness.true_peak_db == pytest.approx(peak, abs=0.01)
    missing = [note for note in made.notes if "below the target" in note]
    if abs(found - lufs) > 0.15:
        said = float(re.search(r"([\d.]+) LU below the target", missing[0])[1])
        assert lufs - found == pytest.approx(said, abs=0.1)
        assert peak > limit - 0.5 or limiter  # as high as it may be
    elif abs(found - lufs) < 0.05:
        assert not missing


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_recordings_as_podcasts(path, tmp_path):
    if not path.exists():
        pytest.skip(f"the development recording {path.name} is not beside this checkout")
    for ending, rate in (("wav", None), ("mp3", None), ("ogg", 44100), ("flac", 32000)):
        out = tmp_path / f"out.{ending}"
        made = render_file(path, out, tr.Rack(), normalize_lufs=-16, true_peak_db=-1, limit=True, sample_rate=rate)
        found, peak = independent(out)
        assert made.loudness.integrated == pytest.approx(-16, abs=0.1)
        assert made.loudness.integrated == pytest.approx(found, abs=0.1)
        assert peak <= -1 + FLOAT
        assert made.loudness.true_peak_db == pytest.approx(oversampled_peak_db(out), abs=0.25)
        assert made.notes == () or "coding lifts" in made.notes[0]


def test_without_a_limiter_the_peak_wins_and_the_sentence_says_what_would_help(music_file, tmp_path):
    source = music_file
    made = render_file(source, tmp_path / "a.wav", tr.Rack([tr.Gain()]), normalize_lufs=-8, true_peak_db=-1)
    found, peak = independent(tmp_path / "a.wav")
    assert -1.003 <= peak <= -1 + FLOAT
    (note,) = made.notes
    assert f"it is {made.loudness.integrated:.1f} LUFS, {-8 - made.loudness.integrated:.1f} LU below the target" in note
    assert "a limiter as the last effect" in note
    assert "--limit" in note
    again = render_file(source, tmp_path / "b.wav", tr.Rack([tr.Gain()]), normalize_lufs=-8, true_peak_db=-1, limit=True)
    assert independent(tmp_path / "b.wav")[0] == pytest.approx(-8, abs=0.1)  # the advice holds
    assert again.notes == ()
    far = render_file(source, tmp_path / "c.wav", tr.Rack([tr.Limiter()]), normalize_lufs=-0.5, true_peak_db=-1)
    assert "out of reach below -1.0 dBTP" in far.notes[0]
    assert "a limiter as" not in far.notes[0]  # there is one
    assert far.loudness.integrated > found


def test_peaks_are_normalised(source, tmp_path):
    for ending in FORMATS:
        for rack in (tr.Rack(), LOUD):
            made = render_file(source, tmp_path / f"a.{ending}", rack, normalize_peak_db=-3.0, sample_rate=44100)
            assert -3.4 <= independent(tmp_path / f"a.{ending}")[1] <= -3 + 1e-4
            assert -3.4 <= made.loudness.true_peak_db <= -3


def test_only_a_limit_turns_down_and_never_up(source, tmp_path):
    quiet = render_file(source, tmp_path / "a.wav", tr.Rack([tr.Gain(gain_db=-20)]), true_peak_db=-1)
    assert quiet.gain_db == 0
    render_file(source, tmp_path / "b.mp3", tr.Rack([tr.Gain(gain_db=20)]), true_peak_db=-1)
    assert -1.15 <= independent(tmp_path / "b.mp3")[1] <= -1
    low = render_file(source, tmp_path / "c.wav", tr.Rack(), true_peak_db=-60, bits=16)  # dither counts here
    assert independent(tmp_path / "c.wav")[1] <= -60
    assert low.notes == ()


def test_lossy_files_above_full_scale_are_told(source, tmp_path):
    rack = tr.Rack([tr.Gain(gain_db=4)])
    made = render_file(source, tmp_path / "a.ogg", rack)
    peak = independent(tmp_path / "a.ogg")[1]
    assert peak > 0
    assert f"a.ogg has a true peak of {peak:+.1f} dBTP" in made.notes[0]


def test_clipping_is_in_what_is_told(source, tmp_path):
    made = render_file(source, tmp_path / "a.wav", tr.Rack(), normalize_lufs=-3)
    assert made.clipped > 0
    assert made.loudness.integrated == pytest.approx(independent(tmp_path / "a.wav")[0], abs=0.1)
    assert "clipped at full scale" in made.notes[0]
    whole = render_file(source, tmp_path / "b.wav", tr.Rack(), normalize_lufs=-3, bits=32)
    assert whole.clipped == 0
    assert independent(tmp_path / "b.wav")[0] == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("frames", [100, 4000, 19000])
@pytest.mark.parametrize("ending", FORMATS)
def test_silence_and_short_sounds_stay(tmp_path, frames, ending):
    soundfile.write(tmp_path / "in.wav", 0.1 * np.ones((frames, 1)), 48000)
    made = render_file(tmp_path / "in.wav", tmp_path / f"a.{ending}", tr.Rack(), normalize_lufs=-16, true_peak_db=-1, tail=None)
    assert made.notes == ("the file is silent, or shorter than the 0.4 s that a loudness takes, so its level stays as it is",)
    assert made.gain_db == 0
    soundfile.write(tmp_path / "in.wav", np.zeros((48000, 2)), 48000)
    for level in ({"normalize_lufs": -16.0}, {"normalize_peak_db": -1.0}):
        made = render_file(tmp_path / "in.wav", tmp_path / f"b.{ending}", tr.Rack([tr.Limiter()]), bits=32, **level)
        assert "silent" in made.notes[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"normalize_lufs": "-16"}, "normalize_lufs must be a number, got '-16'"),
        ({"normalize_lufs": 3}, "normalize_lufs = 3 is outside -70 to 0"),
        ({"normalize_lufs": float("nan")}, "normalize_lufs = nan is outside"),
        ({"true_peak_db": 1}, "true_peak_db = 1 is outside -60 to 0"),
        ({"true_peak_db": True}, "true_peak_db must be a number, got True"),
        ({"normalize_peak_db": -100}, "normalize_peak_db = -100 is outside"),
        ({"normalize_lufs": -16, "normalize_peak_db": -1}, "both given"),
    ],
)
def test_wrong_levels(source, tmp_path, settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        render_file(source, tmp_path / "a.wav", tr.Rack(), **settings)
    with pytest.raises(ValueError, match=re.escape(words)):
        tr.Session().render_to(tmp_path / "a.wav", **settings)
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize(
    ("normalize", "peak", "wanted"),
    [
        ("-16", None, {"normalize_lufs": -16}),
        ("-16LUFS", "-1", {"normalize_lufs": -16, "true_peak_db": -1}),
        ("-16 LUFS", "-1dBTP", {"normalize_lufs": -16, "true_peak_db": -1}),
        ("-16.5 lufs", "-1 dB", {"normalize_lufs": -16.5, "true_peak_db": -1}),
        ("\N{MINUS SIGN}23 LKFS", None, {"normalize_lufs": -23}),
        ("-1dBTP", None, {"normalize_peak_db": -1}),
        (" -.5 dBFS ", "0", {"normalize_peak_db": -0.5, "true_peak_db": 0}),
    ],
)
def test_how_levels_are_written(normalize, peak, wanted):
    assert parse_level(normalize, peak) == wanted


def test_tolerances():
    assert parse_tolerance("-16+-1") == (-16, 1)
    assert parse_tolerance("-16.5 LUFS ± 0.5 LU") == (-16.5, 0.5)
    assert parse_tolerance("-23 +/- 2") == (-23, 2)
    assert parse_tolerance("-14") == (-14, 0.1)
    for wrong in ("", "loud", "-16+1", "-16+-", "nan"):
        with pytest.raises(ValueError, match="--integrated must be a loudness with a tolerance, such as "):
            parse_tolerance(wrong)


# --- many files, the command ---------------------------------------------------------------------------------------------


def test_folders_each_file_by_itself_and_the_journal(tmp_path):
    songs = tmp_path / "songs"
    songs.mkdir()
    for i, level in enumerate((-40, -20, 0)):
        soundfile.write(songs / f"{i}.wav", 10 ** (level / 20) * 0.4 * music(2, 96000, 48000, i).T, 48000, subtype="FLOAT")
    (songs / "broken.wav").write_bytes(b"RIFF....")
    command = ("render", songs, tmp_path / "out", "--normalize", "-16LUFS", "--true-peak", "-1", "--limit", "--resume")
    done = run(*command)
    assert done.returncode == 2
    assert "broken.wav cannot be read as audio" in done.stderr
    for i in range(3):
        found, peak = independent(tmp_path / "out" / f"{i}.wav")
        assert found == pytest.approx(-16, abs=0.1)
        assert peak <= -1 + FLOAT
        assert f"{i}.wav  2.00 s, " in done.stdout
    assert done.stdout.count("-16.0 LUFS") == 3
    assert "3 of 4 files were done before" in run(*command).stdout
    other = run("render", songs, tmp_path / "out", "--normalize", "-20LUFS", "--resume")  # another level is another result
    assert "done before" not in other.stdout
    assert independent(tmp_path / "out" / "0.wav")[0] == pytest.approx(-20, abs=0.1)
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix == ".part"]


def test_many_at_once_give_what_one_gives(source, tmp_path):
    pairs = [(source, tmp_path / f"{i}.wav") for i in range(4)]
    for result in render_many(pairs, LOUD, workers=3, normalize_lufs=-18, true_peak_db=-2):
        assert isinstance(result, Rendered), result
        assert not isinstance(result, Failed)
    assert len({path.read_bytes() for _, path in pairs}) == 1


def test_the_command(source, tmp_path):
    done = run("render", source, tmp_path / "a.wav", "--normalize", "-8", "--true-peak", "-1dBTP")
    assert done.returncode == 0, done.stderr
    assert "LU below the target: a limiter as the last effect" in done.stdout
    assert run("render", source, tmp_path / "b.wav", "--normalize", "-3dBTP").returncode == 0
    assert independent(tmp_path / "b.wav")[1] == pytest.approx(-3, abs=0.02)
    assert run("render", source, tmp_path / "c.flac", "--limit").returncode == 0
    assert independent(tmp_path / "c.flac")[1] <= -1 + FLOAT
    for arguments, words in (
        (("--normalize", "loud"), "--normalize must be a number such as -14LUFS or -1dBTP, got 'loud'"),
        (("--true-peak", "-1LUFS"), "--true-peak must be a number such as -1 or -1dBTP, got '-1LUFS'"),
        (("--normalize", "5"), "normalize_lufs = 5 is outside -70 to 0"),
        ((), "Missing option '--rack'"),
    ):
        done = run("render", source, tmp_path / "d.wav", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "d.wav").exists()


def test_nothing_is_left_where_writing_fails(source, tmp_path):
    done = run_on_full_disk("render", "in.wav", "out.wav", "--normalize", "-16", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "out.wav was not written" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav"]


# --- measuring -----------------------------------------------------------------------------------------------------------


def test_measure_files(source, tmp_path):
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    soundfile.write(folder / "silent.wav", np.zeros((48000, 1)), 48000)
    soundfile.write(folder / "short.wav", 0.1 * np.ones(100), 48000)
    x = hats()
    x[0, 1000] = np.nan
    soundfile.write(folder / "below" / "faulty.wav", x.T, 48000, subtype="FLOAT")
    (folder / "broken.flac").write_bytes(b"fLaC....")
    done = run("measure", source, folder, "--json")
    assert done.returncode == 2
    assert "broken.flac cannot be read as audio" in done.stderr
    entries = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    by_name = {Path(e["path"]).name: e for e in entries}
    assert set(by_name) == {"in.wav", "silent.wav", "short.wav", "faulty.wav", "broken.flac"}
    assert by_name["silent.wav"]["integrated_lufs"] is None
    assert by_name["silent.wav"]["true_peak_dbtp"] is None
    assert by_name["short.wav"]["integrated_lufs"] is None
    assert by_name["faulty.wav"]["invalid_samples"] == 1
    assert "broken.flac" in by_name["broken.flac"]["error"]
    found = loudness(hats(), 48000)
    assert by_name["in.wav"]["integrated_lufs"] == pytest.approx(found.integrated, abs=1e-3)
    assert by_name["in.wav"]["max_short_term_lufs"] == pytest.approx(found.loudest_short_term, abs=1e-3)
    assert by_name["in.wav"]["max_momentary_lufs"] == pytest.approx(found.loudest_momentary, abs=1e-3)
    assert by_name["in.wav"]["range_lu"] == pytest.approx(found.range, abs=1e-3)
    assert by_name["in.wav"]["true_peak_dbtp"] == pytest.approx(found.true_peak_db, abs=1e-3)
    assert by_name["in.wav"]["sample_peak_dbfs"] == pytest.approx(found.peak_db, abs=1e-3)
    assert (by_name["in.wav"]["seconds"], by_name["in.wav"]["channels"], by_name["in.wav"]["sample_rate"]) == (3, 2, 48000)
    table = run("measure", source, folder / "below").stdout
    assert f"{found.integrated:.1f}" in table
    assert str(source) in table  # names are never cut
    assert "1 sample was NaN or infinity" in table


def test_measure_limits(music_file, tmp_path):
    source = music_file
    render_file(source, tmp_path / "good.wav", tr.Rack(), normalize_lufs=-16, true_peak_db=-1, limit=True)
    render_file(source, tmp_path / "low.wav", tr.Rack(), normalize_lufs=-20)
    limits = ("--integrated", "-16+-1", "--max-true-peak", "-1", "--max-lra", "20")
    assert run("measure", tmp_path / "good.wav", *limits).returncode == 0
    done = run("measure", tmp_path / "good.wav", tmp_path / "low.wav", *limits)
    assert done.returncode == 3
    assert "integrated -20.00 LUFS, not -16 ± 1" in done.stdout
    assert "1 of 2 files is outside the limits" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run("measure", tmp_path / "empty", tmp_path / "good.wav", "--max-true-peak", "-1 dBTP")
    assert done.returncode == 2
    assert "empty holds no audio file" in done.stderr
    assert "good.wav" in done.stdout
    assert (
        "--max-lra must be a number such as 12, got 'much'" in run("measure", tmp_path / "good.wav", "--max-lra", "much").stderr
    )
    done = run("measure", tmp_path / "low.wav", "--json", *limits)
    assert done.returncode == 3
    assert json.loads(done.stdout)[0]["outside"] == ["integrated -20.00 LUFS, not -16 ± 1"]
    soundfile.write(tmp_path / "silent.wav", np.zeros(48000), 48000)
    assert run("measure", tmp_path / "silent.wav", *limits).returncode == 3
    assert run("measure", tmp_path / "gone.wav", *limits).returncode == 2
    for what, most in (("short-term", -30), ("momentary", -30), ("sample-peak", -30)):
        assert run("measure", tmp_path / "low.wav", f"--max-{what}", most).returncode == 3


def test_what_is_written_passes_its_own_limits(source, tmp_path):
    """A file brought to -1 dBTP is not above -1 dBTP, dither and coding included."""
    for ending in FORMATS:
        for settings in ({"normalize_peak_db": -1}, {"true_peak_db": -1}, {"true_peak_db": -1, "limit": True}):
            path = tmp_path / f"a.{ending}"
            render_file(source, path, tr.Rack([tr.Gain(gain_db=12)]), bits=16, **settings)
            assert measure_file(path).loudness.true_peak_db <= -1 + 0.005


# --- sessions ------------------------------------------------------------------------------------------------------------


def one(source: Path, *master: object) -> tr.Session:
    session = tr.Session("s", sample_rate=48000)
    session.add_track("a", clips=[tr.Clip(source)])
    session.add_track("b", clips=[tr.Clip(source, start=0.1)], gain_db=-6)
    session.master.rack = tr.Rack(master)
    return session


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("rate", [None, 44100, 16000])
def test_sessions_hold_what_they_tell(music_file, tmp_path, ending, rate):
    source = music_file
    path = tmp_path / f"a.{ending}"
    for master, settings in (
        ((tr.Limiter(ceiling_db=-1, input_gain_db=12),), {}),
        ((tr.Limiter(ceiling_db=-1),), {"normalize_lufs": -12, "true_peak_db": -1.5}),
        ((), {"normalize_lufs": -12, "true_peak_db": -1, "limit": True}),
        ((), {"normalize_lufs": -12, "true_peak_db": -1}),
        ((), {"normalize_peak_db": -2}),
        ((tr.Gain(gain_db=-3),), {}),
    ):
        made = one(source, *master).render_to(path, sample_rate=rate, manifest=False, **settings)
        found, peak = independent(path)
        assert made.loudness.integrated == pytest.approx(found, abs=0.1)
        assert made.loudness.true_peak_db == pytest.approx(peak, abs=0.01)
        if master and master[-1].card.id == "limiter":
            assert peak <= settings.get("true_peak_db", -1 + 0.01)
        if "true_peak_db" in settings:
            assert peak <= settings["true_peak_db"] + FLOAT
        if "normalize_lufs" in settings:
            assert abs(found + 12) <= 0.1 or any("below the target" in note for note in made.notes)
            if master or "limit" in settings:
                assert found == pytest.approx(-12, abs=0.1)


def test_several_formats_at_once_all_hold(music_file, tmp_path):
    source = music_file
    session = one(source, tr.Limiter(ceiling_db=-1))
    paths = [tmp_path / f"a.{ending}" for ending in FORMATS]
    made = session.render_to(*paths, normalize_lufs=-14, true_peak_db=-1, manifest=False)
    for path in paths:
        found, peak = independent(path)
        assert peak <= -1 + FLOAT
        assert made.measured[path].integrated == pytest.approx(found, abs=0.1)
        assert made.measured[path].true_peak_db == pytest.approx(peak, abs=0.01)
    assert made.loudness.integrated == pytest.approx(-14, abs=0.1)


def test_a_masters_fader_behind_its_limiter(music_file, tmp_path):
    source = music_file
    session = one(source, tr.Limiter(ceiling_db=-1, input_gain_db=12))
    session.master.gain_db = -4
    made = session.render_to(tmp_path / "a.ogg", sample_rate=32000, manifest=False)
    assert made.loudness.true_peak_db <= -5 + 0.01
    made = session.render_to(tmp_path / "b.wav", normalize_lufs=-18, true_peak_db=-1, manifest=False)
    assert made.loudness.integrated == pytest.approx(-18, abs=0.1)
    assert session.master.gain_db == -4  # the session is as it was
    assert len(session.master.rack.effects) == 1
    session.master.pan = 0.2  # now the limiter is not the end, and its loudness is met by gain alone
    made = session.render_to(tmp_path / "c.wav", normalize_lufs=-18, true_peak_db=-1, manifest=False)
    assert made.loudness.integrated == pytest.approx(-18, abs=0.1)
    session.automate("master.limiter.ceiling_db", [(0, -1), (1, -6)])
    assert session.render_to(tmp_path / "d.wav", sample_rate=32000, manifest=False).seconds > 2


def test_stems_get_the_gain_too(source, tmp_path):
    for master in ((), (tr.Limiter(ceiling_db=0),)):
        session = one(source, *master)
        settings = {"normalize_lufs": -30, "bits": 32, "manifest": False, "sample_rate": 44100}
        made = session.render_to(tmp_path / "mix.wav", stems=tmp_path / "stems", **settings)
        mix = decoded(tmp_path / "mix.wav")[0]
        total = sum(decoded(path)[0].astype(float) for path in made.stems.values())
        assert np.max(np.abs(total - mix)) < 1e-4 * np.max(np.abs(mix))  # nothing is limited at -30 LUFS
        dry = session.render_to(tmp_path / "mix.wav", stems=tmp_path / "dry", stems_through_master=False, **settings)
        total = sum(decoded(path)[0].astype(float) for path in dry.stems.values())
        assert np.max(np.abs(total - mix)) < 1e-4 * np.max(np.abs(mix))


def test_nan_and_infinity_count_as_silence_and_are_named(source, tmp_path):
    x = dense()
    x[0, 5000], x[1, 9000:9010] = np.nan, np.inf
    soundfile.write(tmp_path / "bad.wav", x.T, 48000, subtype="FLOAT")
    made = render_file(tmp_path / "bad.wav", tmp_path / "a.wav", tr.Rack(), normalize_lufs=-20)
    assert made.input_faults == 11
    assert independent(tmp_path / "a.wav")[0] == pytest.approx(-20, abs=0.1)
    made = one(tmp_path / "bad.wav").render_to(tmp_path / "b.wav", normalize_lufs=-20, manifest=False)
    assert any("NaN or infinity in 11 samples" in note for note in made.notes)
    assert independent(tmp_path / "b.wav")[0] == pytest.approx(-20, abs=0.1)


def test_refused_before_the_work(source, tmp_path):
    calls: list[int] = []
    for out, words in (("a.mp3", "MP3 cannot hold 2 channels at 96000 Hz"), ("no/a.wav", "there is no folder")):
        with pytest.raises((ValueError, OSError), match=words):
            render_file(source, tmp_path / out, tr.Rack(), normalize_lufs=-16, sample_rate=96000, progress=calls.append)
    assert calls == []


def test_a_cache_does_not_mix_up_masters(source, tmp_path):
    """What is cached with the limiter taken off is not played where it is on."""
    session = one(source, tr.Gain(gain_db=2), tr.Limiter(ceiling_db=-6, input_gain_db=12))
    plain = session.render_to(tmp_path / "a.wav", bits=32, cache=tmp_path / "cache")
    session.render_to(tmp_path / "b.wav", bits=32, cache=tmp_path / "cache", normalize_lufs=-20)
    again = session.render_to(tmp_path / "c.wav", bits=32, cache=tmp_path / "cache")
    assert again.reused
    assert np.array_equal(decoded(tmp_path / "a.wav")[0], decoded(tmp_path / "c.wav")[0])
    assert plain.loudness.integrated == again.loudness.integrated


def test_the_session_command_gives_no_circular_advice(music_file, tmp_path):
    source = music_file
    path = tmp_path / "s.session.json"
    one(source, tr.Limiter()).save(path)
    done = run("session", "render", path, "--normalize", "-10LUFS", "--true-peak", "-1")
    assert done.returncode == 0, done.stderr
    assert "-10.0 LUFS" in done.stdout
    assert "lets it be louder" not in done.stdout
    one(source).save(path)
    done = run("session", "render", path, "--normalize", "-6LUFS", "--true-peak", "-1")
    assert "a limiter as the last effect of the master lets it be louder (--limit" in done.stdout
    done = run("session", "render", path, "--normalize", "-10LUFS", "--true-peak", "-1", "--limit")
    assert "-10.0 LUFS" in done.stdout
