"""Pages of listening tests in a real browser: sounds in step, answers, practice, and the files that come of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from browser_support import chromium
from support import music, run
from twinrack.cli.listen import analyse, make
from twinrack.listening.answers import read_answers
from twinrack.listening.outcome import outcome
from twinrack.listening.page import write_test
from twinrack.listening.plan import plan_path, read_plan
from twinrack.listening.stimuli import ANCHORS, LOW_ANCHOR, MID_ANCHOR, REFERENCE, Item, low_passed, prepared

RATE = 48000


def begin(browser, page, name="L 1"):
    browser.goto(f"file://{page}")
    browser.wait_for_selector("#begin")
    assert browser.locator("#begin").is_disabled()
    browser.click("#try")
    browser.wait_for_selector("#begin:not([disabled])")
    browser.click("#begin")
    assert browser.inner_text("[role=alert]").startswith("Say who you are")
    browser.fill("#listener", name)
    browser.click("#begin")


def hear_all(browser):
    for button in browser.locator("button.sound").all():
        button.click()
        browser.wait_for_timeout(30)


def saved(browser, path):
    browser.wait_for_selector("#save")
    with browser.expect_download() as waiting:
        browser.click("#save")
    waiting.value.save_as(path)
    assert browser.errors == []
    return read_answers(path)


def test_abx_in_a_browser(tmp_path):
    x = music(2, RATE, RATE, 4)
    page = tmp_path / "t.html"
    plan = write_test([Item("level </script>", {"louder": 2 * x}, x)], RATE, page, trials=5)
    assert plan.gained_db["level </script>"]["louder"] - plan.gained_db["level </script>"][REFERENCE] == pytest.approx(
        -6.02, abs=0.05
    )
    with chromium(accept_downloads=True) as browser:
        begin(browser, page)
        drawn = []
        for n in range(5):
            browser.wait_for_selector(f"text=trial {n + 1} of 5")
            assert browser.locator(".vote").first.is_disabled()  # all three must be heard
            for key in "axb":
                browser.keyboard.press(key)
                browser.wait_for_timeout(60)
                if key == "x":
                    drawn.append(browser.evaluate("Listen.sounding"))
                    other = "louder" if drawn[-1] == REFERENCE else REFERENCE
                    sounds = f"Listen.gains['{drawn[-1]}'].gain.value > 0.9 && Listen.gains['{other}'].gain.value < 0.1"
                    browser.wait_for_function(sounds)
            browser.keyboard.press("1")
        answers = saved(browser, tmp_path / "answers.json")
    assert [t.x for t in answers.items[0].trials] == ["a" if d == REFERENCE else "b" for d in drawn]
    assert {t.answer for t in answers.items[0].trials} == {"a"}
    done = run("listen", "analyse", tmp_path / "answers.json", "--plan", plan_path(page))
    assert done.returncode == 0, done.stderr
    assert f"{drawn.count(REFERENCE)} of 5 right" in done.stdout
    assert "1 of 20 planned listeners" in done.stdout


def test_mushra_in_a_browser(tmp_path):
    x = music(2, RATE, RATE, 5)
    page = tmp_path / "m.html"
    items = [Item(f"item {n}", {"noisy": x + 0.02 * np.random.default_rng(n).normal(size=x.shape)}, x) for n in range(2)]
    plan = write_test(items, RATE, page, kind="mushra")
    assert plan.conditions == ["noisy", *ANCHORS]
    assert plan.measures["item 0"]["noisy"]["error"] == pytest.approx(10 * np.log10(0.02**2 / np.mean(x**2)), abs=1.0)
    if importlib.util.find_spec("visqol") is not None:
        assert all(0.3 < values["ViSQOL"] < 4.0 for values in plan.measures["item 0"].values())
    worth = {REFERENCE: 100, "noisy": 80, MID_ANCHOR: 40, LOW_ANCHOR: 15}
    with chromium(accept_downloads=True, viewport={"width": 390, "height": 800}) as browser:
        begin(browser, page)
        for n in range(2):
            browser.wait_for_selector(f"text=Practice {n + 1} of 2")
            assert browser.locator("#practised").is_disabled()
            hear_all(browser)
            browser.click("#practised")
        for n in range(2):
            browser.wait_for_selector(f"text=Recording {n + 1} of 2")
            if n == 0:
                browser.click("#done")
                assert browser.inner_text("[role=alert]") == "Hear every version first."
                hear_all(browser)
                browser.click("#done")
                assert browser.inner_text("[role=alert]") == "Rate every version."
            hear_all(browser)
            alias = browser.evaluate("Listen.alias")
            rows = [(label, worth[name]) for label, name in alias.items() if label != "Reference"]
            for label, score in rows:
                browser.locator(f"[aria-label='Score of {label}']").fill(str(min(score, 99)))
            browser.click("#done")
            assert browser.inner_text("[role=alert]") == "One of them is the reference: give it 100."
            for label, score in rows:
                browser.locator(f"[aria-label='Score of {label}']").fill(str(score))
            if n == 0:  # a page that is opened again goes on where it was
                browser.click("#done")
                browser.wait_for_selector("text=Recording 2 of 2")
                browser.reload()
                browser.click("#try")
                browser.wait_for_selector("#begin:not([disabled])")
                assert browser.input_value("#listener") == "L 1"
                browser.click("#begin")
                continue
            browser.click("#done")
        answers = saved(browser, tmp_path / "answers.json")
    assert {i.name: dict(i.scores) for i in answers.items} == {f"item {n}": worth for n in range(2)}
    result = outcome([answers], read_plan(plan_path(page)))
    assert result.analysis.rated[0].condition == REFERENCE
    assert result.agreements[0].sounds == 6


def test_preference_and_grades_in_a_browser(tmp_path):
    x = music(2, RATE, RATE, 6)
    write_test([Item("a", {"new": x, "old": -x})], RATE, tmp_path / "p.html", kind="ab", trials=2)
    noisy = x + 0.01 * np.random.default_rng(1).normal(size=x.shape)
    write_test([Item("a", {"noisy": noisy}, x)], RATE, tmp_path / "g.html", kind="bs1116")
    with chromium(accept_downloads=True) as browser:
        begin(browser, tmp_path / "p.html")
        for n in range(2):
            browser.wait_for_selector(f"text=trial {n + 1} of 2")
            hear_all(browser)
            alias = browser.evaluate("Listen.alias")
            label = next(k for k, v in alias.items() if v == "new")
            if n == 0:
                browser.keyboard.press(label.lower())  # plays again, and answers nothing
                assert browser.locator(".vote").count() == 3
            browser.click(f"text=I prefer {label}" if n == 0 else "text=No preference")
        answers = saved(browser, tmp_path / "p.json")
        assert [t.answer for t in answers.items[0].trials] == ["new", ""]
        begin(browser, tmp_path / "g.html")
        hear_all(browser)
        browser.click("#practised")
        browser.wait_for_selector("text=Recording 1 of 1")
        hear_all(browser)
        # A shorter loop plays on, in step.
        browser.locator("[aria-label='End of the loop']").fill("0.5")
        browser.locator("[aria-label='End of the loop']").dispatch_event("change")
        hear_all(browser)
        alias = browser.evaluate("Listen.alias")
        browser.locator("[aria-label='Score of B']").fill("4.2" if alias["B"] == "noisy" else "4.9")
        browser.locator("[aria-label='Score of C']").fill("4.2" if alias["C"] == "noisy" else "4.9")
        browser.click("#done")
        assert browser.inner_text("[role=alert]") == "One of them is the same as A: give it 5.0."
        hidden = "B" if alias["B"] == REFERENCE else "C"
        browser.locator(f"[aria-label='Score of {hidden}']").fill("5")
        browser.click("#done")
        answers = saved(browser, tmp_path / "g.json")
    assert dict(answers.items[0].scores) == {REFERENCE: 5.0, "noisy": 4.2}


def test_anchors_and_levels():
    random = np.random.default_rng(1)
    x = (0.1 * random.normal(size=(2, RATE))).astype(np.float32)
    made = prepared(Item("i", {"c": 0.25 * x}, x), RATE, anchors=True)
    assert made.gained_db["c"] - made.gained_db[REFERENCE] == pytest.approx(12.04, abs=0.1)
    freqs = np.fft.rfftfreq(RATE, 1 / RATE)

    def band(sound, low, high):
        power = np.abs(np.fft.rfft(sound[0] * np.hanning(RATE))) ** 2
        return 10 * np.log10(power[(freqs >= low) & (freqs < high)].mean() + 1e-20)

    for hz in ANCHORS.values():  # ITU-R BS.1534-3, 5.1: ripple ±0.1 dB, 25 dB down at 4/3.5 and 50 dB at 4.5/3.5 of the limit
        low = low_passed(x, RATE, hz)
        assert band(low, 100, 0.98 * hz) == pytest.approx(band(x, 100, 0.98 * hz), abs=0.1)
        assert band(low, 4.0 / 3.5 * hz, 1.2 * hz) < band(x, 4.0 / 3.5 * hz, 1.2 * hz) - 50
    assert low_passed(x, 8000, 7000.0) is x
    cases = {
        "is silent": Item("i", {"c": 0 * x}, x),
        "give all alike": Item("i", {"c": x[:, :-1]}, x),
        "has NaN": Item("i", {"c": x * np.nan}, x),
        "give 0.5 to 60 s": Item("i", {"c": x[:, :99]}, x[:, :99]),
    }
    for words, item in cases.items():
        with pytest.raises(ValueError, match=words):
            prepared(item, RATE)


def test_what_a_kind_cannot_use_is_refused(tmp_path):
    x = music(1, RATE, RATE, 7)
    page = tmp_path / "t.html"
    cases = [
        ("must be one of abx, ab, mushra, bs1116", [Item("i", {"c": x}, x)], {"kind": "other"}),
        ("a test has 1 to 20 items", [], {}),
        ("two items of the test have the name", [Item("i", {"c": x}, x)] * 2, {}),
        ("has 2 conditions; this kind of test compares 1", [Item("i", {"c": x, "d": x}, x)], {}),
        ("has no reference", [Item("i", {"c": x})], {}),
        ("means something else", [Item("i", {REFERENCE: x}, x)], {}),
        ("has other conditions", [Item("i", {"c": x}, x), Item("j", {"d": x}, x)], {"kind": "mushra"}),
        ("has its own hypothesis", [Item("i", {"c": x}, x)], {"hypotheses": ["a > b"]}),
        ("is not of the form", [Item("i", {"c": x}, x)], {"kind": "mushra", "hypotheses": ["a > b"]}),
        ("is not of the form", [Item("i", {"c": x}, x)], {"kind": "mushra", "hypotheses": [f"c > {LOW_ANCHOR}"]}),
        (
            "no item compares",
            [Item("i", {"a": x, "b": x}), Item("j", {"b": x, "c": x})],
            {"kind": "ab", "hypotheses": ["a > c"]},
        ),
        ("the title has 1500 characters", [Item("i", {"c": x}, x)], {"title": "x" * 1500}),
        ("has nothing above 7 kHz", [Item("i", {"c": x}, low_passed(x, RATE, 5000.0))], {"kind": "mushra"}),
    ]
    for words, items, options in cases:
        with pytest.raises(ValueError, match=words):
            write_test(items, RATE, page, **options)
    assert not page.exists()


def test_the_command_makes_tests_of_racks_and_folders(tmp_path):
    sf.write(tmp_path / "a.wav", music(1, 4 * RATE, RATE)[0], RATE)
    for name, threshold in (("v", -40), ("w", -20)):
        tr.Rack([tr.Compressor(threshold_db=threshold)]).save(tmp_path / f"{name}.rack.json")
    base = ("listen", "make", "--rack", tmp_path / "v.rack.json", "--audio", tmp_path / "a.wav", "--out", tmp_path / "t.html")
    done = run(*base, "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "12 of 16 right answers show a difference" in done.stdout
    assert (tmp_path / "t.html").stat().st_size < 3e6
    more = ("--kind", "mushra", "--rack", f"other={tmp_path / 'w.rack.json'}", "--hypothesis", "other > v")
    done = run(*base, *more, "--seconds", "2", "--target", tmp_path / "a.wav")
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "t.plan.json").read_text())
    assert plan["conditions"] == ["v", "other", *ANCHORS]
    assert plan["hypotheses"] == ["other > v"]
    folder = tmp_path / "items"
    for item in ("one", "two"):
        (folder / item).mkdir(parents=True)
        for n, name in enumerate(("reference", "first", "second")):
            sf.write(folder / item / f"{name}.wav", music(1, RATE, RATE, n)[0], RATE)
    done = run("listen", "make", "--kind", "ab", "--stimuli", folder, "--out", tmp_path / "p.html", "--trials", "1")
    assert done.returncode == 0, done.stderr
    # Two items of the same three pairs each: six questions, and three over both items.
    assert "17 of 20 listeners must prefer the same for it to be shown in any one of 9 questions" in done.stdout
    done = run("listen", "make", "--out", "x.html", cwd=tmp_path)
    assert done.returncode == 2
    assert "give pairs of files" in done.stderr
    racks = {"rack": [str(tmp_path / "v.rack.json")], "audio": [tmp_path / "a.wav"]}
    refused = [
        (make, {"pair": ["x"]}, "is not NAME=A.wav,B.wav"),
        (make, {"stimuli": tmp_path / "nowhere"}, "there is no folder"),
        (make, {**racks, "trials": 2}, "trials must be an integer from 5 to 200"),
        (make, {**racks, "target": [Path("a.wav")] * 2}, "give one for each"),
        (make, {**racks, "seconds": -1.0}, "seconds must be a number from 0.5 to 60"),
        (make, {**racks, "kind": "mushra", "trials": 3}, "mushra asks once"),
        (make, {"stimuli": folder, "seconds": 3.0}, "files are taken whole"),
        (analyse, {"answers": [tmp_path / "a.wav"]}, "is not a file of answers"),
        (analyse, {"answers": [tmp_path / "t.plan.json"]}, "is not a whole file of answers"),
        (analyse, {"answers": [], "into": tmp_path / "v.rack.json"}, "give --by NAME and --plan FILE"),
    ]
    for command, options, sentence in refused:
        given = {"output": tmp_path / "x.html", **options} if command is make else options
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            command(**given)
