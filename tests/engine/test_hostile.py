"""Whatever is given to whatever is public is taken, or refused in one short sentence: no raw error, no hang, no flood."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import twinrack as tr
from twinrack import losses, priors, targets
from twinrack.checks import brief, check_integer, visible
from twinrack.render.file import render_file
from twinrack.resources.architectures import Convolution, ConvStack, Recurrent

RATE = 22050
FINE = (ValueError, TypeError, OSError, RuntimeError, KeyError, IndexError, AttributeError)


class Failing:
    """An object that refuses everything."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    __str__ = __repr__

    def __index__(self) -> int:
        raise ZeroDivisionError("index")

    def __float__(self) -> float:
        raise ZeroDivisionError("float")

    def __array__(self, *args: Any, **settings: Any) -> Any:
        raise ZeroDivisionError("array")

    def __fspath__(self) -> str:
        raise ZeroDivisionError("fspath")


HOSTILE: dict[str, Any] = {
    "huge": 10**400, "minus huge": -(10**400), "int64": 2**63, "large": 1e308, "nan": math.nan, "inf": math.inf,
    "minus inf": -math.inf, "true": True, "zero": 0, "minus one": -1, "half": 0.5, "complex": 1j, "none": None,
    "np int": np.int64(-7), "np float": np.float32(np.nan), "np bool": np.bool_(True), "0-d": np.array(3.0),
    "empty array": np.zeros(0),
    "two": np.array([1.0, 2.0]), "objects": np.array([None, "a"], object), "strings": np.array(["a", "b"]),
    "3-d": np.zeros((2, 2, 2)), "masked": np.ma.masked_array(np.ones((1, 4)), mask=True),
    "empty": "", "nul": "\0", "long": "a" * 10**5, "surrogate": "\ud800", "escape": "\x1b[2J\r\n\u202eabc", "number": "12",
    "bytes": b"", "long bytes": b"\xff" * 10**4, "list": [], "nested": [[[]]], "dict": {}, "mixed": {"a": object(), 3: [1]},
    "many": list(range(10**4)), "ragged": [[1, 2], [3]], "object": object(), "class": int, "function": lambda: 3,
    "failing": Failing(), "set": {1, 2}, "generator": (i for i in range(3)),
}  # fmt: skip


FEW = ("huge", "int64", "nan", "inf", "long", "surrogate", "many", "failing", "object", "minus one", "np int", "ragged")


def noise(frames: int = 2000, channels: int = 1) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(0).standard_normal((channels, frames)) * 0.1).astype(np.float32)


def rack() -> tr.Rack:
    return tr.Rack([tr.Gain(), tr.Compressor(name="comp"), tr.Chain([tr.ParametricEQ()])])


def session() -> tr.Session:
    made = tr.Session("s", sample_rate=RATE)
    made.add_track("a", clips=[tr.Clip(noise(4000, 2), sample_rate=RATE)])
    return made


def calls(folder: Any) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """What is called, and settings that are fine; each of them is then replaced."""
    for name in tr.effects.__all__:  # type: ignore[attr-defined]
        cls = getattr(tr, name)
        given = {p: None for p in inspect.signature(cls).parameters}
        yield name, cls, given
    yield "Chain", tr.Chain, {"items": []}
    yield "Parallel", tr.Parallel, {"branches": [[]]}
    yield "Bands", tr.Bands, {"bands": [[], []], "splits_hz": [300.0]}
    yield "MidSide", tr.MidSide, {"mid": [], "side": []}
    yield "dry_wet", tr.dry_wet, {"wet": tr.Gain(), "mix": 0.5}
    yield "Rack", tr.Rack, {"effects": [], "name": "r"}
    fine = {"x": noise(), "sample_rate": RATE, "tail": 0.0, "sidechain": None, "automation": {"gain.gain_db": [0.0, 1.0]}}
    yield "call", lambda **k: rack()(**k), fine
    fine = {k: v for k, v in fine.items() if k != "tail"} | {"changes": [(3, "gain.gain_db", 1.0)]}
    yield "trace", lambda **k: rack().trace(**k), fine
    yield "automation curve", lambda curve: rack()(noise(), RATE, automation={"gain.gain_db": curve}), {"curve": [0.0]}
    yield (
        "change",
        lambda **k: rack().trace(noise(), RATE, changes=[tuple(k.values())]),
        {"f": 3, "a": "gain.gain_db", "v": 1.0},
    )
    yield "prepare", lambda **k: rack().prepare(**k), {"sample_rate": RATE, "channels": 1, "first_frame": 0}

    def process(block: Any) -> Any:
        r = rack()
        r.prepare(RATE, 1)
        return r.process(block)

    yield "process", process, {"block": noise()}
    yield "set", lambda **k: rack().set(**k), {"address": "comp.ratio", "value": 2.0}
    yield "set choice", lambda **k: rack().set("comp.detector", **k), {"value": "rms"}
    yield "set switch", lambda **k: rack().set("comp.auto_makeup", **k), {"value": True}
    yield "get", lambda **k: rack().get(**k), {"address": "comp.ratio"}
    yield "item", lambda address: rack()[address], {"address": "comp"}
    yield "insert", lambda **k: rack().insert(**k), {"index": 0, "item": tr.Chain()}
    yield "remove", lambda **k: rack().remove(**k), {"address": "gain"}
    yield "assign", lambda items: setattr(rack(), "effects", items), {"items": []}
    yield "isclose", lambda **k: rack().isclose(**k), {"other": rack(), "tolerance": 0.1}
    yield "save", lambda **k: rack().save(**k), {"path": folder / "a.rack.json"}
    yield "load", tr.load, {"path": folder / "b.rack.json"}
    yield "name in a file", lambda name: tr.Rack([], name=name).save(folder / "n.rack.json"), {"name": "n"}
    yield "twin", lambda **k: rack().twin(**k), {"sample_rate": RATE}
    yield "find_card", tr.find_card, {"effect": "gain"}
    yield "Response", tr.Response, {"samples": noise(), "sample_rate": RATE, "source": ""}
    yield "Response.read", tr.Response.read, {"path": folder / "none.wav"}
    yield "Response.at", lambda **k: tr.Response(noise(), RATE).at(**k), {"sample_rate": RATE}
    small = ConvStack((Convolution(1),))
    yield (
        "Network",
        tr.Network,
        {"architecture": small, "weights": None, "sample_rate": RATE, "source": "", "seed": 0, "quiet": True},
    )
    for make in ("wavenet", "mlp", "lstm", "gru", "convolutions"):
        if hasattr(tr.Network, make):
            call = getattr(tr.Network, make)
            yield make, call, {p.name: p.default for p in inspect.signature(call).parameters.values()}
    yield "Network.read", tr.Network.read, {"path": folder / "none.nam"}
    yield "Convolution", lambda **k: tr.Network(ConvStack((Convolution(**k),))), {"outputs": 1, "kernel": 1, "dilation": 1}
    yield "Recurrent", lambda **k: tr.Network(Recurrent("lstm", **k)), {"hidden": 2, "layers": 1}
    fine = {p.name: p.default for p in inspect.signature(tr.ControlNetwork).parameters.values()} | {"targets": ["gain.gain_db"]}
    yield "ControlNetwork", tr.ControlNetwork, fine
    yield (
        "PythonEffect",
        tr.PythonEffect,
        {"function": lambda x, r: x, "block_frames": 64, "blocks": 2, "name": "n", "bypass": False},
    )
    fine = {"name": "s", "sample_rate": RATE, "width": 2, "tempo": 120, "end": 1.0, "metadata": {}}
    yield "Session", tr.Session, fine
    yield "Tempo", lambda **k: tr.Session(tempo=[tr.Tempo(**k)]), {"beat": 0.0, "bpm": 120.0, "ramp": False}
    for name, cls in (
        ("Channel", tr.Channel),
        ("Send", tr.Send),
        ("Clip", tr.Clip),
        ("Point", tr.Point),
        ("Safety", tr.Safety),
    ):
        parameters = inspect.signature(cls).parameters.values()
        fine = {p.name: None if p.default is p.empty else p.default for p in parameters if p.kind not in (p.VAR_KEYWORD,)}
        if name == "Clip":
            fine |= {"source": noise(100, 2), "sample_rate": RATE}
        if name in ("Channel", "Send"):
            fine |= {k: "a" for k in ("name", "to") if k in fine}
        fine |= {k: [] for k, v in fine.items() if type(v).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"}
        yield name, cls, fine
    parameters = inspect.signature(tr.Clip).parameters
    clip = {p.name: p.default for p in parameters.values()} | {"source": noise(100, 2), "sample_rate": RATE}

    def heard(**k: Any) -> Any:
        s = session()
        s.add_track("b", clips=[tr.Clip(**k)])
        return s.render(tail=None)

    yield "a clip that is heard", heard, clip
    yield (
        "add_track",
        lambda **k: session().add_track(**k),
        {"name": "b", "clips": [], "rack": [], "gain_db": 0.0, "delay": 0.0},
    )
    yield "add_send", lambda **k: session()["a"].add_send(**k), {"to": "master", "gain_db": 0.0}
    yield "automate", lambda **k: session().automate(**k), {"address": "a.gain_db", "points": [(0.0, 0.0)]}
    yield "session.set", lambda **k: session().set(**k), {"address": "a.gain_db", "value": 0.0}
    yield "session.get", lambda **k: session().get(**k), {"address": "a.gain_db"}
    yield "session item", lambda name: session()[name], {"name": "a"}
    yield "render", lambda **k: session().render(**k), {"start": 0.0, "end": 0.05, "tail": None}
    to = {"start": 0.0, "end": 0.05, "tail": None, "channel": "master", "bits": 16, "sample_rate": None}
    to |= {"normalize_lufs": None, "true_peak_db": None, "threads": 1, "step": None, "manifest": False}
    yield "render_to", lambda **k: session().render_to(folder / "o.wav", **k), to
    yield "render_to where", lambda path: session().render_to(path, manifest=False), {"path": folder / "o.wav"}
    yield "session.save", lambda **k: session().save(**k), {"path": folder / "s.session.json", "collect": True}
    yield "Session.load", lambda path: tr.Session.load(path), {"path": folder / "none.session.json"}
    yield "session's name in a file", lambda name: tr.Session(name).save(folder / "t.session.json"), {"name": "n"}
    file = {
        "source": folder / "in.wav",
        "path": folder / "o.wav",
        "rack": rack(),
        "bits": 16,
        "sample_rate": None,
        "tail": None,
    }
    yield "render_file", render_file, file | {"sidechain": None}
    train = {"steps": 0, "seed": 0, "batch": 1, "window_s": 1.0, "patience": 1, "polish_steps": 0, "learn": ["gain.gain_db"]}
    train |= {"freeze": (), "choices": (), "starts": 0, "conditions": (), "learning_rate": 0.01, "loss": None, "align": False}
    train |= {"stft_weight": 1.0, "waveform_weight": 1.0, "validation": False, "checkpoint": None, "progress": False}
    gains = tr.Rack([tr.Gain()])
    sounds = {"dry": noise(RATE), "wet": noise(RATE), "sample_rate": RATE}
    yield "fit", tr.fit, {"rack": gains} | sounds | train
    yield (
        "match",
        tr.match,
        {"rack": gains, "sound": noise(RATE), "sample_rate": RATE, "target": targets.Loudness(-20), "steps": 0},
    )
    few = {"trials": 1, "use": False, "order": True, "price": 0.1, "tolerance": 0.1, "steps": 0, "final_steps": 0, "seed": 0}
    yield "search", tr.search, {"rack": gains} | sounds | few
    yield "ablate", tr.ablate, {"rack": gains, "x": noise(RATE), "sample_rate": RATE, "parameters": False}
    yield "certify", tr.certify, {"rack": gains}
    for module in (losses, targets, priors):
        for name, cls in vars(module).items():
            if inspect.isclass(cls) and cls.__module__ == module.__name__ and not name.startswith("_"):
                parameters = inspect.signature(cls).parameters.values()
                fine = {p.name: p.default for p in parameters if p.default is not p.empty and p.kind is not p.VAR_KEYWORD}
                yield f"{module.__name__}.{name}", cls, fine


ALL = [name for name, _, _ in calls(__import__("pathlib").Path("."))]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALL)
def test_one_short_sentence_or_nothing(name, tmp_path, monkeypatch):
    import soundfile as sf

    monkeypatch.chdir(tmp_path)
    sf.write(tmp_path / "in.wav", noise()[0], RATE)
    rack().save(tmp_path / "b.rack.json")
    _, call, fine = next(c for c in calls(tmp_path) if c[0] == name)
    wrong = []
    for argument in fine:
        for kind, value in HOSTILE.items():
            if name in ("fit", "match", "search", "ablate") and kind not in FEW:
                continue  # each takes a whole training
            try:
                call(**(fine | {argument: value}))
            except FINE as error:
                said = str(error)
                if len(said) > 300 or "\n" in said or "Errno" in said or visible(said) != said or "\ud800" in said:
                    wrong.append(
                        f"{argument} = {kind}: {type(error).__name__}: {len(said)} characters: {brief(said[:200], 200)}"
                    )
            except Exception as error:
                wrong.append(f"{argument} = {kind}: {type(error).__name__}: {brief(str(error)[:100], 100)}")
    assert not wrong, "\n".join(wrong)


COUNTS: dict[str, Callable[[Any], Any]] = {
    "channels": lambda n: rack().prepare(RATE, n),
    "width": lambda n: tr.Session(width=n),
    "steps": lambda n: tr.fit(tr.Rack([tr.Gain()]), noise(RATE), noise(RATE), RATE, steps=n, progress=False),
    "block_frames": lambda n: tr.PythonEffect(lambda x, r: x, block_frames=n * 32),
    "threads": lambda n: session().render(threads=n) if "threads" in inspect.signature(tr.Session.render).parameters else None,
    "kernel": lambda n: tr.Network.wavenet((2,), (1, 2), kernel=n),
    "index": lambda n: rack().insert(n, tr.Gain()),
    "trials": lambda n: tr.search(
        tr.Rack([tr.Gain()]), noise(RATE), noise(RATE), RATE, trials=n, steps=0, final_steps=0, use=False
    ),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_numpys_integers_are_counts(name, kind):
    COUNTS[name](kind(2))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int16, np.array])
def test_numpys_numbers_are_values_and_can_be_saved(kind, tmp_path):
    r = tr.Rack([tr.Compressor(threshold_db=kind(-20), ratio=kind(4), auto_makeup=np.bool_(True)), tr.Gain(gain_db=kind(3))])
    r.save(tmp_path / "a.rack.json")
    assert tr.load(tmp_path / "a.rack.json") == r
    assert type(r["gain"].gain_db) is float
    assert type(r["compressor"].auto_makeup) is bool
    assert np.array_equal(r(noise(), kind(RATE) if kind is not np.float16 else RATE), r(noise(), RATE))
    s = session()
    s["a"].gain_db = kind(-3)
    s.add_track("b", clips=[tr.Clip(noise(100, 2), start=kind(1), sample_rate=RATE, gain_db=kind(2))], gain_db=kind(-6))
    s.automate("a.gain_db", [(kind(0), kind(0)), (kind(1), kind(-6))])
    s.save(tmp_path / "s.session.json", collect=True)
    again = tr.Session.load(tmp_path / "s.session.json")
    assert (
        np.array_equal(again.render(tail=None).audio, s.render(tail=None).audio)
        if hasattr(again.render(tail=None), "audio")
        else np.array_equal(again.render(tail=None), s.render(tail=None))
    )


def test_masked_samples_are_refused_and_a_mask_without_any_is_not():
    x = np.ma.masked_array(noise(), mask=False)
    assert np.array_equal(rack()(x, RATE), rack()(noise(), RATE))
    x[0, 3] = np.ma.masked
    with pytest.raises(ValueError, match="1 masked samples; fill them"):
        rack()(x, RATE)


@pytest.mark.parametrize("wrap", [lambda c: tr.Chain([c]), lambda c: tr.Parallel([c, tr.Gain()])])
def test_what_can_be_built_can_be_saved_and_loaded(wrap, tmp_path):
    for depth in [1, 2, *range(25, 70), 100, 300, 2000]:
        tree: Any = tr.Chain([tr.Gain()])
        try:
            for _ in range(depth):
                tree = wrap(tree)
            r = tr.Rack([tree])
        except ValueError as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert "nested more than 64 deep" in refused
            assert depth > 25
            continue
        r.save(tmp_path / "n.rack.json")
        assert tr.load(tmp_path / "n.rack.json") == r
        assert r.copy() == r
        assert repr(r)
        r(noise(), RATE)
        s = tr.Session("s", sample_rate=RATE)
        s.add_track("a", rack=[item.copy() for item in r.effects])
        s.save(tmp_path / "s.session.json")
        tr.Session.load(tmp_path / "s.session.json")


def test_files_that_are_nested_too_deeply(tmp_path):
    entry = '{"effect": "gain", "version": "1.0.0"}'
    for depth in (60, 65, 300, 5000):
        text = '{"chain": [' * depth + entry + "]}" * depth
        (tmp_path / "d.rack.json").write_text('{"format":"twinrack.rack","version":1,"name":"x","rack":[' + text + "]}")
        if depth == 60:
            tr.load(tmp_path / "d.rack.json").save(tmp_path / "e.rack.json")
            continue
        with pytest.raises(ValueError, match=r"d\.rack\.json") as caught:
            tr.load(tmp_path / "d.rack.json")
        assert len(str(caught.value)) < 300


def test_a_chain_inside_itself():
    chain = tr.Chain([tr.Gain()])
    chain.items.append(chain)
    with pytest.raises(ValueError, match="nested more than"):
        tr.Rack([chain])


def test_values_in_words():
    assert brief("a" * 10**6).startswith("'aaa")
    assert len(brief("a" * 10**6)) <= 60
    assert brief(10**400) == "an integer of 401 digits"
    assert brief(Failing()) == "a Failing"
    assert "\x1b" not in brief("\x1b[2J")
    assert (
        visible("a\x1b[31m\u202e\u2066\ud800\x9b\x7f\r\n\tb é 漢 🎚")
        == "a\\x1b[31m\\u202e\\u2066\\ud800\\x9b\\x7f\\x0d\n\tb é 漢 🎚"
    )
    assert visible("a\nb", lines=False) == "a\\x0ab"
    for wrong in (True, 1.0, "1", None, np.float64(1), np.array([1]), Failing(), 10**400, -1):
        with pytest.raises(ValueError, match=r"^n must be an integer from 0 to 5, got .+$"):
            check_integer(wrong, "n", 0, 5)
