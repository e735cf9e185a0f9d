"""Other makers' plugins in processes of their own: real ones of Debian, and one of ours that does a thing wrong on purpose."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from plugin_support import (
    ALLOCATES,
    CRASHES,
    CRASHES_EARLY,
    GOOD,
    HANGS,
    KEEPS_NAN,
    LEAVES,
    LIES,
    MDA,
    NAN,
    NOISY,
    RATE,
    REFUSES,
    needs_host,
)
from support import music, run
from twinrack.hosting import catalogue
from twinrack.hosting.check import check_plugin
from twinrack.hosting.child import HostProcess, PluginDiedError, PluginError
from twinrack.hosting.description import description
from twinrack.hosting.plugin import HostedPlugin

pytestmark = needs_host


def findings(listed: catalogue.Listed) -> dict[str, tuple[bool | None, str]]:
    return {f.name: (f.holds, f.text) for f in check_plugin(listed).findings}


def test_a_plugin_is_described_as_it_declares_itself(odd):
    listed = odd(GOOD)
    d = catalogue.describe(listed)
    assert d.name == 'Odd "gain" é'
    assert list(d.controls) == ["gain"]
    gain = d.controls["gain"]
    assert (gain.min, gain.max, gain.unit) == (-20.0, 20.0, "dB")
    assert not gain.is_log  # it says so, but its range has 0 in it
    assert d.reports_latency
    assert [p.symbol for p in d.main_inputs] == ["in"]


def test_the_list_is_stored_until_a_bundle_changes(odd, monkeypatch, tmp_path):
    listed = odd(GOOD)
    stored = tmp_path / "cache/twinrack/plugins.json"
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "HostProcess", None)  # nothing is read again
        assert catalogue.plugins() == [listed]
    for text in ("{", "[]", "{}", '{"version": 2, "entries": {"lv2": {"state": 1, "plugins": 2}}}'):
        stored.write_text(text)
        assert catalogue.plugins() == [listed]
    manifest = Path(listed.bundle) / "manifest.ttl"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("Odd ", "Another "), encoding="utf-8")
    os.utime(manifest, ns=(1, 1))
    assert catalogue.plugins()[0].name.startswith("Another")
    result = run("plugins", "scan")
    assert "1 of 1 plugins can be used as effects" in result.stdout


def test_it_plays_sets_and_keeps_its_state(odd):
    x = music(1, 5000, RATE)
    with HostedPlugin(odd(GOOD), RATE, block_frames=512, gain=6.0) as plugin:
        np.testing.assert_allclose(plugin.process(x), x * 10 ** (6 / 20), rtol=1e-6)
        state = plugin.save()
        plugin.set("gain", -3.0)
        assert plugin.values()["gain"] == -3.0
        plugin.restore(state)
        assert plugin.values()["gain"] == 6.0
        with pytest.raises(PluginError, match="is not the state"):
            plugin.restore("nonsense")
        with pytest.raises(ValueError, match=r'Odd "gain" é.gain = 21 is outside its range \(allowed: -20 to 20 dB\)'):
            plugin.set("gain", 21)
        with pytest.raises(PluginError, match="has no control 'ratio'; there are gain"):
            plugin.set("ratio", 2)
        with pytest.raises(PluginError, match="has no preset 'x'; there are none"):
            plugin.preset("x")
        assert plugin.process(x[:, :0]).shape == (1, 0)


def test_everything_holds_for_a_good_one(odd):
    report = check_plugin(odd(GOOD))
    assert report.is_usable
    assert all(f.holds for f in report.findings), str(report)
    assert not report.silent_controls


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        (CRASHES, "sounds", r"crashed \(SIGSEGV\) in its own process"),
        (CRASHES_EARLY, "loads", r"crashed \(SIGABRT\) in its own process"),
        (REFUSES, "loads", "refuses to be instantiated"),
        (ALLOCATES, "live", r"\d+ allocations in the first second of sound, \d+ in the next"),
        (NAN, "sounds", "NaN or infinity"),
        (LIES, "latency", "reported 100 frames, the impulse comes after 0"),
        (NOISY, "repeats", "another sound every time"),
        (LEAVES, "sounds", "ended by itself in its own process"),
        (KEEPS_NAN, "NaN", "NaN stays in it for ever"),
    ],
)
def test_what_a_plugin_does_wrong_is_found_and_harms_nobody(odd, mode, name, words):
    holds, text = findings(odd(mode))[name]
    assert holds is False
    assert re.search(words, text), text


def test_one_that_hangs_is_ended(odd, monkeypatch):
    monkeypatch.setattr("twinrack.hosting.child.ANSWER_S", 0.5)
    with HostedPlugin(odd(HANGS), RATE) as plugin:
        host = plugin._host
        with pytest.raises(PluginDiedError, match=r"gave no answer to 'run' in 0\.5 s, and was ended"):
            host.request("run", 64, seconds=0.5)
        assert host._process.poll() is not None


def test_a_plugin_outlives_the_thread_that_loaded_it(odd):
    listed, made = odd(GOOD), []
    thread = threading.Thread(target=lambda: made.append(HostedPlugin(listed, RATE)))
    thread.start()
    thread.join()
    time.sleep(0.1)
    with made[0] as plugin:
        assert plugin.process(np.ones((1, 100), np.float32)).shape == (1, 100)


def test_an_interrupted_request_ends_the_process(odd, monkeypatch):
    """Its answer would be taken for that of the next request."""
    plugin = HostedPlugin(odd(GOOD), RATE)

    def interrupted(self, end):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(HostProcess, "_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            plugin.reset()
    with pytest.raises(PluginDiedError, match="was closed; load it again"):
        plugin.values()


def test_options_outside_the_range_are_no_obstacle(odd):
    more = """<urn:twinrack:test:odd> lv2:port
  [ a lv2:InputPort , lv2:ControlPort ; lv2:index 4 ; lv2:symbol "mode" ; lv2:name "Mode" ; lv2:default 0 ; lv2:minimum 0 ;
    lv2:maximum 1 ; lv2:portProperty lv2:enumeration , lv2:integer ;
    lv2:scalePoint [ <http://www.w3.org/2000/01/rdf-schema#label> "far" ;
      <http://www.w3.org/1999/02/22-rdf-syntax-ns#value> 9 ] ] ."""
    report = check_plugin(odd(GOOD, more))
    assert report.is_usable, str(report)


def test_no_files_are_left_open(odd, monkeypatch):
    listed = odd(GOOD)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with HostedPlugin(listed, RATE) as plugin:
            plugin.process(np.zeros((1, 10), np.float32))
    del plugin
    monkeypatch.setattr("twinrack.hosting.child.program", lambda: "/none")
    for _ in range(5):
        with pytest.raises(OSError, match="No such file"):
            HostProcess()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_missing_feature_is_named(odd):
    listed = odd(GOOD, "<urn:twinrack:test:odd> lv2:requiredFeature <urn:nobody:has-this> .")
    assert "urn:nobody:has-this" in listed.problem
    report = check_plugin(listed)
    assert not report.is_usable
    assert "urn:nobody:has-this" in str(report)
    with pytest.raises(PluginError, match="cannot be used: it needs what no host here has: urn:nobody:has-this"):
        HostedPlugin(listed, RATE)


def test_names_that_fit_several_or_none(odd):
    odd(GOOD)
    with pytest.raises(PluginError, match="no plugin fits 'nothing like it'"):
        catalogue.find("nothing like it")
    assert catalogue.find("ODD").uri == "urn:twinrack:test:odd"


def test_the_child_has_little_and_ends_with_us(odd):
    listed = odd(GOOD)
    os.environ["A_SECRET_OF_MINE"] = "x"
    try:
        with HostedPlugin(listed, RATE) as plugin:
            pid = plugin._host.pid
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            status = Path(f"/proc/{pid}/status").read_text()
            assert b"A_SECRET_OF_MINE" not in environment
            assert "NoNewPrivs:\t1" in status
            files = [os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir()]
            assert len(files) <= 6, files  # nothing of ours but what it was given
    finally:
        del os.environ["A_SECRET_OF_MINE"]
    code = """
import sys, time
from twinrack.hosting.child import HostProcess
host = HostProcess()
print(host.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the host process is left")


def test_requests_that_make_no_sense_are_refused(odd):
    listed = odd(GOOD)
    with HostProcess("a test") as host:
        for words in (
            ["nonsense"],
            ["run", 64],
            ["load"],
            ["describe", "lv2", listed.bundle, "urn:other"],
            ["load", "/none", "urn:x", 1, 1],
        ):
            with pytest.raises(PluginError):
                host.request(*words)
        with pytest.raises(PluginError, match="1 to 65536 frames"):
            host.request("load", *listed.place, 48000, 0)
        host.request("load", *listed.place, 48000, 64)
        with pytest.raises(PluginError, match="the shared memory is too small"):
            host.request("run", 64)
        assert host.rows(2, 64).shape == (2, 64)
        host.request("load", *listed.place, 48000, 64)
        for words in (
            ["run", 65],
            ["run", -1],
            ["set", 0, 1],
            ["set", 99, 1],
            ["preset", "urn:none"],
            ["join", 2, 0, 2, "00", -1],
            ["pump"],
        ):
            with pytest.raises(PluginError):
                host.request(*words)
        assert host.request("run", 64) == b""
        assert host.request("allocations") == b"0"


def test_what_is_declared_badly_becomes_something_usable():
    port = {
        "index": 0, "symbol": "a", "name": "A", "kind": "control", "is_input": True, "optional": False, "default": None,
        "min": 5.0, "max": 1.0, "logarithmic": True, "integer": True, "toggled": False, "enumeration": True, "times_rate": True,
        "hidden": False, "trigger": False, "group": "", "sidechain": False, "designation": "", "unit": "", "unit_symbol": "st",
        "points": [["two", 2.0], ["one", 1.0], ["none", None]], "samples": [], "number": 0,
    }  # fmt: skip
    data = {"uri": "u", "name": "", "author": "", "class": "", "bundle": "", "missing": [], "presets": [["u:p", ""]]}
    data |= {"reports_latency": False, "hears_midi": False}
    d = description({**data, "ports": [port]}, 10.0)
    a = d.controls["a"]
    assert d.name == "u"
    assert (a.min, a.max, a.unit) == (10.0, 50.0, "st")
    assert list(a.options) == ["one", "two"]
    assert a.checked("two", "p") == 2.0
    with pytest.raises(ValueError, match="is none of one, two"):
        a.checked("three", "p")
    assert d.presets == {"u:p": "u:p"}


# --- real plugins ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mda():
    if not Path("/usr/lib/lv2/mda.lv2").is_dir():
        pytest.skip("the MDA plugins are missing: install mda-lv2")


@pytest.mark.parametrize("name", ["Limiter", "Overdrive", "Ambience", "MultiBand", "Delay", "Leslie", "Tracker"])
def test_real_plugins_pass(mda, name):
    report = check_plugin(MDA + name)
    assert report.is_usable, str(report)


def test_it_sounds_as_in_another_host(mda, tmp_path):
    """lv2apply, which is made by others, gives the same bits."""
    import shutil

    import soundfile

    if shutil.which("lv2apply") is None:
        pytest.skip("lv2apply is missing: install lilv-utils")
    x = music(2, 20000, RATE)
    soundfile.write(tmp_path / "in.wav", x.T, RATE, subtype="FLOAT")
    subprocess.run(["lv2apply", "-i", "in.wav", "-o", "out.wav", f"{MDA}Limiter"], cwd=tmp_path, check=True)
    wanted = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)[0].T
    with HostedPlugin(f"{MDA}Limiter", RATE) as plugin:
        np.testing.assert_array_equal(plugin.process(x), wanted)


def test_the_commands(mda):
    listed = run("plugins", "list", "mda", "reverb")
    assert listed.returncode == 0
    assert f"{MDA}Ambience" in listed.stdout.replace("\n", "")
    shown = run("plugins", "show", f"{MDA}Limiter")
    assert "thresh" in shown.stdout
    checked = run("plugins", "check", f"{MDA}Limiter")
    assert checked.returncode == 0, checked.stderr
    assert "ok   repeats: the same again" in checked.stdout
    for words, sentence in (
        (["show", "no such plugin at all"], "no plugin fits"),
        (["show", "mda"], "plugins fit 'mda'"),
        (["check"], "say which plugins to test, or --all"),
    ):
        result = run("plugins", *words)
        assert result.returncode == 2
        assert sentence in result.stderr
