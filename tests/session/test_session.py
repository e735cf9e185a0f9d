"""Sessions: the fast mixer equals a slow, obvious one, whatever the graph, the threads and the steps; nothing is ever late."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import soundfile

import twinrack as tr
from session_support import RATE, one_track, random_session, slow_mix, sound
from support import error_db, music
from twinrack.session.clip import Clip
from twinrack.session.session import Session

GRAPHS = int(os.environ.get("TWINRACK_SESSION_GRAPHS", "100"))


def peak_error_db(y: np.ndarray, wanted: np.ndarray, least: float = 1e-3) -> float:
    """Of the largest difference, against the peak, or `least`: where filters or opposite polarity leave next to nothing, the
    rounding of what they took away stays (the quietest of these mixes peaks at -130 dBFS, its channels at -12)."""
    return 20 * np.log10(np.max(np.abs(y - wanted)) / max(np.max(np.abs(wanted)), least) + 1e-15)


def test_equal_to_a_slow_mixer():
    errors = []
    for seed in range(GRAPHS):
        session = random_session(seed)
        y = session.render(threads=1 + seed % 3)
        wanted = slow_mix(session, y.shape[1])
        errors.append(peak_error_db(y, wanted))
    print(f"\n{GRAPHS} random sessions: worst {max(errors):.1f} dB, half below {np.median(errors):.1f} dB")
    assert np.median(errors) < -120
    assert max(errors) < -80, f"session {int(np.argmax(errors))}"  # steep filters that move make rounding larger


def test_threads_and_steps_change_nothing():
    """Bit for bit: any number of threads, any size of a step, with the tail."""
    for seed in range(GRAPHS // 3):
        rng = np.random.default_rng(seed)
        session = random_session(seed)
        tail = "auto" if seed % 2 else None
        y = session.render(threads=1, step=32768, tail=tail)
        for threads, step in ((2, int(rng.integers(100, 3000))), (5, int(rng.integers(3000, 60000)))):
            assert np.array_equal(session.render(threads=threads, step=step, tail=tail), y), (seed, threads, step)


def test_order_of_channels_changes_nothing_but_rounding():
    errors = []
    for seed in range(GRAPHS // 5):
        session = random_session(seed, effects=("gain", "parametric_eq", "fdn_reverb"))
        other = session.copy()
        names = list(other._channels)
        np.random.default_rng(seed).shuffle(names)
        other._channels = {name: other._channels[name] for name in names}
        errors.append(peak_error_db(other.render(), session.render(), 1e-2))
    assert np.median(errors) < -120
    assert max(errors) < -95  # steep filters make rounding larger


def test_a_stretch_is_cut_out_of_the_whole():
    session = random_session(3)
    y = session.render()
    for start, end in ((0.1, 0.3), (0.0, 0.05), (0.25, None)):
        a = round(start * RATE)
        b = y.shape[1] if end is None else round(end * RATE)
        assert np.array_equal(session.render(start=start, end=end), y[:, a:b])


def late(rng: np.random.Generator) -> list[tr.Effect]:
    """Effects that hold the sound back and otherwise leave it as it is."""
    made = [
        lambda: tr.Limiter(ceiling_db=0.0, lookahead_ms=float(rng.uniform(1, 9))),
        lambda: tr.Compressor(threshold_db=0.0, ratio=1.0, lookahead_ms=float(rng.uniform(0, 9))),
        lambda: tr.Gate(range_db=0.0, lookahead_ms=float(rng.uniform(0, 9))),
    ]
    return [made[int(rng.integers(3))]() for _ in range(int(rng.integers(0, 4)))]


def test_paths_that_should_cancel_do():
    """One sound on many ways, through groups, sends before and after faders, with whatever latency: the sum is silence."""
    worst = -300.0
    for seed in range(GRAPHS):
        rng = np.random.default_rng(seed)
        x = 0.2 * music(2, 9600, RATE, seed)
        session = Session("null", RATE)
        session.add_group("a", rack=late(rng), output="master")
        session.add_group("b", rack=late(rng), output="a")
        session.add_return("c", rack=late(rng), output=str(rng.choice(["a", "b", "master"])), polarity="invert")
        one = session.add_track("one", clips=[Clip(x)], rack=late(rng), output=str(rng.choice(["a", "b", "master"])))
        two = session.add_track("two", clips=[Clip(x)], rack=late(rng), output=None)
        two.send("c", 0.0, tap=str(rng.choice(["pre", "post"])))
        session.master.rack = tr.Rack(late(rng))
        assert one.output
        y = session.render(tail=0.1)
        two.sends.clear()
        alone = session.render(tail=0.1)
        assert np.max(np.abs(alone)) > 0.01, seed  # otherwise silence proves nothing
        worst = max(worst, 20 * np.log10(np.max(np.abs(y)) / np.max(np.abs(alone)) + 1e-15))
    print(f"\nworst of {GRAPHS} null tests: {worst:.1f} dB")
    assert worst < -120


def test_a_sidechain_is_in_time():
    """A gate that a click opens passes the click's own moment, however late both ways are."""
    x = np.zeros((2, 9600), np.float32)
    x[:, 5000:5003] = 0.5
    tone = np.full((2, 9600), 0.1, np.float32)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gate = tr.Gate(threshold_db=-20, range_db=60, attack_ms=0.05, hold_ms=0, release_ms=1, lookahead_ms=0, key="click")
        session = Session("gate", RATE)
        session.add_track("click", clips=[Clip(x)], rack=late(rng), output=None)
        session.add_track("tone", clips=[Clip(tone)], rack=[*late(rng), gate, *late(rng)])
        y = session.render()
        heard = int(np.argmax(np.max(np.abs(y), axis=0) > 0.01))
        assert 5000 <= heard <= 5003, (seed, heard)


def test_solo_mute_and_what_stays_open():
    x = np.ones((2, 4800), np.float32)
    session = Session("solo", RATE)
    session.add_group("band")
    session.add_return("room")
    for i, name in enumerate(("a", "b", "c")):
        session.add_track(name, clips=[Clip(x * 2.0**i)], output="band" if name != "c" else "master")
    session["a"].send("room", 0.0)
    session["b"].send("room", 0.0)

    def level(*soloed: str) -> float:
        for channel in session:
            channel.solo = channel.name in soloed
        return float(session.render()[0, 4000])

    assert level() == 1 + 2 + 4 + 3
    assert level("a") == 1 + 1  # itself and what it sends
    assert level("c") == 4
    assert level("band") == 1 + 2 + 3  # its members, and what they send
    assert level("room") == 3  # what is sent there, and nothing else
    assert level("a", "c") == 1 + 1 + 4
    session["a"].mute = True
    assert level() == 2 + 4 + 2
    session["b"].send_to("room").tap = "pre"
    session["b"].mute = True
    assert level() == 4 + 2  # before the fader it still sends


def test_circles_are_refused_with_their_path():
    session = Session("circle", RATE)
    for name in "abc":
        session.add_group(name)
    session.add_track("t", clips=[Clip(np.ones((2, 100), np.float32))], output="a")
    session["a"].output, session["b"].output = "b", "c"
    session["c"].send("a")
    with pytest.raises(ValueError, match="circle: a → b → c → a"):
        session.render()
    session["c"].sends.clear()
    session["a"].rack = tr.Rack([tr.Compressor(key="c")])
    with pytest.raises(ValueError, match="circle: a → b → c → a"):
        session.render()
    session["a"].rack = tr.Rack()
    session["b"].output = "b"
    with pytest.raises(ValueError, match="circle: b → b"):
        session.render()
    session["b"].output = "drums"
    with pytest.raises(ValueError, match="output of b has no channel 'drums'"):
        session.render()


def test_five_hundred_tracks_and_many_clips():
    rng = np.random.default_rng(0)
    x = (0.01 * rng.standard_normal((1, 4800))).astype(np.float32)
    session = Session("many", RATE)
    session.add_group("sum", gain_db=-6)
    for i in range(500):
        clips = [Clip(x, start=f"{4800 * n + i} frames") for n in range(4)]
        session.add_track(f"track {i}", clips=clips, output="sum" if i % 2 else "master", pan=(i % 9 - 4) / 4)
    y = session.render()
    assert y.shape == (2, 4 * 4800 + 499)
    wanted = np.zeros((2, y.shape[1]))
    for i in range(500):
        gain = 10 ** (-6 / 20) if i % 2 else 1.0
        pan = (i % 9 - 4) / 4
        whole = np.tile(x[0].astype(np.float64), 4) * gain
        wanted[0, i : i + 19200] += whole * min(1, 1 - pan)
        wanted[1, i : i + 19200] += whole * min(1, 1 + pan)
    assert error_db(y, wanted) < -110


def test_tempo_places_clips_and_points():
    session = Session("tempo", RATE, tempo=[tr.Tempo(0, 120), tr.Tempo(4, 60, ramp=True), (8, 120)])
    timeline = session.timeline
    assert timeline.frames("4 beats") == 2 * RATE
    # from 60 to 120 over four beats: 4 · 60 · ln 2 / 60 seconds
    assert timeline.frames("8 beats") == round((2 + 4 * np.log(2)) * RATE)
    for beat in np.linspace(-2, 20, 50):
        assert abs(timeline.beat_of(timeline.seconds_of(beat)) - beat) < 1e-9
    assert timeline.frames("1:02.5") == 62.5 * RATE
    assert timeline.frames("250 ms") == RATE / 4
    session.add_track("a", clips=[Clip(np.ones((1, 100), np.float32), start="4 beats")])
    y = session.render()
    assert y.shape[1] == 2 * RATE + 100
    assert np.all(y[:, : 2 * RATE] == 0)
    assert np.all(y[:, 2 * RATE :] == 1)
    for wrong in ("four", "1:2:3:4", "nan", float("inf"), True, "5 bars"):
        with pytest.raises(ValueError, match="the time is"):
            timeline.frames(wrong)


def test_files_at_other_rates_and_formats(tmp_path):
    import soxr

    x = 0.3 * music(2, 44100, 44100, 5)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        path = tmp_path / name
        subtype = {"subtype": "FLOAT"} if name == "a.wav" else {"subtype": "PCM_24"} if name == "a.flac" else {}
        soundfile.write(path, x.T, 44100, **subtype)
        wanted = soxr.resample(soundfile.read(path, dtype="float32")[0], 44100, RATE, quality="VHQ").T
        session = Session("files", RATE)
        session.add_track("a", clips=[Clip(path)])
        y = session.render(threads=1, step=1000)
        assert np.array_equal(session.render(threads=2), y)
        n = min(y.shape[1], wanted.shape[1])
        assert error_db(y[:, :n], wanted[:, :n]) < -120, name
        session["a"].clips = [Clip(path, offset=0.25, reverse=True, duration=0.5)]
        z = session.render()
        assert np.array_equal(z, y[:, 12000:36000][:, ::-1])


@pytest.mark.parametrize(
    ("clip", "match"),
    [
        ({"offset": 1.0}, "offset of clip 'x' is 1.0, but the recording lasts only 0.100 s"),
        ({"duration": 1.0}, "duration of clip 'x' is 1.0, but .* lasts only 0.100 s"),
        ({"loop": True}, "is a loop without an end"),
        ({"loop": True, "duration": 1, "loop_length": 0}, "loop_length of clip 'x' is 0"),
        ({"fade_in": 0.06, "fade_out": 0.06}, "fades of clip 'x' are longer"),
        ({"duration": -1}, "cannot be below 0"),
        ({"channels": (2,)}, "asks for channel 2, but its recording has 2"),
        ({"gain_db": 999}, "gain_db = 999 of clip 'x'"),
        ({"fade_in_curve": "wavy"}, "fade curve 'wavy'"),
    ],
)
def test_clips_that_do_not_fit_are_refused(clip, match):
    def play() -> None:
        session = Session("wrong", RATE)
        session.add_track("a", clips=[Clip(np.ones((2, 4800), np.float32), name="x", **clip)])
        session.render()

    with pytest.raises(ValueError, match=match):
        play()


def test_addresses_and_wrong_names():
    session = Session("names", RATE)
    session.add_return("plate", rack=[tr.FDNReverb()])
    session.add_track("vocals", rack=[tr.Compressor()]).send("plate", -12)
    assert session.get("vocals.sends.plate.gain_db") == -12
    session.set("vocals.compressor.ratio", 3)
    session.set("vocals.pan", 0.5)
    assert (session["vocals"].rack["compressor"].ratio, session["vocals"].pan) == (3, 0.5)
    assert {"vocals.gain_db", "vocals.compressor.ratio", "vocals.sends.plate.pan", "plate.fdn_reverb.decay_s"} <= set(
        session.addresses()
    )
    session.rename("plate", "room")
    assert session.get("vocals.sends.room.gain_db") == -12
    session.remove("room")
    assert not session["vocals"].sends
    for address, match in (
        ("vocal.gain_db", "did you mean 'vocals'"),
        ("vocals.gain", "did you mean 'gain_db'"),
        ("vocals.compresor.ratio", "did you mean 'compressor'"),
        ("vocals.sends.plate.gain_db", "vocals.sends has no send 'plate'"),
    ):
        with pytest.raises(ValueError, match=match):
            session.get(address)
    with pytest.raises(ValueError, match="sets the latency"):
        session.automate("vocals.compressor.lookahead_ms", [(0, 1)])
    for name in ("", "a.b", "a/b", "x" * 101, "master"):
        with pytest.raises(ValueError, match="name"):
            session.add_track(name)
    with pytest.raises(ValueError, match="would hide"):
        session.add_track("x", rack=[tr.Gain(name="pan")])


def test_automation_that_cannot_be_is_refused():
    session = Session("auto", RATE)
    session.add_track("a", clips=[Clip(np.ones((2, 4800), np.float32))], rack=[tr.Compressor()])
    for address, points, match in (
        ("a.gain_db", [], "has no points"),
        ("a.gain_db", [(0, 99)], "above 24"),
        ("a.gain_db", [(1, 0), (0, -3)], "goes back in time"),
        ("a.gain_db", [(0, 0, "wavy")], "curve 'wavy'"),
        ("a.gain_db", [(0, -3, "exponential"), (1, 0)], "needs values above 0"),
        ("a.mute", [(0, True, "linear"), (1, False)], "can only hold"),
    ):
        session["a"].automation.clear()

        def play(address=address, points=points) -> None:
            session.automate(address, points)
            session.render()

        with pytest.raises(ValueError, match=match):
            play()
    session.automate("a.mute", [(0, 0), (0.05, 1)])
    assert [p.curve for p in session["a"].automation["mute"]] == ["hold", "hold"]


def test_a_session_ends_where_it_says():
    session = one_track(tr.Clip(sound(3.0)), rack=[tr.FDNReverb(mix=0.5, decay_s=0.3)])
    session.end = 1.0
    assert session.render().shape[1] == RATE
    y = session.render(tail="auto")
    assert RATE < y.shape[1] < 2 * RATE  # what rings on is kept, what would be played is not
    longer = session.render(tail=2.5)
    assert np.max(np.abs(longer[:, 3 * RATE :])) < 1e-4


def test_delays_count_and_unheard_channels_do_not():
    session = one_track(delay="3 s")
    y = session.render()
    assert y.shape[1] == 4 * RATE
    assert np.max(np.abs(y[:, 3 * RATE :])) > 0.01
    session = one_track()
    session.add_track("long", clips=[tr.Clip(sound(5.0))], output=None)
    assert session.render().shape[1] == RATE


def test_automation_behind_a_latency_is_in_time():
    session = one_track(tr.Clip(np.ones((2, 9600), np.float32) * 0.1), rack=[tr.Limiter(lookahead_ms=5), tr.Gain(gain_db=0)])
    session.automate("k.gain.gain_db", [(0, 0, "hold"), ("4800 frames", -100, "hold")])
    y = session.render()[0]
    fallen = int(np.argmax(y < 0.05))
    assert 4800 <= fallen <= 4832
    twin = session.twin()
    import torch

    with torch.no_grad():
        z = twin({n: torch.from_numpy(x)[None] for n, x in twin.sources().items()})[0].numpy()
    assert np.max(np.abs(z[0] - y)) < 1e-5


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
        (lambda p: one_track().render(step=0), "step must be an integer of at least 1, got 0"),
        (lambda p: one_track().render(step=1.5), "step must be an integer of at least 1, got 1.5"),
        (lambda p: one_track().render(threads=0), "threads must be an integer of at least 1, got 0"),
        (lambda p: tr.Clip(sound(0.1), gain_db="3"), "gain_db = '3'"),
        (lambda p: tr.Session(tempo=[(0, "120")]), "give numbers"),
        (lambda p: tr.Session(tempo=[120]), "120 is not a point of a tempo map"),
        (
            lambda p: tr.Session(tempo=[(0, 60, "step"), (8, 120)]),
            "ramp of the tempo's point at beat 0 is 'step'; give True or",
        ),
        (lambda p: tr.Session(sample_rate="48k"), "sample_rate must be a number in Hz, such as 48000, got '48k'"),
        (
            lambda p: one_track().render_to(p / "x.wav", normalize_lufs="-14LUFS"),
            "normalize_lufs must be a number, got '-14LUFS'",
        ),
        (lambda p: one_track().render(start=0.8, end=0.5), "ends at 0.500 s, before it begins at 0.800 s"),
        (lambda p: one_track().render(start=9, end=10), "nothing is left from 9.000 s on; the session lasts from 0 to 1.000 s"),
        (lambda p: one_track().automate("k.gain_db", [(0, 300)]), "above 24"),
        (lambda p: tr.Session(metadata={"tracknumber": 3}), "metadata tracknumber must be text, got 3"),
        (lambda p: tr.Session(metadata={"mood": "blue"}), "metadata 'mood' has no place"),
        (lambda p: tr.Channel("k", kind="bogus"), "kind = 'bogus' is none of"),
        (lambda p: one_track(tr.Clip(sound(0.1), start="0 beats"))["k"].crossfade(), "crossfade needs seconds"),
        (lambda p: one_track().save(p / "nope" / "x.session.json", collect=True), "there is no folder"),
        (lambda p: tr.Session("x", end=-1).render(), "end is -1; it must come after"),
        (lambda p: one_track(tr.Clip(sound(0.1), offset=9)).render(), "channel 'k': offset of clip"),
        (lambda p: one_track().render_to(p / "x.wav", checkpoint=True, bits=12), "12 bits cannot be written"),
        (lambda p: one_track().render_to(p / "x.mp3", sample_rate=11111, normalize_lufs=-20), "MP3 cannot hold 2 channels"),
    ],
)
def test_one_sentence_before_anything_is_done(tmp_path, do, match):
    with pytest.raises((ValueError, OSError), match=match) as caught:
        do(tmp_path)
    assert "\n" not in str(caught.value)
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_misspelt_attributes_are_refused():
    session = one_track(rack=tr.Compressor(key="drums"))
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


def test_only_its_session_renames_a_channel():
    with pytest.raises(AttributeError):
        one_track()["k"].name = "q"
