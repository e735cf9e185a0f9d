"""Other makers' plugins as effects of a rack: exact offline, dry where they fail in a live stream, kept in patches."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, Probe, jack_server, needs_jack
from plugin_support import GOOD, KEEPS_NAN, KEYED, LIES, LOUD_CRASHES, MDA, MOVES_LATENCY, ODD, RATE, needs_host
from support import blocks_of, music
from twinrack import _engine
from twinrack.hosting.child import PluginDiedError, PluginError
from twinrack.hosting.plugin import HostedPlugin

pytestmark = needs_host
DELAY, DYNAMICS, LIMITER = (f"{MDA}{name}" for name in ("Delay", "Dynamics", "Limiter"))


def plain(uri: str, x: np.ndarray, **values: float) -> np.ndarray:
    with HostedPlugin(uri, RATE, block_frames=4096, **values) as plugin:
        return plugin.process(x)


def test_its_card_says_what_it_declares(odd):
    odd(GOOD)
    effect = tr.Plugin("odd", gain=3)
    gain = effect.card.parameters[0]
    assert (effect.card.id, gain.id, gain.unit, gain.min, gain.max, gain.scale) == (
        "lv2_odd_gain",
        "gain",
        "dB",
        -20,
        20,
        "linear",
    )
    assert effect.gain == 3.0
    assert repr(effect) == f"Plugin({ODD!r}, gain=3)"
    assert repr(tr.Plugin("odd", block_frames=64)) == f"Plugin({ODD!r}, block_frames=64)"
    with pytest.raises(ValueError, match=r"lv2_odd_gain.gain = 21 is above 20 dB \(allowed: -20 to 20 dB\)"):
        effect.gain = 21
    with pytest.raises(TypeError, match="lv2_odd_gain has no parameter 'gian'; did you mean 'gain'"):
        tr.Plugin("odd", gian=3)
    with pytest.raises(PluginError, match="no plugin fits 'calf'"):
        tr.Plugin("calf")
    with pytest.raises(TypeError, match="give the address of a plugin"):
        tr.Plugin()
    with pytest.raises(ValueError, match="has no sidechain"):
        tr.Plugin("odd", key="voice")
    with pytest.raises(ValueError, match="block_frames = 100 is not a multiple of 32"):
        tr.Plugin("odd", block_frames=100)


@pytest.mark.parametrize("uri", [DELAY, DYNAMICS, LIMITER])
def test_in_a_rack_it_makes_the_same_bits_as_alone(uri):
    x = music(2, 30000, RATE, 4)
    rack = tr.Rack([tr.Plugin(uri)])
    y = rack(x, RATE)
    assert np.array_equal(y, plain(uri, x))
    assert not np.array_equal(y, x)
    assert np.array_equal(rack(x, RATE), y)


def test_a_stream_in_any_blocks_gives_the_same_sound():
    x = music(2, 20000, RATE, 5)
    expected = plain(DELAY, x, feedback=0.6)
    for size in (64, 1000, 4096):
        rack = tr.Rack([tr.Plugin(DELAY, feedback=0.6, block_frames=128), tr.Gain(gain_db=0)])
        rack.prepare(RATE, 2)
        assert rack.latency_frames == 2 * 128 + 32 == rack["lv2_mda_delay"].latency_frames
        y = np.concatenate([rack.process(np.ascontiguousarray(b)) for b in blocks_of(x, size)], 1)
        assert np.array_equal(y[:, rack.latency_frames :], expected[:, : -rack.latency_frames])


def test_a_synchronous_stream_is_one_block_late(tmp_path):
    x = music(2, 20000, RATE, 5)
    expected = plain(DELAY, x, feedback=0.6)
    for size in (17, 64, 1000):
        rack = tr.Rack([tr.Plugin(DELAY, feedback=0.6, block_frames=64, synchronous=True), tr.Gain(gain_db=0)])
        rack.prepare(RATE, 2)
        assert rack.latency_frames == 64 + 32 == rack["lv2_mda_delay"].latency_frames
        y = np.concatenate([rack.process(np.ascontiguousarray(b)) for b in blocks_of(x, size)], 1)
        assert np.array_equal(y[:, rack.latency_frames :], expected[:, : -rack.latency_frames])
    assert np.array_equal(rack(x, RATE), expected)
    effect = rack["lv2_mda_delay"]
    rack.save(tmp_path / "a.rack.json")
    for again in (tr.load(tmp_path / "a.rack.json")["lv2_mda_delay"], effect.copy(), pickle.loads(pickle.dumps(effect))):
        assert again == effect
    assert effect != tr.Plugin(DELAY, feedback=0.6, block_frames=64)
    assert "synchronous=True" in repr(effect)
    assert tr.Plugin(DELAY, synchronous=True).latency_frames == 64 + 32
    with pytest.raises(TypeError, match="synchronous = 1 is not True or False"):
        tr.Plugin(DELAY, synchronous=1)


def test_a_synchronous_plugin_plays_by_itself(odd, monkeypatch):
    odd(GOOD)
    monkeypatch.setattr("twinrack.hosting.effect.MOST_WAITED", 11.0)  # for nearly a second, so that any machine is in time
    effect = tr.Plugin("odd", gain=6.0206, block_frames=4096, synchronous=True)
    engine, works = tr.Rack([effect]).running.compile(RATE, 1, offline=False)
    works[0].run()
    x = music(1, 6 * 4096, RATE, 9)
    y = np.concatenate([engine.process(np.ascontiguousarray(b), []) for b in blocks_of(x, 4096)], 1)
    assert effect.late == 0
    np.testing.assert_allclose(y[:, 4096 + 32 :], 2 * x[:, : -4096 - 32], rtol=1e-4)
    works[0].stop()


def test_who_does_not_answer_is_not_waited_for_again():
    worker = _engine.WorkerEffect(1, 64, 1, wait_s=0.5)
    root, node = _engine.Node(), _engine.Node()
    node.kind, node.effect, node.worker = _engine.NodeKind.effect, "outside", worker
    root.kind, root.children = _engine.NodeKind.chain, [node]
    engine, x = _engine.Engine(root, RATE, 1), np.full((1, 64), 0.25, np.float32)
    worker.let_wait()
    began = time.monotonic()
    y = [engine.process(x, []) for _ in range(40)]
    assert time.monotonic() - began < 40 * 0.5 / 2  # it waited once
    assert worker.missed >= 38
    while (block := worker.fetch()) is not None:
        worker.deliver(2 * block)
    done = threading.Event()

    def answer() -> None:
        while not done.is_set():
            if (block := worker.fetch()) is not None:
                worker.deliver(2 * block)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        missed = worker.missed
        y += [engine.process(x, []) for _ in range(40)]
    finally:
        done.set()
        thread.join()
    assert worker.missed <= missed + 3
    sound = np.concatenate(y, 1)[0]
    assert (sound[1000], sound[-1]) == (0.25, 0.5)
    assert np.max(np.abs(np.diff(sound[200:]))) < 0.01  # with a fade


def test_values_move_at_their_ticks_and_branches_stay_in_step(odd):
    odd(GOOD)
    x = np.ones((1, 6400), np.float32)
    curve = np.linspace(-20, 20, 200).astype(np.float32)
    y = tr.Rack([tr.Plugin("odd", name="g")])(x, RATE, automation={"g.gain": curve})
    assert np.allclose(y[0], np.repeat(10 ** (curve / 20), 32), rtol=1e-5)
    both = tr.Rack([tr.Parallel([[tr.Gain(polarity="invert")], [tr.Plugin("odd")]])])
    assert not both(music(1, 9000, RATE, 6), RATE).any()
    rack = tr.Rack([tr.Plugin("odd", gain=20, bypass=True)])
    assert np.array_equal(rack(x, RATE), x)


def test_mono_plugins_play_every_channel_and_stereo_ones_a_mono_rack(odd):
    x = music(2, 9000, RATE, 7)
    wide = plain(DELAY, np.vstack([x[:1], x[:1]]))
    assert np.allclose(tr.Rack([tr.Plugin(DELAY)])(x[0], RATE), wide.mean(0), atol=1e-6)
    with pytest.raises(PluginError, match="has 2 inputs and 2 outputs, which do not fit a rack of 4 channels"):
        tr.Rack([tr.Plugin(DELAY)])(np.vstack([x, x]), RATE)
    odd(GOOD)
    for channels in (1, 2, 5):
        many = np.vstack([x, x, x])[:channels]
        assert np.allclose(tr.Rack([tr.Plugin("odd", gain=-6)])(many, RATE), 10 ** (-6 / 20) * many, rtol=1e-5)


def test_a_latency_that_it_reports_is_taken_away(odd):
    odd(LIES)  # it reports 100 frames, and has none
    x = music(1, 9000, RATE, 8)
    y = tr.Rack([tr.Plugin("odd")])(x, RATE)
    assert np.array_equal(y[:, :-100], x[:, 100:])


def test_what_breaks_is_a_sentence_offline(odd):
    odd(LOUD_CRASHES)
    x = 0.1 * np.ones((1, 20000), np.float32)
    rack = tr.Rack([tr.Plugin("odd")])
    assert np.allclose(rack(x, RATE), x)
    x[0, 10000:] = 1.0
    with pytest.raises(PluginDiedError, match=r"crashed \(SIGSEGV\) in its own process"):
        rack(x, RATE)
    with pytest.raises(ValueError, match="is another maker's plugin, which has no twin"):
        rack.twin(RATE)
    with pytest.raises(ValueError, match="is another maker's plugin, which cannot leave this program"):
        tr.export(rack, "a.lv2")


def test_a_nan_does_not_stay_in_it(odd):
    odd(KEEPS_NAN)
    x = music(1, 48000, RATE, 9)
    rack = tr.Rack([tr.PythonEffect(lambda x, rate: x), tr.Plugin("odd")])
    x[0, 100] = np.nan  # the engine takes it for silence
    assert np.isfinite(rack(x, RATE)).all()


def test_patches_keep_values_state_and_trail(tmp_path):
    rack = tr.Rack([tr.Plugin(DELAY, feedback=0.3, name="echo"), tr.Gain(gain_db=-3)])
    path = tmp_path / "a.rack.json"
    rack.save(path)
    again = tr.load(path)
    assert again == rack
    assert again["echo"].feedback == 0.3
    assert copy.deepcopy(rack) == rack
    assert pickle.loads(pickle.dumps(rack)) == rack
    x = music(2, 9000, RATE, 10)
    assert np.array_equal(again(x, RATE), rack(x, RATE))
    again["echo"].feedback = 0.4
    assert again != rack
    assert again.differences(rack) == ["echo.feedback: 0.4 here, 0.3 there"]
    again.save(path)
    assert [e["what"] for e in json.loads(path.read_text())["provenance"]["trail"]] == ["made", "edited"]
    data = json.loads(path.read_text())
    for change, words in (
        ({"plugin": "urn:nobody"}, "is not on this machine; install it"),
        ({"format": "vst2"}, "rack\\[0\\].format is \"vst2\"; 'lv2', 'clap' or 'vst3' was expected"),
        ({"values": {"feedback": 7.0}}, "echo.feedback = 7 is above 1"),
        ({"values": {"fedback": 0.1}}, "did you mean 'feedback'"),
        ({"values": {"name": "x"}}, "has no parameter 'name'"),
        ({"state": "nonsense"}, "rack\\[0\\].*is not the state"),
        ({"stat": ""}, "rack\\[0\\].stat is not known here; did you mean 'state'"),
    ):
        path.write_text(json.dumps({**data, "rack": [{**data["rack"][0], **change}]}))
        with pytest.raises(ValueError, match=words):
            tr.load(path)


def test_presets_and_states(tmp_path):
    effect = tr.Plugin(DELAY)
    state = effect.state
    assert state == ""
    with pytest.raises(PluginError, match="has no preset 'none'"):
        effect.load_preset("none")
    with pytest.raises(PluginError, match="is not the state"):
        effect.state = "nonsense"
    assert effect.state == ""
    with HostedPlugin(DELAY, RATE, feedback=0.1) as plugin:
        effect.state = plugin.save()
    rack = tr.Rack([effect])
    rack.save(tmp_path / "a.rack.json")
    assert tr.load(tmp_path / "a.rack.json")[0].state == effect.state
    assert np.array_equal(rack(music(2, 3000, RATE), RATE), plain(DELAY, music(2, 3000, RATE)))  # values have the last word


def test_a_session_plays_it_in_time_with_automation(tmp_path):
    import soundfile as sf

    x = music(2, 48000, RATE, 11)
    sf.write(tmp_path / "x.wav", x.T, RATE, subtype="FLOAT")
    session = tr.Session(sample_rate=RATE)
    session.add(tr.Channel("dry", clips=[tr.Clip(tmp_path / "x.wav")]))
    session.add(tr.Channel("wet", clips=[tr.Clip(tmp_path / "x.wav")], rack=[tr.Plugin(LIMITER, name="l")]))
    session.save(tmp_path / "s.session.json")
    mixed = tr.Session.load(tmp_path / "s.session.json").render()
    expected = x + plain(LIMITER, x)
    assert np.max(np.abs(mixed[:, :48000] - expected)) < 1e-5


def test_what_is_late_is_dry_with_a_fade(odd):
    odd(GOOD)
    effect = tr.Plugin("odd", gain=6.0206, block_frames=64)
    engine, works = tr.Rack([effect]).running.compile(RATE, 1, offline=False)
    x, heard = np.full((1, 64), 0.25, np.float32), []
    for n in range(60):
        heard.append(engine.process(x, []))
        if not 20 <= n < 40:
            works[0].pump()
    y = np.concatenate(heard, 1)[0, 400:]
    assert np.max(np.abs(np.diff(y))) < 0.01
    assert y.min() == pytest.approx(0.25, rel=1e-4)
    assert y[0] == pytest.approx(0.5, rel=1e-4)
    assert y[-1] == pytest.approx(0.5, rel=1e-4)
    assert 18 <= effect.late <= 21


def test_a_sidechain_goes_to_the_input_that_is_for_it(odd):
    odd(KEYED)
    x, key = music(2, 9000, RATE, 12), music(1, 9000, RATE, 13)
    rack = tr.Rack([tr.Plugin("odd", key="voice"), tr.Gain()])
    assert np.allclose(rack(x, RATE, sidechain={"voice": key}), x + key, atol=1e-6)
    assert np.array_equal(tr.Rack([tr.Plugin("odd")])(x, RATE), x)  # silence where none is given


def children() -> int:
    """Processes of plugins that this one has begun."""
    mine = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = stat.read_text()
            mine += "(twinrack-host)" in text and text.rpartition(")")[2].split()[1] == str(os.getpid())
    return mine


def test_nothing_is_left_behind(odd):
    gc.collect()
    before, files = children(), len(os.listdir("/proc/self/fd"))
    racks = [tr.Rack([tr.Plugin(DELAY)]) for _ in range(4)]
    for rack in racks:
        rack(music(2, 2000, RATE), RATE)
        with pytest.raises(ValueError, match="do not fit a rack of 4 channels"):
            rack(np.zeros((4, 100), np.float32), RATE)
        rack.prepare(RATE, 2)
        rack.prepare(RATE, 2)
        rack.running.close()
    gc.collect()
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) <= files + 2


def test_a_latency_that_moves_live_is_followed(odd):
    odd(MOVES_LATENCY)
    effect = tr.Plugin("odd", gain=10, block_frames=64)
    rack = tr.Rack([effect])
    rack.prepare(RATE, 1)
    rack.running.go_live()
    try:

        def until(latency: int) -> None:
            end = time.monotonic() + 10
            while rack.latency_frames != latency and time.monotonic() < end:
                rack.running.engine.process(np.zeros((1, 64), np.float32), [])
                time.sleep(64 / RATE)
            assert rack.latency_frames == latency

        until(2 * 64 + 32 + 10)
        effect.gain = 20
        until(2 * 64 + 32 + 20)
        effect.gain = 0
        until(2 * 64 + 32)
        assert len(effect.pids) <= 2  # of the stream, and of the one that fades out
    finally:
        rack.running.close()


def test_a_latency_that_moves_offline_is_said(odd):
    odd(MOVES_LATENCY)
    rack = tr.Rack([tr.Plugin("odd", name="g", gain=1)])
    with pytest.warns(UserWarning, match="reports a latency of 5 frames while it plays, 1 at first"):
        rack(music(1, 9000, RATE), RATE, automation={"g.gain": np.full(300, 5.0, np.float32)})


class Running:
    """A live stream on a real JACK server, and what is heard of a constant."""

    def __init__(self, rack: tr.Rack, channels: int = 1) -> None:
        self.rack = rack

    def __enter__(self) -> Running:
        self._server = jack_server()
        server = self._server.__enter__()
        self.stream = tr.live(self.rack, block_size=BLOCK, channels=1)
        self.stream.__enter__()
        self.probe = Probe(server.name, 1, RATE // 5)
        return self

    def heard(self, level: float = 0.25) -> np.ndarray:
        take = self.probe.begin(np.full((1, RATE // 5), level, np.float32))
        assert take.done.wait(20)
        return take.heard[0]

    def until(self, level: float, given: float = 0.25) -> None:
        assert any(self.heard(given)[-1] == pytest.approx(level, rel=1e-4) for _ in range(20))

    def __exit__(self, *error: object) -> None:
        self.probe.close()
        self.stream.__exit__(*error)
        self._server.__exit__(*error)


@needs_jack
@pytest.mark.alone
def test_live_a_killed_plugin_comes_back_with_its_values(odd):
    odd(GOOD)
    effect = tr.Plugin("odd", gain=-6.0206)
    with Running(tr.Rack([effect])) as running:
        running.until(0.125)
        effect.gain = 6.0206
        running.until(0.5)
        for number, act in enumerate((signal.SIGKILL, signal.SIGSTOP)):
            pid = effect.pids[-1]
            os.kill(pid, act)
            end = time.monotonic() + 5
            while effect.restarts <= number and time.monotonic() < end:
                time.sleep(0.01)
            assert effect.restarts == number + 1
            running.until(0.5)
        assert "was ended" in effect.complaint
        os.kill(effect.pids[-1], signal.SIGKILL)
        running.until(0.25)
        time.sleep(0.2)
        assert "third time in a minute, so it stays bypassed" in effect.complaint
        running.until(0.25)
