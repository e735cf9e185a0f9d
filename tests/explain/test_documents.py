"""Documents say what a patch knows and what is missing; the bill of materials is valid by its schema."""

from __future__ import annotations

import json

import pytest

import twinrack as tr
from support import music, run
from twinrack.review.bom import bill_of_materials
from twinrack.review.documents import annex_iv, model_card
from twinrack.review.patch_facts import WRITTEN, patch_facts
from twinrack.review.signing import add_entry

RATE = 48000


@pytest.fixture(scope="module")
def patch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    network = tr.ControlNetwork(["compressor.threshold_db"], (4,))
    hidden = tr.Rack([tr.Compressor(threshold_db=-30), tr.Gain(gain_db=-4)])
    x = music(1, RATE, RATE)
    result = tr.fit(tr.Rack([tr.Compressor(), tr.Gain()]), x, hidden(x, RATE), RATE, steps=2, polish_steps=2, progress=False)
    rack = tr.Rack([tr.Controller(network=network), *(e.copy() for e in result.rack)], name="<b>voice|")
    rack.provenance = result.rack.provenance
    path = folder / "a.rack.json"
    rack.save(path)
    return path


def test_a_card_has_values_data_and_results_and_says_what_is_missing(patch, tmp_path):
    facts = tmp_path / "facts.toml"
    facts.write_text('purpose = "An even voice."\nusers = "Producers."\n', encoding="utf-8")
    known = patch_facts(patch, facts)
    card = model_card(known)
    text = card.markdown()
    assert "# Model card of “&lt;b>voice|”" in text
    assert "What it is for: An even voice." in text
    assert "compressor.threshold_db" in text
    assert known.recordings[0]["dry_sha256"] in text
    assert "controller.network: a network of" in text
    assert "| fitted |" in text
    missing = card.missing
    assert any(m.startswith("what it must not be used for") for m in missing)
    assert not any(m.startswith("what it is for") for m in missing)
    assert any("validation of this very state" in m for m in missing)
    assert "claims no conformity" in text
    assert "<b>voice" not in card.html()


def test_annex_iv_has_all_nine_points(patch):
    document = annex_iv(patch_facts(patch))
    headings = " ".join(s.heading for s in document.sections)
    for number in range(1, 10):
        assert f"{number}. " in headings
    for letter in "abcdefgh":
        assert f"({letter})" in headings
    assert len(document.missing) > 12


def test_a_validation_counts_until_the_patch_changes(patch, tmp_path):
    path = tmp_path / "b.rack.json"
    rack = tr.load(patch)
    rack.save(path)
    add_entry(path, "validated", "V. A.", details=tr.validate(rack).to_json())
    add_entry(path, "reviewed", "B. C.", "heard on three voices")
    known = patch_facts(path)
    assert known.validation is not None
    text = model_card(known).markdown()
    assert f"{known.validation['claims']} claims on controlled signals, none failed" in text
    assert "heard on three voices" in text
    changed = tr.load(path)
    changed["gain"].gain_db = -7.0
    changed.save(path)
    assert patch_facts(path).validation is None


def test_the_bill_of_materials_is_valid(patch, tmp_path):
    schema = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib[json-validation] is not installed")
    from cyclonedx.schema import SchemaVersion

    facts = tmp_path / "facts.toml"
    facts.write_text("".join(f'{key} = "x"\n' for key in WRITTEN), encoding="utf-8")
    validator = schema.JsonStrictValidator(SchemaVersion.V1_6)
    for given in (None, facts):
        bill = bill_of_materials(patch_facts(patch, given))
        assert validator.validate_str(json.dumps(bill)) is None
    assert bill["metadata"]["component"]["type"] == "machine-learning-model"
    assert {c["name"] for c in bill["components"]} >= {"compressor", "controller", "numpy"}
    assert validator.validate_str(json.dumps(bill | {"bomFormat": "x"})) is not None


def test_the_commands(patch, tmp_path):
    for kind, name in (("model-card", "a.md"), ("annex-iv", "a.html"), ("ml-bom", "a.json")):
        done = run("document", patch, "--as", kind, "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).exists()
    assert "Missing:" in (tmp_path / "a.html").read_text(encoding="utf-8")
    (tmp_path / "bad.toml").write_text('purpos = "x"\n', encoding="utf-8")
    done = run("document", patch, "--facts", "bad.toml", cwd=tmp_path)
    assert done.returncode != 0
    assert "has the key 'purpos'; there are provider" in done.stderr.replace("\n", " ")
    (tmp_path / "worse.toml").write_text("purpose = \n", encoding="utf-8")
    assert "is not TOML" in run("document", patch, "--facts", "worse.toml", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    "details",
    [
        {"claims": None},
        {"claims": 3, "groups": [1]},
        {"claims": 3, "recovered": {"clean": 3}},
        {"claims": 3, "first_failures": [{"rung": 1}, 2]},
    ],
)
def test_odd_entries_are_survived(patch, tmp_path, details):
    path = tmp_path / "b.rack.json"
    rack = tr.load(patch)
    rack.provenance = {**rack.provenance, "standard_errors": [1], "advice": 5, "warnings": "oops"}
    rack.save(path)
    add_entry(path, "validated", "V. A.", details=details)
    known = patch_facts(path)
    for text in (model_card(known).markdown(), annex_iv(known).html(), json.dumps(bill_of_materials(known))):
        assert "Note: o." not in text


def test_a_patch_is_not_written_over_and_facts_make_no_headings(patch, tmp_path):
    path = tmp_path / "b.rack.json"
    tr.load(patch).save(path)
    before = path.read_bytes()
    done = run("document", path, "--as", "ml-bom", "--out", path)
    assert done.returncode != 0
    assert path.read_bytes() == before
    facts = tmp_path / "facts.toml"
    facts.write_text('data_origin = "# Fake heading"\n', encoding="utf-8")
    assert "\\# Fake heading" in model_card(patch_facts(path, facts)).markdown()
    with pytest.raises(ValueError, match="say by whom"):
        add_entry(path, "reviewed", " ")
