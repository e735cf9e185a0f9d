"""Reviews: the page in a real browser gives a verdict that belongs to one patch, is kept, checked, and asked for."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from browser_support import chromium
from support import music, run
from twinrack.rack.trail import content_of, digest, verify
from twinrack.review.page import Recording, write_review
from twinrack.review.policy import CHECKLIST, Policy, load_reviewed, note, read_policy, status
from twinrack.review.signing import new_key, read_key
from twinrack.review.verdict import add_verdict, read_verdict, sign_verdict, summary, verdicts_of

RATE = 48000


def rack() -> tr.Rack:
    return tr.Rack([tr.Compressor(threshold_db=-30), tr.Saturation(drive_db=9)], name="Vocal </script><b>x")


@pytest.fixture
def patch(tmp_path) -> Path:
    path = tmp_path / "v.rack.json"
    rack().save(path)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    rack().save(folder / "v.rack.json")
    recordings = [Recording("speech <b>.wav", music(2, 3 * RATE, RATE, 3), RATE)]
    return write_review(folder / "v.rack.json", recordings, Policy(purpose="Speech <script>"), folder / "r.html")


def verdict(patch: Path, /, **changes) -> dict:
    content = content_of(json.loads(patch.read_text(encoding="utf-8")))
    data = {
        "twinrack_review": 1, "patch": digest(content), "rack": "Vocal", "decision": "accept", "conditions": "",
        "name": "A. Ear",
        "role": "engineer", "data_scientist": False, "date": date.today().isoformat(), "played_s": "90",
        "answers": [{"question": "Good?", "answer": "no", "note": "too loud"}],
        "comments": [{"text": "pumps", "at_s": "1.2", "block": "compressor"}],
    }  # fmt: skip
    return data | changes


def written(folder: Path, data: dict, name: str = "verdict.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def fill(page, name: str = "M. Engineer", decision: str = "conditions") -> None:
    page.check(f"input[name=decision][value={decision}]")
    page.fill("[aria-label='Conditions or reasons']", "Only on speech; ü “quoted” \\ <b>")
    page.fill("#name", name)
    page.fill("#role", "mastering engineer")


def test_a_verdict_goes_from_the_page_into_the_patch(page, tmp_path):
    patch = page.with_name("v.rack.json")
    before = patch.read_bytes()
    with chromium(accept_downloads=True) as browser:
        browser.goto(f"file://{page}")
        assert browser.title().startswith("Review of Vocal </script><b>x")
        assert browser.locator("b", has_text="x").count() == 0
        browser.click("#save")
        assert browser.inner_text("#problem") == "Choose accept, accept with conditions, or refuse."
        browser.check("input[name=question0][value=yes]")
        browser.check("input[name=question3][value=no]")
        browser.fill("#note3", "it pumps")
        browser.fill("[aria-label=Remark]", "the breath before the word")
        browser.select_option("[aria-label=Block]", "compressor")
        browser.check("text=at the moment that plays")
        browser.click("#keep")
        fill(browser)
        with browser.expect_download() as waiting:
            browser.click("#save")
        waiting.value.save_as(tmp_path / "verdict.json")
        browser.click(".tr-play")  # the rack plays in it
        browser.wait_for_function("Twinrack.pages[0].at > 0")
        assert browser.errors == []
    read = read_verdict(tmp_path / "verdict.json")
    v = read.verdict
    assert (v.decision, v.name, v.data_scientist, len(v.answers)) == ("conditions", "M. Engineer", False, len(CHECKLIST))
    assert [a.answer for a in v.answers] == ["yes", "not judged", "not judged", "no", "not judged", "not judged"]
    assert (v.comments[0].block, v.comments[0].at_s) == ("compressor", "0.0")
    assert read.fingerprint.startswith("SHA256:")  # signed in the page
    done = run("review", "add", patch, tmp_path / "verdict.json")
    assert done.returncode == 0, done.stderr
    assert "accepted with conditions on" in done.stdout
    assert verify(patch).holds
    assert tr.load(patch) == rack()
    assert patch.read_bytes() != before
    assert "accepted with conditions" in run("show", patch).stdout
    assert run("review", "check", patch).returncode == 0
    again = run("review", "add", patch, tmp_path / "verdict.json")
    assert again.returncode == 2
    assert "already" in again.stderr
    patch.write_bytes(before)


def test_what_was_tampered_with_is_refused(patch, tmp_path):
    path = written(tmp_path, verdict(patch))
    new_key(tmp_path / "key")
    sign_verdict(path, read_key(tmp_path / "key"))
    signed = json.loads(path.read_text())
    assert read_verdict(path).fingerprint
    for name, value in (("data_scientist", True), ("name", "Somebody"), ("patch", "0" * 64), ("answers", [])):
        with pytest.raises(ValueError, match=r"was changed after .* signed it"):
            read_verdict(written(tmp_path, signed | {name: value}, "other.json"))
    with pytest.raises(ValueError, match="signed already"):
        sign_verdict(path, read_key(tmp_path / "key"))
    with pytest.raises(ValueError, match="a signature that cannot be read"):
        read_verdict(written(tmp_path, signed | {"signature": {"key": 1}}, "other.json"))
    add_verdict(patch, path)
    # In the trail: a verdict that is changed there does not hold, and does not count.
    data = json.loads(patch.read_text(encoding="utf-8"))
    data["provenance"]["trail"][-1]["details"]["verdict"]["name"] = "Somebody"
    patch.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert not verify(patch).holds
    assert verdicts_of(patch) == []
    assert not status(patch, Policy()).holds


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": "1" * 64}, "is about another patch than"),
        ({"twinrack_review": 2}, "is of version 2"),
        ({"decision": "maybe"}, "is not a whole verdict: decision"),
        ({"name": ""}, "is not a whole verdict: name"),
        ({"extra": 1}, "is not a whole verdict: extra"),
        ({"date": "2026-13-45"}, "is not a whole verdict: date: month must be in 1..12"),
        ({"date": "2026-W01-1"}, "is not a whole verdict: date: give a day"),
        ({"date": "9999-12-31"}, "which is yet to come"),
        ({"decision": "refuse", "conditions": " "}, "it says neither conditions nor reasons"),
        ({"comments": [{"text": "a", "at_s": "soon"}]}, "is not a whole verdict: comments.0.at_s"),
    ],
)
def test_what_is_no_verdict_on_this_patch_is_a_sentence(patch, tmp_path, changes, words):
    before = patch.read_bytes()
    with pytest.raises(ValueError, match=words):
        add_verdict(patch, written(tmp_path, verdict(patch, **changes)))
    assert patch.read_bytes() == before
    for text in ("", "[]", "{}", "\xff"):
        (tmp_path / "none.json").write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match="is not a verdict"):
            read_verdict(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        read_verdict(tmp_path / "missing.json")


def test_policies(patch, tmp_path):
    def given(name: str, **changes) -> None:
        add_verdict(patch, written(tmp_path, verdict(patch, name=name, **changes), f"{name}.json"))

    (tmp_path / "review.toml").write_text(
        'reviewers = 2\nnot_data_scientists = 1\ndue_months = 6\n[allowed]\n"compressor.threshold_db" = [-40, -20]\n'
    )
    policy = read_policy(None, patch)
    assert status(patch, policy).missing == (
        "2 people must accept it, 0 did", "one person who is not a data scientist must accept it, 0 did",
    )  # fmt: skip
    given("A", data_scientist=True)
    given("B", data_scientist=True, decision="conditions", conditions="only speech")
    assert status(patch, policy).missing == ("one person who is not a data scientist must accept it, 0 did",)
    given("C", decision="refuse", conditions="too loud")
    assert "C refused it" in status(patch, policy).missing
    given("C")  # the last word of a person counts
    assert load_reviewed(patch) == rack()
    late = date.today().replace(year=date.today().year + 1, day=1)
    assert any("older than 6 months" in m for m in status(patch, policy, late).missing)
    assert any("is not signed" in m for m in status(patch, Policy(signed=True)).missing)
    strict = Policy(allowed={"compressor.threshold_db": (-20, 0), "gone.gain_db": (0, 1)})
    assert status(patch, strict).missing == (
        "compressor.threshold_db is -30, and the policy allows -20 to 0",
        "the policy allows 0 to 1 for gone.gain_db, which this rack does not have",
    )
    # A change after the acceptance: nobody has accepted what there is now.
    other = tr.load(patch)
    other["compressor"].threshold_db = -35
    other.save(patch)
    now = status(patch, policy)
    assert not now.holds
    assert now.note.startswith("changed since it was reviewed: accepted on")
    with pytest.raises(ValueError, match=r"may not be used, as its review asks for more: 2 people must accept it, 0 did"):
        load_reviewed(patch)
    for text, words in (("x", "is not TOML"), ("people = 1", "people: .*; there are purpose"), ("reviewers = 0", "reviewers")):
        (tmp_path / "other.toml").write_text(text)
        with pytest.raises(ValueError, match=words):
            read_policy(tmp_path / "other.toml", patch)


def test_who_counts_and_who_may_take_a_refusal_back(patch, tmp_path):
    number = iter(range(100))

    def given(name: str, key: str = "", **changes) -> None:
        path = written(tmp_path, verdict(patch, name=name, **changes), f"{next(number)}.json")
        if key:
            if not (tmp_path / key).exists():
                new_key(tmp_path / key)
            sign_verdict(path, read_key(tmp_path / key))
        add_verdict(patch, path)

    given("Ann", "a", decision="refuse", conditions="too loud")
    given("Ann")  # by anybody who can type her name
    given("Ann", "b")  # or make a key
    assert "Ann refused it" in status(patch, Policy()).missing
    given("Ann", "a", date="2020-01-01")
    assert "Ann refused it" in status(patch, Policy()).missing
    given("Ann", "a")
    assert status(patch, Policy()).holds
    assert status(patch, Policy(reviewers=2)).missing == ("2 people must accept it, 1 did",)  # one name, two keys, and no key
    given("Bob", "a")  # one key, two names
    # Ann by two keys, one of which is Bob's too: two people as far as anybody can tell, and never three.
    assert status(patch, Policy(reviewers=3, signed=True)).missing[0] == "3 people must accept it, 2 did"
    own = read_verdict(tmp_path / "4.json").fingerprint
    assert status(patch, Policy(keys=(own,))).holds
    assert "is not among keys" in status(patch, Policy(keys=("SHA256:" + "A" * 43,))).missing[-1]
    given("ann  ")
    assert status(patch, Policy(reviewers=3)).missing == ("3 people must accept it, 2 did",)


def test_signatures_that_cannot_be_checked_here_are_said(patch, tmp_path, monkeypatch):
    path = written(tmp_path, verdict(patch))
    new_key(tmp_path / "key")
    sign_verdict(path, read_key(tmp_path / "key"))
    add_verdict(patch, path)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    assert note(patch).startswith("not checked here: signatures need cryptography")
    with pytest.raises(ValueError, match="signatures need cryptography"):
        load_reviewed(patch)


def test_commands_ask_for_a_review(patch, tmp_path):
    sf.write(tmp_path / "a.wav", music(1, RATE, RATE)[0], RATE)
    render = ("render", tmp_path / "a.wav", tmp_path / "b.wav", "--rack", patch, "--require-review")
    export = ("export", patch, "--out", tmp_path / "v.clap", "--require-review")
    live = ("live", "--rack", patch, "--require-review", "--seconds", "0.1")
    for words in (render, export, live):
        done = run(*words)
        assert done.returncode == 2, done
        assert "may not be used, as its review asks for more: one person must accept it, 0 did" in done.stderr
    other = tmp_path / "other.rack.json"
    rack().save(other)
    assert not (tmp_path / "b.wav").exists()
    assert not (tmp_path / "v.clap").exists()
    assert run("review", "check", patch).returncode == 3
    add_verdict(patch, written(tmp_path, verdict(patch)))
    for words in (render, export):
        assert run(*words).returncode == 0
    refused = run(*export, "--preset", f"Other={other}")
    assert refused.returncode == 2
    assert "other.rack.json may not be used" in refused.stderr
    assert "review: accepted on" in run("export", patch, "--out", tmp_path / "w.clap").stdout
    lessons = run("review", "lessons", tmp_path).stdout
    assert "Good? No. too loud" in lessons
    assert "compressor at 1.2 s: pumps" in lessons


def test_the_page_says_what_nobody_knows(page, tmp_path, patch):
    text = page.read_text(encoding="utf-8")
    assert "Its trail has no validation: nobody has measured" in text
    assert "nobody has reviewed it" in text
    assert "Speech &lt;script&gt;" in text
    assert len(text) < 5e6
    with pytest.raises(ValueError, match="needs 1 to 8 recordings"):
        write_review(patch, [], Policy(), tmp_path / "r.html")
    data = json.loads(patch.read_text(encoding="utf-8"))
    data["name"] = "another"
    patch.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be reviewed: "):
        write_review(patch, [Recording("a", np.zeros((1, RATE), np.float32), RATE)], Policy(), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
    assert summary(read_verdict(written(tmp_path, verdict(page.with_name("v.rack.json"))))).startswith("accepted on")


def test_a_page_shows_where_it_fails_what_it_was_shown_and_what_it_would_take(patch, tmp_path):
    for n in range(2):
        sf.write(tmp_path / f"{n}.wav", music(2, 3 * RATE, RATE, n).T, RATE)
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "1.wav").rename(folder / "1.wav")
    (tmp_path / "review.toml").write_text('wishes = ["reduction of compressor=6"]\n')
    words = ("review", "make", patch, "--audio", tmp_path / "0.wav", "--out", tmp_path / "r.html", "--recordings", folder)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").stat().st_size < 5e6
    with chromium() as browser:
        browser.goto(f"file://{tmp_path / 'r.html'}")
        for text in ("Failure map", "What its recordings cover", "gain reduction of compressor"):
            assert browser.locator(f"text={text}").count() >= 1, text
        edges = browser.locator("details:has(.tr-player)")
        assert edges.count() >= 1
        edges.first.locator("summary").first.click()
        edges.first.locator(".tr-play").click()
        browser.wait_for_function("Twinrack.pages[1].at > 0 && Twinrack.pages[1].playing")
        edges.first.locator(".tr-play").click()
        before = browser.locator("[data-address='compressor.threshold_db']").first.input_value()
        ratio = browser.locator("[data-address='compressor.ratio']").first.input_value()
        browser.click("button.try")
        browser.wait_for_selector(".tr-curves svg")
        now = browser.locator("[data-address='compressor.threshold_db']").first.input_value()
        assert (now, browser.locator("[data-address='compressor.ratio']").first.input_value()) != (before, ratio)
        assert browser.errors == []
    refused = {
        ("--no-validate",): "leave out --no-validate",
        ("--policy", tmp_path / "other.toml"): "other.toml",
    }
    for more, sentence in refused.items():
        done = run(
            "review", "make", patch, "--audio", tmp_path / "0.wav", "--out", tmp_path / "x.html", "--recordings", folder, *more
        )
        assert done.returncode == 2
        assert sentence in done.stderr
    done = run("review", "make", patch, "--audio", tmp_path / "0.wav", "--out", tmp_path / "x.html", "--table", "t.csv")
    assert "give their folder with --recordings" in done.stderr
