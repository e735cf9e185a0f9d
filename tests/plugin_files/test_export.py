"""Racks as plugins: bit for bit the engine, in a host of our own against the real headers and in Debian's hosts."""

from __future__ import annotations

import functools
import io
import os
import platform
import shutil
import struct
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import decaying_noise, music, random_effect, run, small_network
from twinrack import _engine
from twinrack.plugin_files.flat import flatten
from twinrack.plugin_files.parameters import host_parameters
from twinrack.rack.card import CARDS

ROOT = Path(__file__).resolve().parents[2]
RATE = 48000
DPF = Path("/usr/share/dpf/distrho/src")
FRAMES = 6000
FORMATS = ("lv2", "clap", "vst3")


@functools.cache
def host() -> Path:
    """The host of tests/cpp, built."""
    for header, package in ((DPF / "clap/entry.h", "dpf-source"), (Path("/usr/include/lv2/core/lv2.h"), "lv2-dev")):
        if not header.is_file():
            pytest.skip(f"{header} is missing: install {package}")
    program = Path(tempfile.mkdtemp(prefix="twinrack-host-")) / "plugin_host"
    flags = f"-std=c++20 -O1 -Wall -Wextra -Wconversion -Werror -I{ROOT / 'cpp'} -isystem {DPF}".split()
    flags.append(f'-DMACHINE="{platform.machine()}"')
    subprocess.run(["g++", *flags, ROOT / "tests/cpp/plugin_host.cc", "-o", program, "-ldl"], check=True)
    return program


def play(plugin: Path, x: np.ndarray, keys: list[np.ndarray], block: int, values=(), events=(), rate=RATE, state=""):
    """Play a plugin in the host: the sound, and the lines that it printed."""
    with tempfile.TemporaryDirectory() as name:
        sound, out = Path(name) / "in", Path(name) / "out"
        np.concatenate([x, *keys]).astype(np.float32).tofile(sound)
        done = subprocess.run(
            [host(), plugin.suffix[1:], plugin, str(rate), str(x.shape[0]), str(len(keys)), str(block), sound, out]
            + [f"{v:.9g}" for v in values]
            + [f"{frame}:{where}:{value:.17g}" for frame, where, value in events]
            + ([f"state={state}"] if state else []),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return np.fromfile(out, np.float32).reshape(x.shape), done.stdout.splitlines()


def ports(rack: tr.Rack) -> list[float]:
    """LV2's control ports after the audio ports: on, latency, the values."""
    return [1.0, 0.0, *(p.flat.initial for p in host_parameters(rack)[0])]


def racks() -> dict[str, tr.Rack]:
    random = np.random.default_rng(7)
    bands = [tr.Band("low_shelf", frequency_hz=211.3, gain_db=3.7), tr.Band("bell", frequency_hz=2034.7, gain_db=-4.1)]
    wide = tr.ControlNetwork(["compressor.threshold_db", "gain.gain_db"], hidden=[4])
    wide = tr.ControlNetwork(wide.targets, wide.hidden, random.normal(0, 0.5, wide.weights.size).astype(np.float32))
    return {
        "strip": tr.Rack(
            [tr.ParametricEQ(bands=bands), tr.Compressor(threshold_db=-31.7), tr.FDNReverb(mix=0.27), tr.Limiter()],
            name="Strip",
        ),
        "keyed": tr.Rack([tr.Compressor(threshold_db=-35, key="bass"), tr.Gate(key="kick"), tr.Limiter()], name="Keyed"),
        "branches": tr.Rack(
            [
                tr.Parallel([[tr.ConvolutionReverb(impulse_response=decaying_noise())], [tr.Saturation(drive_db=9)], []]),
                tr.Compressor(lookahead_ms=3, bypass=True),
            ],
            name='Branches "of" <two>',
        ),
        "bands": tr.Rack(
            [
                tr.Bands([[tr.Compressor(threshold_db=-30)], [tr.MidSide([], [tr.Gain(gain_db=2)])], []], [170, 2700]),
                tr.Limiter(),
            ],
            name="Bands",
        ),
        "networks": tr.Rack([tr.Adapter(network=small_network()), tr.Gain(gain_db=3)], name="Netz, größer"),
        "controlled": tr.Rack([tr.Controller(network=wide), tr.Compressor(), tr.Gain()], name="Controlled"),
        "empty": tr.Rack([], name="Empty"),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    return {
        (name, format): tr.export(rack, folder / f"{name}.{format}") for name, rack in racks().items() for format in FORMATS
    }


def wanted(rack: tr.Rack, x: np.ndarray, keys: list[np.ndarray]) -> np.ndarray:
    rack = rack.copy()
    rack.prepare(RATE, x.shape[0])
    return rack.process(x, sidechain=dict(zip(rack.sidechains, keys, strict=True)) or None)


def sounds(count: int, channels: int = 2) -> list[np.ndarray]:
    return [music(channels, FRAMES, RATE, seed) for seed in range(count)]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", racks())
def test_a_plugin_is_the_engine_to_the_last_bit_in_any_blocks(exported, name, format):
    rack = racks()[name]
    x, *keys = sounds(1 + len(rack.sidechains))
    expected = wanted(rack, x, keys)
    for block in (1, 64, 512, 1000, 4096):
        y, lines = play(exported[name, format].path, x, keys, block, ports(rack) if format == "lv2" else ())
        np.testing.assert_array_equal(y, expected, err_msg=f"blocks of {block}")
        assert f"latency {exported[name, format].latency_frames}" in lines
        assert format == "lv2" or "state same" in lines


@pytest.mark.parametrize("effect", CARDS)
def test_every_effect_leaves_python(effect, tmp_path):
    rack = tr.Rack([random_effect(CARDS[effect], np.random.default_rng(3))])
    channels = 1 if CARDS[effect].channels == "mono" else 2
    made = tr.export(rack, tmp_path / "one.clap", channels=channels)
    (x,) = sounds(1, channels)
    y, _ = play(made.path, x, [], 480)
    np.testing.assert_array_equal(y, wanted(rack, x, []))
    assert tr.read_plugin(made.path) == rack


@pytest.mark.parametrize("format", ["clap", "vst3"])
def test_events_act_at_their_frames(exported, format):
    rack = racks()["strip"]
    (x,) = sounds(1)
    found = {p.address: p for p in host_parameters(rack)[0]}
    low, detector = found["compressor.threshold_db"], found["compressor.detector"]
    events = [(1000, low.flat.id, -20.0), (2011, detector.flat.id, 1.0), (3500, low.flat.id, -40.0)]
    if format == "vst3":  # positions; of -20 and -40 dB they are exact
        last = len(detector.parameter.options) - 1
        events = [(f, i, low.parameter.position(v) if i == low.flat.id else v / last) for f, i, v in events]
    rack.prepare(RATE, 2)
    expected = [rack.process(x[:, :1000])]
    rack["compressor"].threshold_db = -20.0
    expected.append(rack.process(x[:, 1000:2011]))
    rack["compressor"].detector = detector.parameter.options[1]
    expected.append(rack.process(x[:, 2011:3500]))
    rack["compressor"].threshold_db = -40.0
    expected.append(rack.process(x[:, 3500:]))
    for block in (64, 1000, 4096):
        y, _ = play(exported["strip", format].path, x, [], block, events=events)
        np.testing.assert_array_equal(y, np.concatenate(expected, 1))


@pytest.mark.parametrize("format", ["clap", "vst3"])
def test_a_state_acts_and_what_comes_after_it_acts_upon_it(exported, format):
    """Loaded while the plugin is active; the first block moves one of its values again."""
    rack = racks()["strip"]
    (x,) = sounds(1)
    low = next(p for p in host_parameters(rack)[0] if p.address == "compressor.threshold_db")
    state = "twinrack-state 1\nbypass 0\ncompressor_threshold_db -60\ncompressor_ratio 7.5\nunknown_value 3\n"
    moved = low.parameter.position(-20.0) if format == "vst3" else -20.0
    y, lines = play(exported["strip", format].path, x, [], 512, events=[(0, low.flat.id, moved)], state=state)
    rack["compressor"].set("threshold_db", -20.0)
    rack["compressor"].set("ratio", 7.5)
    np.testing.assert_array_equal(y, wanted(rack, x, []))
    assert "state same" in lines


def test_a_vst3_sidechain_that_is_off_is_not_connected(tmp_path):
    """As hosts give silence for it, the effect would hear that."""
    rack = tr.Rack([tr.Compressor(threshold_db=-40, ratio=8, key="bass")], name="k")
    made = tr.export(rack, tmp_path / "k.vst3")
    (x,) = sounds(1)
    silent, _ = play(made.path, x, [np.zeros_like(x)], 512)
    np.testing.assert_array_equal(silent, wanted(rack, x, [np.zeros_like(x)]))


def test_values_have_symbols_of_their_own_and_stay_free_where_the_latency_does(tmp_path):
    found, fixed = host_parameters(tr.Rack([tr.Gain(name="ü"), tr.Gain(name="ö"), tr.Compressor(lookahead_ms=5)]))
    symbols = [p.flat.symbol for p in found]
    assert len(symbols) == len(set(symbols))
    assert "compressor.detector" in {p.address for p in found}
    assert [f.partition(" ")[0] for f in fixed] == ["compressor.lookahead_ms", "compressor.topology"]


def test_lv2_ports_move_the_values(exported):
    rack = racks()["strip"]
    (x,) = sounds(1)
    numbers = [p.address for p in host_parameters(rack)[0]]
    at = 2 + numbers.index("compressor.threshold_db")
    y, _ = play(exported["strip", "lv2"].path, x, [], 500, ports(rack), events=[(2000, at, -12.0)])
    rack.prepare(RATE, 2)
    before = rack.process(x[:, :2000])
    rack["compressor"].threshold_db = -12.0
    np.testing.assert_array_equal(y, np.concatenate([before, rack.process(x[:, 2000:])], 1))


@pytest.mark.parametrize("format", FORMATS)
def test_bypass_is_the_input_as_late_as_the_latency_and_does_not_click(exported, format):
    rack, made = racks()["strip"], exported["strip", format]
    t = np.arange(FRAMES) / RATE
    x = np.stack([0.5 * np.sin(2 * np.pi * 200 * t)] * 2).astype(np.float32)
    where, off = (0, 0.0) if format == "lv2" else (0, 1.0)
    y, _ = play(made.path, x, [], 500, ports(rack) if format == "lv2" else (), [(2000, where, off), (4000, where, 1.0 - off)])
    latency = made.latency_frames
    assert latency > 0
    np.testing.assert_array_equal(y[:, 2300:4000], x[:, 2300 - latency : 4000 - latency])
    np.testing.assert_array_equal(y[:, :2000], wanted(rack, x, [])[:, :2000])
    np.testing.assert_array_equal(y[:, 4300:], wanted(rack, x, [])[:, 4300:])
    assert np.abs(np.diff(y[:, 1900:4400], 2)).max() < 5e-3  # a step of 0.1 would be 0.1


def test_clap_says_names_units_ranges_and_options(exported):
    rack = racks()["strip"]
    _, lines = play(exported["strip", "clap"].path, sounds(1)[0], [], 1000)
    rows = {}
    for line in lines:
        if line.startswith("parameter"):
            _, _, module, name, *numbers, text, back, _ = line.split("\t")
            rows[f"{module}: {name}"] = (*map(float, numbers), text, float(back))
    threshold = CARDS["compressor"].addresses["threshold_db"]
    assert rows["Compressor: Threshold"][:2] == (threshold.min, threshold.max)
    assert rows["Compressor: Threshold"][4] == "-31.7 dB"
    assert rows[": Bypass"][4] == "off"
    low, high, initial, value, text, back = rows["Parametric EQ: Band 2 frequency"]
    p = CARDS["parametric_eq"].addresses["band2.frequency_hz"]
    assert (low, high) == (0.0, 1.0)
    assert initial == value == pytest.approx(p.position(2034.7), abs=1e-7)
    assert text == "2035 Hz"
    assert back == pytest.approx(p.position(2035), abs=1e-6)
    assert rows["Parametric EQ: Band 1 type"][4] == "low_shelf"
    assert len(rows) == 1 + len(host_parameters(rack)[0])


def test_vst3_says_names_units_and_options(exported):
    _, lines = play(exported["strip", "vst3"].path, sounds(1)[0], [], 1000)
    rows = {fields[2]: fields[3:] for fields in (line.split("\t") for line in lines) if fields[0] == "parameter"}
    unit, steps, initial, value, text, back, _ = rows["Compressor: Threshold"]
    assert (unit, steps, text) == ("dB", "0", "-31.7")
    assert float(initial) == float(value) == pytest.approx(float(back), abs=1e-6)
    _, steps, initial, _, text, back, _ = rows["Parametric EQ: Band 1 type"]
    options = CARDS["parametric_eq"].addresses["band1.type"].options
    assert (int(steps), text) == (len(options) - 1, "low_shelf")
    assert float(back) == float(initial) == options.index("low_shelf") / (len(options) - 1)
    assert rows["Bypass"][4] == "off"
    assert len(rows) == 1 + len(exported["strip", "vst3"].parameters)


def test_two_racks_live_in_one_process(exported, tmp_path):
    """Each plugin file has its own copy of the library; what one loads the other does not see."""
    import ctypes

    for format, entry in (("clap", "clap_entry"), ("lv2", "lv2_descriptor")):
        names = []
        for name in ("strip", "keyed"):
            path = exported[name, format].path
            library = ctypes.CDLL(str(path / "rack.so" if format == "lv2" else path), mode=os.RTLD_LOCAL)
            if format == "lv2":
                library.lv2_descriptor.restype = ctypes.POINTER(ctypes.c_char_p)
                names.append(library.lv2_descriptor(0)[0])
                assert library.lv2_descriptor(1).__bool__() is False
            else:
                names.append(ctypes.addressof(ctypes.c_int.in_dll(library, entry)))
        assert names[0] != names[1]


# --- Debian's hosts --------------------------------------------------------------------------------------------------


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: install {package}")
    return found


@pytest.mark.parametrize("name", racks())
def test_lv2_validate_finds_nothing(exported, name):
    program("sord_validate", "sordi")
    files = [str(p) for p in exported[name, "lv2"].path.glob("*.ttl")]
    done = subprocess.run([program("lv2_validate", "lv2-dev"), *files], capture_output=True, text=True)
    assert "Found 0 errors" in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["strip", "branches", "networks", "controlled", "empty"])
def test_lv2apply_plays_it_to_the_last_bit(exported, name, tmp_path):
    folder = tmp_path / "lv2"
    folder.mkdir()
    (folder / "a.lv2").symlink_to(exported[name, "lv2"].path)
    (x,) = sounds(1)
    soundfile.write(tmp_path / "in.wav", x.T, RATE, subtype="FLOAT")
    done = subprocess.run(
        [program("lv2apply", "lilv-utils"), "-i", "in.wav", "-o", "out.wav", exported[name, "lv2"].id],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "LV2_PATH": f"{folder}:/usr/lib/lv2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    y, _ = soundfile.read(tmp_path / "out.wav", dtype="float32", always_2d=True)
    np.testing.assert_array_equal(y.T, wanted(racks()[name], x, []))


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", racks())
def test_the_rack_comes_back(exported, name, format):
    back = tr.read_plugin(exported[name, format].path)
    assert back == racks()[name]


def test_a_rack_of_one_effect_has_its_presets(tmp_path):
    """Those that a plugin can take up, unless others are given."""
    made = tr.export(tr.Rack([tr.Tremolo(name="wobble")], name="a"), tmp_path / "a.lv2")
    text = (made.path / "presets.ttl").read_text(encoding="utf-8")
    assert {f'rdfs:label "{name}"' in text for name in tr.presets("tremolo")} == {True}
    assert not (tr.export(tr.Rack([tr.Tremolo()]), tmp_path / "b.lv2", presets={}).path / "presets.ttl").exists()
    assert not (tr.export(tr.Rack([tr.Tremolo(), tr.Gain()]), tmp_path / "c.lv2").path / "presets.ttl").exists()
    # One with another lookahead is left out.
    limiter = tr.export(tr.Rack([tr.Limiter(lookahead_ms=1.0)]), tmp_path / "d.lv2").path / "presets.ttl"
    kept = [n for n, p in tr.presets("limiter").items() if p.full()["lookahead_ms"] == 1.0]
    assert len(kept) < len(tr.presets("limiter"))
    assert limiter.exists() == bool(kept)


def test_presets_are_in_the_bundle(tmp_path):
    rack = tr.Rack([tr.Compressor(threshold_db=-30), tr.Gain()], name="a")
    soft = rack.copy()
    soft["compressor"].threshold_db = -12.5
    made = tr.export(rack, tmp_path / "a.lv2", presets={"Soft": soft})
    text = (made.path / "presets.ttl").read_text(encoding="utf-8")
    assert '[ lv2:symbol "compressor_threshold_db" ; pset:value -12.5 ]' in text
    other = soft.copy()
    other["compressor"].lookahead_ms = 2
    with pytest.raises(ValueError, match=r"another compressor\.lookahead_ms, which a plugin cannot move"):
        tr.export(rack, tmp_path / "b.lv2", presets={"x": other})
    with pytest.raises(ValueError, match="has other effects than the rack"):
        tr.export(rack, tmp_path / "b.lv2", presets={"x": tr.Rack([tr.Gain()])})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.lv2"]


@pytest.mark.parametrize("format", ["clap", "vst3"])
def test_hosts_find_presets(tmp_path, format):
    if not Path(_engine.__file__).with_name("twinrack-host").is_file():
        pytest.skip("this installation hosts no plugins")
    rack = tr.Rack([tr.Compressor(threshold_db=-30, attack_ms=3.3), tr.Saturation(curve="fold"), tr.Gain()], name="a")
    soft = rack.copy()
    soft["compressor"].threshold_db, soft["saturation"].curve, soft["gain"].gain_db = -12.5, "tape", -3
    made = tr.export(rack, tmp_path / f"a.{format}", presets={"Soft ü": soft, "Same": rack})
    x = 0.3 * np.random.default_rng(0).standard_normal((2, 9000)).astype(np.float32)
    plugin = tr.Plugin(str(made.path), preset="Soft ü")
    assert plugin.presets == ["As exported", "Same", "Soft ü"]
    np.testing.assert_allclose(tr.Rack([plugin])(x, RATE), soft(x, RATE), atol=3e-6)  # hosts know values as positions
    again = tr.Plugin(str(made.path))
    again.restore(plugin.whole_state())  # the program is part of the state, and does not undo what was moved since
    assert again.values() == plugin.values()
    np.testing.assert_allclose(tr.Rack([again])(x, RATE), soft(x, RATE), atol=3e-6)
    for name in ("As exported", "Same"):
        back = plugin.copy()
        back.load_preset(name)
        np.testing.assert_allclose(tr.Rack([back])(x, RATE), rack(x, RATE), atol=3e-6)
    plain = tr.Plugin(str(tr.export(rack, tmp_path / f"b.{format}", id="urn:b").path))
    assert plain.presets == []
    assert "preset" not in plain.card.addresses


def test_plugins_of_version_1_are_read(tmp_path):
    """As they were written before presets were in the flat form."""
    made = tr.export(tr.Rack([tr.Gain(gain_db=-3)], name="a"), tmp_path / "a.lv2", presets={})
    flat = (made.path / "rack.flat").read_bytes()
    begin = flat.index(b"twinrack flat rack") + len("twinrack flat rack")
    assert struct.unpack_from("<I", flat, begin) == (2,)
    no_presets = flat.index(struct.pack("<IId", 0, 1, 48000.0), begin)  # an empty list before the list of rates
    old = flat[:begin] + struct.pack("<I", 1) + flat[begin + 4 : no_presets] + flat[no_presets + 4 :]
    (made.path / "rack.flat").write_bytes(old)
    assert tr.read_plugin(made.path)["gain"].gain_db == -3
    (made.path / "rack.flat").write_bytes(flat[:begin] + struct.pack("<I", 3) + flat[begin + 4 :])
    with pytest.raises(ValueError, match="it is of version 3, this library reads up to version 2"):
        tr.read_plugin(made.path)


def test_presets_of_like_names_are_apart(tmp_path):
    rack = tr.Rack([tr.Gain()], name="a")
    made = tr.export(rack, tmp_path / "a.lv2", presets=dict.fromkeys(["柔", "硬", "Soft 1", "Soft-1"], rack))
    text = (made.path / "manifest.ttl").read_text(encoding="utf-8")
    assert len({line for line in text.splitlines() if line.startswith("<urn:twinrack:a#preset_")}) == 4


def test_a_plugin_that_is_there_stays_when_the_new_one_fails(tmp_path, monkeypatch):
    made = tr.export(tr.Rack([tr.Gain()], name="a"), tmp_path / "a.lv2")
    real = Path.rename

    def failing(self, target):
        if self.name == "new":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        tr.export(tr.Rack([tr.Limiter()], name="a"), made.path)
    assert tr.read_plugin(made.path) == tr.Rack([tr.Gain()], name="a")


def test_exporting_again_replaces_and_keeps_the_numbers_of_values(tmp_path):
    rack = tr.Rack([tr.Compressor()], name="a")
    for path in (tmp_path / f"a.{format}" for format in FORMATS):
        tr.export(rack, path)
        grown = tr.Rack([tr.Gain(), tr.Compressor()], name="a")
        tr.export(grown, path)
        assert tr.read_plugin(path) == grown
    before, after = ({p.address: p.flat.id for p in host_parameters(r)[0]} for r in (rack, grown))
    assert all(after[a] == number for a, number in before.items())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.clap", "a.lv2", "a.vst3"]


def test_what_cannot_go_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="python is a Python function, which cannot leave this program"):
        tr.export(tr.Rack([tr.PythonEffect(lambda x, rate: x)]), tmp_path / "a.clap")
    with pytest.raises(ValueError, match=r"a plugin is a \.clap file, or a \.lv2 or \.vst3 folder, not .*a\.dll"):
        tr.export(tr.Rack([tr.Gain()]), tmp_path / "a.dll")
    with pytest.raises(ValueError, match="needs a name of 1 to 100"):
        tr.export(tr.Rack([tr.Gain()]), tmp_path / "a.clap", name="\n")
    with pytest.raises(ValueError, match="is not an address such as"):
        tr.export(tr.Rack([tr.Gain()]), tmp_path / "a.clap", id="my plugin")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        tr.export(tr.Rack([tr.Gain()]), tmp_path / "none" / "a.lv2")
    (tmp_path / "mine.lv2").mkdir()
    (tmp_path / "mine.lv2" / "diary.txt").write_text("x")
    with pytest.raises(ValueError, match="is not a plugin of twinrack; choose another name"):
        tr.export(tr.Rack([tr.Gain()]), tmp_path / "mine.lv2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.lv2"]


def test_linear_python_effects_go_as_responses(tmp_path):
    def swap_and_halve(x, rate):
        return 0.5 * x[::-1]

    def echo(x, rate):
        return np.concatenate([x[:, :10], x[:, 10:] + 0.5 * x[:, :-10]], 1)

    rack = tr.Rack([tr.Parallel([[tr.PythonEffect(swap_and_halve, name="swap")], []]), tr.Gain(gain_db=-3)])
    made = tr.export(rack, tmp_path / "a.clap", bounce=True)
    assert any("swap is now its impulse response" in n for n in made.notes)
    x = music(2, FRAMES, RATE)
    y, _ = play(made.path, x, [], 512)
    wet = 10 ** (-3 / 20) * (x + 0.5 * x[::-1])
    late = made.latency_frames
    np.testing.assert_allclose(y[:, late:], wet[:, : FRAMES - late], atol=1e-5)
    for bad in (lambda x, rate: np.tanh(3 * x), echo):  # one bends, one depends on its blocks
        with pytest.raises(ValueError, match="bad is not linear or changes with time: its impulse response is -"):
            tr.export(tr.Rack([tr.PythonEffect(bad, name="bad")]), tmp_path / "b.clap", bounce=True)


def test_other_files_are_not_taken_for_plugins(tmp_path):
    made = tr.export(tr.Rack([tr.Gain()]), tmp_path / "a.clap")
    data = made.path.read_bytes()
    for name, content in {
        "text": b"hello", "empty": b"", "cut": data[:-100], "size": data[:-16] + struct.pack("<Q", 1 << 40) + b"TWINRACK",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.clap").write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.clap is not a plugin that twinrack exported"):
            tr.read_plugin(tmp_path / f"{name}.clap")
    with pytest.raises(ValueError, match="is not a plugin that twinrack exported: it has no rack in it"):
        tr.read_plugin(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no plugin"):
        tr.read_plugin(tmp_path / "none.clap")


def test_a_hostile_patch_inside_is_refused(tmp_path):
    rack = tr.Rack([tr.ConvolutionReverb(impulse_response=decaying_noise(0.01))])
    flat, _, _ = flatten(rack, 2, "urn:x:y", "x")
    good = flat.patch

    def archive(members: dict[str, bytes]) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
            for name, data in members.items():
                z.writestr(name, data)
        return packed.getvalue()

    own = {"patch.rack.json": b"{}"}
    hostile = [
        b"", b"PK", good[:-30], archive({}), archive({**own, "../x": b"1"}), archive({**own, "/etc/x": b"1"}),
        archive({**own, "a/b": b"1"}), archive({**own, "a" * 300: b"1"}),
        archive({**own, **{f"f{i}": b"1" for i in range(40)}}),
        archive({**own, "zeros": bytes((1 << 30) + 1)}),
    ]  # fmt: skip
    random = np.random.default_rng(0)
    for _ in range(60):
        edited = bytearray(good)
        edited[random.integers(len(good))] ^= 1 << random.integers(8)
        hostile.append(bytes(edited))
    place = tmp_path / "x.lv2"
    place.mkdir()
    for patch in hostile:
        flat.patch = patch
        (place / "rack.flat").write_bytes(flat.to_bytes())
        try:
            tr.read_plugin(place)
        except ValueError as error:
            assert "x.lv2 is not a plugin that twinrack exported: " in str(error)  # noqa: PT017
    assert [p.name for p in tmp_path.iterdir()] == ["x.lv2"]


def test_damaged_flat_racks_are_refused_and_nothing_crashes():
    """Bytes that are changed or missing: refused with a sentence, or a rack that plays finite sound."""
    rack = tr.Rack([tr.Compressor(), tr.Parallel([[tr.ConvolutionReverb(impulse_response=decaying_noise(0.01))], []])])
    data = flatten(rack, 2, "urn:x:y", "x")[0].to_bytes()
    random = np.random.default_rng(1)
    x = music(2, 512, RATE)
    refused, count = 0, int(os.environ.get("TWINRACK_FLAT_EDITS", "400"))
    for i in range(count):
        edited = bytearray(data)
        if i % 3 == 0:
            edited = edited[: random.integers(len(data))]
        else:
            for at in random.integers(0, min(len(data), 4000), random.integers(1, 4)):
                edited[at] = random.integers(256)
        try:
            flat = _engine.FlatRack.from_bytes(bytes(edited))
            player = _engine.Player(flat, 48000.0)
        except ValueError:
            refused += 1
            continue
        assert np.isfinite(player.process(np.resize(x, (flat.channels, 512)))).all()
    assert refused > count / 3  # those that end too early at least


def test_the_commands(tmp_path):
    rack = tr.Rack([tr.Compressor(threshold_db=-30), tr.ConvolutionReverb(impulse_response=decaying_noise(0.05))], name="Vocal")
    rack.save(tmp_path / "vocal.rack.json")
    for arguments in (
        ["--as", "clap"],
        ["--as", "vst3"],
        ["--out", "other.lv2", "--name", "Mine", "--id", "urn:me:mine", "--channels", "1", "--preset", "Same=vocal.rack.json"],
    ):
        result = run("export", "vocal.rack.json", *arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "convolution_reverb.trim_ms stays as it is: it shapes a response" in result.stdout
    assert "id urn:me:mine" in result.stdout
    for plugin in ("vocal.clap", "vocal.vst3", "other.lv2"):
        result = run("import", plugin, "--out", "back.rack.json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert tr.load(tmp_path / "back.rack.json") == rack
    for arguments, words in (
        (["export", "vocal.rack.json"], "say which plugin: --as lv2, clap or vst3"),
        (["export", "none.rack.json", "--as", "clap"], "none.rack.json"),
        (["export", "vocal.rack.json", "--as", "lv2", "--preset", "x"], "is not NAME=PATCH"),
        (["import", "vocal.rack.json", "--out", "b.rack.json"], "is not a plugin that twinrack exported"),
        (["import", "vocal.clap", "--out", "none/b.rack.json"], "none"),
    ):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert words in result.stderr
        assert "Traceback" not in result.stderr


# --- the player ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", CARDS)
def test_reset_is_as_new(effect):
    """After sound, a bypass half way, moves that still glide, and values that were set: silence and frame 0."""
    random = np.random.default_rng(5)
    rack = tr.Rack([tr.Gain(), tr.Parallel([[random_effect(CARDS[effect], random)], []])])
    channels = 1 if CARDS[effect].channels == "mono" else 2
    flat, parameters, _ = flatten(rack, channels, "urn:x:y", "x")
    player, new = (_engine.Player(flat, RATE) for _ in range(2))
    moves = [(p.flat.index, p.parameter.to_engine(p.parameter.at(random.random()))) for p in parameters]
    player.process(music(channels, 7777, RATE, 2))
    for index, value in moves:
        player.change(index, value)
        new.change(index, value)
    player.process(music(channels, 333, RATE, 3))
    player.bypass(True)
    player.process(music(channels, 100, RATE, 4))
    player.bypass(False)
    player.reset()
    x = music(channels, 9000, RATE, 6)
    np.testing.assert_array_equal(player.process(x), new.process(x))


def test_an_unprepared_rate_is_refused_by_name():
    with_response = tr.Rack([tr.ConvolutionReverb(impulse_response=decaying_noise(0.01))])
    flat = flatten(with_response, 2, "urn:x:y", "hall")[0]
    assert 44100.0 in flat.rates
    with pytest.raises(ValueError, match="hall was not prepared for a sample rate of 12345 Hz, only for 8000, "):
        _engine.Player(flat, 12345.0)
    _engine.Player(flatten(tr.Rack([tr.Gain()]), 2, "urn:x:y", "x")[0], 12345.0)
    at_48 = tr.Rack([tr.Adapter(network=tr.Network.lstm(4, sample_rate=48000))])
    flat, _, notes = flatten(at_48, 2, "urn:x:y", "amp")
    assert flat.rates == [48000.0]
    assert any("it plays at 48000 Hz only: the network of adapter was trained at 48000 Hz" in n for n in notes)


def test_a_sidechain_that_is_not_connected_leaves_the_others_alone():
    rack = tr.Rack([tr.Compressor(key="a"), tr.Gate(key="b")])
    flat = flatten(rack, 1, "urn:x:y", "x")[0]
    x, key = music(1, 4000, RATE, 1), music(1, 4000, RATE, 2)
    y = _engine.Player(flat, RATE).process(x)
    own = tr.Rack([tr.Compressor(), tr.Gate()])
    own.prepare(RATE, 1)
    np.testing.assert_array_equal(y, own.process(x))
    assert np.isfinite(_engine.Player(flat, RATE).process(x, [key])).all()
