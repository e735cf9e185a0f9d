"""The patch: round trips without loss, and every kind of damage is one sentence that names file and field."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import twinrack as tr
from support import CARD_IDS, decaying_noise, random_effect
from twinrack.rack import patch


@pytest.fixture
def saved(tmp_path):
    rack = tr.Rack(
        [
            tr.ParametricEQ(bands=[tr.Band("bell", gain_db=3.3), tr.Band(), tr.Band("low_cut", slope_db_per_octave="24")]),
            tr.Parallel([[], [tr.Compressor(lookahead_ms=1, key="voice"), tr.Gain(gain_db=-3, name="trim")]]),
            tr.Chain([tr.FDNReverb(bypass=True)]),
        ],
        name="vocal",
    )
    rack.save(tmp_path / "vocal.rack.json")
    return rack, tmp_path / "vocal.rack.json"


@pytest.mark.parametrize("card", CARD_IDS)
def test_rack_patch_rack_twin_rack(card, tmp_path):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rack = tr.Rack([random_effect(tr.CARDS[card], rng, ("random", "extreme")[seed % 2])])
        rack.save(tmp_path / "a.json")
        again = tr.load(tmp_path / "a.json")
        assert again == rack
        assert tr.Rack.from_twin(again.twin(48000)) == rack


def test_structure_names_keys_and_bypass_survive(saved):
    rack, path = saved
    assert tr.load(path) == rack
    assert tr.load(path).name == "vocal"
    assert tr.load(path).isclose(rack)


def test_it_is_readable_and_diffable(saved):
    rack, path = saved
    text = path.read_text()
    assert '"band1.gain_db": 3.3' in text
    assert "band2" not in text  # unused bands are left out
    rack.set("trim.gain_db", -4)
    rack.save(path)
    before, after = (t.partition('"provenance"')[0].splitlines() for t in (text, path.read_text()))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def damaged(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def effect(data, index=0):
    return data["rack"][index]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format="other"), "is not a twinrack patch: its format is 'other'"),
        (lambda d: d.update(version=99), "written by a newer twinrack"),
        (lambda d: d.update(version="one"), "version is 'one'"),
        (lambda d: d.pop("rack"), "rack is missing"),
        (lambda d: effect(d).update(effect="parametric_qe"), "did you mean 'parametric_eq'"),
        (lambda d: effect(d).update(version="2.0.0"), "newer than this twinrack's 1.1.0"),
        (lambda d: effect(d).update(version="0.3.0"), "older than this twinrack's 1.1.0"),
        (
            lambda d: effect(d)["values"].update({"band1.gain": 3}),
            "no parameter 'band1.gain'; did you mean 'band1.gain_db'",
        ),
        (
            lambda d: effect(d)["values"].update({"band1.gain_db": 99}),
            r"rack\[0\]: .*band1.gain_db = 99 is above 30 dB",
        ),
        (lambda d: effect(d)["values"].update({"band1.gain_db": "loud"}), "a number was expected"),
        (lambda d: effect(d)["values"].update({"band1.type": "belle"}), "did you mean 'bell'"),
        (lambda d: effect(d)["values"].update({"band1.type": 3}), "a text was expected"),
        (lambda d: effect(d).update(colour="red"), "colour is not known here; leave it out"),
        (lambda d: effect(d, 1).update(parallel=[]), "parallel has too few entries; at least 1"),
        (lambda d: d.update(arrays={"file": "../../secret.safetensors", "sha256": "0" * 64}), "arrays.file"),
    ],
)
def test_damage_is_one_sentence(saved, change, words):
    _, path = saved
    damaged(path, change)
    with pytest.raises((ValueError, OSError), match=words) as error:
        tr.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1]", "a JSON list, not an object"),
        (b"", "not valid JSON"),
        (b'{"format": "twinrack.rack", "version": 1, "name": "x", "rack": [{"effect": "gain", "version": "1.0.0", '
         b'"values": {"gain_db": NaN}}]}', "finite number"),
        (b"[" * 100000, "not valid JSON"),
    ],
)  # fmt: skip
def test_what_is_no_patch_at_all(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        tr.load(path)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no patch"):
        tr.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match="is a folder"):
        tr.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*; create it first"):
        tr.Rack([]).save(tmp_path / "no" / "a.json")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tr.Rack([]).save(tmp_path)


def test_arrays_stand_beside_it_by_hash(tmp_path):
    rack = tr.Rack([tr.Gain()])
    rack.arrays = {"history": np.arange(6, dtype=np.float32).reshape(2, 3)}
    rack.provenance = {"made_by": "a test"}
    rack.save(tmp_path / "a.rack.json")
    again = tr.load(tmp_path / "a.rack.json")
    assert np.array_equal(again.arrays["history"], rack.arrays["history"])
    assert again.provenance == rack.provenance
    (file,) = tmp_path.glob("a.*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match="sha256 does not fit"):
        tr.load(tmp_path / "a.rack.json")


def test_an_older_major_version_migrates(saved, monkeypatch):
    _, path = saved
    damaged(path, lambda d: (effect(d).update(version="0.9.0"), effect(d).update(values={"old_gain": 2})))
    module = types.ModuleType("twinrack.plugins.parametric_eq.migrate")
    module.migrate = lambda values, version: {"band1.type": "bell", "band1.gain_db": 3.0 * values["old_gain"]}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert tr.load(path).get("parametric_eq.band1.gain_db") == 6.0


def test_an_older_patch_format_migrates(saved, monkeypatch):
    rack, path = saved
    monkeypatch.setattr(patch, "VERSION", 2)
    monkeypatch.setitem(patch.MIGRATIONS, 1, lambda d: {**d, "version": 2, "name": "migrated"})
    assert tr.load(path).name == "migrated"
    assert tr.load(path) == rack


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    rack, path = saved
    before = path.read_text()
    rack.provenance = {"made_by": float("nan")}
    rack.arrays = {"a": np.zeros(3)}
    with pytest.raises(ValueError, match="JSON"):
        rack.save(path)
    assert path.read_text() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_file(saved):
    """A real limit on file size, in a process of its own."""
    _, path = saved
    before = path.read_text()
    code = (
        "import resource, signal, sys, twinrack as tr; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "rack = tr.load(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); rack.save(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "largest file allowed" in done.stderr.splitlines()[-1]
    assert path.read_text() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(saved):
    rack, path = saved
    path.parent.chmod(0o500)
    try:
        with pytest.raises(OSError, match="may not be written to"):
            rack.save(path)
    finally:
        path.parent.chmod(0o700)


def test_the_schema_is_json():
    assert patch.schema()["required"] == ["format", "rack"]  # a patch written by hand needs no more


def test_without_its_history_a_patch_still_plays(saved):
    rack, path = saved
    damaged(path, lambda d: d.update(arrays={"file": "gone.safetensors", "sha256": "0" * 64}))
    with pytest.warns(UserWarning, match="gone.safetensors beside it.*only holds the history"):
        assert tr.load(path) == rack


def test_an_impulse_response_is_saved_with_the_patch(tmp_path):
    response = decaying_noise(0.1, 4, 44100)
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=response, name="hall"), tr.ConvolutionReverb()])
    rack.save(tmp_path / "hall.rack.json")
    loaded = tr.load(tmp_path / "hall.rack.json")
    assert loaded == rack
    assert loaded["hall"].impulse_response == response
    assert loaded["convolution_reverb"].impulse_response is None
    damaged(tmp_path / "hall.rack.json", lambda d: d["rack"][0]["resources"]["impulse_response"].update(array="other"))
    with pytest.raises(ValueError, match=r"rack\[0\]: resources.impulse_response: there is no array 'other'"):
        tr.load(tmp_path / "hall.rack.json")
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match="copy both together"):
        tr.load(tmp_path / "hall.rack.json")
