"""The console's page in a real browser: its controls move the sound, its meters show it; and who may not come in does not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import twinrack as tr
from jack_support import BLOCK, RATE, Probe, jack_server, needs_jack

pytest.importorskip("starlette", reason="the console's packages are not installed (pip install '.[live]')")
connect = pytest.importorskip("websockets.sync.client").connect

from websockets.exceptions import WebSocketException  # noqa: E402

from twinrack.stage.console.server import Console  # noqa: E402
from twinrack.stage.desk import Desk  # noqa: E402
from twinrack.stage.midi import Midi  # noqa: E402

pytestmark = needs_jack
PICTURES = os.environ.get("TWINRACK_PICTURES")  # a folder: pictures of the page for the docs


@pytest.fixture(scope="module")
def server():
    with jack_server() as running:
        yield running.name


@pytest.fixture
def stream(server):
    rack = tr.Rack(
        [
            tr.ParametricEQ(
                bands=[tr.Band("low_shelf", frequency_hz=120, gain_db=4), tr.Band("bell", frequency_hz=3000, gain_db=-5)]
            ),
            tr.Compressor(threshold_db=-30, ratio=4),
            tr.Gain(),
        ],
        name="voice",
    )
    with tr.live(rack, block_size=BLOCK) as running:
        yield running


@pytest.fixture
def console(stream, tmp_path):
    desk = Desk(stream, tmp_path)
    found = Console(desk, port=0, takes=tmp_path / "takes", midi=Midi(desk))
    yield found
    found.close()
    desk.close()


@pytest.fixture(scope="module")
def browser():
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no Chromium here (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, console):
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    found.goto(console.url)
    found.wait_for_selector(".effect")
    yield found
    found.close()
    assert not wrong


def until(condition, seconds: float = 20.0, page=None) -> None:
    """Wait; a page must be let work meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        page.wait_for_timeout(20) if page is not None else time.sleep(0.02)


def url(console: Console, path: str = "") -> str:
    return f"http://127.0.0.1:{console.port}{path}"


def get(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def talk(console: Console, token: str | None = None, origin: str | None = None):
    return connect(
        f"ws://127.0.0.1:{console.port}/live?token={console.token if token is None else token}",
        origin=url(console) if origin is None else origin,
        max_size=None,
    )


def words(socket, kind: str, seconds: float = 20.0) -> dict:
    """The next message of a kind; levels in between are left out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = socket.recv(timeout=end - time.monotonic())
        if isinstance(got, str) and json.loads(got)["type"] == kind:
            return json.loads(got)
    raise AssertionError(f"no {kind}")


# --- who comes in ---------------------------------------------------------------------------------------------------------


def test_only_who_knows_the_token_comes_in(console):
    assert get(console.url)[0] == 200
    for wrong in (url(console), url(console, "/?token="), url(console, "/?token=wrong")):
        status, said = get(wrong)
        assert status == 403
        assert "open the address that twinrack printed" in said
    assert get(console.url, Host="evil.example")[0] == 421
    for path in ("/static/../server.py", "/static/server.py", "/static/%2e%2e%2fserver.py", "/etc/passwd", "/static/style.txt"):
        assert get(url(console, path))[0] == 404
    for token, origin in (("wrong", None), ("", None), (None, "http://evil.example"), (None, "null"), (None, "")):
        with pytest.raises((WebSocketException, OSError, EOFError)), talk(console, token, origin) as socket:
            socket.recv(timeout=3)


def test_garbage_is_answered_in_one_sentence(console, stream):
    rng = np.random.default_rng(1)
    with talk(console) as socket:
        words(socket, "state")
        for message in (
            "", "nonsense", "[]", "{}", "null", "1e999", '{"do":"explode"}',
            '{"do":"set"}', '{"do":"set","address":"gain.gain_db"}',
            '{"do":"set","address":"gain.gain_db","to":"loud"}', '{"do":"set","address":"gain.gain_db","to":1e9}',
            '{"do":"set","address":"gain.gain_db","to":NaN}', '{"do":"set","address":{"a":1},"to":1}',
            '{"do":"load","name":"../../etc/passwd"}', '{"do":"save","name":"a/b"}', '{"do":"load","name":"none"}',
            '{"do":"protect","part":"__class__","on":1}', '{"do":"move","address":"gain","index":"x"}',
            '{"do":"recall","name":"none"}', '{"do":"add","effect":"__import__"}', "[" * 5000,
            '{"do":"set","address":"' + "a" * 300 + '","to":1}', '{"do":"learn","address":"nobody.there"}',
        ):  # fmt: skip
            socket.send(message)
            assert len(words(socket, "error")["words"]) > 5
        for _ in range(30):
            socket.send(rng.bytes(int(rng.integers(1, 200))))
            words(socket, "error")
        socket.send("x" * 200_000)
        with pytest.raises(WebSocketException):
            words(socket, "error")
    assert stream.active
    assert stream.rack["gain"].gain_db == 0.0
    with talk(console) as socket:
        words(socket, "state")


def test_twenty_pages(console, stream):
    with contextlib.ExitStack() as pages:
        sockets = [pages.enter_context(talk(console)) for _ in range(20)]
        for socket in sockets:
            words(socket, "state")
        sockets[0].send('{"do":"set","address":"gain.gain_db","to":-7}')
        for socket in sockets[1:]:
            while words(socket, "set")["address"] != "gain.gain_db":
                pass
        assert stream.rack["gain"].gain_db == -7.0
        before, late = stream.frames, stream.late_callbacks
        time.sleep(1.0)
        print(f"20 pages: {(stream.frames - before) // BLOCK} callbacks, {stream.late_callbacks - late} too long")
        assert stream.active


# --- the page -------------------------------------------------------------------------------------------------------------


def test_a_control_moves_the_sound_and_the_meters_show_it(server, page, stream):
    slider = page.get_by_role("slider", name="gain in dB").last
    slider.focus()
    for _ in range(100):
        page.keyboard.press("ArrowLeft")
    until(lambda: stream.rack["gain"].gain_db < -10, page=page)
    page.get_by_role("article", name="Gain gain").get_by_role("spinbutton", name="gain, as a number").fill("-20")
    page.keyboard.press("Enter")
    until(lambda: stream.rack["gain"].gain_db == -20.0, page=page)
    for name in ("parametric_eq", "compressor"):
        page.locator(f"article[aria-label$=' {name}']").get_by_role("button", name="Bypass").click()
    until(lambda: stream.rack["compressor"].bypass and stream.rack["parametric_eq"].bypass, page=page)
    probe = Probe(server, 2, RATE // 2)
    try:
        heard = probe.play(np.full((2, RATE), 0.5, np.float32))
        assert heard[0, -1] == pytest.approx(0.05, rel=1e-4)
        probe.begin(0.5 * np.sin(np.arange(40 * RATE) * 0.05)[None].repeat(2, 0).astype(np.float32))
        article = page.get_by_role("article", name="Gain gain")
        level = article.get_by_role("meter", name="gain, level out")
        until(lambda: -27.5 < float(level.get_attribute("aria-valuenow")) < -25.5, page=page)
        into = article.get_by_role("meter", name="gain, level in")
        assert -7.5 < float(into.get_attribute("aria-valuenow")) < -5.5
        page.get_by_role("article", name="Compressor compressor").get_by_role("button", name="Bypass").click()
        less = page.get_by_role("meter", name="compressor, gain reduction")
        until(lambda: float(less.get_attribute("aria-valuenow")) < -10, page=page)
    finally:
        probe.close()


def test_what_others_do_is_seen(page, stream):
    """Python moves it: the page follows; structure, A and B, undo, snapshots, presets."""
    stream.rack["gain"].gain_db = -33.0
    number = page.get_by_role("article", name="Gain gain").get_by_role("spinbutton", name="gain, as a number")
    until(lambda: number.input_value() == "-33", page=page)
    page.locator("#effects").select_option("saturation")
    page.get_by_role("button", name="Add").click()
    page.wait_for_selector("article[aria-label='Saturation saturation']")
    assert list(stream.rack.addresses())[-1] == "saturation"
    page.get_by_role("button", name="Earlier: saturation").click()
    until(lambda: list(stream.rack.addresses())[-1] == "gain", page=page)
    page.get_by_role("button", name="Remove saturation").click()
    until(lambda: "saturation" not in stream.rack.addresses(), page=page)
    page.get_by_role("button", name="Undo").click()
    until(lambda: "saturation" in stream.rack.addresses(), page=page)
    page.keyboard.press("Control+Shift+Z")
    until(lambda: "saturation" not in stream.rack.addresses(), page=page)
    page.get_by_role("button", name="Hear B").click()
    until(lambda: page.get_by_role("button", name="Hear A").count() == 1, page=page)
    for button, what in (("Keep…", "snapshot"), ("Save…", "preset")):
        page.get_by_role("button", name=button).click()
        page.get_by_label(f"Name of the {what}").fill("first")
        page.get_by_role("button", name="OK", exact=True).click()
        until(lambda what=what: page.locator(f"#{what}s option[value=first]").count() == 1, page=page)
    stream.rack["gain"].gain_db = -1.0
    page.get_by_role("button", name="Load").click()
    until(lambda: stream.rack["gain"].gain_db == -33.0, page=page)
    page.get_by_role("button", name="Record").click()
    until(lambda: stream._recorder is not None and stream._recorder.running, page=page)
    page.wait_for_selector("#record[aria-pressed=true]")
    page.get_by_role("button", name="Record").click()
    until(lambda: stream._recorder is None, page=page)


def test_by_keyboard_and_for_screen_readers(page):
    """Everything that can be changed is reached by the tab key and has a name."""
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=meter], canvas")].filter((e) => !(
            e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(({tagName, ariaLabel, id}) => `${tagName} ${ariaLabel ?? id}`)(document.activeElement)"))
    assert len(seen) > 35
    slider = page.get_by_role("slider").first
    assert page.evaluate("(e) => e.getAttribute('aria-valuetext')", slider.element_handle())


def test_sixty_a_second_and_little_work(page, stream):
    frames = page.evaluate(
        """() => new Promise((done) => { let n = 0; const begin = performance.now();
            const step = () => { ++n; performance.now() - begin < 2000 ? requestAnimationFrame(step) : done(n / 2); };
            requestAnimationFrame(step); })"""
    )
    print(f"the page draws {frames:.0f} times a second")
    assert frames > 5
    assert stream.active


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("desk-light", 1280, "light"), ("desk-dark", 1280, "dark"), ("phone", 390, "dark")]
)
def test_it_fits_a_desk_and_a_phone_in_light_and_dark(server, browser, console, stream, name, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    probe = Probe(server, 2, RATE)
    try:
        rng = np.random.default_rng(2)
        noise = np.cumsum(rng.standard_normal((2, 20 * RATE)), 1)
        noise = (noise - np.mean(noise, 1, keepdims=True)) / np.max(np.abs(noise))
        probe.begin((0.4 * np.diff(noise, axis=1, prepend=0) * 40 + 0.1 * noise).astype(np.float32))
        page.goto(console.url)
        page.wait_for_selector(".effect")
        page.wait_for_timeout(1500)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert wide == []  # nothing sticks out to the side
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(v) for v in ground.removeprefix("rgb(").rstrip(")").split(",")[:3])
        assert (brightness > 600) == (scheme == "light")
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"console-{name}.png")
    finally:
        probe.close()
        context.close()


def test_the_command_serves_it(server, tmp_path):
    """`twinrack live --console --osc --midi virtual`, as somebody types it."""
    rack = tr.Rack([tr.Gain()], name="typed")
    rack.save(tmp_path / "typed.rack.json")
    command = [sys.executable, "-m", "twinrack", "live", "--rack", str(tmp_path / "typed.rack.json"), "--block", "64"]
    process = subprocess.Popen(
        [*command, "--console", "--port", "0", "--osc", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said = []
    try:
        assert process.stdout is not None
        while not any("Ctrl-C" in line for line in said):
            said.append(process.stdout.readline())
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        address = next(line.split()[1] for line in said if line.startswith("console:"))
        assert get(address)[0] == 200
        assert any(line.startswith("OSC: port") for line in said)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
