"""Real plugins for tests: one of ours that does a thing wrong on purpose, compiled when a test asks for it."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from plugin_support import KEYED, ODD
from twinrack.hosting import catalogue

ROOT = Path(__file__).resolve().parents[2]
DPF = Path("/usr/share/dpf/distrho")

TURTLE = """
@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix doap: <http://usefulinc.com/ns/doap#> .
@prefix units: <http://lv2plug.in/ns/extensions/units#> .
@prefix pprops: <http://lv2plug.in/ns/ext/port-props#> .
<urn:twinrack:test:odd> a lv2:Plugin , lv2:AmplifierPlugin ; lv2:binary <odd.so> ; doap:name "Odd \\"gain\\" \\u00e9" ; lv2:port
  [ a lv2:InputPort , lv2:AudioPort ; lv2:index 0 ; lv2:symbol "in" ; lv2:name "In" ] ,
  [ a lv2:OutputPort , lv2:AudioPort ; lv2:index 1 ; lv2:symbol "out" ; lv2:name "Out" ] ,
  [ a lv2:InputPort , lv2:ControlPort ; lv2:index 2 ; lv2:symbol "gain" ; lv2:name "Gain" ; lv2:default 0.0 ;
    lv2:minimum -20.0 ; lv2:maximum 20.0 ; units:unit units:db ; lv2:portProperty pprops:logarithmic ] ,
  [ a lv2:OutputPort , lv2:ControlPort ; lv2:index 3 ; lv2:symbol "latency" ; lv2:name "Latency" ;
    lv2:designation lv2:latency ; lv2:portProperty lv2:reportsLatency ] .
"""
KEY = '[ a lv2:InputPort , lv2:AudioPort ; lv2:index 4 ; lv2:symbol "key" ; lv2:name "Sidechain" ]'


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Makes the plugin of a mode the only one of this machine, and gives its entry in the list."""
    if not Path("/usr/include/lv2/core/lv2.h").is_file():
        pytest.skip("lv2/core/lv2.h is missing: install lv2-dev")

    def make(mode: int, more: str = "") -> catalogue.Listed:
        bundle = tmp_path / "lv2" / "odd.lv2"
        bundle.mkdir(parents=True)
        ports = TURTLE.replace("reportsLatency ] .", f"reportsLatency ] , {KEY} .") if mode == KEYED else TURTLE
        (bundle / "manifest.ttl").write_text(ports + more, encoding="utf-8")
        source = ROOT / "tests/cpp/odd_plugin.cc"
        subprocess.run(
            ["g++", "-std=c++20", "-O1", f"-DMODE={mode}", "-fPIC", "-shared", source, "-o", bundle / "odd.so"], check=True
        )
        only_here(tmp_path, monkeypatch)
        return catalogue.find(ODD)

    return make


def only_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets plugins be found in a folder only."""
    for format in ("lv2", "clap", "vst3"):
        monkeypatch.setenv(f"{format.upper()}_PATH", str(folder / format))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(catalogue, "_by_path", {})


@functools.cache
def framed_library(format: str) -> Path:
    """The plugin of tests/cpp/dpf in a format, compiled."""
    if not (DPF / "DistrhoPluginMain.cpp").is_file():
        pytest.skip(f"{DPF}/DistrhoPluginMain.cpp is missing: install dpf-source")
    source, library = ROOT / "tests/cpp/dpf", Path(tempfile.mkdtemp(prefix="twinrack-dpf-")) / "framed.so"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", f"-DDISTRHO_PLUGIN_TARGET_{format.upper()}"]
    files = ["-isystem", DPF, f"-I{source}", source / "plugin.cc", DPF / "DistrhoPluginMain.cpp", "-o", library]
    subprocess.run(["g++", *flags, *files], check=True)
    return library


@pytest.fixture
def framed(tmp_path, monkeypatch):
    """Makes the plugin of tests/cpp/dpf in a format the only one of this machine, and gives its entry in the list."""

    def make(format: str) -> catalogue.Listed:
        place = tmp_path / format / f"Framed.{format}"
        binary = place / f"Contents/{platform.machine()}-linux/Framed.so" if format == "vst3" else place
        binary.parent.mkdir(parents=True)
        shutil.copy(framed_library(format), binary)
        only_here(tmp_path, monkeypatch)
        return catalogue.find("framed gain")

    return make
