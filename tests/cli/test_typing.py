"""What editors and type checkers know: right scripts pass, every wrong line is refused; help and completion show all."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import twinrack as tr

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "data" / "typing"
LIMIT_S = 600


def wrong_lines() -> dict[int, str]:
    """The lines of the wrong script that a checker must refuse, by number."""
    lines = (SCRIPTS / "wrong.py").read_text(encoding="utf-8").splitlines()
    return {n: line for n, line in enumerate(lines, 1) if line.endswith("# wrong")}


def check(refused: dict[str, set[int]]) -> None:
    wrong = wrong_lines()
    assert len(wrong) > 25
    assert not refused.get("right.py"), f"right code is refused in lines {refused['right.py']}"
    missed = {n: line for n, line in wrong.items() if n not in refused.get("wrong.py", set())}
    assert not missed
    assert refused["wrong.py"] <= set(wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts, outside the repository, so that nothing of its configuration helps."""
    folder = tmp_path_factory.mktemp("typing")
    for name in ("right.py", "wrong.py"):
        (folder / name).write_text((SCRIPTS / name).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_mypy_knows_right_from_wrong(folder: Path):
    pytest.importorskip("mypy", reason="mypy is not installed; pip install -e '.[dev]'")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--python-version=3.11", "--follow-imports=silent"]
    command += [f"--cache-dir={folder / 'cache'}", "right.py", "wrong.py"]
    environment = os.environ | {"MYPYPATH": str(ROOT / "python")}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    refused: dict[str, set[int]] = {}
    for file, line in re.findall(r"^(\w+\.py):(\d+): error", run.stdout, re.MULTILINE):
        refused.setdefault(file, set()).add(int(line))
    assert refused, run.stdout + run.stderr
    check(refused)


def test_pyright_knows_right_from_wrong(folder: Path):
    pytest.importorskip("pyright", reason="pyright is not installed; pip install 'pyright[nodejs]'")
    settings = {"extraPaths": [str(ROOT / "python")], "pythonVersion": "3.11", "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    try:
        found = json.loads(run.stdout)["generalDiagnostics"]
    except ValueError:
        pytest.skip(f"pyright does not start here: {(run.stderr or run.stdout).strip()[-200:]}")
    refused: dict[str, set[int]] = {}
    for item in found:
        if item["severity"] == "error":
            refused.setdefault(Path(item["file"]).name, set()).add(item["range"]["start"]["line"] + 1)
    check(refused)


# --- what functions show ---------------------------------------------------------------------------------------------------


def by_name(function: Callable[..., Any]) -> dict[str, Any]:
    """Arguments by name, with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_signatures_show_what_is_handed_on():
    from twinrack.session import measure, output, render
    from twinrack.session.channel import ChannelSettings, FaderSettings, Law
    from twinrack.train import settings
    from twinrack.train.fit import fit_rack
    from twinrack.train.mixdown import fit_mix

    assert set(by_name(fit_rack)) <= set(by_name(tr.fit))
    assert set(by_name(fit_mix)) - {"levels", "prune"} <= set(by_name(tr.fit))
    assert set(settings.FitSettings.__annotations__) == set(by_name(fit_rack))
    assert set(settings.MixFitSettings.__annotations__) == set(by_name(fit_mix))
    assert set(settings.MatchSettings.__annotations__) < set(by_name(tr.match))
    assert set(settings.SearchSettings.__annotations__) < set(by_name(tr.search))
    assert by_name(tr.fit)["steps"] == by_name(fit_rack)["steps"]
    assert by_name(tr.live) == by_name(tr.LiveStream)
    assert "block_size" in by_name(tr.live)
    for method, function in (
        (tr.Session.render, render.render),
        (tr.Session.render_to, output.render_to),
        (tr.Session.stems, render.stems),
        (tr.Session.report, measure.measure),
    ):
        assert by_name(method) == by_name(function), method
    for method in (tr.Session.add_track, tr.Session.add_group, tr.Session.add_return):
        assert set(by_name(method)) == set(by_name(tr.Channel)) == set(ChannelSettings.__annotations__)
    for owner in (tr.Channel.send, tr.Send):
        assert set(FaderSettings.__annotations__) - {"gain_db"} <= set(by_name(owner))
    assert get_args(Law) == tr.Fader.card.addresses["law"].options


def test_types_of_settings_are_those_of_the_function():
    from twinrack.stage.stream import LiveStream
    from twinrack.train import losses, mixdown, settings
    from twinrack.train.fit import fit_rack

    names = vars(settings) | {"LiveStream": LiveStream, "Loss": losses.Loss, "Term": losses.Term}
    for table, function in ((settings.FitSettings, fit_rack), (settings.MixFitSettings, mixdown.fit_mix)):
        plain = inspect.unwrap(function)
        hints = get_type_hints(plain, {**plain.__globals__, **names})
        for name, kind in get_type_hints(table, names, names).items():
            assert hints[name] == kind, name


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: tr.fit(tr.Rack(tr.Gain()), [0.0], [0.0], 48000, stepz=1),
            "fit has no argument 'stepz'; did you mean 'steps'?",
        ),
        (
            lambda: tr.match(tr.Rack(tr.Gain()), [0.0], 48000, tagret=1),
            "match has no argument 'tagret'; did you mean 'target'?",
        ),
        (
            lambda: tr.search(tr.Rack(tr.Gain()), [0.0], [0.0], trails=1),
            "search has no argument 'trails'; did you mean 'trials'?",
        ),
        (lambda: tr.live(tr.Rack(), blocksize=64), "live has no argument 'blocksize'; did you mean 'block_size'?"),
        (lambda: tr.Session().render(tial=1), "render has no argument 'tial'; did you mean 'tail'?"),
        (lambda: tr.Session().render_to("a.wav", normalise_lufs=1), "did you mean 'normalize_lufs'?"),
        (lambda: tr.Session().add_track("v", clipz=[]), "add_track has no argument 'clipz'; did you mean 'clips'?"),
        (lambda: tr.Session().add_track("v").send("r", tpa="pre"), "send has no argument 'tpa'; did you mean 'tap'?"),
        (lambda: tr.fit(tr.Rack(tr.Gain()), [0.0], [0.0], 48000, prune=True), "levels and prune are for a session"),
    ],
)
def test_an_argument_that_is_none(call: Callable[[], Any], sentence: str):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        call()


# --- what is found by name -------------------------------------------------------------------------------------------------


def test_dir_lists_every_public_name():
    code = "import twinrack, json; print(json.dumps([dir(twinrack), twinrack.__all__]))"
    there, public = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert set(public) <= set(there)
    for name in public:
        getattr(tr, name)


def test_effects_list_their_parameters():
    for effect in tr.effects.CLASSES.values():
        made = effect()
        assert set(effect._parameters) <= set(dir(made))
        assert all(getattr(made, name) == made.get(name) for name in effect._parameters)


def completed(code: str, start: str) -> set[str]:
    jedi = pytest.importorskip("jedi", reason="jedi completes names in IPython; pip install jedi")
    space: dict[str, Any] = {}
    exec(code, space)
    return {c.name for c in jedi.Interpreter(start, [space]).complete()}


def test_completion_at_run_time():
    assert {"Session", "fit", "live", "certify", "losses"} <= completed("import twinrack as tr", "tr.")
    assert "threshold_db" in completed("import twinrack as tr; c = tr.Rack(tr.Compressor())['compressor']", "c.thr")
    assert "threshold_db" in completed("import twinrack as tr; c = tr.Compressor()", "c.thr")
    assert any("stft_weight" in name for name in completed("import twinrack as tr; tr.fit", "tr.fit(None, None, None, stft"))
    assert tr.Rack([tr.Gain(name="out")])._ipython_key_completions_() == ["out"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Reverb", "'FDNReverb' or 'ConvolutionReverb'"), ("EQ", "'ParametricEQ'"), ("Equalizer", "'ParametricEQ'"),
        ("NoiseGate", "'Gate'"), ("Distortion", "'Saturation'"), ("Convolution", "'ConvolutionReverb'"), ("NAM", "'Adapter'"),
        ("compressor", "'Compressor'"), ("Compresor", "'Compressor'"), ("LowPassFilter", "'ParametricEQ'"),
        ("serach", "'search'"), ("Echo", "'Delay'"), ("TransientDesigner", "'TransientShaper'"),
    ],
)  # fmt: skip
def test_names_of_other_programs(name: str, meant: str):
    with pytest.raises(AttributeError, match=re.escape(f"; did you mean {meant}?")):
        getattr(tr, name)


@pytest.mark.parametrize("name", ["multiband", "Multiband_Compressor"])
def test_names_of_what_is_not_an_effect(name: str):
    with pytest.raises(ValueError, match="Bands"):
        tr.find_card(name)


def test_unknown_names_without_a_guess():
    assert not hasattr(tr, "qqqq")
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzzzz'$"):
        tr.zzzzzz  # noqa: B018
