"""ABX tests: exact statistics, checked by simulated listeners; and the page in a real browser."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from browser_support import chromium
from support import music, run
from twinrack.review.abx import (
    Answers,
    Item,
    analyse,
    holm,
    needed,
    plan,
    power,
    read_answers,
    right_by_chance,
    write_abx,
)

RATE = 48000
TRIALS = 16


def test_known_values():
    assert right_by_chance(12, 16) == pytest.approx(2517 / 65536)
    assert (needed(16, 0.05), needed(10, 0.05), needed(5, 0.01)) == (12, 9, 6)
    assert power(16, 0.05, 0.5) == pytest.approx(right_by_chance(12, 16))
    assert power(16, 0.05, 0.9) == pytest.approx(sum(math.comb(16, k) * 0.9**k * 0.1 ** (16 - k) for k in range(12, 17)))
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert "nothing can be shown" in plan(5, 0.01)
    assert plan(16, 0.05).startswith("12 of 16 right answers show a difference")


def listener(name: str, share: float, random: np.random.Generator, items: int = 1, **changes) -> Answers:
    """Somebody who is right in a share of trials."""
    made = []
    for i in range(items):
        trials = []
        for _ in range(TRIALS):
            x = random.choice(["a", "b"])
            other = "b" if x == "a" else "a"
            trials.append({"x": x, "answer": x if random.random() < share else other, "seconds": "2.0"})
        made.append({"name": f"item {i}", "trials": trials})
    data = {
        "twinrack_abx": 1, "test": "0" * 64, "title": "t", "planned": TRIALS, "alpha": 0.05, "listener": name,
        "date": "2026-11-30", "items": made,
    }  # fmt: skip
    return Answers.model_validate(data | changes)


def test_simulated_listeners_are_found_as_often_as_the_plan_says():
    random, runs = np.random.default_rng(1), 2000
    for share in (0.5, 0.7, 0.9):
        heard = sum(analyse([listener("a", share, random)]).together[0].heard(0.05) for _ in range(runs))
        expected = power(TRIALS, 0.05, share)
        assert abs(heard / runs - expected) < 4 * math.sqrt(expected * (1 - expected) / runs) + 0.002
    # Of five items that nobody hears, any is said to be heard in at most 5 % of tests.
    wrong = sum(any(o.heard(0.05) for o in analyse([listener("a", 0.5, random, 5)]).together) for _ in range(runs))
    assert wrong / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_together_and_alone():
    random = np.random.default_rng(2)
    result = analyse([listener("good", 1.0, random), listener("deaf", 0.5, random)])
    assert [o.listener for o in result.alone] == ["good", "deaf"]
    assert result.together[0].trials == 2 * TRIALS
    assert result.alone[0].heard(0.05)
    assert "which does not show that it is not" in str(analyse([listener("deaf", 0.3, random)]))
    with pytest.raises(ValueError, match="'good' answered twice"):
        analyse([listener("good", 1.0, random), listener("good", 1.0, random)])
    with pytest.raises(ValueError, match="are to another test than those of 'good'"):
        analyse([listener("good", 1.0, random), listener("other", 1.0, random, test="1" * 64)])
    with pytest.raises(ValueError, match="give the files"):
        analyse([])


def test_a_test_in_a_browser(tmp_path):
    x = music(2, RATE, RATE, 4)
    louder = 2 * x  # the same at another level: nobody can hear it, as levels are matched
    page = write_abx([Item("level </script>", x, louder)], RATE, tmp_path / "t.html", trials=5)
    with chromium(accept_downloads=True) as browser:
        browser.goto(f"file://{page}")
        assert browser.locator("#begin").is_disabled()
        assert "right answers show a difference" in browser.inner_text("#plan") or "nothing can be shown" in browser.inner_text(
            "#plan"
        )
        browser.click("#try")
        browser.wait_for_selector("#begin:not([disabled])")
        browser.click("#begin")
        drawn = []
        for n in range(5):
            browser.wait_for_selector(f"text=trial {n + 1} of 5")
            assert browser.locator(".vote").first.is_disabled()  # all three must be heard
            for key in "axb":
                browser.keyboard.press(key)
                browser.wait_for_timeout(60)
                if key == "x":
                    drawn.append(browser.evaluate("Abx.sounding"))
                    other = "b" if drawn[-1] == "a" else "a"
                    sounds = f"Abx.gains.{drawn[-1]}.gain.value > 0.9 && Abx.gains.{other}.gain.value < 0.1"
                    browser.wait_for_function(sounds)
            browser.keyboard.press("1")
        browser.wait_for_selector("#save")
        browser.click("#save")
        assert browser.inner_text("[role=alert]").startswith("Say who you are")
        browser.fill("#listener", "L 1")
        with browser.expect_download() as waiting:
            browser.click("#save")
        waiting.value.save_as(tmp_path / "answers.json")
        assert browser.errors == []
    answers = read_answers(tmp_path / "answers.json")
    assert [t.x for t in answers.items[0].trials] == drawn
    assert {t.answer for t in answers.items[0].trials} == {"a"}
    assert analyse([answers]).together[0].right == drawn.count("a")
    done = run("listen", "analyse", tmp_path / "answers.json")
    assert done.returncode == 0, done.stderr
    assert f"{drawn.count('a')} of 5 right" in done.stdout
    data = json.loads(page.read_text().split('id="test">')[1].split("</script>")[0])
    assert data["items"][0]["matched_db"] == pytest.approx(-6.02, abs=0.05)


def test_the_command_compares_racks(tmp_path):
    sf.write(tmp_path / "a.wav", music(1, 4 * RATE, RATE)[0], RATE)
    tr.Rack([tr.Compressor(threshold_db=-40)]).save(tmp_path / "v.rack.json")
    words = ("listen", "make", "--rack", tmp_path / "v.rack.json", "--audio", tmp_path / "a.wav", "--out", tmp_path / "t.html")
    done = run(*words, "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "12 of 16 right answers show a difference" in done.stdout
    assert (tmp_path / "t.html").stat().st_size < 3e6
    refused = {
        ("listen", "make", "--out", "t.html"): "give pairs of files",
        ("listen", "make", "--out", "t.html", "--pair", "x"): "is not NAME=A.wav,B.wav",
        (*words, "--trials", "2"): "trials must be an integer from 5 to 200",
        ("listen", "analyse", tmp_path / "a.wav"): "is not a file of answers",
    }
    for command, sentence in refused.items():
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert sentence in done.stderr


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Item("i", np.zeros((2, RATE), np.float32), np.zeros((2, RATE), np.float32)), "one of the sounds is silent"),
        (Item("i", music(1, RATE, RATE), music(2, RATE, RATE)), "give two alike"),
        (Item("i", music(1, 100, RATE), music(1, 100, RATE)), "shorter than"),
        (Item("i", np.full((1, RATE), np.nan, np.float32), music(1, RATE, RATE)), "NaN or infinity"),
    ],
)
def test_sounds_that_do_not_fit_are_named(tmp_path, item, words):
    with pytest.raises(ValueError, match=words):
        write_abx([item], RATE, tmp_path / "t.html")
    assert not list(tmp_path.iterdir())


def test_unfinished_answers_do_not_count(tmp_path):
    data = json.loads(listener("a", 1.0, np.random.default_rng(0)).model_dump_json())
    data["items"][0]["trials"].pop()
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="has 15 of 16 trials"):
        read_answers(tmp_path / "a.json")
    for text in ("", "{}", "[1]"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match="is not a file of answers"):
            read_answers(Path(tmp_path / "a.json"))
