"""`twinrack listen serve`: many listeners at once, kills and restarts, and no rating lost."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from browser_support import chromium
from support import music, run
from twinrack.listening.answers import read_answers
from twinrack.listening.kinds import KINDS
from twinrack.listening.page import write_test
from twinrack.listening.plan import plan_path, registered
from twinrack.listening.stimuli import REFERENCE, Item

pytest.importorskip("uvicorn")
RATE = 48000
LISTENERS = int(os.environ.get("TWINRACK_LISTENERS", "40"))  # make soak asks for 200
TRIALS = 5


@pytest.fixture
def page(tmp_path):
    x = music(1, RATE, RATE, 4)
    write_test([Item("a", {"new": -x}, x), Item("b", {"new": -x}, x)], RATE, tmp_path / "t.html", trials=TRIALS)
    return tmp_path / "t.html"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(page, port) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "twinrack", "listen", "serve", str(page), "--port", str(port), "--token", "secret"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    assert "Listeners open" in process.stdout.readline()
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process


def put(port: int, who: str, data: object, token: str = "secret") -> tuple[int, str]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/t/{token}/answers/{who}", data=body, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(test: str, who: int, revision: int) -> dict[str, object]:
    """As many trials as the revision says; the last one completes."""
    trials = [{"x": "a", "answer": "ab"[(who + k) % 2], "seconds": float(k)} for k in range(revision)]
    items = [
        {"name": name, "conditions": [REFERENCE, "new"], "trials": own, "scores": {}}
        for name, own in (("a", trials[:TRIALS]), ("b", trials[TRIALS:]))
    ]
    return {
        "twinrack_listening": 1, "kind": "abx", "test": test, "registered": registered([], 20, KINDS["abx"]),
        "title": "t", "planned": TRIALS, "alpha": 0.05,
        "listener": f"listener {who}", "began": "2026-01-31", "date": "2026-01-31",
        "revision": revision, "complete": revision == 2 * TRIALS,
        "items": items,
    }  # fmt: skip


def test_no_rating_is_lost_when_the_server_is_killed(page):
    test = json.loads(plan_path(page).read_text())["test"]
    port, seed = free_port(), random.Random(1)
    confirmed = [0] * LISTENERS
    failed: list[str] = []

    def listen(who: int) -> None:
        for revision in range(1, 2 * TRIALS + 1):
            for _ in range(600):
                try:
                    status, words = put(port, f"{who:032x}", answers(test, who, revision))
                except (OSError, http.client.HTTPException):  # the server was just killed
                    time.sleep(0.05)
                    continue
                if status == 200:
                    confirmed[who] = revision
                    break
                failed.append(words)
                return
            else:
                failed.append("never confirmed")
                return

    server = serve(page, port)
    threads = [threading.Thread(target=listen, args=(who,)) for who in range(LISTENERS)]
    for t in threads:
        t.start()
    kills = 0
    while any(t.is_alive() for t in threads) and kills < 6:
        time.sleep(seed.uniform(0.05, 0.4))
        server.kill()
        server.wait()
        kills += 1
        for who, revision in enumerate(list(confirmed)):  # all that was confirmed is on disk
            if revision:
                stored = read_answers(page.with_name("t.answers") / f"{who:032x}.json")
                assert stored.revision >= revision
        server = serve(page, port)
    for t in threads:
        t.join(120)
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    assert failed == []
    assert kills >= 1
    folder = page.with_name("t.answers")
    files = sorted(folder.glob("*.json"))
    assert len(files) == LISTENERS
    for who, path in enumerate(files):
        stored = read_answers(path)
        assert stored.complete
        assert json.loads(path.read_text()) == answers(test, who, 2 * TRIALS)
    done = run("listen", "analyse", folder, "--plan", plan_path(page))
    assert done.returncode == 0, done.stderr
    assert f"of {LISTENERS * TRIALS} right" in done.stdout


def test_bad_requests_are_refused(page):
    from twinrack.listening.plan import read_plan
    from twinrack.listening.server import ListeningServer

    plan = read_plan(plan_path(page))
    server = ListeningServer(page, plan, page.with_name("out"), port=0, token="secret")
    try:
        whole = answers(plan.test, 1, 2 * TRIALS)
        who = "0" * 32
        assert put(server.port, who, whole, token="wrong")[0] == 403
        assert put(server.port, "../../x", whole)[0] in (400, 404)
        assert put(server.port, "x", whole)[0] == 400
        assert put(server.port, who, b"no")[0] == 400
        assert put(server.port, who, b"x" * (2 << 20))[0] == 413
        assert put(server.port, who, whole | {"test": "1" * 64})[0] == 409
        assert "trials" in put(server.port, who, answers(plan.test, 1, 3) | {"complete": True})[1]
        assert list(page.with_name("out").iterdir()) == []
        assert put(server.port, who, whole) == (200, "saved")
        assert put(server.port, who, whole) == (200, "saved")  # asked again, as the answer was lost
        assert put(server.port, who, answers(plan.test, 1, 2))[0] == 409  # another window
        assert "has finished already" in put(server.port, "1" * 32, whole)[1]
        assert put(server.port, "2" * 32, answers(plan.test, 2, 0) | {"items": [], "complete": True})[0] == 400
        assert put(server.port, "2" * 32, answers(plan.test, 2, 3) | {"alpha": 0.5})[0] == 409
        assert read_answers(page.with_name("out") / f"{who}.json").complete
        assert server.counts == (1, 1)
    finally:
        server.close()


def test_what_cannot_be_served_is_refused(page, tmp_path):
    (tmp_path / "o.html").write_text("<html lang='en'>")
    (tmp_path / "o.plan.json").write_text(plan_path(page).read_text())
    (tmp_path / "file").touch()
    cases = {
        (tmp_path / "o.html",): "is not the page of this plan",
        (page, "--token", "a/b"): "a token has 6 to 64",
        (page, "--answers", tmp_path / "file"): "is a file; give a folder",
        (tmp_path / "none.html",): "none.plan.json",
    }
    for words, sentence in cases.items():
        done = run("listen", "serve", *words, "--port", "0")
        assert done.returncode == 2
        assert sentence in done.stderr


def test_a_browser_sends_its_answers(page):
    from twinrack.listening.plan import read_plan
    from twinrack.listening.server import ListeningServer

    plan = read_plan(plan_path(page))
    server = ListeningServer(page, plan, page.with_name("out"), port=0)
    try:
        with chromium() as browser:
            browser.goto(server.url)
            browser.click("#try")
            browser.wait_for_selector("#begin:not([disabled])")
            browser.fill("#listener", "L")
            browser.click("#begin")
            for n in range(2 * TRIALS):
                browser.wait_for_selector(f"text=Pair {n // TRIALS + 1} of 2, trial {n % TRIALS + 1} of {TRIALS}")
                for key in "axb":
                    browser.keyboard.press(key)
                browser.keyboard.press("2")
            browser.wait_for_selector("text=Your answers have arrived")
            assert browser.errors == []
        (path,) = page.with_name("out").glob("*.json")
        stored = read_answers(path)
        assert stored.complete
        assert {t.answer for i in stored.items for t in i.trials} == {"b"}
    finally:
        server.close()
