"""Where sessions could lose sound, overwrite something or answer with a traceback: each was found once by a reader."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE
from support import music
from twinrack.measure.loudness import LoudnessMeter, loudness
from twinrack.session import manifest, output
from twinrack.session.freeze import freeze


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return 0.1 * music(2, int(seconds * RATE), RATE, seed)


def one(clip: tr.Clip | None = None, **more) -> tr.Session:
    session = tr.Session("one", RATE)
    session.add_track("k", clips=[clip or tr.Clip(sound(1.0))], **more)
    return session


def test_nothing_is_written_over_what_is_played(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "k.wav", sound(1.0).T, RATE)
    before = (tmp_path / "audio" / "k.wav").read_bytes()
    session = one(tr.Clip(tmp_path / "audio" / "k.wav"))
    with pytest.raises(ValueError, match=r"k\.wav is a recording of the session itself"):
        session.render_to(tmp_path / "m.wav", stems=tmp_path / "audio")
    assert (tmp_path / "audio" / "k.wav").read_bytes() == before
    session.rename("k", "mix")
    with pytest.raises(ValueError, match=r"two results would be written to .*mix\.wav"):
        session.render_to(tmp_path / "mix.wav", stems=tmp_path)
    assert not (tmp_path / "mix.wav").exists()


def test_texts_are_saved_as_they_are(tmp_path):
    soundfile.write(tmp_path / "take [ 1,   2 ].wav", sound(0.2).T, RATE)
    session = one(tr.Clip(tmp_path / "take [ 1,   2 ].wav", name='"[ 3,  4 ]"'))
    session.metadata["comment"] = "see [ 1,   2 ]"
    session.automate("k.gain_db", [(0, -3), (0.1, 0, "smooth")])
    session.save(tmp_path / "x.session.json")
    loaded = tr.Session.load(tmp_path / "x.session.json")
    assert loaded.metadata == session.metadata
    assert loaded["k"].clips[0].name == '"[ 3,  4 ]"'
    assert '[0.1, 0, "smooth"]' in (tmp_path / "x.session.json").read_text(encoding="utf-8")


def test_a_session_ends_where_it_says():
    session = one(tr.Clip(sound(3.0)), rack=[tr.FDNReverb(mix=0.5, decay_s=0.3)])
    session.end = 1.0
    assert session.render().shape[1] == RATE
    y = session.render(tail="auto")
    assert RATE < y.shape[1] < 2 * RATE  # what rings on is kept, what would be played is not
    longer = session.render(tail=2.5)
    assert np.max(np.abs(longer[:, 3 * RATE :])) < 1e-4


def test_delays_count_and_unheard_channels_do_not():
    session = one(delay="3 s")
    y = session.render()
    assert y.shape[1] == 4 * RATE
    assert np.max(np.abs(y[:, 3 * RATE :])) > 0.01
    session = one()
    session.add_track("long", clips=[tr.Clip(sound(5.0))], output=None)
    assert session.render().shape[1] == RATE


def test_frozen_channels_notice_what_matters_and_nothing_else(tmp_path):
    session = one(rack=[tr.Compressor()])
    session.add_track("vox", clips=[tr.Clip(sound(1.0, 2))])
    session["k"].send("vox", -6)
    session.automate("k.sends.vox.gain_db", [(0, -6), (0.5, -3)])
    freeze(session, "k", tmp_path)
    freeze(session, "vox", tmp_path)
    session["vox"].solo = True
    session.render()
    session.rename("vox", "voice")
    session.render()
    session.end = 0.5
    with pytest.raises(ValueError, match="was changed since it was frozen"):
        session.render()
    alone = one(rack=[tr.Gain()])
    alone.add_track("other", clips=[tr.Clip(sound(1.0, 3))], solo=True)
    assert np.max(np.abs(soundfile.read(freeze(alone, "k", tmp_path))[0])) > 0.01  # solo or not


def test_python_effects_are_never_taken_for_known(tmp_path):
    for gain in (0.5, 0.1):
        effect = tr.PythonEffect(lambda x, rate, gain=gain: x * np.float32(gain))
        session = one(rack=[effect])
        made = session.render_to(tmp_path / "m.wav", cache=tmp_path / "c", bits=32, tail=None)
        assert made.reused == []
        y = soundfile.read(tmp_path / "m.wav")[0]
        assert np.max(np.abs(y)) == pytest.approx(gain * np.max(np.abs(sound(1.0))), rel=0.05)
        with pytest.raises(ValueError, match="bounce it instead"):
            freeze(session, "k", tmp_path)
        made = session.render_to(tmp_path / "m.wav", checkpoint=True)
        assert "k has a Python effect" in made.notes[0]


def test_channels_that_sound_alike_share_a_place_in_the_cache(tmp_path):
    session = one(tr.Clip(sound(1.0)), rack=[tr.Compressor()])
    session.add_track("again", clips=session["k"].clips, rack=[tr.Compressor()], pan=0.4)
    session.add_track("unheard", clips=[tr.Clip(sound(1.0, 5))], rack=[tr.Compressor()], output=None)
    session.render_to(tmp_path / "a.wav", cache=tmp_path / "c", bits=32)
    assert len(list((tmp_path / "c").iterdir())) == 1
    made = session.render_to(tmp_path / "b.wav", cache=tmp_path / "c", bits=32)
    assert sorted(made.reused) == ["again", "k"]
    assert np.array_equal(soundfile.read(tmp_path / "a.wav")[0], soundfile.read(tmp_path / "b.wav")[0])
    for _ in range(10):  # whatever the threads' timing
        assert sorted(session.render_to(tmp_path / "b.wav", cache=tmp_path / "c", bits=32).reused) == ["again", "k"]


def crash_at(seconds: float):
    def crash(done: float, total: float) -> None:
        if done > seconds:
            raise MemoryError("a crash")

    return crash


def test_going_on_with_a_cache_another_tempo_or_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "CHECK_S", 0.2)
    session = one(tr.Clip(sound(3.0)), rack=[tr.Compressor()])
    wanted = session.render(tail="auto")
    settings = {"step": 1000, "bits": 32}
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, cache=tmp_path / "c", progress=crash_at(1.5), **settings)
    made = session.render_to(tmp_path / "a.wav", resume=True, cache=tmp_path / "c", **settings)
    assert made.continued_s > 0
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T, wanted)
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, start="1 beats", progress=crash_at(1.5), **settings)
    session.tempo = (tr.Tempo(0, 60),)
    made = session.render_to(tmp_path / "a.wav", resume=True, start="1 beats", **settings)
    assert made.continued_s == 0
    assert soundfile.info(tmp_path / "a.wav").frames == wanted.shape[1] - RATE
    with pytest.raises(MemoryError):
        session.render_to(tmp_path / "a.wav", checkpoint=True, progress=crash_at(1.5), **settings)
    (tmp_path / ".a.wav.rendering" / "state.npz").write_bytes(b"PK\x03\x04" + bytes(200))
    made = session.render_to(tmp_path / "a.wav", resume=True, **settings)
    assert made.continued_s == 0


def test_the_manifest_sees_stems_and_recordings_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", sound(0.5, ord(name)).T, RATE)
    session = one(tr.Clip(tmp_path / "a" / "x.wav"))
    session.add_track("j", clips=[tr.Clip(tmp_path / "b" / "x.wav")])
    made = session.render_to(tmp_path / "m.wav", stems=tmp_path / "stems")
    assert len(json.loads(made.manifest.read_text())["recordings"]) == 2
    assert manifest.verify(made.manifest) == []
    made.stems["k"].unlink()
    assert manifest.verify(made.manifest) == ["stems/k.wav is not there"]
    made.manifest.write_text('{"format": "twinrack.manifest", "version": 1}')
    with pytest.raises(ValueError, match="files is missing or broken"):
        manifest.verify(made.manifest)


def test_what_only_a_sidechain_hears_goes_on_in_solo():
    session = tr.Session("solo", RATE)
    session.add_group("drums")
    session.add_track("kick", clips=[tr.Clip(np.full((2, 9600), 0.5, np.float32))], output="drums")
    ducked = tr.Compressor(threshold_db=-40, ratio=20, attack_ms=1, key="drums")
    session.add_track("bass", clips=[tr.Clip(np.full((2, 9600), 0.3, np.float32))], rack=[ducked], solo=True)
    y = session.render()
    assert abs(y[0, -1]) < 0.1


def test_automation_behind_a_latency_is_in_time():
    session = one(tr.Clip(np.ones((2, 9600), np.float32) * 0.1), rack=[tr.Limiter(lookahead_ms=5), tr.Gain(gain_db=0)])
    session.automate("k.gain.gain_db", [(0, 0, "hold"), ("4800 frames", -100, "hold")])
    y = session.render()[0]
    fallen = int(np.argmax(y < 0.05))
    assert 4800 <= fallen <= 4832
    twin = session.twin()
    import torch

    with torch.no_grad():
        z = twin({n: torch.from_numpy(x)[None] for n, x in twin.sources().items()})[0].numpy()
    assert np.max(np.abs(z[0] - y)) < 1e-5


def test_stems_hold_all_that_goes_to_the_master():
    session = one()
    session["k"].send("master", -6)
    session["k"].output = None
    session.add_track("both", clips=[tr.Clip(sound(1.0, 4))]).send("master", -12, pan=0.5)
    session.master.clips = [tr.Clip(sound(0.5, 6))]
    y, stems = session.render(), session.stems()
    assert sorted(stems) == ["both", "k", "master"]
    assert np.max(np.abs(sum(stems.values()) - y)) < 1e-6


def test_thousands_of_clips_cost_as_much_as_they_sound(tmp_path):
    soundfile.write(tmp_path / "x.wav", sound(1.0).T, RATE, subtype="PCM_16")
    took = []
    for count in (300, 2400):
        session = tr.Session("clips", RATE)
        session.add_track("k", clips=[tr.Clip(tmp_path / "x.wav", start=0.1 * i, duration=0.1) for i in range(count)])
        began = time.process_time()
        assert session.render(threads=1).shape[1] == count * RATE // 10
        took.append(time.process_time() - began)
    assert took[1] < 30 * took[0] + 1.0  # quadratic would be 64 times


@pytest.mark.parametrize(
    ("do", "match"),
    [
        (lambda p: one().render(step=0), "step must be an integer of at least 1, got 0"),
        (lambda p: one().render(step=1.5), "step must be an integer of at least 1, got 1.5"),
        (lambda p: one().render(threads=0), "threads must be an integer of at least 1, got 0"),
        (lambda p: tr.Clip(sound(0.1), gain_db="3"), "gain_db = '3'"),
        (lambda p: tr.Session(tempo=[(0, "120")]), "give numbers"),
        (lambda p: tr.Session(tempo=[120]), "120 is no point of a tempo map"),
        (
            lambda p: tr.Session(tempo=[(0, 60, "step"), (8, 120)]),
            "ramp of the tempo's point at beat 0 is 'step'; give True or",
        ),
        (lambda p: tr.Session(sample_rate="48k"), "sample_rate must be a number in Hz, such as 48000, got '48k'"),
        (lambda p: one().render_to(p / "x.wav", normalize_lufs="-14LUFS"), "normalize_lufs must be a number, got '-14LUFS'"),
        (lambda p: one().render(start=0.8, end=0.5), "ends at 0.500 s, before it begins at 0.800 s"),
        (lambda p: one().render(start=9, end=10), "nothing is left from 9.000 s on; the session lasts from 0 to 1.000 s"),
        (lambda p: one().automate("k.gain_db", [(0, 300)]), "above 24"),
        (lambda p: tr.Session(metadata={"tracknumber": 3}), "metadata tracknumber must be text, got 3"),
        (lambda p: tr.Session(metadata={"mood": "blue"}), "metadata 'mood' has no place"),
        (lambda p: tr.Channel("k", kind="bogus"), "kind = 'bogus' is none of"),
        (lambda p: one(tr.Clip(sound(0.1), start="0 beats"))["k"].crossfade(), "crossfade needs seconds"),
        (lambda p: one().save(p / "nope" / "x.session.json", collect=True), "there is no folder"),
        (lambda p: tr.Session("x", end=-1).render(), "end is -1; it must come after"),
        (lambda p: one(tr.Clip(sound(0.1), offset=9)).render(), "channel 'k': offset of clip"),
        (lambda p: one().render_to(p / "x.wav", checkpoint=True, bits=12), "12 bits cannot be written"),
        (lambda p: one().render_to(p / "x.mp3", sample_rate=11111, normalize_lufs=-20), "MP3 cannot hold 2 channels"),
    ],
)
def test_one_sentence_before_anything_is_done(tmp_path, do, match):
    with pytest.raises((ValueError, OSError), match=match) as caught:
        do(tmp_path)
    assert "\n" not in str(caught.value)
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_typing_errors_are_not_swallowed():
    session = one(rack=tr.Compressor(key="drums"))
    with pytest.raises(AttributeError, match="a Channel has no attribute 'gian_db'; did you mean 'gain_db'"):
        session["k"].gian_db = -60
    with pytest.raises(AttributeError, match="a Session has no attribute 'tmepo'; did you mean 'tempo'"):
        session.tmepo = 90
    session.add_group("drums")
    session["k"].keys = {"drums": "drums"}
    assert session.listens_to(session["k"]) == {"drums": ("drums", "post")}
    session["k"].keys = {"drums": ("drums", "after")}
    with pytest.raises(ValueError, match="sidechain 'drums' of k listens 'after'; post or pre is possible"):
        session.render()


def test_single_things_need_no_list(tmp_path):
    soundfile.write(tmp_path / "x.wav", sound(0.2).T, RATE)
    session = tr.Session("x", RATE, tempo=96)
    session.add_track("a", clips=tmp_path / "x.wav", rack=tr.Gain(gain_db=-6))
    session.add_track("b", clips=tr.Clip(tmp_path / "x.wav"))
    session.add_track("c", clips=[str(tmp_path / "x.wav")])
    assert session.tempo == (tr.Tempo(0, 96),)
    assert session.render().shape[1] == round(0.2 * RATE)


def test_small_things(tmp_path):
    with pytest.raises(AttributeError):
        one()["k"].name = "q"
    LoudnessMeter(RATE, 2).process(np.zeros((2, 0), np.float32))
    assert loudness(np.zeros((2, 0)), RATE).integrated == -np.inf
    made = one(tr.Clip(sound(0.2))).render_to(tmp_path / "x.wav", normalize_lufs=np.float32(-20))
    assert "shorter than the 0.4 s" in made.notes[0]
    session = one()
    for _ in range(3):
        session.save(tmp_path / "x.session.json", collect=True)
    assert len(list((tmp_path / "x.media").iterdir())) == 1
    data = json.loads((tmp_path / "x.session.json").read_text())
    data["channels"][0]["sends"] = [{"to": "master"}, {"to": "master"}]
    (tmp_path / "y.session.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="there are two sends to 'master'"):
        tr.Session.load(tmp_path / "y.session.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Path(one().render_to(tmp_path / "z.wav").paths[0]).exists()
