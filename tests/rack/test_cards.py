"""The card is the only list of parameters: classes, ranges, errors, tables; an incomplete card stops the build."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import twinrack as tr
from support import CARD_IDS
from twinrack.build.card_schema import RESOURCE_CLASSES, Card, CardError, read_card, read_cards
from twinrack.build.codegen import main as generate
from twinrack.measure.curves import MEASUREMENTS
from twinrack.resources.types import TYPES

ROOT = Path(__file__).resolve().parents[2]
GAIN = (ROOT / "plugins/gain/card.toml").read_text(encoding="utf-8")


@pytest.fixture
def card_file(tmp_path):
    (tmp_path / "gain").mkdir()
    return tmp_path / "gain" / "card.toml"


@pytest.mark.parametrize("field", ["purpose", "rationale", "assumptions", "references", "version", "min", "max", "expected"])
def test_a_card_without_a_field_names_file_and_field(card_file, field):
    lines = GAIN.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{field} ="))
    end = start + 1
    if lines[start].rstrip().endswith("["):
        end = next(i for i in range(start, len(lines)) if lines[i].startswith("]")) + 1
    card_file.write_text("\n".join(lines[:start] + lines[end:]), encoding="utf-8")
    with pytest.raises(CardError) as error:
        read_card(card_file)
    assert str(card_file) in str(error.value)
    assert field in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("default = 0.0\nexpected = [-24", "default = 99.0\nexpected = [-24", "default 99.0 is outside"),
        ("expected = [-24.0, 12.0]", "expected = [-24.0, 120.0]", "expected"),
        ("min = -100.0", "min = 100.0", "not below max"),
        ('scale = "linear"', 'scale = "log"', "needs min above 0"),
        ('default = "normal"', 'default = "upside_down"', "none of"),
        ('id = "balance"', 'id = "gain_db"', "declared twice"),
        ('id = "balance"', 'id = "bypass"', "cannot be the name"),
        ('id = "gain"\n', 'id = "loudness"\n', "name of its folder"),
        ('doc = "Gain;', 'colour = "red"\ndoc = "Gain;', "colour"),
        ("purpose = ", "purpose = = ", "not valid TOML"),
        ('role = "level"', 'role = "loud"', "polarity.role: Input should be 'main', 'level' or 'fine'"),
        ('category = "linear"', 'category = "loud"', "category: Input should be 'linear'"),
        ('loops = "none"', 'loops = "some"', "loops: Input should be 'none'"),
        ('loops = "none"', 'curves = ["loudness"]', "curves.0: Input should be 'response'"),
    ],
)
def test_a_wrong_card_is_refused(card_file, old, new, words):
    assert old in GAIN
    card_file.write_text(GAIN.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CardError, match=r"card\.toml") as error:
        read_card(card_file)
    assert words in str(error.value)


@pytest.mark.parametrize(("field", "value"), [("loops", '"none"'), ("curves", '["response"]')])
def test_what_a_card_says_does_not_stand_in_a_file_too(card_file, field, value):
    card_file.write_text(GAIN.replace('loops = "none"', f"{field} = {value}", 1), encoding="utf-8")
    read_card(card_file)
    (card_file.parent / f"{field}.py").touch()
    with pytest.raises(CardError, match=rf"{field}: also stands in {field}\.py beside it"):
        read_card(card_file)


def test_the_build_stops_with_one_sentence(tmp_path):
    (tmp_path / "plugins" / "gain").mkdir(parents=True)
    (tmp_path / "plugins" / "gain" / "card.toml").write_text(GAIN.replace("purpose", "porpoise", 1), encoding="utf-8")
    command = [sys.executable, ROOT / "python/twinrack/build/codegen.py", tmp_path / "plugins", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "card.toml: purpose: Field required" in done.stderr
    assert "Traceback" not in done.stderr


def test_generated_tables_hold_every_parameter(tmp_path):
    generate(ROOT / "plugins", tmp_path)
    header, stub = (tmp_path / "cards.h").read_text(), (tmp_path / "effects.pyi").read_text()
    for card in tr.CARDS.values():
        for address in card.addresses:
            assert f'{{"{address}", ' in header
        for p in card.parameters:
            assert f"        {p.id}: " in stub
    before = (tmp_path / "cards.h").stat().st_mtime_ns
    generate(ROOT / "plugins", tmp_path)
    assert (tmp_path / "cards.h").stat().st_mtime_ns == before  # unchanged cards rebuild nothing


def test_two_cards_may_not_share_a_class(tmp_path):
    for name in ("gain", "gain_again"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.toml").write_text(GAIN.replace('id = "gain"', f'id = "{name}"', 1), encoding="utf-8")
    with pytest.raises(CardError, match="class: Gain is also that of gain"):
        read_cards(tmp_path)


def test_what_cards_may_name_exists():
    assert {kind: cls.__name__ for kind, cls in TYPES.items()} == RESOURCE_CLASSES
    named = Card.model_json_schema()["properties"]["curves"]["anyOf"][0]["items"]["enum"]
    assert set(named) == set(MEASUREMENTS)


def test_the_json_schema_is_complete():
    schema = Card.model_json_schema()
    for field in ("purpose", "rationale", "assumptions", "references", "version", "id", "class"):
        assert field in schema["required"]


@pytest.mark.parametrize("card", CARD_IDS)
def test_classes_come_from_the_card(card):
    c = tr.CARDS[card]
    cls = getattr(tr, c.class_name)
    parameters = inspect.signature(cls).parameters
    for p in c.parameters:
        assert p.id in parameters
        assert parameters[p.id].default == (None if p.follows else p.default)
        assert p.doc in cls.__doc__
        assert p.range_text() in getattr(cls, p.id).__doc__
    effect = cls()
    assert repr(effect) == f"{c.class_name}()"
    assert effect == cls()
    for p in c.parameters:
        if p.kind == "continuous":
            for value, word in (
                (p.max + 1, "above"),
                (p.min - 1, "below"),
                (float("nan"), "NaN"),
                ("loud", "not a number"),
            ):
                with pytest.raises(ValueError, match=word) as error:
                    setattr(effect, p.id, value)
                assert p.id in str(error.value)
                assert effect == cls()  # nothing changed
        elif p.kind == "choice":
            with pytest.raises(ValueError, match="did you mean" if len(p.default) > 3 else "none of"):
                setattr(effect, p.id, p.default + "x")
    with pytest.raises(AttributeError, match="has no parameter 'loudnes'"):
        effect.loudnes = 3


def test_construction():
    c = tr.Compressor(threshold_db=-24, ratio=4)
    assert repr(c) == "Compressor(threshold_db=-24, ratio=4)"
    assert c != tr.Compressor(threshold_db=-24, ratio=4.5)
    assert eval(repr(c), {"Compressor": tr.Compressor}) == c
    with pytest.raises(TypeError, match="did you mean 'threshold_db'"):
        tr.Compressor(treshold_db=-24)
    with pytest.raises(ValueError, match=r"compressor.ratio = 0.5 is below 1 \(allowed: 1 to 50\)"):
        tr.Compressor(ratio=0.5)
    with pytest.raises(ValueError, match="16 bands, got 17"):
        tr.ParametricEQ(bands=[tr.Band()] * 17)
    with pytest.raises(TypeError, match="not a Band"):
        tr.ParametricEQ(bands=[tr.Gain()])
    with pytest.raises(ValueError, match="no sidechain"):
        tr.Gain(key="voice")
    with pytest.raises(ValueError, match="did you mean 'compressor'"):
        tr.find_card("compresor")


def test_follow_ratio_of_decays():
    assert tr.FDNReverb(decay_s=2.0).decay_high_s == pytest.approx(1.2)
    assert tr.FDNReverb(decay_s=2.0, decay_high_s=0.5).decay_high_s == 0.5
    assert tr.FDNReverb(decay_s=20.0).decay_low_s == 20.0


def test_import_is_light():
    """`import twinrack` loads nothing heavy; how long it takes is measured in benchmarks/."""
    code = (
        "import sys, twinrack; heavy = ('torch', 'pydantic', 'soundfile', 'sounddevice', 'typer', 'rich'); "
        "assert not any(m in sys.modules for m in heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_stub_of_the_extension_is_up_to_date():
    """`make stubs` writes it; a changed binding without it fails here."""
    done = subprocess.run([sys.executable, ROOT / "tools" / "stubs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
