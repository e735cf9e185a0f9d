"""Patches and sessions as a person writes them: what may be left out, and one sentence for each thing that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import twinrack as tr
from twinrack.cli.app import main
from twinrack.system import interrupt

RATE = 48000
RAW = r"Field required|Input should|Extra inputs|valid (string|number|dictionary)|type=|pydantic"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "song").mkdir()
    (tmp_path / "elsewhere").mkdir()
    x = (0.1 * np.random.default_rng(0).standard_normal((RATE, 2))).astype(np.float32)
    for place in ("song/voice.wav", "elsewhere/music.wav"):
        soundfile.write(tmp_path / place, x, RATE, subtype="FLOAT")
    return tmp_path


def written(folder: Path, data: Any, name: str = "song/song.session.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def voice(**more: Any) -> dict[str, Any]:
    return {"name": "voice", "clips": [{"file": "voice.wav"}], **more}


def session(*channels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "twinrack.session", "channels": list(channels), **more}


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["twinrack", *map(str, words)])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        interrupt.uninstall()
    out = capsys.readouterr()
    return code, out.out + out.err


def test_a_short_patch(folder: Path):
    path = written(
        folder, {"format": "twinrack.rack", "rack": [{"effect": "compressor", "values": {"ratio": 4}}]}, "a.rack.json"
    )
    rack = tr.load(path)
    assert rack == tr.Rack(tr.Compressor(ratio=4))
    assert rack.name == "a"
    rack.save(folder / "b.rack.json")
    assert json.loads((folder / "b.rack.json").read_text())["rack"][0]["version"] == tr.CARDS["compressor"].version


@pytest.mark.parametrize(
    "rack",
    [
        [{"effect": "gain", "values": {"gain_db": -6}}],
        {"effect": "gain", "values": {"gain_db": -6}},
        {"rack": [{"effect": "gain", "values": {"gain_db": -6}}]},
        {"chain": [{"effect": "gain", "values": {"gain_db": -6}}]},
        {"format": "twinrack.rack", "version": 1, "name": "x", "rack": [{"effect": "gain", "values": {"gain_db": -6}}]},
    ],
)
def test_every_way_to_write_a_rack(folder: Path, rack: Any):
    path = written(folder, session(voice(rack=rack), {"name": "master", "rack": [{"effect": "limiter"}]}))
    made = tr.Session.load(path)
    assert made["voice"].rack.get("gain.gain_db") == -6
    assert made.master.output is None
    assert made.master.kind == "master"
    assert made.name == "song"
    assert made.render().shape == (2, RATE)
    made.save(folder / "song/again.session.json")
    assert tr.Session.load(folder / "song/again.session.json") == made


def test_other_folders_are_allowed_by_name(folder: Path):
    """`../x` and absolute paths are refused with the option that allows them, and allowed by it."""
    inside = folder / "song" / "voice.wav"
    for name in ("../elsewhere/music.wav", str(folder / "elsewhere" / "music.wav"), "sub/../../elsewhere/music.wav"):
        path = written(folder, session({"name": "music", "clips": [{"file": name}]}))
        with pytest.raises(ValueError, match=r"leaves the session's folder; .*--media .*elsewhere"):
            tr.Session.load(path)
        made = tr.Session.load(path, media=[folder / "elsewhere"])
        assert made.render().shape == (2, RATE)
        with pytest.raises(ValueError, match="leaves the session's folder"):
            tr.Session.load(path, media=[folder / "song"])
    for name in (str(inside), "../song/voice.wav"):
        assert tr.Session.load(written(folder, session({"name": "v", "clips": [{"file": name}]}))).render().shape == (2, RATE)
    (folder / "elsewhere" / "link.wav").symlink_to("/etc/hostname")
    path = written(folder, session({"name": "v", "clips": [{"file": "../elsewhere/link.wav"}]}))
    with pytest.raises(ValueError, match="leaves the session's folder"):
        tr.Session.load(path, media=[folder / "elsewhere"])
    path = written(folder, session({"name": "v", "clips": [{"file": "../elsewhere/gone.wav"}]}))
    with pytest.raises(FileNotFoundError, match=r"not there: \.\./elsewhere/gone\.wav"):
        tr.Session.load(path, media=[folder / "elsewhere"])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (session(voice(gian_db=3)), "channels[0].gian_db is not known here; did you mean 'gain_db'?"),
        (session(voice(gain_db="3")), 'channels[0].gain_db is "3"; a number was expected'),
        (session({"clips": []}), "channels[0].name is missing"),
        (session(voice(mute="yes")), 'channels[0].mute is "yes"; true or false was expected'),
        (session(voice(kind="bus")), "channels[0].kind is \"bus\"; 'track', 'group', 'return' or 'master' was expected"),
        (session(voice(delay=[1])), "channels[0].delay is [1]; a number or text was expected"),
        (session(voice(rack=7)), "channels[0].rack is 7; an object {…} or text or a list […] was expected"),
        (session(voice(rack=[7])), "channels[0] (voice): rack[0] is 7; an object {…} was expected"),
        (session(voice(rack=[{"effect": "multiband"}])), "it is a Bands of compressors"),
        (session(voice(rack=[{"effect": "compressor", "values": {"raito": 3}}])), "did you mean 'ratio'?"),
        (session(voice(rack=[{"effect": "compressor", "value": {}}])), "value is not known here; did you mean 'values'?"),
        (session(voice(rack=[{"values": {}}])), "rack[0].effect is missing"),
        (session(voice(rack=[{"effect": "gain", "version": "1"}])), 'version is "1"; a version such as 1.0.0 was expected'),
        (session(voice(automation={"gain_db": [[0]]})), "automation.gain_db[0] has too few entries; at least 2"),
        (session(voice(automation={"gain_db": [[0, None]]})), "is null; a number or text or true or false was expected"),
        (session(), "channels has too few entries; at least 1"),
        (session(voice(), sample_rate="48k"), 'sample_rate is "48k"; a number was expected'),
        (session(voice(), version="1"), "version is '1'"),
        (session(voice(), {"name": "master", "output": "voice"}), "leave its output out"),
        (session(voice(), {"name": "bus", "kind": "master"}), "the master is called 'master'"),
        ({"channels": []}, "its format is None"),
        (session(voice(sends=[{"gain_db": 1}])), "channels[0].sends[0].to is missing"),
        (session(voice(sends={"to": "x"})), 'channels[0].sends is {"to": "x"}; a list […] was expected'),
        (session(voice(clips=["voice.wav"])), 'channels[0].clips[0] is "voice.wav"; an object {…} was expected'),
    ],
)
def test_one_sentence_for_what_is_wrong(folder: Path, data: Any, sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        tr.Session.load(written(folder, data))
    assert not re.search(RAW, str(error.value))
    assert "\n" not in str(error.value)


def test_no_mutation_shows_the_words_of_the_library(folder: Path):
    """Every field of a whole session with values of every wrong kind."""
    whole = session(
        voice(
            rack=[{"effect": "compressor", "version": "1.0.0", "key": "k", "values": {"ratio": 3.0}},
                  {"parallel": [{"chain": []}]}],
            keys={"k": {"channel": "voice3"}}, sends=[{"to": "voice2"}], automation={"gain_db": [[0, -3.0]]}, delay=0.1,
        ),
        {"name": "voice2"}, {"name": "voice3"}, {"name": "master"},
        tempo=[{"beat": 0.0, "bpm": 100.0}], end=1.0, metadata={"title": "x"}, provenance={},
    )  # fmt: skip
    sentences: list[str] = []

    def places(item: Any) -> list[tuple[Any, Any]]:
        keys = list(item.items()) if isinstance(item, dict) else list(enumerate(item)) if isinstance(item, list) else []
        return [(item, k) for k, _ in keys] + [place for _, v in keys for place in places(v)]

    tr.Session.load(written(folder, whole))
    for index in range(len(places(whole))):
        for wrong in (None, True, 3, -1e9, "x", [], {}, [[]], {"a": 1}, "é\u0000"):
            data = json.loads(json.dumps(whole))
            owner, key = places(data)[index]
            owner[key] = wrong
            try:
                tr.Session.load(written(folder, data))
            except (ValueError, FileNotFoundError) as error:
                sentences.append(str(error))
    assert len(sentences) > 300
    assert not [s for s in sentences if re.search(RAW + "|something else", s) or "\n" in s]


@pytest.mark.parametrize("command", [("show", "x.mp3"), ("session", "report", "x.mp3"), ("session", "render", "x.mp3")])
def test_an_audio_file_is_no_session(folder: Path, monkeypatch, capsys, command: tuple[str, ...]):
    (folder / "x.mp3").write_bytes(b"\xff\xfb\x90\x00" * 100)
    code, words = run(monkeypatch, capsys, *command[:-1], folder / "x.mp3")
    assert code == 2
    assert "x.mp3 is an audio file" in words
    assert len(words.strip().splitlines()) == 1


def test_import_makes_the_folder(folder: Path, monkeypatch, capsys):
    path = folder / "new" / "deep" / "s.session.json"
    code, words = run(monkeypatch, capsys, "session", "import", folder / "elsewhere", path)
    assert code == 0, words
    assert tr.Session.load(path).render().shape == (2, RATE)
    code, words = run(
        monkeypatch, capsys, "session", "import", folder / "nothing.dawproject", folder / "other" / "s.session.json"
    )
    assert code == 2
    assert not (folder / "other").exists()


def test_a_folder_is_not_rendered_to_a_file(folder: Path, monkeypatch, capsys):
    rack = folder / "a.rack.json"
    tr.Rack(tr.Gain()).save(rack)
    for sources in ([folder / "song"], [folder / "song/voice.wav", folder / "elsewhere/music.wav"]):
        code, words = run(monkeypatch, capsys, "render", *sources, folder / "out.wav", "--rack", rack)
        assert code == 2
        assert "give a folder" in words
        assert not (folder / "out.wav").exists()
    assert run(monkeypatch, capsys, "render", folder / "song", folder / "out", "--rack", rack)[0] == 0


def test_hints_for_effects(monkeypatch, capsys):
    for name, words in (
        ("multiband", "it is a Bands of compressors"),
        ("reverb", "'fdn_reverb' or 'convolution_reverb'"),
        ("eq", "parametric_eq"),
    ):
        code, said = run(monkeypatch, capsys, "effects", name)
        assert code == 2
        assert words in said


def test_the_example_of_the_docs_plays(folder: Path):
    docs = Path(__file__).resolve().parents[2] / "docs" / "sessions.md"
    example = re.search(r"```json\n(.*?)```", docs.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    soundfile.write(folder / "song" / "music.wav", np.full((RATE, 2), 0.1), RATE)
    session = tr.Session.load(written(folder, json.loads(example[1])))
    assert session["music"].rack["compressor"].key == "voice"
    assert np.isfinite(session.render()).all()
