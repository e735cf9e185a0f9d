"""Sessions with other makers' plugins as DAWprojects, there and back."""

from __future__ import annotations

import base64
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from plugin_support import GOOD, ODD, RATE, needs_host
from support import music
from twinrack.exchange.dawproject import read_dawproject, write_dawproject
from twinrack.hosting.child import PluginError
from twinrack.hosting.preset_files import preset_bytes, state_of_preset
from twinrack.session.clip import Clip
from twinrack.session.session import Session

pytestmark = needs_host
etree = pytest.importorskip("lxml.etree")
SCHEMA = Path(__file__).parents[1] / "data/dawproject/Project.xsd"
VST3 = "vst3:2046504473616C636746777400000000"


def with_plugin(**values: object) -> Session:
    session = Session("song", RATE)
    x = 0.1 * music(2, 9600, RATE, 1)
    session.add_track("a", clips=[Clip(x, 0.0)], rack=[tr.Plugin(values.pop("name_of", "framed gain"), **values)])
    return session


@pytest.mark.parametrize("format", ["clap", "vst3"])
def test_it_comes_back_with_its_state_and_automation(framed, format, tmp_path):
    listed = framed(format)
    session = with_plugin(gain=-7.5, mode="Hard", frequency=800, name="g", bypass=False)
    session.automate("a.g.gain", [(0, -7.5), (0.1, 3.0)])
    session.automate("a.g.invert", [(0.05, True, "hold")])
    session.automate("a.g.mode", [(0.0, "Hard", "hold"), (0.15, "Soft", "hold")])
    lost = write_dawproject(session, tmp_path / "song.dawproject")
    assert lost == []
    with zipfile.ZipFile(tmp_path / "song.dawproject") as archive:
        project = etree.fromstring(archive.read("project.xml"))
        state = archive.read(project.find(".//State").get("path"))
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(project)
    device = project.find(".//ClapPlugin" if format == "clap" else ".//Vst3Plugin")
    assert device.get("deviceID") == ("test.twinrack.dpf" if format == "clap" else "20465044-7361-6c63-6746-777400000000")
    assert {e.get("name"): e.tag for e in device.find("Parameters")} == {
        "Gain": "RealParameter",
        "Invert": "BoolParameter",
        "Mode": "RealParameter",
    }
    assert state[:4] == (b"clap" if format == "clap" else b"VST3")
    again, missed = read_dawproject(tmp_path / "song.dawproject", tmp_path / "audio")
    assert missed == []
    effect = again["a"].rack["g"]
    assert effect.uri == listed.uri
    assert (effect.gain, effect.mode, effect.frequency) == (pytest.approx(-7.5, abs=1e-4), "Hard", pytest.approx(800, rel=1e-4))
    assert np.abs(again.render() - session.render()).max() < 1e-4 * np.abs(session.render()).max()


def test_lv2_comes_back_and_is_said_to_be_ours_only(odd, tmp_path):
    odd(GOOD)
    session = with_plugin(name_of=ODD, gain=6, bypass=True)
    session.automate("a.lv2_odd_gain.gain", [(0, 6), (0.1, -6)])
    lost = write_dawproject(session, tmp_path / "song.dawproject")
    assert lost == [
        "a.lv2_odd_gain is an LV2 plugin, which comes back in twinrack only: DAWproject has no device for it, "
        "and other programs leave it out"
    ]
    again, missed = read_dawproject(tmp_path / "song.dawproject", tmp_path / "audio")
    assert missed == []
    effect = next(iter(again["a"].rack.addresses().values()))
    assert (effect.uri, effect.gain, effect.bypass) == (ODD, 6.0, True)
    assert [p.value for p in again["a"].automation["lv2_odd_gain.gain"]] == [6.0, -6.0]


def test_a_plugin_or_state_that_is_missing_is_a_sentence(framed, odd, tmp_path):
    framed("vst3")
    write_dawproject(with_plugin(gain=-6), tmp_path / "song.dawproject")
    with zipfile.ZipFile(tmp_path / "song.dawproject") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    state = next(name for name in files if name.startswith("plugins/"))

    def read(changed: dict[str, bytes]) -> tuple[Session, list[str]]:
        with zipfile.ZipFile(tmp_path / "other.dawproject", "w") as archive:
            for name, data in (files | changed).items():
                archive.writestr(name, data)
        return read_dawproject(tmp_path / "other.dawproject", tmp_path / "audio")

    for data in (b"", b"VST3", files[state][:60], files[state].replace(b"67467774", b"67467775"), bytes(200)):
        session, missed = read({state: data})
        assert len(missed) == 1
        assert "the state of the plugin 'Framed gain' is left out, and it has its defaults" in missed[0]
        assert next(iter(session["a"].rack.addresses().values())).gain == 0.0
    session, missed = read({"project.xml": files["project.xml"].replace(b"20465044", b"30465044")})
    assert not session["a"].rack.effects
    assert "the plugin 'Framed gain' (vst3:30465044" in missed[0]
    assert "not on this machine" in missed[0]
    _, missed = read({"project.xml": files["project.xml"].replace(state.encode(), b"plugins/none")})
    assert "holds no 'plugins/none'" in missed[0]


def test_preset_files():
    state = f"vst3 {base64.b64encode(b'component').decode()} {base64.b64encode(b'controller').decode()}"
    data = preset_bytes(VST3, state)
    assert data[:8] == b"VST3\1\0\0\0"
    assert data[8:40] == VST3[5:].encode()
    assert data[struct.unpack("<q", data[40:48])[0] :][:4] == b"List"
    assert state_of_preset(VST3, data) == state
    assert state_of_preset("clap:a.b", preset_bytes("clap:a.b", "clap AAAA")) == "clap AAAA"
    assert state_of_preset("clap:a.b", b"\0\0\0") == "clap AAAA"  # as others write it, without a head
    assert state_of_preset("clap:a.b", preset_bytes("clap:a.b", "clap-values 0=1 ")) == "clap-values 0=1 "
    with pytest.raises(PluginError, match=r"the preset is of 'a\.b', not of a\.c"):
        state_of_preset("clap:a.c", preset_bytes("clap:a.b", "clap AAAA"))
    many = b"VST3" + struct.pack("<i", 1) + VST3[5:].encode() + struct.pack("<q", 48 + 100)
    many += bytes(100) + b"List" + struct.pack("<i", 1000) + struct.pack("<4sqq", b"Abcd", 48, 100) * 1000
    assert len(state_of_preset(VST3, many)) < 20
    with pytest.raises(PluginError, match="not the state"):
        preset_bytes(VST3, "clap AAAA")
